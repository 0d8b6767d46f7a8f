"""One forward pass as a list of operators: operations, bytes and messages of one rank, before any efficiency.

A pass is described by `Pass` (tokens, sequences, attention pairs), so that decode, prefill, chunks and verified
drafts are one code. Stands after `model` and `parallel`, before `roofline` and `step`. Formulas: specs/models/README
section of specs/README.md (parameters, KV, FLOPs); arrays of cases throughout.
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
    from ..models.model import Attention, FeedForward, LayerGroup, Model


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

    Without a window: new (cached + (new + 1)/2). Worked: cached 0, new 4: 10; window 2: 1 + 2 + 2 + 2 = 7.
    """
    if window is None:
        return new * (cached + (new + 1.0) / 2.0)

    def total(n: Array) -> Array:
        inside = np.minimum(n, window)
        return inside * (inside + 1.0) / 2.0 + (n - inside) * window

    return total(cached + new) - total(np.asarray(cached, dtype=float))


def _gemm(name: str, count: float, rows: Array, k: float, params: Array, fmt: Format, kernels: float = 1.0) -> Operator:
    """Matrix product of `rows` rows with `params` weights of k inputs: F = 2 m P, Q = weights + inputs + outputs."""
    moved = params * fmt.bytes + rows * (k * kernels + params / k) * ACTIVATION_BYTES
    return Operator(name, "gemm", count, 2.0 * rows * params, moved, fmt.name, kernels, outputs=params / k)


def _attention(att: Attention, p: Pass, plan: Plan, count: float, kv: Format) -> list[Operator]:
    """Score and value products over the cache, and the sparse indexer where the layer has one."""
    sequences, tokens = p.sequences / plan.dp, p.tokens / plan.dp
    new = p.tokens / p.sequences
    heads = att.heads / np.asarray(plan.tp, dtype=float)
    window = float(att.window) if att.window else None
    kind = "attention_decode" if p.decode else "attention_prefill"
    out: list[Operator] = []

    if att.kind == "linear":
        state = att.state_elements / np.asarray(plan.tp, dtype=float)
        flops: Array = 7.0 * tokens * state
        moved = sequences * state * 2.0 * 4.0 + tokens * att.hidden * ACTIVATION_BYTES
        kind = "linear_decode" if p.decode else "attention_prefill"
        return [Operator("linear attention", kind, count, flops, moved, "bf16", 1.0)]

    # what one query sees: everything, a window, or the indexer's choice
    seen = p.context if window is None else np.minimum(p.context, window)
    if p.decode:
        pairs: Array = tokens * seen
        if att.index_top_k and att.kind != "csa":
            pairs = tokens * np.minimum(p.context, att.index_top_k)
    else:
        pairs = sequences * causal_pairs(p.context, new, window)
        if att.index_top_k and att.kind != "csa":
            pairs = sequences * causal_pairs(p.context, new, float(att.index_top_k))
    entries: Array = 0.0
    if att.compress_ratio:
        compressed = (p.context if p.decode else p.context + new / 2.0) / att.compress_ratio
        entries = np.minimum(compressed, att.index_top_k) if att.index_top_k else compressed
        pairs = pairs + tokens * entries

    if att.kv_lora_rank:
        read_per_pair: Array = float(att.kv_lora_rank + att.rope_dim)  # the latent stands on every rank
        if p.decode:
            kind = "mla_decode"
            flops = 2.0 * pairs * heads * (2.0 * att.kv_lora_rank + att.rope_dim)
        else:
            flops = 2.0 * pairs * heads * (att.nope_dim + att.rope_dim + att.v_head_dim)
    elif att.compress_ratio or att.kind in ("csa", "hca"):
        read_per_pair = float(att.head_dim)
        flops = 4.0 * pairs * heads * att.head_dim
    else:
        per_head = att.head_dim if att.shared_kv else 2.0 * att.head_dim
        read_per_pair = kv_heads_per_rank(att.kv_heads, plan.tp, plan.cores) * per_head
        flops = 2.0 * pairs * heads * (att.head_dim + (att.v_head_dim or att.head_dim))
    if p.decode:
        read: Array = sequences * (pairs / np.maximum(tokens, 1e-12)) * read_per_pair
    else:
        read = sequences * (seen + new) * read_per_pair
    io = tokens * 2.0 * heads * (att.head_dim + (att.v_head_dim or att.head_dim)) * ACTIVATION_BYTES
    out.append(Operator("attention", kind, count, flops, read * kv.bytes + io, kv.name, 1.0, context=seen))

    if att.index_heads:
        ratio = att.compress_ratio or 1.0
        pairs = (tokens * p.context if p.decode else sequences * causal_pairs(p.context, new)) / ratio
        flops = 2.0 * pairs * att.index_heads * att.index_head_dim
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


def _ffn(ffn: FeedForward, hidden: int, p: Pass, plan: Plan, count: float, fmt: Formats) -> list[Operator]:
    """Dense FFN, or router, shared part and routed experts of one layer."""
    rank_tokens = p.tokens / plan.dp
    out: list[Operator] = []
    if ffn.dense_params:
        out.append(
            _gemm("ffn" if ffn.kind == "dense" else "shared experts", count, rank_tokens, hidden,
                  ffn.dense_params / plan.tp, fmt.ffn, 2.0)
        )  # fmt: skip
    if ffn.kind == "moe":
        out.append(_gemm("router", count, rank_tokens, hidden, ffn.router_params, find_format("bf16")))
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
        out.append(Operator("experts", "moe", count, flops, weights + acts, fmt.experts.name, launches))
    return out


def _messages(group: LayerGroup, hidden: int, p: Pass, plan: Plan) -> list[Operator]:
    """Collectives of one layer: two all-reduces, or attention all-reduce plus expert dispatch and combine."""
    rank_tokens = p.tokens / plan.dp
    message = rank_tokens * hidden * ACTIVATION_BYTES
    tp, dp = np.asarray(plan.tp, dtype=float), np.asarray(plan.dp, dtype=float)
    out = [
        Operator("all-reduce (attention)", "all_reduce", group.count, message_bytes=ring_volume(message, tp), ranks=tp)
    ]
    if group.attention.norm_over_heads:  # two sums of squares a token
        out.append(
            Operator("all-reduce (norm)", "all_reduce", group.count,
                     message_bytes=ring_volume(rank_tokens * 2.0 * 4.0, tp), ranks=tp)
        )  # fmt: skip
    # with attention data parallelism, experts exchange tokens among all chips that hold them
    exchange = (dp > 1) & (group.ffn.kind == "moe")
    reduce_ranks = np.where(exchange, 1.0, tp)
    out.append(
        Operator("all-reduce (ffn)", "all_reduce", group.count,
                 message_bytes=ring_volume(message, reduce_ranks), ranks=reduce_ranks)
    )  # fmt: skip
    if group.ffn.kind == "moe" and np.any(exchange):
        ranks = np.where(exchange, tp * dp, 1.0)
        copies = np.minimum(group.ffn.top_k, ranks - 1.0)
        volume = rank_tokens / tp * hidden * copies * (1.0 + ACTIVATION_BYTES)  # dispatch 8 bit, combine 16 bit
        out.append(
            Operator("expert exchange", "all_to_all", group.count,
                     message_bytes=np.where(exchange, volume, 0.0), ranks=ranks)
        )  # fmt: skip
    return out


def operators(model: Model, plan: Plan, p: Pass, fmt: Formats) -> list[Operator]:
    """Every operator of one pass on one rank of the replica, layer groups in order, output head last.

    Pipeline stages hold layers in sequence: the list covers all of them, each run with this pass's tokens.
    """
    tp = np.asarray(plan.tp, dtype=float)
    rank_tokens = p.tokens / plan.dp
    out: list[Operator] = []
    for group in model.groups:
        att, n = group.attention, group.count
        into, back = _attention_shards(att, plan.tp)
        kernels = 3.0 if att.q_lora_rank else 1.0
        into = into + att.index_params  # the indexer's matrices are on every rank
        out.append(_gemm("attention projections", n, rank_tokens, model.hidden, into, fmt.attention, kernels))
        out += _attention(att, p, plan, n, fmt.kv)
        out.append(_gemm("attention output", n, rank_tokens, max(back_rows(att), 1.0), back, fmt.attention))
        out += _ffn(group.ffn, model.hidden, p, plan, n, fmt)
        out += _messages(group, model.hidden, p, plan)
        width = 8.0 * model.hidden + 3.0 * group.ffn.width / tp
        out.append(
            Operator(
                "elementwise",
                "elementwise",
                n,
                bytes=rank_tokens * width * ACTIVATION_BYTES,
                kernels=1.0 + 2.0 * att.qk_norm,
            )
        )
    head = model.head_read_params
    out.append(_gemm("output head", 1.0, p.head_rows / plan.dp, model.hidden, head / tp, fmt.head))
    return out


def back_rows(att: Attention) -> float:
    """Inputs of the output projection: heads x value width (of all ranks)."""
    return float(att.heads * (att.v_head_dim or att.head_dim))
