"""Facts and invariants of models as shapes: worked cache sizes, attention kinds, what the schema refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.catalog import load_model
from tokcalc.catalog.schema_model import check_model
from tokcalc.errors import SpecError
from tokcalc.models.build import build_model
from tokcalc.models.model import Model

KIB, GIB = 2**10, 2**30
DENSE: dict[str, Any] = {
    "id": "small",
    "shape": {"layers": 4, "hidden": 64, "vocab": 100, "tied_embeddings": False, "max_context": 4096},
    "attention": {"heads": 4, "kv_heads": 2, "head_dim": 16},
    "ffn": {"width": 128},
    "weights": {"native_format": "bf16"},
}


def build(**tables: Any) -> Model:
    raw = copy.deepcopy(DENSE)
    for name, table in tables.items():
        raw[name] = {**raw.get(name, {}), **table}
    return build_model(check_model(raw, "small.toml"), "small.toml")


# -------------------------------------------------------------- worked examples
def test_llama_70b_caches_320_kib_per_token() -> None:
    assert load_model("llama-3.3-70b").kv_bytes(1, 2) == 320 * KIB


def test_deepseek_v3_caches_one_latent_of_576_elements_per_layer() -> None:
    model = load_model("deepseek-v3")
    assert model.kv_bytes(1, 1) == 35_136
    assert model.kv_bytes(1000, 2) == 1000 * 35_136 * 2


def test_deepseek_v3_2_adds_an_index_key_of_128_elements() -> None:
    assert load_model("deepseek-v3.2").kv_bytes(1, 1) == 35_136 + 61 * 128


def test_deepseek_v4_pro_caches_9_62_gib_at_a_million_tokens() -> None:
    assert load_model("deepseek-v4-pro").kv_bytes(2**20, 2) / GIB == pytest.approx(9.62, abs=0.005)


def test_sliding_layers_stop_growing_at_the_window() -> None:
    model = load_model("gpt-oss-120b")  # 18 layers of window 128, 18 full, 8 heads of 64
    per_layer = 2 * 8 * 64
    assert model.kv_bytes(128, 1) == 36 * per_layer * 128
    assert model.kv_bytes(10_000, 1) == 18 * per_layer * (10_000 + 128)
    assert model.kv_bytes_per_token(1, context=127) == 36 * per_layer
    assert model.kv_bytes_per_token(1, context=128) == 18 * per_layer


def test_chunked_layers_never_hold_more_than_a_chunk() -> None:
    model = load_model("llama-4-scout")
    assert model.kv_bytes(8192, 1) == 48 * 2048 * 8192
    assert model.kv_bytes(100_000, 1) == 2048 * (12 * 100_000 + 36 * 8192)


def test_linear_layers_keep_a_constant_fp32_state_whatever_the_cache_format() -> None:
    model = load_model("qwen3-next-80b-a3b")
    assert model.state_bytes == 4 * 19_759_104
    assert model.kv_bytes(0, 1) == model.kv_bytes(0, 2) == model.state_bytes
    assert model.kv_bytes(1000, 2) == model.state_bytes + 1000 * 12_288 * 2


def test_layer_kinds_of_a_hybrid_carry_their_own_heads() -> None:
    model = load_model("gemma-4-31b")
    local, full = (g.attention for g in model.groups)
    assert [g.count for g in model.groups] == [50, 10]
    assert (local.kind, local.head_dim, local.kv_heads, local.window) == ("sliding", 256, 16, 1024)
    assert (full.kind, full.head_dim, full.kv_heads, full.window) == ("full", 512, 4, None)
    assert full.shared_kv  # one projection, still two cached vectors
    assert full.qkv_params == 5376 * (32 + 4) * 512
    assert full.kv_elements_per_token == 2 * 4 * 512


def test_deepseek_v3_published_counts() -> None:
    """README_WEIGHTS: 671B main model, 11.5B unique in the prediction layer, 36.7B multiplied per token."""
    model = load_model("deepseek-v3")
    assert model.params_total / 1e9 == pytest.approx(671, abs=0.5)
    assert model.params_active_no_embed / 1e9 == pytest.approx(36.7, abs=0.1)
    assert model.mtp_params / 1e9 == pytest.approx(11.5, abs=0.15)


@pytest.mark.parametrize(("name", "exact"), [("grok-2", 269_515_497_472), ("minimax-m1", 456_089_655_296)])
def test_counts_equal_exact_published_counts(name: str, exact: int) -> None:
    assert load_model(name).params_total == exact


def test_tied_tables_are_counted_once_and_read_as_head() -> None:
    tied, untied = build(shape={"tied_embeddings": True}), build()
    assert untied.params_total - tied.params_total == 100 * 64
    assert tied.head_params == 0
    assert tied.head_read_params == untied.head_read_params == 100 * 64
    assert tied.params_active_no_embed == untied.params_active_no_embed


def test_mixture_counts_every_expert_and_activates_k() -> None:
    model = build(moe={"experts": 8, "top_k": 2, "expert_width": 32})
    expert = 3 * 64 * 32
    assert model.params_routed_experts == 4 * 8 * expert
    assert model.params_total - model.params_active == 4 * 6 * expert


def test_equal_layers_merge_and_uneven_patterns_keep_their_counts() -> None:
    model = build(
        pattern={"prefix": ["full"], "cycle": ["sliding", "full"]},
        attention={"window": 8},
        moe={"experts": 4, "top_k": 1, "expert_width": 32, "dense_layers": [2]},
    )
    kinds = {(g.attention.kind, g.ffn.kind): g.count for g in model.groups}
    assert kinds == {("full", "moe"): 1, ("sliding", "moe"): 2, ("full", "dense"): 1}


# ------------------------------------------------------------------- invariants
def test_arrays_of_contexts_give_arrays_of_bytes() -> None:
    model = load_model("gemma-3-27b")
    contexts = np.array([[1, 1000], [1024, 100_000]])
    sizes = model.kv_bytes(contexts, np.array([1.0, 2.0]))
    assert sizes.shape == (2, 2)
    for i in range(2):
        for j in range(2):
            assert sizes[i, j] == model.kv_bytes(int(contexts[i, j]), float(j + 1))


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(1, 10**6))
def test_windowed_caches_are_never_larger_than_full_ones(a: int, more: int, window: int) -> None:
    full = build()
    windowed = build(pattern={"cycle": ["sliding", "full"]}, attention={"window": window})
    assert windowed.params_total == full.params_total
    assert windowed.kv_bytes(a, 2) <= full.kv_bytes(a, 2)
    for model in (full, windowed):
        assert model.kv_bytes(a, 2) <= model.kv_bytes(a + more, 2)


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 64), st.integers(1, 4), st.integers(1, 64), st.data(), st.booleans())
def test_active_weights_never_exceed_all(
    layers: int, experts: int, groups: int, width: int, data: st.DataObject, tied: bool
) -> None:
    top_k = data.draw(st.integers(1, experts))
    model = build(
        shape={"layers": layers, "tied_embeddings": tied},
        attention={"heads": 2 * groups, "kv_heads": groups},
        moe={"experts": experts, "top_k": top_k, "expert_width": width, "first_dense_layers": layers // 2},
    )
    assert model.params_active <= model.params_total
    assert (model.params_active == model.params_total) == (top_k == experts)
    assert sum(model.params_by_part.values()) == model.params_total


# ------------------------------------------------------------------- the schema
def test_the_normal_form_is_json_and_checks_to_itself() -> None:
    normal = check_model(copy.deepcopy(DENSE), "small.toml")
    assert json.loads(json.dumps(normal)) == normal
    assert check_model(copy.deepcopy(normal), "small.toml") == normal


@pytest.mark.parametrize(
    ("table", "change", "word"),
    [
        ("shape", {"layers": 0}, "shape.layers"),
        ("shape", {"layers": True}, "shape.layers"),
        ("shape", {"layers": "80"}, "shape.layers"),
        ("shape", {"hidden": 10**12}, "shape.hidden"),
        ("shape", {"depth": 3}, "shape.depth"),
        ("attention", {"kv_head": 2}, "nearest are kv_heads"),
        ("attention", {"kv_heads": 3}, "multiple"),
        ("attention", {"head_dim": None}, "head_dim"),
        ("pattern", {"cycle": []}, "pattern.cycle"),
        ("pattern", {"cycle": ["sliding"]}, "window"),
        ("pattern", {"cycle": ["linear"]}, "[linear]"),
        ("pattern", {"cycle": ["csa"]}, "[compressed]"),
        ("pattern", {"cycle": ["mamba"]}, "pattern.cycle"),
        ("ffn", {"width": None}, "ffn.width"),
        ("moe", {"experts": 4, "top_k": 5, "expert_width": 8}, "top_k"),
        ("published", {"total": float("inf")}, "published.total"),
        ("weights", {"native_format": ""}, "native_format"),
    ],
)
def test_wrong_specs_get_one_sentence_naming_the_key(table: str, change: dict[str, Any], word: str) -> None:
    with pytest.raises(SpecError) as caught:
        build(**{table: change})
    message = str(caught.value)
    assert message.startswith("small.toml: ")
    assert word in message
    assert "\n" not in message


def test_a_missing_table_is_named() -> None:
    raw = {key: value for key, value in DENSE.items() if key != "attention"}
    with pytest.raises(SpecError, match=r"small\.toml: attention: it is missing"):
        check_model(raw, "small.toml")
