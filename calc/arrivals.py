"""Time to first token as a distribution, and requests that arrive on their own: open loops, saturation.

In a closed loop a new prompt finds its place in the queue of the others' prompts at random; open arrivals wait as in
an M/D/1 queue of prompts. Stands after `serving`, before `answer_parts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .errors import NoAnswer
from .serving import Load, Served, serve

if TYPE_CHECKING:
    from .constants import Constants
    from .deployment import Deployment

QUANTILES = (0.5, 0.9, 0.99)
_POINTS = 64  # loads tried between one request and the largest batch


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


def mean_wait_s(service_s: float, load: float) -> float:
    """Mean wait of an M/D/1 queue: rho S / (2 (1 - rho)). S 50 ms, rho .5: 25 ms."""
    return load * service_s / (2.0 * (1.0 - load))


@dataclass(frozen=True, eq=False, repr=False)
class Arrivals:
    """Steady state of an offered rate: requests in flight, TTFT and its percentiles, the rate that saturates."""

    batch: float
    ttft_s: float
    percentiles: tuple[float, float, float]
    highest_rate: float


def arrivals(d: Deployment, constants: Constants, load: Load, rate: float, limit: float) -> Arrivals:
    """What an offered rate of requests per second does to a replica.

    Requests in flight follow from Little's law, b = rate x (TTFT + OSL TPOT). Raises NoAnswer ("saturated") with the
    highest rate that the replica sustains.
    """
    points = np.unique(np.concatenate([[1.0], np.geomspace(1.0, max(limit, 1.0), _POINTS)]))
    s = serve(d.chip, d.model, d.plan, d.formats, d.engine, constants, replace(load, concurrency=points))
    served_rate = np.maximum.accumulate(np.broadcast_to(s.output_tok_s, points.shape) / load.osl)
    highest = float(served_rate[-1])
    if rate >= highest:
        raise NoAnswer(
            f"{rate:g} requests/s saturate {d.chips} x {d.chip.name}: the highest sustainable rate is "
            f"{highest:.3g} requests/s; offer less, or divide the load over {math.ceil(rate / highest)} such replicas"
        )
    batch = float(np.interp(rate, served_rate, points))
    one = _at(d, constants, load, batch)
    service = float(one.prompt_s)
    base = float(one.ttft_s) - float(one.queue_s)
    base += float(d.engine.ttft_steps * one.step_s)
    busy = min(rate * service, 0.999)
    return Arrivals(
        batch, base + mean_wait_s(service, busy), open_percentiles(base, service, busy), highest
    )


def _at(d: Deployment, constants: Constants, load: Load, batch: float) -> Served:
    return serve(d.chip, d.model, d.plan, d.formats, d.engine, constants, replace(load, concurrency=batch))
