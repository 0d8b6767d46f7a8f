"""Wafers and LPUs: weights stay in SRAM, layers are placed over chips in sequence, a token passes through them.

Capacity sets the number of chips; the latency per layer sets the speed of one user; sequences in flight fill the
pipeline. Stands beside `step` and `memory`, before `serving` and `estimate`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from .formats import find_format, roof

if TYPE_CHECKING:
    from .chip import Chip
    from .model import Model
    from .operators import Formats

Array = Any


@lru_cache(maxsize=1)
def _tables() -> Mapping[str, Any]:
    text = (files("tokcalc.specs") / "engines" / "sram.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True)
class Pipeline:
    """A model laid over SRAM chips. Bytes are of the whole system; seconds of one token."""

    chips: Array
    weights_bytes: float
    kv_bytes_per_sequence: Array
    capacity_bytes: Array
    batch_limit: Array
    layer_s: float
    hop_s: Array
    matrix_s: Array
    token_s: Array
    stages: Array
    scope: str


def constants_for(chip: Chip) -> tuple[Mapping[str, Any], str]:
    """(constants, scope) of the chip's own, its family's or the general table, own `[efficiency.sram]` first."""
    own = chip.efficiency.get("sram")
    if isinstance(own, Mapping):
        return {**_tables()["any"], **own}, chip.id
    for scope in (chip.id, chip.family, chip.kind):
        if scope in _tables():
            return _tables()[scope], scope
    return _tables()["any"], "any"


def stored_bytes(model: Model, fmt: Formats) -> float:
    """Weights of the whole model in its formats, embedding and output head included."""
    total = (model.embedding_params + model.head_params) * fmt.head.bytes
    for group in model.groups:
        ffn = group.ffn
        layer = group.attention.params * fmt.attention.bytes + ffn.dense_params * fmt.ffn.bytes
        layer += (
            group.norm_params + ffn.router_params
        ) * 2.0 + ffn.experts * ffn.expert_params * fmt.experts.bytes
        total += group.count * layer
    return float(total)


def place(
    chip: Chip, model: Model, fmt: Formats, batch: Array, context: Array, chips: Array | None = None
) -> Pipeline:
    """Layers over chips by capacity, and the seconds that one token needs to pass.

    chips = ceil((weights + batch x cache) / (SRAM x usable share)) when not given;
    token_s = sum over layers (latency + active bytes / (bandwidth of the chips that hold the layer)) + hops.
    Worked: Llama-3.3-70B, 16 bit, WSE-3: 141 GB / (44 GB x .9) = 4 wafers; 80 x 27.8 us + 3 x 6 us = 2.24 ms.
    """
    table, scope = constants_for(chip)
    weights = stored_bytes(model, fmt)
    per_sequence = model.kv_bytes(context, fmt.kv.bytes)
    room = chip.memory_bytes * table["usable_share"]
    needed = np.maximum(1.0, np.ceil((weights + np.asarray(batch) * per_sequence) / room))
    if chips is None:
        chips = needed
    chips = np.asarray(chips, dtype=float)
    layer_s = table["layer_us"] * 1e-6 + table["layer_ns_per_hidden"] * 1e-9 * model.hidden
    active = model.params_active_no_embed * fmt.attention.bytes
    layers = float(model.layers)
    stages = np.minimum(layers, np.maximum(1.0, chips / table["chips_per_stage"]))
    bandwidth = (chip.bandwidth_bytes_s or 1.0) * chips / np.maximum(stages, 1.0)
    # bytes of one layer over the chips of its stage; layers of one chip share its SRAM in turn
    matrix = active / bandwidth / np.maximum(1.0, 1.0)
    hop = table["hop_us"] * 1e-6 * np.maximum(stages - 1.0, 0.0)
    free = chips * room - weights
    limit = np.floor(np.maximum(free, 0.0) / np.maximum(per_sequence, 1.0))
    token = layers * layer_s + hop + matrix
    return Pipeline(
        chips,
        weights,
        per_sequence,
        chips * chip.memory_bytes,
        limit,
        layer_s,
        hop,
        matrix,
        token,
        stages,
        scope,
    )


def prompt_s(chip: Chip, model: Model, fmt: Formats, pipe: Pipeline, isl: Array) -> Array:
    """Seconds until a prompt has passed: first token through the pipeline plus ISL tokens at the compute rate.

    Rate: share x dense peak of all chips over 2 active parameters per token.
    """
    table, _ = constants_for(chip)
    peak = roof(find_format(fmt.attention.name), chip.peak_ops_s)[1] * pipe.chips * table["prompt_peak_share"]
    return pipe.token_s + isl * 2.0 * model.params_active_no_embed / peak


def frontend_s(chip: Chip) -> float:
    """Host and network before the first token of a hosted service."""
    return float(constants_for(chip)[0]["frontend_ms"]) * 1e-3
