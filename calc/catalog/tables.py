"""Shipped TOML tables (constants, bands, evidence) by folder and name, parsed once and kept as JSON by content.

Stands beside `load`; the rooms that own a table ask here, so that a warm command parses no TOML.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from . import cache
from .files import builtin_folder


def shipped_table(folder: str, name: str) -> dict[str, Any] | None:
    """The parsed table specs/FOLDER/NAME with dates as texts, None where there is no such file."""
    try:
        raw = (builtin_folder(folder) / name).read_bytes()
    except OSError:
        return None
    key = cache.key("table", raw)
    found = cache.get("tables", key)
    if not isinstance(found, dict):
        import tomllib

        found = _plain(tomllib.loads(raw.decode("utf-8")))
        cache.put("tables", key, found)
    return dict(found)


def _plain(value: Any) -> Any:
    """Tables and lists with dates as YYYY-MM-DD, as JSON keeps them."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


@lru_cache(maxsize=1)
def planning() -> Mapping[str, Any]:
    """Sections "fleet", "grade_range" and "range" of the file."""
    text = (files("tokcalc.specs") / "prices" / "planning.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
