"""Money and energy of a whole grid, by the rules of one answer: the price of an hour as a line, watts as
arrays.

A rented hour costs the same whatever the load; an owned one rises with the watts drawn, in a straight line.
Stands after `landscape`, `hourly` and `power`; sweep, atlas and planner stand on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import NoAnswer

if TYPE_CHECKING:
    from .chip import Chip
    from .landscape import Landscape
    from .model import Model

Array = Any


@dataclass(frozen=True)
class Price:
    """Money for an hour of one chip: fixed + per_watt x all-in watts of the chip; way as in `hourly`."""

    fixed: float
    per_watt: float
    way: str
    currency: str
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Watts:
    """Mean watts of a replica: of its chips, all-in while paid for; joules of the chips per output token."""

    chips_w: Array
    system_w: Array
    joule_per_output_token: Array


def price_line(chip: Chip, given: Mapping[str, Any]) -> Price | None:
    """The price of a chip by the money options of a question (rent, own, price, on, currency, fx, region).

    None where no price is known. Raises UsageError for contradictions, UnknownName for unknown terms.
    """
    from .hourly import Terms, chip_hour
    from .power import system_watts

    own = given.get("own")
    terms = Terms(
        rent=given.get("rent"), own=None if own is None else dict(own), price=given.get("price"),
        on=given.get("on"), currency=str(given.get("currency") or "USD"), fx=given.get("fx"),
        region=str(given.get("region") or "US"),
    ).checked()  # fmt: skip
    rated = system_watts(chip)
    try:
        if rated is None:
            hour = chip_hour(chip, terms, None, None)
            return Price(hour.value, 0.0, hour.way, hour.currency, hour.price)
        low, high = 0.25 * rated, 0.75 * rated
        first, second = (chip_hour(chip, terms, watts, rated) for watts in (low, high))
    except NoAnswer:
        return None
    slope = (second.value - first.value) / (high - low)
    return Price(first.value - slope * low, slope, first.way, first.currency, first.price)


def watts_of(
    chip: Chip, model: Model, weights: str, found: Landscape, load: Mapping[str, Any]
) -> Watts | None:
    """Power and energy by the rules of `answer_money.energy`; None where no power figure is published.

    load: cache_hit and utilisation of the cases.
    """
    from .energy import idle_overhead
    from .power import compute_share, load_shares, power_share, rated_watts, system_ratio

    rated = rated_watts(chip)
    if rated is None:
        return None
    shares = load_shares()
    fresh = 1.0 - load["cache_hit"]
    computed = found.output_tok_s + found.input_tok_s * fresh
    used = compute_share(chip, model, weights, computed, found.chips)
    total = power_share(found.busy, used)
    arithmetic = np.minimum(total, shares.compute * used)
    full = rated[0] * found.chips
    joules = full * (total - arithmetic) * (1.0 - found.prefill_share) / found.output_tok_s
    joules = joules + full * arithmetic / computed
    idle = idle_overhead(shares.idle, np.maximum(total, shares.idle), load["utilisation"])
    machine = full * total * system_ratio(chip)[0]
    return Watts(full * total, machine * (load["utilisation"] * idle), joules)
