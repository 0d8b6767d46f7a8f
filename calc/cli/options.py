"""Option values as people write them -> plain numbers; each refusal is one sentence that names the option."""

from __future__ import annotations

import math
import re

from ..errors import UsageError

_SUFFIX = {"": 1, "k": 1000, "ki": 1024, "m": 1000**2, "mi": 1024**2}
_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)((?:[km]i?)?)", re.IGNORECASE)

LONGEST = 100_000_000
"""Tokens; ten times the longest context window that any model claims."""
MOST_REQUESTS = 100_000_000
MOST_CHIPS = 1_000_000


def length(option: str, text: str, most: int = LONGEST, least: int = 1) -> int:
    """A whole number from "1000", "1k" (1,000), "128Ki" (131,072) or "1M", within least..most."""
    found = _COUNT.fullmatch(text.strip().replace(",", "").replace("_", ""))
    value = float(found[1]) * _SUFFIX[found[2].lower()] if found else math.nan
    if not value.is_integer():
        raise UsageError(f"{option} {text!r} is not a whole number of at least {least}; write 1000, 1k or 128k")
    if not least <= value <= most:
        raise UsageError(f"{option} {text!r} is outside {least} to {most:,}")
    return int(value)


def concurrency(text: str) -> int | str:
    """Requests in flight: a whole number, or "max" for as many as the memory holds."""
    return "max" if text.strip().lower() == "max" else length("--concurrency", text, MOST_REQUESTS)


def draft(text: str | None) -> int | str | None:
    """Tokens drafted per step: a whole number to 64, or "best" for the length that is fastest at the load."""
    if text is None:
        return None
    if text.strip().lower() == "best":
        return "best"
    if not text.strip().isdecimal():
        raise UsageError(f"--draft {text!r} is not a number of tokens; write one from 1 to 64, or best")
    return length("--draft", text, 64)


def share(option: str, value: float, low: float, high: float, open_low: bool = False) -> float:
    """A number within low..high, ends included (the lower end excluded if `open_low`)."""
    if not (low <= value <= high) or (open_low and value == low):
        from_ = f"above {low:g}" if open_low else f"from {low:g}"
        raise UsageError(f"{option} {value:g} is out of range: it must be {from_} to {high:g}")
    return value


def degrees(chips: int | None, degree: dict[str, int | None]) -> None:
    """Refuse parallel degrees which contradict the number of chips, as far as all of them are given.

    tp x pp x dp = chips; ep must divide tp x dp (experts are spread over ranks of one pipeline stage).
    """
    given = {name: value for name, value in degree.items() if value is not None}
    product = math.prod(value for name, value in given.items() if name != "ep")
    shown = " x ".join(f"{name} {value}" for name, value in given.items() if name != "ep")
    if chips is not None and product and (chips % product or (product != chips and len(given.keys() - {"ep"}) == 3)):
        raise UsageError(f"{shown} does not make {chips} chips: tp x pp x dp must equal --chips, or leave one out")


def assignments(items: list[str]) -> dict[str, str]:
    """`PATH=VALUE` items -> {path: value}; a path twice is a contradiction."""
    values: dict[str, str] = {}
    for item in items:
        path, sign, value = item.partition("=")
        path, value = path.strip(), value.strip()
        if not sign or not path or not value:
            raise UsageError(f'--set {item!r} is not PATH=VALUE, as in --set memory.hbm.pin_rate="8 Gbit/s"')
        if values.get(path, value) != value:
            raise UsageError(f"--set gives {path} twice, as {values[path]!r} and {value!r}")
        values[path] = value
    return values


def names(option: str, text: str | None, example: str, listing: str) -> list[str]:
    """Comma-separated names of an option that the main question cannot do without."""
    if text is None:
        raise UsageError(f"{option} is missing: say for instance {option} {example} (`tokcalc {listing}` lists them)")
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise UsageError(f"{option} {text!r} has an empty name; say for instance {option} {example}")
    return list(dict.fromkeys(found))


def date(option: str, text: str | None) -> str | None:
    """An ISO date (YYYY-MM-DD), checked, as text."""
    if text is None:
        return None
    from datetime import date as Date

    try:
        return Date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise UsageError(f"{option} {text!r} is no date; write it as YYYY-MM-DD") from None
