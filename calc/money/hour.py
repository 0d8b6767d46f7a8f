"""What an hour of a chip costs, by one of three ways: a rent that is given, ownership, or a dated rental price.

Each way gives the same `Hour`, with its band, its parts and the sentences that must stand beside it. For arrays
of cases the hour is a `PriceLine` over the watts that an owner pays for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..arrays import Array
from ..errors import NoAnswer, UsageError
from .amounts import Asked, currency_code, parse_fx, parse_rent
from .rents import class_range, rental

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from .ownership import Owned
    from .pricebook import Price, Rate


@dataclass(frozen=True, eq=False, repr=False)
class Hour:
    """Money for an hour of one chip. way: "given", "ownership", "rental" or "class"; parts sum to value.

    price: the record of the answer (date, terms, source, n, grade, note); owned: the inputs where it is owned.
    """

    way: str
    value: float
    low: float
    high: float
    currency: str
    parts: tuple[tuple[str, float], ...]
    price: Mapping[str, Any]
    owned: Owned | None = None


@dataclass(frozen=True, eq=False)
class PriceLine:
    """Money for an hour of one chip as a line: fixed + per_watt x its all-in watts; way and record as in `Hour`."""

    fixed: float
    per_watt: float
    way: str
    currency: str
    record: Mapping[str, Any]

    def per_hour(self, chips: Array, all_in_w: Array = 0.0) -> Array:
        """Money for an hour of `chips` chips; all_in_w: their mean watts together with their hosts, while paid for.

        8 chips at 1.50 USD and 0.0002 USD an hour and watt, which draw 10 kW:

        >>> PriceLine(1.5, 0.0002, "ownership", "USD", {}).per_hour(8, 10_000.0)
        14.0
        """
        return self.fixed * chips + self.per_watt * all_in_w


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
        if self.rent is not None and (self.own is not None or self.price is not None):
            raise UsageError("--rent is the price itself; leave out --own and --price, or leave out --rent")
        if self.own is not None and self.price is not None:
            raise UsageError("--price picks a rent and --own buys the chip; leave one of them out")
        rates = parse_fx(self.fx) if self.fx else {}
        return replace(self, currency=currency_code(self.currency), rates=rates)


def chip_hour(chip: Chip, terms: Terms, power_w: float | None, rated_w: float | None) -> Hour:
    """The hour of one chip by the way that `terms` ask for; else rent, else ownership, else its class's range.

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


def price_line(chip: Chip, terms: Terms, rated_w: float | None) -> PriceLine:
    """The hour of one chip over its mean all-in watts, as `chip_hour` gives it; NoAnswer when no way has a price.

    An owner's electricity is the only part that its mean watts change, so two loads tell the line.
    """
    if rated_w is None:
        hour = chip_hour(chip, terms, None, None)
        return PriceLine(hour.value, 0.0, hour.way, hour.currency, hour.price)
    low, high = 0.25 * rated_w, 0.75 * rated_w
    first, second = (chip_hour(chip, terms, watts, rated_w) for watts in (low, high))
    slope = (second.value - first.value) / (high - low)
    return PriceLine(first.value - slope * low, slope, first.way, first.currency, first.price)


def _given(terms: Terms) -> Hour:
    rent, asked = parse_rent(str(terms.rent)), Asked.of(terms.on, terms.currency, terms.rates)
    value = asked.amount(rent.amount, rent.currency)
    price: dict[str, Any] = {"date": terms.on, "terms": "given with --rent", "source": "--rent", "n": 1, "grade": "A"}
    rates = asked.rates_from(rent.currency)
    if rates:
        price |= {"note": "; ".join(map(str, rates)), "rates": _rates(rates)}
    return Hour("given", value, value, value, terms.currency, (("rent", value),), price)


def _market(chip: Chip, terms: Terms, power_w: float | None, rated_w: float | None) -> Hour:
    kind, _, market = ((part.strip() or None) for part in (terms.price or "").partition("@"))
    found = rental(chip.id, terms.on, terms.currency, terms=kind, region=market, rates=terms.rates)
    if found is None and kind is None and market is None:
        owned = own_hour(chip, terms, power_w, rated_w)
        if owned is not None:
            return owned
    if found is None:
        found = class_range(chip.id, terms.on, terms.currency, terms=kind, family=chip.family, rates=terms.rates)
    if found is None:
        raise NoAnswer(f'no price of {chip.name} is known; give one with --rent "2.5 USD/h"')
    way = "class" if found.basis == "class" else "rental"
    return Hour(way, found.value, found.low, found.high, found.currency, (("rent", found.value),), price_record(found))


def own_hour(
    chip: Chip, terms: Terms, power_w: float | None, rated_w: float | None, borrow: bool = False
) -> Hour | None:
    """What an hour costs the chip's owner, part by part; None without a purchase price.

    borrow: a chip without a price takes the range of its class, marked so and of grade D. The band takes every
    dated input at its cheap and at its dear end; what the user gives himself is one value.
    """
    from .ownership import default_ownership

    given: dict[str, Any] = dict(terms.own or {})
    watts = given.get("power_w", power_w)
    if watts is None:
        raise NoAnswer(f"No power figure of {chip.name} is published; give one to `tokcalc cost` with --power-w.")
    found = default_ownership(
        chip.id,
        watts,
        terms.on,
        terms.currency,
        region=terms.region,
        rates=terms.rates,
        family=chip.family if borrow else None,
        rated_w=given.pop("rated_w", watts if rated_w is None else max(rated_w, watts)),
        **given,
    )
    if found is None:
        return None
    parts = tuple((name, float(money)) for name, money in found.inputs.parts())
    price = found.price(terms.on)
    record = price_record(price)
    if "purchase" in given:
        record |= {"date": terms.on, "terms": "ownership, purchase price given"}
    return Hour("ownership", price.value, price.low, price.high, terms.currency, parts, record, found)


def price_record(price: Price) -> dict[str, Any]:
    """What the answer prints of a price: day, terms, sources, number and age of offers, grade, warnings."""
    terms = f"{price.tier} {price.terms}".strip()
    record = {
        "date": price.date.isoformat(),
        "terms": terms if terms == price.basis else f"{terms}, {price.basis}",
        "source": "; ".join(price.sources[:2]),
        "n": price.n_offers,
        "grade": price.grade,
        "note": "; ".join(part for part in (price.note, *price.warnings()) if part),
        "age_days": price.age_days,
        "oldest_days": price.oldest_days,
        "mark": price.mark,
    }
    if price.tier:
        record |= {"tier": price.tier, "beside": dict(price.beside)}
    return record | ({"rates": _rates(price.converted)} if price.converted else {})


def _rates(rates: Sequence[Rate]) -> list[dict[str, Any]]:
    return [{"currency": r.currency, "per_usd": r.per_usd, "date": r.date.isoformat(), "grade": r.grade} for r in rates]
