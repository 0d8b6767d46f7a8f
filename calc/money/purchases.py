"""What a chip costs to buy on a given day, by the rule that is written in specs/prices/README.md.

Prices of whole systems go before prices of bare cards, since a chip needs its host; prices that were asked or
paid go before lists, estimates and the defaults of other calculators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import NoAnswer, UsageError
from .amounts import Asked
from .groups import borrowed, priced_alike, rows_of
from .pricebook import Day, Offer, Price, Rates, Row, flagged, in_region, known_rows, offer, sound, voices, within

ITEMS = ("system", "card")
RECENT_DAYS = 730
_UNFIT = ("used", "weak", "with-network", "grey-market", "smaller-memory")
_BASES = ("quote", "list", "estimate", "assumption")


def item_of(row: Row) -> str:
    """ "system" for a price with host, "card" without: a bare chip, or a board or module that needs a host."""
    return "card" if row["item"] == "card" or flagged(row, "no-host") else "system"


def purchase(
    chip_id: str,
    on: Day = None,
    currency: str = "USD",
    *,
    item: str | None = None,
    region: str | None = None,
    rates: Rates = None,
) -> Price | None:
    """Price of one chip on a date: its share of a system if one is priced, else a card; Price.terms tells which.

    item: "system" or "card" to insist. region: such as US or CN; by default the home market (global, US, EU)
    where it has a price. value is the median over the sellers of the best kind of price in the last two
    years, else of all before; low and high span every comparable price of that time. None when the chip has
    no price; NoAnswer when the first is later than the date or none is in the region. 8 chips in a server at
    250,000 USD are 31,250 USD a chip.
    """
    if item is not None and item not in ITEMS:
        raise UsageError(f'"{item}" is not an item of purchase; choose {" or ".join(ITEMS)}.')
    asked = Asked.of(on, currency, rates)
    fit = [r for r in rows_of("purchase", chip_id) if not flagged(r, *_UNFIT) and item in (None, item_of(r))]
    if not fit:
        return None
    local = in_region([r for r in fit if r["chip"] == chip_id] or fit, region, chip_id)
    known = known_rows(local, asked.day, f"No purchase price of {chip_id} is known for")
    return _choose([replace(o, value=o.value / int(o.row["chips"])) for o in asked.offers(map(offer, known))], asked)


def class_purchase(
    chip_id: str, on: Day = None, currency: str = "USD", family: str = "", rates: Rates = None
) -> Price | None:
    """Purchase price borrowed from chips of the same class, for a chip without one; None without a class.

    Bare cards and shares of systems both count; the terms are those of the member in the middle.
    """
    asked = Asked.of(on, currency, rates)
    priced = priced_alike(chip_id, family, lambda chip: purchase(chip, asked.day, asked.currency, rates=rates))
    if not priced:
        return None
    ranked = sorted(priced, key=lambda pair: pair[1].value)
    return borrowed(chip_id, family, "purchase price", ranked, ranked[(len(ranked) - 1) // 2][1])


def _choose(offers: Sequence[Offer], asked: Asked) -> Price:
    """The first kind of price that exists: recent before old, system before card, quote before estimate."""
    for period in (within(offers, asked.day.isoformat(), RECENT_DAYS), offers):
        for item in ITEMS:
            same = sound([o for o in period if item_of(o.row) == item])
            for basis in _BASES:
                chosen = voices([o for o in same if o.row["basis"] == basis])
                if chosen:
                    # what another calculator assumes widens the range of nothing but itself
                    span = [o.value for o in same if basis == "assumption" or o.row["basis"] != "assumption"]
                    note = next((o.row["note"] for o in chosen if o.row["note"]), "")
                    return asked.price(chosen, unit="chip", terms=item, basis=basis, span=span, note=note)
    raise NoAnswer("No purchase price is left after the rules of specs/prices/README.md.")
