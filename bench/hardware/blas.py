"""Matrix product probe against the BLAS's own best: its sgemm called directly, over squares, in the same run.

    python bench/hardware/blas.py [rounds]

The library is the one inside NumPy (its cblas_sgemm through ctypes), so nothing but the call path differs.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tokcalc.measure.kernels.backends import NumpyBackend
from tokcalc.measure.kernels.matmul import peak
from tokcalc.measure.load import settle
from tokcalc.measure.machine import blas_name

SIDES = (512, 1024, 1536, 2048, 3072)
_NAMES = ("scipy_cblas_sgemm64_", "cblas_sgemm64_", "scipy_cblas_sgemm", "cblas_sgemm")


def direct_sgemm() -> Callable[[Any, Any, Any], None]:
    """A function (a, b, c) that computes c = a b with NumPy's BLAS; RuntimeError if none is found."""
    from threadpoolctl import threadpool_info

    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    for pool in threadpool_info():
        if pool.get("user_api") != "blas":
            continue
        library = ctypes.CDLL(pool["filepath"])
        for name in _NAMES:
            if hasattr(library, name):
                return _bind(getattr(library, name), name)
    raise RuntimeError("NumPy's BLAS has no cblas_sgemm that ctypes can find")


def _bind(function: Any, name: str) -> Callable[[Any, Any, Any], None]:
    whole = ctypes.c_int64 if "64" in name else ctypes.c_int
    pointer = ctypes.POINTER(ctypes.c_float)
    function.restype = None
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        whole,
        whole,
        whole,
        ctypes.c_float,
        pointer,
        whole,
        pointer,
        whole,
        ctypes.c_float,
        pointer,
        whole,
    ]

    def run(a: Any, b: Any, c: Any) -> None:
        n = a.shape[0]
        x, y, z = (m.ctypes.data_as(pointer) for m in (a, b, c))
        function(101, 111, 111, n, n, n, 1.0, x, n, y, n, 0.0, z, n)  # row-major, no transpose

    return run


def compare(rounds: int = 4) -> dict[str, float]:
    """Best operations per second: sgemm called directly, the probe, and the probe's share."""
    sgemm = direct_sgemm()
    theirs = ours = 0.0
    for _ in range(rounds):
        for side in SIDES:
            a, b, c = (np.ones((side, side), dtype=np.float32) for _ in range(3))
            settle(30.0)
            for _ in range(6):
                start = time.perf_counter()
                sgemm(a, b, c)
                theirs = max(theirs, 2.0 * side**3 / (time.perf_counter() - start))
        settle(30.0)
        ours = max(ours, peak(NumpyBackend(), "fp32", quick=False).best_ops_s)
    return {"blas": theirs, "probe": ours, "ratio": ours / theirs}


if __name__ == "__main__":
    found = compare(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
    print(blas_name())
    print(
        f"sgemm {found['blas'] / 1e9:.1f} GFLOP/s   probe {found['probe'] / 1e9:.1f} GFLOP/s"
        f"   {found['ratio'] - 1:+.1%}"
    )
