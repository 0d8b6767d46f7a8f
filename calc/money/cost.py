"""Money per hour and tokens per second into money per million tokens: the arithmetic of a token's cost.

Before: prices.py or ownership.py give an hour's money, the performance model gives tokens. After: the answer
card, the waterfall, margins and scenarios. All functions are pure, take floats or arrays of cases and one
currency throughout. Identities that tests hold: cost x tokens = bill, and the shares of input and output make
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import not_negative, positive, positive_share, share
from ..errors import UsageError

SECONDS_PER_HOUR = 3600.0
MILLION = 1e6


def per_million(money_per_hour: Any, tokens_per_s: Any, utilisation: Any = 1.0) -> Any:
    """Money per million tokens: money_per_hour x 1e6 / (3600 x tokens_per_s x utilisation).

    money_per_hour: of all chips that make the tokens. utilisation: share of the paid time in which they are
    made, 0..1. 2 USD an hour and 1,000 tokens/s make 0.5556 USD a million; used half of the time, 1.1111.
    UsageError for a negative price, no tokens, or a utilisation outside 0..1.
    """
    not_negative(money_per_hour, "The price per hour")
    positive(tokens_per_s, "Tokens per second")
    positive_share(utilisation, "Utilisation")
    return money_per_hour * MILLION / (SECONDS_PER_HOUR * tokens_per_s * utilisation)


def bill(per_million_tokens: Any, tokens: Any) -> Any:
    """Money for a number of tokens: per_million_tokens x tokens / 1e6."""
    return not_negative(per_million_tokens, "The price per million") * not_negative(tokens, "Tokens") / MILLION


def time_shares(prefill_s: Any, decode_s: Any) -> tuple[Any, Any]:
    """Shares of machine time that input and output take: (prefill, decode) / (prefill + decode); they sum to
    1.

    1 s of prefill and 3 s of decode: 0.25 and 0.75.
    """
    not_negative(prefill_s, "Prefill time")
    not_negative(decode_s, "Decode time")
    total = np.add(prefill_s, decode_s)
    positive(total, "Prefill and decode time together")
    of_input = prefill_s / total
    return of_input, 1.0 - of_input


def input_output(
    money_per_hour: Any, input_tok_s: Any, output_tok_s: Any, prefill_share: Any, utilisation: Any = 1.0
) -> tuple[Any, Any]:
    """Money per million input and output tokens, each charged for the share of time that its phase takes.

    input_tok_s, output_tok_s: average rates over all of the time, not over the phase. prefill_share: from
    time_shares. input = money x share x 1e6 / (3600 x input_tok_s x utilisation), output the same with 1 -
    share, so that input x its tokens + output x its tokens is the hour's bill. 36 USD an hour, a quarter of
    the time on prefill, 10,000 input and 1,000 output tokens/s: 0.25 and 7.50 USD.
    """
    share(prefill_share, "The share of prefill")
    of_input = money_per_hour * prefill_share
    of_output = money_per_hour * (1.0 - prefill_share)
    return per_million(of_input, input_tok_s, utilisation), per_million(of_output, output_tok_s, utilisation)


def cached_input(per_m_input: Any, hit_share: Any, relative_cost: Any = 0.0) -> tuple[Any, Any]:
    """Money per million (uncached, cached) input tokens when per_m_input is the average over both.

    hit_share h: share of input tokens found in the cache. relative_cost r: cost of a cached token over an
    uncached one (0: a hit takes no prefill time). uncached = average / (1 - h + h r), cached = r x uncached,
    so the average stays. 0.25 USD on average, half of it cached at a tenth: 0.4545 and 0.0455 USD.
    """
    share(hit_share, "The share of cached input")
    share(relative_cost, "The relative cost of cached input")
    left = 1.0 - hit_share + hit_share * np.asarray(relative_cost)
    if np.any(left <= 0):
        raise UsageError("All input is cached at no cost, so uncached input has no price; lower the cached share.")
    uncached = per_m_input / left
    return _plain(uncached), _plain(uncached * relative_cost)


def blend(
    per_m_input: Any, per_m_output: Any, input_per_output: Any = 3.0, hit_share: Any = 0.0, per_m_cached: Any = 0.0
) -> Any:
    """Money per million tokens of a mix: (x ((1-h) input + h cached) + output) / (x + 1), x input tokens per
    output one.

    0.55 input, 2.19 output, 3 to 1: 0.96. hit_share h is the share of input at the price per_m_cached.
    """
    not_negative(input_per_output, "Input tokens per output token")
    share(hit_share, "The share of cached input")
    for value, name in ((per_m_input, "input"), (per_m_output, "output"), (per_m_cached, "cached input")):
        not_negative(value, f"The price of {name}")
    of_input = (1.0 - hit_share) * per_m_input + hit_share * per_m_cached
    return (input_per_output * of_input + per_m_output) / (input_per_output + 1.0)


def income(
    input_tokens: Any,
    output_tokens: Any,
    per_m_input: Any,
    per_m_output: Any,
    hit_share: Any = 0.0,
    per_m_cached: Any = None,
) -> Any:
    """Money that tokens bring at list prices; cached input at its own price, at the full one if there is
    none.

    608e9 input tokens with 56.3 % cache hits and 168e9 output tokens at DeepSeek-R1's list (0.55, 0.14
    cached, 2.19 USD): 561,975 USD a day.
    """
    share(hit_share, "The share of cached input")
    cached = per_m_input if per_m_cached is None else per_m_cached
    fresh = bill(per_m_input, input_tokens * (1.0 - hit_share))
    return fresh + bill(cached, input_tokens * hit_share) + bill(per_m_output, output_tokens)


def markup(revenue: Any, cost: Any) -> Any:
    """Profit over cost, (revenue - cost) / cost: 562,027 against 87,072 USD is 5.455, a "margin" of 545 %."""
    not_negative(revenue, "Revenue")
    return (revenue - positive(cost, "Cost")) / cost


def gross_margin(revenue: Any, cost: Any) -> Any:
    """Profit over revenue, (revenue - cost) / revenue: 562,027 against 87,072 USD is 0.845."""
    not_negative(cost, "Cost")
    return (positive(revenue, "Revenue") - cost) / revenue


def fleet_bill(chips: Any, money_per_chip_hour: Any, hours: Any = 24.0) -> Any:
    """Money for chips over hours: 226.75 nodes x 8 chips at 2 USD an hour are 87,072 USD a day."""
    not_negative(money_per_chip_hour, "The price per chip-hour")
    return not_negative(chips, "Chips") * money_per_chip_hour * not_negative(hours, "Hours")


@dataclass(frozen=True, repr=False)
class Step:
    """One step of a waterfall: its name, its money per hour, its money per million tokens."""

    name: str
    per_hour: float
    per_million: float


def waterfall(parts: Sequence[tuple[str, float]], tokens_per_s: float, utilisation: float = 1.0) -> tuple[Step, ...]:
    """The steps from the parts of an hour's money to a million tokens, in order, the total last.

    Each part is charged for full use; the step "idle time" adds what paid hours without tokens cost, so the
    steps before "total" sum to per_million(sum of parts, tokens_per_s, utilisation).
    """
    steps = [Step(name, money, per_million(money, tokens_per_s)) for name, money in parts]
    total = sum(money for _, money in parts)
    whole = per_million(total, tokens_per_s, utilisation)
    if utilisation < 1:
        steps.append(Step("idle time", 0.0, whole - sum(step.per_million for step in steps)))
    return (*steps, Step("total", total, whole))


def _plain(value: Any) -> Any:
    """A zero-dimensional array as a float; anything else as it is."""
    return float(value) if np.ndim(value) == 0 else value
