"""What fits: weights and KV cache of one chip, and the largest batch that the pool holds. Bytes exact, GB = 1e9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..catalog.tables import spec_table
from .operators import Formats
from .parallel import Plan, kv_heads_per_rank, on_cores

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Attention, Model


@dataclass(frozen=True, repr=False)
class Footprint:
    """Bytes on the fullest chip of a replica; `batch` is the largest number of sequences of the replica."""

    capacity_bytes: Array
    usable_bytes: Array
    weights_bytes: Array
    workspace_bytes: Array
    kv_bytes_per_sequence: Array
    batch: Array


def weight_bytes_per_chip(model: Model, plan: Plan, fmt: Formats) -> Array:
    """Weights on one chip: attention and dense parts cut over tp, experts over tp dp, layers over pp.

    Embedding and output head are cut over tp and stand on an end stage each, so a stage holds at least its layers.

    >>> from tokcalc.catalog import load_model
    >>> from tokcalc.physics.operators import component_formats
    >>> model = load_model("llama-3.1-8b")  # two tables of 128,256 x 4,096, 2.1 GB in all
    >>> one, four = (weight_bytes_per_chip(model, Plan(pp=pp), component_formats(model, "bf16")) for pp in (1, 4))
    >>> f"{one / 1e9:.2f} GB, {four / 1e9:.2f} GB"  # 14 GB of layers; a quarter of them and a table
    '16.06 GB, 4.54 GB'
    """
    tp, dp = np.asarray(plan.tp, dtype=float), np.asarray(plan.dp, dtype=float)
    total: Array = 0.0
    for group in model.groups:
        ffn = group.ffn
        per_layer = group.attention.params * fmt.attention.bytes / tp + group.norm_params * 2.0
        per_layer = per_layer + ffn.dense_params * fmt.ffn.bytes / tp + ffn.router_params * 2.0
        per_layer = per_layer + ffn.experts * ffn.expert_params * fmt.experts.bytes / (tp * dp)
        total = total + group.count * per_layer
    ends = (model.embedding_params + model.head_params) * fmt.head.bytes / tp
    return total / plan.pp + ends / np.where(np.asarray(plan.pp) > 1, 2.0, 1.0)


def _cache_share(att: Attention, plan: Plan) -> Array:
    """Share of a layer's cache that one tensor-parallel rank holds; a latent or a shared vector is on every rank."""
    if att.kv_lora_rank or att.kind in ("csa", "hca"):
        return np.ones_like(np.asarray(plan.tp, dtype=float))
    return kv_heads_per_rank(att.kv_heads, plan.tp, plan.cores) / att.kv_heads


def kv_bytes_per_chip(model: Model, plan: Plan, context: Array, kv_bytes: float, whole_windows: bool = False) -> Array:
    """Cache of one sequence of `context` tokens on one chip of its data-parallel rank; constant states included.

    whole_windows: layers that look back over a window or a chunk keep the whole context all the same.
    """
    total: Array = 0.0
    for group in model.groups:
        att = group.attention
        kept = att.kv_elements(context)
        if whole_windows and att.kind in ("sliding", "chunked"):
            kept = att.kv_elements_per_token * context
        cached = kept * kv_bytes * _cache_share(att, plan)
        state = att.state_elements * att.state_bytes_per_element / np.asarray(plan.tp, dtype=float)
        total = total + group.count * (cached + state)
    return total / plan.pp


def footprint(chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, *, context: Array) -> Footprint:
    """Memory of one chip and the largest batch: (usable - weights - workspace) / cache per sequence, times dp.

    context: mean tokens held per running sequence. A batch below 1 means that the plan does not fit.

    >>> from types import SimpleNamespace
    >>> from tokcalc.catalog import load_chip, load_model
    >>> from tokcalc.physics.operators import component_formats
    >>> engine = SimpleNamespace(memory_fraction=0.96, workspace_bytes=3e9, whole_windows=False)
    >>> model, chip = load_model("llama-3.1-70b"), load_chip("h200-sxm")
    >>> held = footprint(chip, model, Plan(), component_formats(model, "fp8", "fp8"), engine, context=2048.0)
    >>> f"({held.usable_bytes / 1e9:.1f} - {held.weights_bytes / 1e9:.1f} - {held.workspace_bytes / 1e9:.0f}) GB"
    '(135.4 - 72.7 - 3) GB'
    >>> float(held.kv_bytes_per_sequence) / 2048, float(held.batch)  # 164 kB a token, 8 bit
    (163840.0, 177.0)
    """
    capacity = chip.memory_bytes
    usable = capacity * engine.memory_fraction
    spare = spec_table("engines", "physics")["memory"]
    workspace = min(engine.workspace_bytes, spare["workspace_share"] * capacity)
    weights = weight_bytes_per_chip(model, plan, fmt)
    cut = on_cores(plan, chip)
    per_sequence = kv_bytes_per_chip(model, cut, context, fmt.kv.bytes, engine.whole_windows)
    free = usable - weights - workspace
    # a model that barely fits is run with less to spare: nearly all memory, a pool of a few percent
    most = spare["tight_fraction"] * capacity - weights - spare["tight_workspace_gb"] * 1e9
    free = np.maximum(free, np.minimum(most, spare["tight_pool"] * capacity))
    batch = np.floor(np.maximum(free, 0.0) / np.maximum(per_sequence, 1.0)) * plan.dp
    return Footprint(capacity, usable, weights, workspace, per_sequence, batch)
