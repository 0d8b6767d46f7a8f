"""What a chip costs to buy, by the chip, on a given day.

Before: specs/prices/purchase.csv through pricebook.py. After: ownership.py. Prices of whole systems go before
prices of bare cards, since a chip needs its host; prices that were asked or paid go before lists, estimates
and the defaults of other calculators. The rule stands in specs/prices/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from ..errors import NoAnswer, UsageError
from .amounts import convert, currency_code
from .pricebook import (
    Offer,
    Price,
    as_date,
    flagged,
    in_region,
    known_on,
    make_price,
    median,
    offer,
    rows,
    voices,
    within,
)

ITEMS = ("system", "card")
RECENT_DAYS = 730
_UNFIT = ("used", "weak", "with-network", "grey-market", "smaller-memory")
_BASES = ("quote", "list", "estimate", "assumption")


def item_of(row: Mapping[str, str]) -> str:
    """ "system" for a price with host, "card" for one without: a bare chip, or a board or module that needs a
    host.
    """
    return "card" if row["item"] == "card" or flagged(dict(row), "no-host") else "system"


def purchase(
    chip_id: str,
    on: date | str | None = None,
    currency: str = "USD",
    item: str | None = None,
    region: str | None = None,
    rates: Mapping[str, float] | None = None,
) -> Price | None:
    """Price of one chip on a date: its share of a system if one is priced, else a card (Price.terms tells
    which).

    item: "system" or "card" to insist. region: such as US or CN; by default the home market (global, US, EU)
    where it has a price. value is the median over the sellers of the best kind of price in the last two
    years, else of all before; low and high span every comparable price of that time. None when the chip has
    no price; NoAnswer when the first is later than the date or none is in the region. 8 chips in a server at
    250,000 USD are 31,250 USD a chip.
    """
    if item is not None and item not in ITEMS:
        raise UsageError(f'"{item}" is not an item of purchase; choose {" or ".join(ITEMS)}.')
    code, asked = currency_code(currency), as_date(on)
    series = next((r["series"] for r in rows("groups") if r["chip"] == chip_id), "")
    fit = [r for r in rows("purchase") if not flagged(r, *_UNFIT) and item in (None, item_of(r))]
    found = [r for r in fit if r["chip"] == chip_id] or [r for r in fit if series and r["chip"] == series]
    if not found:
        return None
    local = in_region(found, region, chip_id)
    known = [r for r in local if known_on(r, asked.isoformat())]
    if not known:
        first = min(r["date"] for r in local)
        raise NoAnswer(f"No purchase price of {chip_id} is known for {asked}; the first is of {first}.")
    per_chip = [_per_chip(offer(r), code, asked, rates) for r in known]
    return _choose(per_chip, asked)


def class_purchase(
    chip_id: str, on: date | str | None = None, currency: str = "USD", family: str = "",
    rates: Mapping[str, float] | None = None,
) -> Price | None:  # fmt: skip
    """Purchase price borrowed from chips of the same class, for a chip without one; None without a class.

    value is the median of the class's prices, low and high their extremes; `borrowed_from` names the chips,
    and the grade is D. Bare cards and shares of systems both count; the terms are those of the member in
    the middle.
    """
    name = next((r["class"] for r in rows("groups") if r["chip"] == chip_id), "") or family
    priced = []
    for member in [r["chip"] for r in rows("groups") if r["class"] == name and r["chip"] != chip_id]:
        try:
            found = purchase(member, on, currency, rates=rates)
        except NoAnswer:
            continue
        if found is not None:
            priced.append((member, found))
    if not priced:
        return None
    priced.sort(key=lambda pair: pair[1].value)
    middle = priced[(len(priced) - 1) // 2][1]
    return replace(
        middle, value=median([p.value for _, p in priced]), low=priced[0][1].value, high=priced[-1][1].value,
        n_offers=sum(p.n_offers for _, p in priced), basis="class", grade="D", providers=(),
        borrowed_from=tuple(member for member, _ in priced),
        note=f"no purchase price of {chip_id} is known: range of the {name} class",
    )  # fmt: skip


def _per_chip(whole: Offer, currency: str, on: date, rates: Mapping[str, float] | None) -> Offer:
    """The offer divided by the chips that it holds, in the currency asked for."""
    value = convert(whole.value, whole.currency, currency, on, rates) / int(whole.row["chips"])
    return replace(whole, value=value, currency=currency)


def _choose(offers: Sequence[Offer], asked: date) -> Price:
    """The first kind of price that exists: recent before old, system before card, quote before estimate."""
    recent = within(offers, asked.isoformat(), RECENT_DAYS)
    for period in (recent, offers):
        for item in ITEMS:
            every = [o for o in period if item_of(o.row) == item]
            same = [o for o in every if o.grade != "D"] or every
            for basis in _BASES:
                chosen = voices([o for o in same if o.row["basis"] == basis])
                if chosen:
                    span = [o.value for o in same if basis == "assumption" or o.row["basis"] != "assumption"]
                    note = next((o.row["note"] for o in chosen if o.row["note"]), "")
                    return make_price(chosen, asked, unit="chip", terms=item, basis=basis, span=span, note=note)
    raise NoAnswer("No purchase price is left after the rules of specs/prices/README.md.")
