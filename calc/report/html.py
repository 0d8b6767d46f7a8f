"""HTML: one self-contained page with the table; a link only where the value is a web address."""

from __future__ import annotations

import re
from html import escape as escape_html
from typing import Any

from .rows import Table, cell_text, is_number

STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.45 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK KR", "Malgun Gothic",
       sans-serif; margin: 1.5rem; }
h1 { font-size: 1.25rem; }
table { border-collapse: collapse; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; border-bottom: 2px solid #888; }
.unit { font-weight: normal; opacity: .75; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""
ADDRESS = re.compile(r"https?://[^\s\"'<>]+\Z", re.ASCII)
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def text(table: Table) -> str:
    """The table as a whole HTML page; a number carries its full precision in `data-value`."""
    title = _escape(table.title or "tokcalc")
    head = "".join(
        f"<th{_class(column.numeric)}>{_escape(column.label)}{_unit(column.unit)}</th>" for column in table.columns
    )
    body = "\n".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in table.rows())
    heading = f"<h1>{title}</h1>\n" if table.title else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{heading}"
        f"<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</body>\n</html>\n"
    )


def _escape(value: str) -> str:
    return escape_html(FORBIDDEN.sub("\ufffd", value))


def _class(numeric: bool) -> str:
    return ' class="n"' if numeric else ""


def _unit(unit: str | None) -> str:
    return f' <span class="unit">({_escape(unit)})</span>' if unit else ""


def _cell(value: Any) -> str:
    shown = _escape(cell_text(value))
    if is_number(value):
        return f'<td class="n" data-value="{value!r}">{shown}</td>'
    if isinstance(value, str) and ADDRESS.match(value):
        return f'<td><a href="{shown}">{shown}</a></td>'
    return f"<td>{shown}</td>"
