"""Measured rows of price: what their source says of a point on a frontier, of its hour, and what we make of it.

Notes are read here. A number after a tilde at a note's end is the requests in flight of the point: with the
speed of a user and the rate of a chip it gives 8.6 to 9.3 chips for every point of an eight-chip box.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ..errors import TokcalcError
from ..money.cost import per_million
from .frontier import NONE, Found, Point, best_rate, frontier_table, usd_per_hour

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from .rows.cases import Block

_FLIGHT = re.compile(r"~(\d+)$|(\d+) requests in flight")
_HOUR = re.compile(r"\$([\d.]+)/\w*-?h")


def point_of(block: Block, i: int) -> Point:
    """The point of row i: a price without a speed is taken at that of frontier.toml, large systems as pools."""
    note, said = str(block.note[i]), float(block.drafting_said[i])
    told = _FLIGHT.search(note)
    flight = float(told[1] or told[2]) if told else np.inf
    speed, pooled = float(block.user_speed[i]), True if "disaggregated" in note else None
    if speed != speed:
        speed = float(frontier_table()["user_speed"])
        pooled = True if _chips(block, i) >= frontier_table()["pooled_chips"] else pooled
    drafted = None if said != said else bool(said)
    return Point(float(block.isl[i]), float(block.osl[i]), speed, flight, drafted, pooled)


def _chips(block: Block, i: int) -> float:
    return float(block.plan.at(i).chips * block.replicas[i])


def stated_hour(note: str) -> float | None:
    """USD of a chip's hour that a note prints; None where it prints none.

    >>> stated_hour("at $2.65/GPU-h, about 6000 tok/s/GPU")
    2.65
    """
    found = _HOUR.search(note)
    return float(found[1]) if found else None


def found_of(block: Block, i: int, constants: Constants, known: dict[Point, Found]) -> Found:
    """The best layout of row i; `known` keeps those of points already searched in this block."""
    point = point_of(block, i)
    if point not in known:
        known[point] = best_rate(block.chip, block.model, block.formats, constants, point)
    return known[point]


def paid_rate(found: Found, point: Point, metric: str) -> float:
    """Tokens per second and chip that a price is of: all of them, or the output alone."""
    return found.rate * (point.osl / (point.isl + point.osl) if metric == "usd_per_m_output" else 1.0)


def price_value(
    block: Block, i: int, constants: Constants, known: dict[Point, Found], date: str | None
) -> tuple[float, str]:
    """(value in the row's unit, reason where there is none) of row i: a rate per chip, or USD per million.

    The hour is the stated one, else what owning the chip costs on that day.
    """
    found = found_of(block, i, constants, known)
    metric, point = str(block.metric[i]), point_of(block, i)
    if found is NONE:
        return np.nan, f"no layout that is tried gives one user {point.user:g} tokens per second"
    if metric == "total_tok_s":
        return found.rate * _chips(block, i), ""
    stated = stated_hour(str(block.note[i]))
    try:
        hour = usd_per_hour(block.chip, date) if stated is None else stated
    except TokcalcError as error:
        return np.nan, str(error)
    return float(per_million(hour, paid_rate(found, point, metric))), ""
