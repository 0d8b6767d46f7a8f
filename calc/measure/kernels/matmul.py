"""Rate of matrix products: the best large one per data type, and a ladder of row counts with weights from
memory.

Weights of the ladder come from a ring of matrices four times the last-level cache, as a decoder's layers
do; so the few-row products stream from memory. Drives a `backends.Backend`; `fit` turns the ladder into t0,
eta_m, eta_c, p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from ..fit import KernelPoint
from .backends import ITEM_BYTES, Backend
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
    """One measured product x (m, k) w^T (k, n)."""

    dtype: str
    m: int
    k: int
    n: int
    seconds: Summary

    @property
    def ops_s(self) -> float:
        """Operations per second of the median call."""
        return 2.0 * self.m * self.k * self.n / self.seconds.median

    @property
    def best_ops_s(self) -> float:
        """Operations per second of the best call."""
        return 2.0 * self.m * self.k * self.n / self.seconds.best

    def point(self) -> KernelPoint:
        """As `fit` takes it: weights, inputs and outputs moved once."""
        size = ITEM_BYTES[self.dtype]
        moved = float(size * (self.k * self.n + self.m * self.k + self.m * self.n))
        return KernelPoint(self.m, self.k, self.n, moved, 2.0 * self.m * self.k * self.n, self.seconds.median)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "dtype": self.dtype, "m": self.m, "k": self.k, "n": self.n, "ops_s": self.ops_s,
            "seconds": self.seconds.to_dict(),
        }  # fmt: skip


def measure_product(
    backend: Backend, dtype: str, m: int, k: int, n: int, budget_s: float, weights: Sequence[Any] = ()
) -> Product:
    """One product with weights from a ring of matrices (n, k) in turn; without them one again and again."""
    x = backend.random(dtype, m, k)
    ring = cycle(weights or [backend.random(dtype, n, k)])
    target = 1e-3 if backend.device == "cpu" else 5e-3
    sample = looped(lambda: backend.product(dtype, x, next(ring)), target, backend.wait)
    taken = collect(sample, warmup=1, least=7, tolerance=0.02, budget_s=budget_s)
    return Product(dtype, m, k, n, taken)


def peak(backend: Backend, dtype: str, quick: bool) -> Product:
    """The fastest large square product of a data type."""
    sides = GPU_SQUARES if backend.device != "cpu" else SQUARES_QUICK if quick else SQUARES_FULL
    found = [measure_product(backend, dtype, s, s, s, 0.4 if quick else 0.6) for s in sides]
    return max(found, key=lambda p: p.best_ops_s)


def usable_dtypes(backend: Backend) -> dict[str, str]:
    """Data types that the library can multiply in, each with "" or the reason why it is left out.

    Types narrower than fp32 count only if they are at least 1.1 times as fast: else the processor has no
    unit for them.
    """
    side = 512 if backend.device == "cpu" else 4096
    out: dict[str, str] = {}
    base = 0.0
    for dtype in backend.dtypes():
        try:
            rate = measure_product(backend, dtype, side, side, side, 0.15).best_ops_s
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            out[dtype] = f"the library refuses it ({str(error).splitlines()[0][:80]})"
            continue
        base = base or rate
        slow = dtype != "fp32" and rate < 1.1 * base
        out[dtype] = f"{rate / base:.2f} times the fp32 rate, so no unit of its own" if slow else ""
    return out


def ladder(
    backend: Backend, dtype: str, llc_bytes: int, quick: bool, rows: Sequence[int] | None = None
) -> list[Product]:
    """Products over row counts and a few layer shapes, weights from memory."""
    rows = rows or (ROWS_QUICK if quick else ROWS_FULL)
    sides = GPU_SIDES if backend.device != "cpu" else (576, 1024) if quick else (576, 1024, 2048)
    least = 17 if dtype == "int8" and backend.device != "cpu" else 1
    out = []
    for side in sides:
        wanted = min(TIMES_LLC * llc_bytes, MOST_RING_BYTES)
        copies = max(1, math.ceil(wanted / (ITEM_BYTES[dtype] * side * side)))
        ring = [backend.random(dtype, side, side) for _ in range(copies)]
        out += [measure_product(backend, dtype, m, side, side, 0.1, ring) for m in rows if m >= least]
    return out


def call_floor(backend: Backend) -> Summary:
    """Seconds of the smallest product: what a call or a launch costs before any work."""
    x, w = backend.random("fp32", 1, 16), backend.random("fp32", 16, 16)
    return collect(looped(lambda: backend.product("fp32", x, w), wait=backend.wait), least=10, budget_s=0.3)
