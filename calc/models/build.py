"""From a checked model spec (normal form) to a `Model`: every weight is counted from the shapes.

Symbols: d hidden, H query heads, K KV heads, a head width, f FFN width, E experts, k experts per token. The counts are
those of the released checkpoints (small terms such as norms, sinks and biases included), so they can be held against a
hub's exact figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..provenance import Source
from .model import Attention, FeedForward, LayerGroup, Model

Spec = Mapping[str, Any]
Fields = dict[str, Any]


def layer_kinds(spec: Spec) -> list[str]:
    """Attention kind of every layer: the prefix, then the cycle repeated to the model's depth."""
    layers, pattern = spec["shape"]["layers"], spec["pattern"]
    prefix, cycle = list(pattern["prefix"]), list(pattern["cycle"])
    rest = layers - len(prefix)
    return (prefix + cycle * (rest // len(cycle) + 1))[:layers] if rest > 0 else prefix[:layers]


def moe_layers(spec: Spec) -> list[bool]:
    """True where a layer has routed experts: each `every`-th from the first on, bar `dense_layers`."""
    moe, layers = spec["moe"], spec["shape"]["layers"]
    if moe is None:
        return [False] * layers
    first, every, dense = moe["first_dense_layers"], moe["every"], set(moe["dense_layers"])
    return [i >= first and (i + 1) % every == 0 and i not in dense for i in range(layers)]


def attention_for(spec: Spec, kind: str) -> Attention:
    """Attention block of a layer of this kind."""
    if spec["compressed"] is not None:
        return _compressed(spec, kind)
    if kind == "linear":
        lightning = spec["linear"]["kind"] == "lightning"
        return _lightning(spec) if lightning else _gated_deltanet(spec)
    return _mla(spec) if spec["mla"] is not None else _gqa(spec, kind)


def _gqa(spec: Spec, kind: str) -> Attention:
    """Multi-head, grouped or multi-query: d·H·a + 2·d·K·a + H·a·d, an output gate doubles the query part."""
    d = spec["shape"]["hidden"]
    att = dict(spec["attention"])
    att.update({key: value for key, value in (att.get(kind) or {}).items() if value is not None})
    heads, kv, a = att["heads"], att["kv_heads"], att["head_dim"]
    query = heads * a * (2 if att["output_gate"] else 1)
    key_value = (1 if att["shared_kv"] else 2) * kv * a
    qkv, out = d * (query + key_value), heads * a * d
    params = qkv + out
    params += (query + key_value) * att["qkv_bias"] + d * att["out_bias"] + heads * att["sinks"]
    wide = (heads + kv) * a
    params += {"none": 0, "per_head": 2 * a, "own_per_head": wide, "full_width": wide}[att["qk_norm"]]
    window = att["window"] if kind in ("sliding", "chunked") else None
    cached = float(att["cached_vectors"] * kv * a)
    shape: Fields = {"kind": kind, "hidden": d, "heads": heads, "kv_heads": kv, "head_dim": a, "v_head_dim": a}
    weights: Fields = {"params": params, "qkv_params": qkv, "out_params": out}
    norms: Fields = {"qk_norm": att["qk_norm"] != "none", "norm_over_heads": att["qk_norm"] == "full_width"}
    kept: Fields = {"window": window, "kv_elements_per_token": cached, "shared_kv": att["shared_kv"]}
    return Attention(**shape, **weights, **norms, **kept)


def _mla(spec: Spec) -> Attention:
    """Multi-head latent attention; cached: a latent of kv_lora_rank + rope elements, and an index key."""
    d, mla, index = spec["shape"]["hidden"], spec["mla"], spec["index"]
    heads = spec["attention"]["heads"]
    rank_q, rank_kv = mla["q_lora_rank"] or 0, mla["kv_lora_rank"]
    nope, rope, v = mla["nope_dim"], mla["rope_dim"], mla["v_head_dim"]
    down = d * rank_q + d * (rank_kv + rope)
    up = (rank_q or d) * heads * (nope + rope) + rank_kv * heads * (nope + v)
    out = heads * v * d
    params, cached, index_params = down + up + out + rank_q + rank_kv, rank_kv + rope, 0
    if index is not None:
        index_params = rank_q * index["heads"] * index["head_dim"] + d * (index["head_dim"] + index["heads"])
        params += index_params + 2 * index["head_dim"]  # and a norm
        cached += index["head_dim"]
    shape: Fields = {"hidden": d, "heads": heads, "kv_heads": heads, "head_dim": nope + rope, "v_head_dim": v}
    weights: Fields = {"params": params, "qkv_params": down + up, "out_params": out, "index_params": index_params}
    ranks: Fields = {"q_lora_rank": rank_q, "kv_lora_rank": rank_kv, "rope_dim": rope, "nope_dim": nope}
    kept: Fields = {"window": None, "kv_elements_per_token": float(cached)}
    return Attention(kind="mla", **shape, **weights, **ranks, **kept, **_index_shapes(index))


def _gated_deltanet(spec: Spec) -> Attention:
    """Gated DeltaNet: d·(2·key + 2·val) + 2·d·nv + (2·key + val)·conv + val·d; state nv·dk·dv + conv."""
    d, lin = spec["shape"]["hidden"], spec["linear"]
    key, value = lin["key_heads"] * lin["key_head_dim"], lin["value_heads"] * lin["value_head_dim"]
    qkv = d * (2 * key + 2 * value) + d * 2 * lin["value_heads"]  # q, k, v, z; write and decay gates
    small = (2 * key + value) * lin["conv_kernel"] + 2 * lin["value_heads"] + lin["value_head_dim"]
    state = lin["value_heads"] * lin["key_head_dim"] * lin["value_head_dim"]
    state += (2 * key + value) * (lin["conv_kernel"] - 1)
    weights: Fields = {"params": qkv + value * d + small, "qkv_params": qkv, "out_params": value * d}
    return _recurrent(spec, lin["key_heads"], lin["key_head_dim"], weights, state)


def _lightning(spec: Spec) -> Attention:
    """Lightning attention: q, k, v, output gate and out, 5·d·H·a, and a full-width norm; state H·a²."""
    d, lin = spec["shape"]["hidden"], spec["linear"]
    heads, a = lin["value_heads"], lin["value_head_dim"]
    width = heads * a
    weights: Fields = {"params": 5 * d * width + width, "qkv_params": 4 * d * width, "out_params": d * width}
    return _recurrent(spec, heads, a, weights, heads * a * a)


def _recurrent(spec: Spec, key_heads: int, key_dim: int, weights: Fields, state: int) -> Attention:
    """A linear layer: nothing is cached per token, `state` elements are kept of every sequence."""
    lin = spec["linear"]
    shape: Fields = {"hidden": spec["shape"]["hidden"], "heads": lin["value_heads"], "kv_heads": key_heads}
    widths: Fields = {"head_dim": key_dim, "v_head_dim": lin["value_head_dim"]}
    kept: Fields = {"window": None, "kv_elements_per_token": 0.0, "state_elements": state}
    size = lin["state_bytes_per_element"]
    return Attention(kind="linear", **shape, **widths, **weights, **kept, state_bytes_per_element=size)


def _compressed(spec: Spec, kind: str) -> Attention:
    """DeepSeek-V4 attention: low-rank query and output, one vector per token that is key and value.

    Every layer keeps a window; csa adds an entry (and an index key) per `csa_ratio` tokens, hca one per
    `hca_ratio`. Source: modelling code of DeepSeek-V4.
    """
    d, att, comp, index = spec["shape"]["hidden"], spec["attention"], spec["compressed"], spec["index"]
    heads, a, rank_q = att["heads"], att["head_dim"], comp["q_lora_rank"]
    qkv = d * rank_q + d * a + rank_q * heads * a
    out = heads * a * comp["o_lora_rank"] + comp["o_groups"] * comp["o_lora_rank"] * d
    params = qkv + out + rank_q + a + heads  # two norms, sinks
    grown, index_params, ratio = 0.0, 0, 0
    if kind == "csa":
        ratio, ai = comp["csa_ratio"], index["head_dim"]
        compressor = 4 * d * a
        index_params = 4 * d * ai + rank_q * index["heads"] * ai + d * index["heads"]
        params += compressor + index_params + 2 * ratio * (a + ai) + a + ai
        qkv, grown = qkv + compressor, (a + ai) / ratio
    elif kind == "hca":
        ratio = comp["hca_ratio"]
        compressor = 2 * d * a
        params += compressor + ratio * a + a
        qkv, grown = qkv + compressor, a / ratio
    shape: Fields = {"kind": kind, "hidden": d, "heads": heads, "kv_heads": 1, "head_dim": a, "v_head_dim": a}
    weights: Fields = {"params": params, "qkv_params": qkv, "out_params": out, "index_params": index_params}
    ranks: Fields = {"q_lora_rank": rank_q, "rope_dim": comp["rope_dim"], "nope_dim": a - comp["rope_dim"]}
    kept: Fields = {"window": att["window"], "kv_elements_per_token": float(a), "shared_kv": True}
    entries: Fields = {"compressed_elements_per_token": grown, "compress_ratio": float(ratio)}
    sparse = _index_shapes(index if kind == "csa" else None)
    return Attention(**shape, **weights, **ranks, **kept, **entries, **sparse)


def _index_shapes(index: Spec | None) -> Fields:
    return {f"index_{key}": index[key] for key in ("heads", "head_dim", "top_k")} if index is not None else {}


def _plain_ffn(spec: Spec, width: int) -> int:
    """m·d·f, and biases."""
    d, m = spec["shape"]["hidden"], spec["ffn"]["matrices"]
    return int(m * d * width + (((m - 1) * width + d) if spec["ffn"]["bias"] else 0))


def ffn_for(spec: Spec, is_moe: bool) -> FeedForward:
    """FFN of a layer: dense, or routed experts with router, shared experts and dense residual branch."""
    d, m = spec["shape"]["hidden"], spec["ffn"]["matrices"]
    if not is_moe:
        width = spec["ffn"]["width"]
        return FeedForward(kind="dense", width=width, matrices=m, dense_params=_plain_ffn(spec, width))
    moe = spec["moe"]
    width, dense = 0, 0
    if moe["shared_experts"]:
        width += moe["shared_width"]
        dense += _plain_ffn(spec, moe["shared_width"])
    if moe["dense_residual"]:
        width += spec["ffn"]["width"]
        dense += _plain_ffn(spec, spec["ffn"]["width"])
    dense += d * moe["shared_gate"] + _norm(spec) * moe["post_norm"]
    expert = m * d * moe["expert_width"]
    if moe["expert_bias"]:
        expert += (m - 1) * moe["expert_width"] + d
    router = d * moe["experts"] + moe["experts"] * moe["router_bias"]
    met: Fields = {"width": width, "matrices": m, "dense_params": dense, "router_params": router}
    routed: Fields = {key: moe[key] for key in ("experts", "top_k", "expert_width")}
    return FeedForward(kind="moe", **met, **routed, expert_params=expert)


def _norm(spec: Spec) -> int:
    return int(spec["shape"]["hidden"] * (2 if spec["shape"]["norm_bias"] else 1))


def _mixers(spec: Spec) -> int:
    """Hyper-connections around both blocks of a layer; n streams (DeepSeek-V4)."""
    n, d = spec["shape"]["hyper_connections"], spec["shape"]["hidden"]
    rows = (2 + n) * n
    return 2 * (rows * n * d + rows + 3) if n else 0


def _mtp_params(spec: Spec) -> int:
    """Unique weights of the shipped MTP layers: each a decoder layer, a 2·d² projection, three norms."""
    mtp = spec["mtp"]
    if mtp is None or not mtp["weights_released"]:
        return 0
    d = spec["shape"]["hidden"]
    ffn = ffn_for(spec, spec["moe"] is not None and mtp["ffn"] == "moe")
    layer = attention_for(spec, mtp["attention"]).params + ffn.params + 2 * _norm(spec) + _mixers(spec)
    return int(mtp["layers"] * (layer + 2 * d * d + 3 * _norm(spec)))


def build_model(spec: Spec, path: str = "") -> Model:
    """Model of a spec in normal form; equal layers are merged into groups, in order of first appearance."""
    shape = spec["shape"]
    d, vocab, streams = shape["hidden"], shape["vocab"], shape["hyper_connections"]
    norms = shape["norms_per_layer"] * _norm(spec) + _mixers(spec)
    counts: dict[tuple[str, bool], int] = {}
    for key in zip(layer_kinds(spec), moe_layers(spec), strict=True):
        counts[key] = counts.get(key, 0) + 1
    groups = tuple(
        LayerGroup(count, attention_for(spec, kind), ffn_for(spec, is_moe), norms)
        for (kind, is_moe), count in counts.items()
    )
    published, mtp = spec["published"], spec["mtp"]
    named: Fields = {key: spec[key] for key in ("id", "vendor", "family", "release_date", "grade", "architecture")}
    listed: Fields = {key: tuple(spec[key]) for key in ("aliases", "notes", "unverified")}
    head = (0 if shape["tied_embeddings"] else vocab * d) + (vocab if shape["head_bias"] else 0)
    return Model(
        **named,
        **listed,
        **_released(spec["weights"]),
        name=spec["name"] or spec["id"],
        path=path,
        sources=tuple(Source(**{**entry, "url": entry["url"] or None}) for entry in spec["sources"]),
        hidden=d,
        layers=shape["layers"],
        vocab=vocab,
        tied=shape["tied_embeddings"],
        max_context=shape["max_context"],
        groups=groups,
        embedding_params=(vocab + shape["learned_positions"]) * d,
        head_params=head,
        final_params=_norm(spec) + (streams * streams * d + streams + 1 if streams else 0),
        mtp_layers=mtp["layers"] if mtp else 0,
        mtp_params=_mtp_params(spec),
        published_params=published["total"],
        published_active_params=published["active"],
        published_note="; ".join(filter(None, (published["source"], published["difference"]))),
    )


def _released(weights: Spec) -> Fields:
    """In which formats the weights were released: the bulk, other linear weights, tables."""
    native = weights["native_format"]
    return {
        "native_format": native,
        "native_rest_format": weights["rest_format"] or native,
        "native_table_format": weights["table_format"],
        "native_bits": weights["bits_per_weight"],
        "fp8_scales": weights.get("fp8_scales", ""),
    }
