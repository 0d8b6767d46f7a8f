"""What a chip rents for by the hour on a given day, by the rule that is written in specs/prices/README.md.

A chip without a rent gets a range from its class, marked as borrowed, or None: never a silent guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from ..errors import NoAnswer, UnknownName
from .amounts import Asked
from .groups import borrowed, priced_alike, rows_of
from .pricebook import Day, Offer, Price, Rates, Row, flagged, in_region, known_on, make_price, sound, voices, within

TERMS = ("on-demand", "reserved", "spot", "marketplace")
_PAY_AS_YOU_GO = ("on-demand", "marketplace")
_UNFIT = ("outlier", "promo", "gpu-only", "peak", "subset")
_ENOUGH, _PLENTY = 3, 5
_QUARTER_DAYS, _YEAR_DAYS = 92, 365
_BASIS = {"offer": "offers", "median": "median", "analysis": "assumption", "market": "market"}


def rental(
    chip_id: str,
    on: Day = None,
    currency: str = "USD",
    *,
    terms: str | None = None,
    region: str | None = None,
    provider: str | None = None,
    rates: Rates = None,
) -> Price | None:
    """Rent of one chip for one hour on a date: the median of comparable offers, with their range and number.

    chip_id: id as in specs/chips. on: date, default today; only prices known by then count. terms:
    "on-demand" (also the default: by the hour, not interruptible, marketplaces included), "reserved", "spot",
    "marketplace", or the name of a provider. region: such as US, EU, CN. rates: units per dollar that go
    before the dated exchange rates. Without terms asked, a chip that nobody lends by the hour gets its
    reserved, else its spot rate; Price.terms tells. None when the chip has no rent at all; NoAnswer when
    there is none of these terms, none in the region, or the first is later than the date; UnknownName for a
    provider or currency that is not known.
    """
    asked = Asked.of(on, currency, rates)
    found = rows_of("rental", chip_id)
    if not found:
        return None
    if terms is not None and terms.lower() not in TERMS:
        provider, terms = terms, None
    if provider is not None:
        found = _of_provider(found, provider, chip_id)
    local = in_region(found, region, chip_id)
    for kind in (terms.lower(),) if terms else TERMS[:3]:
        known = [r for r in local if r["terms"] in _included(kind) and known_on(r, asked.day.isoformat())]
        if known:
            return _choose(asked.offers(known), chip_id, asked.day, kind, provider is not None)
    moments = [r["date"] for r in local if terms is None or r["terms"] in _included(terms.lower())]
    if not moments:
        others = ", ".join(sorted({r["terms"] for r in local}))
        raise NoAnswer(f"No {terms} rent of {chip_id} is known; there are prices for {others}.")
    if min(moments) > asked.day.isoformat():
        raise NoAnswer(f"No rent of {chip_id} is known for {asked.day}; the first is of {min(moments)}.")
    raise NoAnswer(f"The rents known of {chip_id} no longer held on {asked.day}; ask for another date or give --rent.")


def _included(kind: str) -> tuple[str, ...]:
    """The terms of rows that count for the terms asked for."""
    return _PAY_AS_YOU_GO if kind == "on-demand" else (kind,)


def _of_provider(found: Sequence[Row], provider: str, chip_id: str) -> list[Row]:
    """Rows of one provider, found by the start of its name in any case; UnknownName lists those known."""
    name = provider.strip().lower()
    names = sorted({r["provider"] for r in found if r["basis"] == "offer"}, key=str.lower)
    match = [n for n in names if n.lower() == name] or [n for n in names if n.lower().startswith(name)]
    if len(match) != 1:
        import difflib

        near = difflib.get_close_matches(name, [n.lower() for n in names], 3, 0.5)
        listed = [n for n in names if n.lower() in near] or names
        raise UnknownName(
            f'No provider or price terms "{provider}" for {chip_id}; terms are {", ".join(TERMS[:3])}, '
            f"providers {', '.join(listed)}."
        )
    return [r for r in found if r["provider"] == match[0]]


def _tiers(offers: Sequence[Offer], chip_id: str) -> list[list[Offer]]:
    """Sets of comparable offers, the best first.

    Of this form factor, with those of unstated form added, medians of others, statements about the market,
    then bounds and assumptions.
    """
    usable = [o for o in offers if not flagged(o.row, *_UNFIT)]
    single = [o for o in usable if o.row["basis"] == "offer"]
    published = [o for o in usable if o.row["basis"] == "median"]
    exact = [o for o in single if o.row["chip"] == chip_id]
    own_medians = [o for o in published if o.row["chip"] == chip_id and not flagged(o.row, "mixed-forms")]
    said = [o for o in usable if o.row["basis"] == "market"]
    rest = [o for o in usable if o.row["basis"] in ("low", "high", "analysis", "floor")]
    return [exact, own_medians, single, published, said, rest]


def _weight(tier: Sequence[Offer]) -> int:
    """How many providers speak in a set; a published median speaks for those that it names, at least one."""
    return sum(int(o.row["n"] or 1) if o.row["basis"] == "median" else 1 for o in tier)


def _choose(offers: list[Offer], chip_id: str, asked: date, terms: str, one_provider: bool) -> Price:
    """Applies rule 3 of specs/prices/README.md, window by window, to the offers of one currency."""
    day, latest = asked.isoformat(), max(o.date for o in offers)
    windows = [within(offers, day, days) for days in (_QUARTER_DAYS, _YEAR_DAYS)]
    windows += [within(offers, latest, _QUARTER_DAYS), offers]
    fallback: tuple[list[Offer], list[Offer]] | None = None
    for window in windows:
        sets = [chosen for tier in _tiers(window, chip_id) if (chosen := _speakers(tier, chip_id))]
        if not sets:
            continue
        loud = next((s for s in sets if _weight(s) >= _PLENTY), None) or max(sets, key=_weight)
        if one_provider or _weight(loud) >= _ENOUGH:
            return _rent_price(sets[0] if one_provider else loud, window, chip_id, asked, terms)
        fallback = fallback or (sets[0], window)
    chosen, window = fallback or ([max(offers, key=lambda o: o.date)], [])
    return _rent_price(chosen, window, chip_id, asked, terms)


def _speakers(tier: Sequence[Offer], chip_id: str) -> list[Offer]:
    """One voice a provider; of published medians the closest and latest."""
    chosen = voices(sound(tier), lambda o: 1 if o.row["terms"] == "marketplace" else 0)
    if any(o.row["basis"] == "median" for o in chosen):
        chosen = [max(chosen, key=lambda o: (o.row["chip"] == chip_id, o.date))]
    return chosen


def _rent_price(chosen: list[Offer], window: Sequence[Offer], chip_id: str, asked: date, terms: str) -> Price:
    """Price of the chosen offers; a published median takes its range from the offers of its window."""
    basis = chosen[0].row["basis"]
    label = _BASIS.get(basis, "bounds")
    notes = [o.row["note"] for o in chosen if o.row["note"]] if len(chosen) == 1 else []
    if any(o.row["chip"] != chip_id for o in chosen):
        notes.append("form factor not stated in some offers")
    span: list[float] = []
    if label == "median":
        exact, _, single, *_ = _tiers(window, chip_id)
        span = [o.value for o in (exact if chosen[0].row["chip"] == chip_id else single)]
        notes.insert(0, f"published median: {chosen[0].provider}")
    elif label == "bounds":
        span = [o.value for o in window if o.row["basis"] in (basis, "low", "high")]
    price = make_price(chosen, asked, unit="h", terms=terms, basis=label, span=span, note="; ".join(notes))
    return replace(price, n_offers=_weight(chosen))


def class_range(
    chip_id: str,
    on: Day = None,
    currency: str = "USD",
    *,
    terms: str | None = None,
    family: str = "",
    rates: Rates = None,
) -> Price | None:
    """Range of the rents of chips of the same class, for a chip without a rent of its own; None without a class.

    `family` (Chip.family) names the class of a chip that specs/prices/groups.csv does not list.
    """
    asked = Asked.of(on, currency, rates)

    def rent(chip: str) -> Price | None:
        price = rental(chip, asked.day, asked.currency, terms=terms, rates=rates)
        return price if price is not None and price.basis in ("offers", "median") else None

    priced = priced_alike(chip_id, family, rent)
    if not priced:
        return None
    newest = max((price for _, price in priced), key=lambda price: price.date)
    urls = dict.fromkeys(url for _, price in priced for url in price.sources)
    return borrowed(chip_id, family, "rent", priced, replace(newest, sources=tuple(urls)))
