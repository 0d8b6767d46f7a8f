"""What a chip costs by the hour to rent, or to buy, and what providers charge for tokens, on a given day.

Before: specs/prices/*.csv through pricebook.py. After: estimate.py, ownership.py and the commands. The rules
that pick one price from offers which disagree are written in specs/prices/README.md; a chip without a price
gets a range from its class, marked as borrowed, or None: never a silent guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from ..errors import NoAnswer, UnknownName
from .amounts import convert, currency_code
from .pricebook import (
    QUARTER_DAYS,
    YEAR_DAYS,
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

TERMS = ("on-demand", "reserved", "spot", "marketplace")
_PAY_AS_YOU_GO = {"on-demand": ("on-demand", "marketplace")}
_UNFIT = ("outlier", "promo", "gpu-only", "peak", "subset")
_ENOUGH, _PLENTY = 3, 5


def group_of(chip_id: str) -> dict[str, str]:
    """Series (form factors of one chip) and price class of a chip id; empty strings when it is in no
    group.
    """
    for row in rows("groups"):
        if row["chip"] == chip_id:
            return row
    return {"chip": chip_id, "series": "", "class": ""}


def rental_providers(chip_id: str) -> tuple[str, ...]:
    """Names of the providers with a dated rent for the chip."""
    names = {r["provider"] for r in _chip_rows(chip_id) if r["basis"] == "offer"}
    return tuple(sorted(names, key=str.lower))


def _chip_rows(chip_id: str) -> list[dict[str, str]]:
    """Rows of the chip, then those of its series whose form factor is not stated."""
    series = group_of(chip_id)["series"]
    return [r for r in rows("rental") if r["chip"] == chip_id or (series and r["chip"] == series)]


def _to_currency(offers: Sequence[Offer], currency: str, on: date, rates: Mapping[str, float] | None) -> list[Offer]:
    """The offers in one currency at the rate of the date asked for: that is when the rent would be paid."""
    return [replace(o, value=convert(o.value, o.currency, currency, on, rates), currency=currency) for o in offers]


def rental(
    chip_id: str,
    on: date | str | None = None,
    currency: str = "USD",
    terms: str | None = None,
    region: str | None = None,
    provider: str | None = None,
    rates: Mapping[str, float] | None = None,
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
    code, asked = currency_code(currency), as_date(on)
    day = asked.isoformat()
    found = _chip_rows(chip_id)
    if not found:
        return None
    if terms is not None and terms.lower() not in TERMS:
        provider, terms = terms, None
    if provider is not None:
        found = _of_provider(found, provider, chip_id)
    local = in_region(found, region, chip_id)
    for kind in (terms.lower(),) if terms else TERMS[:3]:
        kinds = _PAY_AS_YOU_GO.get(kind, (kind,))
        known = [r for r in local if r["terms"] in kinds and known_on(r, day)]
        if known:
            offers = _to_currency([offer(r) for r in known], code, asked, rates)
            return _choose(offers, chip_id, asked, kind, provider is not None)
    wanted = _PAY_AS_YOU_GO.get(terms.lower(), (terms.lower(),)) if terms else TERMS
    moments = [r["date"] for r in local if r["terms"] in wanted]
    if not moments:
        others = ", ".join(sorted({r["terms"] for r in local}))
        raise NoAnswer(f"No {terms} rent of {chip_id} is known; there are prices for {others}.")
    first = min(moments)
    if first > day:
        raise NoAnswer(f"No rent of {chip_id} is known for {day}; the first is of {first}.")
    raise NoAnswer(f"The rents known of {chip_id} no longer held on {day}; ask for another date or give --rent.")


def _of_provider(found: list[dict[str, str]], provider: str, chip_id: str) -> list[dict[str, str]]:
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
    """Sets of comparable offers, the best first: of this form factor, with those of unstated form added,
    medians of others, statements about the market, then bounds and assumptions.
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
    windows = [within(offers, day, days) for days in (QUARTER_DAYS, YEAR_DAYS)]
    windows += [within(offers, latest, QUARTER_DAYS), offers]
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
    """One voice a provider, of grade D only where there is no other; of published medians the closest and
    latest.
    """
    sound = [o for o in tier if o.grade != "D"] or tier
    chosen = voices(sound, lambda o: 1 if o.row["terms"] == "marketplace" else 0)
    if any(o.row["basis"] == "median" for o in chosen):
        chosen = [max(chosen, key=lambda o: (o.row["chip"] == chip_id, o.date))]
    return chosen


def _rent_price(chosen: list[Offer], window: Sequence[Offer], chip_id: str, asked: date, terms: str) -> Price:
    """Price of the chosen offers; a published median takes its range from the offers of its window."""
    basis = chosen[0].row["basis"]
    notes = [o.row["note"] for o in chosen if o.row["note"]] if len(chosen) == 1 else []
    if any(o.row["chip"] != chip_id for o in chosen):
        notes.append("form factor not stated in some offers")
    if basis == "median":
        exact, _, single, *_ = _tiers(window, chip_id)
        around = [o.value for o in (exact if chosen[0].row["chip"] == chip_id else single)]
        notes.insert(0, f"published median: {chosen[0].provider}")
        return make_price(
            chosen,
            asked,
            unit="h",
            terms=terms,
            basis="median",
            span=around,
            count=_weight(chosen),
            note="; ".join(notes),
        )
    label = {"offer": "offers", "analysis": "assumption", "market": "market"}.get(basis, "bounds")
    ends = [o.value for o in window if o.row["basis"] == basis] if label == "bounds" else []
    ends += [o.value for o in window if label == "bounds" and o.row["basis"] in ("low", "high")]
    return make_price(chosen, asked, unit="h", terms=terms, basis=label, span=ends, note="; ".join(notes))


def class_range(
    chip_id: str,
    on: date | str | None = None,
    currency: str = "USD",
    terms: str | None = None,
    family: str = "",
    rates: Mapping[str, float] | None = None,
) -> Price | None:
    """Range of the rents of chips of the same class, for a chip without a rent of its own; None without a
    class.

    `family` (Chip.family) names the class of a chip that specs/prices/groups.csv does not list. value is the
    median of the class's medians, low and high their extremes; `borrowed_from` names the chips, and the grade
    is D.
    """
    name = group_of(chip_id)["class"] or family
    members = [r["chip"] for r in rows("groups") if r["class"] == name and r["chip"] != chip_id] if name else []
    asked, priced = as_date(on), []
    currency_code(currency)
    for member in members:
        try:
            price = rental(member, asked, currency, terms, rates=rates)
        except (NoAnswer, UnknownName):
            continue
        if price is not None and price.basis in ("offers", "median"):
            priced.append((member, price))
    if not priced:
        return None
    values = [price.value for _, price in priced]
    newest = max(priced, key=lambda pair: pair[1].date)[1]
    return replace(
        newest,
        value=median(values),
        low=min(values),
        high=max(values),
        n_offers=sum(price.n_offers for _, price in priced),
        basis="class",
        grade="D",
        sources=tuple(dict.fromkeys(url for _, price in priced for url in price.sources)),
        providers=(),
        borrowed_from=tuple(member for member, _ in priced),
        note=f"no rent of {chip_id} is known: range of the {name} class",
    )


def price_per_hour(
    chip_id: str,
    on: date | str | None = None,
    currency: str = "USD",
    terms: str | None = None,
    region: str | None = None,
    family: str = "",
    power_w: float | None = None,
    rates: Mapping[str, float] | None = None,
) -> Price | None:
    """Money for an hour of one chip, by the best way that the dated prices allow; Price.basis tells which.

    First its rent; without any and when power_w (all-in watts of the chip with its share of the host) is
    given, what it costs an owner by its purchase price (basis "ownership"); then the range of its class,
    marked as borrowed (basis "class"); else None. Terms that a rented chip lacks are not borrowed: NoAnswer
    or UnknownName says what there is.
    """
    own = rental(chip_id, on, currency, terms, region, rates=rates)
    if own is not None:
        return own
    if power_w is not None and terms is None:
        from .ownership import owned_price

        owned = owned_price(chip_id, power_w, on, currency, rates=rates)
        if owned is not None:
            return owned
    return class_range(chip_id, on, currency, terms, family, rates)
