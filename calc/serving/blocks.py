"""Long lists of unrelated cases in blocks: how the core divides its work (`closed_loop`, which it is given)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array
from ..physics.parallel import Plan
from .workload import COLUMNS, Load, Served

LIST = 12_288  # cases of a list that is divided
BLOCK = 8_192  # cases of a block: its arrays stay in the processor's cache
LEAST_ALIKE = 1_024  # cases of a plan, on average, that are worth sorting for


def list_length(plan: Plan, load: Load) -> int:
    """Cases of a plain list of unrelated ones; 0 for a grid."""
    shapes = {np.shape(value) for value in (*plan.degrees, *_inputs(load))} - {()}
    return next(iter(shapes))[0] if len(shapes) == 1 and len(next(iter(shapes))) == 1 else 0


def _inputs(load: Load) -> tuple[Array, ...]:
    return load.isl, load.osl, load.concurrency, load.cached_share, load.draft, load.acceptance


def in_blocks(plan: Plan, load: Load, length: int, evaluate: Callable[[Plan, Load], Served]) -> Served:
    """A long list block by block, cases of one plan together where there are few: its degrees are then numbers."""
    degrees = [np.broadcast_to(np.asarray(value, dtype=float), length) for value in plan.degrees]
    code = ((degrees[0] * 4099 + degrees[1]) * 4099 + degrees[2]) * 4099 + degrees[3]
    order = np.argsort(code, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(code[order])) + 1).tolist(), length]
    alike = len(edges) - 1 <= length // LEAST_ALIKE
    if not alike:
        order, edges = np.arange(length), [0, length]
    inputs = [np.asarray(v, dtype=float)[order] if np.ndim(v) else v for v in _inputs(load)]
    degrees = [degree[order] for degree in degrees]
    whole: dict[str, Any] = {}
    for first, last in pairwise(edges):
        for start in range(first, last, BLOCK):
            part = slice(start, min(start + BLOCK, last))
            tp, pp, dp, ep = (float(d[start]) if alike else d[part] for d in degrees)
            found = evaluate(
                Plan(tp, pp, dp, ep, plan.cores), Load(*(np.asarray(v)[part] if np.ndim(v) else v for v in inputs))
            )
            for name, values in found.arrays().items():
                whole.setdefault(name, np.empty(length, dtype=values.dtype))[order[part]] = values
    return Served(**{name: whole[name] for name in COLUMNS})
