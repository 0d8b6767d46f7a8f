"""Ways to cut a model over chips, many at once: the degrees that a grid asks for, the fewest chips that
hold a context, and the cuts worth a search.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import DoesNotFit, TokcalcError, UsageError
from ..hardware.links import domain
from ..physics.memory import footprint
from ..physics.parallel import Plan, rank_cores, usual_degree
from .deployment import LEAST_BATCH, MOST_CHIPS, MOST_FILLED, Wish, asked_plan, choose, sizes

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats

DEGREES = ("chips", "tp", "pp", "dp", "ep")
MOST_CUTS = 1_000_000
CARDS = 16  # chips that only share a host bus: two machines of eight


@dataclass(frozen=True)
class Cuts:
    """Plans as arrays over the axes of DEGREES that vary, all five kept as dimensions.

    `reason` "" where valid. wanted: chips of a pipe of SRAM chips (nan: the fewest).
    """

    plan: Plan
    wanted: np.ndarray
    reason: np.ndarray

    def at(self, where: tuple[slice, ...]) -> Cuts:
        """The same for a part of the five dimensions."""
        return Cuts(self.plan.at(where), self.wanted[where], self.reason[where])


def asked_cuts(
    chip: Chip, model: Model, engine: Engine, weights: str, kv: str, values: Mapping[str, Sequence[float | None]]
) -> Cuts:
    """Every combination of the degrees given (None: left to the program), by the rules of a single
    question.
    """
    axes = [list(values.get(name) or [None]) for name in DEGREES]
    shape = tuple(len(axis) for axis in axes)
    if math.prod(shape) > MOST_CUTS:
        raise UsageError(
            f"the grid cuts the model in {math.prod(shape):,} ways; give at most {MOST_CUTS:,} combinations of degrees"
        )
    columns: dict[str, list[float]] = {name: [] for name in ("tp", "pp", "dp", "ep", "wanted")}
    reasons = []
    for combination in product(*axes):
        given = {name: None if v is None else int(v) for name, v in zip(DEGREES, combination, strict=True)}
        if chip.weights_in_sram:
            plan, wanted, reason = _pipe(chip, given)
        else:
            plan, reason = _cut(chip, model, engine, weights, kv, given)
            wanted = math.nan
        for name in ("tp", "pp", "dp", "ep"):
            columns[name].append(float(getattr(plan, name)))
        columns["wanted"].append(wanted)
        reasons.append(reason)
    arrays = {name: np.array(column).reshape(shape) for name, column in columns.items()}
    wanted_chips = arrays.pop("wanted")
    plan = Plan(arrays["tp"], arrays["pp"], arrays["dp"], arrays["ep"])
    return Cuts(plan, wanted_chips, np.array(reasons, dtype=object).reshape(shape))


def _cut(chip: Chip, model: Model, engine: Engine, weights: str, kv: str, given: Mapping[str, Any]) -> tuple[Plan, str]:
    """The plan that one question with these degrees would use; memory is judged per case, later."""
    try:
        return choose(chip, model, engine, Wish(weights, kv, **given), batch=0.0, context=0.0).plan, ""
    except DoesNotFit:
        # the weights alone are too much; only the degrees matter here
        return asked_plan(chip, model, Wish(**given)), ""
    except TokcalcError as error:
        return Plan(1, 1, 1, 1), str(error)


def _pipe(chip: Chip, given: Mapping[str, int | None]) -> tuple[Plan, float, str]:
    for name in ("tp", "dp", "ep"):
        if given[name] not in (None, 1):
            reason = f"--{name} does not apply to {chip.name}, whose layers are piped over chips; give --chips"
            return Plan(1, 1, 1, 1), math.nan, reason
    wanted = given["chips"] or given["pp"]
    return Plan(1, 1, 1, 1), math.nan if wanted is None else float(wanted), ""


def fewest_chips(chip: Chip, model: Model, fmt: Formats, engine: Engine, context: Array, batch: Array) -> Plan:
    """For each case the plan that `deployment.choose` takes for `batch` requests; the largest where none does."""
    shape = np.broadcast_shapes(np.shape(context), np.shape(batch))
    tp, pp = np.ones(shape), np.ones(shape)
    open_ = np.ones(shape, dtype=bool)
    wanted = np.maximum(1.0, np.minimum(batch, LEAST_BATCH))
    for plan in sizes(chip, model):
        tp, pp = np.where(open_, plan.tp, tp), np.where(open_, plan.pp, pp)
        held = footprint(chip, model, plan, fmt, engine, context=context)
        filled = (held.weights_bytes + held.workspace_bytes) / held.usable_bytes
        open_ = open_ & ~((held.batch >= wanted) & (filled <= MOST_FILLED))
        if not open_.any():
            break
    return Plan(tp, pp, np.ones(shape), np.ones(shape))


def search_cuts(chip: Chip, model: Model, most_chips: int) -> list[Plan]:
    """Cuts worth trying: tensor degrees up to the scale-up domain and the heads, stages across domains,
    attention data parallel and expert parallel for mixtures; powers of two, at most `most_chips` chips.

    Data parallel replicas of dense models are copies, counted as replicas and not searched. Chips that only share a
    host bus are searched up to CARDS; where those cannot hold the model in 16 bit, also the larger sizes that
    `deployment.choose` tries.
    """
    reach, allowed = domain(chip), most_chips
    if chip.scale_up is None:
        most_chips = min(most_chips, CARDS)
    plans = []
    for tp in _powers(min(reach, most_chips)):
        if not usual_degree(model, tp, rank_cores(chip)):
            continue
        for pp in _powers(min(most_chips // tp, model.layers, 64)):
            if pp > 1 and tp < min(reach, 4) and pp * tp <= reach:
                continue  # inside a domain, tensor parallelism before stages
            for dp in _powers(min(reach // tp, most_chips // (tp * pp))) if model.is_moe else [1]:
                plans += [Plan(tp, pp, dp, ep) for ep in _expert_degrees(model, tp, dp)]
    largest = max(plan.chips for plan in plans)
    if largest * chip.memory_bytes < 2.0 * model.params_total:
        plans += [plan for plan in sizes(chip, model) if largest < plan.chips <= allowed]
    return plans


def _expert_degrees(model: Model, tp: int, dp: int) -> list[int]:
    """1 (experts cut like other matrices) and all chips of a stage (whole experts), as engines offer."""
    experts = max((group.ffn.experts for group in model.groups), default=0)
    ends = [1, tp * dp]
    return sorted({ep for ep in ends if ep == 1 or (ep <= experts)})


def _powers(most: int) -> list[int]:
    found = []
    value = 1
    while value <= min(most, MOST_CHIPS):
        found.append(value)
        value *= 2
    return found
