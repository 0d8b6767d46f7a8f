"""Shipped TOML tables (constants, bands, evidence) by folder and name, parsed once and kept as JSON by content.

The rooms that own a table ask here, so that a warm command parses no TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
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
    if found is None:
        import tomllib

        found = {section: _plain(value) for section, value in tomllib.loads(raw.decode("utf-8")).items()}
        cache.put("tables", key, found)
    return found


FITTED = ("gpus", "accelerators", "power", "bands")
"""Files of specs/fitted, each written whole by `tokcalc calibrate --what NAME`."""


def laid_over(section: str, *starts: str, fitted: bool = True) -> dict[str, Any]:
    """Constants as they are used: [SECTION] of the fitted files laid over the hand-set specs/engines/START.toml.

    Tables are joined key by key; where several speak, the fitted one is right, then the starts in their order.
    fitted False: the starts alone, which a fit begins from and is pulled to.
    """
    found: dict[str, Any] = {}
    tables = [spec_table("fitted", name).get(section, {}) for name in FITTED if fitted]
    for table in (*tables, *(spec_table("engines", name) for name in starts)):
        found = joined(found, table)
    return found


def joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables, key by key; where both have a number, a text or a list, the first is right.

    >>> joined({"gemm": {"t0_us": 3.0}}, {"gemm": {"t0_us": 5.0, "p": 2.0}})
    {'gemm': {'t0_us': 3.0, 'p': 2.0}}
    """
    out = dict(first)
    for key, value in second.items():
        if key not in out:
            out[key] = value
        elif isinstance(value, Mapping) and isinstance(out[key], Mapping):
            out[key] = joined(out[key], value)
    return out


@lru_cache(maxsize=32)
def spec_table(folder: str, name: str) -> Mapping[str, Any]:
    """The table specs/FOLDER/NAME.toml, read once; empty where there is no such file."""
    return shipped_table(folder, f"{name}.toml") or {}


def _plain(value: Any) -> Any:
    """Tables and lists with dates as YYYY-MM-DD, as JSON keeps them."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def planning() -> Mapping[str, Any]:
    """Sections "fleet", "grade_range" and "range" of specs/prices/planning.toml."""
    return spec_table("prices", "planning")
