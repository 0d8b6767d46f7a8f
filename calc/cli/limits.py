"""Limits as people write them ("500 ms", "50 tok/s", "2.5 USD", "10 kW") -> plain SI numbers, refused in a
sentence.
"""

from __future__ import annotations

from .. import units
from ..errors import UsageError
from . import options

_Text = str | None


def words_of(words: _Text) -> list[str] | None:
    return None if words is None else [word.strip() for word in words.split(",") if word.strip()]


def draft_lengths(words: _Text) -> tuple[float, ...]:
    if words is None:
        return (0.0,)
    found = [0 if word.strip() == "0" else options.length("--draft", word, 64) for word in words.split(",")]
    return tuple(float(value) for value in dict.fromkeys(found))


def duration(option: str, words: _Text) -> float | None:
    return quantity(option, words, "time")


def quantity(option: str, words: _Text, kind: str) -> float | None:
    if words is None:
        return None
    try:
        value = units.parse(words, kind)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
    if not value > 0:
        raise UsageError(f"{option} {words!r} leaves nothing; give a limit above zero")
    return value


def longest_step(tpot: _Text, speed: _Text) -> float | None:
    """Longest seconds per token from both options; the tighter one holds."""
    found = [] if tpot is None else [quantity("--tpot", tpot, "time")]
    if speed is not None:
        number = speed.lower().replace("tokens", "tok").removesuffix("/user").removesuffix("tok/s").strip()
        found.append(1.0 / _rate(number, speed))
    return min((value for value in found if value is not None), default=None)


def _rate(number: str, speed: str) -> float:
    try:
        value = float(number.replace(",", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f'--speed {speed!r} is no speed; write "50 tok/s"')
    return value


def amount(cost: _Text, currency: str) -> float | None:
    if cost is None:
        return None
    words = cost.strip()
    code = currency.strip().upper()
    number = words.upper().removesuffix(code).replace(",", "").strip().removeprefix("$" if code == "USD" else code)
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f'--cost {cost!r} is no amount in {code}; write "2.5 {code}", or change --currency')
    return value
