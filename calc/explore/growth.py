"""A fleet over years: demand grows, machines get cheaper, each year buys what is missing.

Before: fleet.py. After: `tokcalc fleet --years`. Machines bought earlier stay in use to the end of the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..checks import positive, share
from ..errors import UsageError
from .fleet import Demand, Unit, for_demand


@dataclass(frozen=True)
class Year:
    """One year: demand, machines in use and bought, money spent and to run, cost per million output."""

    year: int
    output_per_day: float
    units: int
    bought: int
    chips: int
    site_mw: float
    spent: float
    running: float
    per_m_output: float


def grow(
    unit: Unit, demand: Demand, first_year: int, years: int, growth: float, price_decline: float, reserve: float = 0.0
) -> list[Year]:
    """The table of years. growth: demand of a year over the year before; price_decline: of new machines, a
    year.

    Machines, network and rent fall in price by the factor (1 - price_decline) a year; power and space do not.
    UsageError for a growth of zero or below, a decline outside 0..1, or no year.
    """
    positive(growth, "The growth of demand")
    share(price_decline, "The yearly price decline")
    if growth > 100:
        raise UsageError(f"The growth of demand must be at most 100 times a year, not {growth:g}.")
    if years < 1 or years > 50:
        raise UsageError(f"--years {years} is not between 1 and 50.")
    table: list[Year] = []
    owned: list[tuple[int, float]] = []
    for n in range(years):
        cheaper = (1.0 - price_decline) ** n
        wanted = replace(
            demand, output_per_day=demand.output_per_day * growth**n, input_per_day=demand.input_per_day * growth**n
        )
        need = for_demand(unit, wanted, reserve)
        have = sum(units for units, _ in owned)
        bought = max(0, need.units - have)
        owned.append((bought, cheaper))
        units = have + bought
        mean_price = sum(count * factor for count, factor in owned) / units
        running = dict(for_demand(unit, wanted, reserve).yearly)
        if units > need.units:
            running = {name: money * units / need.units for name, money in running.items()}
        wear = running.pop("wear and capital", 0.0) * mean_price
        rent = running.pop("rent", 0.0) * cheaper
        total = sum(running.values()) + wear + rent
        out = wanted.output_per_day * 365.25 / 1e6
        table.append(
            Year(
                first_year + n,
                wanted.output_per_day,
                units,
                bought,
                units * unit.chips,
                unit.rated_w * unit.pue * units / 1e6,
                bought * unit.upfront_total * cheaper,
                sum(running.values()) + rent,
                total * (1.0 - unit.prefill_share) / out,
            )
        )
    return table


def plot_rows(table: list[Year], series: str) -> list[Mapping[str, Any]]:
    """Rows for the growth plot: cost per million output tokens by year, later years as projected."""
    first = table[0].year if table else math.nan
    return [
        {"year": row.year, "value": row.per_m_output, "series": series, "projected": row.year > first} for row in table
    ]
