"""The draft length that answers a question fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NoAnswer
from ..serving.deployment import Wish, choose
from ..serving.drafting import LEAST_GAIN, LOADS, Drafted, best, lengths, pipe_lengths, stops_paying
from ..serving.replica import Replica, sized_for
from ..serving.workload import Load

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from .question import Question


def _kept(r: Replica, load: Load, rate: float, most: float) -> float:
    """Requests that an offered rate keeps in flight without a draft, at least one; `most` where it saturates."""
    from ..serving.open_loop import arrivals

    try:
        return max(1.0, arrivals(r, load, rate, most).batch)
    except NoAnswer:
        return most


def best_length(
    chip: Chip, model: Model, software: tuple[Engine, Constants], ask: Question, wish: Wish
) -> tuple[int, str]:
    """(draft length that is fastest at a question's load, 0 where none pays; where drafting stops paying).

    The draft itself is taken as free, as in an answer: n-grams or a lookup (`lengths` counts other drafts).
    """
    from ..serving.precision import choose_formats

    isl, osl = float(ask.isl), float(ask.osl)
    here = 1.0 if isinstance(ask.concurrency, str) else float(ask.concurrency or 1)
    if chip.weights_in_sram:
        name, most = choose_formats(chip, model, software[0], wish.weights, wish.kv)[0], float(model.layers)
        chips = wish.chips or wish.pp

        def at(batch: float) -> list[Drafted]:
            load = Load(isl, osl, batch, ask.cache_hit, 0.0, ask.acceptance)
            return pipe_lengths(chip, model, name, load, chips=chips)

        most = at(most)[0].batch
    else:
        wanted = float(sized_for(chip, model, software, Load(isl, osl, here, ask.cache_hit)))
        d = choose(chip, model, software[0], wish, batch=wanted, context=isl + osl)
        held = d.memory.batch if d.memory is not None else here
        runs = d.replica(software[1])
        most = float(min(held, runs.software_limit(Load(isl, osl, 1.0, ask.cache_hit))))
        here = most if isinstance(ask.concurrency, str) else here
        if ask.rate is not None:
            here = _kept(runs, Load(isl, osl, 1.0, ask.cache_hit), ask.rate, most)

        def at(batch: float) -> list[Drafted]:
            load = Load(isl, osl, batch, ask.cache_hit, 0.0, ask.acceptance)
            return lengths(runs, load, "ngram")

    top = best(at(here))
    if top.gain < LEAST_GAIN:
        return 0, f"no draft pays at {here:,.0f} in flight, so nothing is drafted"
    stop = stops_paying(at, [*(b for b in LOADS if here < b < most), max(most, here)])
    until = f"from {stop:,.0f} in flight no draft pays" if stop else f"some draft pays up to {most:,.0f}, all that run"
    tokens = f"{top.draft} drafted token{'s are' if top.draft > 1 else ' is'}"
    return top.draft, f"{tokens} fastest at {here:,.0f} in flight, {top.gain:.2f}x; {until}"
