"""What an hour of a chip costs its owner: depreciation, capital, electricity, space, network, staff.

The arithmetic is pure and takes numbers or arrays; money is in one currency throughout. Defaults with their
ranges come from the dated prices of purchases.py and sites.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..arrays import Array
from ..checks import at_least_one, not_negative, positive, share
from ..errors import UsageError
from .energy import electricity_per_hour
from .pricebook import Day, NotYetKnown, Price, Rates, as_date
from .purchases import class_purchase, purchase
from .sites import colo, electricity, finance, pue

HOURS_PER_YEAR = 8766.0
HOURS_PER_MONTH = HOURS_PER_YEAR / 12


def depreciation_per_hour(purchase: Array, life_years: Array, residual_share: Array = 0.0) -> Array:
    """Money per hour that the machine loses in value: purchase x (1 - residual_share) / (life_years x 8766).

    >>> round(depreciation_per_hour(31_250.0, 5.0), 4)
    0.713
    """
    not_negative(purchase, "The purchase price")
    share(residual_share, "The residual value")
    positive(life_years, "The life")
    return purchase * (1.0 - residual_share) / (life_years * HOURS_PER_YEAR)


def capital_per_hour(
    purchase: Array, life_years: Array, rate: Array, residual_share: Array = 0.0, method: str = "annuity"
) -> Array:
    """Money per hour that the money itself costs, above depreciation, at the yearly rate.

    method "annuity" (default): the level yearly payment that returns purchase P less the present value of the
    residual R after n years at rate i, A = i (P - R) / (1 - (1+i)^-n) + i R, less depreciation. method
    "average": interest on the mean balance, i (P + R) / 2. A rate of 0 costs nothing either way.

    31,250 USD over 5 years at 8 % are an annuity of 7,826.76 USD a year:

    >>> round(float(capital_per_hour(31_250.0, 5.0, 0.08)), 4)
    0.1799
    >>> round(float(capital_per_hour(31_250.0, 5.0, 0.08, method="average")), 4)
    0.1426
    """
    not_negative(purchase, "The purchase price")
    positive(life_years, "The life")
    share(residual_share, "The residual value")
    i = np.asarray(share(rate, "The cost of capital"), dtype=float)
    residual = purchase * residual_share
    if method == "average":
        return i * (purchase + residual) / 2.0 / HOURS_PER_YEAR
    if method != "annuity":
        raise UsageError(f'"{method}" is not a way to price capital; choose annuity or average.')
    # i / (1 - (1+i)^-n) tends to 1/n as the rate vanishes; below a part in 1e12 the two cannot be told apart.
    with np.errstate(divide="ignore", invalid="ignore"):
        level = i / -np.expm1(-life_years * np.log1p(i))
    factor = np.where(i > 1e-12, level, 1.0 / np.asarray(life_years, dtype=float))
    payment = factor * (purchase - residual) + i * residual
    return np.maximum(payment / HOURS_PER_YEAR - depreciation_per_hour(purchase, life_years, residual_share), 0.0)


def space_per_hour(rated_w: Array, colo_kw_month: Array) -> Array:
    """Money for an hour of data-centre space, let by kilowatts of rated power and month.

    >>> round(space_per_hour(1275.0, 180.0), 4)
    0.3142
    """
    not_negative(rated_w, "Rated power")
    not_negative(colo_kw_month, "The colocation rent")
    return rated_w / 1000.0 * colo_kw_month / HOURS_PER_MONTH


@dataclass(frozen=True, repr=False)
class Ownership:
    """Inputs of owning one chip for an hour; numbers, or arrays of cases in any field.

    purchase: of the chip with its share of the host. residual_share: of the purchase, left after life_years.
    cost_of_capital: per year, as 0.08. power_w: all-in of the chip with its share of the host, averaged over
    paid time. electricity: money per kWh. colo_kw_month: money per kW of rated power and month; rated_w: that
    rated power (None: power_w). network_share: of machines plus network capital. staff_share: of the purchase
    a year, for people and spares.
    """

    purchase: Array
    life_years: Array
    residual_share: Array = 0.0
    cost_of_capital: Array = 0.0
    power_w: Array = 0.0
    pue: Array = 1.0
    electricity: Array = 0.0
    colo_kw_month: Array = 0.0
    rated_w: Array | None = None
    network_share: Array = 0.0
    staff_share: Array = 0.0
    method: str = "annuity"
    currency: str = "USD"

    def parts(self) -> tuple[tuple[str, Array], ...]:
        """Named parts of an hour's money, in the order of the waterfall; UsageError for an input out of bounds."""
        if np.any(np.asarray(share(self.network_share, "The network share")) >= 1):
            raise UsageError("The network share must be below 1.")
        network = self.purchase * self.network_share / (1.0 - self.network_share)
        at_least_one(self.pue, "PUE")
        rated_w = self.power_w if self.rated_w is None else self.rated_w
        life, left = self.life_years, self.residual_share
        invested = self.purchase + network
        return (
            ("chip and host", depreciation_per_hour(self.purchase, life, left)),
            ("network", depreciation_per_hour(network, life, left)),
            ("cost of capital", capital_per_hour(invested, life, self.cost_of_capital, left, self.method)),
            ("electricity", electricity_per_hour(self.power_w, self.pue, self.electricity)),
            ("space", space_per_hour(rated_w, self.colo_kw_month)),
            ("staff", self.purchase * not_negative(self.staff_share, "The staff share") / HOURS_PER_YEAR),
        )

    def per_hour(self) -> Array:
        """Money of one chip-hour: the sum of the parts."""
        return sum(money for _, money in self.parts())


_INPUTS = tuple(f.name for f in fields(Ownership))
_SPOKEN = {"power_w": "power", "life_years": "life", "colo_kw_month": "space", "pue": "PUE"}
_CHEAP_WHEN_HIGH = ("life_years",)


def _spoken(name: str) -> str:
    return _SPOKEN.get(name, name.replace("_", " "))


@dataclass(frozen=True, repr=False)
class Owned:
    """Ownership of a chip by dated prices: its inputs, the prices behind them, what must be said beside.

    given: the inputs that are the user's own, which have one value and no grade.
    """

    inputs: Ownership
    prices: Mapping[str, Price]
    notes: tuple[str, ...]
    given: tuple[str, ...]

    def dated(self) -> dict[str, Price]:
        """The dated price behind each input that nobody gave and that keeps its price's value."""
        return {
            name: price
            for name, price in self.prices.items()
            if name in _INPUTS
            and name not in self.given
            and (name == "purchase" or getattr(self.inputs, name) == price.value)
        }

    def ends(self) -> tuple[float, float]:
        """(low, high) of the hour: all dated inputs at their cheap ends, and all at their dear ones."""
        ends: list[dict[str, Any]] = [{}, {}]
        for name, price in self.dated().items():
            # the price of a bare card takes its host's share on top
            scale = getattr(self.inputs, name) / price.value if price.value else 1.0
            sides = (price.low, price.high) if name not in _CHEAP_WHEN_HIGH else (price.high, price.low)
            for end, side in zip(ends, sides, strict=True):
                end[name] = side * scale
        low, high = (float(replace(self.inputs, **end).per_hour()) for end in ends)
        return low, high

    def price(self, on: Day = None) -> Price:
        """The hour as a Price with basis "ownership"; its grade is that of the worst dated input."""
        graded = {name: price.grade for name, price in self.dated().items()}
        if "purchase" in graded and "host_share" in self.prices:
            graded["host_share"] = self.prices["host_share"].grade
        grade = max(graded.values(), default="A")
        worst = [_spoken(name) for name, letter in graded.items() if letter == grade]
        own = [_spoken(name) for name in self.given if name in _INPUTS]
        notes = [f"owned over {self.inputs.life_years:g} years at {self.inputs.cost_of_capital:.0%}", *self.notes]
        if own:
            notes.append(f"{', '.join(own)} as given")
        if worst:
            notes.append(f"graded by its worst input{'s' * (len(worst) > 1)}: {', '.join(worst)}")
        value, (low, high) = float(self.inputs.per_hour()), self.ends()
        bought = self.prices.get("purchase") or Price(
            value, low, high, self.inputs.currency, "h", as_date(on), 1, "", "given", grade, False, ("--purchase",)
        )
        return replace(
            bought,
            value=value,
            low=min(low, value),
            high=max(high, value),
            unit="h",
            terms="ownership",
            basis="ownership",
            grade=grade,
            note="; ".join(notes),
            converted=tuple(dict.fromkeys(rate for price in self.prices.values() for rate in price.converted)),
        )


def default_ownership(
    chip_id: str,
    power_w: float,
    /,
    on: Day = None,
    currency: str = "USD",
    *,
    region: str = "US",
    rates: Rates = None,
    family: str | None = None,
    rated_w: float | None = None,
    **given: Any,
) -> Owned | None:
    """Ownership of a chip by the dated prices of specs/prices, or None when it has no purchase price.

    power_w: mean all-in power of one chip with its share of the host; rated_w: the power that space is let by.
    region: of the electricity. family (Chip.family): allows a price borrowed from the chip's class, marked so,
    where it has none. given: any field of Ownership that the user gives himself. A chip priced as a bare card
    gets the host's share on top.
    """
    notes: list[str] = []
    prices: dict[str, Price] = {}

    def dated(name: str, ask: Callable[[Day], Price]) -> Price:
        """A rate of the day; where it is first known later, that first one, and the answer says so."""
        try:
            prices[name] = ask(on)
        except NotYetKnown as early:
            prices[name] = ask(early.first)
            if name not in given and name != "host_share":
                notes.append(f"{name.replace('_', ' ')} of {early.first}, the first known, for an earlier day")
        return prices[name]

    bought = None
    if "purchase" not in given:
        bought = purchase(chip_id, on, currency, rates=rates)
        if bought is None and family is not None:
            bought = class_purchase(chip_id, on, currency, family, rates)
        if bought is None:
            return None
    beside: dict[str, Callable[[Day], Price]] = {
        "life_years": lambda day: finance("life_years", day),
        "cost_of_capital": lambda day: finance("cost_of_capital", day),
        "network_share": lambda day: finance("network_share", day),
        "pue": lambda day: pue(None, day),
        "electricity": lambda day: electricity(region, day, currency, rates=rates),
        "colo_kw_month": lambda day: colo(day, currency, rates),
    }
    values: dict[str, Any] = {name: dated(name, ask).value for name, ask in beside.items()}
    if bought is not None:
        prices["purchase"] = bought
        values["purchase"] = bought.value
        if bought.terms == "card":
            host = dated("host_share", lambda day: finance("host_share", day)).value
            values["purchase"] *= 1 + host
            notes.append(f"the price is of a bare card; {host:.0%} added for its share of the host")
        elif any(rack in bought.note for rack in ("NVL72", "CloudMatrix")):  # whose own network connects the chips
            values["network_share"] = 0.0
            notes.append("the price of the system includes its network")
    if "staff_share" not in given:
        notes.append("staff is not included unless given")
    inputs = Ownership(**{"power_w": power_w, "rated_w": rated_w, "currency": currency, **values, **given})
    return Owned(inputs, prices, tuple(notes), tuple(given))
