"""Money per hour and tokens per second into money per million tokens: the arithmetic of a token's cost.

Pure functions of numbers or arrays of cases, one currency throughout. Identities that tests hold: cost x tokens
is the bill, and what input and output are charged makes the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..checks import not_negative, positive, positive_share, share
from ..errors import UsageError

SECONDS_PER_HOUR = 3600.0
MILLION = 1e6


def per_million(money_per_hour: Array, tokens_per_s: Array, utilisation: Array = 1.0) -> Array:
    """Money per million tokens: money_per_hour x 1e6 / (3600 x tokens_per_s x utilisation).

    money_per_hour: of all chips that make the tokens. utilisation: share of the paid time in which they are
    made. UsageError for a negative price, no tokens, or a utilisation outside 0..1.

    >>> round(per_million(2.0, 1000.0), 4), round(per_million(2.0, 1000.0, 0.5), 4)
    (0.5556, 1.1111)
    """
    not_negative(money_per_hour, "The price per hour")
    positive(tokens_per_s, "Tokens per second")
    positive_share(utilisation, "Utilisation")
    return money_per_hour * MILLION / (SECONDS_PER_HOUR * tokens_per_s * utilisation)


def bill(per_million_tokens: Array, tokens: Array) -> Array:
    """Money for a number of tokens: per_million_tokens x tokens / 1e6."""
    not_negative(per_million_tokens, "The price per million")
    not_negative(tokens, "Tokens")
    return per_million_tokens * tokens / MILLION


class TokenCost(NamedTuple):
    """Money per million input tokens (cached and uncached alike) and per million output tokens."""

    per_m_input: Array
    per_m_output: Array

    def blended(self, input_per_output: Array) -> Array:
        """Money per million tokens of both kinds, `input_per_output` (ISL / OSL) input tokens for an output one."""
        return blend(self.per_m_input, self.per_m_output, input_per_output)


def input_output(
    money_per_hour: Array, input_tok_s: Array, output_tok_s: Array, prefill_share: Array, utilisation: Array = 1.0
) -> TokenCost:
    """The one split of an hour's money between input and output: each pays for the share of time of its phase.

    prefill_share: prefill seconds over prefill and decode seconds; of two pools of machines, the prefill
    pool's share of the money. input_tok_s, output_tok_s: average rates over all of the time, not over the
    phase. So per_m_input x input tokens + per_m_output x output tokens is the hour's bill.

    36 USD an hour, a quarter of the time on prefill:

    >>> input_output(36.0, 10_000.0, 1_000.0, 0.25)
    TokenCost(per_m_input=0.25, per_m_output=7.5)
    >>> input_output(36.0, 10_000.0, 1_000.0, 0.25).blended(10) == per_million(36.0, 11_000.0)
    True
    """
    share(prefill_share, "The share of prefill")
    return TokenCost(
        per_million(money_per_hour * prefill_share, input_tok_s, utilisation),
        per_million(money_per_hour * (1.0 - prefill_share), output_tok_s, utilisation),
    )


def cached_input(per_m_input: Array, hit_share: Array, relative_cost: Array = 0.0) -> tuple[Array, Array]:
    """Money per million (uncached, cached) input tokens when per_m_input is the average over both.

    hit_share h: share of input tokens found in the cache. relative_cost r: cost of a cached token over an
    uncached one (0: a hit takes no prefill time). uncached = average / (1 - h + h r), cached = r x uncached,
    so the average stays. 0.25 USD on average, half of it cached at a tenth:

    >>> [round(price, 4) for price in cached_input(0.25, 0.5, 0.1)]
    [0.4545, 0.0455]
    """
    share(hit_share, "The share of cached input")
    share(relative_cost, "The relative cost of cached input")
    left = 1.0 - hit_share + hit_share * relative_cost
    if np.any(np.asarray(left) <= 0):
        raise UsageError("All input is cached at no cost, so uncached input has no price; lower the cached share.")
    uncached = per_m_input / left
    return uncached, uncached * relative_cost


def blend(per_m_input: Array, per_m_output: Array, input_per_output: Array = 3.0) -> Array:
    """Money per million tokens of a mix of x input tokens per output one: (x input + output) / (x + 1).

    >>> round(blend(0.55, 2.19, 3.0), 6)
    0.96
    """
    not_negative(input_per_output, "Input tokens per output token")
    not_negative(per_m_input, "The price of input")
    not_negative(per_m_output, "The price of output")
    return (input_per_output * per_m_input + per_m_output) / (input_per_output + 1.0)


def income(
    input_tokens: Array,
    output_tokens: Array,
    per_m_input: Array,
    per_m_output: Array,
    *,
    hit_share: Array = 0.0,
    per_m_cached: Array | None = None,
) -> Array:
    """Money that tokens bring at list prices; cached input at its own price, at the full one if there is none.

    DeepSeek's day: 608e9 input tokens with 56.3 % cache hits and 168e9 output tokens at R1's list.

    >>> round(income(608e9, 168e9, 0.55, 2.19, hit_share=0.563, per_m_cached=0.14))
    561975
    """
    share(hit_share, "The share of cached input")
    cached = per_m_input if per_m_cached is None else per_m_cached
    fresh = bill(per_m_input, input_tokens * (1.0 - hit_share))
    return fresh + bill(cached, input_tokens * hit_share) + bill(per_m_output, output_tokens)


def markup(revenue: Array, cost: Array) -> Array:
    """Profit over cost, (revenue - cost) / cost: DeepSeek's "margin" of 545 %.

    >>> round(markup(562_027, 87_072), 3)
    5.455
    """
    not_negative(revenue, "Revenue")
    positive(cost, "Cost")
    return (revenue - cost) / cost


def gross_margin(revenue: Array, cost: Array) -> Array:
    """Profit over revenue, (revenue - cost) / revenue.

    >>> round(gross_margin(562_027, 87_072), 3)
    0.845
    """
    not_negative(cost, "Cost")
    positive(revenue, "Revenue")
    return (revenue - cost) / revenue


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
    steps = [Step(name, money, float(per_million(money, tokens_per_s))) for name, money in parts]
    total = sum(money for _, money in parts)
    whole = float(per_million(total, tokens_per_s, utilisation))
    if utilisation < 1:
        steps.append(Step("idle time", 0.0, whole - sum(step.per_million for step in steps)))
    return (*steps, Step("total", total, whole))
