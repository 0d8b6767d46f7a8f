"""A Hugging Face config as the tables of a model spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SpecError
from .config import FAMILIES, PLAIN, Config, Family

_UNREADABLE = {  # keys of layers that no table of the schema describes
    "hybrid_override_pattern": "state-space layers",
    "layers_block_type": "state-space layers",
    "ssm_state_size": "state-space layers",
    "linear_attn_config": "Kimi delta attention layers",
    "hybrid_layer_pattern": "layers with two sets of heads",
    "sparse_attention_config": "block-sparse attention layers",
    "block_configs": "layers of different widths",
    "ssm_cfg": "state-space layers",
}


def spec_from_hf(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Raw spec tables (without id and name) of a parsed config.json.

    Raises SpecError where a key is missing or has the wrong type, or where no table describes the layers.
    """
    from .formats import weight_table
    from .layers import attention_tables, ffn_tables, layer_pattern

    c = Config(config, where)
    for key, what in _UNREADABLE.items():
        if c.get(key) is not None:
            raise SpecError(f"{where}: '{key}' means {what}, which import cannot read; write a model spec")
    kind = c.model_type
    family = FAMILIES.get(kind, Family())
    known = kind in FAMILIES or kind in PLAIN
    hidden = c.number("hidden_size", "n_embd", "d_model", "dim")
    layers = c.number("num_hidden_layers", "num_layers", "n_layer", "n_layers")
    context = c.number("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", default=4096)
    shape = {
        "layers": layers,
        "hidden": hidden,
        "vocab": c.number("vocab_size"),
        "tied_embeddings": c.flag("tie_word_embeddings", default=family.tied),
        "max_context": context,
        "norms_per_layer": 4 if c.flag("use_post_norm", default=False) else family.norms,
        "norm_bias": family.norm_bias,
        "head_bias": c.flag("lm_head_bias", default=family.head_bias),
        "learned_positions": {"opt": context + 2, "gpt2": context}.get(kind, 0),
        "hyper_connections": c.number("hc_mult", default=4, least=0) if kind == "deepseek_v4" else 0,
    }
    architectures = c.get("architectures")
    raw: dict[str, Any] = {
        "family": kind,
        "architecture": str(architectures[0]) if isinstance(architectures, list) and architectures else "",
        "grade": "A" if known else "C",
        "shape": shape,
        "pattern": layer_pattern(c, family, layers),
        **attention_tables(c, family, hidden),
        **ffn_tables(c, family, hidden, layers),
        "weights": weight_table(c),
        "sources": [{"grade": "A" if known else "C", "covers": "shapes", "note": "config.json"}],
    }
    if not known:
        named = f"model type {kind[:40]!r}" if kind else "a configuration without model_type"
        raw["notes"] = [f"Unknown {named}: read as a plain decoder with RMS norms and a gated FFN."]
        raw["unverified"] = ["biases, norms and extra layers"]
    if c.get("indexer_types") is not None:
        raw.setdefault("notes", []).append("Layers that share an index are counted with one of their own.")
    return raw
