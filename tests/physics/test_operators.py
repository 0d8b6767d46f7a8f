"""Work of one pass: operations by the formulas of each kind of attention, bytes, shards that sum to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.catalog import list_ids, load_model
from tokcalc.engines.routing import expert_launches
from tokcalc.hardware.formats import find_format
from tokcalc.models.model import Attention, Model
from tokcalc.physics.operators import Operator, causal_pairs, component_formats, decode_pass, operators, prefill_pass
from tokcalc.physics.parallel import Plan

ATTENTION = ("attention", "sparse index", "linear attention")
MODELS = list_ids("models")


def work(ops: Sequence[Operator], *names: str) -> float:
    """Operations of the operators of these names, all layers."""
    return float(sum(np.asarray(op.count * op.flops) for op in ops if op.name in names))


def matrices(ops: Sequence[Operator]) -> float:
    """Operations of everything but attention over the cache."""
    return float(sum(np.asarray(op.count * op.flops) for op in ops if op.name not in ATTENTION))


def decoding(model: Model, context: float, plan: Plan | None = None, batch: float = 1.0) -> list[Operator]:
    return operators(model, plan or Plan(), decode_pass(batch, context), component_formats(model, "bf16"))


def prompt(model: Model, tokens: float, cached: float = 0.0, plan: Plan | None = None) -> list[Operator]:
    return operators(model, plan or Plan(), prefill_pass(1.0, tokens, cached), component_formats(model, "bf16"))


def only(model: Model, kind: str) -> tuple[Model, Attention, int]:
    """(the model with its layers of one attention kind alone, that attention, their number)."""
    groups = tuple(g for g in model.groups if g.attention.kind == kind)
    return replace(model, groups=groups), groups[0].attention, sum(g.count for g in groups)


# ------------------------------------------------------------------ the whole model
@pytest.mark.parametrize("name", MODELS)
def test_a_token_multiplies_every_active_weight_once(name: str) -> None:
    # 2 x active parameters without the input table; norms, biases and convolutions (below 0.3 %) are no products.
    # The matrices of a sparse indexer may be counted with the projections or not: 1-2.3 % of DeepSeek-V3.2, V4, GLM-5.
    model = load_model(name)
    active = 2.0 * model.params_active_no_embed
    indexer = 2.0 * sum(g.count * g.attention.index_params for g in model.groups)
    done = matrices(decoding(model, 0.0))
    assert 0.997 * active - indexer <= done <= 1.003 * active
    assert indexer <= 0.025 * active


@pytest.mark.parametrize("name", MODELS)
def test_ranks_together_do_the_work_of_one(name: str) -> None:
    # what cannot be cut stands on every rank: router, indexer, low-rank down projections, KV heads beyond their number
    model = load_model(name)
    whole = matrices(decoding(model, 0.0))
    for tp in (2, 4, 8, 16):
        together = tp * matrices(decoding(model, 0.0, Plan(tp=tp)))
        repeated = 0.0
        for group in model.groups:
            att = group.attention
            once = group.ffn.router_params + att.index_params
            if att.kind in ("csa", "hca") or att.kv_lora_rank:
                once += att.hidden * (att.q_lora_rank + att.kv_lora_rank + att.rope_dim + att.head_dim)
            elif att.kind != "linear" and tp > att.kv_heads:
                once += att.hidden * att.head_dim * 2 * att.kv_heads
            repeated += 2.0 * group.count * once * (tp - 1)
        assert whole * (1 - 1e-9) <= together <= (whole + repeated) * (1 + 1e-9), tp


@pytest.mark.parametrize("name", ["llama-3.3-70b", "qwen2.5-72b", "opt-1.3b"])
def test_a_dense_model_is_cut_without_rest(name: str) -> None:
    model = load_model(name)
    for tp in (2, 4, 8):
        assert tp * matrices(decoding(model, 0.0, Plan(tp=tp))) == pytest.approx(matrices(decoding(model, 0.0)))


def test_attention_work_is_cut_by_heads() -> None:
    for name in ("llama-3.3-70b", "deepseek-v3", "gpt-oss-120b"):
        model = load_model(name)
        whole = work(decoding(model, 5000.0), *ATTENTION)
        assert 8 * work(decoding(model, 5000.0, Plan(tp=8)), *ATTENTION) == pytest.approx(whole)


def test_a_swiglu_layer_has_three_matrices() -> None:
    # a calculator that counts two is a third short on the largest part of the model
    model = load_model("llama-3.3-70b")
    ffn = work(decoding(model, 0.0), "ffn")
    assert ffn == 2 * 3 * 8192 * 28672 * 80
    assert load_model("opt-1.3b").groups[0].ffn.matrices == 2


def test_the_output_head_is_counted_and_a_prompt_pays_it_once() -> None:
    model = load_model("llama-3.1-8b")
    assert work(decoding(model, 0.0, batch=3.0), "output head") == 3 * 2 * 128256 * 4096
    assert work(prompt(model, 1000.0), "output head") == 2 * 128256 * 4096
    tied = load_model("gemma-3-27b")
    assert tied.tied
    assert work(decoding(tied, 0.0), "output head") == 2 * tied.vocab * tied.hidden


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-235b-a22b", "deepseek-v3"])
def test_a_prompt_costs_its_tokens_but_one_head(name: str) -> None:
    # 2 x active x S - 2 V d (S - 1)
    model = load_model(name)
    once, tokens = matrices(decoding(model, 0.0)), 512.0
    head = work(decoding(model, 0.0), "output head")
    assert matrices(prompt(model, tokens)) == pytest.approx(tokens * once - head * (tokens - 1))


def test_drafted_tokens_are_multiplied_like_others() -> None:
    model = load_model("llama-3.1-8b")
    fmt = component_formats(model, "bf16")
    drafted = operators(model, Plan(), decode_pass(2.0, 1000.0, 4.0), fmt)
    plain = operators(model, Plan(), decode_pass(8.0, 1000.0), fmt)
    assert matrices(drafted) == pytest.approx(matrices(plain))
    # but the cache of a sequence is read once for all of them
    read = {id(ops): sum(op.bytes for op in ops if op.name == "attention") for ops in (drafted, plain)}
    assert read[id(drafted)] < 0.3 * read[id(plain)]


# ------------------------------------------------------------------ attention, kind by kind
@pytest.mark.parametrize("context", [1.0, 777.0, 100_000.0])
def test_grouped_attention(context: float) -> None:
    model = load_model("llama-3.3-70b")  # 80 layers, 64 heads of 128
    assert work(decoding(model, context), "attention") == pytest.approx(80 * 4 * 64 * 128 * context)
    assert work(prompt(model, context), "attention") == pytest.approx(
        80 * 2 * 64 * 128 * context * (context + 1), rel=1e-9
    )


def test_a_chunk_after_cached_tokens() -> None:
    # 4 H a (c S + S (S + 1)/2), so that the chunks of a prompt sum to the prompt
    model = load_model("llama-3.1-8b")
    chunk = work(prompt(model, 512.0, 1024.0), "attention")
    assert chunk == pytest.approx(32 * 4 * 32 * 128 * (1024 * 512 + 512 * 513 / 2))
    parts = [work(prompt(model, 512.0, start), "attention") for start in (0.0, 512.0, 1024.0)]
    assert sum(parts) == pytest.approx(work(prompt(model, 1536.0), "attention"))


def test_latent_attention_is_absorbed_in_decode_and_expanded_in_prefill() -> None:
    model = load_model("deepseek-v3")  # 61 layers, 128 heads, rank 512 + 64 rope, 128 nope and value
    assert work(decoding(model, 3000.0), "attention") == pytest.approx(61 * 2 * 128 * (2 * 512 + 64) * 3000)
    assert work(prompt(model, 3000.0), "attention") == pytest.approx(61 * 128 * (128 + 64 + 128) * 3000 * 3001)


def test_absorbed_latent_attention_does_242_operations_per_byte() -> None:
    # about 2 H (2 rank + rope) / (2 (rank + rope)) in 16 bit
    ops = decoding(load_model("deepseek-v3"), 100_000.0)
    op = next(op for op in ops if op.name == "attention")
    assert op.flops / op.bytes == pytest.approx(242, rel=0.01)


def test_a_sparse_indexer_bounds_what_a_token_sees() -> None:
    model = load_model("deepseek-v3.2")
    att = model.groups[0].attention
    top, layers = float(att.index_top_k), model.layers
    dense = decoding(load_model("deepseek-v3"), 100.0)
    assert work(decoding(model, 100.0), "attention") == pytest.approx(work(dense, "attention"))
    for context in (top, 10 * top):
        ops = decoding(model, context)
        assert work(ops, "attention") == pytest.approx(layers * 2 * 128 * (2 * 512 + 64) * top)
        index = 2.0 * att.index_heads * att.index_head_dim * context
        assert work(ops, "sparse index") == pytest.approx(layers * index)


def test_a_window_bounds_what_a_token_sees() -> None:
    model, att, layers = only(load_model("gpt-oss-120b"), "sliding")
    assert att.window == 128
    for context in (50.0, 128.0, 50_000.0):
        seen = min(context, 128.0)
        assert work(decoding(model, context), "attention") == pytest.approx(
            layers * 4 * att.heads * att.head_dim * seen
        )


def test_a_recurrent_layer_costs_the_same_at_any_context() -> None:
    model, att, layers = only(load_model("qwen3-next-80b-a3b"), "linear")
    short, long = (work(decoding(model, t), "linear attention") for t in (10.0, 1e6))
    assert short == long
    # about 7 operations per element of the state, its convolution tail included
    assert short == pytest.approx(7 * layers * att.state_elements)
    assert work(prompt(model, 100.0), "linear attention") == pytest.approx(100 * short)


def test_compressed_attention_reads_its_window_and_entries() -> None:
    model = load_model("deepseek-v4-pro")
    for kind in ("csa", "hca"):
        part, att, layers = only(model, kind)
        context = 65_536.0
        entries = context / att.compress_ratio
        if att.index_top_k:
            entries = min(entries, att.index_top_k)
        seen = min(context, att.window or context) + entries
        assert work(decoding(part, context), "attention") == pytest.approx(layers * 4 * att.heads * att.head_dim * seen)


def test_a_prompt_of_compressed_attention_is_the_sum_of_its_positions() -> None:
    for kind in ("csa", "hca"):
        part, _, _ = only(load_model("deepseek-v4-pro"), kind)
        one_by_one = sum(work(decoding(part, float(t)), "attention") for t in range(1, 4097))
        assert work(prompt(part, 4096.0), "attention") == pytest.approx(one_by_one, rel=0.03)


# ------------------------------------------------------------------ causal pairs
@pytest.mark.parametrize(
    ("cached", "new", "window", "pairs"),
    [(0, 4, None, 10), (0, 4, 2, 7), (3, 2, None, 9), (10, 3, 4, 12), (0, 1, 1, 1), (2, 2, 3, 6)],
)
def test_pairs_of_queries_and_keys(cached: float, new: float, window: float | None, pairs: float) -> None:
    assert causal_pairs(cached, new, window) == pairs


@given(st.integers(0, 200), st.integers(1, 200), st.one_of(st.none(), st.integers(1, 300)))
def test_pairs_are_those_of_counting(cached: int, new: int, window: int | None) -> None:
    counted = sum(min(cached + i, window or cached + i) for i in range(1, new + 1))
    assert causal_pairs(float(cached), float(new), window) == pytest.approx(counted)


# ------------------------------------------------------------------ bytes
def cache_read(model: Model, context: float, tp: int) -> float:
    """Bytes of cache that one rank reads per token, all layers: growth of the attention's bytes with the context."""
    near, far = (
        sum(op.count * op.bytes for op in decoding(model, t, Plan(tp=tp)) if op.name == "attention")
        for t in (1.0, 1.0 + context)
    )
    return float(far - near)


def test_kv_heads_are_shared_out_and_a_latent_is_not() -> None:
    grouped, latent = load_model("llama-3.3-70b"), load_model("deepseek-v3")
    assert cache_read(grouped, 1000.0, 1) == pytest.approx(2 * 8 * 128 * 80 * 2 * 1000)
    assert cache_read(grouped, 1000.0, 8) == pytest.approx(cache_read(grouped, 1000.0, 1) / 8)
    # 8 KV heads on 16 ranks: each head twice
    assert cache_read(grouped, 1000.0, 16) == pytest.approx(cache_read(grouped, 1000.0, 8))
    assert cache_read(latent, 1000.0, 1) == pytest.approx((512 + 64) * 61 * 2 * 1000)
    assert cache_read(latent, 1000.0, 8) == pytest.approx(cache_read(latent, 1000.0, 1))


@pytest.mark.parametrize("name", ["llama-3.3-70b", "qwen2.5-0.5b", "deepseek-v3", "gemma-3-27b"])
def test_a_step_of_one_token_reads_every_weight_of_a_dense_layer(name: str) -> None:
    model = load_model(name)
    weights = sum(
        g.count * (g.attention.qkv_params + g.attention.out_params + g.ffn.dense_params) for g in model.groups
    )
    ops = [op for op in decoding(model, 0.0) if op.kind == "gemm" and op.name != "output head"]
    found = sum(op.count * op.bytes for op in ops)
    assert found == pytest.approx(weights * 2.0, rel=0.01)  # activations of one row beside them
    assert found >= weights * 2.0


@pytest.mark.parametrize("name", ["gpt-oss-120b", "deepseek-v3", "mixtral-8x7b"])
def test_one_token_reads_top_k_experts(name: str) -> None:
    model = load_model(name)
    routed = sum(g.count * g.ffn.top_k * g.ffn.expert_params for g in model.groups)
    read = sum(op.count * op.bytes for op in decoding(model, 0.0) if op.name == "experts")
    assert read >= routed * 2.0
    assert read == pytest.approx(routed * 2.0, rel=0.02)


def test_a_large_step_reads_all_experts_once() -> None:
    model = load_model("gpt-oss-120b")
    ffn = model.groups[0].ffn
    near, far = (next(op for op in decoding(model, 0.0, batch=b) if op.name == "experts") for b in (4096.0, 8192.0))
    activations = far.bytes - near.bytes  # the same for every further 4,096 tokens
    assert near.bytes - activations == pytest.approx(ffn.routed_params * 2.0, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["llama-3.1-8b", "deepseek-v3", "gemma-3-27b", "qwen3-next-80b-a3b", "gpt-oss-20b"]),
    batch=st.lists(st.integers(1, 4096), min_size=1, max_size=4),
    context=st.lists(st.integers(1, 200_000), min_size=1, max_size=4),
    tp=st.sampled_from([1, 2, 8]),
    decode=st.booleans(),
)
def test_arrays_of_cases_are_the_cases(name: str, batch: list[int], context: list[int], tp: int, decode: bool) -> None:
    model = load_model(name)
    fmt = component_formats(model, "fp8", "fp8")
    b, t = np.meshgrid(np.array(batch, dtype=float), np.array(context, dtype=float))
    make = decode_pass if decode else prefill_pass
    together = operators(model, Plan(tp=np.full(b.shape, tp)), make(b, t), fmt)
    for at in np.ndindex(b.shape):
        alone = operators(model, Plan(tp=tp), make(b[at], t[at]), fmt)
        for many, one in zip(together, alone, strict=True):
            for field in ("flops", "bytes", "message_bytes"):
                value = np.broadcast_to(getattr(many, field), b.shape)[at]
                assert value == pytest.approx(float(getattr(one, field)), rel=1e-12)


# ------------------------------------------------------------------ recipes and messages
def test_four_bit_mixtures_keep_attention_at_16_bit() -> None:
    fmt = component_formats(load_model("gpt-oss-120b"), "mxfp4")
    assert (fmt.experts.name, fmt.attention.name, fmt.head.name) == ("mxfp4", "bf16", "bf16")
    dense = component_formats(load_model("llama-3.3-70b"), "nvfp4")
    assert (dense.attention.name, dense.ffn.name, dense.head.name) == ("nvfp4", "nvfp4", "bf16")
    assert component_formats(load_model("llama-3.3-70b"), "q4_k_m").head == find_format("q4_k_m")


def test_messages_of_a_dense_layer_are_two_all_reduces() -> None:
    model = load_model("llama-3.3-70b")
    sent = [op for op in decoding(model, 0.0, Plan(tp=8), batch=32.0) if op.kind == "all_reduce"]
    assert sum(op.count for op in sent) == 2 * 80
    for op in sent:
        assert op.message_bytes == pytest.approx(2 * 7 / 8 * 32 * 8192 * 2)


@pytest.mark.parametrize(
    ("name", "reduces"), [("minimax-m2", 3), ("olmo-2-32b", 3), ("command-r-plus-104b", 2), ("qwen3-32b", 2)]
)
def test_a_norm_over_all_heads_is_one_more_all_reduce(name: str, reduces: int) -> None:
    # two float32 sums of squares a token; norms within a head stay on the rank that holds it
    model = load_model(name)
    sent = [op for op in decoding(model, 100.0, Plan(tp=4), batch=8.0) if op.kind == "all_reduce"]
    assert len(sent) == reduces * len(model.groups)
    if reduces == 3:
        [norm] = [op for op in sent if op.name == "all-reduce (norm)"]
        assert norm.message_bytes == pytest.approx(2 * 3 / 4 * 8 * 2 * 4)
        assert norm.count == model.layers


def test_one_chip_sends_nothing() -> None:
    for name in ("llama-3.3-70b", "deepseek-v3"):
        ops = decoding(load_model(name), 0.0, Plan(), batch=32.0)
        assert all(float(np.max(op.message_bytes)) == 0.0 for op in ops)


def test_attention_data_parallel_replaces_the_second_all_reduce_by_an_exchange() -> None:
    model = load_model("deepseek-v3")
    ops = decoding(model, 0.0, Plan(dp=8, ep=8), batch=256.0)
    sent = {op.name for op in ops if float(np.max(op.message_bytes)) > 0}
    assert sent == {"expert exchange"}
    assert sum(op.count for op in ops if op.name == "expert exchange") == 58  # the first 3 layers are dense


def named(ops: Sequence[Operator], name: str) -> Operator:
    """The last operator of that name: of a mixture's routed layers where it has dense ones before them."""
    return [op for op in ops if op.name == name][-1]


def test_a_prompt_reads_the_cache_before_it_and_its_own_tokens() -> None:
    # a layer of Llama-3.1-8B: 8 heads of 128 keys and values in 16 bit, of 1,024 tokens cached and 512 new; queries and
    # results of 32 heads for the new ones
    attention = named(prompt(load_model("llama-3.1-8b"), 512.0, 1024.0), "attention")
    assert attention.bytes == (1024 + 512) * 8 * 256 * 2 + 512 * 2 * 32 * 256 * 2


def test_low_rank_queries_take_three_launches() -> None:
    # down to the ranks of queries and of the cache, up to queries, up to keys
    assert named(decoding(load_model("deepseek-v3"), 0.0), "attention projections").kernels == 3
    assert named(decoding(load_model("llama-3.1-8b"), 0.0), "attention projections").kernels == 1


@pytest.mark.parametrize("tp", [1, 8])
def test_the_matrices_of_an_indexer_stand_on_every_rank(tp: int) -> None:
    with_, without = (
        named(decoding(load_model(name), 0.0, Plan(tp=tp)), "attention projections")
        for name in ("deepseek-v3.2", "deepseek-v3")
    )
    index = load_model("deepseek-v3.2").groups[0].attention.index_params
    assert with_.flops - without.flops == pytest.approx(2 * index)
    assert with_.bytes - without.bytes == pytest.approx(2 * index, rel=1e-3)  # 16 bit, and what comes out of them


@pytest.mark.parametrize(("ranks", "copies"), [(4, 3), (8, 7), (16, 8)])
def test_a_token_is_sent_to_its_experts_on_other_ranks(ranks: int, copies: int) -> None:
    # at most its 8 experts and one copy a rank; 32 tokens of 7,168 a rank, in 8 bit there and 16 bit back
    ops = decoding(load_model("deepseek-v3"), 0.0, Plan(dp=ranks, ep=ranks), batch=32.0 * ranks)
    assert named(ops, "expert exchange").message_bytes == 32 * 7168 * copies * (1 + 2)


def test_elementwise_kernels_pass_the_residual_stream_and_the_gate() -> None:
    # 8 times 4,096 hidden values and 3 times a half of 14,336 a token, in 16 bit
    ops = decoding(load_model("llama-3.1-8b"), 0.0, Plan(tp=2), batch=4.0)
    assert named(ops, "elementwise").bytes == 4 * (8 * 4096 + 3 * 14336 / 2) * 2


def test_fused_experts_launch_by_their_number() -> None:
    for name, experts in (("deepseek-v3", 256), ("qwen3-235b-a22b", 128)):
        assert named(decoding(load_model(name), 0.0), "experts").kernels == expert_launches(experts)
    assert expert_launches(128) < expert_launches(256)
