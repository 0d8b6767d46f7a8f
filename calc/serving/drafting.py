"""Speculative decoding: what a draft costs, which draft length is fastest at a load, and where it stops
paying.

Verified tokens are rows of the same step, so they cost compute, cache reads and experts (`operators`); the
draft itself is a model, the model's own MTP layers, or a lookup of n-grams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..engines import pipelines
from ..errors import UsageError
from ..physics.operators import component_formats
from ..physics.passes import read_context
from ..physics.step import mtp_token_s
from ..trust.grades import constants_grade
from . import piped_loop
from .kernels import case_of
from .piped_loop import Piped
from .regimes import Seconds, parts
from .replica import Replica
from .workload import Load, accepted_tokens

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from ..models.model import Model

LENGTHS = tuple(range(9))  # drafted tokens per step that are tried: 0 to 8
LOADS = tuple(4.0**n for n in range(7))  # requests in flight at which it is tried whether drafting still pays
LEAST_GAIN = 1.02  # below which a draft is not worth its trouble


@dataclass(frozen=True)
class Drafted:
    """One draft length at one batch: seconds of the step, of the draft in it, per output token, and the
    gain.

    batch: requests in flight that run at once with it; the others of a load wait.
    """

    batch: float
    draft: int
    step_s: float
    draft_s: float
    tpot_s: float
    gain: float


def check_draft(chip: Chip, model: Model, constants: Constants, kind: str) -> None:
    """UsageError, with the way out, for MTP on a model that has none and for chips without any
    measurement.
    """
    if kind == "mtp" and not model.mtp_layers:
        raise UsageError(
            f"{model.name} was released without MTP layers; draft with --with ngram or a small model, "
            "such as --with llama-3.2-1b"
        )
    if chip.weights_in_sram:
        from ..engines.pipelines import constants_for

        scope = constants_for(chip)[1]
    else:
        scope = constants.find("gemm", chip, ("bf16", "any"))[1]
    if constants_grade(chip, constants, scope) == "D":
        raise UsageError(
            f"nothing is measured on {chip.name} or its kind, so the cost of verifying a draft on it is "
            "not known; leave the draft away, or choose a chip of grade A to C"
        )


def draft_token_s(r: Replica, batch: Array, context: Array, draft: str | Model) -> Array:
    """Seconds in which one token is drafted for every sequence of a batch.

    "ngram": 0 (found on the host while the step runs); "mtp": the model's own extra layers and its head;
    a model: one of its decode steps on the same chips, without host work of its own.
    """
    if draft == "ngram":
        return np.zeros_like(np.asarray(batch, dtype=float))
    if isinstance(draft, str):
        return mtp_token_s(r.decode(batch, context), r.model)
    weights = "bf16" if draft.native_format in ("fp16", "fp32") else draft.native_format
    fmt = component_formats(draft, weights, r.formats.kv.name)
    return replace(r, model=draft, formats=fmt).decode(batch, context).seconds


def lengths(r: Replica, load: Load, draft: str | Model, tried: Sequence[int] = LENGTHS) -> list[Drafted]:
    """Every draft length at the load's batch: tpot = (verify(g + 1 rows) + g draft) / accepted(g).

    Of more requests than run at once without a draft (`Replica.pool`) the others wait; where software lets
    fewer run with one, all of these take turns, which tpot contains. Decode steps alone, without the prompts of
    other requests. Worked: a = .7 accepts 2.53 tokens of g = 3; a step that verifies four rows in 1.1 times the time
    of one and drafts at 5 % each gains 2.53 / 1.25 = 2.0.
    """
    context = read_context(r.engine, load.isl, load.osl)
    batch = _running(r, replace(load, draft=0.0))
    each = float(np.ravel(draft_token_s(r, batch, context, draft))[0])
    plain, out = None, []
    for g in tried:
        drafted = replace(load, draft=float(g))
        here = _running(r, drafted)
        kernels = r.decode(here, context, drafted.verified).seconds
        case = case_of(r, load, here)
        step = float(np.ravel(parts(case, Seconds(kernels, 0.0, 0.0), r.engine).step * case.accepted)[0]) + g * each
        tpot = max(1.0, batch / here) * step / float(drafted.yielded)
        plain = tpot if plain is None else plain
        out.append(Drafted(here, g, step, g * each, tpot, plain / tpot))
    return out


def _running(r: Replica, load: Load) -> float:
    """Requests of a load that run at once."""
    return float(np.minimum(load.concurrency, r.pool(load)))


def pipe_lengths(
    chip: Chip, model: Model, weights: str, load: Load, tried: Sequence[int] = LENGTHS, chips: int | None = None
) -> list[Drafted]:
    """The same for SRAM pipelines: drafted tokens travel together, and take turns of a full pipeline.

    chips: of the pipeline; the fewest that hold the load if not given. Too few to hold the weights stream them past
    once a step, which verifies any number of tokens in the same time.
    """
    from ..physics import pipeline as sram

    fmt = component_formats(model, weights, "bf16")
    least = sram.place(chip, model, fmt, 1.0, load.isl + load.osl).chips
    if chips is not None and chips < least:
        drafts = (
            (g, piped_loop.streamed(Piped(chip, model, fmt, chips), replace(load, draft=float(g)))) for g in tried
        )
        found = [(g, s, float(accepted_tokens(load.acceptance, g))) for g, s in drafts]
        return [Drafted(float(s.running), g, float(s.prompt_s), 0.0, float(s.tpot_s), a) for g, s, a in found]
    plain, out = None, []
    day = next(
        (str(g["date"]) for g in pipelines.generations(chip) if g.get("default")), None
    )  # a release without drafts
    for g in tried:
        # every drafted token is another sequence's place in a pipeline that is full
        machine = Piped(chip, model, fmt, float(chips) if chips else None, day)
        s = piped_loop.closed_loop(machine, replace(load, draft=float(g)))
        running, full = float(s.running), float(model.layers)
        turns = max(1.0, running * (g + 1.0) / full) / max(1.0, running / full)
        tpot = float(s.tpot_s) * turns
        plain = tpot if plain is None else plain
        step = tpot * float(accepted_tokens(load.acceptance, g))
        share = sram.draft_cost() * g / (1.0 + sram.draft_cost() * g)
        out.append(Drafted(running, g, step, step * share, tpot, plain / tpot))
    return out


def best(rows: Sequence[Drafted]) -> Drafted:
    """The length with the shortest time per token; the shorter of equals."""
    return min(rows, key=lambda row: (round(row.tpot_s, 12), row.draft))


def stops_paying(rows_at: Any, batches: Sequence[float], least_gain: float = LEAST_GAIN) -> float | None:
    """The first of `batches` at which no draft gains `least_gain`; None if it always pays.

    rows_at: batch -> rows of `lengths`.
    """
    return next((b for b in batches if best(rows_at(b)).gain < least_gain), None)
