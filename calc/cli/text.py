"""Numbers, money and paragraphs as a person reads them on a terminal; no units library, no colour library."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable

from .. import units

WIDTH = 80
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def width() -> int:
    """Columns to write in: the terminal's, at most 120; 80 where stdout is no terminal."""
    if not is_terminal():
        return WIDTH
    return max(40, min(120, shutil.get_terminal_size((WIDTH, 24)).columns))


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def paint(text: str, style: str, colour: bool) -> str:
    """`text` in an ANSI style, if colour is wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour and text else text


def wants_colour() -> bool:
    """Colour only on a terminal, and not where NO_COLOR is set (no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent: 0.0421, 3.35, 446, 12,300; '-' for nothing."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    if abs(rounded) >= 1e15:
        return f"{rounded:.{digits - 1}e}"
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, min(places, 12))}f}"


def whole(value: float | None) -> str:
    """A count in full: 12,300; a mean below ten with its decimals, 0.206; '-' for nothing."""
    if value is not None and value < 10 and value != round(value):
        return number(value)
    return "-" if value is None else f"{value:,.0f}"


def seconds(value: float | None, digits: int = 3) -> str:
    """A duration: 12.3 ms, 1.3 s, 4.2 min; '-' for nothing."""
    return "-" if value is None else units.duration(value, digits)


def ops(value: float | None, dtype: str, digits: int = 3) -> str:
    """A compute rate as the field writes it: 989 TFLOP/s, 1.98 POP/s for whole numbers."""
    return rate(value, "OP/s" if dtype.startswith("int") else "FLOP/s", digits)


def size(value: float | None, digits: int = 3) -> str:
    """Bytes in decimal units: 1 GB = 1e9 bytes; '-' for nothing."""
    return rate(value, "B", digits)


def rate(value: float | None, unit: str, digits: int = 3) -> str:
    """A quantity with a decimal prefix: rate(3.35e12, "B/s") is 3.35 TB/s; '-' for nothing."""
    return "-" if value is None else units.si(value, unit, digits)


def count(value: float | None, digits: int = 3) -> str:
    """A count of parameters: 70.6B, 671B, 1.04T; '-' for nothing."""
    return "-" if value is None else units.si(value, "", digits).strip().replace(" ", "").replace("G", "B")


def money(value: float | None, currency: str) -> str:
    """An amount as its currency is written: 0.0421 USD, 12.50 USD, 5,800 KRW; '-' for nothing."""
    return "-" if value is None else units.money(currency, value)


def amount(value: float | None, currency: str) -> str:
    """The same where the currency stands elsewhere, as in the head of a column: 0.0421, 12.50, 5,800."""
    return money(value, currency).removesuffix(f" {currency}")


def wrap(text: str, columns: int, first: str = "", rest: str | None = None) -> list[str]:
    """A paragraph in lines of at most `columns`; `first` leads the first line, `rest` the others."""
    lead = " " * len(first) if rest is None else rest
    return textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=lead, break_on_hyphens=False, break_long_words=False
    ) or [first.rstrip()]


def paragraphs(texts: Iterable[str], columns: int) -> list[str]:
    """Each text as a paragraph of its own, in lines of at most `columns`."""
    return [line for text in texts for line in wrap(text, columns)]
