"""The core over whole grids: the answers of `serving.serve`, each pass evaluated only on the axes it
depends on.

Arrays of the plan and the load broadcast together, so an axis per input makes a grid. Matrix products then
see (plan, batch), the cache (plan, length, batch), prompts (plan, length): few cases where the grid has
many. Two more identities keep work small: requests beyond the KV pool only add waiting to the pool's
answer, and prompts share a pass up to the token budget, so almost all cases share one prefill pass per
length. Equal to `serve` and `estimate` to 1e-9. Stands after `serving` and `sram`; sweep, atlas and planner
stand on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.resolve import engine_for
from ..physics import pipeline as sram
from ..physics.memory import footprint
from ..physics.parallel import Plan, on_cores
from ..physics.passes import (
    decode_operators,
    padded_tokens,
    passes_per_prompt,
    prompt_operators,
    prompts_per_pass,
    read_context,
)
from ..physics.step import step_time
from . import piped_loop
from .blocks import LIST, in_blocks, list_length
from .chunked_prefill import busy_kernels_s, joins, queued_ttft_s
from .regimes import prompt_share, sustained_ttft
from .serve import (
    closed_ttft_s,
    decode_step_s,
    independent_ranks,
    pool_limit,
    prompt_service_s,
    shared_tpot_s,
    software_limit,
    waiting_s,
)
from .workload import Load, accepted_tokens

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats

FEW = 64  # below this many cases, splitting a pass costs more than it saves
MAX = np.inf  # concurrency of a case that asks for as many requests as memory holds


@dataclass(frozen=True)
class Landscape:
    """Answers of a grid per replica; arrays of cases.

    Where `fits` is False the other figures mean nothing.
    """

    fits: Array
    chips: Array
    concurrency: Array
    running: Array
    largest_batch: Array
    tpot_s: Array
    ttft_s: Array
    output_tok_s: Array
    input_tok_s: Array
    prefill_share: Array
    used_share: Array
    busy: Array

    def arrays(self) -> dict[str, np.ndarray]:
        """All figures in the full shape of the grid, by name."""
        names = list(self.__dataclass_fields__)
        full = np.broadcast_arrays(*(np.asarray(getattr(self, name)) for name in names))
        return dict(zip(names, full, strict=True))


@dataclass(frozen=True)
class _Steady:
    """Seconds of a running batch: decode step, one prompt, per token, first token; requests per second;
    busy share.
    """

    step_s: Array
    prompt_s: Array
    tpot_s: Array
    ttft_s: Array
    rate: Array
    busy: Array


def evaluate(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants, load: Load,
    chips: Array | None = None,
) -> Landscape:  # fmt: skip
    """Answers of every case; SRAM chips pipe layers over `chips` (None: the fewest), others follow `plan`.

    load.concurrency: requests in flight, MAX for as many as memory holds. Shapes of plan and load
    broadcast.
    """
    if chip.weights_in_sram:
        return piped(chip, model, fmt, load, chips)
    return served(chip, model, plan, fmt, engine, constants, load)


def served(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants, load: Load
) -> Landscape:
    """Closed loops on chips whose weights stream from memory, as `serving.serve` composes them."""
    if independent_ranks(model, plan):
        ranks = np.minimum(plan.dp, load.concurrency)
        own = replace(load, concurrency=load.concurrency / ranks)
        one = served(chip, model, replace(plan, dp=1), fmt, engine, constants, own)
        return replace(
            one, chips=plan.chips, concurrency=one.concurrency * ranks, running=one.running * ranks,
            largest_batch=one.largest_batch * plan.dp, output_tok_s=one.output_tok_s * ranks,
            input_tok_s=one.input_tok_s * ranks,
        )  # fmt: skip
    length = list_length(plan, load)
    if length > LIST:
        return Landscape(
            **in_blocks(plan, load, length, lambda p, q: served(chip, model, p, fmt, engine, constants, q).arrays())
        )
    engine = engine_for(constants, engine, chip, model, fmt.experts.name if model.is_moe else fmt.ffn.name)
    most = software_limit(engine, plan, load)
    whole = footprint(chip, model, plan, fmt, engine, load.isl + load.osl)
    largest = np.minimum(whole.batch, np.floor(most))
    pool = pool_limit(engine, chip, model, plan, fmt, load)
    asked = np.asarray(load.concurrency, dtype=float)
    unlimited = np.isinf(asked)
    some_max = bool(unlimited.any())
    if some_max:
        finite = np.where(unlimited, 1.0, asked)
        asked = np.where(unlimited, np.maximum(largest, 1.0), asked)
    else:
        finite = asked
    free = _steady(chip, model, plan, fmt, engine, constants, load, finite)
    over = (asked > pool) | unlimited if some_max else asked > pool
    if not np.any(over):
        running, steady = asked, free
    else:
        running, steady = _with_waiting(
            chip, model, plan, fmt, engine, constants, load, asked, pool, over, free, some_max
        )
    used = whole.weights_bytes + whole.workspace_bytes
    grown = np.minimum(running, whole.batch)  # more run at once while they grow, in a pool that is full
    used = (used + grown / plan.dp * whole.kv_bytes_per_sequence) / whole.capacity_bytes
    return Landscape(
        fits=whole.batch >= 1.0,
        chips=plan.chips,
        concurrency=asked,
        running=running,
        largest_batch=largest,
        tpot_s=steady.tpot_s,
        ttft_s=steady.ttft_s,
        output_tok_s=steady.rate * load.osl,
        input_tok_s=steady.rate * load.isl,
        prefill_share=prompt_share(steady.prompt_s, steady.step_s, running, load.osl),
        used_share=used,
        busy=steady.busy,
    )


def _with_waiting(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants, load: Load,
    asked: Array, pool: Array, over: Array, free: _Steady, some_max: bool,
) -> tuple[Array, _Steady]:  # fmt: skip
    """Cases beyond the pool: the pool's steady state, and the rest of Little's law as waiting."""
    level = np.minimum(asked, pool) if some_max else pool
    shapes = [np.shape(v) for v in (level, plan.tp, plan.pp, plan.dp, plan.ep, load.isl, load.osl, load.cached_share)]
    shape = np.broadcast_shapes(np.shape(over), *shapes, np.shape(load.draft), np.shape(load.acceptance))
    over = np.broadcast_to(over, shape)
    if np.prod(np.broadcast_shapes(*shapes), dtype=float) <= over.sum():
        full = _steady(chip, model, plan, fmt, engine, constants, load, level)
        picked = _Steady(*(np.where(over, getattr(full, n), getattr(free, n)) for n in _Steady.__dataclass_fields__))
    else:
        at, gathered = _gather(over, plan, load)
        full = _steady(chip, model, at, fmt, engine, constants, gathered, np.broadcast_to(level, shape)[over])
        columns = []
        for name in _Steady.__dataclass_fields__:
            column = np.array(np.broadcast_to(getattr(free, name), shape), dtype=float)
            column[over] = getattr(full, name)
            columns.append(column)
        picked = _Steady(*columns)
    running = np.where(over, level, asked)
    waiting = waiting_s(engine, picked.tpot_s, picked.prompt_s, load.osl, asked, running)
    ttft = queued_ttft_s(engine, picked.ttft_s + waiting, picked.rate, picked.tpot_s, load.osl, asked)
    return running, replace(picked, ttft_s=ttft)


def _gather(mask: np.ndarray, plan: Plan, load: Load) -> tuple[Plan, Load]:
    """The cases where `mask` is True, as plain lists."""

    def pick(value: Array) -> Array:
        return value if np.ndim(value) == 0 else np.broadcast_to(value, mask.shape)[mask]

    at = Plan(pick(plan.tp), pick(plan.pp), pick(plan.dp), pick(plan.ep), plan.cores)
    return at, Load(
        pick(load.isl), pick(load.osl), 1.0, pick(load.cached_share), pick(load.draft), pick(load.acceptance)
    )


def _steady(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants, load: Load, running: Array
) -> _Steady:
    """Steady state of `running` requests, by the compositions of `serving`."""
    verified = np.asarray(load.draft) + 1.0
    yielded = accepted_tokens(load.acceptance, load.draft)
    fresh = load.isl * (1.0 - np.asarray(load.cached_share))
    cached = load.isl - fresh
    constants, plan = constants.tuned(engine), on_cores(plan, chip)
    context, single = read_context(engine, load.isl, load.osl), padded_tokens(engine, fresh)
    decode = step_time(decode_operators(model, plan, fmt, running, context, verified), chip, constants)
    alone = step_time(prompt_operators(model, plan, fmt, 1.0, single, cached), chip, constants)
    step = decode_step_s(engine, decode.seconds, running / np.asarray(plan.dp), plan.pp) / yielded
    if joins(engine):
        kernels = busy_kernels_s(
            chip, model, plan, fmt, engine, constants, fresh, cached, running, load.osl / yielded, decode,
            alone, verified,
        )  # fmt: skip
        prompt = prompt_service_s(engine, kernels, 0.0)
    else:
        prompt = _shared_prompt_s(chip, model, plan, fmt, engine, constants, fresh, cached, running)
    alone_s = prompt_service_s(engine, alone.seconds, passes_per_prompt(engine, single))
    tpot = shared_tpot_s(step, prompt, running, load.osl, engine.interference)
    tpot = np.maximum(tpot, engine.stream_s * running / np.asarray(plan.dp))
    ttft = closed_ttft_s(engine, alone_s, step * yielded, prompt, running, plan.dp)
    host = engine.host_s(np.asarray(plan.pp)) + engine.sequence_s * running / np.asarray(plan.dp)
    busy = 1.0 - host / (tpot + step * (yielded - 1.0))
    ttft = sustained_ttft(ttft, prompt, running, load.osl, tpot)
    return _Steady(step, prompt, tpot, ttft, running / (ttft + (load.osl - 1.0) * tpot), busy)


def _shared_prompt_s(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants,
    fresh: Array, cached: Array, running: Array,
) -> Array:  # fmt: skip
    """Service of one prompt among others: where enough requests run, the prompts of a pass are the token
    budget's.
    """

    def service(at: Plan, new: Array, old: Array, together: Array) -> Array:
        padded = padded_tokens(engine, new)
        batched = step_time(prompt_operators(model, at, fmt, together * at.dp, padded, old), chip, constants)
        return prompt_service_s(engine, batched.seconds / at.pp, passes_per_prompt(engine, padded)) / (together * at.dp)

    together = prompts_per_pass(engine, running / np.asarray(plan.dp), fresh)
    if np.size(together) < FEW:
        return service(plan, fresh, cached, together)
    budget = prompts_per_pass(engine, np.inf, fresh)
    few = together != budget
    most = service(plan, fresh, cached, budget)
    if not few.any():
        return most
    shape = np.broadcast_shapes(np.shape(few), np.shape(most))
    few = np.broadcast_to(few, shape)
    at, part = _gather(few, plan, Load(fresh, 1.0, 1.0, cached))
    out = np.array(np.broadcast_to(most, shape), dtype=float)
    out[few] = service(at, part.isl, part.cached_share, np.broadcast_to(together, shape)[few])
    return out


def piped(chip: Chip, model: Model, fmt: Formats, load: Load, chips: Array | None = None) -> Landscape:
    """Layers piped over SRAM chips, as `sram.steady` composes them; chips None: the fewest."""
    least = sram.place(chip, model, fmt, 1.0, load.isl + load.osl).chips
    s = piped_loop.steady(chip, model, fmt, load, chips)
    stored = (s.pipe.weights_bytes + s.running * s.pipe.kv_bytes_per_sequence) / s.pipe.chips
    return Landscape(
        fits=s.pipe.chips >= least,
        chips=s.pipe.chips,
        concurrency=s.concurrency,
        running=s.running,
        largest_batch=s.largest_batch,
        tpot_s=s.tpot_s,
        ttft_s=s.ttft_s,
        output_tok_s=s.output_tok_s,
        input_tok_s=s.input_tok_s,
        prefill_share=s.prefill_share,
        used_share=stored / chip.memory_bytes,
        busy=np.minimum(1.0, 0.3 + 0.7 * s.running / s.full),
    )
