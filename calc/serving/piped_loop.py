"""Closed loops on layers piped over SRAM chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.pipelines import frontend_s
from ..physics.pipeline import DRAFT_COST, Pipeline, place, prompt_work_s

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats
    from .workload import Load


@dataclass(frozen=True, eq=False, repr=False)
class Steady:
    """A pipeline under load; arrays of cases. `full`: requests in flight that keep every stage busy."""

    pipe: Pipeline
    largest_batch: Array
    concurrency: Array
    running: Array
    tpot_s: Array
    alone_s: Array
    ttft_s: Array
    output_tok_s: Array
    input_tok_s: Array
    prefill_share: Array
    full: float


def steady(
    chip: Chip, model: Model, fmt: Formats, load: Load, chips: Array | None = None, date: str | None = None
) -> Steady:
    """Closed loop on a pipeline: each layer works on another sequence, so `layers` of them fill it.

    tpot = token x max(1, running / layers) / accepted + prompts of the others: (running - 1)/OSL x prompt
    time. concurrency inf: what fills the pipeline, on chips enough for its cache unless `chips` says how
    many.
    """
    from .regimes import sustained_ttft
    from .workload import accepted_tokens

    asked = np.asarray(load.concurrency, dtype=float)
    unlimited = np.isinf(asked)
    full = float(model.layers)
    pipe = place(chip, model, fmt, np.where(unlimited, full, asked), load.isl + load.osl, chips, date, load.draft)
    largest = np.maximum(1.0, pipe.batch_limit)
    batch = np.where(unlimited, np.minimum(largest, full), asked)
    running = np.minimum(batch, largest)
    verified = 1.0 + DRAFT_COST * np.asarray(load.draft)
    token = pipe.token_s * verified / accepted_tokens(load.acceptance, load.draft)
    fresh = load.isl * (1.0 - np.asarray(load.cached_share))
    work = prompt_work_s(chip, model, fmt, pipe, fresh, load.isl - fresh)
    tpot = token * np.maximum(1.0, running / full) + (running - 1.0) / load.osl * work
    alone = pipe.token_s + work
    waiting = np.maximum(batch - running, 0.0)
    ttft = frontend_s(chip) + alone
    ttft = sustained_ttft(ttft, work, running, load.osl, tpot)
    rate = running / (ttft + (load.osl - 1.0) * tpot)
    return Steady(
        pipe=pipe,
        largest_batch=largest,
        concurrency=batch,
        running=running,
        tpot_s=tpot,
        alone_s=alone,
        ttft_s=ttft + waiting / rate,
        output_tok_s=rate * load.osl,
        input_tok_s=rate * load.isl,
        prefill_share=np.minimum(rate * work, 0.95),
        full=full,
    )
