"""Constants that make a formula agree with measured times, by bounded least squares on logarithms; NumPy
only.

Stands behind the probes and before `localspec` and `predict`. The kernel formula is roofline's: floor plus
smooth maximum of memory and compute time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..physics.roofline import kernel_time

Vector = np.ndarray[Any, np.dtype[np.float64]]


def least_squares(
    residuals: Callable[[Vector], Vector],
    start: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    rounds: int = 200,
) -> tuple[Vector, float]:
    """(x, sum of squares): Levenberg-Marquardt with numerical derivatives inside bounds low <= x <= high.

    residuals: function of x (n,) giving (m,). Works on a few dozen unknowns; each step is projected on the
    bounds.
    """
    lo, hi = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    x = np.clip(np.asarray(start, dtype=float), lo, hi)
    r = residuals(x)
    cost, damping = float(r @ r), 1e-3
    for _ in range(rounds):
        jacobian = np.empty((len(r), len(x)))
        for i in range(len(x)):
            h = 1e-6 * max(1.0, abs(x[i]))
            h = -h if x[i] + h > hi[i] else h
            moved = x.copy()
            moved[i] += h
            jacobian[:, i] = (residuals(moved) - r) / h
        gradient, normal = jacobian.T @ r, jacobian.T @ jacobian
        pinned = ((x <= lo) & (gradient > 0)) | ((x >= hi) & (gradient < 0))
        free = ~pinned
        if not free.any():
            break
        better = False
        for _ in range(12):
            a = normal[np.ix_(free, free)]
            a = a + damping * np.diag(np.maximum(np.diag(a), 1e-12))
            step = np.zeros_like(x)
            step[free] = -np.linalg.lstsq(a, gradient[free], rcond=None)[0]
            trial = np.clip(x + step, lo, hi)
            r_trial = residuals(trial)
            cost_trial = float(r_trial @ r_trial)
            if cost_trial < cost:
                gain = (cost - cost_trial) / max(cost, 1e-300)
                x, r, cost, damping, better = trial, r_trial, cost_trial, damping / 5, True
                break
            damping *= 4
        if not better or gain < 1e-10:
            break
    return x, cost


@dataclass(frozen=True)
class KernelPoint:
    """One measured matrix product: rows m, inputs k, outputs n, bytes moved, operations, seconds."""

    m: int
    k: int
    n: int
    bytes_moved: float
    flops: float
    seconds: float


@dataclass(frozen=True)
class KernelFit:
    """t0_s, eta_m, eta_c, p of the kernel formula, and the median and largest error at the points."""

    t0_s: float
    eta_m: float
    eta_c: float
    p: float
    median_error: float
    worst_error: float

    def constants(self) -> dict[str, float]:
        """The four constants alone."""
        return {k: v for k, v in asdict(self).items() if not k.endswith("_error")}


def fit_kernel(points: Sequence[KernelPoint], peak_ops_s: float, bandwidth_bytes_s: float) -> KernelFit:
    """Constants of t = t0 + [(Q/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p) from at least four products.

    Errors are taken in logarithm; p lies in 1..8 (beyond, the knee can't be told from a sharp one).
    """
    q = np.array([p.bytes_moved for p in points])
    f = np.array([p.flops for p in points])
    t = np.array([p.seconds for p in points])

    def model(x: Vector) -> Vector:
        t0, eta_m, eta_c = np.exp(x[:3])
        return np.asarray(
            kernel_time(
                f,
                q,
                peak_ops_s=peak_ops_s,
                bandwidth_bytes_s=bandwidth_bytes_s,
                t0_s=t0,
                eta_m=eta_m,
                eta_c=eta_c,
                p=x[3],
            )
        )

    tries = []
    for p in (1.3, 2.0, 4.0):
        start = [np.log(max(t.min() / 4, 1e-8)), np.log(0.8), np.log(0.8), p]
        low = [np.log(1e-9), np.log(0.005), np.log(0.005), 1.0]
        high = [np.log(max(t.min(), 2e-9)), np.log(4.0), np.log(1.5), 8.0]
        tries.append(least_squares(lambda x: np.log(model(x) / t), start, low, high))
    x = min(tries, key=lambda found: found[1])[0]
    error = np.abs(model(x) / t - 1)
    t0, eta_m, eta_c = (float(v) for v in np.exp(x[:3]))
    return KernelFit(t0, eta_m, eta_c, float(x[3]), float(np.median(error)), float(error.max()))


def fit_collective(volumes: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """alpha_s, bandwidth_bytes_s and q of t = [alpha^q + (v/B)^q]^(1/q) from an all-reduce curve (ring
    volumes v).
    """
    from ..physics.roofline import collective_time

    v, t = np.asarray(volumes, dtype=float), np.asarray(seconds, dtype=float)

    def model(x: Vector) -> Vector:
        return np.asarray(collective_time(v, alpha_s=np.exp(x[0]), bandwidth_bytes_s=np.exp(x[1]), q=x[2]))

    start = [np.log(t.min()), np.log((v / t).max()), 0.8]
    x, _ = least_squares(
        lambda x: np.log(model(x) / t), start, [np.log(1e-8), start[1] - 3, 0.2], [start[0] + 1, start[1] + 3, 6.0]
    )
    return {"alpha_s": float(np.exp(x[0])), "bandwidth_bytes_s": float(np.exp(x[1])), "q": float(x[2])}
