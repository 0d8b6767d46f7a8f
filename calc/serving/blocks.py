"""Long lists of unrelated cases in blocks: how `landscape` divides its work.

Stands before `landscape`, whose evaluation it is given as a function.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ..arrays import Array
from ..physics.parallel import Plan
from .workload import Load

Columns = dict[str, np.ndarray]
LIST = 12_288  # cases of a list that is divided
BLOCK = 8_192  # cases of a block: its arrays stay in the processor's cache
LEAST_ALIKE = 1_024  # cases of a plan, on average, that are worth sorting for


def list_length(plan: Plan, load: Load) -> int:
    """Cases of a plain list of unrelated ones; 0 for a grid."""
    given = (plan.tp, plan.pp, plan.dp, plan.ep, *_inputs(load))
    shapes = {np.shape(value) for value in given} - {()}
    return next(iter(shapes))[0] if len(shapes) == 1 and len(next(iter(shapes))) == 1 else 0


def _inputs(load: Load) -> tuple[Array, ...]:
    return load.isl, load.osl, load.concurrency, load.cached_share, load.draft, load.acceptance


def in_blocks(plan: Plan, load: Load, length: int, evaluate: Callable[[Plan, Load], Columns]) -> Columns:
    """A long list block by block, cases of one plan together where there are few: its degrees are then
    numbers.
    """
    given = (plan.tp, plan.pp, plan.dp, plan.ep)
    degrees = [np.broadcast_to(np.asarray(value, dtype=float), length) for value in given]
    code = ((degrees[0] * 4099 + degrees[1]) * 4099 + degrees[2]) * 4099 + degrees[3]
    order = np.argsort(code, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(code[order])) + 1).tolist(), length]
    alike = len(edges) - 1 <= length // LEAST_ALIKE
    if not alike:
        order, edges = np.arange(length), [0, length]
    inputs = [np.asarray(v, dtype=float)[order] if np.ndim(v) else v for v in _inputs(load)]
    degrees = [degree[order] for degree in degrees]
    whole: Columns = {}
    for first, last in pairwise(edges):
        for start in range(first, last, BLOCK):
            part = slice(start, min(start + BLOCK, last))
            own = Plan(*(float(d[start]) if alike else d[part] for d in degrees))
            asked = Load(*(v[part] if np.ndim(v) else v for v in inputs))
            _store(whole, evaluate(own, asked), order[part], length)
    return whole


def _store(whole: Columns, found: Columns, where: np.ndarray, length: int) -> None:
    for name, values in found.items():
        if name not in whole:
            whole[name] = np.empty(length, dtype=values.dtype)
        whole[name][where] = values
