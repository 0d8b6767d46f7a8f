"""Rate of matrix products: the best large one per data type, and a ladder of row counts with weights from memory.

Weights of the ladder come from a ring of matrices four times the last-level cache, as a decoder's layers do; so the
few-row products stream from memory. Drives a `backends.Backend`; `fit` turns the ladder into t0, eta_m, eta_c, p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from ..fit import KernelPoint
from .backends import ITEM_BYTES, Backend, Matrix
from .bandwidth import TIMES_LLC
from .statistics import Summary, collect, looped

ROWS_FULL = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROWS_QUICK = (1, 8, 64, 256)
SQUARES_FULL = (1024, 2048, 3072)
SQUARES_QUICK = (1024, 2048)
GPU_SQUARES = (4096, 8192)
GPU_SIDES = (2048, 4096, 8192)
MOST_RING_BYTES = 1 << 30


@dataclass(frozen=True)
class Product:
    """One measured product x (m, side) w^T (side, side)."""

    dtype: str
    m: int
    side: int
    seconds: Summary

    @property
    def ops(self) -> float:
        """Operations of a call: a multiply-add is two."""
        return 2.0 * self.m * self.side**2

    @property
    def best_ops_s(self) -> float:
        """Operations per second of the best call."""
        return self.ops / self.seconds.best

    def point(self) -> KernelPoint:
        """As `fit` takes it: weights, inputs and outputs moved once."""
        moved = float(ITEM_BYTES[self.dtype] * (self.side**2 + 2 * self.m * self.side))
        return KernelPoint(self.m, self.side, self.side, moved, self.ops, self.seconds.median)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        shape = {"dtype": self.dtype, "m": self.m, "k": self.side, "n": self.side}
        return {**shape, "ops_s": self.ops / self.seconds.median, "seconds": self.seconds.to_dict()}


def measure_product(
    backend: Backend, dtype: str, rows: int, weights: Sequence[Matrix], *, side: int, budget_s: float
) -> Product:
    """One product with weights from a ring of square matrices in turn."""
    x, ring = backend.random(dtype, rows, side), cycle(weights)
    target = 1e-3 if backend.device == "cpu" else 5e-3
    sample = looped(lambda: backend.product(dtype, x, next(ring)), target, backend.wait)
    return Product(dtype, rows, side, collect(sample, warmup=1, least=7, tolerance=0.02, budget_s=budget_s))


def _square(backend: Backend, dtype: str, side: int, budget_s: float) -> Product:
    return measure_product(backend, dtype, side, [backend.random(dtype, side, side)], side=side, budget_s=budget_s)


def peak(backend: Backend, dtype: str, quick: bool) -> Product:
    """The fastest large square product of a data type."""
    sides = GPU_SQUARES if backend.device != "cpu" else SQUARES_QUICK if quick else SQUARES_FULL
    return max((_square(backend, dtype, s, 0.4 if quick else 0.6) for s in sides), key=lambda p: p.best_ops_s)


def usable_dtypes(backend: Backend) -> dict[str, str]:
    """Data types that the library can multiply in, each with "" or the reason why it is left out.

    Types narrower than fp32 count only if they are at least 1.1 times as fast: else the processor has no unit for them.
    """
    side = 512 if backend.device == "cpu" else 4096
    out: dict[str, str] = {}
    base = 0.0
    for dtype in backend.dtypes():
        try:
            rate = _square(backend, dtype, side, 0.15).best_ops_s
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            out[dtype] = f"the library refuses it ({str(error).splitlines()[0][:80]})"
            continue
        base = base or rate
        slow = dtype != "fp32" and rate < 1.1 * base
        out[dtype] = f"{rate / base:.2f} times the fp32 rate, so no unit of its own" if slow else ""
    return out


def ladder(backend: Backend, dtype: str, llc_bytes: int, quick: bool) -> list[Product]:
    """Products over row counts and a few layer shapes, weights from memory."""
    rows = ROWS_QUICK if quick else ROWS_FULL
    sides = GPU_SIDES if backend.device != "cpu" else (576, 1024) if quick else (576, 1024, 2048)
    least = 17 if dtype == "int8" and backend.device != "cpu" else 1
    wanted = min(TIMES_LLC * llc_bytes, MOST_RING_BYTES)
    out = []
    for side in sides:
        copies = max(1, math.ceil(wanted / (ITEM_BYTES[dtype] * side * side)))
        ring = [backend.random(dtype, side, side) for _ in range(copies)]
        out += [measure_product(backend, dtype, m, ring, side=side, budget_s=0.1) for m in rows if m >= least]
    return out
