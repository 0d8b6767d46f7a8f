"""Answers on paper: tables in files and in the terminal, plots.

`write` and `render` turn rows (a list of flat dictionaries, or a pandas DataFrame) into one of seven
formats, each in a small file of its own; `terminal` and `terminal_plot` draw for a text screen; `plots`
draws with Altair. Whatever computes stands before this room, the command line after it.
"""

from __future__ import annotations

from .export import check, endings, render, write

__all__ = ["check", "endings", "render", "write"]
