"""One forward pass as a list of operators: operations, bytes and messages of one rank, before any efficiency.

A `Pass` says how many tokens of how many sequences at which context, so that decode, prefill, chunks and verified
drafts are one code. Formulas: specs/README.md (parameters, KV, FLOPs); arrays of cases throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.routing import expert_launches, routing
from ..hardware.formats import Format, find_format
from .parallel import Plan, distinct_experts, kv_heads_per_rank
from .roofline import ring_volume

if TYPE_CHECKING:
    from ..models.model import Attention, LayerGroup, Model

ACTIVATION_BYTES = 2.0  # residual stream and messages are 16 bit in every engine modelled


@dataclass(frozen=True, eq=False, repr=False)
class Operator:
    """Work of one rank for `count` layers alike; figures are per layer. kind chooses the constants in `constants`.

    kind: gemm | moe | attention_decode | mla_decode | linear_decode | attention_prefill | elementwise |
    all_reduce | all_to_all
    format: number format whose roof and constants apply; kernels: launches; message_bytes, ranks: collectives only.
    """

    name: str
    kind: str
    count: Array
    flops: Array = 0.0
    bytes: Array = 0.0
    format: str = "bf16"
    kernels: Array = 1.0
    message_bytes: Array = 0.0
    ranks: Array = 1.0
    outputs: Array = 0.0  # of a matrix product: rows of its weights
    context: Array = 0.0  # of decode attention: cached tokens that one query sees


@dataclass(frozen=True, eq=False, repr=False)
class Pass:
    """One engine pass over a replica. All per replica (all attention data-parallel ranks together).

    tokens: new tokens; sequences: requests that they belong to; context: tokens already cached per request;
    decode: True for generation (absorbed MLA, cache-bound attention), False for a prompt chunk.
    head_rows: rows of the output head (a prompt needs it once per finished prompt).
    spread: independent choices of experts that a further token counts for; None: `[routing]`'s, of random tokens.
    """

    tokens: Array
    sequences: Array
    context: Array
    decode: bool
    head_rows: Array
    spread: Array | None = None


def decode_pass(sequences: Array, context: Array, verified: Array = 1.0, spread: Array | None = None) -> Pass:
    """Generation of `verified` tokens (1, or draft + 1) for each of `sequences` requests at that context."""
    return Pass(sequences * verified, sequences, context, True, sequences * verified, spread)


def prefill_pass(prompts: Array, new: Array, cached: Array = 0.0) -> Pass:
    """A chunk of `new` prompt tokens in each of `prompts` requests after `cached` tokens."""
    return Pass(prompts * new, prompts, cached, False, prompts)


@dataclass(frozen=True)
class Formats:
    """Which part of the model is stored in which format (a recipe, not one number format)."""

    attention: Format
    ffn: Format
    experts: Format
    head: Format
    kv: Format


def component_formats(model: Model, weights: str, kv: str = "bf16") -> Formats:
    """The recipe that a format's name stands for in released checkpoints.

    >>> from tokcalc.catalog import load_model
    >>> recipe = component_formats(load_model("deepseek-v3"), "nvfp4", "fp8")
    >>> [part.name for part in (recipe.attention, recipe.ffn, recipe.experts, recipe.head, recipe.kv)]
    ['bf16', 'bf16', 'nvfp4', 'bf16', 'fp8']

    Four-bit mixture models keep attention and shared experts at 16 bit (gpt-oss, Kimi K2, NVIDIA's nvfp4 exports);
    engines keep the output head at 16 bit for fp8 and 4-bit weights; llama.cpp and exl2 quantise the head too. Models
    that were released in fp8, and the fp8 releases of some makers beside 16 bit, carry a scale per block of weights.
    """
    fmt, cache, wide = find_format(weights), find_format(kv), find_format("bf16")
    if fmt.name == "fp8" and (model.native_format == "fp8" or model.fp8_scales == "block"):
        fmt = find_format("fp8_block")
    file_format = fmt.name.startswith(("q", "exl2"))
    if model.is_moe and fmt.name in ("nvfp4", "mxfp4", "int4"):
        return Formats(wide, wide, fmt, wide, cache)
    head = fmt if file_format or fmt.bits >= 16 else wide
    return Formats(fmt, fmt, fmt, head, cache)


def causal_pairs(cached: Array, new: Array, window: float | None = None) -> Array:
    """Query-key pairs of `new` causal tokens after `cached`: sum over i of min(cached + i, W), i = 1..new.

    Without a window: new (cached + (new + 1)/2).

    >>> causal_pairs(0.0, 4.0), float(causal_pairs(0.0, 4.0, window=2.0))  # 1 + 2 + 3 + 4, 1 + 2 + 2 + 2
    (10.0, 7.0)
    """
    if window is None:
        return new * (cached + (new + 1.0) / 2.0)

    def total(n: Array) -> Array:
        inside = np.minimum(n, window)
        return inside * (inside + 1.0) / 2.0 + (n - inside) * window

    return total(cached + new) - total(np.asarray(cached, dtype=float))


@dataclass(frozen=True, eq=False, repr=False)
class _Matrix:
    """Weights of a product: how many, of how many inputs, stored in which format."""

    inputs: Array
    params: Array
    format: Format


def _product(name: str, count: float, rows: Array, weights: _Matrix, *, kernels: float = 1.0) -> Operator:
    """Product of `rows` rows with a matrix: F = 2 m P, Q = weights + inputs + outputs; each kernel reads the inputs."""
    outputs = weights.params / weights.inputs
    moved = weights.params * weights.format.bytes + rows * (weights.inputs * kernels + outputs) * ACTIVATION_BYTES
    flops = 2.0 * rows * weights.params
    return Operator(name, "gemm", count, flops, moved, weights.format.name, kernels, outputs=outputs)


def _seen(att: Attention, p: Pass) -> Array:
    """Cached tokens that a layer keeps of each sequence: all, or those of its window."""
    return np.minimum(p.context, float(att.window)) if att.window else p.context


def _pairs(att: Attention, p: Pass, plan: Plan) -> Array:
    """Query-key pairs of one rank: what a window, the indexer's choice and compressed entries leave of the context."""
    sequences, tokens, new = p.sequences / plan.dp, p.tokens / plan.dp, p.tokens / p.sequences
    chosen = float(att.index_top_k) if att.index_top_k and att.kind != "csa" else None
    if p.decode:
        pairs = tokens * (_seen(att, p) if chosen is None else np.minimum(p.context, chosen))
    else:
        limit = float(att.window) if att.window else None
        pairs = sequences * causal_pairs(p.context, new, limit if chosen is None else chosen)
    if att.compress_ratio:  # entries stand beside the window; of csa the indexer picks some
        entries = (p.context if p.decode else p.context + new / 2.0) / att.compress_ratio
        pairs = pairs + tokens * (np.minimum(entries, att.index_top_k) if att.index_top_k else entries)
    return pairs


def _attention(att: Attention, p: Pass, plan: Plan, count: float, kv: Format) -> list[Operator]:
    """Score and value products over the cache, and the sparse indexer where the layer has one."""
    sequences, tokens = p.sequences / plan.dp, p.tokens / plan.dp
    tp = np.asarray(plan.tp, dtype=float)
    heads, value_dim = att.heads / tp, att.v_head_dim or att.head_dim
    kind = "attention_decode" if p.decode else "attention_prefill"
    if att.kind == "linear":
        state = att.state_elements / tp
        moved: Array = sequences * state * 2.0 * 4.0 + tokens * att.hidden * ACTIVATION_BYTES
        kind = "linear_decode" if p.decode else kind
        return [Operator("linear attention", kind, count, 7.0 * tokens * state, moved, "bf16", 1.0)]

    seen, pairs = _seen(att, p), _pairs(att, p, plan)
    flops: Array
    if att.kv_lora_rank:
        read_per_pair: Array = float(att.kv_lora_rank + att.rope_dim)  # the latent stands on every rank
        flops = 2.0 * pairs * heads * (att.nope_dim + att.rope_dim + att.v_head_dim)
        if p.decode:  # absorbed: queries meet the latent itself, twice
            kind = "mla_decode"
            flops = 2.0 * pairs * heads * (2.0 * att.kv_lora_rank + att.rope_dim)
    elif att.compress_ratio or att.kind in ("csa", "hca"):
        read_per_pair = float(att.head_dim)
        flops = 4.0 * pairs * heads * att.head_dim
    else:
        per_head = att.head_dim if att.shared_kv else 2.0 * att.head_dim
        read_per_pair = kv_heads_per_rank(att.kv_heads, plan.tp, plan.cores) * per_head
        flops = 2.0 * pairs * heads * (att.head_dim + value_dim)
    new = p.tokens / p.sequences
    # verified drafts of one sequence read its cache once; a prompt reads its own new tokens too
    read: Array = pairs / np.maximum(tokens, 1e-12) if p.decode else seen + new
    moved = sequences * read * read_per_pair * kv.bytes
    io = tokens * 2.0 * heads * (att.head_dim + value_dim) * ACTIVATION_BYTES
    out = [Operator("attention", kind, count, flops, moved + io, kv.name, 1.0, context=seen)]
    if att.index_heads:
        ratio = att.compress_ratio or 1.0
        scored = (tokens * p.context if p.decode else sequences * causal_pairs(p.context, new)) / ratio
        flops = 2.0 * scored * att.index_heads * att.index_head_dim
        keys = sequences * (p.context + new) / ratio * att.index_head_dim
        out.append(Operator("sparse index", kind, count, flops, keys, "bf16", 1.0))
    return out


def _attention_shards(att: Attention, tp: Array) -> tuple[Array, Array]:
    """(input-side, output-side) projection weights on one rank; what can't be cut is on every rank."""
    tp = np.asarray(tp, dtype=float)
    if att.kv_lora_rank:
        whole = att.hidden * (att.q_lora_rank + att.kv_lora_rank + att.rope_dim)
    elif att.kind in ("csa", "hca"):
        whole = min(att.qkv_params, att.hidden * (att.q_lora_rank + att.head_dim))
    elif att.kind == "linear":
        whole = 0
    else:
        kv = att.hidden * att.head_dim * att.kv_heads * (1 if att.shared_kv else 2)
        kv_rank = kv * kv_heads_per_rank(att.kv_heads, tp) / att.kv_heads
        return (att.qkv_params - kv) / tp + kv_rank, att.out_params / tp
    return whole + (att.qkv_params - whole) / tp, att.out_params / tp


def _ffn(group: LayerGroup, hidden: int, p: Pass, plan: Plan, fmt: Formats) -> list[Operator]:
    """Dense FFN, or router, shared part and routed experts of one layer."""
    ffn, rank_tokens = group.ffn, p.tokens / plan.dp
    out: list[Operator] = []
    if ffn.dense_params:
        name = "ffn" if ffn.kind == "dense" else "shared experts"
        dense = _Matrix(hidden, ffn.dense_params / plan.tp, fmt.ffn)
        out.append(_product(name, group.count, rank_tokens, dense, kernels=2.0))
    if ffn.kind == "moe":
        router = _Matrix(hidden, ffn.router_params, find_format("bf16"))
        out.append(_product("router", group.count, rank_tokens, router))
        # whole experts over ep ranks; the rest of the cut is inside an expert
        hits = p.tokens * ffn.top_k / plan.ep
        spread = routing()["spread"] if p.spread is None else p.spread
        independent = 1.0 + spread * np.maximum(p.tokens - 1.0, 0.0)
        distinct = distinct_experts(ffn.experts, ffn.top_k, independent) / plan.ep
        cut = plan.expert_tp
        weights = distinct * ffn.expert_params / cut * fmt.experts.bytes
        acts = hits * (2.0 * hidden + 3.0 * ffn.expert_width / cut) * ACTIVATION_BYTES
        flops = 2.0 * hits * ffn.expert_params / cut
        launches = expert_launches(ffn.experts)
        out.append(Operator("experts", "moe", group.count, flops, weights + acts, fmt.experts.name, launches))
    return out


def _all_reduce(part: str, count: float, message: Array, ranks: Array) -> Operator:
    volume = ring_volume(message, ranks)
    return Operator(f"all-reduce ({part})", "all_reduce", count, message_bytes=volume, ranks=ranks)


def _messages(group: LayerGroup, hidden: int, p: Pass, plan: Plan) -> list[Operator]:
    """Collectives of one layer: two all-reduces, or attention all-reduce plus expert dispatch and combine."""
    rank_tokens = p.tokens / plan.dp
    message = rank_tokens * hidden * ACTIVATION_BYTES
    tp, dp = np.asarray(plan.tp, dtype=float), np.asarray(plan.dp, dtype=float)
    out = [_all_reduce("attention", group.count, message, tp)]
    if group.attention.norm_over_heads:  # two sums of squares a token
        out.append(_all_reduce("norm", group.count, rank_tokens * 2.0 * 4.0, tp))
    # with attention data parallelism, experts exchange tokens among all chips that hold them
    exchange = (dp > 1) & (group.ffn.kind == "moe")
    out.append(_all_reduce("ffn", group.count, message, np.where(exchange, 1.0, tp)))
    if group.ffn.kind == "moe" and np.any(exchange):
        ranks = np.where(exchange, tp * dp, 1.0)
        copies = np.minimum(group.ffn.top_k, ranks - 1.0)  # a rank keeps its own
        volume = rank_tokens / tp * hidden * copies * (1.0 + ACTIVATION_BYTES)  # dispatch 8 bit, combine 16 bit
        sent = np.where(exchange, volume, 0.0)
        out.append(Operator("expert exchange", "all_to_all", group.count, message_bytes=sent, ranks=ranks))
    return out


def operators(model: Model, plan: Plan, p: Pass, fmt: Formats) -> list[Operator]:
    """Every operator of one pass on one rank of the replica, layer groups in order, output head last.

    Pipeline stages hold layers in sequence: the list covers all of them, each run with this pass's tokens.

    >>> from tokcalc.catalog import load_model
    >>> model = load_model("llama-3.1-8b")  # 4,096 wide, 32 query and 8 KV heads of 128, FFN 14,336
    >>> work = operators(model, Plan(), prefill_pass(1.0, 1000.0, 500.0), component_formats(model, "bf16"))
    >>> moved = {op.name: float(op.bytes) for op in work}
    >>> moved["attention"] == 1500 * 2 * 8 * 128 * 2 + 1000 * 4 * 32 * 128 * 2  # keys and values; queries and results
    True
    >>> moved["elementwise"] == 1000 * (8 * 4096 + 3 * 14336) * 2
    True
    """
    tp = np.asarray(plan.tp, dtype=float)
    rank_tokens = p.tokens / plan.dp
    out: list[Operator] = []
    for group in model.groups:
        att, n = group.attention, group.count
        into, back = _attention_shards(att, plan.tp)
        entry = _Matrix(model.hidden, into + att.index_params, fmt.attention)  # the indexer is on every rank
        kernels = 3.0 if att.q_lora_rank else 1.0
        out.append(_product("attention projections", n, rank_tokens, entry, kernels=kernels))
        out += _attention(att, p, plan, n, fmt.kv)
        width = float(att.heads * (att.v_head_dim or att.head_dim))  # of all ranks
        out.append(_product("attention output", n, rank_tokens, _Matrix(max(width, 1.0), back, fmt.attention)))
        out += _ffn(group, model.hidden, p, plan, fmt)
        out += _messages(group, model.hidden, p, plan)
        moved = rank_tokens * (8.0 * model.hidden + 3.0 * group.ffn.width / tp) * ACTIVATION_BYTES
        launches = 1.0 + 2.0 * att.qk_norm
        out.append(Operator("elementwise", "elementwise", n, bytes=moved, kernels=launches))
    head = _Matrix(model.hidden, model.head_read_params / tp, fmt.head)
    out.append(_product("output head", 1.0, p.head_rows / plan.dp, head))
    return out
