"""A Hugging Face config as the tables of a model spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SpecError
from .config import Config, tables
from .formats import weight_table
from .layers import attention_tables, ffn_tables, layer_pattern


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
        "pattern": layer_pattern(c, layers),
        **attention_tables(c, hidden),
        **ffn_tables(c, hidden, layers),
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
