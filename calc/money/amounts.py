"""Amounts of money that know their currency, dated exchange rates, and the way each currency is written.

Before: what a user types ("2 trillion KRW", "2.5 USD/h"). After: prices.py and cost.py, which compute in
plain floats of one currency. Two currencies never mix: adding them is an error, `convert` needs a date or a
rate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from ..errors import NoAnswer, UnknownName, UsageError
from .pricebook import STALE_DAYS, as_date, flagged, rows, source_urls

# Decimals and symbol, as English-language press of the currency's country writes them.
_STYLE = {"USD": (2, "$"), "EUR": (2, "€"), "CNY": (2, "CN¥"), "JPY": (0, "¥"), "KRW": (0, "₩"), "AED": (2, "AED ")}
_SPOKEN = {
    "$": "USD", "US$": "USD", "DOLLAR": "USD", "DOLLARS": "USD",
    "€": "EUR", "EURO": "EUR", "EUROS": "EUR",
    "₩": "KRW", "WON": "KRW",
    "CN¥": "CNY", "RMB": "CNY", "YUAN": "CNY", "CNH": "CNY",
    "JP¥": "JPY", "YEN": "JPY", "円": "JPY", "元": "CNY", "원": "KRW",
    "DIRHAM": "AED", "DIRHAMS": "AED",
}  # fmt: skip
_SCALE = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6,
          "b": 1e9, "bn": 1e9, "billion": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12}  # fmt: skip
_HOURS = {"h": 1.0, "hr": 1.0, "hour": 1.0, "d": 24.0, "day": 24.0, "week": 168.0,
          "mo": 730.5, "month": 730.5, "a": 8766.0, "yr": 8766.0, "year": 8766.0}  # fmt: skip
_AMOUNT = re.compile(
    r"^\s*(?P<front>[^\d\s.+-]+)?\s*(?P<number>[+-]?[\d,_]*\.?\d+(?:[eE][+-]?\d+)?)\s*(?P<words>.*?)\s*$"
)


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


@dataclass(frozen=True, repr=False)
class Money:
    """An amount in one currency. Adds, subtracts, compares and divides only with the same currency."""

    amount: float
    currency: str

    def _same(self, other: Money) -> None:
        if not isinstance(other, Money) or other.currency != self.currency:
            what = other.currency if isinstance(other, Money) else "a bare number"
            raise UsageError(f"{self.currency} and {what} cannot be combined; convert one of them first.")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __mul__(self, factor: float) -> Money:
        if isinstance(factor, Money):
            raise UsageError("Money cannot be multiplied by money.")
        return Money(self.amount * factor, self.currency)

    __rmul__ = __mul__

    def __truediv__(self, other: float) -> Money:
        if isinstance(other, Money):
            raise UsageError("Divide money by money with ratio(), which checks the currency.")
        return Money(self.amount / other, self.currency)

    def ratio(self, other: Money) -> float:
        """This amount over another of the same currency."""
        self._same(other)
        return self.amount / other.amount

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def to(self, currency: str, on: date | str | None = None, fx: Mapping[str, float] | None = None) -> Money:
        """The amount in another currency at the rate of the date; `fx` overrides (units per dollar)."""
        return Money(convert(self.amount, self.currency, currency, on, fx), currency_code(currency))

    def __str__(self) -> str:
        return format_money(self.amount, self.currency)


def currencies() -> tuple[str, ...]:
    """Codes of the currencies with a dated rate, the dollar first."""
    return ("USD", *sorted({row["currency"] for row in rows("fx")}))


def currency_code(name: str) -> str:
    """ISO code of a currency written as code, symbol or word; UnknownName lists those known."""
    word = name.strip().upper()
    if word == "¥":
        raise UnknownName("¥ stands for yen and for yuan; write JPY or CNY.")
    code = _SPOKEN.get(word, word)
    if code not in currencies():
        raise UnknownName(f'No exchange rate for "{name}"; known currencies are {", ".join(currencies())}.')
    return code


def parse_fx(text: str) -> dict[str, float]:
    """Rates that a user gives, "KRW=1400,EUR=0.86" (units per dollar), as a mapping."""
    rates: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition("=")
        code = name.strip().upper()
        try:
            rates[_SPOKEN.get(code, code)] = positive_number(float(number), f"The rate of {code}")
        except ValueError as error:
            raise UsageError(f'"{part}" is not a rate; write KRW=1400, units for one dollar.') from error
    return rates


def positive_number(value: float, name: str) -> float:
    """`value` if it is finite and above zero, else UsageError naming the thing."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be a number above zero, not {value:g}.")
    return value


def exchange_rate(currency: str, on: date | str | None = None) -> Rate:
    """Units of the currency for one dollar, by the latest rate on or before the date.

    A monthly average or a day's close is preferred to an annual average, extremes and implied rates are not
    used while anything else is known. NoAnswer before the first rate; UnknownName for a currency without any.
    """
    code, asked = currency_code(currency), as_date(on)
    if code == "USD":
        return Rate("USD", 1.0, asked, "unit", "A", False, "")
    known = [r for r in rows("fx") if r["currency"] == code]
    day = asked.isoformat()
    usable = [r for r in known if r["date"] <= day]
    if not usable:
        first = min(r["date"] for r in known)
        raise NoAnswer(f"No {code} rate is known before {first}; give one with --fx {code}=RATE.")
    rank = {"day": 2, "month": 2, "peg": 2, "year": 1}

    def weight(row: dict[str, str]) -> tuple[int, str]:
        return (0 if flagged(row, "extreme", "implied") else rank.get(row["basis"], 0), row["date"])

    best = max(usable, key=weight)
    moment = date.fromisoformat(best["date"])
    old = best["basis"] != "peg" and (asked - moment).days > STALE_DAYS
    address = source_urls([best["source"]])
    return Rate(code, float(best["value"]), moment, best["basis"], best["grade"], old, address[0] if address else "")


def fx(currency: str, on: date | str | None = None, rates: Mapping[str, float] | None = None) -> float:
    """Units of the currency for one US dollar; `rates` (units per dollar) goes before the dated history."""
    if rates:
        code = _SPOKEN.get(currency.strip().upper(), currency.strip().upper())
        if code in rates:
            return positive_number(rates[code], f"The rate of {code}")
    return exchange_rate(currency, on).per_usd


def convert(
    amount: float, source: str, target: str, on: date | str | None = None, rates: Mapping[str, float] | None = None
) -> float:
    """Amount (float or array) of one currency in another, over the dollar: amount / fx(source) * fx(target).

    2.00 USD at 1,450 won a dollar are 2,900 won.
    """
    if source == target:
        return amount
    return amount / fx(source, on, rates) * fx(target, on, rates)


def decimals(currency: str) -> int:
    """Decimals in which the currency is written: 0 for won and yen, else 2."""
    return _STYLE.get(currency, (2, ""))[0]


def format_money(amount: float, currency: str, *, small: bool = True) -> str:
    """The amount as the currency is written: $1,234.50, ₩2,900, CN¥8.20; -$3.00 below zero.

    With `small`, an amount below one keeps three significant digits ($0.00123, ₩0.421), so
    that a price per token is never shown as nothing; a currency without a known style is written as code and
    number.
    """
    places, symbol = _STYLE.get(currency, (2, currency + " "))
    size = abs(amount)
    if small and 0 < size < 1:
        places = max(places, 2 - math.floor(math.log10(size)))
        body = f"{size:.{places}f}"
        least = decimals(currency)
        whole, _, part = body.partition(".")
        part = part.rstrip("0").ljust(least, "0")
        body = f"{whole}.{part}" if part else whole
    else:
        body = f"{size:,.{places}f}"
    return f"{'-' if amount < 0 else ''}{symbol}{body}"


def format_large(amount: float, currency: str) -> str:
    """A large amount in words: "$8.2 million", "₩2 trillion"; below a million as format_money."""
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
            scale *= _SCALE[word.lower()]
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
    """Money per hour from "2.5 USD/h", "$2.5 per hour", "1800 USD/month" (730.5 hours); a bare number is per
    hour.

    UsageError for an unknown period or a rent below zero.
    """
    amount, _, period = re.sub(r"\bper\b", "/", text).partition("/")
    unit = period.strip().lower().removesuffix("s") or "h"
    if unit not in _HOURS:
        raise UsageError(f'"{text}" is not a rent; write it as "2.5 USD/h", or per day, month or year.')
    money = parse_money(amount, default)
    if money.amount < 0:
        raise UsageError(f'The rent "{text}" is below zero.')
    return money / _HOURS[unit]
