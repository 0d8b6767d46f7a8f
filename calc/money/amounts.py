"""Amounts of money that know their currency, dated exchange rates, and the way each currency is written.

What a user types ("2 trillion KRW", "2.5 USD/h") is read here; the arithmetic of cost and ownership computes in
plain floats of one currency. One becomes another only by a rate of a day, or by a rate that is given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ..checks import positive
from ..errors import NoAnswer, UnknownName, UsageError
from .pricebook import (
    STALE_DAYS,
    AnyOffer,
    Day,
    Offer,
    Price,
    Rate,
    Rates,
    Row,
    as_date,
    flagged,
    make_price,
    rows,
    source_urls,
)


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    """The table turned around: what each of its words stands for."""
    return {word: meaning for meaning, words in table.items() for word in words.split()}


# Decimals and symbol, as English-language press of the currency's country writes them.
_STYLE = {"USD": (2, "$"), "EUR": (2, "€"), "CNY": (2, "CN¥"), "JPY": (0, "¥"), "KRW": (0, "₩"), "AED": (2, "AED ")}
_SPOKEN = _by_word(
    {
        "USD": "$ US$ DOLLAR DOLLARS",
        "EUR": "€ EURO EUROS",
        "KRW": "₩ WON 원",
        "CNY": "CN¥ RMB YUAN CNH 元",
        "JPY": "JP¥ YEN 円",
        "AED": "DIRHAM DIRHAMS",
    }
)
_SCALE = _by_word({"1e3": "k thousand", "1e6": "m mn million", "1e9": "b bn billion", "1e12": "t tn trillion"})
_HOURS = _by_word({"1": "h hr hour", "24": "d day", "168": "week", "730.5": "mo month", "8766": "a yr year"})
_AMOUNT = re.compile(
    r"^\s*(?P<front>[^\d\s.+-]+)?\s*(?P<number>[+-]?[\d,_]*\.?\d+(?:[eE][+-]?\d+)?)\s*(?P<words>.*?)\s*$"
)


@dataclass(frozen=True, repr=False)
class Money:
    """An amount in one currency."""

    amount: float
    currency: str

    def to(self, currency: str, on: Day = None, fx: Rates = None) -> Money:
        """The amount in another currency at the rate of the date; `fx` overrides (units per dollar)."""
        return Money(convert(self.amount, self.currency, currency, on, fx), currency_code(currency))


@dataclass(frozen=True, repr=False)
class Asked:
    """The day that prices are asked for and the currency they are wanted in; `rates` (units per dollar) go first.

    Offers in another currency are converted at the rate of the day asked for: that is when one would pay.
    """

    day: date
    currency: str
    rates: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, on: Day, currency: str, rates: Rates = None) -> Asked:
        """The same from what a caller gives; UnknownName or UsageError for a currency or day that is none."""
        return cls(as_date(on), currency_code(currency), tuple(sorted((rates or {}).items())))

    def amount(self, value: float, currency: str) -> float:
        """A value of another currency in the one asked for."""
        return convert(value, currency, self.currency, self.day, dict(self.rates))

    def offers(self, found: Iterable[AnyOffer]) -> list[AnyOffer]:
        """The offers in the currency asked for."""
        return [o if o.currency == self.currency else self._converted(o) for o in found]

    def _converted(self, o: AnyOffer) -> AnyOffer:
        return replace(o, value=self.amount(o.value, o.currency), currency=self.currency)

    def price(self, offers: Sequence[Offer], **how: Any) -> Price:
        """The Price that stands for such offers, as `make_price` makes it, with the rates that converted them."""
        rates = self.rates_from(*(o.row.get("currency") or "USD" for o in offers))
        return replace(make_price(offers, self.day, **how), converted=rates)

    def rates_from(self, *currencies: str) -> tuple[Rate, ...]:
        """The dated rates that turn these currencies into the one asked for; those that were given are the user's."""
        foreign = {code for code in currencies if code != self.currency}
        codes = foreign | {self.currency} if foreign else set()
        return tuple(exchange_rate(code, self.day) for code in sorted(codes - {"USD", *dict(self.rates)}))


def currencies() -> tuple[str, ...]:
    """Codes of the currencies with a dated rate, the dollar first."""
    return ("USD", *sorted({row["currency"] for row in rows("fx")}))


def _code(name: str) -> str:
    """The code of a currency written as code, symbol or word, whether or not a rate is known."""
    word = name.strip().upper()
    return _SPOKEN.get(word, word)


def currency_code(name: str) -> str:
    """ISO code of a currency written as code, symbol or word; UnknownName lists those known."""
    code = _code(name)
    if code == "¥":
        raise UnknownName("¥ stands for yen and for yuan; write JPY or CNY.")
    if code not in currencies():
        raise UnknownName(f'No exchange rate for "{name}"; known currencies are {", ".join(currencies())}.')
    return code


def parse_fx(text: str) -> dict[str, float]:
    """Rates that a user gives, units per dollar.

    >>> parse_fx("KRW=1400, EUR=0.86")
    {'KRW': 1400.0, 'EUR': 0.86}
    """
    rates: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        try:
            rates[_code(name)] = positive(float(number), f"The rate of {name.strip().upper()}")
        except ValueError as error:
            raise UsageError(f'"{part}" is not a rate; write KRW=1400, units for one dollar.') from error
    return rates


def exchange_rate(currency: str, on: Day = None) -> Rate:
    """Units of the currency for one dollar, by the latest rate on or before the date.

    A monthly average or a day's close is preferred to an annual average, extremes and implied rates are not
    used while anything else is known. NoAnswer before the first rate; UnknownName for a currency without any.
    """
    code, asked = currency_code(currency), as_date(on)
    if code == "USD":
        return Rate("USD", 1.0, asked, "unit", "A", False, "")
    known = [r for r in rows("fx") if r["currency"] == code]
    usable = [r for r in known if r["date"] <= asked.isoformat()]
    if not usable:
        first = min(r["date"] for r in known)
        raise NoAnswer(f"No {code} rate is known before {first}; give one with --fx {code}=RATE.")
    rank = {"day": 2, "month": 2, "peg": 2, "year": 1}

    def weight(row: Row) -> tuple[int, str]:
        return (0 if flagged(row, "extreme", "implied") else rank.get(row["basis"], 0), row["date"])

    best = max(usable, key=weight)
    moment = date.fromisoformat(best["date"])
    old = best["basis"] != "peg" and (asked - moment).days > STALE_DAYS
    source = next(iter(source_urls([best["source"]])), "")
    return Rate(code, float(best["value"]), moment, best["basis"], best["grade"], old, source)


def fx(currency: str, on: Day = None, rates: Rates = None) -> float:
    """Units of the currency for one US dollar; `rates` (units per dollar) goes before the dated history."""
    code = _code(currency)
    if rates and code in rates:
        return float(positive(rates[code], f"The rate of {code}"))
    return exchange_rate(currency, on).per_usd


def convert(amount: float, source: str, target: str, on: Day = None, rates: Rates = None) -> float:
    """Amount (float or array) of one currency in another, over the dollar: amount / fx(source) * fx(target).

    >>> convert(2.0, "USD", "KRW", rates={"KRW": 1450.0})
    2900.0
    """
    if source == target:
        return amount
    return amount / fx(source, on, rates) * fx(target, on, rates)


def format_money(amount: float, currency: str) -> str:
    """The amount as the currency is written; below one it keeps three significant digits.

    So a price per token is never shown as nothing. A currency of no known style is written as code and number.

    >>> [format_money(a, c) for a, c in ((1234.5, "USD"), (2900.4, "KRW"), (-3, "EUR"), (0.00123, "USD"))]
    ['$1,234.50', '₩2,900', '-€3.00', '$0.00123']
    """
    least, symbol = _STYLE.get(currency, (2, currency + " "))
    size = abs(amount)
    body = f"{size:,.{least}f}"
    if 0 < size < 1:
        whole, _, part = f"{size:.{max(least, 2 - math.floor(math.log10(size)))}f}".partition(".")
        part = part.rstrip("0").ljust(least, "0")
        body = f"{whole}.{part}" if part else whole
    return f"{'-' if amount < 0 else ''}{symbol}{body}"


def format_large(amount: float, currency: str) -> str:
    """A large amount in words; below a million as `format_money`.

    >>> format_large(8.2e6, "USD"), format_large(2e12, "KRW")
    ('$8.2 million', '₩2 trillion')
    """
    for scale, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(amount) >= scale:
            symbol = _STYLE.get(currency, (2, currency + " "))[1]
            return f"{'-' if amount < 0 else ''}{symbol}{abs(amount) / scale:,.4g} {word}"
    return format_money(amount, currency)


def parse_money(text: str, default: str | None = None) -> Money:
    """Money from "2 trillion KRW", "$3,000", "1.5bn USD", "40 million won"; a bare number takes `default`.

    UsageError when no currency or number is found, or the amount is not finite.
    """
    found = _AMOUNT.match(text)
    if not found:
        raise UsageError(f'"{text}" is not an amount of money; write it as "2 trillion KRW" or "250000 USD".')
    scale, currency = 1.0, (found["front"] or "").strip() or None
    for word in found["words"].split():
        if word.lower() in _SCALE:
            scale *= float(_SCALE[word.lower()])
        elif currency is None:
            currency = word
        else:
            raise UsageError(f'"{word}" in "{text}" is neither a scale nor a currency.')
    currency = currency or default
    if currency is None:
        raise UsageError(f'"{text}" names no currency; write "{text.strip()} USD".')
    amount = float(found["number"].replace(",", "").replace("_", "")) * scale
    if not math.isfinite(amount):
        raise UsageError(f'"{text}" is too large to be an amount of money.')
    return Money(amount, currency_code(currency))


def parse_rent(text: str, default: str = "USD") -> Money:
    """Money an hour from "2.5 USD/h", "$2.5 per hour", "1800 USD/month" (730.5 hours); a bare number is per hour.

    UsageError for an unknown period or a rent below zero.
    """
    amount, _, period = re.sub(r"\bper\b", "/", text).partition("/")
    unit = period.strip().lower().removesuffix("s") or "h"
    if unit not in _HOURS:
        raise UsageError(f'"{text}" is not a rent; write it as "2.5 USD/h", or per day, month or year.')
    money = parse_money(amount, default)
    if money.amount < 0:
        raise UsageError(f'The rent "{text}" is below zero.')
    return Money(money.amount / float(_HOURS[unit]), money.currency)
