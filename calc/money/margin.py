"""What providers charge for a model beside what its tokens cost here: revenue, profit, margin of each list price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .cost import MILLION, gross_margin, income, markup
from .list_prices import ApiPrice


@dataclass(frozen=True)
class Margin:
    """One list price against one cost, in money per million output tokens with the input that belongs to them.

    margin: profit over revenue; markup: profit over cost; break_even: share of the list price that covers
    the cost.
    """

    price: ApiPrice
    revenue: float
    cost: float
    margin: float | None
    markup: float | None
    break_even: float | None


def margin(price: ApiPrice, money: Mapping[str, Any], input_per_output: float, cache_hit: float) -> Margin:
    """Revenue and cost of a million output tokens with `input_per_output` million input tokens.

    money: the cost of an answer (per_m_input is the average over cached and uncached). Cached input is sold
    at its own price where the provider has one. DeepSeek's day: 3.619 input tokens per output one, 56.3 %
    cached, at 0.55, 0.14, 2.19 USD: 3.345 USD a million output tokens against a cost of 0.518.
    """
    tokens = (input_per_output * MILLION, MILLION)
    revenue = float(income(*tokens, price.input, price.output, hit_share=cache_hit, per_m_cached=price.cached_input))
    cost = float(money["per_m_output"] + input_per_output * money["per_m_input"])
    return Margin(
        price,
        revenue,
        cost,
        float(gross_margin(revenue, cost)) if revenue else None,
        float(markup(revenue, cost)) if cost else None,
        cost / revenue if revenue else None,
    )
