"""Predict measured rows: every row gets a value with its band, or the reason why not.

It uses the same constants and compositions as an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..arrays import Array, Values
from ..engines import pipelines
from ..engines.constants import Constants, load_constants
from ..errors import TokcalcError
from ..physics.passes import read_context
from ..physics.pipeline import place
from ..physics.step import StepTime, mtp_token_s
from ..serving import piped_loop
from ..serving.kernels import passes_of
from ..serving.piped_loop import Piped
from ..serving.power import Work, watts
from ..serving.regimes import REGIMES, Seconds, busy_share, metrics, parts, prompt_share, steady
from ..serving.replica import Replica
from ..serving.workload import Load
from ..trust.bands import ANCHORED, band_factor, has_own
from ..trust.grades import answer_grade
from .frontier import Found, Point
from .measured import quantity
from .prices import price_value
from .rows.cases import Block, gather
from .wide import wide_value

_BOUND = {
    "gemm": "weights",
    "moe": "expert weights",
    "attention_decode": "KV cache",
    "mla_decode": "KV cache",
    "linear_decode": "attention state",
    "attention_prefill": "attention",
    "elementwise": "element-wise kernels",
    "all_reduce": "messages between chips",
    "all_to_all": "messages between chips",
}


@dataclass(frozen=True, eq=False)
class Predicted:
    """Rows of one block: values in their units (NaN: none), what binds, the grade, reasons by place."""

    values: Values
    bound_by: NDArray[np.object_]
    grade: str
    missing: dict[int, str]


def predict_rows(rows: pd.DataFrame, constants: Constants | None = None) -> pd.DataFrame:
    """predicted, low, high, grade, bound_by, reason, assumed of each row, on the index of `rows`.

    rows: as `measured.read_rows` types them. `reason` is filled where nothing is predicted, `assumed` names
    what the row does not print and the prediction took.
    """
    constants = constants or load_constants()
    found = gather(rows, constants)
    size = len(rows)
    value, factor = np.full(size, np.nan), np.full(size, np.nan)
    grade, bound = np.full(size, "", dtype=object), np.full(size, "", dtype=object)
    reasons = dict(found.reasons)
    for block in found.blocks:
        at = block.index
        try:
            own = predict_block(block, constants)
        except TokcalcError as error:
            reasons.update(dict.fromkeys(at.tolist(), str(error)))
            continue
        value[at], bound[at], grade[at] = own.values, own.bound_by, own.grade
        reasons.update({int(at[i]): text for i, text in own.missing.items()})
        factor[at] = [
            band_factor(quantity(metric), own.grade, _band(block, regime), block.model.is_moe)
            for metric, regime in zip(block.metric, block.regime, strict=True)
        ]
    good = np.isfinite(value) & (value > 0)
    value[~good] = np.nan
    bound[~good] = grade[~good] = ""
    table = pd.DataFrame({"predicted": value, "low": value / factor, "high": value * factor}, index=rows.index)
    reason = ["" if good[i] else reasons.get(i, "the model gave no number") for i in range(size)]
    words = {"grade": grade, "bound_by": bound, "reason": reason, "assumed": found.assumed}
    return table.assign(**{name: np.array(texts, dtype=object) for name, texts in words.items()})


def predict_block(block: Block, constants: Constants) -> Predicted:
    """Values, what binds and the grade of one block's rows with these constants."""
    if block.chip.weights_in_sram:
        return _piped(block)
    r, size, case = block.replica(constants), len(block.index), block.case(constants)
    passes = passes_of(r, block.load, block.running)
    decode = passes.decode
    kernels = (decode.seconds + _mtp_s(r, block), passes.alone.seconds, passes.batched)
    seconds = Seconds(*(np.broadcast_to(s, size) for s in kernels))
    scope = constants.scope(block.chip, block.weights)
    letter = answer_grade(block.chip, constants, scope, block.model.is_moe)
    words = _binding(block, decode)
    kinds = sorted(REGIMES.keys() & set(block.regime))
    values, missing = _pick(block, {kind: metrics(kind, case, seconds, block.engine) for kind in kinds})
    for i in np.flatnonzero(block.regime == "wide-ep"):
        values[i], text = wide_value(block, int(i), constants)
        missing |= {int(i): text}
    points = np.flatnonzero(block.regime == "price")
    known: dict[Point, Found] = {}
    for i in points:
        values[i], text = price_value(block, int(i), constants, known, _day(block.date[i]))
        missing |= {int(i): text}
    words[points] = "a stated speed of one user"
    of_energy = block.metric == "joule_per_output_token"
    if of_energy.any():
        values = np.where(of_energy, _joules(r, block, seconds), values)
        missing = {i: text for i, text in missing.items() if not of_energy[i] or not np.isfinite(values[i])}
    return Predicted(values, words, letter, missing)


def _band(block: Block, regime: str) -> str:
    """Table of bands of a row: chips that are not GPUs and closed loops of measured combinations have their own."""
    if has_own(block.chip.id) and regime != "price":
        return block.chip.id
    return ANCHORED if regime == "serving" and block.engine.anchor_rows > 0 else regime


def _mtp_s(r: Replica, block: Block) -> Array:
    """Seconds in which a step's drafted tokens come from the model's own MTP layers; 0 where nothing is drafted."""
    if not block.model.mtp_layers or not np.any(block.draft > 0):
        return np.zeros(1)
    plain = r.decode(block.running, read_context(r.engine, block.isl, block.osl))
    return block.draft * mtp_token_s(plain, block.model)


def _pick(block: Block, tables: Mapping[str, Mapping[str, Array]]) -> tuple[Values, dict[int, str]]:
    """Each row's metric out of its regime's table; reasons where there is none."""
    values = np.full(len(block.index), np.nan)
    missing: dict[int, str] = {}
    for i, (regime, metric) in enumerate(zip(block.regime, block.metric, strict=True)):
        found = tables.get(str(regime), {}).get(str(metric))
        if found is not None:
            values[i] = np.broadcast_to(found, values.shape)[i]
        elif str(metric).startswith("usd"):
            missing[i] = "no price of a chip hour is stated beside the price of the tokens"
        elif metric == "joule_per_output_token":
            missing[i] = f"no power figure of {block.chip.name} is published"
        else:
            missing[i] = f"no {metric} is modelled for {regime}"
    return values, missing


def _joules(r: Replica, block: Block, seconds: Seconds) -> Values:
    """Joules of the chips per output token, prompts included, as meters count them."""
    case = block.case(r.constants)
    p = parts(case, seconds, r.engine)
    s = steady(p, case, r.engine)
    rate = s.rate * case.replicas
    share = prompt_share(p.prompt, p.step, case.running, case.osl)
    busy = busy_share(p, s, case, r.engine)
    work = Work(block.plan.chips * case.replicas, rate * case.osl, rate * case.isl, busy, share)
    drawn = watts(block.chip, block.model, block.weights, work)
    return np.full(len(block.index), np.nan) if drawn is None else np.asarray(drawn.chips_w / work.output_tok_s)


def _binding(block: Block, decode: StepTime) -> NDArray[np.object_]:
    """What takes the largest part of the decode step (of the prompt, for prompts alone) in each row."""
    size = len(block.index)
    groups: dict[str, Array] = {}
    for kind, seconds in zip(decode.bound, decode.terms_s, strict=True):
        name = _BOUND.get(kind, kind)
        groups[name] = groups.get(name, 0.0) + np.broadcast_to(seconds, size)
    groups["host work"] = block.engine.host_s(block.plan.pp) + block.engine.sequence_s * block.running
    names = np.array(list(groups), dtype=object)
    top = np.argmax(np.stack([np.broadcast_to(v, size) for v in groups.values()]), axis=0)
    prompts = (block.regime == "prefill-b1") | (block.metric == "ttft_ms") | (block.metric == "input_tok_s")
    return np.where(prompts, "prompts", names[top])


def _piped(block: Block) -> Predicted:
    """Rows of machines that hold weights in SRAM: the pipeline of the release of the row's day.

    Undated rows are of the model's own days. A service whose chips are not printed has as many as hold the cache of
    a full pipeline, which is how pipelines pay.
    """
    values = np.full(len(block.index), np.nan)
    missing: dict[int, str] = {}
    for i in range(len(block.index)):
        load = Load(block.isl[i], block.osl[i], block.batch[i] if block.batch[i] < 1e6 else np.inf)
        day = _day(block.date[i]) or _day(block.model.release_date or "")
        context = load.isl + load.osl
        full = place(block.chip, block.model, block.formats, block.model.layers, context, date=day).chips
        chips = np.where(block.chips_known[i], np.maximum(block.plan.at(i).chips, 1.0), full)
        s = piped_loop.closed_loop(Piped(block.chip, block.model, block.formats, chips, day), load)
        whole = block.regime[i] == "serving"  # its speed of one user counts the first token as well
        per_token = s.ttft_s / load.osl + (1.0 - 1.0 / load.osl) * s.tpot_s if whole else s.tpot_s
        table = {
            "tpot_ms": s.tpot_s * 1e3,
            "ttft_ms": s.ttft_s * 1e3,
            "output_tok_s_user": 1.0 / per_token,
            "output_tok_s": s.output_tok_s,
            "input_tok_s": s.input_tok_s,
            "total_tok_s": s.output_tok_s + s.input_tok_s,
        }
        found = table.get(str(block.metric[i]))
        if found is None:
            missing[i] = f"no {block.metric[i]} is modelled for machines that pipe layers through SRAM"
        else:
            values[i] = float(np.asarray(found))
    scope = pipelines.constants_for(block.chip)[1]
    letter = answer_grade(block.chip, load_constants(), scope, block.model.is_moe)
    return Predicted(values, np.full(len(values), "latency per layer", dtype=object), letter, missing)


def _day(text: str) -> str | None:
    """A date of any precision as a day (its last known part's first); None for none.

    >>> _day("2026-03"), _day("soon")
    ('2026-03-01', None)
    """
    digits = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?.*", text)
    return f"{digits[1]}-{digits[2] or '01'}-{digits[3] or '01'}" if digits else None
