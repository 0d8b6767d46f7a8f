"""Rows as a least-squares problem in log space: predictions, slopes, priors, and the solver's steps.

What is fitted is what is used: blocks from `cases`, compositions from `regimes`. Deviations of whole groups
(`group.*`) are parameters of the fit alone, so that rows of one group do not count as independent witnesses; a
prediction leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Values
from ..engines.constants import Constants, load_constants
from ..engines.engine import find_engine
from ..engines.resolve import anchor_key
from ..errors import UsageError
from ..serving.regimes import Case, Seconds, metrics
from ..validation.rows.cases import Block, gather
from .parameters import Space, engine_deviations, moves, rules
from .terms import Flat, Machine, Places

if TYPE_CHECKING:
    import pandas as pd

_H = 1e-4
# field: when an engine has none
_FIXED = {
    "dp_steps": 0.0,
    "queue_time": 0.0,
    "stage_loss": 0.0,
    "stream_s": 0.0,
    "overlap": 1.0,
    "layer_s": 0.0,
    "ttft_factor": 1.0,
}


@dataclass
class Problem:
    """Everything that a fit needs of its rows; arrays over the rows that can be fitted (`rows` are positions)."""

    table: pd.DataFrame
    rows: Places
    log_value: Values
    weight: Values
    space: Space
    flats: tuple[Flat, Flat, Flat]  # of a decode step, of a prompt alone, of a full pass of prompts
    case: Case
    scale: Values  # pipeline stages x prompts that share a pass
    soft_base: dict[str, Values]
    soft_index: dict[str, list[Places]]
    group_index: Places
    kinds: dict[tuple[str, str], Places]
    combination: NDArray[np.object_]  # of each row: model, chip, engine and weights, as `resolve.anchor_key` writes it

    @property
    def shared(self) -> NDArray[np.bool_]:
        """True for parameters that a prediction uses, False for the deviations of groups."""
        names = [key[0] for key in self.space.index]
        return np.array([not str(name).startswith("group.") for name in names])


def build(table: pd.DataFrame, constants: Constants) -> Problem:
    """The problem of the rows of chips with HBM-like memory and without stack constants of their own.

    table: typed measured rows. Rows of drafting (or where nobody says, on models that ship a draft), of energy and
    price, and rows that can't be predicted, stay out. A column `share` weighs rows.
    """
    found = gather(table, constants).blocks
    blocks = [b for b in found if b.chip.kind == "gpu" and not b.chip.weights_in_sram and not b.engine.stack]
    unknown = table["spec_decode"].isna().to_numpy()
    keep = [np.flatnonzero(_usable(b) & ~(unknown[b.index] & (b.model.mtp_layers > 0))) for b in blocks]
    rows = np.concatenate([b.index[k] for b, k in zip(blocks, keep, strict=True)]) if blocks else np.zeros(0, int)
    if not len(rows):
        raise UsageError("none of these rows can be fitted; give rows of GPUs without drafting, or drop a filter")
    place = {int(r): i for i, r in enumerate(rows)}
    n = len(rows)
    space = Space()
    soft = engine_deviations()
    flats = (Flat(n, space), Flat(n, space), Flat(n, space))
    fields = {name: np.ones(n) for name in Case.__dataclass_fields__}
    base = {name: np.ones(n) for name in (*soft, *_FIXED)}
    index = {name: [np.zeros(n, int) for _ in classes] for name, classes in soft.items()}
    combination = np.full(n, "", dtype=object)
    for block, kept in zip(blocks, keep, strict=True):
        at = np.array([place[int(r)] for r in block.index[kept]], dtype=int)
        if not len(at):
            continue
        whole = np.full(len(block.index), n)  # unusable rows of the block fall off the end
        whole[kept] = at
        for flat, ops in zip(flats, block.passes(constants), strict=True):
            flat.size = n + 1
            flat.add(ops, Machine(block.chip, constants, block.engine), whole)
        for name, value in vars(block.case(constants)).items():
            fields[name][at] = np.broadcast_to(np.asarray(value, dtype=float), len(block.index))[kept]
        combination[at] = anchor_key(block.model.id, block.chip.id, block.engine.name, block.weights)
        labels = {
            "engine": block.engine.name,
            "family": block.chip.family,
            "moe": block.model.is_moe,
            "weights": block.weights,
        }
        for name in base:
            base[name][at] = getattr(block.engine, name, _FIXED.get(name))
        for name, classes in soft.items():
            for line, (prior, *keys) in enumerate(classes):
                index[name][line][at] = space.get(prior, *(labels[k] for k in keys))
    for flat in flats:
        flat.size = n + 1
        flat.freeze()
    part = table.reset_index(drop=True).iloc[rows]
    metric = part["metric"].to_numpy(dtype=str)
    regime = part["regime"].to_numpy(dtype=str)
    kinds = {(r, m): np.flatnonzero((regime == r) & (metric == m)) for r, m in set(zip(regime, metric, strict=True))}
    rule, first = rules(), metric == "ttft_ms"
    groups = zip(part["group"].astype(str), first.tolist(), strict=True)
    group_index = [space.get("group.ttft" if is_first else "group.rate", g, is_first) for g, is_first in groups]
    sizes = part.groupby("group")["metric"].transform("size").to_numpy(dtype=float)
    sigma = np.where(first, rule.spread_ttft, rule.spread)
    weight = np.minimum(1.0, (rule.group_rows / sizes)) ** rule.group_power / sigma
    if "share" in part:
        weight = weight * part["share"].to_numpy(dtype=float)
    case = Case(**fields)
    return Problem(
        table=part,
        rows=rows,
        log_value=np.log(part["value"].to_numpy(dtype=float)),
        weight=weight,
        space=space,
        flats=flats,
        case=case,
        scale=np.asarray(case.pp * case.together),
        soft_base=base,
        soft_index=index,
        group_index=np.array(group_index, dtype=int),
        kinds=kinds,
        combination=combination,
    )


def _usable(block: Block) -> NDArray[np.bool_]:
    rows = moves()["rows"]
    known = np.isin(block.regime, rows["regimes"]) & np.isin(block.metric, rows["metrics"])
    known &= ~(np.isin(block.regime, rows["queues"]) & np.isin(block.metric, rows["queued"]))
    found: NDArray[np.bool_] = known & (block.draft == 0) & ~(block.drafting_said > 0) & (block.limit > 0)
    return found


def compose(problem: Problem, z: Values, kernels: Sequence[Values]) -> Values:
    """Log predictions in the rows' units from kernel seconds of `flats` and the engine's part of z, groups included."""
    decode, alone, batched = kernels
    soft = {
        name: base * np.exp(sum(z[i] for i in problem.soft_index[name])) if name in problem.soft_index else base
        for name, base in problem.soft_base.items()
    }
    seconds, reference = (decode, alone, batched / problem.scale), find_engine(load_constants(fitted=False), None)
    out = np.full(len(problem.rows), np.nan)
    for (regime, metric), at in problem.kinds.items():
        case = Case(**{k: v[at] for k, v in vars(problem.case).items()})
        fields: dict[str, Any] = {k: v[at] for k, v in soft.items()}
        engine = replace(reference, **fields)
        found = metrics(regime, case, Seconds(*(s[at] for s in seconds)), engine)
        out[at] = np.broadcast_to(found[metric], len(at))
    logs: Values = np.log(np.maximum(out, 1e-12)) + z[problem.group_index]
    return logs


def predict(problem: Problem, z: Values, groups: bool = False) -> Values:
    """Log predictions of all rows; without `groups` as a user would get them."""
    if not groups:
        z = np.where(problem.shared, z, 0.0)
    return compose(problem, z, [flat.seconds(z)[:-1] for flat in problem.flats])


def solve(problem: Problem, train: Values, start: Values | None = None, steps: int = 25) -> Values:
    """z that minimises sum rho(w (log prediction - log value)) + sum (z / width)^2, rho the soft absolute loss.

    train: weight 0 or 1 per row. Damped Gauss-Newton on the normal equations, which for a few hundred parameters and
    thousands of rows is ten times faster than a general solver; bounds at `reach` prior widths by clipping.
    """
    width, reach = problem.space.widths, rules().reach
    free = np.flatnonzero(width > 0)
    weight = problem.weight * train
    z = np.zeros(len(width)) if start is None else start.copy()

    def residual(point: Values) -> Values:
        away = (predict(problem, point, groups=True) - problem.log_value) * weight
        return np.concatenate([np.sign(away) * np.sqrt(_loss(away)), point[free] / width[free]])

    now = residual(z)
    cost, damping = float(now @ now), 1e-3
    for _ in range(steps):
        slope = jacobian(problem, z, weight, free) * width[free]
        normal, gradient = slope.T @ slope, slope.T @ now
        better = False
        for _ in range(6):
            step = -np.linalg.solve(normal + damping * np.eye(len(free)), gradient) * width[free]
            trial = z.copy()
            trial[free] = np.clip(z[free] + step, -reach * width[free], reach * width[free])
            then = residual(trial)
            better = bool(then @ then < cost)
            if better:
                break
            damping *= 8.0
        if not better:
            break
        gain = cost - float(then @ then)
        z, now, cost, damping = trial, then, float(then @ then), max(damping / 5.0, 1e-7)
        if gain < 3e-4 * cost:
            break
    return z


def _loss(away: Values) -> Values:
    """The soft absolute loss of residuals in spreads: squares near 0, twice the distance far off."""
    found: Values = 2.0 * (np.sqrt(1.0 + away**2) - 1.0)
    return found


def jacobian(problem: Problem, z: Values, weight: Values, free: Places) -> Values:
    """d residual / d z of the free parameters, the prior's rows last."""
    seconds = [flat.seconds(z)[:-1] for flat in problem.flats]
    base = compose(problem, z, seconds)
    away = (base - problem.log_value) * weight
    root = np.sqrt(_loss(away))
    # d sign(away) root / d away, whose two factors go to 0 / 0 at a perfect row
    outer = np.where(np.abs(away) < 1e-6, 1.0, np.abs(away) / np.sqrt(1.0 + away**2) / np.maximum(root, 1e-9)) * weight
    chain = []
    for i in range(3):
        moved = list(seconds)
        moved[i] = seconds[i] * (1.0 + _H)
        chain.append((compose(problem, z, moved) - base) / (_H * np.maximum(seconds[i], 1e-12)))
    slopes = [flat.slopes(z) for flat in problem.flats]
    column = {int(j): c for c, j in enumerate(free)}
    out = np.zeros((len(base) + len(free), len(free)))
    for rate, found in zip(chain, slopes, strict=True):
        for j, slope in found.items():
            if j in column:
                out[: len(base), column[j]] += rate * slope[:-1] * outer
    soft = {int(i) for lines in problem.soft_index.values() for line in lines for i in np.unique(line)}
    for j in soft & column.keys():
        moved_z = z.copy()
        moved_z[j] += _H
        out[: len(base), column[j]] += (compose(problem, moved_z, seconds) - base) / _H * outer
    for j in np.unique(problem.group_index):
        if int(j) in column:
            at = problem.group_index == j
            out[: len(base)][at, column[int(j)]] += outer[at]
    out[len(base) + np.arange(len(free)), np.arange(len(free))] = 1.0 / problem.space.widths[free]
    return out
