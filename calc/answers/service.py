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
from ..errors import NoAnswer
from ..serving.chooser import Chosen, Limits, choose_loaded
from ..serving.deployment import Wish
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
    try:
        found, kept, words = choose_loaded(chip, model, software, wish, load, limits=limits), True, ""
    except NoAnswer as error:
        if ask.limits is not None or type(error) is not NoAnswer:
            raise
        words, kept = str(error), False
        found = choose_loaded(chip, model, software, wish, replace(load), limits=Limits())
    cut = named(chip, wish, found)
    count = f"{int(np.asarray(found.plan.chips)):,} chip{'s' if found.plan.chips != 1 else ''}"
    if kept:
        note = (
            f"{count}, cut and loaded so that a chip makes the most tokens at {limits.words}: "
            f"{found.batch:,.0f} request{'s' if found.batch != 1 else ''} in flight"
        )
        return Service(cut, int(found.batch), limits, True, note)
    note = f"no load keeps what a service promises ({words}); money is told at the largest load that fits"
    return Service(cut, int(found.batch), limits, False, note)
