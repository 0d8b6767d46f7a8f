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

_STEPS = 4  # lengths to a doubling that a cut is chosen for
_TOGETHER = 32  # kinds of work whose cuts are compared in one call of the core
_ALONE = 256  # cases that rounding made too long and that are asked one by one
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

    For each case of a load, whose requests in flight are not looked at. Where no load keeps the limits, the largest
    that fits. Raises DoesNotFit where no cut holds the model in any case.
    """
    if chip.weights_in_sram:
        return _piped(chip, model, software, wish, load, limits)
    plan = cuts(chip, model, software, wish, load, limits=limits)
    r = _replica(chip, model, software, wish, plan)
    batch = largest_load(r, load, limits)[0]
    kept = batch > 0
    if not kept.all():
        batch = np.where(kept, batch, largest_load(r, load, Limits())[0])
    shape = np.shape(plan.tp)
    return Chosen(plan, batch.reshape(shape), kept.reshape(shape))


def cuts(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load, *, limits: Limits
) -> Plan:
    """The cut alone, for each case of a load.

    A machine is bought for a kind of work: lengths and shares count in steps (`_STEPS` to a doubling, rounded up), so
    that a grid of a million lengths asks for a few hundred cuts.
    """
    fields = [np.asarray(v, dtype=float) for v in _asked(load)]
    shape = np.broadcast_shapes(*(v.shape for v in fields))
    exact = np.stack([np.broadcast_to(v, shape).ravel() for v in fields])
    coarse = exact.copy()
    coarse[:2] = 2.0 ** (np.ceil(_STEPS * np.log2(np.maximum(exact[:2], 1.0)) - 1e-9) / _STEPS)
    coarse[2:3] = np.floor(10.0 * exact[2:3] + 1e-9) / 10.0
    kinds, where = np.unique(coarse, axis=1, return_inverse=True)
    found, *of_kinds = _best_of(chip, model, software, wish, kinds, limits)
    degrees, (held, kept) = found[:, np.ravel(where)], (mask[np.ravel(where)] for mask in of_kinds)
    if not kept.all():  # what rounding made too long
        left = np.flatnonzero(~kept)[: _ALONE if held.any() else None]
        again, fits, better = _best_of(chip, model, software, wish, exact[:, left], limits)
        degrees[:, left] = np.where(fits & (better | ~held[left]), again, degrees[:, left])
        held[left] |= fits
    if not held.any():  # refused with the number of chips that would do
        deployed(chip, model, software[0], wish, batch=1.0, context=float(np.min(load.isl + load.osl)))
        raise DoesNotFit(f"{model.name} fits no cut of {chip.name} that is tried; choose fewer bits or a larger chip")
    tp, pp, dp, ep = (degree.reshape(shape) for degree in degrees)
    return Plan(tp, pp, dp, ep)


def _best_of(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, kinds: Values, limits: Limits
) -> tuple[Values, np.ndarray, np.ndarray]:
    """(degrees, whether any cut holds it, whether this one keeps the limits) of each kind of work.

    kinds: columns of isl, osl, cached, draft, acceptance.
    """
    degrees = np.ones((4, kinds.shape[1]))
    held, kept = (np.zeros(kinds.shape[1], dtype=bool) for _ in range(2))
    for first in range(0, kinds.shape[1], _TOGETHER):
        part = slice(first, first + _TOGETHER)
        isl, osl, cached, draft, acceptance = kinds[:, part]
        load = Load(isl, osl, 1.0, cached, draft, acceptance)
        for r in _tried(chip, model, software, wish):
            fits = np.broadcast_to(r.memory(isl + osl).batch >= 1.0, (np.shape(r.plan.tp)[0], len(isl)))
            new = fits.any(axis=0) & ~held[part]
            if new.any():
                if wish.named_degrees:  # the one cut there is, whatever it makes
                    top, keeps = np.zeros(len(isl), dtype=int), np.ones(len(isl), dtype=bool)
                else:
                    top, keeps = _top(r, load, limits, fits.shape)
                kept[part] |= new & keeps
                for row, degree in zip(degrees, r.plan.degrees, strict=True):
                    row[part] = np.where(new, np.broadcast_to(degree, fits.shape)[top, np.arange(len(isl))], row[part])
                held[part] |= new
            if held[part].all():
                break
    return degrees, held, kept


def _top(r: Replica, load: Load, limits: Limits, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(place of the cut with the most tokens per chip, whether it keeps the limits) for each column.

    Without the limits where none keeps them.
    """
    chips = np.broadcast_to(np.asarray(r.plan.chips), shape)

    def rated(bound: Limits) -> Values:
        batch, s = largest_load(r, load, bound)
        return np.where(batch > 0, np.broadcast_to(s.output_tok_s, shape) / chips, -1.0)

    rate = rated(limits)
    keeps = rate.max(axis=0) >= 0
    if not keeps.all():
        rate = np.where(keeps, rate, rated(Limits()))
    best = rate >= rate.max(axis=0) * (1.0 - 1e-12)
    return np.argmin(np.where(best, chips, np.inf), axis=0), keeps  # of equals the fewest chips


def _replica(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, plan: Plan) -> Replica:
    weights, kv, _ = choose_formats(chip, model, software[0], wish.weights, wish.kv)
    return Replica.of(chip, model, plan, component_formats(model, weights, kv), software)


def _tried(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish) -> Iterator[Replica]:
    """Candidates as one replica whose degrees are columns."""
    for plans in candidates(chip, model, wish):
        tp, pp, dp, ep = (np.array([[float(np.asarray(p.degrees[i]))] for p in plans]) for i in range(4))
        yield _replica(chip, model, software, wish, Plan(tp, pp, dp, ep))


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
    machine, asked = _pipe(chip, model, software, wish), wish.chips or wish.pp
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


def _pipe(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish) -> Piped:
    weights, kv, _ = choose_formats(chip, model, software[0], wish.weights, wish.kv)
    asked = wish.chips or wish.pp
    return Piped(chip, model, component_formats(model, weights, kv), float(asked) if asked else None)


def too_slow(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load, *, limits: Limits
) -> NoAnswer:
    """Which limit no cut of a chip keeps with one request, and what would."""
    one = replace(load, concurrency=1.0)
    if chip.weights_in_sram:
        machines: Iterable[Replica | Piped] = [_pipe(chip, model, software, wish)]
    else:
        machines = _tried(chip, model, software, wish)
    token_s, first_s = np.inf, np.inf  # the best of one request; the soonest first token of those fast enough
    for machine in machines:
        s = evaluate(machine, one)
        if np.any(s.fits):
            token_s = float(np.min(np.where(s.fits, s.tpot_s, np.inf)))
            first_s = float(np.min(np.where(s.fits & (s.tpot_s <= limits.tpot_s), s.ttft_s, np.inf)))
            break
    refused = f"{chip.name} cannot run {model.name} at {limits.words}"
    if token_s <= limits.tpot_s:
        return NoAnswer(f"{refused}; it takes {first_s:.3g} s at the least; give a longer --max-ttft")
    alone = f"; alone, a request gets {1.0 / token_s:,.3g} tokens/s"
    return NoAnswer(f"{refused}{alone}; lower --min-speed, or give other --chips")
