"""The core: a machine and a load to the steady state of a closed loop, for one question and for grids of millions.

Arrays of the plan and the load broadcast together, so an axis for each input makes a grid. Two identities keep work
small: requests beyond the KV pool only add waiting to the pool's answer (`_split`), and almost all cases share one
pass of prompts per length (`kernels`). Compositions are those of `regimes`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from ..arrays import Array
from . import piped_loop
from .blocks import LIST, in_blocks, list_length
from .kernels import FEW, Passes, case_of, gather, passes_of
from .regimes import busy_share, parts, prompt_share, queue_s, steady
from .replica import Replica
from .workload import Load, Served

MAX = np.inf
"""Requests in flight of a case that asks for as many as memory holds."""


def evaluate(machine: Replica | piped_loop.Piped, load: Load) -> Served:
    """The steady state of a machine under a load: numbers, or arrays that broadcast together.

    load.concurrency: requests in flight, each followed by the next at its end; MAX for as many as memory holds.
    """
    if isinstance(machine, Replica):
        return closed_loop(machine, load)
    return piped_loop.closed_loop(machine, load)


def closed_loop(r: Replica, load: Load) -> Served:
    """`evaluate` of chips whose weights stream from memory.

    Requests beyond the KV pool wait: the running batch is the pool's, the rest of Little's law is queue. Data-parallel
    ranks of a dense model are machines of their own, each with its share of the requests.
    """
    if r.independent_ranks:
        return _by_ranks(r, load)
    length = list_length(r.plan, load)
    if length > LIST:
        return in_blocks(r.plan, load, length, lambda plan, part: closed_loop(replace(r, plan=plan), part))
    most, whole = r.software_limit(load), r.memory(load.isl + load.osl)
    largest, pool = np.minimum(whole.batch, np.floor(most)), r.pool(load)
    asked = np.asarray(load.concurrency, dtype=float)
    unlimited = np.isinf(asked)
    some = bool(unlimited.any())
    free_at = np.where(unlimited, 1.0, asked) if some else asked
    asked = np.where(unlimited, np.maximum(largest, 1.0), asked) if some else asked
    over = np.asarray((asked > pool) | unlimited if some else asked > pool)
    level = np.minimum(asked, pool)
    waits, passes = bool(over.any()), None
    if not waits or over.size <= FEW:
        running = level
        s, passes = _at(r, load, running)
    else:
        running, s = _split(r, load, _Levels(asked, level if some else pool, over, free_at))
    used = whole.weights_bytes + whole.workspace_bytes
    grown = np.minimum(running, whole.batch)  # more run at once while they grow, in a pool that is full
    ttft = s.ttft_s + queue_s(asked, running, s.rate) if waits else s.ttft_s
    return Served(
        fits=whole.batch >= 1.0,
        chips=r.plan.chips,
        concurrency=asked,
        running=running,
        largest_batch=largest,
        tpot_s=s.tpot_s,
        ttft_s=ttft,
        output_tok_s=s.rate * load.osl,
        input_tok_s=s.rate * load.isl,
        step_s=s.step_s,
        prompt_s=s.prompt_s,
        alone_s=s.alone_s,
        queue_s=ttft - s.alone_s - r.engine.frontend_s,
        prefill_share=prompt_share(s.prompt_s, s.step_s, running, load.osl),
        used_share=(used + grown / r.plan.dp * whole.kv_bytes_per_sequence) / whole.capacity_bytes,
        busy=s.busy,
        memory=whole,
        decode=passes.decode if passes else None,
        prefill=passes.alone if passes else None,
        operators=passes.decode_operators if passes else (),
    )


def _by_ranks(r: Replica, load: Load) -> Served:
    """Ranks of a dense model: as many machines of one rank as there are requests for them."""
    ranks = np.minimum(r.plan.dp, load.concurrency)
    one = closed_loop(r.cut(replace(r.plan, dp=1.0)), replace(load, concurrency=load.concurrency / ranks))
    return replace(
        one,
        chips=r.plan.chips,
        concurrency=one.concurrency * ranks,
        running=one.running * ranks,
        largest_batch=one.largest_batch * r.plan.dp,
        output_tok_s=one.output_tok_s * ranks,
        input_tok_s=one.input_tok_s * ranks,
    )


@dataclass(frozen=True, eq=False, repr=False)
class _Running:
    """Seconds of a running batch: decode step, one prompt among others and alone, TPOT, TTFT; requests per second;
    share of the time that it does not wait for its host.
    """

    step_s: Array
    prompt_s: Array
    alone_s: Array
    tpot_s: Array
    ttft_s: Array
    rate: Array
    busy: Array


def _at(r: Replica, load: Load, running: Array) -> tuple[_Running, Passes]:
    """Steady state of `running` requests, and the passes that it is made of."""
    passes, case = passes_of(r, load, running), case_of(r, load, running)
    p = parts(case, passes.seconds, r.engine)
    s = steady(p, case, r.engine)
    busy = busy_share(p, s, case, r.engine)
    return _Running(p.step, p.prompt, p.alone, s.tpot, s.ttft, s.rate, busy), passes


@dataclass(frozen=True, eq=False, repr=False)
class _Levels:
    """Requests in flight of a grid: as asked, at the pool's level, where they are beyond it, and without any end."""

    asked: Array
    level: Array
    over: np.ndarray
    free_at: Array


def _split(r: Replica, load: Load, at: _Levels) -> tuple[Array, _Running]:
    """Grids in which some cases wait: the free ones on their own axes, the others at the pool's level."""
    free, _ = _at(r, load, at.free_at)
    axes = (r.plan.tp, r.plan.pp, r.plan.dp, r.plan.ep, load.isl, load.osl, load.cached_share)
    small = np.broadcast_shapes(np.shape(at.level), *map(np.shape, axes))
    shape = np.broadcast_shapes(at.over.shape, small, np.shape(load.draft), np.shape(load.acceptance))
    over = np.broadcast_to(at.over, shape)
    names = [f.name for f in fields(_Running)]
    if np.prod(small, dtype=float) <= over.sum():
        full, _ = _at(r, load, at.level)
        columns = [np.where(over, getattr(full, n), getattr(free, n)) for n in names]
    else:
        some, gathered = gather(over, r, load)
        full, _ = _at(some, gathered, np.broadcast_to(at.level, shape)[over])
        columns = []
        for n in names:
            column = np.array(np.broadcast_to(getattr(free, n), shape), dtype=float)
            column[over] = getattr(full, n)
            columns.append(column)
    return np.where(over, at.level, at.asked), _Running(*columns)
