"""Time to first token as a distribution, and requests that arrive on their own: open loops, saturation.

In a closed loop a new prompt finds its place in the queue of the others' prompts at random; open arrivals wait as in
an M/D/1 queue of prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..errors import NoAnswer
from .closed_loop import closed_loop
from .kernels import case_of
from .regimes import Parts, mean_wait_s, ttft_of
from .replica import Replica
from .workload import Load

QUANTILES = (0.5, 0.9, 0.99)
_POINTS = 64  # loads tried between one request and the largest batch
_BUSIEST = 0.999  # share of the time that prompts take beyond which a mean wait says nothing


def closed_percentiles(mean_s: float, wait_s: float) -> tuple[float, float, float]:
    """(p50, p90, p99) of a TTFT whose wait is uniform between 0 and twice its mean.

    Worked: mean 300 ms of which 100 ms are waiting: 300, 380, 398 ms.
    """
    base = mean_s - wait_s
    p50, p90, p99 = (base + 2.0 * q * wait_s for q in QUANTILES)
    return p50, p90, p99


def open_percentiles(base_s: float, service_s: float, load: float) -> tuple[float, float, float]:
    """(p50, p90, p99) of base + the wait of an M/D/1 queue, whose tail falls as rho exp(-2 (1 - rho) t / S).

    service_s (S): a prompt's turn; load (rho): share of the time that prompts take, below 1.
    Worked: S 50 ms, rho .5: no wait for the median, 80 ms at p90, 196 ms at p99.
    """
    pace = service_s / (2.0 * (1.0 - load))
    p50, p90, p99 = (base_s + max(0.0, pace * math.log(load / (1.0 - q))) if load > 0 else base_s for q in QUANTILES)
    return p50, p90, p99


@dataclass(frozen=True, eq=False, repr=False)
class Arrivals:
    """Steady state of an offered rate: requests in flight, TTFT and its percentiles, the rate that saturates.

    rate: requests per second; batch: mean requests in flight, below 1 where the machine idles between them.
    """

    rate: float
    batch: float
    ttft_s: float
    percentiles: tuple[float, float, float]
    highest_rate: float

    @property
    def in_use(self) -> float:
        """Share of the time in which a request is in flight: b, at most 1. Worked: 0.2 in flight: 0.2."""
        return min(1.0, self.batch)

    @property
    def note(self) -> str:
        """The load in words: what the rate keeps in flight, and where it would saturate."""
        kept = f"{self.batch:.1f}" if self.batch >= 0.1 else f"{self.batch:.1g}"
        idle = f", so the machine idles {100.0 * (1.0 - self.batch):.3g}% of the time" if self.batch < 0.995 else ""
        return (
            f"open loop: {self.rate:g} requests/s keep {kept} in flight{idle}; this replica saturates at "
            f"{self.highest_rate:.3g} requests/s"
        )


def arrivals(r: Replica, load: Load, rate: float, limit: float) -> Arrivals:
    """What an offered rate of requests per second does to a replica.

    Requests in flight follow from Little's law, b = rate x (TTFT + (OSL - 1) TPOT); below one, each runs as a lone
    request does and the machine idles between them. TTFT: a lone request's beside the steps of b running ones, and
    the wait for other prompts. Raises NoAnswer ("saturated") with the highest rate that the replica sustains.
    Worked: 0.01 requests/s of 20.6 s each: 0.206 in flight, 10.24 output tokens/s of 1,024 a request.
    """
    points = np.unique(np.concatenate([[1.0], np.geomspace(1.0, max(limit, 1.0), _POINTS)]))
    s = closed_loop(r, replace(load, concurrency=points))
    served_rate = np.maximum.accumulate(np.broadcast_to(s.output_tok_s, points.shape) / load.osl)
    highest = float(served_rate[-1])
    if rate >= highest:
        raise NoAnswer(
            f"{rate:g} requests/s saturate {int(r.plan.chips)} x {r.chip.name}: the highest sustainable rate is "
            f"{highest:.3g} requests/s; offer less, or divide the load over {math.ceil(rate / highest)} such replicas"
        )
    batch = float(np.interp(rate, served_rate, points))  # at least one: a step never has less
    one = closed_loop(r, replace(load, concurrency=batch))
    service, ranks = float(one.prompt_s), 1.0
    case = replace(case_of(r, load, 1.0), batch=1.0)
    if r.independent_ranks:  # ranks of their own take turns
        ranks, case = float(r.plan.dp), replace(case, dp=1.0)
    base = float(ttft_of(Parts(one.step_s, one.alone_s, one.prompt_s), case, r.engine))
    busy = min(rate / ranks * service, _BUSIEST)
    ttft = base + float(mean_wait_s(service, busy))
    if rate < served_rate[0]:
        batch = float(rate * (ttft + (load.osl - 1.0) * float(one.tpot_s)))
    return Arrivals(rate, batch, ttft, open_percentiles(base, service, busy), highest)
