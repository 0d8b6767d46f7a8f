"""The model judged by measured rows."""
