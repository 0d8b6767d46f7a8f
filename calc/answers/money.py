"""The money and the energy of an answer: cost per hour and per million tokens, joules, kilowatt-hours, CO2.

Input and output are charged for the share of time that prefill and decode take, in money and in energy alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import NoAnswer
from ..serving.power import Watts, watts
from ..trust.bands import band

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from .question import Body, Question, Subject


def money(subject: Subject, body: Body, ask: Question, energy: Mapping[str, Any]) -> dict[str, Any]:
    """Cost per hour and per million tokens by the way that was asked for, or the reason why there is none.

    energy: the answer's, whose all-in power an owner pays for. Bands join the price's range with the
    throughput's 80 % band.
    """
    from ..money.cost import blend, cached_input, input_output
    from ..money.hour import chip_hour

    chip, model, grade = subject.chip, subject.model, subject.grade
    terms = ask.money_terms().checked()
    s, chips = body.served, body.deployment["chips"]
    all_in, rated = energy.get("system_power_w"), energy.get("system_rated_w")
    try:
        hour = chip_hour(chip, terms, all_in / chips if all_in else None, rated / chips if rated else None)
    except NoAnswer as error:
        return {"currency": terms.currency, "reason": str(error)}
    of_input, of_output = input_output(
        hour.value * chips, s.input_tok_s, s.output_tok_s, s.prefill_share, ask.utilisation
    )
    output = float(s.output_tok_s)
    slow, fast = (end / output for end in band(output, "throughput", grade, body.bands or chip.id, model.is_moe))
    found: dict[str, Any] = {
        "currency": terms.currency,
        "per_hour": hour.value * chips,
        "per_hour_low": hour.low * chips,
        "per_hour_high": hour.high * chips,
        "per_m_input": float(of_input),
        "per_m_output": float(of_output),
        "per_m_output_low": float(of_output) * hour.low / hour.value / float(fast) if hour.value else 0.0,
        "per_m_output_high": float(of_output) * hour.high / hour.value / float(slow) if hour.value else 0.0,
        "per_m_blended": float(blend(of_input, of_output, ask.isl / ask.osl)),
    }
    if ask.cache_hit:
        whole = ask.cache_hit >= 1.0
        fresh, cached = (0.0, float(of_input)) if whole else cached_input(of_input, ask.cache_hit, 0.0)
        found |= {"per_m_uncached_input": fresh, "per_m_cached_input": cached}
    return found | {"way": hour.way, "price": dict(hour.price)}


def energy(subject: Subject, body: Body, ask: Question) -> dict[str, Any]:
    """Joules per token of the chips and all-in, kWh and CO2 per million, or the reason why there are none.

    The power while awake is shared by time; the power of arithmetic goes to whom the operations belong, the
    same for every computed token; between requests that come one at a time chips idle, and their tokens bear it.
    All-in: with the machine's share, the site's PUE and idle hours.
    """
    from ..checks import not_negative
    from ..money.energy import co2_per_million, kwh_per_million
    from ..physics.power import rated_watts, system_ratio

    chip, grade = subject.chip, subject.grade
    chips = body.deployment["chips"]
    w = watts(
        chip, subject.model, body.deployment["weights"], body.served, cached_share=ask.cache_hit, in_use=body.in_use
    )
    if w is None:
        reason = f'no power figure of {chip.name} is published; give one with --set power.tdp="500 W"'
        return {"reason": reason}
    of_output, of_input = float(w.joule_per_output_token), float(w.joule_per_input_token)
    low, high = band(of_output, "energy", "D" if "power" in chip.changes else grade)  # a power of no source
    ratio, guessed = system_ratio(chip)
    boundary = (rated_watts(chip) or (0.0, "chip"))[1]
    overhead, site = site_overhead(ask)
    mean = float(paid_watts(chip, w, ask.utilisation))
    whole = mean / (float(w.chips_w) * ask.utilisation) * overhead
    given = (ask.own or {}).get("power_w")
    if given is not None:  # the owner's figure drives the bill and the energy alike
        alone = mean / ratio / chips
        mean = float(not_negative(given, "Power")) * chips
        whole = mean / (float(w.chips_w) * ask.utilisation) * overhead
        site, guessed = f"{site}; {_given_power(given, alone)}", False
    found = {
        "joule_per_output_token": of_output,
        "joule_per_output_token_low": float(low),
        "joule_per_output_token_high": float(high),
        "joule_per_input_token": of_input,
        "power_w": float(w.chips_w),
        "boundary": "chips alone" if boundary == "chip" else "whole system",
        "system_power_w": mean,
        "system_rated_w": float(w.rated_w) * ratio,
        "pue": overhead,
        "all_in_joule_per_output_token": of_output * whole,
        "all_in_joule_per_input_token": of_input * whole,
        "kwh_per_m_output": kwh_per_million(of_output * whole),
        "kwh_per_m_input": kwh_per_million(of_input * whole),
        "all_in": site + ("; the machine's share is assumed" if guessed else ""),
    }
    if ask.grid is not None:
        factor, note = grid_factor(ask.grid, ask.on)
        found |= {
            "grid_kg_per_kwh": factor,
            "grid": note,
            "co2_kg_per_m_output": co2_per_million(of_output * whole, factor),
            "co2_kg_per_m_input": co2_per_million(of_input * whole, factor),
        }
    return found


def _given_power(given: float, alone: float) -> str:
    """The power that was given, in words; alone: mean watts of one chip by the model."""
    less = f", less than the {alone:,.0f} W expected of the chip alone" if given < alone else ""
    return f"{given:,.0f} W a chip with its host as given{less}"


def paid_watts(chip: Chip, w: Watts, utilisation: Array) -> Array:
    """Mean all-in watts of a machine while it is paid for: at work, and idle the rest of the time, with its host.

    Worked: 560 W of 700 at work, idle .15 of the rating, used half of the time, host 1.5: (.5 560 + .5 105) 1.5 = 499.
    """
    from ..money.energy import idle_overhead
    from ..physics.power import load_shares, system_ratio

    idle = load_shares().idle
    return w.chips_w * system_ratio(chip)[0] * utilisation * idle_overhead(idle, np.maximum(w.share, idle), utilisation)


def site_overhead(ask: Question) -> tuple[float, str]:
    """(PUE, what it is) on the answer's day: the one given, else the median of operators and industry."""
    from ..checks import at_least_one

    given = (ask.own or {}).get("pue")
    if given is not None:
        return float(at_least_one(given, "PUE")), f"PUE {given:g} as given"
    return _usual_overhead(ask.on or date.today().isoformat())


@lru_cache(maxsize=64)
def _usual_overhead(day: str) -> tuple[float, str]:
    from ..money.sites import pue

    try:
        found = pue(None, day)
    except NoAnswer:
        found = pue(None, None)
    return found.value, f"PUE {found.value:.2f} of {found.date.isoformat()}"


def grid_factor(text: str, on: str | None) -> tuple[float, str]:
    """(kg CO2e per kWh, what it is) from a number ("0.43") or a region ("KR"); UnknownName lists regions."""
    from ..checks import not_negative
    from ..money.sites import co2

    number = text.lower().replace("kg/kwh", "").strip()
    try:
        value = float(number)
    except ValueError:
        found = co2(text.strip(), on)
        return found.value, f"{text.strip().upper()} grid, {found.date.isoformat()}, {found.note}"
    return float(not_negative(value, "The grid factor")), "as given"


@dataclass(frozen=True)
class Price:
    """Money for an hour of one chip: fixed + per_watt x all-in watts of the chip; way as in `hourly`."""

    fixed: float
    per_watt: float
    way: str
    currency: str
    record: Mapping[str, Any]


def price_line(chip: Chip, given: Mapping[str, Any]) -> Price | None:
    """The price of a chip by the money options of a question (rent, own, price, on, currency, fx, region).

    None where no price is known. Raises UsageError for contradictions, UnknownName for unknown terms.
    """
    from ..money.hour import Terms, chip_hour
    from ..physics.power import system_watts

    own = given.get("own")
    terms = Terms(
        rent=given.get("rent"),
        own=None if own is None else dict(own),
        price=given.get("price"),
        on=given.get("on"),
        currency=str(given.get("currency") or "USD"),
        fx=given.get("fx"),
        region=str(given.get("region") or "US"),
    ).checked()
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
