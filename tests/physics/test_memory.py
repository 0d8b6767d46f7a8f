"""What fits: weights and cache of one chip, bytes exact, decimal gigabytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import Engine, find_engine
from tokcalc.models.model import Model
from tokcalc.physics.memory import footprint, kv_bytes_per_chip, weight_bytes_per_chip
from tokcalc.physics.operators import Formats, component_formats
from tokcalc.physics.parallel import Plan
from tokcalc.physics.pipeline import stored_bytes

MODELS = list_ids("models")


def engine(**changes: float) -> Engine:
    base = replace(find_engine(load_constants(), None), memory_fraction=0.9, workspace_bytes=3e9)
    return replace(base, **changes)


def uncut(model: Model, fmt: Formats) -> float:
    """Bytes that stand on every tensor-parallel rank: norms and routers."""
    return float(sum(g.count * (g.norm_params + g.ffn.router_params) * 2.0 for g in model.groups))


@pytest.mark.parametrize("name", MODELS)
def test_one_chip_holds_all_parameters(name: str) -> None:
    model = load_model(name)
    held = weight_bytes_per_chip(model, Plan(), component_formats(model, "bf16"))
    assert held == pytest.approx(2.0 * model.params_total, rel=1e-3)  # the last norm aside


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("weights", ["bf16", "fp8", "mxfp4"])
def test_chips_together_hold_the_model_and_what_cannot_be_cut(name: str, weights: str) -> None:
    model = load_model(name)
    fmt = component_formats(model, weights)
    whole, again = stored_bytes(model, fmt), uncut(model, fmt)
    for tp in (1, 2, 8):
        assert tp * weight_bytes_per_chip(model, Plan(tp=tp), fmt) == pytest.approx(whole + (tp - 1) * again)
    # experts stand once in a replica, attention once in each of its data-parallel ranks
    experts = sum(g.count * g.ffn.routed_params for g in model.groups) * fmt.experts.bytes
    assert 4 * weight_bytes_per_chip(model, Plan(dp=4), fmt) == pytest.approx(4 * (whole - experts) + experts)


def test_stages_hold_their_layers() -> None:
    model = load_model("llama-3.3-70b")
    fmt = component_formats(model, "bf16")
    layers = sum(g.count * g.params for g in model.groups) * 2.0
    held = weight_bytes_per_chip(model, Plan(pp=4), fmt)
    # and each of the two end stages an embedding or a head
    assert held == pytest.approx(layers / 4 + (model.embedding_params + model.head_params) * 2.0 / 2)


def test_llama_70b_in_fp8_on_one_h200() -> None:
    # 141 GB x .96 - 70.6 - 3 = 62 GB for the cache of 8 bit, 164 kB a token
    model = load_model("llama-3.1-70b")
    fmt = component_formats(model, "fp8", "fp8")
    found = footprint(load_chip("h200-sxm"), model, Plan(), fmt, engine(memory_fraction=0.96), context=2048.0)
    assert found.capacity_bytes == 141e9
    assert found.kv_bytes_per_sequence == 163_840 * 2048
    assert found.batch == pytest.approx(184, abs=8)
    free = found.usable_bytes - found.weights_bytes - found.workspace_bytes
    assert found.batch == np.floor(free / found.kv_bytes_per_sequence)


def test_gigabytes_are_decimal() -> None:
    # 80 GiB would hold 6 GB more
    assert load_chip("h100-sxm").memory_bytes == 80e9
    assert load_chip("l40s").memory_bytes == 48e9


def test_a_cache_is_cut_by_its_heads_and_a_latent_is_on_every_rank() -> None:
    grouped, latent = load_model("llama-3.3-70b"), load_model("deepseek-v3")
    for tp, share in ((1, 1.0), (4, 1 / 4), (8, 1 / 8), (16, 1 / 8)):
        assert kv_bytes_per_chip(grouped, Plan(tp=tp), 1000.0, 2.0) == pytest.approx(320 * 1024 * 1000 * share)
        assert kv_bytes_per_chip(latent, Plan(tp=tp), 1000.0, 2.0) == pytest.approx(35_136 * 2 * 1000)
    assert kv_bytes_per_chip(grouped, Plan(tp=2, pp=4), 1000.0, 1.0) == pytest.approx(160 * 1024 * 1000 / 8)


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.integers(1, 1_000_000), st.integers(1, 1_000_000), st.sampled_from([1, 2, 8]))
def test_caches_grow_with_the_context_and_windows_only_save(name: str, context: int, more: int, tp: int) -> None:
    model = load_model(name)
    plan = Plan(tp=tp)
    now = kv_bytes_per_chip(model, plan, float(context), 1.0)
    assert kv_bytes_per_chip(model, plan, float(context + more), 1.0) >= now
    full = replace(model, groups=tuple(replace(g, attention=replace(g.attention, window=None)) for g in model.groups))
    assert now <= kv_bytes_per_chip(full, plan, float(context), 1.0) * (1 + 1e-12)
    assert tp * now >= model.kv_bytes(float(context), 1.0) * (1 - 1e-9)  # ranks together hold all of it
    if not any(g.attention.kind in ("csa", "hca") for g in model.groups):
        kept = kv_bytes_per_chip(model, plan, float(context), 1.0, whole_windows=True)
        assert kept == pytest.approx(kv_bytes_per_chip(full, plan, float(context), 1.0))


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(["llama-3.3-70b", "deepseek-v3", "gemma-3-27b", "qwen3-next-80b-a3b"]),
    chip=st.sampled_from(["h100-sxm", "h200-sxm", "mi300x", "rngd", "l40s"]),
    tp=st.sampled_from([1, 2, 4, 8]),
    context=st.integers(1, 131_072),
)
def test_what_fits_fits(name: str, chip: str, tp: int, context: int) -> None:
    model = load_model(name)
    fmt = component_formats(model, "fp8", "fp8")
    found = footprint(load_chip(chip), model, Plan(tp=tp), fmt, engine(), context=float(context))
    assert found.batch >= 0
    assert found.batch == int(found.batch)
    if found.batch >= 1:
        # at most a few per cent more than rated, when told to use all of it
        assert found.weights_bytes + found.batch * found.kv_bytes_per_sequence <= 1.03 * found.capacity_bytes
    longer = footprint(load_chip(chip), model, Plan(tp=tp), fmt, engine(), context=2.0 * context)
    assert longer.batch <= found.batch
    smaller = component_formats(model, "fp8", "bf16")
    assert (
        footprint(load_chip(chip), model, Plan(tp=tp), smaller, engine(), context=float(context)).batch <= found.batch
    )


def test_arrays_of_plans_are_the_plans() -> None:
    model = load_model("deepseek-v3")
    fmt = component_formats(model, "fp8", "fp8")
    tp, pp, dp = np.array([8, 4, 1, 2]), np.array([1, 2, 1, 1]), np.array([1, 1, 8, 4])
    together = footprint(load_chip("b200-sxm"), model, Plan(tp, pp, dp), fmt, engine(), context=4096.0)
    for i in range(4):
        alone = footprint(load_chip("b200-sxm"), model, Plan(tp[i], pp[i], dp[i]), fmt, engine(), context=4096.0)
        assert together.weights_bytes[i] == pytest.approx(float(alone.weights_bytes), rel=1e-12)
        assert together.batch[i] == float(alone.batch)


def test_small_chips_keep_a_smaller_workspace() -> None:
    # 3 GB of workspace are at most 6 % of a chip's memory
    model = load_model("llama-3.1-8b")
    fmt = component_formats(model, "fp8")
    for chip, workspace in (("h100-sxm", 3e9), ("rtx-4090", 0.06 * 24e9)):
        assert footprint(load_chip(chip), model, Plan(), fmt, engine(), context=2048.0).workspace_bytes == workspace


def test_a_model_that_barely_fits_leaves_a_pool_of_three_percent() -> None:
    # .9 x 80 GB hold no more than the weights of 71.6 GB and 3 GB of workspace; 1.03 x 80 - 71.6 - 1 GB would be more
    # than 2.4 GB, which are 7.15 caches of 2,048 tokens in 8 bit
    model = load_model("llama-3.1-70b")
    fmt = component_formats(model, "fp8", "fp8")
    found = footprint(load_chip("h100-sxm"), model, Plan(), fmt, engine(), context=2048.0)
    assert found.weights_bytes + found.workspace_bytes > found.usable_bytes
    assert found.batch == 7 == int(0.03 * 80e9 / (163_840 * 2048))
