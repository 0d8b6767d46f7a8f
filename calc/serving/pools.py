"""Mixed systems: prompts on one chip and generation on another, in pools whose rates match.

A pool is so many replicas of one phase; prefill replicas hand their KV cache over a link. What one replica of a phase
does comes from the same core as everything else: a prompt by itself, or decode steps that no prompt disturbs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.constants import load_constants
from ..engines.engine import Engine, find_engine
from ..engines.vendor import engine_for_chip
from ..errors import DoesNotFit
from ..hardware.links import NO_LINK
from ..physics.operators import Formats, component_formats
from ..physics.pipeline import place, prompt_work_s
from ..trust.grades import answer_grade
from . import piped_loop, wide_ep
from .chunked_prefill import pooled_prompt_s
from .closed_loop import closed_loop
from .deployment import Wish, choose
from .drafting import LENGTHS
from .piped_loop import Piped
from .precision import choose_formats
from .regimes import mean_wait_s
from .workload import Load

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from ..models.model import Model

PREFILL_BUSY, DECODE_BUSY = 0.90, 0.92  # shares of their rate that rate-matched pools can be planned for
MOST_REPLICAS = 32
_LOADS = 64  # batches tried for the largest that keeps a time per token


@dataclass(frozen=True)
class Job:
    """What a replica of one phase is asked to do.

    chips: of the replica, None for the fewest; batch: None for the largest (that keeps max_tpot_s).
    """

    chip: Chip
    model: Model
    isl: int
    osl: int = 1
    cache_hit: float = 0.0
    chips: int | None = None
    weights: str | None = None
    batch: float | None = None
    max_tpot_s: float | None = None
    draft: int = 0
    acceptance: float = 0.0

    @property
    def wish(self) -> Wish:
        """What of its deployment is asked for."""
        return Wish(weights=self.weights, chips=self.chips)


@dataclass(frozen=True)
class Phase:
    """One replica of a pool: its chips, seconds of its phase, requests per second, and the link to the other pool."""

    chip: Chip
    chips: int
    weights: str
    kv: str
    seconds: float  # prefill: one prompt; decode: time per output token
    batch: float
    requests_per_s: float
    link_bytes_s: float
    grade: str


def link_bytes_s(chip: Chip, chips: int) -> float:
    """Bytes/s that a replica can send out of its box: the network link of each chip, else its host bus.

    Worked: 8 x H800 with 400 Gbit/s each: 400 GB/s. A chip that publishes neither is taken as a PCIe 4 card.
    """
    links = {link.level: link.bandwidth_bytes_s for link in chip.links if link.bandwidth_bytes_s}
    return (links.get("scale_out") or links.get("host") or links.get("scale_up") or NO_LINK) * chips


@dataclass(frozen=True, repr=False)
class _Ways:
    """A job with its software and formats, from which each way to run it makes a phase."""

    job: Job
    constants: Constants
    engine: Engine
    weights: str
    kv: str
    formats: Formats

    @classmethod
    def of(cls, job: Job) -> _Ways:
        constants = load_constants()
        engine = engine_for_chip(job.chip, find_engine(constants, None), job.model, constants)
        weights, kv, _ = choose_formats(job.chip, job.model, engine, job.weights, None)
        return cls(job, constants, engine, weights, kv, component_formats(job.model, weights, kv))

    @property
    def wide(self) -> bool:
        """Experts may be spread over the chips that are given, and attention be data parallel."""
        return self.job.model.is_moe and self.job.chips is not None and self.job.chips > 1

    def phase(self, chips: int, seconds: float, batch: float, rate: float, scope: str = "") -> Phase:
        j = self.job
        scope = scope or self.constants.scope(j.chip, self.weights)
        grade = answer_grade(j.chip, self.constants, scope, j.model.is_moe)
        return Phase(j.chip, chips, self.weights, self.kv, seconds, batch, rate, link_bytes_s(j.chip, chips), grade)

    def generates(self, chips: int, tpot_s: float, running: float, scope: str = "") -> Phase:
        """`running` requests of OSL tokens each at that time per token."""
        return self.phase(chips, tpot_s, running, running / (self.job.osl * tpot_s), scope)


def prefill(job: Job) -> Phase:
    """The fewest chips that hold the model, working through prompts one after another.

    Routed models on a number of chips that is given may also run expert parallel; the faster way is taken.
    """
    ways = _Ways.of(job)
    if job.chip.weights_in_sram:
        return _piped_prefill(ways)
    wide = None
    if ways.wide:
        assert job.chips is not None
        p = wide_ep.prefill(
            job.chip, job.model, ways.formats, chips=job.chips, isl=float(job.isl), cache_hit=job.cache_hit
        )
        rate = p.tok_s_chip * job.chips / (job.isl * (1.0 - job.cache_hit))
        wide = ways.phase(job.chips, p.step_s, p.largest_batch, rate)
        if wide_ep.is_wide(job.model, job.chips):
            return wide
    engine = ways.engine
    d = choose(job.chip, job.model, engine, job.wish, batch=1.0, context=float(job.isl))
    lone_and_full = Load(np.array([float(job.isl), engine.chunk_tokens]), 1.0, 1.0, np.array([job.cache_hit, 0.0]))
    alone = np.broadcast_to(closed_loop(d.replica(ways.constants), lone_and_full).alone_s, 2)
    busy = pooled_prompt_s(engine, job.isl * (1.0 - job.cache_hit), float(alone[0]), float(alone[1]))
    side = ways.phase(d.chips, float(alone[0]), 1.0, 1.0 / busy)
    return wide if wide is not None and wide.requests_per_s > side.requests_per_s else side


def _piped_prefill(ways: _Ways) -> Phase:
    job, fmt = ways.job, ways.formats
    chips = float(job.chips) if job.chips else None
    pipe = place(job.chip, job.model, fmt, 1.0, float(job.isl), chips=chips)
    cached = job.isl * job.cache_hit
    seconds = float(prompt_work_s(job.chip, job.model, fmt, pipe, job.isl - cached, cached=cached))
    return ways.phase(int(pipe.chips), float(pipe.token_s) + seconds, 1.0, 1.0 / seconds, pipe.scope)


def decode(job: Job) -> Phase:
    """A replica that only generates: its largest batch (within max_tpot_s a token), or the one that is asked for.

    No prompt disturbs it. Routed models on a number of chips that is given may also run expert parallel; the
    way of more tokens is taken.
    """
    ways = _Ways.of(job)
    if job.chip.weights_in_sram:
        return _piped_decode(ways)
    wide = None
    if ways.wide:
        assert job.chips is not None
        w = wide_ep.decode(
            job.chip,
            job.model,
            ways.formats,
            chips=job.chips,
            context=job.isl + 0.5 * job.osl,
            draft=job.draft,
            batch_per_chip=job.batch / job.chips if job.batch else None,
            acceptance=job.acceptance,
            max_tpot_s=job.max_tpot_s,
        )
        if w.largest_batch >= 1.0 and (job.batch is None or job.batch / job.chips <= w.largest_batch):
            wide = ways.generates(job.chips, w.tpot_s, w.tokens_per_chip * job.chips)
        if wide_ep.is_wide(job.model, job.chips):
            if wide is None:
                raise _too_many(job.chip, job.chips, job.batch or job.chips, w.largest_batch * job.chips)
            return wide
    try:
        side = _tensor_decode(ways)
    except DoesNotFit:
        if wide is None:
            raise
        return wide
    late = job.max_tpot_s is not None and side.seconds > job.max_tpot_s
    better = wide is not None and (late or wide.requests_per_s > side.requests_per_s)
    return wide if wide is not None and better else side


def best_drafted(job: Job) -> tuple[Phase, int]:
    """(phase, drafted tokens) of the length that makes the most tokens: at the batch, or within max_tpot_s a token."""
    sides = []
    for length in LENGTHS:
        side = decode(replace(job, draft=length, acceptance=job.acceptance if length else 0.0))
        late = job.max_tpot_s is not None and side.seconds > job.max_tpot_s
        sides.append((late, -round(side.requests_per_s, 9), length, side))
    _, _, length, side = min(sides, key=lambda item: item[:3])
    return side, length


def _too_many(chip: Chip, chips: int, batch: float, most: float) -> DoesNotFit:
    return DoesNotFit(
        f"{batch:.0f} requests do not fit the KV cache of {chips} x {chip.name}, which "
        f"holds {most:.0f}; give more --decode-chips or a smaller --batch"
    )


def _piped_decode(ways: _Ways) -> Phase:
    """Generation on a machine that pipes layers through SRAM."""
    job, model = ways.job, ways.job.model
    machine = Piped(job.chip, model, ways.formats, float(job.chips) if job.chips else None)
    least = int(np.asarray(machine.least(float(job.isl + job.osl))))
    if job.chips is not None and job.chips < least:
        raise DoesNotFit(f"{model.name} needs {least:,} x {job.chip.name} to decode; give --decode-chips {least}")
    load = Load(  # prompts are elsewhere: all of them are cached here
        float(job.isl), float(job.osl), job.batch or math.inf, 1.0, float(job.draft), job.acceptance
    )
    s = piped_loop.closed_loop(machine, load)
    assert s.pipe is not None
    return ways.generates(int(s.chips), float(s.tpot_s), float(s.running), s.pipe.scope)


def _tensor_decode(ways: _Ways) -> Phase:
    """Generation on a tensor parallel replica; DoesNotFit where the batch asked for is too large."""
    job = ways.job
    context = float(job.isl + job.osl)
    d = choose(job.chip, job.model, ways.engine, job.wish, batch=job.batch or 1.0, context=context)
    most = min(float(d.memory.batch), ways.engine.max_sequences) if d.memory is not None else 1.0
    if job.batch is not None and job.batch > most:
        raise _too_many(job.chip, d.chips, job.batch, most)
    tried = np.array([job.batch or most])
    if job.batch is None and job.max_tpot_s is not None:
        tried = np.unique(np.floor(np.geomspace(1.0, max(most, 1.0), _LOADS)))
    # prompts are computed elsewhere: all but a token is cached here
    load = Load(float(job.isl), float(job.osl), tried, 1.0 - 1.0 / job.isl, float(job.draft), job.acceptance)
    steps = np.broadcast_to(closed_loop(d.replica(ways.constants), load).step_s, tried.shape)
    kept = np.flatnonzero(steps <= (job.max_tpot_s or np.inf)) if job.batch is None else np.array([0])
    at = int(kept[-1]) if kept.size else 0
    return ways.generates(d.chips, float(steps[at]), float(tried[at]))


@dataclass(frozen=True, eq=False)
class Matched:
    """x prefill and y decode replicas together; arrays where x and y are."""

    chips: Array
    requests_per_s: Array
    kv_bytes: float
    transfer_s: float
    ttft_s: Array


def transfer_s(kv_bytes: float, sender: float, receiver: float) -> float:
    """Seconds in which a prompt's cache moves: bytes over the slower of the two sides' links."""
    return kv_bytes / min(sender, receiver)


def service_s(reads: Phase, moved_s: float) -> float:
    """Seconds for which a prefill replica is taken by one prompt: its own time, and the time that it sends."""
    return 1.0 / reads.requests_per_s + moved_s


def matched(reads: Phase, writes: Phase, model: Model, isl: float, replicas: tuple[Array, Array]) -> Matched:
    """What (x, y) replicas give: the slower pool's rate, at the share of it that can be planned for.

    The sender is held while it sends, so a transfer costs prefill time as well as time to first token:
    TTFT = prompt + transfer + wait of the prefill pool (M/D/1 over its replicas) + one step.
    """
    x, y = replicas
    kv = float(model.kv_bytes(float(isl), component_formats(model, writes.weights, writes.kv).kv.bytes))
    moved = transfer_s(kv, reads.link_bytes_s, writes.link_bytes_s)
    service = service_s(reads, moved)
    rate = np.minimum(PREFILL_BUSY * x / service, DECODE_BUSY * y * writes.requests_per_s)
    wait = mean_wait_s(service, rate * service / x) / x
    return Matched(x * reads.chips + y * writes.chips, rate, kv, moved, reads.seconds + moved + wait + writes.seconds)


def rate_match(rates: tuple[float, float], costs: tuple[float, float], most: int = MOST_REPLICAS) -> tuple[int, int]:
    """(x, y) replicas from 1 to `most` with the least cost per request: (x c_p + y c_d)/min(.9 x R_p, .92 y R_d).

    rates, costs: of a prefill and of a decode replica. The smaller system wins where the cost is within two per cent.
    Worked: R_p = 3, R_d = 1, equal costs: one prefill replica feeds three decode replicas, 2.7 of 2.76 requests/s.
    """
    x, y = np.arange(1, most + 1)[:, None], np.arange(1, most + 1)[None, :]
    served = np.minimum(PREFILL_BUSY * x * rates[0], DECODE_BUSY * y * rates[1])
    cost = (x * costs[0] + y * costs[1]) / served
    size = np.where(cost <= cost.min() * 1.02, x + y, np.inf)
    i, j = np.unravel_index(int(np.argmin(size)), size.shape)
    return int(i) + 1, int(j) + 1


@dataclass(frozen=True)
class Mixed:
    """Replicas on both sides and what they give together; money per hour where both chips have a price."""

    prefill: Phase
    decode: Phase
    prefill_replicas: int
    decode_replicas: int
    together: Matched
    money_per_hour: float | None
    grade: str
    draft: int = 0


def mixed(
    reads: Job, writes: Job, *, best_draft: bool = False, hour_price: Callable[[Chip], float | None] = lambda chip: None
) -> Mixed:
    """Prompts as one job, generation as another: whole replicas whose rates match, at the least cost.

    best_draft: the draft length that makes the most tokens. hour_price: money per chip hour, None where it has none
    (then chips, not money, are matched).
    """
    first = prefill(reads)
    second, drafted = best_drafted(writes) if best_draft else (decode(writes), writes.draft)
    moved = matched(first, second, reads.model, reads.isl, (1, 1)).transfer_s
    prices = (hour_price(first.chip), hour_price(second.chip))
    priced = all(price is not None for price in prices)
    costs = [(price if priced and price else 1.0) * p.chips for price, p in zip(prices, (first, second), strict=True)]
    x, y = rate_match((1.0 / service_s(first, moved), second.requests_per_s), (costs[0], costs[1]))
    together = matched(first, second, reads.model, reads.isl, (x, y))
    money = x * costs[0] + y * costs[1] if priced else None
    return Mixed(first, second, x, y, together, money, max(first.grade, second.grade), drafted)
