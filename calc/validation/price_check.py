"""Published costs per million tokens against this program's (`tokcalc validate --prices`).

Each row of metric usd_per_m_output or usd_per_m_total is recomputed four ways, so that one can see where an
error comes from: the arithmetic (their hour, their throughput), the hour (ours, owned), the speed (ours, on
the best layout at their speed of a user), and both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..engines.constants import load_constants
from ..errors import TokcalcError
from ..money.cost import per_million
from .frontier import Found, Point, usd_per_hour
from .prices import found_of, paid_rate, point_of, stated_hour
from .rows.cases import gather

if TYPE_CHECKING:
    from ..hardware.chip import Chip

Row = Mapping[Any, Any]
_SPEED = re.compile(r"\bat (\S+) tok/s(?:/| per )user")
_RATE = re.compile(r"about ([\d.]+) tok/s/GPU")
WAYS = ("arithmetic", "our hour", "our speed", "both ours")


@dataclass(frozen=True)
class Checked:
    """One published cost (USD per million) and what it is by each way; None where a way has no answer."""

    id: str
    chip: str
    model: str
    published: float
    found: Mapping[str, float | None]
    reason: str = ""  # why a way has no answer, else the layout behind our speed


def check(rows: pd.DataFrame) -> list[Checked]:
    """The priced rows among typed measured rows, recomputed."""
    rates = {
        _point_key(row): row["value"] / (row["chips"] if row["chips"] == row["chips"] else 1.0)
        for row in rows.to_dict("records")
        if row["metric"] == "total_tok_s" and row["regime"] == "price" and _SPEED.search(row["note"])
    }
    priced = rows[rows["metric"].str.startswith("usd_per_m")].reset_index(drop=True)
    constants, records = load_constants(), priced.to_dict("records")
    gathered = gather(priced, constants)
    none: dict[str, float | None] = dict.fromkeys(WAYS)
    empty = [Checked(row["id"], row["chip"], row["model"], row["value"], none) for row in records]
    out = {at: replace(empty[at], reason=reason) for at, reason in gathered.reasons.items()}
    for block in gathered.blocks:
        points: dict[Point, Found] = {}
        for i, at in enumerate(map(int, block.index)):
            layout = point_of(block, i), found_of(block, i, constants, points)
            found, reason = _ways(records[at], rates, block.chip, *layout)
            out[at] = replace(empty[at], found=found, reason=reason)
    return [out[at] for at in sorted(out)]


def _ways(
    row: Row, rates: Mapping[object, float], chip: Chip, point: Point, layout: Found
) -> tuple[dict[str, float | None], str]:
    """(cost by each way, why one has none or the layout behind our speed) of a priced row."""
    rate = _RATE.search(row["note"])
    measured = rates.get(_point_key(row)) if _SPEED.search(row["note"]) else float(rate[1]) if rate else None
    theirs = stated_hour(row["note"])
    if theirs is None and measured is not None:
        theirs = row["value"] * 3600 * measured / 1e6  # the hour that their cost and their throughput imply
    ours, reason = None, layout.words
    try:
        ours = usd_per_hour(chip, _day(row["date"]))
    except TokcalcError as error:
        reason = str(error)
    made: float | None = None
    if layout.rate == layout.rate:
        made = paid_rate(layout, point, row["metric"])
    else:
        reason = f"no layout that is tried gives one user {point.user:g} tokens per second"
    pairs = ((theirs, measured), (ours, measured), (theirs, made), (ours, made))
    found = {
        way: None if hour is None or tokens is None else float(per_million(hour, tokens))
        for way, (hour, tokens) in zip(WAYS, pairs, strict=True)
    }
    return found, reason


def _point_key(row: Row) -> object:
    """What a price and a rate of one point of a page share."""
    isl, speed = row["isl"], _SPEED.search(row["note"])
    return row["chip"], row["model"], isl if isl == isl else None, speed and speed[1], row["source"]


def _day(text: str) -> str | None:
    """A date of any precision as a day, years at their middle; None for none."""
    return None if not text else {4: f"{text}-07-01", 7: f"{text}-01"}.get(len(text), text)


def errors(found: Sequence[Checked], way: str) -> list[float]:
    """|recomputed / published - 1| of the rows that have an answer by this way."""
    values = [(item.found[way], item.published) for item in found]
    return [abs(value / published - 1) for value, published in values if value is not None]
