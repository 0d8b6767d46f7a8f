"""What an hour of a chip costs its owner: depreciation, capital, electricity, space, network, staff.

Before: purchases.py and sites.py supply dated defaults with ranges. After: cost.py turns the hour into
tokens. The arithmetic is pure and takes floats or arrays; money is in one currency throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from ..checks import at_least_one, not_negative, positive, share
from ..errors import UsageError
from .energy import electricity_per_hour
from .pricebook import NotYetKnown, Price, as_date

HOURS_PER_YEAR = 8766.0
HOURS_PER_MONTH = HOURS_PER_YEAR / 12


def depreciation_per_hour(purchase: Any, life_years: Any, residual_share: Any = 0.0) -> Any:
    """Money per hour that the machine loses in value: purchase x (1 - residual_share) / (life_years x 8766).

    31,250 USD over 5 years with nothing left: 0.7130 USD an hour.
    """
    not_negative(purchase, "The purchase price")
    share(residual_share, "The residual value")
    return purchase * (1.0 - residual_share) / (positive(life_years, "The life") * HOURS_PER_YEAR)


def capital_per_hour(
    purchase: Any, life_years: Any, rate: Any, residual_share: Any = 0.0, method: str = "annuity"
) -> Any:
    """Money per hour that the money itself costs, above depreciation, at the yearly rate.

    method "annuity" (default): the level yearly payment that returns purchase P less the present value of the
    residual R after n years at rate i, A = i (P - R) / (1 - (1+i)^-n) + i R, less depreciation. method
    "average": interest on the mean balance, i (P + R) / 2. 31,250 USD, 5 years, 8 %: annuity 7,826.76 USD a
    year, so 0.1799 USD an hour above depreciation; average 0.1426. A rate of 0 costs nothing either way.
    """
    not_negative(purchase, "The purchase price")
    positive(life_years, "The life")
    share(residual_share, "The residual value")
    i = np.asarray(share(rate, "The cost of capital"), dtype=float)
    residual = purchase * residual_share
    if method == "average":
        return _plain(i * (purchase + residual) / 2.0 / HOURS_PER_YEAR)
    if method != "annuity":
        raise UsageError(f'"{method}" is not a way to price capital; choose annuity or average.')
    # i / (1 - (1+i)^-n) tends to 1/n as the rate vanishes; below a part in 1e12 the two cannot be told apart.
    with np.errstate(divide="ignore", invalid="ignore"):
        level = i / -np.expm1(-life_years * np.log1p(i))
    factor = np.where(i > 1e-12, level, 1.0 / np.asarray(life_years, dtype=float))
    payment = factor * (purchase - residual) + i * residual
    return _plain(
        np.maximum(payment / HOURS_PER_YEAR - depreciation_per_hour(purchase, life_years, residual_share), 0.0)
    )


@dataclass(frozen=True, repr=False)
class Ownership:
    """Inputs of owning one chip for an hour; floats, or arrays of cases in any field.

    purchase: of the chip with its share of the host. residual_share: of the purchase, left after life_years.
    cost_of_capital: per year, as 0.08. power_w: all-in of the chip with its share of the host, averaged over
    paid time. electricity: money per kWh. colo_kw_month: money per kW of rated power and month; rated_w: that
    rated power (None: power_w). network_share: of machines plus network capital. staff_share: of the purchase
    a year, for people and spares.
    """

    purchase: Any
    life_years: Any
    residual_share: Any = 0.0
    cost_of_capital: Any = 0.0
    power_w: Any = 0.0
    pue: Any = 1.0
    electricity: Any = 0.0
    colo_kw_month: Any = 0.0
    rated_w: Any = None
    network_share: Any = 0.0
    staff_share: Any = 0.0
    method: str = "annuity"
    currency: str = "USD"

    def parts(self) -> tuple[tuple[str, Any], ...]:
        """Named parts of an hour's money, in the order of the waterfall; UsageError names an input out of
        bounds.
        """
        if np.any(np.asarray(share(self.network_share, "The network share")) >= 1):
            raise UsageError("The network share must be below 1.")
        network = self.purchase * self.network_share / (1.0 - self.network_share)
        at_least_one(self.pue, "PUE")
        rated = self.power_w if self.rated_w is None else self.rated_w
        life, left = self.life_years, self.residual_share
        invested = self.purchase + network
        return (
            ("chip and host", depreciation_per_hour(self.purchase, life, left)),
            ("network", depreciation_per_hour(network, life, left)),
            ("cost of capital", capital_per_hour(invested, life, self.cost_of_capital, left, self.method)),
            ("electricity", electricity_per_hour(self.power_w, self.pue, self.electricity)),
            (
                "space",
                not_negative(rated, "Rated power")
                / 1000.0
                * not_negative(self.colo_kw_month, "The colocation rent")
                / HOURS_PER_MONTH,
            ),
            ("staff", self.purchase * not_negative(self.staff_share, "The staff share") / HOURS_PER_YEAR),
        )

    def per_hour(self) -> Any:
        """Money of one chip-hour: the sum of the parts."""
        return sum(money for _, money in self.parts())


@dataclass(frozen=True, repr=False)
class OwnershipDefaults:
    """Ownership inputs of a chip with the dated prices behind them and the sentences that must stand
    beside.
    """

    inputs: Ownership
    prices: Mapping[str, Price]
    notes: tuple[str, ...]


def default_ownership(
    chip_id: str,
    power_w: float,
    on: date | str | None = None,
    currency: str = "USD",
    region: str = "US",
    rates: Mapping[str, float] | None = None,
    **overrides: Any,
) -> OwnershipDefaults | None:
    """Ownership of a chip by the dated prices of specs/prices, or None when it has no purchase price.

    power_w: all-in power of one chip with its share of the host. region: of the electricity. overrides: any
    field of Ownership that the user gives himself; `family` (Chip.family) allows a price borrowed from the
    chip's class, marked so, where it has none. A chip priced as a bare card gets the host's share on top.
    """
    from .purchases import class_purchase, purchase
    from .sites import colo, electricity, finance, pue

    family = overrides.pop("family", None)
    bought = purchase(chip_id, on, currency, rates=rates) if "purchase" not in overrides else None
    if bought is None and family is not None and "purchase" not in overrides:
        bought = class_purchase(chip_id, on, currency, family, rates)
    if bought is None and "purchase" not in overrides:
        return None
    notes: list[str] = []
    prices: dict[str, Price] = {}
    rates_beside: dict[str, Callable[[date | str | None], Price]] = {
        "life_years": lambda day: finance("life_years", day),
        "cost_of_capital": lambda day: finance("cost_of_capital", day),
        "network_share": lambda day: finance("network_share", day),
        "pue": lambda day: pue(None, day),
        "electricity": lambda day: electricity(region, day, currency, rates=rates),
        "colo_kw_month": lambda day: colo(day, currency, rates),
    }
    for name, ask in rates_beside.items():
        try:
            prices[name] = ask(on)
        except NotYetKnown as early:
            prices[name] = ask(early.first)
            if name not in overrides:
                notes.append(f"{name.replace('_', ' ')} of {early.first}, the first known, for an earlier day")
    values: dict[str, Any] = {name: price.value for name, price in prices.items()}
    if bought is not None:
        prices["purchase"] = bought
        values["purchase"] = bought.value
        if bought.terms == "card":
            try:
                host = finance("host_share", on)
            except NotYetKnown as early:
                host = finance("host_share", early.first)
            prices["host_share"] = host
            values["purchase"] *= 1 + host.value
            notes.append(f"the price is of a bare card; {host.value:.0%} added for its share of the host")
        elif flat_network(bought):
            values["network_share"] = 0.0
            notes.append("the price of the system includes its network")
    if "staff_share" not in overrides:
        notes.append("staff is not included unless given")
    inputs = Ownership(**{"power_w": power_w, "currency": currency, **values, **overrides})
    return OwnershipDefaults(inputs, prices, tuple(notes))


def flat_network(bought: Price) -> bool:
    """Whether the price is of a rack-scale system, whose own network connects its chips."""
    return any(word in bought.note for word in ("NVL72", "CloudMatrix"))


def owned_price(
    chip_id: str,
    power_w: float,
    on: date | str | None = None,
    currency: str = "USD",
    region: str = "US",
    rates: Mapping[str, float] | None = None,
    **overrides: Any,
) -> Price | None:
    """Price of an owned chip-hour with basis "ownership"; None without a purchase price.

    low and high take every dated input that is not given at its cheap end, and every one at its dear end;
    the grade is that of the worst of them. Inputs that are given (overrides) are the user's own: one value,
    no grade.
    """
    found = default_ownership(chip_id, power_w, on, currency, region, rates, **overrides)
    return None if found is None else hour_price(found, overrides, on)


def hour_price(found: OwnershipDefaults, given: Mapping[str, Any], on: date | str | None = None) -> Price:
    """The owned hour of `default_ownership` as a Price; given: the inputs that are the user's own."""
    inputs, dated = found.inputs, dated_inputs(found, given)
    low, high = hour_ends(found, given)
    graded = {name: price.grade for name, price in dated.items()}
    if "purchase" in dated and "host_share" in found.prices:
        graded["host_share"] = found.prices["host_share"].grade
    grade = max(graded.values(), default="A")
    worst = [_spoken(name) for name, letter in graded.items() if letter == grade]
    own = [_spoken(name) for name in given if name in _INPUTS]
    notes = [f"owned over {inputs.life_years:g} years at {inputs.cost_of_capital:.0%}", *found.notes]
    if own:
        notes.append(f"{', '.join(own)} as given")
    if worst:
        notes.append(f"graded by its worst input{'s' * (len(worst) > 1)}: {', '.join(worst)}")
    bought = found.prices.get("purchase") or Price(
        0.0, 0.0, 0.0, inputs.currency, "chip", as_date(on), 1, "", "given", grade, False, ("--purchase",)
    )  # fmt: skip
    value = float(inputs.per_hour())
    return replace(
        bought, value=value, low=min(low, value), high=max(high, value), unit="h", terms="ownership",
        basis="ownership", grade=grade, note="; ".join(notes),
    )  # fmt: skip


_INPUTS = tuple(Ownership.__dataclass_fields__)
_SPOKEN = {"power_w": "power", "colo_kw_month": "space", "life_years": "life", "pue": "PUE"}
_CHEAP_WHEN_HIGH = ("life_years",)


def _spoken(name: str) -> str:
    return _SPOKEN.get(name, name.replace("_", " "))


def dated_inputs(found: OwnershipDefaults, given: Mapping[str, Any]) -> dict[str, Price]:
    """The dated price behind each input of the hour that nobody gave and that keeps its price's value."""
    return {
        name: price
        for name, price in found.prices.items()
        if name not in given and name in _INPUTS and (name == "purchase" or getattr(found.inputs, name) == price.value)
    }


def hour_ends(found: OwnershipDefaults, given: Mapping[str, Any]) -> tuple[float, float]:
    """(low, high) of the hour: all dated inputs at their cheap ends, and all at their dear ones.

    Worked: 31,000 USD as given, life 3 to 6 years: dearest over 3 years, with the dearest electricity.
    """
    ends: list[dict[str, Any]] = [{}, {}]
    for name, price in dated_inputs(found, given).items():
        # the price of a bare card takes its host's share on top
        scale = getattr(found.inputs, name) / price.value if price.value else 1.0
        cheap, dear = price.low * scale, price.high * scale
        if name in _CHEAP_WHEN_HIGH:
            cheap, dear = dear, cheap
        ends[0][name], ends[1][name] = cheap, dear
    low, high = (float(replace(found.inputs, **end).per_hour()) for end in ends)
    return low, high


def _plain(value: Any) -> Any:
    """A zero-dimensional array as a float; anything else as it is."""
    return float(value) if np.ndim(value) == 0 else value
