"""Excel: typed cells, units in a frozen header row, text never run as a formula."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import re
from datetime import datetime
from typing import Any, BinaryIO

from ..errors import UsageError
from .export import need
from .rows import Column, Table, cell_text, is_number

# Limits of the format: https://support.microsoft.com/office/excel-specifications-and-limits
MOST_ROWS, MOST_COLUMNS, MOST_TEXT = 1_048_576, 16_384, 32_767
WIDEST = 60
ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udfff]")
RUNS = ("=", "+", "-", "@")


def dump(table: Table, stream: BinaryIO) -> None:
    """Write the table as one sheet.

    Raises UsageError when it is larger than a sheet, or when openpyxl is missing.
    """
    need("openpyxl", "writing .xlsx", "export")
    from openpyxl import Workbook

    if table.length + 1 > MOST_ROWS or len(table.columns) > MOST_COLUMNS:
        raise UsageError(
            f"a sheet holds {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns and this table has "
            f"{table.length + 1:,} and {len(table.columns):,}; write .parquet or .csv instead."
        )
    book = Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\[\]:*?/\\']", " ", _legal(table.title or "")).strip()[:31] or "tokcalc")
    if table.title:
        book.properties.title = _legal(table.title)
    book.properties.creator = "tokcalc"
    whole = io.BytesIO()
    try:
        _fill(sheet, table)
        book.save(whole)
    except Exception as error:
        _abandon(sheet)
        raise _as_system_error(error) from error
    stream.write(whole.getvalue())


def _fill(sheet: Any, table: Table) -> None:
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet.freeze_panes = "A2"
    for place, column in enumerate(table.columns, start=1):
        sheet.column_dimensions[get_column_letter(place)].width = _width(column)
    if table.columns:
        header = [_text_cell(sheet, column.heading) for column in table.columns]
        for cell in header:
            cell.font = Font(bold=True)
        sheet.append(header)
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(table.columns))}{table.length + 1}"
    for row in table.rows():
        sheet.append([_cell(sheet, value) for value in row])


def _abandon(sheet: Any) -> None:
    """Close the streams of a failed sheet, which would else complain on stderr when they are collected."""
    writer = getattr(sheet, "_writer", None)
    for stream in (getattr(sheet, "_rows", None), getattr(writer, "xf", None)):
        with contextlib.suppress(Exception):
            stream.close()  # type: ignore[union-attr]
    with contextlib.suppress(Exception):
        writer.cleanup()  # type: ignore[union-attr]


def _as_system_error(error: Exception) -> Exception:
    """openpyxl streams through lxml, which reports a full disk as a SerialisationError named IO_ENOSPC."""
    if type(error).__name__ != "SerialisationError":
        return error
    code = getattr(errno, str(error).removeprefix("IO_"), errno.EIO)
    return OSError(code, os.strerror(code))


def _cell(sheet: Any, value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else _text_cell(sheet, "-inf")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    if isinstance(value, str):
        return _text_cell(sheet, value)
    return value


def _text_cell(sheet: Any, value: str) -> Any:
    """A cell of text whatever it begins with; the quote prefix keeps it text when a person edits it."""
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, _legal(value)[:MOST_TEXT])
    cell.data_type = "s"
    if value.startswith(RUNS):
        cell.quotePrefix = True
    return cell


def _legal(value: str) -> str:
    return ILLEGAL.sub("\ufffd", value)


def _width(column: Column) -> float:
    sample = [column.heading, *(cell_text(value) for value in column.values[:1000])]
    longest = max(len(text) for text in sample)
    return min(WIDEST, longest + (3 if is_number(column.values[0] if column.values else None) else 2))
