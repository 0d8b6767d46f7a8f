"""Steady state of a serving workload: TPOT, TTFT and throughput from one decode step and one prompt's seconds.

The compositions are pure functions of seconds, so that the answer, the sweep and the fit use the same ones; `serve`
joins them to the physics for arrays of cases. Stands after `passes`, `memory` and `sram`, before `estimate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .memory import Footprint, footprint
from .passes import decode_operators, passes_per_prompt, prompt_operators, prompts_per_pass
from .step import StepTime, step_time

if TYPE_CHECKING:
    from .chip import Chip
    from .constants import Constants
    from .engine import Engine
    from .model import Model
    from .operators import Formats
    from .parallel import Plan

Array = Any


@dataclass(frozen=True)
class Load:
    """A workload of arrays: tokens in and out per request, requests in flight, share of the prompt found in a cache.

    draft: drafted tokens per step (0: none); acceptance: chance that a drafted token is accepted.
    """

    isl: Array
    osl: Array
    concurrency: Array
    cached_share: Array = 0.0
    draft: Array = 0.0
    acceptance: Array = 0.0

    @property
    def context(self) -> Array:
        """Mean tokens cached by a running request: ISL + OSL / 2."""
        return self.isl + 0.5 * self.osl


@dataclass(frozen=True)
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
    prefill_share: Array  # share of the replica's time that prompts take
    memory: Footprint
    decode: StepTime
    prefill: StepTime


def accepted_tokens(acceptance: Array, draft: Array) -> Array:
    """Mean tokens that one verified step yields: (1 - a^(g+1)) / (1 - a), from 1 (a = 0) to g + 1 (a = 1).

    Worked: a = .7, g = 3: 2.533. Source: speculative sampling, independent acceptance of each drafted token.
    """
    a = np.minimum(np.asarray(acceptance, dtype=float), 1.0 - 1e-9)
    return (1.0 - a ** (np.asarray(draft) + 1.0)) / (1.0 - a)


def decode_step_s(engine: Engine, kernel_s: Array, batch: Array, stages: Array) -> Array:
    """One decode step with its host work: factor x kernels + a constant per stage + a term per sequence."""
    return engine.factor * kernel_s + engine.step_s * stages + engine.sequence_s * batch


def prompt_service_s(engine: Engine, kernel_s: Array, passes: Array) -> Array:
    """Kernels of a pass of prompts with the host work of its chunks."""
    return engine.factor * kernel_s + engine.prefill_step_s * passes


def shared_tpot_s(step_s: Array, prompt_s: Array, batch: Array, osl: Array, interference: Array) -> Array:
    """TPOT when prompts of other requests share the chip: step + g (b - 1)/OSL x prompt.

    While one request writes OSL tokens, each of the b - 1 others brings one prompt.
    Worked: step 10 ms, prompt 50 ms, b = 33, OSL 800, g = 1.2: 12.4 ms.
    """
    return step_s + interference * np.maximum(batch - 1.0, 0.0) / osl * prompt_s


def closed_ttft_s(engine: Engine, alone_s: Array, step_s: Array, prompt_s: Array, batch: Array) -> Array:
    """Mean TTFT in a closed loop: front end + half a running step + own prompt + prompts standing before it."""
    return engine.frontend_s + 0.5 * step_s + alone_s + engine.queue_share * (batch - 1.0) * prompt_s


def serve(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants, load: Load
) -> Served:
    """Steady state of a closed loop: `concurrency` requests in flight, each followed by the next at its end.

    More requests than the KV pool holds wait: the running batch is the pool's, the rest of Little's law is queue.
    All arguments of `plan` and `load` may be arrays of cases.
    """
    memory = footprint(chip, model, plan, fmt, engine, load.context)
    pool = np.minimum(np.maximum(memory.batch, 1.0), engine.max_sequences * plan.dp)
    running = np.minimum(load.concurrency, pool)
    verified = np.asarray(load.draft) + 1.0
    yielded = accepted_tokens(load.acceptance, load.draft)
    fresh = load.isl * (1.0 - np.asarray(load.cached_share))
    cached = load.isl - fresh

    decode = step_time(decode_operators(model, plan, fmt, running, load.context, verified), chip, constants)
    alone = step_time(prompt_operators(model, plan, fmt, 1.0, fresh, cached), chip, constants)
    together = prompts_per_pass(engine, running / plan.dp, fresh)
    batched = step_time(
        prompt_operators(model, plan, fmt, together * plan.dp, fresh, cached), chip, constants
    )

    passes = passes_per_prompt(engine, fresh)
    step = decode_step_s(engine, decode.seconds, running, plan.pp) / yielded
    prompt = prompt_service_s(engine, batched.seconds / plan.pp, passes) / (together * plan.dp)
    alone_s = prompt_service_s(engine, alone.seconds, passes)
    tpot = shared_tpot_s(step, prompt, running, load.osl, engine.interference)
    ttft = closed_ttft_s(engine, alone_s, step, prompt, running)
    request_s = ttft + (load.osl - 1.0) * tpot
    rate = running / request_s
    waiting = np.maximum(load.concurrency - running, 0.0) / rate
    ttft = ttft + waiting
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
        prefill_share=np.minimum(rate * prompt, 1.0),
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
