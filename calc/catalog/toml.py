"""TOML text of nested tables: the one writer of spec files that programs write (the standard library only reads)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from os import PathLike
from typing import Any

from ..report.files import whole_file

_WIDTH = 120
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(path: str | PathLike[str], head: str, tables: Mapping[str, Any]) -> None:
    """Write a whole file: a comment of lines, then the tables. What stood there is replaced, comments and all."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    with whole_file(path) as part:
        part.write_text(f"{comment}\n{to_toml(tables)}", encoding="utf-8")


def to_toml(tables: Mapping[str, Any]) -> str:
    """Nested tables of numbers, texts, booleans, dates and flat lists as TOML; innermost ones that fit stand in a line.

    >>> print(to_toml({"gemm": {"hopper": {"bf16": {"t0_us": 3.5, "eta_m": 0.83}}}}), end="")
    [gemm.hopper]
    bf16 = { t0_us = 3.5, eta_m = 0.83 }
    """
    return "\n\n".join("\n".join(lines) for lines in _blocks(tables, "")) + "\n"


def _blocks(tables: Mapping[str, Any], path: str) -> Iterator[list[str]]:
    """A table's own lines, then those of the tables in it."""
    own = [f"[{path}]"] if path else []
    deeper: list[list[str]] = []
    for key, value in tables.items():
        line = f"{_key(key)} = {_value(value)}"
        inner = value.values() if isinstance(value, Mapping) else ()
        if any(isinstance(item, Mapping) for item in inner) or (inner and len(line) > _WIDTH):
            deeper += _blocks(value, f"{path}.{_key(key)}" if path else _key(key))
        else:
            own.append(line if len(line) <= _WIDTH else f"{_key(key)} = {_tall(value)}")
    if own[1:] or (own and not path):
        yield own
    yield from deeper


def rounded(value: float, digits: int = 4) -> float:
    """A number to so many significant digits, as files keep it. 0.123456: 0.1235.

    >>> rounded(0.123456), rounded(20000.4)
    (0.1235, 20000.0)
    """
    return float(f"{value:.{digits}g}")


def _key(name: object) -> str:
    text = str(name)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(float(value))
    return str(value) if isinstance(value, int | date) else json.dumps(str(value), ensure_ascii=False)


def _tall(value: object) -> str:
    if not isinstance(value, list | tuple):
        return _value(value)
    lines = ["   "]
    for item in map(_value, value):
        if lines[-1].strip() and len(lines[-1]) + len(item) + 2 > _WIDTH:
            lines.append("   ")
        lines[-1] += f" {item},"
    return "\n".join(("[", *lines, "]"))
