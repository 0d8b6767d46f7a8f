"""The answer of machines whose weights stay in SRAM: speed, terms, what fills them, and which layers stand
where.

The pipelined twin of `streamed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engines import pipelines
from ..errors import UsageError
from ..hardware.formats import find_format, is_native
from ..physics import pipeline as sram
from ..physics.operators import component_formats
from ..serving import piped_loop
from ..serving.closed_loop import evaluate
from ..serving.deployment import Wish
from ..serving.piped_loop import Piped, too_few
from ..serving.workload import Load, Served, accepted_tokens
from .notes import waiting_note
from .question import Body, Question

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats
    from ..physics.pipeline import Pipeline

_TERMS = {
    "latency": ("latency of the layers", "latency per layer", "layers x (latency + span sqrt(r))"),
    "hop": ("hops between chips", "hops between chips", "(stages - 1) x hop latency"),
    "matrix": ("weights from SRAM", "weights from SRAM", "active bytes / (share of SRAM bandwidth of r chips)"),
    "queue": ("turns of a full pipeline", "turns of a full pipeline", "token x (running / layers - 1)"),
    "draft": ("drafted tokens", "drafted tokens", "token x 5 % per drafted token"),
    "prefill": ("prompts of other requests", "prompts of other requests", "(b - 1)/OSL x prompt"),
}
_DRAWN = 16  # chips that get a line of their own


def sram_answer(chip: Chip, model: Model, engine: Engine, ask: Question, wish: Wish, *, stream: bool = False) -> Body:
    """A model piped through SRAM chips: latency per layer, hops, and how many sequences fill the pipeline.

    stream: let weights come from memory beside the wafer when `chips` cannot hold them.
    Raises UsageError for degrees that a pipeline has not, DoesNotFit for too few chips, with the number
    that would do.
    """
    from ..serving.precision import choose_formats

    weights, kv = wish.weights, wish.kv
    for name, value in (("tp", wish.tp), ("dp", wish.dp), ("ep", wish.ep)):
        if value not in (None, 1):
            raise UsageError(f"--{name} does not apply to {chip.name}, whose layers are piped over chips; give --chips")
    given = ask.software_date is not None
    if not given and not ask.draft:
        ask = replace(ask, software_date=pipelines.model_day(chip, model))
    table, _ = pipelines.constants_for(chip, ask.software_date)
    stored = None if weights else table.get("weights")
    released = find_format(model.native_format)
    if stored is not None and (released.bits >= 16 or not is_native(released, chip.peak_ops_s)):
        weights, kv, assumed = choose_formats(chip, model, engine, str(stored), kv)
        assumed.insert(0, f"weights in {weights}, as {chip.vendor} stores them")
    else:
        weights, kv, assumed = choose_formats(chip, model, engine, weights, kv)
    fmt = component_formats(model, weights, kv)
    wanted = wish.chips or wish.pp
    least = int(sram.place(chip, model, fmt, 1.0, ask.isl + ask.osl, date=ask.software_date).chips)
    if wanted is not None and wanted < least and not stream:
        raise too_few(Piped(chip, model, fmt), wanted, least)
    load = Load(
        float(ask.isl),
        float(ask.osl),
        float("inf") if ask.concurrency == "max" else float(ask.concurrency or 1),
        ask.cache_hit,
        float(ask.draft),
        ask.acceptance,
    )
    if wanted is not None and wanted < least:
        return _streamed(Piped(chip, model, fmt, float(wanted)), ask, load, assumed)
    s = evaluate(Piped(chip, model, fmt, float(wanted) if wanted else None, ask.software_date), load)
    pipe, running = s.pipe, float(s.running)
    assert pipe is not None
    if running < float(s.concurrency):
        ask = ask.with_note(waiting_note(float(s.concurrency), running, math.inf))
    terms = _terms(s, pipe, load, float(model.layers))
    top = max(terms, key=lambda term: term["seconds"])
    count = int(pipe.chips)
    per_chip = pipe.weights_bytes / count
    cache = running * float(pipe.kv_bytes_per_sequence) / count
    return Body(
        deployment={
            "chips": count,
            "tp": 1,
            "pp": count,
            "dp": 1,
            "ep": 1,
            "weights": weights,
            "kv": kv,
            "engine": None,
        },
        served=s,
        memory={
            "weights_bytes_per_chip": per_chip,
            "kv_bytes_per_chip": cache,
            "workspace_bytes_per_chip": 0.0,
            "capacity_bytes": chip.memory_bytes,
            "used_share": float(s.used_share),
            "largest_batch": float(s.largest_batch),
            "full_pipeline": float(model.layers),
        },
        terms=tuple({k: v for k, v in term.items() if k != "bound"} for term in terms),
        bound_by=str(top["bound"]),
        bound_share=float(top["share"]),
        scope=pipe.scope,
        assumptions=(*assumed, *_filling(s, model), *_release(chip, ask, given), *_loop(ask), *ask.notes),
        placement=placement(chip, model, fmt, count, running * float(pipe.kv_bytes_per_sequence)),
    )


def _terms(s: Served, pipe: Pipeline, load: Load, full: float) -> list[dict[str, Any]]:
    """Seconds per output token by cause, longest first; they sum to the TPOT."""
    yielded = float(accepted_tokens(load.acceptance, load.draft))
    token = float(pipe.token_s)
    verified = token * sram.draft_cost() * float(load.draft)
    turns = max(0.0, float(s.running) / full - 1.0) * (token + verified)
    seconds = {
        "latency": (token - float(pipe.hop_s) - float(pipe.matrix_s)) / yielded,
        "hop": float(pipe.hop_s) / yielded,
        "matrix": float(pipe.matrix_s) / yielded,
        "draft": verified / yielded,
        "queue": turns / yielded,
    }
    seconds["prefill"] = max(0.0, float(s.tpot_s) - sum(seconds.values()))
    total = sum(seconds.values())
    rows = [
        {
            "name": _TERMS[k][0],
            "bound": _TERMS[k][1],
            "seconds": t,
            "share": t / total,
            "formula": _TERMS[k][2],
            "inputs": {},
        }
        for k, t in seconds.items()
        if t > 1e-12
    ]
    return sorted(rows, key=lambda row: -float(row["seconds"]))


def _streamed(machine: Piped, ask: Question, load: Load, assumed: list[str]) -> Body:
    """The body of a machine with too few chips for the weights, past which they stream."""
    chip, wanted = machine.chip, int(np.asarray(machine.chips))
    s = piped_loop.streamed(machine, load)
    batch, running, tpot = float(s.concurrency), float(s.running), float(s.tpot_s)
    if running < batch:
        ask = ask.with_note(waiting_note(batch, running, math.inf))
    term = (
        {
            "name": "weights streamed from beside the chips",
            "seconds": tpot,
            "share": 1.0,
            "formula": "weights / (link x chips)",
            "inputs": {"link GB/s": chip.host_memory.bandwidth_bytes_s / 1e9},
        }
        if chip.host_memory and chip.host_memory.bandwidth_bytes_s
        else {}
    )
    return Body(
        deployment={
            "chips": wanted,
            "tp": 1,
            "pp": wanted,
            "dp": 1,
            "ep": 1,
            "weights": machine.weights,
            "kv": machine.formats.kv.name,
            "engine": None,
        },
        served=s,
        memory={
            "weights_bytes_per_chip": 0.0,
            "kv_bytes_per_chip": float(s.used_share) * chip.memory_bytes,
            "workspace_bytes_per_chip": 0.0,
            "capacity_bytes": chip.memory_bytes,
            "used_share": float(s.used_share),
            "largest_batch": float(s.largest_batch),
        },
        terms=(term,),
        bound_by="weights streamed over the link",
        bound_share=1.0,
        scope="any",
        assumptions=(
            *assumed,
            f"{_chips(wanted)} no weights: all of them stream past for every step",
            *_loop(ask),
            *ask.notes,
        ),
    )


def _filling(s: Served, model: Model) -> tuple[str, ...]:
    """What fills the pipeline, and whether the cache leaves room for it."""
    layers, fits = model.layers, int(s.largest_batch)
    text = f"{_chips(int(s.chips))} {layers} layers in sequence; {layers} requests fill the pipeline"
    if fits < layers:
        text += f", of which the SRAM that is left holds {fits:,}: more chips would raise the throughput"
    elif s.running > layers:
        text += f"; {int(s.running):,} in flight take turns"
    return (text,)


def _chips(count: int) -> str:
    return f"{count:,} chips hold" if count > 1 else "1 chip holds"


def _release(chip: Chip, ask: Question, given: bool) -> tuple[str, ...]:
    """Which release of the vendor's software answers, and what its published speeds may contain.

    given: the day was asked for; else it is the model's own or the default.
    """
    known = pipelines.generations(chip)
    if not known:
        return ()
    table, _ = pipelines.constants_for(chip, ask.software_date)
    text = f"software: {table['name']} ({table['date']})"
    if table["drafted"] == "unknown":
        text += "; whether its published speeds contain drafting is not known"
        more = ", so --draft may count it twice" if given else f": --draft starts from the {known[0]['name']}"
        return (text + more,)
    later = [g for g in known if g["date"] > table["date"]]
    if later:
        text += (
            f"; {later[-1]['name']} are about {later[-1].get('speedup', 1.0) / table['speedup']:.1f} "
            f"times as fast, perhaps with drafting: --software-date {later[-1]['date']}"
        )
    return (text,)


def _loop(ask: Question) -> tuple[str, ...]:
    plural = "s" if ask.concurrency != 1 else ""
    return (f"closed loop: {ask.concurrency} request{plural} in flight, {ask.isl} tokens in and {ask.osl} out",)


def placement(chip: Chip, model: Model, fmt: Formats, chips: int, cache_bytes: float) -> tuple[Mapping[str, Any], ...]:
    """Which layers stand on which chips and how full each is, as lines to draw; many chips in one line a
    stretch.

    The embedding stands before the first layer, the output head after the last, the cache beside its layers.
    """
    total = sram.stored_bytes(model, fmt)
    first, last = model.embedding_params * fmt.head.bytes, model.head_params * fmt.head.bytes
    a_layer = (total - first - last + cache_bytes) / model.layers
    if chips > _DRAWN:
        share = (total + cache_bytes) / chips / chip.memory_bytes
        each = chips / model.layers
        third = max(1, model.layers // 3)
        cuts = [(a, min(a + third, model.layers)) for a in range(0, model.layers, third)]
        if len(cuts) > 3:
            cuts = [*cuts[:2], (cuts[2][0], model.layers)]
        return tuple(
            {
                "chips": f"{round(a * each) + 1}-{round(b * each)}",
                "layers": f"{a}-{b - 1}",
                "chips_per_layer": round(each, 1),
                "full": _bar(share),
            }
            for a, b in cuts
        )
    even = (total + cache_bytes) / chips  # end chips hold fewer layers beside the embedding and the head
    inner = [round((i * even - first) / a_layer) for i in range(1, chips)]
    edges = [0, *(min(max(edge, 0), model.layers) for edge in inner), model.layers]
    lines = []
    for i, (a, b) in enumerate(pairwise(edges)):
        held = (b - a) * a_layer + (first if i == 0 else 0.0) + (last if i == chips - 1 else 0.0)
        lines.append(
            {"chip": i + 1, "layers": f"{a}-{b - 1}" if b > a else "-", "full": _bar(held / chip.memory_bytes)}
        )
    return tuple(lines)


def _bar(share: float) -> str:
    """A share as a bar of ten and a percentage."""
    filled = max(0, min(10, round(10 * share)))
    return f"[{'#' * filled}{'.' * (10 - filled)}] {share:.0%}"
