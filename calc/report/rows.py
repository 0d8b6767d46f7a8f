"""Rows as every format takes them: named columns with a label, a unit and plain Python values.

A missing value, whether None, NaN, NaT or a key that a row lacks, is None from here on.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from ..errors import UsageError

Columns = Sequence[str] | Mapping[str, str]

# A field carries its unit at the end of its name; the longest ending wins.
UNIT_ENDINGS = {
    "_tok_s_user": "tok/s/user",
    "_tok_s_chip": "tok/s/chip",
    "_tok_s": "tok/s",
    "_tok_j": "tok/J",
    "_bytes_s": "B/s",
    "_bytes": "B",
    "_bit_s": "bit/s",
    "_ops_s": "op/s",
    "_flops": "FLOP",
    "_ms": "ms",
    "_us": "us",
    "_s": "s",
    "_w": "W",
    "_kw": "kW",
    "_mw": "MW",
    "_j": "J",
    "_kwh": "kWh",
    "_usd": "USD",
    "_eur": "EUR",
    "_percent": "%",
    "joule_per_output_token": "J/tok",
    "joule_per_input_token": "J/tok",
    "joule_per_token": "J/tok",
}


@dataclass(frozen=True)
class Column:
    """One column: `key` names it for programs, `label` for people; `values` are plain Python values."""

    key: str
    label: str
    unit: str | None
    values: list[Any]

    @property
    def heading(self) -> str:
        """The label with its unit in brackets: `tpot_s (s)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def numeric(self) -> bool:
        """True when every value present is a number, and one is."""
        present = [value for value in self.values if value is not None]
        return bool(present) and all(is_number(value) for value in present)


@dataclass(frozen=True)
class Table:
    """Columns of equal length under an optional title."""

    columns: list[Column]
    title: str | None = None
    length: int = field(default=0)

    def rows(self) -> Iterable[tuple[Any, ...]]:
        """Row after row, the values in the order of the columns."""
        if not self.columns:
            return iter([()] * self.length)
        return zip(*(column.values for column in self.columns), strict=True)


def is_number(value: Any) -> bool:
    """True for int and float, not for bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def unit_of(key: str) -> str | None:
    """The unit that the ending of a field's name states, or None.

    `speed.output_tok_s_user.value`, `.low` and `.high` have the unit of `speed.output_tok_s_user`.
    """
    parts = key.split(".")
    name = parts[-2] if len(parts) > 1 and parts[-1] in ("value", "low", "high") else parts[-1]
    for suffix in ("_value", "_low", "_high"):
        name = name.removesuffix(suffix)
    fitting = [ending for ending in UNIT_ENDINGS if name.endswith(ending) or "_" + name == ending]
    return UNIT_ENDINGS[max(fitting, key=len)] if fitting else None


def plain(value: Any) -> Any:
    """One value as None, bool, int, float, str, date, time or datetime; containers become JSON text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, datetime):
        if value != value:  # NaT is a datetime which differs from itself
            return None
        to_python = getattr(value, "to_pydatetime", None)
        return to_python(warn=False) if to_python else value
    if isinstance(value, date | time):
        return value
    if isinstance(value, dict | list | tuple | set | frozenset):
        return json.dumps(jsonable(value), ensure_ascii=False)
    kind = type(value)
    if kind.__module__.split(".")[0] == "numpy":
        if kind.__name__ == "datetime64":
            return plain(value.astype("datetime64[us]").item())
        return plain(value.tolist())
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if kind.__name__ in ("Decimal", "Fraction"):
        return plain(float(value))
    return str(value)


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: containers kept, dates as ISO text, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return [jsonable(item) for item in sorted(value, key=str)]
    value = plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    return value


def records(rows: Any) -> list[dict[str, Any]]:
    """Rows (list of mappings, one mapping, or DataFrame) as a list of dictionaries, values untouched."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        found: list[dict[str, Any]] = _flat_frame(rows).to_dict(orient="records")
        return [{str(key): value for key, value in row.items()} for row in found]
    if isinstance(rows, Mapping):
        return [dict(rows)]
    return [dict(row) for row in rows]


def as_table(
    rows: Any,
    columns: Columns | None = None,
    title: str | None = None,
    units: Mapping[str, str] | None = None,
    *,
    keep_containers: bool = False,
) -> Table:
    """Rows as a Table.

    columns: the keys to keep, in order; a mapping gives each its label. None keeps all, in order of
    appearance.
    units: unit of a key; others are read off the ending of the key, and a unit of "" leaves it without.
    keep_containers: lists and dictionaries stay, for JSON; elsewhere they become JSON text.
    Raises UsageError for a column which no row has.
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        frame = _flat_frame(rows)
        length = len(frame)
        units = {**getattr(rows, "attrs", {}).get("units", {}), **(units or {})}
        raw: dict[str, list[Any]] = {str(key): frame.iloc[:, place].tolist() for place, key in enumerate(frame.columns)}
    else:
        found = records(rows)
        length = len(found)
        keys = dict.fromkeys(str(key) for row in found for key in row)
        found = [{str(key): value for key, value in row.items()} for row in found]
        raw = {key: [row.get(key) for row in found] for key in keys}
    wanted = list(raw) if columns is None else list(columns)
    labels = dict(columns) if isinstance(columns, Mapping) else {}
    unit_by_key = units or {}
    made = []
    for key in wanted:
        if key not in raw and length:
            near = difflib.get_close_matches(key, raw, n=3, cutoff=0.5) or list(raw)[:8]
            raise UsageError(f"no column {key!r} in this table; nearest: {', '.join(near)}.")
        values = raw.get(key, [])
        kept = values if keep_containers else [plain(value) for value in values]
        unit = unit_by_key[key] if key in unit_by_key else unit_of(key)
        made.append(Column(key, labels.get(key, key), unit or None, kept))
    return Table(made, title, length)


def number_text(value: int | float) -> str:
    """A number for people: integers whole, others to six significant digits, an exponent where needed."""
    if isinstance(value, int):
        return str(value)
    size = abs(value)
    if math.isfinite(value) and 1e5 <= size < 1e15:
        return f"{value:.0f}"
    return f"{value:.6g}"


def cell_text(value: Any) -> str:
    """Any plain value as text for people; None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_number(value):
        return number_text(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def _flat_frame(frame: Any) -> Any:
    """A DataFrame with a named index moved into its columns; a nameless index says nothing and goes."""
    if any(name is not None for name in frame.index.names):
        return frame.reset_index()
    return frame
