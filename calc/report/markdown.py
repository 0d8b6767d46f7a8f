"""Markdown: a GitHub table, numbers right-aligned, units in the header."""

from __future__ import annotations

import re

from .rows import Table, cell_text

SPECIAL = re.compile(r"([\\|`*\[\]<>$~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;))")


def text(table: Table) -> str:
    """The table as Markdown text, under a heading when it has a title."""
    lines = [f"### {escape(table.title)}", ""] if table.title else []
    if table.columns:
        lines.append(_line([escape(column.heading) for column in table.columns]))
        lines.append(_line(["---:" if column.numeric else "---" for column in table.columns]))
    lines += [_line([escape(cell_text(value)) for value in row]) for row in table.rows()]
    return "\n".join(lines) + "\n"


def escape(value: str) -> str:
    """Text that Markdown shows as it is: marks behind a backslash, a line break as `<br>`."""
    escaped = SPECIAL.sub(r"\\\1", value.strip())
    return re.sub(r"\r\n|\r|\n|\v|\f|\u2028|\u2029", "<br>", escaped)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
