"""Steady state of a serving workload: TPOT, TTFT and throughput from one decode step and one prompt's seconds.

The compositions are pure functions of seconds, so that the answer, the sweep and the fit use the same ones; `serve`
joins them to the physics for arrays of cases. Stands after `passes`, `memory` and `sram`, before `estimate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.resolve import engine_for
from ..physics.memory import Footprint, footprint
from ..physics.parallel import Plan, on_cores
from ..physics.passes import decode_operators, padded_tokens, passes_per_prompt, prompt_operators, read_context
from ..physics.step import StepTime, host_joined, step_time
from .chunked_prefill import busy_kernels_s, launched, queued_ttft_s, running_limit
from .regimes import Case, Parts, prompt_share, sustained_ttft, tpot_of, ttft_of
from .workload import Load, accepted_tokens

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats


@dataclass(frozen=True, eq=False, repr=False)
class Served:
    """Steady state per replica; arrays of cases. Rates are tokens per second of the whole replica."""

    tpot_s: Array
    ttft_s: Array
    output_tok_s: Array
    input_tok_s: Array
    output_tok_s_user: Array
    step_s: Array  # one decode step without prompts of others
    prompt_s: Array  # service of one prompt in a busy engine
    prompt_alone_s: Array  # prompt alone, without host front end
    queue_s: Array  # part of the TTFT spent waiting for others
    running: Array  # requests decoding or prefilling at once
    prefill_share: Array  # share of the working time that prompts take
    memory: Footprint
    decode: StepTime
    prefill: StepTime


def decode_step_s(engine: Engine, kernel_s: Array, batch: Array, stages: Array) -> Array:
    """One decode step with its host work: factor x kernels, a constant per stage, a term per sequence of a rank.

    Stages in use beyond the first add bubbles, as in `regimes.parts`.
    """
    bubbles = 1.0 + engine.stage_loss * (np.minimum(stages, np.maximum(batch, 1.0)) - 1.0)
    return bubbles * host_joined(engine, kernel_s, engine.host_s(stages) + engine.sequence_s * batch)


def prompt_service_s(engine: Engine, kernel_s: Array, passes: Array) -> Array:
    """Kernels of a pass of prompts with the host work of its chunks, times the engine's prompt factor."""
    return engine.prompt_factor * host_joined(engine, kernel_s, engine.prefill_step_s * passes)


def shared_tpot_s(step_s: Array, prompt_s: Array, batch: Array, osl: Array, interference: Array) -> Array:
    """TPOT when prompts of other requests share the chip: step + g (b - 1)/OSL x prompt (`regimes.tpot_of`).

    Worked: step 10 ms, prompt 50 ms, b = 33, OSL 800, g = 1.2: 12.4 ms.
    """
    return tpot_of(Parts(step_s, 0.0, prompt_s), Case(0.0, osl, batch, batch), _Share(interference))


def closed_ttft_s(
    engine: Engine, alone_s: Array, step_s: Array, prompt_s: Array, batch: Array, dp: Array = 1.0
) -> Array:
    """Mean TTFT in a closed loop whose requests all run (`regimes.ttft_of`)."""
    case = Case(0.0, 1.0, batch, batch, dp=dp)
    return ttft_of(Parts(step_s, alone_s, prompt_s), case, engine, 0.0)


def waiting_s(engine: Engine, tpot_s: Array, prompt_s: Array, osl: Array, concurrency: Array, running: Array) -> Array:
    """What requests beyond the running ones add to the TTFT: their prompts and their wait for memory."""
    more = np.maximum(concurrency - running, 0.0)
    prompts = engine.ttft_factor * engine.queue_share * prompt_s
    return more * (prompts + engine.queue_time * osl * tpot_s / running)


def software_limit(engine: Engine, plan: Plan, load: Load) -> Array:
    """Requests that the software runs at once in a replica, whatever its memory holds.

    Its own limit a rank; where prompts share the steps of running requests, no more than let theirs pass
    (`joined.running_limit`, of each pipeline stage's share).
    """
    steps = load.osl / accepted_tokens(load.acceptance, load.draft)
    passing = running_limit(engine, load.fresh, steps, np.asarray(load.draft) + 1.0) * np.asarray(plan.pp)
    return np.minimum(engine.max_sequences, passing) * np.asarray(plan.dp)


def independent_ranks(model: Model, plan: Plan) -> bool:
    """Whether data-parallel ranks share nothing: they do where experts are spread over them, so in mixtures only."""
    return not model.is_moe and bool(np.any(np.asarray(plan.dp) > 1))


def sized_for(chip: Chip, model: Model, engine: Engine, constants: Constants, load: Load) -> Array:
    """Requests in flight that a machine is sized for: no more than the software would run on one chip of it."""
    runs = engine_for(constants, engine, chip, model, model.native_format)
    return np.minimum(load.concurrency, np.floor(software_limit(runs, Plan(1, 1, 1, 1), load)))


def pool_limit(engine: Engine, chip: Chip, model: Model, plan: Plan, fmt: Formats, load: Load) -> Array:
    """Requests that run at once: what the cache holds as the engine reserves it, at most its own limit, at least 1."""
    held = footprint(chip, model, plan, fmt, engine, load.isl + engine.reserve * load.osl).batch
    return np.minimum(np.maximum(np.floor(held * engine.pool), 1.0), software_limit(engine, plan, load))


@dataclass(frozen=True, eq=False, repr=False)
class _Share:
    interference: Array


def serve(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants, load: Load
) -> Served:
    """Steady state of a closed loop: `concurrency` requests in flight, each followed by the next at its end.

    More requests than the KV pool holds wait: the running batch is the pool's, the rest of Little's law is queue.
    All arguments of `plan` and `load` may be arrays of cases. Data-parallel ranks of a dense model are machines of
    their own, each with its share of the requests: one prompt is read by one of them, and no other's disturbs it.
    """
    if independent_ranks(model, plan):
        ranks = np.minimum(plan.dp, load.concurrency)
        own = replace(load, concurrency=load.concurrency / ranks)
        s = serve(chip, model, replace(plan, dp=1), fmt, engine, constants, own)
        return replace(
            s, output_tok_s=s.output_tok_s * ranks, input_tok_s=s.input_tok_s * ranks, running=s.running * ranks
        )
    engine = engine_for(constants, engine, chip, model, fmt.experts.name if model.is_moe else fmt.ffn.name)
    constants, plan = constants.tuned(engine), on_cores(plan, chip)
    memory = footprint(chip, model, plan, fmt, engine, load.context)
    fresh = load.fresh
    cached = load.isl - fresh
    verified = np.asarray(load.draft) + 1.0
    yielded = accepted_tokens(load.acceptance, load.draft)
    running = np.minimum(load.concurrency, pool_limit(engine, chip, model, plan, fmt, load))

    context = read_context(engine, load.isl, load.osl)
    single = padded_tokens(engine, fresh)
    decode = step_time(decode_operators(model, plan, fmt, running, context, verified), chip, constants)
    alone = step_time(prompt_operators(model, plan, fmt, 1.0, single, cached), chip, constants)
    batched_s = busy_kernels_s(
        chip, model, plan, fmt, engine, constants, fresh, cached, running, load.osl / yielded, decode,
        alone, verified,
    )  # fmt: skip
    passes, together = launched(engine, plan, fresh, running)

    step = decode_step_s(engine, decode.seconds, running / np.asarray(plan.dp), plan.pp) / yielded
    prompt = prompt_service_s(engine, batched_s, passes / together)
    alone_s = prompt_service_s(engine, alone.seconds, passes_per_prompt(engine, single))
    tpot = shared_tpot_s(step, prompt, running, load.osl, engine.interference)
    tpot = np.maximum(tpot, engine.stream_s * running / np.asarray(plan.dp))
    ttft = closed_ttft_s(engine, alone_s, step * yielded, prompt, running, plan.dp)
    ttft = sustained_ttft(ttft, prompt, running, load.osl, tpot)
    rate = running / (ttft + (load.osl - 1.0) * tpot)
    ttft = ttft + waiting_s(engine, tpot, prompt, load.osl, load.concurrency, running)
    ttft = queued_ttft_s(engine, ttft, rate, tpot, load.osl, load.concurrency)
    return Served(
        tpot_s=tpot,
        ttft_s=ttft,
        output_tok_s=rate * load.osl,
        input_tok_s=rate * load.isl,
        output_tok_s_user=1.0 / tpot,
        step_s=step,
        prompt_s=prompt,
        prompt_alone_s=alone_s,
        queue_s=ttft - alone_s - engine.frontend_s,
        running=running,
        prefill_share=prompt_share(prompt, step, running, load.osl),
        memory=memory,
        decode=decode,
        prefill=alone,
    )


def open_loop(served: Served, rate_per_s: Array, capacity_per_s: Array) -> tuple[Array, Array]:
    """(wait_s, saturated) of Poisson arrivals at a replica: M/D/1 wait on prompts, rho S / (2 (1 - rho)).

    capacity_per_s: requests per second at the largest batch. At or above it the queue grows without end: wait is inf.
    """
    rho = np.asarray(rate_per_s) / capacity_per_s
    saturated = rho >= 1.0
    service = 1.0 / np.asarray(capacity_per_s)
    wait = np.where(saturated, np.inf, rho * service / (2.0 * np.maximum(1.0 - rho, 1e-12)))
    return wait, saturated
