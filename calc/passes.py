"""The passes that a case's answer is made of: one decode step, one prompt alone, prompts as a busy engine batches them.

Shared by the answer, `predict` and `calibrate`, so that what is fitted is what is used. Stands after `operators`,
before `serving`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .operators import Formats, Operator, decode_pass, operators, prefill_pass
from .parallel import Plan

if TYPE_CHECKING:
    from .engine import Engine
    from .model import Model

Array = Any


def decode_operators(
    model: Model, plan: Plan, fmt: Formats, batch: Array, context: Array, verified: Array = 1.0,
    spread: Array | None = None,
) -> Sequence[Operator]:  # fmt: skip
    """One token for `batch` requests at `context`: pipeline stages take micro-batches of batch/pp in turn.

    The stage with the output head is the slowest and sets the pace of a full pipeline, so that every stage waits for
    it: the head counts once per stage in use.
    """
    rows = np.maximum(np.asarray(batch, dtype=float) / plan.pp, np.minimum(plan.dp, batch))
    ops = operators(model, plan, decode_pass(rows, context, verified, spread), fmt)
    if np.all(np.asarray(plan.pp) == 1):
        return ops
    paced = np.clip(np.asarray(batch, dtype=float) / plan.dp, 1.0, plan.pp)
    return [replace(op, count=op.count * paced) if op.name == "output head" else op for op in ops]


def prompt_operators(
    model: Model, plan: Plan, fmt: Formats, prompts: Array, isl: Array, cached: Array = 0.0
) -> Sequence[Operator]:
    """`prompts` prompts of `isl` new tokens after `cached` cached ones, in one pass."""
    return operators(model, plan, prefill_pass(prompts, isl, cached), fmt)


def prompts_per_pass(engine: Engine, batch: Array, isl: Array) -> Array:
    """Prompts that share a pass when many wait: as many as the engine's token budget takes, at least one."""
    return np.clip(np.floor(engine.chunk_tokens / np.maximum(isl, 1.0)), 1.0, np.maximum(batch, 1.0))


def passes_per_prompt(engine: Engine, isl: Array) -> Array:
    """Chunks that one long prompt is cut into: ceil(ISL / token budget)."""
    return np.ceil(np.maximum(isl, 1.0) / engine.chunk_tokens)
