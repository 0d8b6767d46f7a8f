"""Measured rows of price: what their source says of a point on a frontier, of its hour, and what we make of it.

Notes are read here. A number after a tilde at a note's end is the requests in flight of the point: with the
speed of a user and the rate of a chip it gives 8.6 to 9.3 chips for every point of an eight-chip box.
Stands after `cases` and `frontier`, before `predict` and `money_check`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ..errors import TokcalcError
from .frontier import NONE, Found, Point, best_rate, frontier_table, usd_per_hour, usd_per_million

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from .rows.cases import Block

_FLIGHT = re.compile(r"~(\d+)$|(\d+) requests in flight")
_HOUR = re.compile(r"\$([\d.]+)/\w*-?h")


def point_of(block: Block, i: int) -> Point:
    """The point of row i: a price without a speed is taken at that of frontier.toml, large systems as pools."""
    note, said = str(block.note[i]), block.drafting_said[i]
    flight = _FLIGHT.search(note)
    speed = float(block.user_speed[i])
    pooled = True if "disaggregated" in note else None
    if speed != speed:
        speed = float(frontier_table()["user_speed"])
        chips = float(block.plan.at(i).chips * block.replicas[i])
        pooled = True if chips >= frontier_table()["pooled_chips"] else pooled
    return Point(
        float(block.isl[i]), float(block.osl[i]), speed, float(flight[1] or flight[2]) if flight else np.inf,
        None if said != said else bool(said), pooled,
    )  # fmt: skip


def stated_hour(note: str) -> float | None:
    """USD of a chip's hour that a note prints: "$2.65/GPU-h"; None where it prints none."""
    found = _HOUR.search(note)
    return float(found[1]) if found else None


def found_of(block: Block, i: int, constants: Constants, known: dict[Point, Found]) -> Found:
    """The best layout of row i; `known` keeps those of points already searched in this block."""
    point = point_of(block, i)
    if point not in known:
        known[point] = best_rate(block.chip, block.model, block.formats, constants, point)
    return known[point]


def hour_of(chip: Chip, note: str, date: str | None) -> float:
    """USD of a chip's hour: as the note states, else what owning it costs on that day (NoAnswer)."""
    stated = stated_hour(note)
    return usd_per_hour(chip, date) if stated is None else stated


def price_value(
    block: Block, i: int, constants: Constants, known: dict[Point, Found], date: str | None
) -> tuple[float, str]:
    """(value in the row's unit, reason where there is none) of row i: a rate per chip, or USD per million."""
    found = found_of(block, i, constants, known)
    metric, point = str(block.metric[i]), point_of(block, i)
    if found is NONE:
        return np.nan, f"no layout that is tried gives one user {point.user:g} tokens per second"
    if metric == "total_tok_s":
        return found.rate * float(block.plan.at(i).chips * block.replicas[i]), ""
    rate = found.rate
    if metric == "usd_per_m_output":
        rate *= point.osl / (point.isl + point.osl)
    try:
        return usd_per_million(rate, hour_of(block.chip, str(block.note[i]), date)), ""
    except TokcalcError as error:
        return np.nan, str(error)
