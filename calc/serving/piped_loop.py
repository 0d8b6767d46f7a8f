"""Closed loops on layers piped over SRAM chips, or on too few of them, past which the weights stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.pipelines import constants_for, frontend_s
from ..errors import DoesNotFit
from ..hardware.formats import find_format
from ..physics.operators import component_formats
from ..physics.pipeline import draft_cost, place, prompt_work_s, streamed_step_s
from .regimes import closed_rate, queue_s, sustained_ttft
from .workload import Load, Served

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats

MOST_STREAMED = 64.0  # requests in flight that fill a machine past which all weights stream
_BUSY_ALONE = 0.3  # rough share of its power that a pipeline works at with one request


@dataclass(frozen=True, eq=False, repr=False)
class Piped:
    """A model's layers in sequence over SRAM chips, run by one release of their software.

    chips: None for as many as hold weights and the load; day: of the software, None for the default release.
    """

    chip: Chip
    model: Model
    formats: Formats
    chips: Array | None = None
    day: str | None = None

    @property
    def weights(self) -> str:
        """The format that most of the weights are stored in."""
        return self.formats.experts.name if self.model.is_moe else self.formats.ffn.name

    def least(self, context: Array) -> Array:
        """Fewest chips that hold the weights and one request."""
        return place(self.chip, self.model, self.formats, 1.0, context, date=self.day).chips


def closed_loop(m: Piped, load: Load) -> Served:
    """Steady state of a pipeline: each layer works on another sequence, so `layers` of them fill it.

    tpot = token x max(1, running / layers) / accepted + prompts of the others: (running - 1)/OSL x prompt
    time. concurrency inf: what fills the pipeline, on chips enough for its cache unless `chips` says how
    many.
    """
    asked = np.asarray(load.concurrency, dtype=float)
    unlimited, full, context = np.isinf(asked), float(m.model.layers), load.isl + load.osl
    wanted = np.where(unlimited, full, asked)
    pipe = place(m.chip, m.model, m.formats, wanted, context, chips=m.chips, date=m.day, draft=load.draft)
    largest = np.maximum(1.0, pipe.batch_limit)
    batch = np.where(unlimited, np.minimum(largest, full), asked)
    running = np.minimum(batch, largest)
    verified = 1.0 + draft_cost() * np.asarray(load.draft)
    token = pipe.token_s * verified / load.yielded
    work = prompt_work_s(m.chip, m.model, m.formats, pipe, load.fresh, cached=load.cached)
    tpot = token * np.maximum(1.0, running / full) + (running - 1.0) / load.osl * work
    alone = pipe.token_s + work
    ttft = sustained_ttft(frontend_s(m.chip) + alone, work, running, load.osl, tpot)
    rate = closed_rate(running, ttft, load.osl, tpot)
    queue = queue_s(batch, running, rate)
    stored = (pipe.weights_bytes + running * pipe.kv_bytes_per_sequence) / pipe.chips
    return Served(
        fits=pipe.chips >= m.least(context),
        chips=pipe.chips,
        concurrency=batch,
        running=running,
        largest_batch=largest,
        tpot_s=tpot,
        ttft_s=ttft + queue,
        output_tok_s=rate * load.osl,
        input_tok_s=rate * load.isl,
        step_s=token,
        prompt_s=work,
        alone_s=alone,
        queue_s=queue,
        prefill_share=np.minimum(rate * work, 0.95),
        used_share=stored / m.chip.memory_bytes,
        busy=np.minimum(1.0, _BUSY_ALONE + (1.0 - _BUSY_ALONE) * running / full),
        pipe=pipe,
    )


def streamed(m: Piped, load: Load) -> Served:
    """Too few chips for the weights: all of them stream past once per step, one token for each running sequence.

    Those whose cache the SRAM does not hold wait by Little's law. Raises DoesNotFit where no memory stands beside the
    chips, or where their SRAM does not hold one request's cache.
    Worked: 0.94 s a step, 59 of 256 running, 1,024 tokens out: 0.061 requests/s, a TTFT of 3,200 s.
    """
    chips, context = float(np.asarray(m.chips)), load.isl + load.osl
    step = streamed_step_s(m.chip, m.model, m.formats, chips)
    if step is None:
        raise DoesNotFit(
            f"{m.chip.name} has no memory beside its SRAM to stream the weights of {m.model.name} from; "
            f"give --chips {int(np.asarray(m.least(context)))}"
        )
    per_sequence = m.model.kv_bytes(context, m.formats.kv.bytes)
    room = chips * m.chip.memory_bytes * constants_for(m.chip)[0]["usable_share"]
    limit = np.floor(room / np.maximum(per_sequence, 1.0))
    if np.any(limit < 1.0):
        raise DoesNotFit(
            f"the cache of {context:,.0f} tokens, {per_sequence / 1e9:,.0f} GB, does not fit the SRAM of "
            f"{chips:,.0f} x {m.chip.name}; give --chips {np.ceil(per_sequence * chips / room):.0f} or fewer tokens"
        )
    asked = np.asarray(load.concurrency, dtype=float)
    batch = np.where(np.isinf(asked), np.minimum(limit, MOST_STREAMED), asked)
    running = np.minimum(batch, limit)
    tpot, alone = step / load.yielded, step + 0.0 * batch
    own = frontend_s(m.chip) + step
    rate = closed_rate(running, own, load.osl, tpot)
    queue = queue_s(batch, running, rate)
    return Served(
        fits=limit >= 1.0,
        chips=chips,
        concurrency=batch,
        running=running,
        largest_batch=limit,
        tpot_s=tpot,
        ttft_s=own + queue,
        output_tok_s=rate * load.osl,
        input_tok_s=rate * load.isl,
        step_s=tpot,
        prompt_s=step,
        alone_s=alone,
        queue_s=queue,
        prefill_share=1.0 / (load.osl + 1.0),
        used_share=running * per_sequence / chips / m.chip.memory_bytes,
        busy=_BUSY_ALONE,
    )


def too_few(m: Piped, wanted: int, least: int) -> DoesNotFit:
    """Why `wanted` chips do not hold a model of which one request needs `least`, and what would."""
    fewer = ""
    if find_format(m.weights).bits > 8:
        small = replace(m, formats=component_formats(m.model, "int8", m.formats.kv.name))
        fewer = f", --weights int8 (then {int(np.asarray(small.least(2048.0))):,} would do)"
    return DoesNotFit(
        f"{m.model.name} in {m.weights} needs {least:,} x {m.chip.name} to hold weights and one request, "
        f"{wanted:,} {'is' if wanted == 1 else 'are'} too few; give --chips {least}{fewer} or a smaller model"
    )
