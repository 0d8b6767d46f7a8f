"""A Hugging Face config as the tables of a model spec: shape, layer kinds, attention and FFN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SpecError
from .config import Config, tables
from .formats import weight_table

Table = dict[str, Any]


def spec_from_hf(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Raw spec tables (without id and name) of a parsed config.json.

    Raises SpecError where a key is missing or has the wrong type, or where no table describes the layers.
    """
    c = Config(config, where)
    for key, what in tables()["unreadable"].items():
        if c.get(key) is not None:
            raise SpecError(f"{where}: '{key}' means {what}, which import cannot read; write a model spec")
    kind, family = c.model_type, c.family
    hidden, layers = c.number("hidden"), c.number("layers")
    context = c.number("context", default=4096)
    shape = {
        "layers": layers,
        "hidden": hidden,
        "vocab": c.number("vocab_size"),
        "tied_embeddings": c.flag("tie_word_embeddings", default=family.tied),
        "max_context": context,
        "norms_per_layer": 4 if c.flag("use_post_norm") else family.norms,
        "norm_bias": family.norm_bias,
        "head_bias": c.flag("lm_head_bias", default=family.head_bias),
        "learned_positions": 0 if family.positions is None else context + family.positions,
        "hyper_connections": c.number("hc_mult", default=4, least=0) if family.compressed else 0,
    }
    architectures, grade = c.get("architectures"), "A" if family.known else "C"
    raw: dict[str, Any] = {
        "family": kind,
        "architecture": str(architectures[0]) if isinstance(architectures, list) and architectures else "",
        "grade": grade,
        "shape": shape,
        "pattern": _layer_pattern(c, layers),
        **_attention_tables(c, hidden),
        **_ffn_tables(c, hidden, layers),
        "weights": weight_table(c),
        "sources": [{"grade": grade, "covers": "shapes", "note": "config.json"}],
    }
    if not family.known:
        named = f"model type {kind[:40]!r}" if kind else "a configuration without model_type"
        raw["notes"] = [f"Unknown {named}: read as a plain decoder with RMS norms and a gated FFN."]
        raw["unverified"] = ["biases, norms and extra layers"]
    if c.get("indexer_types") is not None:
        raw.setdefault("notes", []).append("Layers that share an index are counted with one of their own.")
    return raw


# ------------------------------------------------------------------- layers
def _layer_pattern(c: Config, layers: int) -> dict[str, list[str]]:
    """Pattern table: the shortest cycle that spells the layers, or all of them as a prefix."""
    kinds = _layer_kinds(c, layers)
    for prefix in range(min(layers, 5)):
        rest = kinds[prefix:]
        for period in range(1, min(len(rest), 16) + 1):
            if all(kind == rest[i % period] for i, kind in enumerate(rest)):
                return {"prefix": kinds[:prefix], "cycle": rest[:period]}
    return {"prefix": kinds, "cycle": ["full"]}


def _layer_kinds(c: Config, layers: int) -> list[str]:
    """Kind of every layer: spelled out under one of four keys, or by a period, or all alike."""
    if layers > 10_000:
        raise SpecError(f"{c.where}: 'num_hidden_layers' is {layers}, more than any model has.")
    if (ratios := c.numbers("compress_ratios")) is not None:  # DeepSeek-V4; also of its prediction layers
        return _spelled(c, "compress_ratios", ratios, {0: "sliding", 4: "csa", 128: "hca"}, layers)
    local = "chunked" if c.optional("attention_chunk_size") else "sliding"
    local = "linear" if c.optional("linear_num_value_heads") else local
    if (words := c.texts("layer_types")) is not None:
        return _spelled(c, "layer_types", words, tables()["layer_types"], layers)
    if (switches := c.numbers("attn_type_list")) is not None:  # MiniMax
        return _spelled(c, "attn_type_list", switches, {0: "linear", 1: "full"}, layers)
    period = c.get("period")
    if isinstance(period, str):
        letters = (period[:layers] * layers)[:layers]
        return _spelled(c, "sliding_window_pattern", letters, {"L": local, "G": "full"}, layers)
    if local == "sliding" and _window(c) is None:
        return ["full"] * layers
    every = period if isinstance(period, int) and period > 0 else c.family.every_nth_full
    if every:
        return ["full" if (i + 1) % every == 0 else local for i in range(layers)]
    return [local if c.family.all_local else "full"] * layers


def _spelled(c: Config, key: str, values: Any, kinds: dict[Any, str], layers: int) -> list[str]:
    """The kinds that the first `layers` values stand for."""
    found = [kinds.get(value, "") for value in values[:layers]]
    if len(found) < layers or "" in found:
        raise SpecError(f"{c.where}: '{key}' must name a known kind for each of {layers} layers; mend it")
    return found


def _window(c: Config) -> int | None:
    return None if c.get("use_sliding_window") is False else c.optional("window")


# ---------------------------------------------------------------- attention
def _attention_tables(c: Config, hidden: int) -> Table:
    """Tables attention, mla, linear, compressed and index."""
    family, heads = c.family, c.number("heads")
    kv = c.optional("kv_heads") or (1 if c.flag("multi_query") else heads)
    window = _window(c)
    latent = c.get("kv_lora_rank") is not None
    attention: Table = {"heads": heads, "kv_heads": 1 if family.compressed else kv, "sinks": family.sinks}
    found: Table = {"attention": attention}
    if window is not None:
        attention["window"] = window
    if not latent:
        attention["head_dim"] = _head_dim(c, hidden, heads)
    if family.compressed:
        attention |= {"shared_kv": True, "cached_vectors": 1}
        found["compressed"] = _compressed(c)
    elif not latent:
        attention |= _biases_and_norms(c)
    if latent:
        found["mla"] = {
            "q_lora_rank": c.optional("q_lora_rank"),
            "kv_lora_rank": c.number("kv_lora_rank"),
            "nope_dim": c.number("qk_nope_head_dim"),
            "rope_dim": c.number("qk_rope_head_dim"),
            "v_head_dim": c.number("v_head_dim"),
        }
    if c.get("index_topk") is not None:
        names = {"heads": "index_n_heads", "head_dim": "index_head_dim", "top_k": "index_topk"}
        found["index"] = {name: c.number(key) for name, key in names.items()}
    if c.get("global_head_dim") is not None:  # Gemma 4: the global layers have heads of their own
        shared = c.flag("attention_k_eq_v")
        attention["full"] = {"head_dim": c.number("global_head_dim"), "shared_kv": shared}
        if shared and c.optional("num_global_key_value_heads"):
            attention["full"]["kv_heads"] = c.number("num_global_key_value_heads")
    linear = _linear(c, heads, attention.get("head_dim", 1))
    return {**found, "linear": linear} if linear else found


def _head_dim(c: Config, hidden: int, heads: int) -> int:
    width = c.optional("head_dim")
    if width is None and hidden % heads:
        raise SpecError(
            f"{c.where}: there is no 'head_dim' and 'hidden_size' {hidden} is not a multiple "
            f"of {heads} heads; add the key"
        )
    return width or hidden // heads


def _biases_and_norms(c: Config) -> Table:
    family = c.family
    bias = c.flag("qkv_bias", default=family.qkv_bias)
    qk_norm = family.qk_norm
    if qk_norm == "none" and family.norm_weights and c.flag("use_qk_norm"):
        qk_norm = "per_head"
    return {
        "qk_norm": qk_norm,
        "qkv_bias": bias,
        "out_bias": bias if family.out_bias is None else family.out_bias,
        "output_gate": c.flag("output_gate", default=family.output_gate),
    }


def _compressed(c: Config) -> Table:
    rates = c.get("compress_rates")
    rates = rates if isinstance(rates, dict) else {}
    return {
        "q_lora_rank": c.number("q_lora_rank"),
        "rope_dim": c.number("qk_rope_head_dim", default=64),
        "o_groups": c.number("o_groups"),
        "o_lora_rank": c.number("o_lora_rank"),
        "csa_ratio": rates.get("compressed_sparse_attention", 4),
        "hca_ratio": rates.get("heavily_compressed_attention", 128),
    }


def _linear(c: Config, heads: int, width: int) -> Table | None:
    if c.get("linear_num_value_heads") is not None:
        return {
            "kind": "gated_deltanet",
            "key_heads": c.number("linear_num_key_heads"),
            "value_heads": c.number("linear_num_value_heads"),
            "key_head_dim": c.number("linear_key_head_dim"),
            "value_head_dim": c.number("linear_value_head_dim"),
            "conv_kernel": c.number("linear_conv_kernel_dim", default=4),
        }
    if c.get("attn_type_list") is not None:
        shape = {"key_heads": heads, "value_heads": heads, "key_head_dim": width, "value_head_dim": width}
        return {"kind": "lightning", **shape}
    return None


# ---------------------------------------------------------------------- ffn
def _ffn_tables(c: Config, hidden: int, layers: int) -> Table:
    """Tables ffn, moe and mtp."""
    family, experts = c.family, c.optional("experts") or 0
    activation = c.get("activation")
    ffn: Table = {
        "matrices": 2 if activation == "relu2" else family.matrices,
        "activation": str(activation or "silu")[:40],
        "bias": c.flag("mlp_bias", default=family.mlp_bias),
    }
    found: Table = {"ffn": ffn}
    width = c.optional("width") or (family.width_per_hidden and family.width_per_hidden * hidden)
    if width:
        ffn["width"] = width
    elif experts < 2:
        c.number("width")  # says that it is missing
    if experts > 1:
        found["moe"] = _moe(c, experts, layers)
    predicted = c.optional("predicted") or family.mtp_layers
    if predicted:
        found["mtp"] = {
            "layers": predicted,
            "attention": "sliding" if family.compressed else "full",
            "ffn": family.mtp_ffn,
            "weights_released": family.mtp_released,
        }
    return found


def _moe(c: Config, experts: int, layers: int) -> Table:
    family, width = c.family, c.number("expert_width")
    shared = c.optional("shared_experts") or family.shared_experts
    fused = c.optional("shared_width") or c.optional("shared_intermediate_size")
    shared = 1 if fused and not shared else shared
    moe = {
        "experts": experts,
        "top_k": c.number("top_k"),
        "expert_width": width,
        "shared_experts": shared,
        "shared_width": fused or shared * width,
        "router_bias": c.flag("router_bias", default=family.router_bias),
        "expert_bias": family.expert_bias,
        "shared_gate": family.shared_gate and shared > 0,
        "post_norm": family.moe_post_norm,
        "dense_residual": c.flag("dense_residual"),
    }
    dense = _dense_layers(c, layers)
    first = next((i for i in range(layers) if i not in dense), layers)
    return {**moe, "first_dense_layers": first, "dense_layers": sorted(i for i in dense if i >= first)}


def _dense_layers(c: Config, layers: int) -> set[int]:
    """Layers of a mixture that have a plain FFN."""
    if (words := c.texts("mlp_layer_types")) is not None:
        return {i for i, word in enumerate(words[:layers]) if word == "dense"}
    if (flags := c.numbers("moe_layer_freq")) is not None:
        return {i for i, flag in enumerate(flags[:layers]) if not flag}
    if (chosen := c.numbers("moe_layers")) is not None:
        return set(range(layers)) - set(chosen)
    dense = set(range(min(c.optional("first_dense") or 0, layers)))
    dense |= {i for i in c.numbers("mlp_only_layers") or [] if 0 <= i < layers}
    step = c.get("moe_period")
    if isinstance(step, int) and step > 1:
        dense |= {i for i in range(layers) if (i + 1) % step}
    return dense
