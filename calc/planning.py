"""What a plan assumes when nobody says: the table of specs/prices/planning.toml, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(maxsize=1)
def planning() -> Mapping[str, Any]:
    """Sections "fleet", "grade_range" and "range" of the file."""
    text = (files("tokcalc.specs") / "prices" / "planning.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
