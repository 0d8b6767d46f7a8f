"""Wafers and LPUs: weights stay in SRAM, layers are placed over chips in sequence, a token passes through
them.

Capacity sets the number of chips; the latency per layer sets the speed of one user; sequences in flight
fill the pipeline. Stands beside `step` and `memory`, before `serving` and `sram_answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..catalog.tables import engine_table
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
    return float(engine_table("physics.toml")["pipeline"]["draft_cost"])


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
    stages: Array
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
    """Chips r for one layer where span sqrt(r) + read / r is least, between what it needs and what it can
    have.
    """
    best = (2.0 * read_s / span_s) ** (2.0 / 3.0) if span_s > 0 else np.inf
    return np.clip(best, least, np.maximum(most, least))


def place(
    chip: Chip, model: Model, fmt: Formats, batch: Array, context: Array, chips: Array | None = None,
    date: str | None = None, draft: Array = 0.0,
) -> Pipeline:  # fmt: skip
    """Layers over chips by capacity, and the seconds that one token needs to pass.

    chips = ceil((weights + batch x cache) / (SRAM x usable share)) when not given;
    token_s = sum over layers (latency + span sqrt(r) + active bytes / (share of SRAM bandwidth of r chips))
    + hops: a token is handed on through every chip that holds a part of the model, so many small chips cost more
    hops than few large ones. All terms are per case, whatever the shape of batch, context and chips.
    date: of the software; None takes the default release, or the model's own day where that came later (`model_day`)
    and nothing is drafted.
    Worked: Llama-3.1-70B, 16 bit, WSE-3: 141 GB / (44 GB x .9) = 4 wafers, r = 1.7 GB / 39.6 GB = .043 of a
    wafer: 97 us sqrt(.043) + 7.6 us = 27.8 us a layer; 80 of them and 3 hops of 6 us: 2.24 ms, 446 tokens/s.
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
    stages = np.minimum(chips, layers)
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
        stages=stages,
        chips_per_layer=chips / layers,
        scope=scope,
        generation=str(table.get("name", "")),
    )


def prompt_rate_s(chip: Chip, model: Model, fmt: Formats, pipe: Pipeline) -> Array:
    """Seconds of pipeline that the matrices take for one prompt token: 2 active parameters over a share of all
    chips' dense peak. Attention comes on top (`prompt_work_s`).
    """
    return 2.0 * model.params_active_no_embed / _prompt_ops_s(chip, pipe, fmt.attention)


def _prompt_ops_s(chip: Chip, pipe: Pipeline, fmt: Format) -> Array:
    """Operations/s that prompts reach on all chips of the pipeline in that format."""
    table, _ = constants_for(chip)
    return roof(fmt, chip.peak_ops_s)[1] * pipe.chips * table["prompt_peak_share"]


def prompt_work_s(chip: Chip, model: Model, fmt: Formats, pipe: Pipeline, fresh: Array, cached: Array = 0.0) -> Array:
    """Seconds of pipeline that one prompt takes: `fresh` tokens through the matrices, and their attention over the
    `cached` tokens before them and each other.

    Attention's operations are those of `passes.prompt_operators`, 4 heads head_dim (cached + fresh/2) per fresh token
    and layer without windows, at the share of peak that prompts reach, in 16 bit as on every chip (`step`).
    Worked: Llama-3.3-70B, 8 bit, 128,000 tokens, 554 LPUs: 128,000 x 139 GFLOP / (554 x 750e12 x .25) = 171 ms, and
    4 x 64 x 128 x 80 x 128,000 x 64,000 = 2.15e16 FLOP / (554 x 188e12 x .25 = 2.60e16/s) = 825 ms.
    """
    passed = prompt_operators(model, Plan(1, 1, 1, 1), fmt, 1.0, fresh, cached)
    pairs = sum(op.count * op.flops for op in passed if op.kind == "attention_prefill")
    attention = pairs / _prompt_ops_s(chip, pipe, find_format("bf16"))
    return fresh * prompt_rate_s(chip, model, fmt, pipe) + attention


def streamed_step_s(chip: Chip, model: Model, fmt: Formats, chips: Array) -> Array | None:
    """Seconds in which weights stream once through `chips` from memory beside the wafer; None without such
    a link.

    Worked: Llama-3.1-70B, 16 bit, one WSE-3: 141 GB / 150 GB/s = 0.94 s for one token of every sequence at
    once.
    """
    host = chip.host_memory
    if host is None or not host.bandwidth_bytes_s:
        return None
    return stored_bytes(model, fmt) / (host.bandwidth_bytes_s * chips)
