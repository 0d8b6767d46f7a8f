"""Dated prices as the files of specs/prices hold them, and the rules that hold for every kind of price.

The rules are written in specs/prices/README.md. Only the file that is asked for is read, with the csv module
alone, since an estimate from the shell must start quickly.
"""

from __future__ import annotations

import csv
import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate, repeat
from typing import TypeVar

from ..errors import NoAnswer, SpecError, UsageError

Row = dict[str, str]  # a line of a price file as written, by column
Day = date | str | None  # the day that prices are asked for, ISO or a date; None is today
Rates = Mapping[str, float] | None  # that a user gives, units per dollar; they go before the dated ones
STALE_DAYS = 365
_HOME_REGIONS = ("global", "US", "EU")
_COLUMNS = {
    "api": "model provider tier input output cached_input currency region date until grade flags source note",
    "co2": "region scope provider value date grade source note",
    "colo": "item provider bound value currency region date grade source note",
    "electricity": "region tariff provider value currency date grade flags source note",
    "finance": "item subject provider bound value unit region date grade flags source note",
    "fx": "currency value basis provider date grade flags source note",
    "groups": "chip series class",
    "memory": "memory basis provider bound value currency date grade flags source note",
    "providers": "provider tier grade source note",
    "pue": "scope provider value region date grade flags source note",
    "purchase": "chip item chips provider basis bound value currency region date until grade flags source note",
    "rental": "chip provider terms basis n value currency region date until grade flags source note",
    "sources": "source url",
}


class NotYetKnown(NoAnswer):
    """The first price is later than the day asked for; `first` is its date."""

    def __init__(self, message: str, first: str) -> None:
        super().__init__(message)
        self.first = first


@dataclass(frozen=True, repr=False)
class Rate:
    """Exchange rate: `per_usd` units of `currency` for one dollar, its date, grade, age and source."""

    currency: str
    per_usd: float
    date: date
    basis: str
    grade: str
    stale: bool
    source: str

    def __str__(self) -> str:
        return f"converted at {self.per_usd:,.6g} {self.currency} a dollar, the rate of {self.date}"


@dataclass(frozen=True, repr=False)
class Price:
    """One price with all that a reader needs to doubt it.

    value, low, high are in `currency` per `unit`; low and high span the comparable offers. `date` is the
    latest of the quotes used, `n_offers` how many providers they come from. `basis` says how the value came
    about. Rents: "offers" (median of offers), "median" (one that someone else published), "market", "bounds"
    (ends of a range), "assumption"; purchases: "quote", "list", "estimate", "assumption"; and "class" (a
    range borrowed from similar chips, named in `borrowed_from`) and "ownership". `grade` is A to D.

    Of rents, `tier` is whose price it is (neocloud, hyperscaler, marketplace, or mixed) and `beside` what the
    other tiers and terms cost on the same day. `age_days` and `oldest_days` are the ages of the newest and of
    the oldest quote used on the day asked for; `converted` the dated rates behind a price in another currency.
    """

    value: float
    low: float
    high: float
    currency: str
    unit: str
    date: date
    n_offers: int
    terms: str
    basis: str
    grade: str
    stale: bool
    sources: tuple[str, ...]
    providers: tuple[str, ...] = ()
    note: str = ""
    borrowed_from: tuple[str, ...] = ()
    tier: str = ""
    age_days: int = 0
    oldest_days: int = 0
    converted: tuple[Rate, ...] = ()
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """What a cell with this price must carry: "old" after a year, "1 offer" if nobody else was asked."""
        lone = self.n_offers == 1 and self.basis != "median"
        return ", ".join(word for word, said in (("old", self.stale), ("1 offer", lone)) if said)

    def warnings(self) -> tuple[str, ...]:
        """Sentences that must stand beside an answer which uses this price."""
        found = []
        if self.stale:
            found.append(f"the price is of {self.date.isoformat()}, more than a year before the date asked for")
        if self.grade == "D" and "graded by" not in self.note:  # a sum says which of its inputs it is
            found.append("the price has grade D: unconfirmed or a lone estimate")
        if self.borrowed_from:
            found.append(f"the chip has no price of its own: range of {', '.join(self.borrowed_from)}")
        return (*found, *map(str, self.converted))


@dataclass(frozen=True, repr=False)
class Offer:
    """One row of a price file, converted to numbers; `row` keeps the cells as written."""

    value: float
    currency: str
    provider: str
    date: str
    grade: str
    source: str
    row: Row


AnyOffer = TypeVar("AnyOffer", bound=Offer)


@lru_cache(maxsize=1)
def folder() -> str:
    """Path of the price files: $TOKCALC_PRICES, or those shipped with the program."""
    own = os.environ.get("TOKCALC_PRICES")
    if own:
        return own
    package = importlib.import_module(__package__.split(".")[0] + ".specs")
    return os.path.join(next(iter(package.__path__)), "prices")


@lru_cache(maxsize=32)
def rows(kind: str) -> tuple[Row, ...]:
    """The rows of `specs/prices/<kind>.csv` in the order of the file; SpecError if it cannot be read."""
    path = os.path.join(folder(), kind + ".csv")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            names = next(lines, [])
            missing = [c for c in _COLUMNS[kind].split() if c not in names]
            if missing:
                raise SpecError(f"Price file {path} lacks the columns {', '.join(missing)}.")
            blank = [""] * len(names)  # a short line ends in empty cells
            return tuple(dict(zip(names, line + blank, strict=False)) for line in lines if line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"Price file {path} cannot be read: {error}.") from error


def offer(row: Row) -> Offer:
    """One row as an Offer; SpecError names the row when its number or date is not one."""
    try:
        value = float(row["value"])
        date.fromisoformat(row["date"])
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(f"Price row {dict(row)} needs a number in value and an ISO date.") from error
    currency, grade = row.get("currency") or "USD", row.get("grade") or "D"
    return Offer(value, currency, row.get("provider", ""), row["date"], grade, row.get("source", ""), row)


def as_date(on: Day) -> date:
    """`on` as a date; None is today. UsageError unless written YYYY-MM-DD."""
    if on is None:
        return date.today()
    if isinstance(on, date):
        return on
    try:
        return date.fromisoformat(on)
    except ValueError as error:
        raise UsageError(f'"{on}" is not a date; write it as 2026-10-05.') from error


def known_on(row: Row, day: str) -> bool:
    """Whether the row's price was known, and not yet withdrawn, on the ISO day."""
    until = row.get("until") or ""
    return row["date"] <= day and (not until or until >= day)


def known_rows(found: Sequence[Row], day: date, sentence: str) -> list[Row]:
    """The rows known on the day; NotYetKnown, which `sentence` begins, names the first when there is none."""
    known = [row for row in found if known_on(row, day.isoformat())]
    if not known:
        first = min(row["date"] for row in found)
        raise NotYetKnown(f"{sentence} {day}; the first is of {first}.", first)
    return known


def flagged(row: Row, *flags: str) -> bool:
    """Whether the row carries one of the flags."""
    carried = row.get("flags", "").split()
    return any(flag in carried for flag in flags)


def sound(offers: Sequence[AnyOffer]) -> Sequence[AnyOffer]:
    """The offers without those of grade D, which count only where there is nothing else."""
    return [o for o in offers if o.grade != "D"] or offers


def median(values: Iterable[float], weights: Sequence[float] = ()) -> float:
    """Middle value; the mean of the two middle ones when their number is even.

    With weights, the value at half of the weight: each value stands in the middle of its own weight, and
    between two the line is straight, so that the median follows its weights without jumps.

    >>> median([3, 1, 2]), median([4, 1, 2, 3]), median([1.0, 2.0], [1.0, 3.0])
    (2, 2.5, 1.75)
    """
    ranked = sorted(zip(values, weights or repeat(1.0), strict=False))
    if not ranked:
        raise ValueError("median of nothing")
    places = [passed - weight / 2 for (_, weight), passed in zip(ranked, accumulate(w for _, w in ranked), strict=True)]
    half = sum(weight for _, weight in ranked) / 2
    upper = next((i for i, place in enumerate(places) if place >= half), len(ranked) - 1)
    lower = max(upper - 1, 0)
    if places[upper] == half or lower == upper:
        return ranked[upper][0]
    share = (half - places[lower]) / (places[upper] - places[lower])
    return (1 - share) * ranked[lower][0] + share * ranked[upper][0]


def within(offers: Sequence[AnyOffer], day: str, days: int) -> list[AnyOffer]:
    """The offers whose date lies in the `days` before the ISO `day`."""
    first = (date.fromisoformat(day) - timedelta(days=days)).isoformat()
    return [o for o in offers if first <= o.date <= day]


def voices(offers: Sequence[AnyOffer], prefer: Callable[[AnyOffer], int] = lambda o: 0) -> list[AnyOffer]:
    """One offer a provider: the best-preferred kind, of that the latest date, of that the median value.

    A provider that lists five instance sizes, or was recorded by five collections, speaks once. The two ends
    of a range count together, whichever was noted later.
    """
    by_provider: dict[str, list[AnyOffer]] = {}
    for o in offers:
        by_provider.setdefault(o.provider, []).append(o)
    chosen = []
    for group in by_provider.values():
        best = min(prefer(o) for o in group)
        group = [o for o in group if prefer(o) == best]
        latest = max(group, key=lambda o: o.date)
        same = [o for o in group if o.date == latest.date]
        other_end = {"low": "high", "high": "low"}.get(latest.row.get("bound", ""))
        if other_end and not any(o.row["bound"] == other_end for o in same):
            ends = [o for o in group if o.row["bound"] == other_end]
            same += [max(ends, key=lambda o: o.date)] if ends else []
        chosen.append(latest if len(same) == 1 else replace(latest, value=median(o.value for o in same)))
    return chosen


def in_region(found: Sequence[Row], region: str | None, subject: str) -> list[Row]:
    """Rows of the region asked for, worldwide ones with it for US and EU; NoAnswer lists the regions known.

    Without a region: the home market (worldwide, US, EU) where it has a price, else all. Prices of other
    countries are other markets, with other taxes, embargoes and currencies, and do not enter a worldwide
    median.
    """
    if region is None:
        return [r for r in found if r["region"] in _HOME_REGIONS] or list(found)
    place = region.strip().upper()
    local = [r for r in found if r["region"].upper() == place]
    if not local:
        known = ", ".join(sorted({r["region"] for r in found}))
        raise NoAnswer(f"No price of {subject} in region {region} is known; regions with one are {known}.")
    return local + [r for r in found if r["region"] == "global" and place in ("US", "EU")]


def source_urls(keys: Iterable[str]) -> tuple[str, ...]:
    """Addresses of the named sources, each once, in order; a key that sources.csv lacks stands for itself."""
    return tuple(dict.fromkeys(_addresses().get(key, key) for key in keys if key))


@lru_cache(maxsize=1)
def _addresses() -> dict[str, str]:
    return {row["source"]: row["url"] for row in rows("sources")}


def common_grade(offers: Sequence[Offer]) -> str:
    """Middle grade of the offers, rounded to the worse; fewer than three give C at best."""
    letters = sorted(o.grade for o in offers)
    middle = letters[len(letters) // 2]
    return max(middle, "C") if len(offers) < 3 else middle


def make_price(
    offers: Sequence[Offer],
    on: date,
    *,
    unit: str,
    terms: str = "",
    basis: str = "offers",
    weights: Sequence[float] = (),
    span: Iterable[float] = (),
    note: str = "",
) -> Price:
    """The Price that stands for offers of one currency: their median, their range widened by `span`."""
    amounts = [o.value for o in offers]
    every = [*amounts, *span]
    latest = date.fromisoformat(max(o.date for o in offers))
    return Price(
        value=median(amounts, weights),
        low=min(every),
        high=max(every),
        currency=offers[0].currency,
        unit=unit,
        date=latest,
        n_offers=len(offers),
        terms=terms,
        basis=basis,
        grade=common_grade(offers),
        stale=(on - latest).days > STALE_DAYS,
        sources=source_urls(o.source for o in offers),
        providers=tuple(dict.fromkeys(o.provider for o in offers)),
        note=note,
        age_days=(on - latest).days,
        oldest_days=(on - date.fromisoformat(min(o.date for o in offers))).days,
    )
