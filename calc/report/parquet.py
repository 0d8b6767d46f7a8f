"""Parquet: one typed column per key; units in the metadata of the fields, the title in that of the schema."""

from __future__ import annotations

from typing import Any, BinaryIO

from .export import need
from .rows import Table, cell_text, is_number


def dump(table: Table, stream: BinaryIO) -> None:
    """Write the table with pyarrow.

    Raises UsageError when pyarrow is missing.
    """
    need("pyarrow", "writing .parquet", "export")
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [_array(column.values) for column in table.columns]
    fields = [
        pa.field(column.key, array.type, metadata={"unit": column.unit} if column.unit else None)
        for column, array in zip(table.columns, arrays, strict=True)
    ]
    schema = pa.schema(fields, metadata={"title": table.title} if table.title else None)
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), stream, compression="zstd")


def _array(values: list[Any]) -> Any:
    """The values in the narrowest type that holds them all: integers, floats, dates, else text."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
        if all(value is None or is_number(value) for value in values):
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        texts = [None if value is None else cell_text(value) for value in values]
        return pa.array([None if item is None else item.encode("utf-8", "replace").decode() for item in texts])
