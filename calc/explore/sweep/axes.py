"""Grids of questions: `concurrency=1:4096:x2` and its like -> axes whose size is known before any value is
made.

An axis is a list of pieces, single values or progressions, so that a grid of 10^15 cases costs nothing to
refuse. The command line's `--grid` is parsed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from ...errors import UsageError

NAMES = ("chip", "model", "memory", "engine", "weights", "kv")
DEGREES = ("chips", "tp", "pp", "dp", "ep")
COUNTS = ("isl", "osl", "concurrency", *DEGREES, "draft")
SHARES = ("cache_hit", "acceptance", "utilisation")
AXES = (*NAMES, *COUNTS, *SHARES)
MOST_MULTIPLES = 100_000  # values of one a:b:xF
LARGEST = 1e12
_SUFFIX = {"": 1.0, "k": 1e3, "ki": 1024.0, "m": 1e6, "mi": 1024.0**2}
_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)(ki|mi|k|m)?", re.IGNORECASE)
FORMS = "write values with commas (1k,8k,128k), a:b:xF to multiply (1:4096:x2) or a:b:+S to add (1:64:+1)"


@dataclass(frozen=True)
class Progression:
    """`count` numbers start, start + step, start + 2 step, ...

    held as three numbers.
    """

    start: float
    step: float
    count: int


@dataclass(frozen=True)
class Axis:
    """One input that varies: its name and its values, texts for names, numbers otherwise (inf: "max")."""

    name: str
    pieces: tuple[str | float | Progression, ...]

    def __len__(self) -> int:
        return sum(piece.count if isinstance(piece, Progression) else 1 for piece in self.pieces)

    @property
    def numeric(self) -> bool:
        """True for tokens, degrees and shares; False for names and overrides of spec fields."""
        return self.name in COUNTS or self.name in SHARES

    def numbers(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Values first..last (last excluded) of a numeric axis, as floats; only these are made."""
        last = len(self) if last is None else min(last, len(self))
        parts, before = [], 0
        for piece in self.pieces:
            size = piece.count if isinstance(piece, Progression) else 1
            low, high = max(first - before, 0), min(last - before, size)
            if low < high:
                if isinstance(piece, Progression):
                    parts.append(piece.start + piece.step * np.arange(low, high, dtype=float))
                else:
                    parts.append(np.array([piece], dtype=float))
            before += size
        return np.concatenate(parts) if parts else np.empty(0)

    def texts(self) -> list[str]:
        """Values of an axis of names."""
        return [str(piece) for piece in self.pieces]


def parse_axes(items: Iterable[str]) -> list[Axis]:
    """`NAME=VALUES` items -> axes in order; a name twice, unknown names and malformed values raise
    UsageError.
    """
    axes: list[Axis] = []
    for item in items:
        axis = parse_axis(item)
        if any(axis.name == other.name for other in axes):
            raise UsageError(f"--grid gives {axis.name} twice; join its values with commas")
        axes.append(axis)
    return axes


def parse_axis(item: str) -> Axis:
    """One `NAME=VALUES`: `tp=1,2,4`, `isl=1k:128k:x2`, `chip=h100,h200`, `memory.hbm.pin_rate=6 Gbit/s,8
    Gbit/s`.
    """
    name, sign, values = item.partition("=")
    name = name.strip().replace("-", "_")
    if not sign or not name or not values.strip():
        raise UsageError(f"--grid {item!r} is not NAME=VALUES; {FORMS}")
    return make_axis(name, [part.strip() for part in values.split(",")])


def make_axis(name: str, values: Sequence[str | float]) -> Axis:
    """An axis of the values, texts in the forms of `--grid` or numbers."""
    if name not in AXES and "." not in name:
        near = get_close_matches(name, AXES, n=3, cutoff=0.5)
        known = " or ".join(near) if near else ", ".join(AXES)
        raise UsageError(f"no input {name!r} for a grid; try {known}, or a dotted field such as memory.hbm.pin_rate")
    if not len(values) or any(isinstance(value, str) and not value for value in values):
        raise UsageError(f"--grid {name} has an empty value; {FORMS}")
    if name not in COUNTS and name not in SHARES:
        return Axis(name, tuple(dict.fromkeys(str(value) for value in values)))
    pieces: list[float | Progression] = []
    for value in values:
        pieces += _pieces(name, value)
    if all(not isinstance(piece, Progression) for piece in pieces):
        pieces = list(dict.fromkeys(pieces))
    for piece in pieces:
        _check(name, piece)
    return Axis(name, tuple(pieces))


def size(axes: Sequence[Axis]) -> int:
    """Cases of the grid: the product of the lengths, exact."""
    return math.prod(len(axis) for axis in axes)


def _pieces(name: str, value: str | float) -> list[float | Progression]:
    if not isinstance(value, str):
        return [float(value)]
    if name == "concurrency" and value.strip().lower() == "max":
        return [math.inf]
    parts = value.split(":")
    if len(parts) == 1:
        return [_number(name, value)]
    if len(parts) != 3 or parts[2][:1] not in ("x", "+"):
        raise UsageError(f"--grid {name}: {value!r} is no range; {FORMS}")
    first, last, step = _number(name, parts[0]), _number(name, parts[1]), _number(name, parts[2][1:])
    if last < first:
        raise UsageError(f"--grid {name}: {value!r} ends before it begins; swap {parts[0]} and {parts[1]}")
    if parts[2][0] == "+":
        if step <= 0:
            raise UsageError(f"--grid {name}: {value!r} never ends, since it adds {parts[2][1:]}; add more than 0")
        return [Progression(first, step, math.floor((last - first) / step * (1 + 1e-12) + 1e-9) + 1)]
    return _multiples(name, value, first, last, step)


def _multiples(name: str, value: str, first: float, last: float, factor: float) -> list[float | Progression]:
    """First, first F, first F^2, ...

    up to last; whole numbers for counts, each once.
    """
    if factor <= 1 or first <= 0:
        raise UsageError(f"--grid {name}: {value!r} never ends; start above 0 and multiply by more than 1")
    count = math.floor(math.log(last / first) / math.log(factor) + 1e-9) + 1
    if count > MOST_MULTIPLES:
        raise UsageError(f"--grid {name}: {value!r} makes {count:,} values; multiply by more, or add with +S")
    found = [first * factor**i for i in range(count)]
    if name in COUNTS:
        found = [float(round(number)) for number in found]
    return list(dict.fromkeys(found))


def _number(name: str, text: str) -> float:
    found = _NUMBER.fullmatch(text.strip().replace("_", ""))
    if not found:
        raise UsageError(f"--grid {name}: {text!r} is not a number; write 1000, 1k, 128Ki or 0.5")
    return float(found[1]) * _SUFFIX[(found[2] or "").lower()]


def _check(name: str, piece: float | Progression) -> None:
    """Counts are whole and at least 1 (draft: 0), shares within 0..1 (utilisation above 0)."""
    ends = (piece.start, piece.start + piece.step * (piece.count - 1)) if isinstance(piece, Progression) else (piece,)
    for end in ends:
        if name in SHARES:
            if not 0.0 <= end <= 1.0 or (name == "utilisation" and end == 0):
                raise UsageError(f"--grid {name}: {end:g} is no share; give numbers from 0 to 1")
            continue
        if math.isinf(end):
            continue
        least = 0 if name == "draft" else 1
        whole = end == int(end) and (not isinstance(piece, Progression) or piece.step == int(piece.step))
        if not whole or end < least:
            raise UsageError(f"--grid {name}: {end:g} is not a whole number of at least {least}")
        if end > LARGEST:
            raise UsageError(f"--grid {name}: {end:g} is beyond {LARGEST:g}, more than any system holds")
