"""Where a figure comes from and how much it is worth: sources and their grades."""

from __future__ import annotations

from dataclasses import dataclass

GRADES = "ABCD"


@dataclass(frozen=True, repr=False)
class Source:
    """Where a figure comes from: page, day it was read or published, grade A (vendor) to D (unconfirmed)."""

    url: str | None
    date: str
    grade: str
    covers: str = ""
    note: str = ""
