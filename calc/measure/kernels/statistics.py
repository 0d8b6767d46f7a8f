"""How a time is taken: warm-up, repeats until the interval of the median is tight, disturbed samples put aside.

Stands over `load` and under every probe. Rules: the 95 % interval of the median from order statistics (Conover,
Practical Nonparametric Statistics, 3.2); outliers by hyperfine's modified z-score, 0.6745 |x - median| / MAD > 14.8.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..load import QUIET_CORES, Watch, settle, wait_s

OUTLIER_Z = 14.8
_ROUND_S = 0.06  # the kernel counts busy time in steps of 10 ms: judge rounds of several steps


@dataclass(frozen=True)
class Summary:
    """Median of samples with its 95 % interval, in the unit of the samples (seconds here).

    slow_first: the first sample lies outside the spread of the others; drift: last third over first third, minus 1;
    others: mean cores that other processes used; disturbed: True if too few samples were free of them.
    """

    median: float
    low: float
    high: float
    best: float
    n: int
    outliers: int
    slow_first: bool
    drift: float
    others: float | None = None
    disturbed: bool = False
    samples: tuple[float, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, raw samples included."""
        return {**asdict(self), "samples": list(self.samples)}


def median_interval(samples: ArrayLike) -> tuple[float, float, float]:
    """(median, low, high): the 95 % interval of a median by ranks n/2 -+ 0.98 sqrt(n), no distribution assumed.

    >>> median_interval(range(1, 101))
    (50.5, 41.0, 60.0)
    """
    x = np.sort(np.asarray(samples, dtype=float))
    n = len(x)
    reach = 0.98 * math.sqrt(n)
    low, high = max(0, math.floor(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach) - 1)
    return float(np.median(x)), float(x[low]), float(x[max(high, low)])


def outlier_mask(samples: ArrayLike) -> NDArray[np.bool_]:
    """True where a sample's modified z-score is over 14.8; never for a spread of zero."""
    x = np.asarray(samples, dtype=float)
    away = np.abs(x - np.median(x))
    mad = float(np.median(away))
    return away * 0.6745 > OUTLIER_Z * mad if mad > 0 else np.zeros(len(x), dtype=bool)


def summarise(samples: Sequence[float], others: float | None = None, disturbed: bool = False) -> Summary:
    """Summary of at least one sample."""
    x = np.asarray(samples, dtype=float)
    middle, low, high = median_interval(x)
    far = outlier_mask(x)
    third = max(1, len(x) // 3)
    return Summary(
        middle,
        low,
        high,
        best=float(x.min()),
        n=len(x),
        outliers=int(far.sum()),
        slow_first=bool(len(x) >= 4 and far[0] and x[0] > middle),
        drift=float(np.median(x[-third:]) / np.median(x[:third]) - 1.0) if len(x) >= 6 else 0.0,
        others=others,
        disturbed=disturbed,
        samples=tuple(map(float, x)),
    )


def _no_wait() -> None:
    """Nothing to wait for: the work is done when the call returns."""


def looped(run: Callable[[], Any], target_s: float = 1e-3, wait: Callable[[], Any] = _no_wait) -> Callable[[], float]:
    """A sample function: seconds per call, of so many calls that the clock does not matter.

    wait: blocks until the device has finished what `run` queued.
    """

    def timed(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            run()
        wait()
        return time.perf_counter() - start

    run()
    wait()
    count = 1
    while (took := timed(count)) < target_s / 2 and count < 1 << 20:
        count = min(1 << 20, max(count * 2, int(count * target_s / max(took, 1e-9))))
    if took < target_s:
        count = max(1, math.ceil(count * target_s / max(took, 1e-9)))
    return lambda: timed(count) / count


def collect(
    sample: Callable[[], float],
    *,
    warmup: int = 1,
    least: int = 5,
    most: int = 200,
    tolerance: float = 0.02,
    budget_s: float = 2.0,
) -> Summary:
    """Take samples until at least `least` undisturbed ones have a median known to `tolerance`, or the budget is spent.

    sample: returns seconds. Samples come in rounds; a round during which others used more than 0.2 cores is put aside.
    Where quiet rounds hold too few samples, the fastest stand in and the summary says `disturbed`.
    """
    for _ in range(warmup):
        sample()
    rounds: list[tuple[float, list[float]]] = []
    known = False
    patience = max(budget_s, wait_s())
    end = time.perf_counter() + budget_s
    if wait_s():
        settle(wait_s())
    while True:
        if rounds and rounds[-1][0] > QUIET_CORES and patience > 0:
            waited = settle(patience)
            patience -= waited
            end += waited
        watch, start = Watch.start(), time.perf_counter()
        taken: list[float] = []
        while not taken or time.perf_counter() - start < _ROUND_S:
            taken.append(sample())
        others = watch.others()
        known = known or others is not None
        rounds.append((others or 0.0, taken))
        quiet = [x for o, xs in rounds if o <= QUIET_CORES for x in xs]
        if len(quiet) >= least:
            middle, low, high = median_interval(quiet)
            if (high - low) / 2 <= tolerance * middle or len(quiet) >= most:
                break
        if time.perf_counter() > end and sum(len(xs) for _, xs in rounds) >= min(least, 3):
            break
    mean = sum(o for o, _ in rounds) / len(rounds) if known else None
    if len(quiet) >= min(least, 3):
        return summarise(quiet, mean)
    return fastest([x for _, xs in rounds for x in xs], least, mean)


def fastest(samples: Sequence[float], least: int, others: float | None) -> Summary:
    """Where nothing was quiet: the fastest third of the samples, the least disturbed ones."""
    return summarise(sorted(samples)[: max(least, len(samples) // 3)], others, disturbed=True)


def remarks(summaries: Sequence[Summary]) -> list[str]:
    """Sentences about what disturbed a run: others' load, outliers, a clock that went down."""
    out: list[str] = []
    n = len(summaries)
    busy = [s for s in summaries if s.disturbed]
    if busy:
        cores = float(np.mean([s.others or 0.0 for s in busy]))
        out.append(
            f"{len(busy)} of {n} measurements were taken while other programs used {cores:.1f} cores on average; "
            "close them and run again for constants that can be trusted"
        )
    wild = sum(1 for s in summaries if s.outliers)
    if wild > max(2, n // 5):
        out.append(f"{wild} of {n} measurements hold outliers (a single time far from the rest)")
    slowing = [s.drift for s in summaries if s.drift > 0.1 and s.n >= 6]
    if len(slowing) > max(2, n // 4):
        out.append(
            f"{len(slowing)} of {n} measurements became slower while they ran (median {np.median(slowing):.0%}): "
            "the processor may be throttling; check its cooling and power mode"
        )
    return out
