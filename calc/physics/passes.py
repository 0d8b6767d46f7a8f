"""The passes that a case's answer is made of: one decode step, one prompt alone, prompts as a busy engine batches them.

Shared by answers, validation and calibration, so that what is fitted is what is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from .operators import Formats, Operator, decode_pass, operators, prefill_pass
from .parallel import Plan

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..models.model import Model


def decode_operators(
    model: Model,
    plan: Plan,
    fmt: Formats,
    batch: Array,
    context: Array,
    *,
    verified: Array = 1.0,
    spread: Array | None = None,
) -> Sequence[Operator]:
    """One step of `batch` requests at `context`: pipeline stages take micro-batches of batch/pp in turn.

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
    model: Model, plan: Plan, fmt: Formats, prompts: Array, isl: Array, *, cached: Array = 0.0
) -> Sequence[Operator]:
    """`prompts` prompts of `isl` new tokens after `cached` cached ones, in one pass."""
    return operators(model, plan, prefill_pass(prompts, isl, cached), fmt)


def prompts_per_pass(engine: Engine, batch: Array, isl: Array) -> Array:
    """Prompts that share a pass when many wait: as many as the engine's token budget takes, at least one."""
    return np.clip(np.floor(engine.chunk_tokens / np.maximum(isl, 1.0)), 1.0, np.maximum(batch, 1.0))


def passes_per_prompt(engine: Engine, isl: Array) -> Array:
    """Chunks that one long prompt is cut into: ceil(ISL / token budget).

    >>> from types import SimpleNamespace
    >>> float(passes_per_prompt(SimpleNamespace(chunk_tokens=8192), 20_000.0))
    3.0
    """
    return np.ceil(np.maximum(isl, 1.0) / engine.chunk_tokens)


def padded_tokens(engine: Engine, tokens: Array) -> Array:
    """Tokens that a pass of `tokens` prompt tokens costs: the next compiled bucket; beyond, whole largest ones.

    >>> from types import SimpleNamespace
    >>> compiled = SimpleNamespace(buckets=(128, 256, 1024, 1280, 2048))
    >>> padded_tokens(compiled, np.array([257.0, 1024.0, 2049.0])).tolist()  # the last: 2,048 + 128
    [1024.0, 1024.0, 2176.0]
    """
    if not engine.buckets:
        return tokens
    edges = np.asarray(engine.buckets, dtype=float)
    tokens = np.asarray(tokens, dtype=float)
    whole = np.floor(tokens / edges[-1])
    rest = tokens - whole * edges[-1]
    last = np.where(rest > 0, edges[np.minimum(np.searchsorted(edges, rest), len(edges) - 1)], 0.0)
    return whole * edges[-1] + last


def read_context(engine: Engine, isl: Array, osl: Array) -> Array:
    """Cached tokens that a mean decode step reads: ISL + OSL/2; ISL + OSL where the whole context is read.

    Where decode attention is compiled for some lengths, each step runs the next one: the mean of that staircase from
    ISL to ISL + OSL.

    >>> from types import SimpleNamespace
    >>> compiled = SimpleNamespace(decode_lengths=(1024, 2048))
    >>> [float(read_context(compiled, isl, 128.0)) for isl in (512.0, 960.0)]  # the second half at each
    [1024.0, 1536.0]
    """
    if not engine.decode_lengths:
        return isl + (1.0 if engine.whole_context else 0.5) * osl
    edges = np.concatenate(([0.0], engine.decode_lengths))
    areas = np.concatenate(([0.0], np.cumsum(np.diff(edges) * edges[1:])))

    def area(tokens: Array) -> Array:
        beyond = np.maximum(tokens, edges[-1])  # longer ones are read as they are
        return np.interp(tokens, edges, areas) + 0.5 * (beyond**2 - edges[-1] ** 2)

    start, added = np.asarray(isl, dtype=float), np.maximum(np.asarray(osl, dtype=float), 1.0)
    return (area(start + added) - area(start)) / added
