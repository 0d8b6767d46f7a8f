"""Constants that make a formula agree with measured times, by bounded least squares on logarithms.

The kernel formula is roofline's: floor plus smooth maximum of memory and compute time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..arrays import Values
from ..errors import UsageError
from ..physics.roofline import collective_time, kernel_time


def need_scipy() -> None:
    """UsageError with the way to get it where SciPy is not installed: before anything is measured, not after."""
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        raise UsageError("SciPy is not installed, which fits the constants; `pip install tokcalc[measure]`")


def least_squares(residuals: Callable[[Values], Values], unknowns: Values) -> tuple[Values, float]:
    """(x, sum of squares) of the best x; residuals: function of x (n,) giving (m,).

    unknowns: (n, 3), start, lowest and highest value of each.
    """
    from scipy import optimize

    start, low, high = unknowns.T
    found = optimize.least_squares(residuals, np.clip(start, low, high), bounds=(low, high), x_scale="jac", ftol=1e-10)
    return found.x, 2.0 * float(found.cost)


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
    q, f, t = np.array([(p.bytes_moved, p.flops, p.seconds) for p in points]).T
    roofs = {"peak_ops_s": peak_ops_s, "bandwidth_bytes_s": bandwidth_bytes_s}

    def model(x: Values) -> Values:
        t0, eta_m, eta_c = np.exp(x[:3])
        return np.asarray(kernel_time(f, q, **roofs, t0_s=t0, eta_m=eta_m, eta_c=eta_c, p=x[3]))

    fastest = float(t.min())
    unknowns = [(max(fastest / 4, 1e-8), 1e-9, max(fastest, 2e-9)), (0.8, 0.005, 4.0), (0.8, 0.005, 1.5)]
    starts = [np.vstack([np.log(unknowns), (p, 1.0, 8.0)]) for p in (1.3, 2.0, 4.0)]
    tries = [least_squares(lambda x: np.log(model(x) / t), start) for start in starts]
    x = min(tries, key=lambda found: found[1])[0]
    error = np.abs(model(x) / t - 1)
    t0, eta_m, eta_c = (float(v) for v in np.exp(x[:3]))
    return KernelFit(t0, eta_m, eta_c, float(x[3]), float(np.median(error)), float(error.max()))


def fit_collective(volumes: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """alpha_s, bandwidth_bytes_s and q of t = [alpha^q + (v/B)^q]^(1/q) from an all-reduce curve (ring volumes v)."""
    v, t = np.asarray(volumes, dtype=float), np.asarray(seconds, dtype=float)

    def model(x: Values) -> Values:
        return np.asarray(collective_time(v, alpha_s=np.exp(x[0]), bandwidth_bytes_s=np.exp(x[1]), q=x[2]))

    alpha, rate = np.log(t.min()), np.log((v / t).max())
    unknowns = [(alpha, np.log(1e-8), alpha + 1), (rate, rate - 3, rate + 3), (0.8, 0.2, 6.0)]
    x, _ = least_squares(lambda x: np.log(model(x) / t), np.array(unknowns))
    return {"alpha_s": float(np.exp(x[0])), "bandwidth_bytes_s": float(np.exp(x[1])), "q": float(x[2])}
