"""What a chip rents for by the hour on a given day, by the rule that is written in specs/prices/README.md.

The day enters the value in one way only: through the prices that are known on it. Offers are carried forward
until their provider replaces them, and their ages count from the newest of them, never from the day asked
for, so that a rent changes on no day without a datum. A chip without a rent gets a range from its class,
marked as borrowed, or None: never a silent guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

from ..errors import NoAnswer, UnknownName
from .amounts import Asked
from .groups import borrowed, is_main_form, priced_alike, rows_of
from .pricebook import Day, Offer, Price, Rates, Row, flagged, in_region, known_on, offer, rows, sound, voices, within

TERMS = ("on-demand", "reserved", "spot")
TIERS = ("neocloud", "hyperscaler", "marketplace")
_UNFIT = ("outlier", "promo", "gpu-only", "peak", "subset")
_PLENTY = 5
_OLDEST_DAYS, _HALF_LIFE_DAYS = 365, 182.5
_PRICED = ("offer", "median")
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
    "on-demand" (also the default: by the hour, not interruptible), "reserved" or "spot"; a tier, which is on
    demand: "neocloud", "hyperscaler", "marketplace"; or the name of a provider. Without a tier the neoclouds
    go first; Price.tier tells whose price it is, Price.beside what the other tiers and terms cost. region:
    such as US, EU, CN. rates: units per dollar that go before the dated exchange rates. Without terms asked,
    a chip that nobody lends by the hour gets its reserved, else its spot rate; Price.terms tells. None when
    the chip has no rent at all; NoAnswer when there is none of these terms, none in the region, or the first
    is later than the date; UnknownName for a provider or currency that is not known.
    """
    asked = Asked.of(on, currency, rates)
    price = _rental(chip_id, asked, terms, region, provider)
    if price is None or terms is not None or provider is not None:
        return price
    return replace(price, beside=_beside(chip_id, asked, region))


@lru_cache(maxsize=1024)
def _beside(chip_id: str, asked: Asked, region: str | None) -> Mapping[str, float]:
    """Rents of all tiers and terms by their names, where there are any."""
    found: dict[str, float] = {}
    for name in (*TIERS, *TERMS[1:]):
        with suppress(NoAnswer):
            price = _rental(chip_id, asked, name, region)
            if price is not None and price.basis in ("offers", "median"):
                found[name] = price.value
    return found


@lru_cache(maxsize=1024)
def _rental(
    chip_id: str, asked: Asked, terms: str | None = None, region: str | None = None, provider: str | None = None
) -> Price | None:
    word, rents = terms.lower() if terms else "", _rents_of(chip_id)
    if not rents:
        return None
    if word and word not in (*TERMS, *TIERS):
        provider, word = terms, ""
    if provider is not None:
        rents = _of_provider(rents, provider, chip_id)
    places = {row["region"] for row in in_region([o.row for o in rents], region, chip_id)}
    local = [o for o in rents if o.row["region"] in places]
    day = asked.day.isoformat()
    known = [o for o in local if known_on(o.row, day)]
    market = _Market(chip_id, asked, asked.offers(known))
    for kind in (word,) if word in TERMS else TERMS[:1] if word in TIERS else TERMS:
        if provider is not None:
            price = market.of_one_provider(kind)
        else:
            price = market.price(kind, (word,) if word in TIERS else TIERS)
        if price is not None:
            return price
    dates = [o.date for o in local if o.is_of(word) and (o.fit or provider is not None)]
    if not dates:
        others = ", ".join(sorted({o.row["terms"] for o in local}))
        raise NoAnswer(f"No {terms} rent of {chip_id} is known; there are prices for {others}.")
    if min(dates) > day:
        raise NoAnswer(f"No rent of {chip_id} is known for {day}; the first is of {min(dates)}.")
    raise NoAnswer(f"The rents known of {chip_id} no longer held on {day}; ask for another date or give --rent.")


@dataclass(frozen=True, repr=False)
class _Rent(Offer):
    """An offer with what the rule asks of it.

    kind: on-demand, reserved or spot, by how the chip is let and not by whom; tier: whose price it is, one of
    TIERS or "mixed" for several. exact: of the form factor asked for, and known to be. number: providers that
    speak; a published median speaks for those that it names, at least one. fit: no flag leaves it out.
    """

    kind: str
    tier: str
    basis: str
    exact: bool
    number: int
    fit: bool

    def is_of(self, word: str) -> bool:
        """Whether the rent is of these terms, or an on-demand price of this tier; all are of no terms."""
        return word in ("", self.kind) or (word == self.tier and self.kind == TERMS[0])


@lru_cache(maxsize=256)
def _rents_of(chip_id: str) -> Sequence[_Rent]:
    """The rents in the file of a chip and of its series."""
    tiers = {row["provider"]: row["tier"] for row in rows("providers")}
    return [
        _Rent(
            **vars(offer(row)),
            kind="on-demand" if row["terms"] == "marketplace" else row["terms"],
            tier="marketplace" if row["terms"] == "marketplace" else tiers.get(row["provider"], _unknown(row)),
            basis=row["basis"],
            exact=row["chip"] == chip_id and not flagged(row, "mixed-forms"),
            number=int(row["n"] or 1) if row["basis"] == "median" else 1,
            fit=not flagged(row, *_UNFIT),
        )
        for row in rows_of("rental", chip_id)
    ]


def _unknown(row: Row) -> str:
    """The tier of a provider that the table does not list; what is said of the market is of no tier."""
    return TIERS[0] if row["basis"] in _PRICED else "mixed"


def _of_provider(rents: Sequence[_Rent], provider: str, chip_id: str) -> Sequence[_Rent]:
    """The rents of one provider, found by the start of its name in any case; UnknownName lists those known."""
    name = provider.strip().lower()
    names = sorted({o.provider for o in rents if o.basis == "offer"}, key=str.lower)
    match = [n for n in names if n.lower() == name] or [n for n in names if n.lower().startswith(name)]
    if len(match) != 1:
        import difflib

        near = difflib.get_close_matches(name, [n.lower() for n in names], 3, 0.5)
        listed = [n for n in names if n.lower() in near] or names
        raise UnknownName(
            f'No provider or price terms "{provider}" for {chip_id}; terms are {", ".join((*TERMS, *TIERS))}, '
            f"providers {', '.join(listed)}."
        )
    return [o for o in rents if o.provider == match[0]]


@dataclass(frozen=True)
class _Voices:
    """One word a provider, or one published median, with how much each weighs."""

    offers: Sequence[_Rent]
    weights: Sequence[float]

    @classmethod
    def of(cls, offers: Sequence[_Rent], newest: str = "") -> _Voices:
        """The latest word of each provider; `newest`: the date of the newest offer of all sets that are compared.

        A word weighs half as much for each half year that it is older than the newest, and nothing after a
        year. Nothing here looks at the day asked for: that would move the price on days without a datum.
        """
        newest = newest or max((o.date for o in offers), default="")
        recent = within(offers, newest, _OLDEST_DAYS) if offers else []
        chosen = voices(sound(recent), lambda o: o.row["terms"] == "marketplace")
        if any(o.basis == "median" for o in chosen):  # each already speaks for many: the closest and latest
            chosen = [max(chosen, key=lambda o: (o.exact, o.date))]
        ages = [(date.fromisoformat(newest) - date.fromisoformat(o.date)).days for o in chosen]
        return cls(chosen, [0.5 ** (age / _HALF_LIFE_DAYS) for age in ages])

    @property
    def number(self) -> int:
        """How many providers speak."""
        return sum(o.number for o in self.offers)

    @property
    def weight(self) -> float:
        """How many providers speak, each as heavy as its word."""
        return sum(o.number * weight for o, weight in zip(self.offers, self.weights, strict=True))


@dataclass(frozen=True)
class _Market:
    """The rents of one chip that hold on the day asked for, in one region and one currency."""

    chip_id: str
    asked: Asked
    rents: Sequence[_Rent]

    def price(self, kind: str, tiers: Sequence[str] = TIERS) -> Price | None:
        """The rent of the first tier that has one; without any, what is said of the market as a whole."""
        usable = [o for o in self.rents if o.kind == kind and o.fit]
        for tier in tiers:
            found = self._of_tier(usable, tier, tiers is TIERS)
            if found is not None:
                return found
        for bases in (("median",), ("market",), ("low", "high", "analysis", "floor")):
            said = [o for o in usable if o.basis in bases and (tiers is TIERS or o.tier in tiers)]
            if said:
                return self._made(_Voices.of(said), said)
        return None

    def of_one_provider(self, kind: str) -> Price | None:
        """The rent in a market of one provider, of this form factor where it is stated."""
        offers = [o for o in self.rents if o.kind == kind]
        usable = [o for o in offers if o.fit] or offers
        single = [o for o in usable if o.basis == "offer"] or usable
        chosen = [o for o in single if o.exact] or single
        return self._made(_Voices.of(chosen), chosen) if chosen else None

    def _of_tier(self, usable: Sequence[_Rent], tier: str, by_default: bool) -> Price | None:
        """Rule 3: of comparable sets in which two providers speak, the first of five providers, else the loudest."""
        own = [o for o in usable if o.tier == tier and o.basis in _PRICED]
        exact = [o for o in own if o.exact]
        # A median over all tiers may stand in by default, where it is of this very form factor.
        mixed = [o for o in usable if o.tier == "mixed" and o.basis == "median" and o.exact]
        mixed = mixed if by_default and tier == TIERS[0] else []
        sets = [[o for o in part if o.basis == basis] for part in (exact, own) for basis in _PRICED]
        # A median that mixes form factors, or an offer that states none, is taken to be of the main one.
        stages = [sets, [mixed]] if is_main_form(self.chip_id) else [sets[:2], [mixed], sets[2:]]
        newest = max((o.date for o in (*own, *mixed)), default="")
        heard = [[_Voices.of(part, newest) for part in stage if part] for stage in stages]
        for least in (2, 1):
            for stage in heard:
                said = [found for found in stage if found.number >= least]
                if said:
                    loud = next((s for s in said if s.weight >= _PLENTY), None) or max(said, key=lambda s: s.weight)
                    like = usable if loud.offers[0].tier == "mixed" else own
                    around = [o for o in like if o.basis == "offer" and o.exact >= loud.offers[0].exact]
                    return self._made(loud, within(around, newest, _OLDEST_DAYS))
        return None

    def _made(self, said: _Voices, around: Sequence[Offer]) -> Price:
        """The price of these voices; a published median and the ends of a range span the offers around them."""
        first = said.offers[0]
        basis = _BASIS.get(first.basis, "bounds")
        notes = [f"published median: {first.provider}"] if basis == "median" else []
        if len(said.offers) == 1 and first.row["note"]:
            notes.append(first.row["note"])
        if any(o.row["chip"] != self.chip_id for o in said.offers):
            notes.append("form factor not stated in some offers")
        tiers = {o.tier for o in said.offers if basis in ("offers", "median")}
        price = self.asked.price(
            said.offers,
            unit="h",
            terms=first.kind,
            basis=basis,
            weights=said.weights,
            span=[o.value for o in around] if basis in ("median", "bounds") else [],
            note="; ".join(notes),
        )
        return replace(price, n_offers=said.number, tier=tiers.pop() if len(tiers) == 1 else "mixed")


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
        price = _rental(chip, asked, terms)
        return price if price is not None and price.basis in ("offers", "median") else None

    priced = priced_alike(chip_id, family, rent)
    if not priced:
        return None
    newest = max((price for _, price in priced), key=lambda price: price.date)
    urls = dict.fromkeys(url for _, price in priced for url in price.sources)
    return borrowed(chip_id, family, "rent", priced, replace(newest, sources=tuple(urls)))
