"""JSON: a list of one object per row; missing values and infinities are null."""

from __future__ import annotations

import json

from .rows import Table, jsonable


def text(table: Table) -> str:
    """The table as JSON text, one row a line so that a diff shows rows."""
    keys = [column.key for column in table.columns]
    lines = [
        json.dumps({key: jsonable(value) for key, value in zip(keys, row, strict=True)}, ensure_ascii=False)
        for row in table.rows()
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
