"""The draft length that answers a question fastest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import NoAnswer
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
    chip: Chip, model: Model, engine: Engine, constants: Constants, ask: Question, weights: str | None,
    kv: str | None, degrees: Mapping[str, int | None],
) -> tuple[int, str]:  # fmt: skip
    """(draft length that is fastest at a question's load, 0 where none pays; where drafting stops paying).

    The draft itself is taken as free, as in an answer: n-grams or a lookup (`lengths` counts other drafts).
    """
    from ..serving.deployment import choose
    from ..serving.precision import choose_formats

    isl, osl = float(ask.isl), float(ask.osl)
    here = 1.0 if isinstance(ask.concurrency, str) else float(ask.concurrency)
    if chip.weights_in_sram:
        name, most = choose_formats(chip, model, engine, weights, kv)[0], float(model.layers)
        chips = degrees.get("chips") or degrees.get("pp")

        def at(batch: float) -> list[Drafted]:
            load = Load(isl, osl, batch, ask.cache_hit, 0.0, ask.acceptance)
            return pipe_lengths(chip, model, name, load, chips=chips)

        most = at(most)[0].batch
    else:
        d = choose(
            chip, model, engine, context=isl + osl, weights=weights, kv=kv, **degrees,
            batch=float(sized_for(chip, model, (engine, constants), Load(isl, osl, here, ask.cache_hit))),
        )  # fmt: skip
        held = d.memory.batch if d.memory is not None else here
        runs = d.replica(constants)
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
