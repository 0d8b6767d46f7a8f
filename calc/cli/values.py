"""Option values as people write them -> plain numbers; each refusal is one sentence that names the option."""

from __future__ import annotations

import math
import re

from .. import units
from ..errors import UsageError

LONGEST = 100_000_000
"""Tokens; ten times the longest context window that any model claims."""
MOST_REQUESTS = 100_000_000
MOST_CHIPS = 1_000_000
MOST_DRAFTED = 64

_SUFFIX = {"": 1, "k": 1000, "ki": 1024, "m": 1000**2, "mi": 1024**2}
_WHOLE = re.compile(r"([0-9]+(?:\.[0-9]+)?)((?:[km]i?)?)", re.IGNORECASE)
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "g": 1e9, "billion": 1e9}
_SCALES |= {"": 1.0, "t": 1e12, "trillion": 1e12}
_COUNT = r"([0-9][0-9,_]*\.?[0-9]*(?:e[+-]?[0-9]+)?)\s*([a-z]*)"


def length(option: str, text: str, most: int = LONGEST, least: int = 1) -> int:
    """A whole number from "1000", "1k" (1,000), "128Ki" (131,072) or "1M", within least..most."""
    found = _WHOLE.fullmatch(text.strip().replace(",", "").replace("_", ""))
    value = float(found[1]) * _SUFFIX[found[2].lower()] if found else math.nan
    if not value.is_integer():
        raise UsageError(f"{option} {text!r} is not a whole number of at least {least}; write 1000, 1k or 128k")
    if not least <= value <= most:
        raise UsageError(f"{option} {text!r} is outside {least} to {most:,}")
    return int(value)


def number_of(option: str, value: int | None, most: int = MOST_CHIPS) -> int | None:
    """A number of things from 1 to `most`, checked; None where none is given."""
    return None if value is None else length(option, str(value), most)


def count(option: str, words: str) -> float:
    """A positive number from "5e9", "168 billion", "10M"; UsageError otherwise."""
    said = words.strip().lower().removesuffix("tokens").removesuffix("tokens/day").strip()
    found = re.fullmatch(_COUNT, said)
    scale = _SCALES.get(found[2]) if found else None
    if found is None or scale is None:
        raise UsageError(f'{option} {words!r} is not a number; write 5e9, 10M or "168 billion"')
    value = float(found[1].replace(",", "").replace("_", "")) * scale
    if not (math.isfinite(value) and 0 < value <= 1e21):
        raise UsageError(f"{option} {words!r} must be above zero and at most 1e21")
    return value


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
    return length("--draft", text, MOST_DRAFTED)


def draft_lengths(text: str | None) -> tuple[float, ...]:
    """Draft lengths to try, each once: "0,3,5"; none but 0 where nothing is given."""
    each = (word.strip() for word in ("0" if text is None else text).split(","))
    lengths = [0 if word == "0" else length("--draft", word, MOST_DRAFTED) for word in each]
    return tuple(float(value) for value in dict.fromkeys(lengths))


def share(option: str, value: float, low: float = 0.0, high: float = 1.0, open_low: bool = False) -> float:
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


def assignments(items: list[str] | None) -> dict[str, str] | None:
    """`PATH=VALUE` items -> {path: value}, None where there is none; a path twice is a contradiction."""
    values: dict[str, str] = {}
    for item in items or []:
        path, sign, value = item.partition("=")
        path, value = path.strip(), value.strip()
        if not sign or not path or not value:
            raise UsageError(f'--set {item!r} is not PATH=VALUE, as in --set memory.hbm.pin_rate="8 Gbit/s"')
        if values.get(path, value) != value:
            raise UsageError(f"--set gives {path} twice, as {values[path]!r} and {value!r}")
        values[path] = value
    return values or None


def names(option: str, text: str | None, example: str, listing: str) -> list[str]:
    """Comma-separated names of an option that the main question cannot do without."""
    if text is None:
        raise UsageError(f"{option} is missing: say for instance {option} {example} (`tokcalc {listing}` lists them)")
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise UsageError(f"{option} {text!r} has an empty name; say for instance {option} {example}")
    return list(dict.fromkeys(found))


def words(text: str | None) -> list[str] | None:
    """The words between commas, without empty ones; None where nothing is given."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def date(option: str, text: str | None) -> str | None:
    """An ISO date (YYYY-MM-DD), checked, as text."""
    if text is None:
        return None
    from datetime import date as Date

    try:
        return Date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise UsageError(f"{option} {text!r} is no date; write it as YYYY-MM-DD") from None


def quantity(option: str, text: str | None, kind: str) -> float | None:
    """A limit with its unit in SI ("500 ms", "10 kW"), above zero; kind: see `units.parse`."""
    if text is None:
        return None
    try:
        value = units.parse(text, kind)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
    if not value > 0:
        raise UsageError(f"{option} {text!r} leaves nothing; give a limit above zero")
    return value


def longest_step(tpot: str | None, speed: str | None) -> float | None:
    """Longest seconds per token from both options; the tighter one holds."""
    found = [] if tpot is None else [quantity("--tpot", tpot, "time")]
    if speed is not None:
        number = speed.lower().replace("tokens", "tok").removesuffix("/user").removesuffix("tok/s").strip()
        found.append(1.0 / _positive(number, f'--speed {speed!r} is no speed; write "50 tok/s"'))
    return min((value for value in found if value is not None), default=None)


def amount(cost: str | None, currency: str) -> float | None:
    """Money in the currency of the answer: "2.5 USD", "$2.5", "2.5"."""
    if cost is None:
        return None
    code = currency.strip().upper()
    number = cost.strip().upper().removesuffix(code).replace(",", "").strip()
    refusal = f'--cost {cost!r} is no amount in {code}; write "2.5 {code}", or change --currency'
    return _positive(number.removeprefix("$" if code == "USD" else code), refusal)


def _positive(number: str, refusal: str) -> float:
    try:
        value = float(number.replace(",", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise UsageError(refusal)
    return value
