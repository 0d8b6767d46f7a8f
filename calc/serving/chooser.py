"""The one chooser: how a machine is cut, and how much it is loaded, when nobody says.

Of all cuts of a chip for a model that keep the limits of a question, the one that makes the most tokens per second and
chip, at the largest load that keeps them. Best is always that: a chip hour has one price, so the most tokens per chip
are the cheapest. Everything that is named is kept, and naming what was chosen changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, Mask, Values
from ..engines.constants import Constants
from ..engines.engine import Engine
from ..errors import DoesNotFit, NoAnswer
from ..hardware.links import domain
from ..physics.operators import component_formats
from ..physics.parallel import Plan, rank_cores, usual_degree
from .closed_loop import closed_loop, evaluate
from .cuts import search_cuts
from .deployment import MOST_CHIPS, Wish, asked_plan, sizes
from .deployment import choose as deployed
from .piped_loop import Piped, too_few
from .piped_loop import closed_loop as closed_loop_of_pipes
from .precision import choose_formats
from .replica import Replica
from .workload import Load, Served

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model

_PARTS = 12  # loads tried at once on the way to the largest
WIDEST = 64
"""Chips of one replica that are tried when nobody says how many."""


@dataclass(frozen=True)
class Limits:
    """What every user is to get: at most so many seconds a token, and to the first token on average."""

    tpot_s: float = np.inf
    ttft_s: float = np.inf

    @property
    def words(self) -> str:
        """The limits in words, to stand beside every figure that depends on them."""
        first = f" with a first token within {self.ttft_s:g} s" if np.isfinite(self.ttft_s) else ""
        return f"{1.0 / self.tpot_s:g} tokens/s per user{first}"


@dataclass(frozen=True, eq=False, repr=False)
class Chosen:
    """Cuts and their loads, numbers or arrays over the cases of a load. kept: whether the limits are.

    Layers piped over SRAM chips have their number of chips as stages.
    """

    plan: Plan
    batch: Array
    kept: Mask


def largest_load(r: Replica, load: Load, limits: Limits) -> tuple[Values, Served]:
    """(requests in flight, state) of the largest load that fits at full length and keeps the limits, for each cut.

    More in flight are slower for every user, so the largest is found by parting: 0 where not even one keeps the limits.
    The plan's degrees and the load may be arrays that broadcast together.
    """
    room = r.memory(load.isl + load.osl).batch
    most = np.atleast_1d(np.floor(np.minimum(room, r.software_limit(load))))
    most = np.broadcast_to(most, np.broadcast_shapes(most.shape, *map(np.shape, _asked(load))))
    parts = np.linspace(0.0, 1.0, _PARTS).reshape((-1, *(1,) * most.ndim))

    def at(batch: Values) -> tuple[np.ndarray, Served]:
        s = closed_loop(r, replace(load, concurrency=np.maximum(batch, 1.0)))
        kept = (s.tpot_s <= limits.tpot_s) & (s.ttft_s <= limits.ttft_s) & (s.running >= batch)
        return np.broadcast_to(kept, batch.shape), s

    low, high = np.zeros_like(most), most + 1.0  # what is kept, and what is not
    while np.any(high - low > 1.0):
        first, last = np.maximum(low + 1.0, 1.0), np.maximum(high - 1.0, 1.0)
        tried = np.floor(first * (last / first) ** parts)
        kept = at(tried)[0]
        open_ = high - low > 1.0
        better = np.where(kept, tried, 0.0).max(axis=0)
        worse = np.where(kept, np.inf, tried).min(axis=0)
        low = np.where(open_, np.maximum(low, np.where(better < worse, better, low)), low)
        high = np.where(open_, np.minimum(high, worse), high)
        low = np.where(open_ & (better > low) & (better < high), better, low)
    return low, at(low)[1]


def _asked(load: Load) -> tuple[Array, ...]:
    return load.isl, load.osl, load.cached_share, load.draft, load.acceptance


def choose(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load, *, limits: Limits
) -> Chosen:
    """The cut that makes the most tokens per chip within the limits, of those that a wish leaves open, and its load.

    For each case of a load, whose requests in flight are not looked at. Where no load keeps the limits, the cut is that
    of the most tokens without them. Raises DoesNotFit where no cut holds the model in any case.
    """
    if chip.weights_in_sram:
        return _piped(chip, model, software, wish, load, limits)
    shape = np.broadcast_shapes(*map(np.shape, _asked(load)))
    degrees, batch = np.ones((4, *shape)), np.zeros(shape)
    kept, held = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for r in _tried(chip, model, software, wish, len(shape)):
        fits = np.broadcast_to(r.memory(load.isl + load.osl).batch >= 1.0, (*np.shape(r.plan.tp)[:1], *shape))
        new = fits.any(axis=0) & ~held
        if new.any():
            for bound in (limits, Limits()):  # without limits where none keeps them
                left = new & ~kept & (batch == 0)
                if not left.any():
                    break
                found, s = largest_load(r, load, bound)
                found = np.broadcast_to(found, fits.shape)
                chips = np.broadcast_to(r.plan.chips, fits.shape)
                rate = np.where(found > 0, np.broadcast_to(s.output_tok_s, fits.shape) / chips, -1.0)
                best = np.isclose(rate, rate.max(axis=0), rtol=1e-12, atol=0.0)
                top = np.argmin(np.where(best, chips, np.inf), axis=0)
                at = np.take_along_axis(found, top[None], axis=0)[0]
                done = left & (at > 0)
                kept |= done & (bound is limits)
                batch = np.where(done, at, batch)
                for i, degree in enumerate(r.plan.degrees):
                    taken = np.take_along_axis(np.broadcast_to(degree, fits.shape), top[None], axis=0)[0]
                    degrees[i] = np.where(done, taken, degrees[i])
        held |= new
        if held.all():
            break
    if not held.any():  # refused with the number of chips that would do
        deployed(chip, model, software[0], wish, batch=1.0, context=float(np.min(load.isl + load.osl)))
        raise DoesNotFit(f"{model.name} fits no cut of {chip.name} that is tried; choose fewer bits or a larger chip")
    tp, pp, dp, ep = degrees
    return Chosen(Plan(tp, pp, dp, ep), batch, kept)


def _tried(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, axes: int) -> Iterator[Replica]:
    """Candidates as one replica whose degrees are arrays along a first axis, before those of the load."""
    weights, kv, _ = choose_formats(chip, model, software[0], wish.weights, wish.kv)
    fmt = component_formats(model, weights, kv)
    for plans in candidates(chip, model, wish):
        shape = (len(plans), *(1,) * axes)
        tp, pp, dp, ep = (np.array([float(np.asarray(p.degrees[i])) for p in plans]).reshape(shape) for i in range(4))
        yield Replica.of(chip, model, Plan(tp, pp, dp, ep), fmt, software)


def candidates(chip: Chip, model: Model, wish: Wish) -> list[list[Plan]]:
    """Cuts that are tried together, then those that are tried where none of these holds the model, and so on.

    Those of `cuts.search_cuts` and `deployment.sizes`, and experts spread widely. What the wish names is kept; degrees
    that no usual cut has are taken as they are.
    """
    if wish.named_degrees:
        return [[asked_plan(chip, model, wish)]]
    most, usual = wish.chips or WIDEST, sizes(chip, model)
    plans = [*search_cuts(chip, model, most), *(p for p in usual if p.chips <= most), *_wide(chip, model, most)]
    if wish.chips:
        return [_unlike([asked_plan(chip, model, wish), *(p for p in plans if p.chips == wish.chips)])]
    larger = [p for p in usual if p.chips > most]
    if (chip.chips_per_system or 1) == 1:  # sold one by one: nobody joins many more than the model needs
        octaves: dict[int, list[Plan]] = {}
        for p in (*plans, *larger):
            octaves.setdefault(math.ceil(math.log2(float(np.asarray(p.chips)))), []).append(p)
        return [_unlike(octaves[octave]) for octave in sorted(octaves)]
    return [_unlike(plans), larger] if larger else [_unlike(plans)]


def _unlike(plans: Iterable[Plan]) -> list[Plan]:
    return list({tuple(float(np.asarray(d)) for d in p.degrees): p for p in plans}.values())


def _wide(chip: Chip, model: Model, most: int) -> list[Plan]:
    """Attention data parallel and experts over all chips, also beyond the scale-up domain where a network joins it."""
    reach, cores = max(1, domain(chip)), rank_cores(chip)
    connected = chip.link("scale_out") is not None or (chip.chips_per_system or 1) > reach
    found, width = [], 8
    while model.is_moe and width <= min(most if connected else reach, MOST_CHIPS):
        degrees = [t for t in (1, 4, min(reach, 8)) if width % t == 0 and usual_degree(model, t, cores)]
        found += [Plan(t, 1, width // t, width) for t in dict.fromkeys(degrees)]
        width *= 2
    return found


def _piped(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load, limits: Limits
) -> Chosen:
    """SRAM machines: requests in flight up to one a layer; more chips where their caches need them."""
    weights, kv, _ = choose_formats(chip, model, software[0], wish.weights, wish.kv)
    asked = wish.chips or wish.pp
    machine = Piped(chip, model, component_formats(model, weights, kv), float(asked) if asked else None)
    shape = np.broadcast_shapes(*map(np.shape, _asked(load)))
    batch = np.arange(1.0, model.layers + 1.0).reshape((-1, *(1,) * len(shape)))
    s = closed_loop_of_pipes(machine, replace(load, concurrency=batch))
    whole = (model.layers, *shape)
    holds = np.broadcast_to(np.asarray(s.fits) & (np.asarray(s.running) >= batch), whole)
    if not holds.any():
        raise too_few(machine, asked or 1, int(np.max(machine.least(load.isl + load.osl))))
    kept = np.asarray(holds & (s.tpot_s <= limits.tpot_s) & (s.ttft_s <= limits.ttft_s))
    allowed = np.where(kept.any(axis=0), kept, holds)
    chips = np.broadcast_to(s.chips, whole)
    top = np.argmax(np.where(allowed, np.broadcast_to(s.output_tok_s, whole) / chips, -1.0), axis=0)
    stages = np.take_along_axis(chips, top[None], axis=0)[0]
    return Chosen(Plan(1.0, stages, 1.0, 1.0), 1.0 + top, np.asarray(kept.any(axis=0)))


def too_slow(r: Replica | Piped, load: Load, limits: Limits) -> NoAnswer:
    """Which limit a machine cannot keep with one request, and what would."""
    one = evaluate(r, replace(load, concurrency=1.0))
    refused = f"{r.chip.name} cannot run {r.model.name} at {limits.words}"
    if one.tpot_s <= limits.tpot_s:
        return NoAnswer(f"{refused}; it takes {float(one.ttft_s):.3g} s at the least; give a longer --max-ttft")
    alone = f"; alone, a request gets {1.0 / float(one.tpot_s):,.3g} tokens/s"
    return NoAnswer(f"{refused}{alone}; lower --min-speed, or give other --chips")
