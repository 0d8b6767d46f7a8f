"""From a purchase price to a million tokens, step by step, and the ways to price the hour side by side.

The steps sum to the answer's own cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import TokcalcError
from .cost import waterfall
from .hour import Hour, Terms, chip_hour

if TYPE_CHECKING:
    from ..hardware.chip import Chip

Rows = tuple[Mapping[str, Any], ...]
# Input of Ownership, its name in words, its unit ({} is the currency); in the order of the arithmetic.
_INPUTS = (
    ("purchase", "purchase of a chip with its host", "{}"),
    ("network_share", "network, of machines and network", "1"),
    ("life_years", "life", "years"),
    ("residual_share", "left at the end", "1"),
    ("cost_of_capital", "cost of capital", "1/year"),
    ("power_w", "power with its host, mean", "W"),
    ("pue", "PUE", ""),
    ("electricity", "electricity", "{}/kWh"),
    ("colo_kw_month", "space", "{}/kW-month"),
    ("staff_share", "staff and spares a year", "1"),
)


@dataclass(frozen=True)
class Breakdown:
    """What `tokcalc cost` shows: the hour that is charged, the other ways, and rows of the waterfall.

    steps: name, money per chip-hour, money per million output tokens (the output's share of the hour), share.
    purchase: the inputs of ownership with the price behind each.
    """

    hour: Hour
    ways: tuple[Hour, ...]
    steps: Rows
    purchase: Rows


def breakdown(answer: Mapping[str, Any], chip: Chip, terms: Terms) -> Breakdown:
    """The parts of the answer's cost. NoAnswer when no way has a price."""
    watts, count = answer["energy"], answer["deployment"]["chips"]
    mean, rated = (watts.get(key) for key in ("system_power_w", "system_rated_w"))
    power = (mean / count if mean else None, rated / count if rated else None)
    ways = [chip_hour(chip, terms, *power)]
    rented, bought = replace(terms, rent=None, own=None), replace(terms, rent=None, price=None, own=terms.own or {})
    for other in (rented, bought):
        with suppress(TokcalcError):
            found = chip_hour(chip, other, *power)
            if found.way not in {way.way for way in ways}:
                ways.append(found)
    return Breakdown(ways[0], tuple(ways), _steps(answer, ways[0]), _purchase(ways[0]))


def _steps(answer: Mapping[str, Any], hour: Hour) -> Rows:
    """Each part of a chip-hour carried to a million output tokens; the last row is the whole."""
    count, used = answer["deployment"]["chips"], answer["workload"]["utilisation"]
    rate = answer["speed"]["output_tok_s"]["value"]
    every = waterfall([("", hour.value * count)], rate, used)[-1].per_million
    share = answer["cost"]["per_m_output"] / every if every else 0.0
    steps = waterfall([(name, money * count) for name, money in hour.parts if money], rate, used)
    whole = steps[-1].per_million
    return tuple(
        {
            "step": step.name,
            "per_chip_hour": step.per_hour / count,
            "per_m_output": step.per_million * share,
            "share": step.per_million / whole if whole else 0.0,
        }
        for step in steps
    )


def _purchase(hour: Hour) -> Rows:
    """The inputs of ownership, with the price behind each that nobody gave."""
    if hour.owned is None:
        return ()
    inputs, prices = hour.owned.inputs, hour.owned.prices
    found = []
    for key, name, unit in _INPUTS:
        price, value = prices.get(key), float(getattr(inputs, key))
        row = {"input": name, "key": key, "value": value, "unit": unit.format(hour.currency)}
        if price is None or (key != "purchase" and value != price.value):
            row |= dict.fromkeys(("low", "high", "date", "grade")) | {"basis": "given or none"}
        else:
            scale = value / price.value if price.value else 1.0
            row |= {
                "low": price.low * scale,
                "high": price.high * scale,
                "date": price.date.isoformat(),
                "grade": price.grade,
                "basis": price.basis,
            }
        found.append(row)
    return tuple(found)
