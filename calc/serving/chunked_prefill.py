"""Steps that run the answers in flight and a piece of a prompt together, in graphs compiled for some numbers of tokens.

Such software launches one graph a step. A prompt then costs what its tokens add to the step that would run anyway,
and the tokens of the running requests take room from it. Stands after `stack` and `passes`, before `serving`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.vendor import StackEngine
from ..physics.passes import padded_tokens, passes_per_prompt, prompt_operators, prompts_per_pass
from ..physics.step import StepTime, step_time

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats
    from ..physics.parallel import Plan

_ATTENTION = ("attention", "mla", "linear")


def joins(engine: Engine) -> bool:
    """Whether prompts share the steps of running requests in compiled graphs (`joined_grain` of the stack's table)."""
    return isinstance(engine, StackEngine) and engine.grain > 0


def room(engine: StackEngine, running: Array) -> Array:
    """Prompt tokens that a full step takes beside `running` requests: (T - b)(1 - g/T) of T tokens a step.

    Prompts come in grains of g: in a full step one ends and another begins, and each loses half a grain on average.
    Worked, T 1,024, g 128: beside 53 requests 850, beside 179 739.
    """
    whole = engine.chunk_tokens
    return np.maximum(whole - running, engine.grain) * (1.0 - engine.grain / whole)


def running_limit(engine: Engine, fresh: Array, steps: Array, verified: Array = 1.0) -> Array:
    """Requests that can run at once however much memory there is: their prompts have to pass between them.

    Each brings `fresh` tokens in `steps` steps (OSL over the tokens that one yields) of `verified` tokens, the first of
    them with its prompt, so b fresh/(steps - 1) <= room(b verified) for the b that generate, and one more whose prompt
    is passing. No whole number: a mean over time. inf where prompts have passes of their own.
    Worked, T 1,024, g 128: prompts of 512 and answers of 128: 183.6; prompts of 2,048: 53.7; of 57,000: 3.
    """
    if not joins(engine):
        return np.inf
    assert isinstance(engine, StackEngine)
    whole = engine.chunk_tokens
    share = (1.0 - engine.grain / whole) * np.maximum(steps - 1.0, 0.0) / np.maximum(fresh, 1.0)
    most = np.minimum(whole * share / (1.0 + verified * share), (whole - engine.grain) / verified)
    return 1.0 + most


def alone_share(running: Array, steps: Array) -> Array:
    """Share of the steps that lone prompts would join which are left where some share one: (1 - exp(-p))/p.

    p = (running - 1)/steps prompts arrive a step, at random; steps: those of one answer. Worked: 16 running, 128: p
    .117, .943.
    """
    arriving = np.maximum(np.maximum(running - 1.0, 0.0) / np.maximum(steps, 1.0), 1e-9)
    return -np.expm1(-arriving) / arriving


def queued_ttft_s(engine: Engine, ttft_s: Array, rate: Array, tpot_s: Array, osl: Array, concurrency: Array) -> Array:
    """TTFT of a closed loop in which more are in flight than run, by Little's law: N/rate - (OSL - 1) TPOT.

    Only where prompts join steps, whose limit of running requests is a rate of prompts and not a size of memory; as
    given elsewhere. Worked: 32 in flight at 0.19 requests/s, 127 tokens of 80 ms: 158 s.
    """
    if not joins(engine):
        return ttft_s
    return np.maximum(ttft_s, concurrency / rate - np.maximum(osl - 1.0, 0.0) * tpot_s)


def pooled_prompt_s(engine: Engine, fresh: float, alone_s: float, full_s: float) -> float:
    """Seconds of a prompt on a machine that only reads prompts: short ones fill its steps side by side.

    fresh/room of a full step's seconds, never more than alone; alone_s where prompts do not join. full_s: a prompt of
    as many tokens as a step takes, alone. Worked, 300 tokens, steps of 1,024 in 73 ms: 24 ms, where one alone takes 73.
    """
    if not joins(engine):
        return alone_s
    assert isinstance(engine, StackEngine)
    return min(alone_s, full_s * fresh / float(room(engine, 0.0))) if fresh < engine.chunk_tokens else alone_s


def launched(engine: Engine, plan: Plan, fresh: Array, running: Array) -> tuple[Array, Array]:
    """(passes, prompts): how many launches of their own `prompts` of them take together; none where they join steps."""
    if joins(engine):
        return np.zeros_like(np.asarray(running, dtype=float)), np.ones_like(np.asarray(running, dtype=float))
    together = prompts_per_pass(engine, running / np.asarray(plan.dp), fresh)
    return passes_per_prompt(engine, padded_tokens(engine, fresh)), together * plan.dp


def busy_kernels_s(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, constants: Constants,
    fresh: Array, cached: Array, running: Array, steps: Array, decode: StepTime, alone: StepTime, verified: Array = 1.0,
) -> Array:  # fmt: skip
    """Kernel seconds of one prompt of `fresh` tokens after `cached` ones, in a replica that runs others.

    P(padded) / (pp n) of n prompts in a pass. Where they join steps (tokens T, room R, padded prompt F' >= F = fresh),
    with P(n) the kernels of n tokens without attention and b running requests, whose step runs anyway:
    own = [P(min(F' + b, T)) - P(b)] max(1, F/R), full = P(T) - P(b), R beside b - 1, and a prompt adds its attention
    and max(min(full F/R, own), share own): the room that it fills where prompts queue, a step of its own where it is
    alone (`alone_share`). decode, alone: the step of the running requests and the pass of the prompt by itself; steps:
    those of one answer, each of `verified` tokens of every running request.
    Worked, P(T) 70 ms, P(b) 9 ms, 16 requests, 512 tokens padded to 1,024, answers of 128: .943 x 61 = 57.5 ms.
    """
    if not joins(engine):
        together = prompts_per_pass(engine, running / np.asarray(plan.dp), fresh)
        ops = prompt_operators(model, plan, fmt, together * plan.dp, padded_tokens(engine, fresh), cached)
        return step_time(ops, chip, constants).seconds / (np.asarray(plan.pp) * together * plan.dp)
    assert isinstance(engine, StackEngine)
    rows = np.maximum(running / (np.asarray(plan.dp) * plan.pp), 1.0)
    taken, whole = rows * verified, engine.chunk_tokens
    filled = fresh / room(engine, taken - verified)  # one of them is the prompt that passes
    padded = np.where(fresh < engine.grain, fresh, padded_tokens(engine, fresh))
    base = _tokenwise_s(decode)

    def added(tokens: Array) -> Array:
        ops = prompt_operators(model, plan, fmt, plan.dp, tokens, cached)
        return np.maximum(_tokenwise_s(step_time(ops, chip, constants)) - base, 0.0)

    own, full = added(np.minimum(padded + taken, whole)) * np.maximum(filled, 1.0), added(whole)
    shared = np.maximum(np.minimum(filled * full, own), alone_share(rows, steps) * own)
    return (shared / plan.dp + alone.seconds - _tokenwise_s(alone)) / plan.pp


def _tokenwise_s(pass_: StepTime) -> Array:
    """Seconds of a pass without its attention, whose time follows requests and not the tokens of a step."""
    terms = zip(pass_.bound, pass_.terms_s, strict=True)
    return sum(seconds for kind, seconds in terms if not kind.startswith(_ATTENTION))
