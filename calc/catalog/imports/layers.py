"""Layer kinds, attention and FFN out of a config.json; the second part of `hf_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SpecError
from .config import Config, Family

_KINDS = {
    "full_attention": "full",
    "attention": "full",
    "global_attention": "full",
    "deepseek_sparse_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "compressed_sparse_attention": "csa",
    "heavily_compressed_attention": "hca",
}


# ------------------------------------------------------------------- layers
def layer_pattern(c: Config, family: Family, layers: int) -> dict[str, list[str]]:
    """Pattern table: the shortest cycle that spells the layers, or all of them as a prefix."""
    kinds = _layer_kinds(c, family, layers)
    for prefix in range(min(layers, 5)):
        rest = kinds[prefix:]
        for period in range(1, min(len(rest), 16) + 1):
            if all(kind == rest[i % period] for i, kind in enumerate(rest)):
                return {"prefix": kinds[:prefix], "cycle": rest[:period]}
    return {"prefix": kinds, "cycle": ["full"]}


def _layer_kinds(c: Config, family: Family, layers: int) -> list[str]:
    if layers > 10_000:
        raise SpecError(f"{c.where}: 'num_hidden_layers' is {layers}, more than any model has.")
    ratios = c.numbers("compress_ratios")  # DeepSeek-V4; the list also covers its prediction layers
    if ratios is not None:
        kinds = {0: "sliding", 4: "csa", 128: "hca"}
        return _fit(c, [kinds.get(r, "") for r in ratios], layers, "compress_ratios")
    local = "chunked" if c.optional("attention_chunk_size") else "sliding"
    local = "linear" if c.optional("linear_num_value_heads") else local
    words = c.texts("layer_types")
    if words is not None:
        return _fit(c, [_KINDS.get(w, "") for w in words], layers, "layer_types")
    switches = c.numbers("attn_type_list")  # MiniMax: 1 softmax, 0 linear
    if switches is not None:
        return _fit(c, [{0: "linear", 1: "full"}.get(s, "") for s in switches], layers, "attn_type_list")
    pattern = c.get("sliding_window_pattern", "_sliding_window_pattern", "full_attention_interval")
    if isinstance(pattern, str):
        spelled = [{"L": local, "G": "full"}.get(ch, "") for ch in pattern[:layers]]
        return _fit(c, (spelled * layers)[:layers], layers, "sliding_window_pattern")
    windowed = local != "sliding" or _window(c) is not None
    every = pattern if isinstance(pattern, int) and pattern > 0 else family.every_nth_full
    if not windowed:
        return ["full"] * layers
    if every:
        return ["full" if (i + 1) % every == 0 else local for i in range(layers)]
    return [local if c.model_type in ("mistral", "starcoder2", "mixtral") else "full"] * layers


def _fit(c: Config, kinds: list[str], layers: int, key: str) -> list[str]:
    if len(kinds) < layers or "" in kinds[:layers]:
        raise SpecError(f"{c.where}: '{key}' must name a known kind for each of {layers} layers; mend it")
    return kinds[:layers]


def _window(c: Config) -> int | None:
    if c.get("use_sliding_window") is False:
        return None
    return c.optional("attention_chunk_size", "sliding_window")


# ---------------------------------------------------------------- attention
def attention_tables(c: Config, family: Family, hidden: int) -> dict[str, Any]:
    """Tables attention, mla, linear, compressed and index."""
    heads = c.number("num_attention_heads", "n_head", "num_heads", "n_heads")
    kv = c.number("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", default=0, least=0)
    if not kv:
        kv = 1 if c.flag("multi_query", default=False) else heads
    bias_keys = ("attention_bias", "qkv_bias", "use_qkv_bias", "enable_bias", "use_bias")
    bias = c.flag(*bias_keys, default=family.qkv_bias)
    qk_norm = family.qk_norm
    if c.flag("use_qk_norm", default=False) and qk_norm == "none" and c.model_type != "llama4":
        qk_norm = "per_head"
    latent, v4 = c.get("kv_lora_rank") is not None, c.model_type == "deepseek_v4"
    attention: dict[str, Any] = {"heads": heads, "kv_heads": 1 if v4 else kv, "sinks": family.sinks}
    tables: dict[str, Any] = {"attention": attention}
    if _window(c) is not None:
        attention["window"] = _window(c)
    if not latent:
        width = c.optional("head_dim", "attention_head_dim")
        if width is None and hidden % heads:
            raise SpecError(
                f"{c.where}: there is no 'head_dim' and 'hidden_size' {hidden} is not a multiple "
                f"of {heads} heads; add the key"
            )
        attention["head_dim"] = width or hidden // heads
    if v4:
        attention |= {"shared_kv": True, "cached_vectors": 1}
        tables["compressed"] = _compressed(c)
    elif not latent:
        attention |= {"qk_norm": qk_norm, "qkv_bias": bias}
        attention["out_bias"] = bias if family.out_bias is None else family.out_bias
        gate_keys = ("attn_output_gate", "attention_output_gate")
        attention["output_gate"] = c.flag(*gate_keys, default=family.output_gate)
    if latent:
        tables["mla"] = {
            "q_lora_rank": c.optional("q_lora_rank"),
            "kv_lora_rank": c.number("kv_lora_rank"),
            "nope_dim": c.number("qk_nope_head_dim"),
            "rope_dim": c.number("qk_rope_head_dim"),
            "v_head_dim": c.number("v_head_dim"),
        }
    if c.get("index_topk") is not None:
        tables["index"] = {
            "heads": c.number("index_n_heads"),
            "head_dim": c.number("index_head_dim"),
            "top_k": c.number("index_topk"),
        }
    if c.get("global_head_dim") is not None:  # Gemma 4: the global layers have heads of their own
        shared = c.flag("attention_k_eq_v", default=False)
        attention["full"] = {"head_dim": c.number("global_head_dim"), "shared_kv": shared}
        if shared and c.optional("num_global_key_value_heads"):
            attention["full"]["kv_heads"] = c.number("num_global_key_value_heads")
    tables |= _linear(c, attention)
    return tables


def _compressed(c: Config) -> dict[str, Any]:
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


def _linear(c: Config, attention: Mapping[str, Any]) -> dict[str, Any]:
    if c.get("linear_num_value_heads") is not None:
        table = {
            "kind": "gated_deltanet",
            "key_heads": c.number("linear_num_key_heads"),
            "value_heads": c.number("linear_num_value_heads"),
            "key_head_dim": c.number("linear_key_head_dim"),
            "value_head_dim": c.number("linear_value_head_dim"),
            "conv_kernel": c.number("linear_conv_kernel_dim", default=4),
        }
    elif c.get("attn_type_list") is not None:
        heads, width = attention["heads"], attention.get("head_dim", 1)
        table = {
            "kind": "lightning",
            "key_heads": heads,
            "value_heads": heads,
            "key_head_dim": width,
            "value_head_dim": width,
        }
    else:
        return {}
    return {"linear": table}


# ---------------------------------------------------------------------- ffn
def ffn_tables(c: Config, family: Family, hidden: int, layers: int) -> dict[str, Any]:
    """Tables ffn, moe and mtp."""
    experts = c.optional("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts") or 0
    default = 4 * hidden if c.model_type in ("gptj", "gpt2", "falcon") else None
    keys = ["intermediate_size_mlp", "dense_intermediate_size", "intermediate_size", "ffn_dim", "n_inner"]
    keys += ["ffn_hidden_size", "d_ff"]
    width = c.optional(*keys) or default
    act = c.get("hidden_act", "hidden_activation", "activation_function")
    ffn: dict[str, Any] = {
        "matrices": 2 if act == "relu2" else family.matrices,
        "activation": str(act or "silu")[:40],
        "bias": c.flag("mlp_bias", default=family.mlp_bias),
    }
    if width:
        ffn["width"] = width
    elif experts < 2:
        c.number(*keys)
    tables: dict[str, Any] = {"ffn": ffn}
    if experts > 1:
        tables["moe"] = _moe(c, family, experts, layers)
    mtp = c.optional("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "num_mtp_layers")
    if mtp or family.mtp_layers:
        kind = "sliding" if c.model_type == "deepseek_v4" else "full"
        tables["mtp"] = {
            "layers": mtp or family.mtp_layers,
            "attention": kind,
            "ffn": "dense" if c.model_type == "exaone_moe" else "moe",
            "weights_released": family.mtp_released,
        }
    return tables


def _moe(c: Config, family: Family, experts: int, layers: int) -> dict[str, Any]:
    expert_width = c.number("moe_intermediate_size", "expert_intermediate_size", "intermediate_size")
    top_k = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "top_k_experts", "moe_topk")
    shared = c.optional("n_shared_experts", "num_shared_experts") or family.shared_experts
    fused = c.optional("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size")
    fused = fused or c.optional("shared_intermediate_size")
    if fused and not shared:
        shared = 1
    moe: dict[str, Any] = {
        "experts": experts,
        "top_k": c.number(*top_k),
        "expert_width": expert_width,
        "shared_experts": shared,
        "shared_width": fused or shared * expert_width,
        "router_bias": c.flag("use_routing_bias", "moe_router_bias", default=family.router_bias),
        "expert_bias": family.expert_bias,
        "shared_gate": family.shared_gate and shared > 0,
        "post_norm": c.model_type == "axk1",
        "dense_residual": c.flag("residual_moe", "enable_moe_block", default=False),
    }
    dense = _dense_layers(c, layers)
    first = next((i for i in range(layers) if i not in dense), layers)
    moe["first_dense_layers"] = first
    scattered = sorted(i for i in dense if i >= first)
    if scattered:
        moe["dense_layers"] = scattered
    return moe


def _dense_layers(c: Config, layers: int) -> set[int]:
    """Layers of a mixture that have a plain FFN."""
    words = c.texts("mlp_layer_types")
    if words is not None:
        return {i for i, word in enumerate(words[:layers]) if word == "dense"}
    flags = c.numbers("moe_layer_freq")
    if flags is not None:
        return {i for i, flag in enumerate(flags[:layers]) if not flag}
    chosen = c.numbers("moe_layers")
    if chosen is not None:
        return set(range(layers)) - set(chosen)
    dense = set(range(min(c.optional("first_k_dense_replace", "moe_num_first_dense") or 0, layers)))
    dense |= {i for i in c.numbers("mlp_only_layers") or [] if 0 <= i < layers}
    step = c.get("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq")
    if isinstance(step, int) and step > 1:
        dense |= {i for i in range(layers) if (i + 1) % step}
    return dense
