"""One pool of a mixed system: a replica that only reads prompts, or only generates, and how many it serves.

Stands after `serving`, `sram` and `wide_ep`, before `disagg`, which matches pools.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..engines.constants import load_constants
from ..engines.engine import find_engine
from ..engines.vendor import engine_for_chip
from ..errors import DoesNotFit
from ..physics.operators import component_formats
from ..trust.grades import answer_grade
from . import piped_loop, wide_ep
from .chunked_prefill import pooled_prompt_s
from .closed_loop import closed_loop
from .deployment import choose
from .drafting import LENGTHS
from .piped_loop import Piped
from .precision import choose_formats
from .workload import Load

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model


@dataclass(frozen=True)
class Side:
    """One pool: a chip, chips of a replica, seconds of its phase and requests per second of a replica."""

    chip: Chip
    chips: int
    weights: str
    kv: str
    phase_s: float  # prefill: one prompt; decode: time per output token
    batch: float
    requests_per_s: float
    link_bytes_s: float
    grade: str


def link_bytes_s(chip: Chip, chips: int) -> float:
    """Bytes/s that a replica can send out of its box: the network link of each chip, else its host bus.

    Worked: 8 x H800 with 400 Gbit/s each: 400 GB/s. A chip that publishes neither is taken as a PCIe 4 card.
    """
    links = {link.level: link.bandwidth_bytes_s for link in chip.links if link.bandwidth_bytes_s}
    return (links.get("scale_out") or links.get("host") or links.get("scale_up") or 16e9) * chips


def prefill_side(chip: Chip, model: Model, isl: int, cache_hit: float, chips: int | None, weights: str | None) -> Side:
    """The fewest chips that hold the model, working through prompts one after another.

    Routed models on a number of chips that is given may also run expert parallel; the faster way is taken.
    """
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    if chip.weights_in_sram:
        from ..physics import pipeline as sram

        weights, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights, kv)
        pipe = sram.place(chip, model, fmt, 1.0, float(isl), float(chips) if chips else None)
        seconds = float(sram.prompt_work_s(chip, model, fmt, pipe, isl * (1.0 - cache_hit), isl * cache_hit))
        grade, count = answer_grade(chip, constants, pipe.scope, model.is_moe), int(pipe.chips)
        return Side(
            chip, count, weights, kv, float(pipe.token_s) + seconds, 1.0, 1.0 / seconds,
            link_bytes_s(chip, count), grade,
        )  # fmt: skip
    wide = None
    if _spread(model, chips):
        assert chips is not None
        weights_, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights_, kv)
        p = wide_ep.prefill(chip, model, fmt, chips=chips, isl=float(isl), cache_hit=cache_hit)
        rate = p.tok_s_chip * chips / (isl * (1.0 - cache_hit))
        wide = Side(
            chip, chips, weights_, kv, p.step_s, p.largest_batch, rate, link_bytes_s(chip, chips),
            _grade(chip, constants, weights_, model),
        )  # fmt: skip
        if wide_ep.is_wide(model, chips):
            return wide
    d = choose(chip, model, engine, batch=1.0, context=float(isl), weights=weights, chips=chips)
    loads = Load(np.array([float(isl), engine.chunk_tokens]), 1.0, 1.0, np.array([cache_hit, 0.0]))
    alone = np.broadcast_to(closed_loop(d.replica(constants), loads).alone_s, 2)
    seconds, full = float(alone[0]), float(alone[1])
    busy = pooled_prompt_s(engine, isl * (1.0 - cache_hit), seconds, full)
    side = Side(
        chip, d.chips, d.weights, d.kv, seconds, 1.0, 1.0 / busy, link_bytes_s(chip, d.chips),
        _grade(chip, constants, d.weights, model),
    )  # fmt: skip
    return wide if wide is not None and wide.requests_per_s > side.requests_per_s else side


def decode_side(
    chip: Chip, model: Model, isl: int, osl: int, batch: float | None, chips: int | None, weights: str | None,
    draft: int = 0, acceptance: float = 0.0, max_tpot_s: float | None = None,
) -> Side:  # fmt: skip
    """A replica that only generates: its largest batch (within max_tpot_s a token), or the one that is asked for.

    No prompt disturbs it. Routed models on a number of chips that is given may also run expert parallel; the
    way of more tokens is taken.
    """
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    if chip.weights_in_sram:
        return _pipe_side(chip, model, isl, osl, batch, chips, weights, draft, acceptance)
    wide = None
    if _spread(model, chips):
        assert chips is not None
        weights_, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights_, kv)
        w = wide_ep.decode(
            chip, model, fmt, chips=chips, batch_per_chip=batch / chips if batch else None,
            context=isl + 0.5 * osl, draft=draft, acceptance=acceptance, max_tpot_s=max_tpot_s,
        )  # fmt: skip
        fits = w.largest_batch >= 1.0 and (batch is None or batch / chips <= w.largest_batch)
        if fits:
            running = w.tokens_per_chip * chips
            wide = Side(
                chip, chips, weights_, kv, w.tpot_s, running, running / (osl * w.tpot_s),
                link_bytes_s(chip, chips), _grade(chip, constants, weights_, model),
            )  # fmt: skip
        if wide_ep.is_wide(model, chips):
            return wide or _too_many(chip, chips, batch or chips, w.largest_batch * chips)
    try:
        side = _tensor_side(
            chip, model, isl, osl, batch, chips, weights, draft, acceptance, max_tpot_s, engine, constants
        )
    except DoesNotFit:
        if wide is None:
            raise
        return wide
    late = max_tpot_s is not None and side.phase_s > max_tpot_s
    better = wide is not None and (late or wide.requests_per_s > side.requests_per_s)
    return wide if wide is not None and better else side


def best_drafted(
    chip: Chip, model: Model, isl: int, osl: int, batch: float | None, chips: int | None, weights: str | None,
    acceptance: float, max_tpot_s: float | None,
) -> tuple[Side, int]:  # fmt: skip
    """(side, drafted tokens) of the length that makes the most tokens: at the batch, or within max_tpot_s a token."""
    sides = []
    for length in LENGTHS:
        share = acceptance if length else 0.0
        side = decode_side(chip, model, isl, osl, batch, chips, weights, length, share, max_tpot_s)
        late = max_tpot_s is not None and side.phase_s > max_tpot_s
        sides.append((late, -round(side.requests_per_s, 9), length, side))
    _, _, length, side = min(sides, key=lambda item: item[:3])
    return side, length


def _spread(model: Model, chips: int | None) -> bool:
    """True where experts may be spread over the chips that are given, and attention be data parallel."""
    return model.is_moe and chips is not None and chips > 1


def _grade(chip: Chip, constants: Constants, weights: str, model: Model) -> str:
    return answer_grade(chip, constants, constants.scope(chip, weights), model.is_moe)


def _too_many(chip: Chip, chips: int, batch: float, most: float) -> Side:
    raise DoesNotFit(
        f"{batch:.0f} requests do not fit the KV cache of {chips} x {chip.name}, which "
        f"holds {most:.0f}; give more --decode-chips or a smaller --batch"
    )


def _pipe_side(
    chip: Chip, model: Model, isl: int, osl: int, batch: float | None, chips: int | None, weights: str | None,
    draft: int, acceptance: float,
) -> Side:  # fmt: skip
    """Generation on a machine that pipes layers through SRAM."""
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    weights, kv, _ = choose_formats(chip, model, engine, weights, None)
    fmt = component_formats(model, weights, kv)
    asked = Load(float(isl), float(osl), batch or math.inf, 1.0, float(draft), acceptance)  # prompts are elsewhere
    machine = Piped(chip, model, fmt, float(chips) if chips else None)
    pipe, least = piped_loop.closed_loop(machine, asked), int(np.asarray(machine.least(float(isl + osl))))
    if chips is not None and chips < least:
        raise DoesNotFit(f"{model.name} needs {least:,} x {chip.name} to decode; give --decode-chips {least}")
    assert pipe.pipe is not None
    count, tpot, running = int(pipe.chips), float(pipe.tpot_s), float(pipe.running)
    return Side(
        chip, count, weights, kv, tpot, running, running / (osl * tpot), link_bytes_s(chip, count),
        answer_grade(chip, constants, pipe.pipe.scope, model.is_moe),
    )  # fmt: skip


def _tensor_side(
    chip: Chip, model: Model, isl: int, osl: int, batch: float | None, chips: int | None, weights: str | None,
    draft: int, acceptance: float, max_tpot_s: float | None, engine: Engine, constants: Constants,
) -> Side:  # fmt: skip
    """Generation on a tensor parallel replica; DoesNotFit where the batch asked for is too large."""
    d = choose(chip, model, engine, batch=batch or 1.0, context=float(isl + osl), weights=weights, chips=chips)
    most = min(float(d.memory.batch), engine.max_sequences) if d.memory is not None else 1.0
    if batch is not None and batch > most:
        _too_many(chip, d.chips, batch, most)
    tried = np.array([batch or most])
    if batch is None and max_tpot_s is not None:
        tried = np.unique(np.floor(np.geomspace(1.0, max(most, 1.0), 64)))
    # prompts are computed elsewhere: all but a token is cached here
    load = Load(float(isl), float(osl), tried, 1.0 - 1.0 / isl, float(draft), acceptance)
    steps = np.broadcast_to(closed_loop(d.replica(constants), load).step_s, tried.shape)
    kept = np.flatnonzero(steps <= (max_tpot_s or np.inf)) if batch is None else np.array([0])
    at = int(kept[-1]) if kept.size else 0
    tpot, running = float(steps[at]), float(tried[at])
    return Side(
        chip, d.chips, d.weights, d.kv, tpot, running, running / (osl * tpot), link_bytes_s(chip, d.chips),
        _grade(chip, constants, d.weights, model),
    )  # fmt: skip
