"""The one chooser: how a machine is cut, and how much it is loaded, when nobody says.

Of all cuts of a chip for a model that keep the limits of a question, the one that makes the most tokens per second and
chip, at the largest load that keeps them. Best is always that: a chip hour has one price, so the most tokens per chip
are the cheapest. Everything that is named is kept, and naming what was chosen changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Values
from ..engines.constants import Constants
from ..engines.engine import Engine
from ..errors import DoesNotFit, NoAnswer
from ..hardware.links import domain
from ..physics.operators import component_formats
from ..physics.parallel import Plan, rank_cores, usual_degree
from .closed_loop import closed_loop
from .cuts import search_cuts
from .deployment import MOST_CHIPS, Wish, asked_plan, choose, sizes
from .piped_loop import Piped, too_few
from .piped_loop import closed_loop as piped_closed_loop
from .precision import choose_formats
from .replica import Replica
from .workload import Load, Served

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model

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
    """A cut and its load. served: the figures of that case."""

    plan: Plan
    batch: float
    served: Served


def largest_load(r: Replica, load: Load, limits: Limits) -> tuple[Values, Served]:
    """(requests in flight, state) of the largest load that fits at full length and keeps the limits, for each cut.

    More in flight are slower for every user, so the largest is found by halving; 0 where not even one keeps the limits.
    The plan's degrees and the load may be arrays that broadcast together.
    """
    room = r.memory(load.isl + load.osl).batch
    most = np.floor(np.minimum(room, r.software_limit(load)))
    most = np.atleast_1d(np.asarray(most, dtype=float))

    def at(batch: Values) -> tuple[np.ndarray, Served]:
        s = closed_loop(r, replace(load, concurrency=np.maximum(batch, 1.0)))
        kept = (s.tpot_s <= limits.tpot_s) & (s.ttft_s <= limits.ttft_s) & (s.running >= batch)
        return np.broadcast_to(kept, most.shape), s

    low = np.where((most >= 1.0) & at(np.ones_like(most))[0], 1.0, 0.0)
    low = np.where((low > 0) & at(most)[0], most, low)
    high = np.where((low > 0) & (low < most), most, low + 1.0)
    while np.any(high - low > 1.0):
        middle = np.maximum(np.floor(np.sqrt(np.maximum(low, 1.0) * high)), np.minimum(low + 1.0, high - 1.0))
        kept = at(middle)[0]
        open_ = high - low > 1.0
        low, high = np.where(open_ & kept, middle, low), np.where(open_ & ~kept, middle, high)
    return low, at(low)[1]


def choose_loaded(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load, *, limits: Limits
) -> Chosen:
    """The cut that makes the most tokens per chip within the limits, of those that a wish leaves open, and its load.

    Raises DoesNotFit where no cut holds the model; NoAnswer, with what is reached, where none keeps the limits.
    """
    if chip.weights_in_sram:
        return _piped(chip, model, software, wish, load, limits)
    for r in _tried(chip, model, software, wish, load):
        if np.any(r.memory(load.isl + load.osl).batch >= 1.0):
            break
    else:  # refused with the number of chips that would do
        choose(chip, model, software[0], wish, batch=1.0, context=float(load.isl + load.osl))
    batch, s = largest_load(r, load, limits)
    if not batch.any():
        raise _too_slow(r, load, limits)
    rate = np.where(batch > 0, s.output_tok_s / r.plan.chips, -np.inf)
    top = int(np.lexsort((np.asarray(r.plan.chips), -rate))[0])
    one = r.cut(r.plan.at(top))
    return Chosen(one.plan, float(batch[top]), closed_loop(one, replace(load, concurrency=float(batch[top]))))


def choose_cut(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load) -> Chosen:
    """The cut that makes the most tokens per chip at a load that is given, of those that hold all of it.

    Where none holds all requests, the one that holds the most of them for its chips; the others wait.
    """
    for r in _tried(chip, model, software, wish, load):
        s = closed_loop(r, load)
        fits, held = (np.broadcast_to(v, np.shape(r.plan.chips)) for v in (s.fits, s.running >= load.concurrency))
        if fits.any():
            break
    else:  # refused with the number of chips that would do
        choose(chip, model, software[0], wish, batch=1.0, context=float(load.isl + load.osl))
        raise _too_slow(r, load, Limits())
    allowed = fits & held if (fits & held).any() else fits
    rate = np.where(allowed, s.output_tok_s / r.plan.chips, -np.inf)
    top = int(np.lexsort((np.asarray(r.plan.chips), -rate))[0])
    one = r.cut(r.plan.at(top))
    return Chosen(one.plan, float(load.concurrency), closed_loop(one, load))


def _tried(chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, load: Load) -> Iterator[Replica]:
    """All candidates as one replica whose degrees are arrays; the larger ones after those that are usual."""
    weights, kv, _ = choose_formats(chip, model, software[0], wish.weights, wish.kv)
    fmt = component_formats(model, weights, kv)
    for plans in candidates(chip, model, wish):
        columns = [np.array([float(np.asarray(p.degrees[i])) for p in plans]) for i in range(4)]
        yield Replica.of(chip, model, Plan(columns[0], columns[1], columns[2], columns[3]), fmt, software)


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
    if (chip.chips_per_system or 1) == 1:  # sold one by one: nobody joins more than the model needs
        counts = sorted({float(np.asarray(p.chips)) for p in (*plans, *larger)})
        return [_unlike(p for p in (*plans, *larger) if p.chips == count) for count in counts]
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
    fmt = component_formats(model, weights, kv)
    chips = wish.chips or wish.pp
    batch = np.arange(1.0, model.layers + 1.0)
    s = piped_closed_loop(Piped(chip, model, fmt, float(chips) if chips else None), replace(load, concurrency=batch))
    holds = np.broadcast_to(np.asarray(s.fits) & (np.asarray(s.running) >= batch), batch.shape)
    if not holds.any():
        least = int(np.asarray(Piped(chip, model, fmt).least(load.isl + load.osl)))
        raise too_few(Piped(chip, model, fmt), chips or 1, least)
    kept = holds & (s.tpot_s <= limits.tpot_s) & (s.ttft_s <= limits.ttft_s)
    if not kept.any():
        quick = holds & (s.tpot_s <= limits.tpot_s)
        first = np.broadcast_to(s.ttft_s, batch.shape)
        raise too_slow(
            chip,
            model,
            limits,
            1.0 / float(np.min(np.broadcast_to(s.tpot_s, batch.shape)[holds])),
            float(np.min(first, where=quick, initial=np.inf)),
        )
    rate = np.where(kept, s.output_tok_s / s.chips, -np.inf)
    top = int(np.argmax(rate))
    machine = Piped(chip, model, fmt, float(chips) if chips else None)
    one = piped_closed_loop(machine, replace(load, concurrency=float(batch[top])))
    return Chosen(Plan(1, float(np.asarray(one.chips)), 1, 1), float(batch[top]), one)


def _too_slow(r: Replica, load: Load, limits: Limits) -> NoAnswer | DoesNotFit:
    """Why no cut keeps the limits: nothing holds the model, or how fast one request is."""
    one = closed_loop(r, replace(load, concurrency=1.0))
    fits = np.broadcast_to(one.fits, np.shape(r.plan.chips))
    if not fits.any():
        return DoesNotFit(
            f"{r.model.name} and one request do not fit any cut of {r.chip.name} that is tried; choose fewer bits or a "
            "chip with more memory"
        )
    tpot, ttft = (np.broadcast_to(v, fits.shape)[fits] for v in (one.tpot_s, one.ttft_s))
    quick = tpot <= limits.tpot_s
    return too_slow(r.chip, r.model, limits, 1.0 / float(tpot.min()), float(np.min(ttft, where=quick, initial=np.inf)))


def too_slow(chip: Chip, model: Model, limits: Limits, fastest: float, soonest: float) -> NoAnswer:
    """Which limit cannot be kept, and what would. soonest: least seconds to the first token at that speed."""
    refused = f"{chip.name} cannot run {model.name} at {limits.words}"
    if limits.ttft_s < soonest < np.inf:
        return NoAnswer(f"{refused}; it takes {soonest:.3g} s at the least; give a longer --max-ttft")
    alone = f"; alone, a request gets {fastest:,.3g} tokens/s"
    return NoAnswer(f"{refused}{alone}; lower --min-speed, or give other --chips")
