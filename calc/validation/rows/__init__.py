"""Measured rows read as cases: lengths, layouts, runs, drafts."""
