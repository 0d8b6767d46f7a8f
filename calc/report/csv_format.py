"""CSV: keys in the first row, numbers to full precision, text that a spreadsheet would run made harmless.

A line break within a cell is a line feed: a lone carriage return would end the row for many readers.
"""

from __future__ import annotations

import csv
import io
from datetime import date, time
from typing import Any

from .rows import Table

RUNS = ("=", "+", "-", "@", "\t", "\n")


def text(table: Table) -> str:
    """The table as CSV text, lines ended by a line feed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if table.columns:
        writer.writerow([harmless(column.key) for column in table.columns])
    writer.writerows([_cell(value) for value in row] for row in table.rows())
    return stream.getvalue()


def harmless(value: str) -> str:
    """A formula to a spreadsheet goes behind an apostrophe; other text, a number too, stays as it is.

    Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not value.startswith(RUNS):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(value.replace("\r\n", "\n").replace("\r", "\n"))
    if isinstance(value, date | time):
        return value.isoformat()
    return value
