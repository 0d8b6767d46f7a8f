"""Steps that run the answers in flight and a piece of a prompt together, in graphs compiled for some numbers of tokens.

Such software launches one graph a step. A prompt then costs what its tokens add to the step that would run anyway,
and the tokens of the running requests take room from it (`kernels`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array

if TYPE_CHECKING:
    from ..engines.engine import Engine


def joins(engine: Engine) -> bool:
    """Whether prompts share the steps of running requests in compiled graphs (`joined_grain` of the stack's table)."""
    return engine.grain > 0


def room(engine: Engine, running: Array) -> Array:
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


def pooled_prompt_s(engine: Engine, fresh: float, alone_s: float, full_s: float) -> float:
    """Seconds of a prompt on a machine that only reads prompts: short ones fill its steps side by side.

    fresh/room of a full step's seconds, never more than alone; alone_s where prompts do not join. full_s: a prompt of
    as many tokens as a step takes, alone. Worked, 300 tokens, steps of 1,024 in 73 ms: 24 ms, where one alone takes 73.
    """
    if not joins(engine):
        return alone_s
    return min(alone_s, full_s * fresh / float(room(engine, 0.0))) if fresh < engine.chunk_tokens else alone_s
