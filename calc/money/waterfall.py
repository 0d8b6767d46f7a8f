"""From a purchase price to a million tokens, step by step, and the ways to price the hour side by side.

Before: an answer (`loading.loaded`) and hourly.py. After: `tokcalc cost`. The steps sum to the answer's own
cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import TokcalcError
from .cost import waterfall
from .hour import Hour, Terms, chip_hour, own_hour

if TYPE_CHECKING:
    from ..hardware.chip import Chip


@dataclass(frozen=True)
class Breakdown:
    """What `tokcalc cost` shows: the hour that is charged, the other ways, and rows of the waterfall.

    steps: name, money per chip-hour, money per million output tokens (the output's share of the hour), share.
    """

    hour: Hour
    ways: tuple[Hour, ...]
    steps: tuple[Mapping[str, Any], ...]
    purchase: tuple[Mapping[str, Any], ...]


def breakdown(answer: Mapping[str, Any], chip: Chip, terms: Terms) -> Breakdown:
    """The parts of the answer's cost. NoAnswer when no way has a price."""
    watts, count = answer["energy"], answer["deployment"]["chips"]
    mean, rated = (watts.get(key) for key in ("system_power_w", "system_rated_w"))
    power = (mean / count if mean else None, rated / count if rated else None)
    hour = chip_hour(chip, terms, *power)
    ways = [hour]
    rented, bought = (replace(terms, rent=None, own=None), replace(terms, rent=None, price=None, own=terms.own or {}))
    for other in (rented, bought):
        try:
            if other.own is not None:
                found = own_hour(chip, other, *power, borrow=True)
            else:
                found = chip_hour(chip, other, *power)
        except TokcalcError:
            continue
        if found is not None and found.way not in {way.way for way in ways}:
            ways.append(found)
    return Breakdown(hour, tuple(ways), _steps(answer, hour), _purchase(hour))


def _steps(answer: Mapping[str, Any], hour: Hour) -> tuple[Mapping[str, Any], ...]:
    """Each part of a chip-hour carried to a million output tokens; the last row is the whole."""
    count, used = answer["deployment"]["chips"], answer["workload"]["utilisation"]
    rate = answer["speed"]["output_tok_s"]["value"]
    every = waterfall([("", hour.value * count)], rate, used)[-1].per_million
    share = answer["cost"]["per_m_output"] / every if every else 0.0
    steps = waterfall([(name, money * count) for name, money in hour.parts if money], rate, used)
    whole = steps[-1].per_million
    rows = [
        {
            "step": step.name, "per_chip_hour": step.per_hour / count,
            "per_m_output": step.per_million * share, "share": step.per_million / whole if whole else 0.0,
        }
        for step in steps
    ]  # fmt: skip
    return tuple(rows)


def _purchase(hour: Hour) -> tuple[Mapping[str, Any], ...]:
    """The inputs of ownership with the price behind each, in the order of the arithmetic."""
    if hour.owned is None:
        return ()
    inputs, prices = hour.owned.inputs, hour.owned.prices
    names = (
        ("purchase", "purchase of a chip with its host", hour.currency),
        ("network_share", "network, of machines and network", "1"),
        ("life_years", "life", "years"),
        ("residual_share", "left at the end", "1"),
        ("cost_of_capital", "cost of capital", "1/year"),
        ("power_w", "power with its host, mean", "W"),
        ("pue", "PUE", ""),
        ("electricity", "electricity", f"{hour.currency}/kWh"),
        ("colo_kw_month", "space", f"{hour.currency}/kW-month"),
        ("staff_share", "staff and spares a year", "1"),
    )
    rows = []
    for key, name, unit in names:
        price = prices.get(key)
        value = float(getattr(inputs, key))
        mine = price is not None and (key == "purchase" or value == price.value)
        scale = value / price.value if mine and price is not None and price.value else 1.0
        rows.append(
            {
                "input": name, "key": key, "value": value, "unit": unit,
                "low": price.low * scale if mine and price is not None else None,
                "high": price.high * scale if mine and price is not None else None,
                "date": price.date.isoformat() if mine and price is not None else None,
                "grade": price.grade if mine and price is not None else None,
                "basis": (price.basis if price is not None else "") if mine else "given or none",
            }
        )  # fmt: skip
    return tuple(rows)
