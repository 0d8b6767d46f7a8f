"""A sweep's cases: which question stands in which row, and the columns that answer it.

Names (chip, model, formats, engine, spec fields) vary slowest, then the other axes in the order given; a
row's place fixes its question, so that stretches can be computed in any order, on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from .axes import DEGREES, Axis, Progression, size

BOX = 32_768  # cases of one call: the arrays stay in the processor's cache
LOADS = ("isl", "osl", "concurrency", "cache_hit", "draft", "acceptance", "utilisation")
DEFAULTS: dict[str, float] = {
    "isl": 1024.0,
    "osl": 1024.0,
    "concurrency": 1.0,
    "cache_hit": 0.0,
    "draft": 0.0,
    "acceptance": 0.0,
    "utilisation": 1.0,
}
TEXTS = ("chip", "model", "deployment.weights", "deployment.kv", "deployment.engine", "grade", "reason")
INPUTS = tuple(f"deployment.{name}" for name in DEGREES) + tuple(f"workload.{name}" for name in LOADS)
SPEEDS = {
    "output_tok_s_user": "tpot",
    "output_tok_s": "throughput",
    "output_tok_s_chip": "throughput",
    "input_tok_s": "throughput",
    "ttft_s": "ttft",
    "tpot_s": "tpot",
}
COUNTED = (
    *(f"deployment.{name}" for name in DEGREES),
    *(f"workload.{name}" for name in ("isl", "osl", "concurrency", "draft")),
    "memory.largest_batch",
)
OUTPUTS = (
    *(f"speed.{name}.value" for name in SPEEDS),
    "cost.per_hour",
    "cost.per_m_input",
    "cost.per_m_output",
    "cost.per_m_blended",
    "energy.power_w",
    "energy.joule_per_output_token",
    "memory.used_share",
    "memory.largest_batch",
)
WHAT_IF = "what_if"  # what a row's chip was asked otherwise than it is built; a column where any row may have one
BANDS = tuple(f"speed.{name}.{side}" for name in SPEEDS for side in ("low", "high"))


@dataclass(frozen=True)
class Question:
    """A grid and what holds for all of it.

    `fixed`: options of one question; `columns`: what rows hold, in order.
    """

    axes: tuple[Axis, ...]
    fixed: Mapping[str, Any]
    columns: tuple[str, ...]

    @property
    def ordered(self) -> tuple[Axis, ...]:
        """The axes as rows vary along them, slowest first: names, then numbers."""
        return (*(a for a in self.axes if not a.numeric), *(a for a in self.axes if a.numeric))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis) for axis in self.ordered)

    @property
    def rows(self) -> int:
        """Cases of the grid."""
        return size(self.axes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON holds, from which `from_dict` makes the question again."""
        axes = [
            {"name": a.name, "pieces": [asdict(p) if isinstance(p, Progression) else p for p in a.pieces]}
            for a in self.axes
        ]
        return {"axes": axes, "fixed": dict(self.fixed), "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Question:
        """The inverse of `to_dict`."""
        axes = tuple(
            Axis(a["name"], tuple(Progression(**p) if isinstance(p, dict) else p for p in a["pieces"]))
            for a in found["axes"]
        )
        return cls(axes, dict(found["fixed"]), tuple(found["columns"]))


@dataclass(frozen=True)
class Words:
    """A column of texts as places in a short list."""

    codes: np.ndarray
    words: tuple[str, ...]


Columns = dict[str, "np.ndarray | Words"]


def columns_of(wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Full column names for keys or their last parts ("tpot_s"); None: all but the bands.

    Unknown: UsageError.
    """
    everything = (*TEXTS[:2], *INPUTS, *TEXTS[2:5], *OUTPUTS, *TEXTS[5:])
    if wanted is None:
        return everything
    found: list[str] = []
    for name in wanted:
        hits = [c for c in (*everything, *BANDS, WHAT_IF) if c == name] or [
            c for c in everything if name in (c.split(".")[-1], c.removesuffix(".value").split(".")[-1])
        ]
        if not hits:
            from difflib import get_close_matches

            short = {c.removesuffix(".value").split(".")[-1]: c for c in everything}
            near = get_close_matches(name, [*short, *everything, *BANDS], n=3, cutoff=0.4)
            raise UsageError(f"no column {name!r}; {'nearest: ' if near else 'known: '}{', '.join(near or short)}")
        found += hits
    return tuple(dict.fromkeys(found))


def boxes(shape: Sequence[int], first: int, last: int, most: int = BOX) -> Iterator[tuple[slice, ...]]:
    """Rectangles that make up the rows first..last of a grid in row order, each of at most `most` cases."""
    volumes = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    at = first
    while at < last:
        room = min(last - at, most)
        where: list[slice] = []
        rest, step = at, 1
        for k, volume in enumerate(volumes):
            index, rest = divmod(rest, volume)
            if rest == 0 and volume <= room:
                count = min(shape[k] - index, room // volume)
                where += [slice(index, index + count), *(slice(0, n) for n in shape[k + 1 :])]
                step = count * volume
                break
            where.append(slice(index, index + 1))
        yield tuple(where)
        at += step


def join(pieces: Sequence[np.ndarray | Words]) -> np.ndarray | Words:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    if isinstance(first, Words):
        texts = [piece for piece in pieces if isinstance(piece, Words)]
        words = tuple(dict.fromkeys(word for piece in texts for word in piece.words))
        places = {word: place for place, word in enumerate(words)}
        codes = [np.array([places[w] for w in p.words], dtype=np.int32)[p.codes] for p in texts]
        return Words(np.concatenate(codes), words)
    return np.concatenate([piece for piece in pieces if isinstance(piece, np.ndarray)])
