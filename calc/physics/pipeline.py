"""Wafers and LPUs: weights stay in SRAM, layers are placed over chips in sequence, a token passes through them.

Capacity sets the number of chips; the latency per layer sets the speed of one user; sequences in flight fill the
pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..catalog.tables import spec_table
from ..engines.pipelines import constants_for, model_day
from ..hardware.formats import find_format, roof
from .parallel import Plan
from .passes import prompt_operators

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..hardware.formats import Format
    from ..models.model import Model
    from .operators import Formats


def draft_cost() -> float:
    """Share of a token's time per drafted token that travels with it: rows of a product already paid for."""
    return float(spec_table("engines", "physics")["pipeline"]["draft_cost"])


@dataclass(frozen=True, eq=False, repr=False)
class Pipeline:
    """A model laid over SRAM chips. Bytes are of the whole system; seconds of one token."""

    chips: Array
    weights_bytes: float
    kv_bytes_per_sequence: Array
    capacity_bytes: Array
    batch_limit: Array
    layer_s: Array  # latency of one layer apart from reading its weights
    hop_s: Array
    matrix_s: Array
    token_s: Array
    chips_per_layer: Array
    scope: str
    generation: str


def stored_bytes(model: Model, fmt: Formats) -> float:
    """Weights of the whole model in its formats, embedding and output head included."""
    total = (model.embedding_params + model.head_params) * fmt.head.bytes
    for group in model.groups:
        total += group.count * _layer_bytes(group, fmt, group.ffn.experts)
    return float(total)


def _layer_bytes(group: Any, fmt: Formats, experts: float) -> float:
    ffn = group.ffn
    layer = group.attention.params * fmt.attention.bytes + ffn.dense_params * fmt.ffn.bytes
    layer += (group.norm_params + ffn.router_params) * 2.0
    return float(layer + experts * ffn.expert_params * fmt.experts.bytes)


def _spread(span_s: float, read_s: Array, least: Array, most: Array) -> Array:
    """Chips r for one layer where span sqrt(r) + read / r is least, between what it needs and what it can have."""
    best = (2.0 * read_s / span_s) ** (2.0 / 3.0) if span_s > 0 else np.inf
    return np.clip(best, least, np.maximum(most, least))


def place(
    chip: Chip,
    model: Model,
    fmt: Formats,
    batch: Array,
    context: Array,
    *,
    chips: Array | None = None,
    date: str | None = None,
    draft: Array = 0.0,
) -> Pipeline:
    """Layers over chips by capacity, and the seconds that one token needs to pass.

    chips = ceil((weights + batch x cache) / (SRAM x usable share)) when not given;
    token_s = sum over layers (latency + span sqrt(r) + active bytes / (share of SRAM bandwidth of r chips))
    + hops: a token is handed on through every chip that holds a part of the model, so many small chips cost more
    hops than few large ones. All terms are per case, whatever the shape of batch, context and chips.
    date: of the software; None takes the default release, or the model's own day where that came later (`model_day`)
    and nothing is drafted.

    >>> from tokcalc.catalog import load_chip, load_model
    >>> from tokcalc.physics.operators import component_formats
    >>> chip, model = load_chip("wse-3"), load_model("llama-3.1-70b")
    >>> pipe = place(chip, model, component_formats(model, "bf16"), 1.0, 1024.0)
    >>> int(pipe.chips), float(pipe.chips_per_layer)  # 141 GB / (44 GB x .9), over 80 layers
    (4, 0.05)
    >>> bool(np.isclose(pipe.token_s, 80 * pipe.layer_s + pipe.matrix_s + pipe.hop_s))
    True
    >>> f"{pipe.hop_s * 1e6 / constants_for(chip)[0]['hop_us']:.1f} hops"
    '3.0 hops'
    """
    table, scope = constants_for(chip, date or model_day(chip, model))
    speedup = table["speedup"]
    if date is None and table.get("drafted") == "unknown":  # drafts come on top of a release known to have none
        speedup = np.where(np.asarray(draft) > 0, constants_for(chip)[0]["speedup"], speedup)
    weights = stored_bytes(model, fmt)
    per_sequence = model.kv_bytes(context, fmt.kv.bytes)
    room = chip.memory_bytes * table["usable_share"]
    if chips is None:
        chips = np.maximum(1.0, np.ceil((weights + np.asarray(batch) * per_sequence) / room))
    chips = np.asarray(chips, dtype=float)
    layers = float(model.layers)
    bandwidth = (chip.bandwidth_bytes_s or np.inf) * table["matrix_share"]
    span = table["span_us"] * 1e-6
    latency, matrix = np.zeros_like(chips), np.zeros_like(chips)
    for group in model.groups:
        stored = _layer_bytes(group, fmt, group.ffn.experts)
        # cache of one sequence is read with the weights of its layer
        active = _layer_bytes(group, fmt, min(group.ffn.top_k, group.ffn.experts)) + per_sequence / layers
        r = _spread(span, active / bandwidth, stored / room, chips / layers)
        routed = table["moe_us"] if group.ffn.experts else 0.0
        latency = latency + group.count * ((table["layer_us"] + routed) * 1e-6 + span * np.sqrt(r))
        matrix = matrix + group.count * active / bandwidth / r
    hop = table["hop_us"] * 1e-6 * (chips - 1.0)
    latency, matrix, hop = latency / speedup, matrix / speedup, hop / speedup
    limit = np.floor(np.maximum(chips * room - weights, 0.0) / np.maximum(per_sequence, 1.0))
    return Pipeline(
        chips=chips,
        weights_bytes=weights,
        kv_bytes_per_sequence=per_sequence,
        capacity_bytes=chips * chip.memory_bytes,
        batch_limit=limit,
        layer_s=latency / layers,
        hop_s=hop,
        matrix_s=matrix,
        token_s=latency + hop + matrix,
        chips_per_layer=chips / layers,
        scope=scope,
        generation=str(table.get("name", "")),
    )


def prompt_rate_s(chip: Chip, model: Model, fmt: Formats, pipe: Pipeline) -> Array:
    """Seconds of pipeline that matrices take for a prompt token: 2 active parameters over a share of the dense peaks.

    Attention comes on top (`prompt_work_s`).
    """
    return 2.0 * model.params_active_no_embed / _prompt_ops_s(chip, pipe, fmt.attention)


def _prompt_ops_s(chip: Chip, pipe: Pipeline, fmt: Format) -> Array:
    """Operations/s that prompts reach on all chips of the pipeline in that format."""
    table, _ = constants_for(chip)
    return roof(fmt, chip.peak_ops_s)[1] * pipe.chips * table["prompt_peak_share"]


def prompt_work_s(
    chip: Chip, model: Model, fmt: Formats, pipe: Pipeline, fresh: Array, *, cached: Array = 0.0
) -> Array:
    """Seconds of pipeline that a prompt takes: `fresh` tokens through the matrices, and attention over all before them.

    Attention's operations are those of `passes.prompt_operators`, 4 heads head_dim (cached + fresh/2) per fresh token
    and layer without windows, at the share of peak that prompts reach, in 16 bit as on every chip (`step`).

    >>> from tokcalc.catalog import load_chip, load_model
    >>> from tokcalc.physics.operators import component_formats
    >>> chip, model, isl = load_chip("groq"), load_model("llama-3.3-70b"), 128_000.0
    >>> fmt = component_formats(model, "int8")
    >>> pipe = place(chip, model, fmt, 1.0, isl, chips=554.0)
    >>> matrices = isl * prompt_rate_s(chip, model, fmt, pipe)  # 128,000 x 139 GFLOP at 750 TOP/s a chip
    >>> attention = prompt_work_s(chip, model, fmt, pipe, isl) - matrices  # 2.15e16 FLOP at 188 TFLOP/s a chip
    >>> f"{attention / matrices:.2f}"  # 825 to 171 ms at a quarter of these peaks
    '4.81'
    """
    passed = prompt_operators(model, Plan(1, 1, 1, 1), fmt, 1.0, fresh, cached=cached)
    pairs = sum(op.count * op.flops for op in passed if op.kind == "attention_prefill")
    attention = pairs / _prompt_ops_s(chip, pipe, find_format("bf16"))
    return fresh * prompt_rate_s(chip, model, fmt, pipe) + attention


def streamed_step_s(chip: Chip, model: Model, fmt: Formats, chips: Array) -> Array | None:
    """Seconds in which weights stream once through `chips` from memory beside the wafer; None without such a link.

    >>> from tokcalc.catalog import load_chip, load_model
    >>> from tokcalc.physics.operators import component_formats
    >>> model = load_model("llama-3.1-70b")
    >>> seconds = streamed_step_s(load_chip("wse-3"), model, component_formats(model, "bf16"), 1.0)
    >>> f"{seconds:.2f} s"  # 141 GB at 150 GB/s, for one token of every sequence at once
    '0.94 s'
    """
    host = chip.host_memory
    if host is None or not host.bandwidth_bytes_s:
        return None
    return stored_bytes(model, fmt) / (host.bandwidth_bytes_s * chips)
