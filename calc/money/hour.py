"""What an hour of a chip costs, by one of three ways: a rent that is given, ownership, or a dated rental
price.

Before: prices.py, purchases.py, ownership.py. After: the answer's money, the waterfall, the fleet. Each way
gives the same `Hour`, with its band, its parts and the sentences that must stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import NoAnswer, UsageError

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from .ownership import OwnershipDefaults
    from .pricebook import Price


@dataclass(frozen=True, eq=False, repr=False)
class Hour:
    """Money for an hour of one chip. way: "given", "ownership", "rental" or "class"; parts sum to value.

    price: the record of the answer (date, terms, source, n, grade, note); owned: the inputs where it is
    owned.
    """

    way: str
    value: float
    low: float
    high: float
    currency: str
    parts: tuple[tuple[str, float], ...]
    price: Mapping[str, Any]
    owned: OwnershipDefaults | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Terms:
    """How money is asked for: a given rent, ownership with inputs, price terms, day, currency, given rates.

    price: on-demand, reserved, spot or a provider, and after @ the market where it is rented ("reserved@CN").
    own: None (rent it where there is a rent), or the inputs of Ownership that the user gives ({}: defaults).
    """

    rent: str | None = None
    own: Mapping[str, float] | None = None
    price: str | None = None
    on: str | None = None
    currency: str = "USD"
    fx: str | None = None
    region: str = "US"
    rates: Mapping[str, float] = field(default_factory=dict)

    def checked(self) -> Terms:
        """The same with known currency, `fx` read, no contradiction; UsageError or UnknownName otherwise."""
        from .amounts import currency_code, parse_fx

        if self.rent is not None and (self.own is not None or self.price is not None):
            raise UsageError("--rent is the price itself; leave out --own and --price, or leave out --rent")
        if self.own is not None and self.price is not None:
            raise UsageError("--price picks a rent and --own buys the chip; leave one of them out")
        rates = parse_fx(self.fx) if self.fx else {}
        return replace(self, currency=currency_code(self.currency), rates=rates)


def chip_hour(chip: Chip, terms: Terms, power_w: float | None, rated_w: float | None) -> Hour:
    """The hour of one chip by the way that `terms` ask for; else rent, else ownership, else its class's
    range.

    power_w: mean all-in watts of one chip while paid for; rated_w: its rated all-in watts, which space is
    let by. NoAnswer when no way has a price, with what to give.
    """
    if terms.rent is not None:
        return _given(terms)
    if terms.own is not None:
        owned = own_hour(chip, terms, power_w, rated_w, borrow=True)
        if owned is None:
            raise NoAnswer(f'No purchase price of {chip.name} is known; give one with --purchase "30000 USD".')
        return owned
    return _market(chip, terms, power_w, rated_w)


def _given(terms: Terms) -> Hour:
    from .amounts import parse_rent

    value = parse_rent(str(terms.rent)).to(terms.currency, terms.on, terms.rates).amount
    price = {"date": terms.on, "terms": "given with --rent", "source": "--rent", "n": 1, "grade": "A"}
    return Hour("given", value, value, value, terms.currency, (("rent", value),), price)


def _market(chip: Chip, terms: Terms, power_w: float | None, rated_w: float | None) -> Hour:
    from .rents import class_range, rental

    asked, _, market = (terms.price or "").partition("@")
    price = asked.strip() or None
    found = rental(chip.id, terms.on, terms.currency, price, market.strip() or None, rates=terms.rates)
    if found is None and price is None and not market:
        owned = own_hour(chip, terms, power_w, rated_w)
        if owned is not None:
            return owned
    if found is None:
        found = class_range(chip.id, terms.on, terms.currency, price, chip.family, terms.rates)
    if found is None:
        raise NoAnswer(f'no price of {chip.name} is known; give one with --rent "2.5 USD/h"')
    way = "class" if found.basis == "class" else "rental"
    return Hour(way, found.value, found.low, found.high, found.currency, (("rent", found.value),), price_record(found))


def own_hour(
    chip: Chip, terms: Terms, power_w: float | None, rated_w: float | None, borrow: bool = False
) -> Hour | None:
    """What an hour costs the chip's owner, part by part; None without a purchase price.

    borrow: a chip without a price takes the range of its class, marked so and of grade D.

    The band takes every dated input at its cheap and at its dear end (`ownership.hour_ends`); what the user
    gives himself is one value and has no grade.
    """
    from .ownership import default_ownership, hour_price

    given: dict[str, Any] = dict(terms.own or {})
    mine = tuple(given)
    watts = given.pop("power_w", power_w)
    if watts is None:
        raise NoAnswer(f"No power figure of {chip.name} is published; give one to `tokcalc cost` with --power-w.")
    if borrow:
        given["family"] = chip.family
    given.setdefault("rated_w", rated_w if rated_w is not None and rated_w >= watts else watts)
    found = default_ownership(chip.id, watts, terms.on, terms.currency, terms.region, terms.rates, **given)
    if found is None:
        return None
    parts = tuple((name, float(money)) for name, money in found.inputs.parts())
    price = hour_price(found, dict.fromkeys(mine), terms.on)
    record = price_record(price)
    if "purchase" in mine:
        record |= {"date": terms.on, "terms": "ownership, purchase price given"}
    return Hour("ownership", price.value, price.low, price.high, terms.currency, parts, record, found)


def price_record(price: Price) -> dict[str, Any]:
    """What the answer prints of a price: day, terms, sources, number of offers, grade, warnings."""
    terms = price.terms if price.terms == price.basis else f"{price.terms}, {price.basis}"
    return {
        "date": price.date.isoformat(), "terms": terms, "source": "; ".join(price.sources[:2]),
        "n": price.n_offers, "grade": price.grade,
        "note": "; ".join(part for part in (price.note, *price.warnings()) if part),
    }  # fmt: skip
