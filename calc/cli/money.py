"""What the commands about money share: their options, and the question at full load that these make."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import UsageError
from ..money.amounts import parse_fx, parse_money
from ..money.hour import Terms
from . import options as o
from . import values

_own = partial(o.option, rich_help_panel="Ownership")
_AMOUNTS = {"purchase": "a chip", "electricity": "a kilowatt-hour", "colo_kw_month": "space"}


class Load(o.Group):
    """A request, and the limits within which a machine takes as many of them as it can."""

    isl: o.Text = o.workload(None, "Input length of a request.", "TOKENS")
    osl: o.Text = o.workload(None, "Output length of a request.", "TOKENS")
    concurrency: o.Text = o.workload(None, "Requests in flight; else the most within the latency limit.", "N|max")
    min_speed: o.Real = o.MIN_SPEED
    max_ttft: o.Real = o.MAX_TTFT
    cache_hit: float = o.CACHE_HIT
    weights: o.Text = o.WEIGHTS
    chips: o.Whole = o.deployment(None, "Chips of one replica; else the best number.", "N")
    engine: o.Text = o.ENGINE

    def limit(self) -> dict[str, Any]:
        """The latency limit as keywords of `loaded`."""
        return {"speed": self.min_speed, "ttft": self.max_ttft}

    def question(self, terms: Terms, utilisation: float = 1.0) -> dict[str, Any]:
        """Keywords of `loaded` about the work and its price, checked; of the work, what was given."""
        work = {
            "chips": values.number_of("--chips", self.chips),
            "isl": None if self.isl is None else values.length("--isl", self.isl),
            "osl": None if self.osl is None else values.length("--osl", self.osl),
            "concurrency": None if self.concurrency is None else values.concurrency(self.concurrency),
            "weights": self.weights,
            "engine": self.engine,
        }
        return {
            **{name: value for name, value in work.items() if value is not None},
            "cache_hit": values.share("--cache-hit", self.cache_hit),
            "utilisation": values.share("--utilisation", utilisation, open_low=True),
            **{name: getattr(terms, name) for name in ("rent", "price", "on", "currency", "fx", "own", "region")},
        }


class Ownership(o.Group):
    """What the owner of a chip pays."""

    purchase: o.Text = _own(None, 'Price of a chip with its host: "31000 USD".', "MONEY")
    life: o.Real = _own(None, "Years of use.", "YEARS")
    capital: o.Real = _own(None, "Cost of capital per year: 0.08.", "SHARE")
    residual: o.Real = _own(None, "Value left at the end, of the price.", "SHARE")
    pue: o.Real = _own(None, "Power of the site over that of its machines.", "RATIO")
    electricity: o.Text = _own(None, 'Per kilowatt-hour: "0.08 USD".', "MONEY")
    region: str = _own("US", "Where the electricity is bought: US, KR, CN, US-TX.", "PLACE")
    colo: o.Text = _own(None, 'Space per kW and month: "150 USD".', "MONEY")
    network: o.Real = _own(None, "Network, of machines and network together.", "SHARE")
    staff: o.Real = _own(None, "Staff and spares a year, of the purchase.", "SHARE")
    power_w: o.Real = _own(None, "All-in power of one chip with its host.", "WATTS")

    def inputs(self, hour: o.Rates) -> dict[str, float]:
        """Inputs of ownership that the user gave, money in the currency of the answer.

        UsageError for what is out of bounds.
        """
        on, rates = values.date("--on", hour.on), parse_fx(hour.fx) if hour.fx else {}
        amounts = {"purchase": self.purchase, "electricity": self.electricity, "colo_kw_month": self.colo}
        given: dict[str, float] = {}
        for field, text in amounts.items():
            if text is not None:
                money = parse_money(text.partition("/")[0], hour.currency)
                if money.amount < 0:
                    raise UsageError(f'"{text}" is below zero; {_AMOUNTS[field]} costs at least nothing.')
                given[field] = money.to(hour.currency, on, rates).amount
        numbers = {
            "life_years": self.life,
            "cost_of_capital": self.capital,
            "residual_share": self.residual,
            "pue": self.pue,
            "network_share": self.network,
            "staff_share": self.staff,
            "power_w": self.power_w,
        }
        return given | {field: value for field, value in numbers.items() if value is not None}


def terms_of(hour: o.Rates, own: Mapping[str, float] | None, region: str = "US") -> Terms:
    """The terms that the options ask for, checked. own: inputs of ownership, None for a rent."""
    on = values.date("--on", hour.on)
    return Terms(hour.rent, own, hour.price, on, hour.currency, hour.fx, region).checked()


def owned(hour: o.Hour) -> Mapping[str, float] | None:
    """Ownership by its dated inputs where it is asked for."""
    return {} if hour.own else None
