"""The load of a service, which money is told at when nobody asks for another.

One request alone shows how fast a machine is; what it costs is told by the largest load that gives every user what a
service promises (specs/workloads/service.toml). Both are of one deployment, which the chooser finds for the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog.tables import shipped_table
from ..physics.operators import component_formats
from ..serving.chooser import Chosen, Limits, choose, cuts, too_slow
from ..serving.deployment import Wish, asked_plan
from ..serving.piped_loop import Piped
from ..serving.precision import choose_formats
from ..serving.replica import Replica
from ..serving.workload import Load

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from .question import Question


@lru_cache(maxsize=1)
def _promises() -> Mapping[str, Mapping[str, Any]]:
    return shipped_table("workloads", "service.toml") or {}


def promised(chip: Chip) -> Limits:
    """What a service on this kind of chip promises its users when nobody says."""
    kept = _promises().get(chip.kind, _promises()["any"])
    return Limits(1.0 / kept["output_tok_s_user"], kept["ttft_s"])


_MOST_KNOWN = 4096
_known: dict[tuple[Any, ...], tuple[Chosen, Any]] = {}  # what was chosen for questions of this process


@dataclass(frozen=True)
class Service:
    """How a service would run a model: the wish that names its cut, its requests in flight, and what was promised.

    kept: whether any load keeps the promise; else one request alone is all that is told.
    """

    wish: Wish
    concurrency: int
    limits: Limits
    kept: bool
    note: str


def named(chip: Chip, wish: Wish, found: Chosen) -> Wish:
    """A wish that names what was chosen."""
    tp, pp, dp, ep = (int(np.asarray(degree)) for degree in found.plan.degrees)
    if chip.weights_in_sram:
        return replace(wish, chips=pp)
    return replace(wish, chips=tp * pp * dp, tp=tp, pp=pp, dp=dp, ep=ep)


def service_of(chip: Chip, model: Model, software: tuple[Engine, Constants], ask: Question, wish: Wish) -> Service:
    """The deployment and load of a service, as far as the wish leaves them open.

    Where no load keeps the promise, the cut that comes closest for one request.
    """
    limits = ask.limits or promised(chip)
    load = Load(float(ask.isl), float(ask.osl), 1.0, ask.cache_hit, float(ask.draft), ask.acceptance)
    asked = (float(ask.isl), float(ask.osl), ask.cache_hit, float(ask.draft), ask.acceptance)
    key = (id(chip), id(model), software[0], id(software[1]), wish, limits, asked)
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        # the objects stay with what was found for them, so that no other takes their identity
        _known[key] = choose(chip, model, software, wish, load, limits=limits), (chip, model, software[1])
    found = _known[key][0]
    cut, kept, batch = named(chip, wish, found), bool(found.kept), int(found.batch)
    if not kept and ask.limits is not None:
        raise too_slow(chip, model, software, wish, load, limits=limits)
    chips = int(np.asarray(found.plan.chips))
    count = f"{chips:,} chip{'s' if chips != 1 else ''}"
    if kept:
        note = f"{count}, cut and loaded so that a chip makes the most tokens at {limits.words}: {batch:,} in flight"
        return Service(cut, batch, limits, True, note)
    note = f"no load gives what a service promises, {limits.words}; money is told at the largest load that fits {count}"
    return Service(cut, batch, limits, False, note)


def cut_of(chip: Chip, model: Model, software: tuple[Engine, Constants], ask: Question, wish: Wish) -> Wish:
    """A wish that names the machine of a service, whatever its load; of named degrees only whether they hold it."""
    if chip.weights_in_sram or not wish.named_degrees:
        return service_of(chip, model, software, replace(ask, limits=None), wish).wish
    load = Load(float(ask.isl), float(ask.osl), 1.0, ask.cache_hit, float(ask.draft), ask.acceptance)
    plan = cuts(chip, model, software, wish, load, limits=promised(chip))
    return named(chip, wish, Chosen(plan, 1.0, True))


def machine_of(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish) -> Replica | Piped:
    """The machine whose cut a wish names."""
    weights, kv, _ = choose_formats(chip, model, software[0], wish.weights, wish.kv)
    fmt = component_formats(model, weights, kv)
    if chip.weights_in_sram:
        return Piped(chip, model, fmt, float(wish.chips or 1))
    return Replica.of(chip, model, asked_plan(chip, model, wish), fmt, software)
