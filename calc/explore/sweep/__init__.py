"""Grids of questions, streamed to files."""
