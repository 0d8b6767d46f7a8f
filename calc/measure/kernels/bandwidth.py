"""Memory bandwidth: read, copy and triad of arrays four times the last-level cache, the caches, and by thread count.

Bytes are counted as STREAM counts them (the line that a store first reads is not counted), best of several, first one
thrown away. Drives a `backends.Backend`; the constants that `fit` finds stand on its read figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..machine import Cache
from .backends import Backend, NumpyBackend
from .statistics import Summary, collect, looped

TIMES_LLC = 4


@dataclass(frozen=True)
class Stream:
    """One memory kernel: bytes and seconds per call, and the bandwidth of the best call."""

    kernel: str
    threads: int
    array_bytes: float
    moved_bytes: float
    seconds: Summary

    @property
    def best_bytes_s(self) -> float:
        """Bytes per second of the best call: what STREAM reports."""
        return self.moved_bytes / self.seconds.best

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**vars(self), "bytes_s": self.best_bytes_s, "seconds": self.seconds.to_dict()}


def streams(backend: Backend, array_bytes: float, budget_s: float = 1.0) -> list[Stream]:
    """Every memory kernel of the library on arrays of that many bytes."""
    elements = max(1024, int(array_bytes // 8))
    out = []
    for kernel, (run, moved) in backend.streams(elements).items():
        sample = looped(run, 0.0 if backend.device == "cpu" else 5e-3, backend.wait)
        taken = collect(sample, warmup=1, least=10, tolerance=0.01, budget_s=budget_s)
        out.append(Stream(kernel, backend.threads, array_bytes, moved, taken))
    return out


def best(found: Sequence[Stream], kind: str) -> Stream:
    """The fastest of the kernels whose name starts so ("read" has two forms)."""
    return max((s for s in found if s.kernel.startswith(kind)), key=lambda s: s.best_bytes_s)


def array_bytes_for(llc_bytes: int, free_bytes: int) -> float:
    """Size of each of the three arrays: four caches, at least 64 MiB, at most a tenth of the free memory.

    >>> array_bytes_for(32 << 20, free_bytes=64 << 30) / 2**20
    128.0
    """
    return float(min(max(TIMES_LLC * llc_bytes, 64 << 20), max(free_bytes // 10, 16 << 20)))


def thread_sweep(threads: int, array_bytes: float, budget_s: float = 0.3) -> list[Stream]:
    """Best read at 1, 2, 4, ... threads and at all of them: fewer can be faster."""
    counts = sorted({*(1 << i for i in range(threads.bit_length()) if 1 << i <= threads), threads})
    out = []
    for count in counts:
        run, moved = NumpyBackend(count).streams(int(array_bytes // 8))["read (max)"]
        taken = collect(looped(run, 0.0), warmup=1, least=8, budget_s=budget_s)
        out.append(Stream("read (max)", count, array_bytes, moved, taken))
    return out


def cache_levels(caches: Sequence[Cache], budget_s: float = 0.2) -> list[Stream]:
    """Read bandwidth of one core from each cache level, arrays of half its size; the call itself is subtracted."""
    call = collect(looped(partial(np.max, np.ones(8))), least=8, budget_s=budget_s).best
    out = []
    for cache in caches:
        data = np.ones(max(64, cache.size_bytes // 16))
        taken = collect(looped(partial(np.max, data)), least=8, budget_s=budget_s)
        net = replace(taken, best=max(taken.best - call, taken.best / 20))
        out.append(Stream(f"read L{cache.level}", 1, data.nbytes, float(data.nbytes), net))
    return out
