"""Models from config.json and .gguf files: equal to the catalog's, and hostile files end in one sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokcalc.catalog import load_model
from tokcalc.catalog.imports.files import MAX_CONFIG_BYTES, from_gguf, from_hf_config
from tokcalc.errors import SpecError
from tokcalc.models.model import Model

# Only the keys that matter, written as the vendors write them.
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192,
    "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "vocab_size": 128256, "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
    "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False, "sliding_window": None,
}  # fmt: skip
DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1,
    "first_k_dense_replace": 3, "moe_layer_freq": 1, "num_nextn_predict_layers": 1,
    "max_position_embeddings": 163840, "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}  # fmt: skip
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "max_position_embeddings": 32768, "torch_dtype": "bfloat16",
    "sliding_window": None, "tie_word_embeddings": False,
}  # fmt: skip
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088,
    "num_local_experts": 128, "num_experts_per_tok": 4, "sliding_window": 128, "attention_bias": True,
    "layer_types": ["sliding_attention", "full_attention"] * 18, "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
}  # fmt: skip
GEMMA_2: dict[str, Any] = {  # old files say neither tie_word_embeddings nor layer_types
    "model_type": "gemma2", "hidden_size": 4608, "intermediate_size": 36864, "num_hidden_layers": 46,
    "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128, "vocab_size": 256000,
    "sliding_window": 4096, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
    "hidden_activation": "gelu_pytorch_tanh",
}  # fmt: skip
QWEN_NEXT: dict[str, Any] = {
    "model_type": "qwen3_next", "hidden_size": 2048, "intermediate_size": 5120, "num_hidden_layers": 48,
    "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 151936,
    "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "num_experts": 512,
    "num_experts_per_tok": 10, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "max_position_embeddings": 262144,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
LLAMA_4: dict[str, Any] = {
    "model_type": "llama4",
    "vision_config": {"hidden_size": 1408, "num_hidden_layers": 34},
    "text_config": {
        "model_type": "llama4_text", "hidden_size": 5120, "intermediate_size": 8192,
        "intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 202048, "num_local_experts": 128,
        "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "attention_chunk_size": 8192,
        "max_position_embeddings": 1048576, "use_qk_norm": False,
    },
}  # fmt: skip
DEEPSEEK_V4: dict[str, Any] = {
    "model_type": "deepseek_v4", "hidden_size": 4096, "moe_intermediate_size": 2048, "num_hidden_layers": 43,
    "num_attention_heads": 64, "num_key_value_heads": 1, "head_dim": 512, "vocab_size": 129280,
    "q_lora_rank": 1024, "qk_rope_head_dim": 64, "o_groups": 8, "o_lora_rank": 1024, "index_n_heads": 64,
    "index_head_dim": 128, "index_topk": 512, "n_routed_experts": 256, "num_experts_per_tok": 6,
    "n_shared_experts": 1, "sliding_window": 128, "hc_mult": 4, "num_nextn_predict_layers": 1,
    "compress_ratios": [0, 0] + [4, 128] * 20 + [4, 0], "max_position_embeddings": 1048576,
    "expert_dtype": "fp4", "quantization_config": {"quant_method": "fp8"},
}  # fmt: skip
CONFIGS = {
    "llama-3.1-70b": LLAMA,
    "deepseek-v3": DEEPSEEK,
    "mixtral-8x7b": MIXTRAL,
    "gpt-oss-120b": GPT_OSS,
    "gemma-2-27b": GEMMA_2,
    "qwen3-next-80b-a3b": QWEN_NEXT,
    "llama-4-maverick": LLAMA_4,
    "deepseek-v4-flash": DEEPSEEK_V4,
}


def imported(folder: Path, config: Any, name: str = "config.json") -> Model:
    path = folder / name
    path.write_text(json.dumps(config), encoding="utf-8")
    return from_hf_config(path)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_config_gives_the_model_of_the_catalog(name: str, tmp_path: Path) -> None:
    model, spec = imported(tmp_path, CONFIGS[name], f"{name}.json"), load_model(name)
    assert model.id == name
    assert model.groups == spec.groups
    assert model.params_total == spec.params_total
    assert model.params_active_no_embed == spec.params_active_no_embed
    assert (model.mtp_layers, model.mtp_params) == (spec.mtp_layers, spec.mtp_params)
    assert (model.hidden, model.layers, model.vocab, model.tied) == (
        spec.hidden, spec.layers, spec.vocab, spec.tied
    )  # fmt: skip
    assert model.max_context == spec.max_context
    assert (model.native_format, model.native_rest_format) == (spec.native_format, spec.native_rest_format)
    assert model.kv_bytes(50_000, 2) == spec.kv_bytes(50_000, 2)
    assert model.grade == "A"


def test_a_folder_is_read_and_a_bare_config_is_named_after_its_type(tmp_path: Path) -> None:
    imported(tmp_path, LLAMA)
    assert from_hf_config(tmp_path).id == "llama"
    assert imported(tmp_path, {**LLAMA, "_name_or_path": "meta/My_Llama 70B"}).id == "my-llama-70b"


def test_a_window_that_is_switched_off_is_no_window(tmp_path: Path) -> None:
    """Qwen2.5 ships sliding_window 131072 with use_sliding_window false, and biases without a key."""
    qwen = {**LLAMA, "model_type": "qwen2", "sliding_window": 131072, "use_sliding_window": False}
    del qwen["attention_bias"]
    attention = imported(tmp_path, qwen).groups[0].attention
    assert (attention.kind, attention.window) == ("full", None)
    assert attention.params - attention.qkv_params - attention.out_params == (64 + 2 * 8) * 128


def test_missing_key_value_heads_mean_as_many_as_heads(tmp_path: Path) -> None:
    old = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert imported(tmp_path, old).groups[0].attention.kv_heads == 64
    assert imported(tmp_path, {**old, "multi_query": True}).groups[0].attention.kv_heads == 1


def test_head_width_is_never_taken_for_granted(tmp_path: Path) -> None:
    assert imported(tmp_path, {**LLAMA, "head_dim": None}).groups[0].attention.head_dim == 128
    assert imported(tmp_path, {**LLAMA, "head_dim": 96}).groups[0].attention.head_dim == 96
    with pytest.raises(SpecError, match="head_dim"):
        imported(tmp_path, {**LLAMA, "num_attention_heads": 60, "num_key_value_heads": 60})


@pytest.mark.parametrize(
    ("quantization", "formats"),
    [
        ({"quant_method": "awq", "bits": 4}, ("int4", "int4")),
        ({"quant_method": "gptq", "bits": 8}, ("int8", "int8")),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("int4", "int4")),
        ({"quant_algo": "NVFP4", "ignore": ["model.layers.0.self_attn*"]}, ("nvfp4", "bf16")),
        ({"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}, "ignore": ["lm_head"]},
         ("fp8", "fp8")),
        ({"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
          "ignore": ["re:.*self_attn.*"]}, ("int4", "bf16")),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {
            "l.0.self_attn.q_proj": {"quant_algo": "FP8"}, "l.0.mlp.up_proj": {"quant_algo": "NVFP4"}}},
         ("nvfp4", "fp8")),
        ({}, ("bf16", "bf16")),
    ],
)  # fmt: skip
def test_quantised_checkpoints(quantization: Any, formats: tuple[str, str], tmp_path: Path) -> None:
    model = imported(tmp_path, {**LLAMA, "quantization_config": quantization})
    assert (model.native_format, model.native_rest_format) == formats
    assert model.native_table_format == "bf16"


def test_a_quantisation_file_beside_the_config_counts(tmp_path: Path) -> None:
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}', "utf-8")
    assert imported(tmp_path, LLAMA).native_format == "fp8"


def test_an_unknown_type_is_read_with_a_warning_and_a_lower_grade(tmp_path: Path) -> None:
    model = imported(tmp_path, {**LLAMA, "model_type": "brand_new"})
    assert model.grade == "C"
    assert model.params_total == load_model("llama-3.1-70b").params_total
    assert "brand_new" in model.notes[0]


def test_scattered_dense_layers_are_kept(tmp_path: Path) -> None:
    moe = {**QWEN_NEXT, "mlp_only_layers": [3, 7]}
    dense = [g for g in imported(tmp_path, moe).groups if g.ffn.kind == "dense"]
    assert sum(g.count for g in dense) == 2


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"vocab_size": None}, "vocab_size"),
        ({"intermediate_size": None}, "intermediate_size"),
        ({"hidden_size": "8192"}, "hidden_size"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": [1]}, "hidden_size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_hidden_layers": 1e300}, "num_hidden_layers"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": [1, 2]}, "layer_types"),
        ({"layer_types": ["mamba"] * 80}, "layer_types"),
        ({"hybrid_override_pattern": "M*M*"}, "state-space"),
        ({"num_key_value_heads": 7}, "multiple"),
    ],
)
def test_what_a_config_lacks_or_garbles_is_named(change: dict[str, Any], word: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        imported(tmp_path, {**LLAMA, **change})
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"hidden_size": ' + "9" * 10_000 + "}", "\x00\xff", '{"a": NaN}']
)
def test_hostile_json_ends_in_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError):
        from_hf_config(path)


def test_huge_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(SpecError, match="cannot be read"):
        from_hf_config(path)
    path.write_bytes(b" " * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(SpecError, match="MiB"):
        from_hf_config(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_of_any_key_gives_a_model_or_a_sentence(data: st.DataObject, tmp_path: Path) -> None:
    config = dict(CONFIGS[data.draw(st.sampled_from(sorted(CONFIGS)))])
    keys = sorted({**config, **DEEPSEEK, **QWEN_NEXT, "text_config": 0})
    config[data.draw(st.sampled_from(keys))] = data.draw(JSON)
    try:
        model = imported(tmp_path, config)
    except SpecError:
        return
    assert 0 < model.params_active <= model.params_total


# ------------------------------------------------------------------------- GGUF
def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    return text(key) + struct.pack("<II", 4, value)


def gguf(metadata: dict[str, Any], tensors: dict[str, tuple[tuple[int, ...], int]]) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    out += b"".join(entry(key, value) for key, value in metadata.items())
    for name, (dims, kind) in tensors.items():
        out += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, 0)
    return out


LLAMA_8B_KEYS: dict[str, Any] = {
    "general.architecture": "llama", "general.name": "Llama 3.1 8B", "general.file_type": 15,
    "llama.block_count": 32, "llama.context_length": 131072, "llama.embedding_length": 4096,
    "llama.feed_forward_length": 14336, "llama.attention.head_count": 32, "llama.attention.head_count_kv": 8,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}  # fmt: skip


def llama_8b_tensors() -> dict[str, tuple[tuple[int, ...], int]]:
    q4_k, q6_k, f32 = 12, 14, 0
    tensors = {"token_embd.weight": ((4096, 128256), q4_k), "output.weight": ((4096, 128256), q6_k)}
    tensors["output_norm.weight"] = ((4096,), f32)
    for i in range(32):
        shapes = {"attn_q": (4096, 4096), "attn_k": (4096, 1024), "attn_v": (4096, 1024)}
        shapes |= {"attn_output": (4096, 4096), "ffn_gate": (4096, 14336), "ffn_up": (4096, 14336)}
        shapes |= {"ffn_down": (14336, 4096)}
        tensors |= {f"blk.{i}.{name}.weight": (dims, q4_k) for name, dims in shapes.items()}
        tensors |= {f"blk.{i}.{name}_norm.weight": ((4096,), f32) for name in ("attn", "ffn")}
    return tensors


def test_a_gguf_header_gives_the_model_of_the_catalog(tmp_path: Path) -> None:
    path = tmp_path / "Llama-3.1-8B-Q4_K_M.gguf"
    path.write_bytes(gguf(LLAMA_8B_KEYS, llama_8b_tensors()))
    model, spec = from_gguf(path), load_model("llama-3.1-8b")
    assert model.id == "llama-3.1-8b-q4-k-m"
    assert model.name == "Llama 3.1 8B"
    assert model.groups == spec.groups
    assert model.params_total == spec.params_total == model.published_params
    assert (model.vocab, model.tied) == (128256, False)
    assert model.native_format == "q4_k_m"
    assert model.native_bits == 4.5


def test_a_gguf_without_output_table_is_tied(tmp_path: Path) -> None:
    tensors = {name: value for name, value in llama_8b_tensors().items() if name != "output.weight"}
    path = tmp_path / "tied.gguf"
    path.write_bytes(gguf(LLAMA_8B_KEYS, tensors))
    model = from_gguf(path)
    assert model.tied
    assert model.params_total == model.published_params


DEEPSEEK_KEYS: dict[str, Any] = {
    "general.architecture": "deepseek2", "deepseek2.block_count": 61, "deepseek2.embedding_length": 7168,
    "deepseek2.context_length": 163840, "deepseek2.feed_forward_length": 18432,
    "deepseek2.attention.head_count": 128, "deepseek2.attention.head_count_kv": 1,
    "deepseek2.attention.key_length": 576, "deepseek2.attention.key_length_mla": 192,
    "deepseek2.attention.value_length_mla": 128, "deepseek2.attention.q_lora_rank": 1536,
    "deepseek2.attention.kv_lora_rank": 512, "deepseek2.rope.dimension_count": 64,
    "deepseek2.expert_count": 256, "deepseek2.expert_used_count": 8, "deepseek2.expert_shared_count": 1,
    "deepseek2.expert_feed_forward_length": 2048, "deepseek2.leading_dense_block_count": 3,
    "deepseek2.vocab_size": 129280,
}  # fmt: skip


def test_a_gguf_of_latent_attention_and_experts(tmp_path: Path) -> None:
    path = tmp_path / "DeepSeek-V3.gguf"
    path.write_bytes(gguf(DEEPSEEK_KEYS, {}))
    assert from_gguf(path).groups == load_model("deepseek-v3").groups


def test_a_gguf_whose_layers_differ_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf({**LLAMA_8B_KEYS, "llama.attention.head_count_kv": [8, 4] * 16}, {}))
    with pytest.raises(SpecError, match="head_count_kv"):
        from_gguf(path)


def test_every_truncation_of_a_header_is_refused(tmp_path: Path) -> None:
    keys = {key: value for key, value in LLAMA_8B_KEYS.items() if key != "general.name"}
    whole = gguf(keys, {"token_embd.weight": ((4096, 128256), 0)})
    path = tmp_path / "cut.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SpecError):
            from_gguf(path)


@pytest.mark.parametrize(
    "data",
    [
        b"GGML" + bytes(40),
        b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 2**63, 1),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 60_000) + bytes(100),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62) + bytes(100),  # a key of 4 EiB
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 2**61),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 1) + bytes(99),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 99) + bytes(99),
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("t") + struct.pack("<I", 2**31) + bytes(99),
    ],
)
def test_hostile_headers_end_in_one_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        from_gguf(path)
    assert "bad.gguf" in str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(4, 500), noise=st.binary(min_size=1, max_size=12))
def test_overwritten_bytes_give_a_model_or_a_sentence(position: int, noise: bytes, tmp_path: Path) -> None:
    whole = bytearray(gguf(LLAMA_8B_KEYS, {"token_embd.weight": ((4096, 128256), 0)}))
    whole[position : position + len(noise)] = noise
    path = tmp_path / "noise.gguf"
    path.write_bytes(bytes(whole))
    try:
        model = from_gguf(path)
    except SpecError:
        return
    assert model.params_total > 0


VALUES = st.integers(0, 2**32 - 1) | st.text(max_size=5) | st.lists(st.integers(0, 9), max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sampled_from([LLAMA_8B_KEYS, DEEPSEEK_KEYS]), data=st.data())
def test_any_value_of_any_header_key_gives_a_model_or_a_sentence(
    keys: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / "value.gguf"
    path.write_bytes(gguf({**keys, data.draw(st.sampled_from(sorted(keys))): data.draw(VALUES)}, {}))
    try:
        model = from_gguf(path)
    except SpecError:
        return
    assert model.params_total > 0


def test_names_from_files_are_safe_to_print(tmp_path: Path) -> None:
    model = imported(tmp_path, {**LLAMA, "_name_or_path": "evil\x1b[2J\n\ud800name"})
    assert model.name == "evil[2Jname"
    assert model.id == "evil-2j-name"
