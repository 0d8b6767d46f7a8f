"""What `tokcalc chips`, `models` and `memory` share: read all specs of a kind, filter, print or export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from ..errors import SpecError, UsageError
from . import options as o
from .output import Output, print_json, tell
from .table import Column, tabulate
from .text import width

Row = dict[str, Any]


def read_all(kind: str, load: Callable[[str], Any]) -> list[Any]:
    """Every spec of a kind; a user's broken file is named on stderr and passed over."""
    from ..catalog import list_ids

    found = []
    for name in list_ids(kind):
        try:
            found.append(load(name))
        except SpecError as error:
            tell(f"tokcalc: passed over: {error}")
    return found


def matching(option: str, wanted: str | None, values: Iterable[str]) -> Callable[[str], bool]:
    """A test of a text column: equal to one of the comma-separated words, or containing it, in any case.

    Raises UsageError with the nearest values where a word matches none of `values`.
    """
    if wanted is None:
        return lambda value: True
    known = sorted(set(values))
    chosen: set[str] = set()
    for word in (part.strip().lower() for part in wanted.split(",")):
        hits = {v for v in known if v.lower() == word} or {v for v in known if word and word in v.lower()}
        if not hits:
            near = get_close_matches(word, [v.lower() for v in known], n=3, cutoff=0.5)
            names = [v for v in known if v.lower() in near] or known[:12]
            more = " ..." if not near and len(known) > 12 else ""
            raise UsageError(f"{option} '{word}' matches none; there are {', '.join(names)}{more}")
        chosen |= hits
    return lambda value: value in chosen


def years(wanted: str | None) -> Callable[[int | None], bool]:
    """A test of a year: "2024", "2023-2025", "2024-" or "-2022"."""
    if wanted is None:
        return lambda year: True
    first, dash, last = wanted.strip().partition("-")
    bounds = (first, last if dash else first)
    if not any(bounds) or not all(part == "" or (part.isdecimal() and len(part) == 4) for part in bounds):
        raise UsageError(f"--year '{wanted}' is no year; write 2024, 2023-2025, 2024- or -2022")
    low, high = int(bounds[0] or 0), int(bounds[1] or 9999)
    if low > high:
        raise UsageError(f"--year '{wanted}' ends before it begins; write {last}-{first}")
    return lambda year: year is not None and low <= year <= high


class Filters(o.Group):
    """Which rows are kept: by the columns of the same names."""

    kind: o.Text = o.option(None, "Of this kind.", "KIND")
    year: o.Text = o.option(None, "2024, 2023-2025, 2024- or -2022.", "YEAR")

    def kept(self, rows: Sequence[Row]) -> list[Row]:
        wanted = {key: getattr(self, key, None) for key in ("vendor", "kind")}
        tests = {key: matching(f"--{key}", word, (row.get(key, "") for row in rows)) for key, word in wanted.items()}
        fits = years(self.year)
        return [row for row in rows if all(test(row.get(key, "")) for key, test in tests.items()) and fits(row["year"])]


def show(rows: Sequence[Row], columns: Sequence[Column], out: Output) -> None:
    """The rows as JSON or as a table that fits the terminal, and as files."""
    out.write(rows)
    if out.json_:
        print_json(rows)
    elif not rows:
        tell("nothing matches all filters")
    else:
        print(tabulate(columns, rows, width()))
        tell(f"{len(rows)} listed; `tokcalc show NAME` prints one with its sources")
