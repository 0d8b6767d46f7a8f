"""A Hugging Face config.json, already parsed, to the raw tables of a model spec.

`model_import` reads the file before it; `catalog.schema_model` checks the result behind it. Vendors name the
same shape differently, so each shape has a list of keys in order of precedence; what a family never writes
down (biases, norms, tied tables) stands in `FAMILIES`, read from the families' modelling code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import SpecError

_NESTED = ("text_config", "language_config", "llm_config")
_LIMIT = 10**10


@dataclass(frozen=True)
class Family:
    """What the configuration of a model type leaves unsaid."""

    tied: bool = False
    matrices: int = 3
    norms: int = 2
    norm_bias: bool = False
    qk_norm: str = "none"
    qkv_bias: bool = False
    out_bias: bool | None = None  # None: as the attention bias
    head_bias: bool = False
    mlp_bias: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    sinks: bool = False
    output_gate: bool = False
    shared_gate: bool = False
    shared_experts: int = 0
    every_nth_full: int = 0  # without layer_types: each n-th layer is full, the others are local
    mtp_layers: int = 0
    mtp_released: bool = True


_GEMMA = Family(tied=True, norms=4)
_QWEN_NEXT = Family(qk_norm="per_head", output_gate=True, shared_gate=True, every_nth_full=4)
_NOAUX = Family(router_bias=True)
FAMILIES: Mapping[str, Family] = {
    "axk1": _NOAUX,
    "cohere": Family(tied=True, norms=1),
    "deepseek_v3": _NOAUX,
    "deepseek_v32": _NOAUX,
    "deepseek_v4": Family(router_bias=True, sinks=True),
    "exaone4": Family(qk_norm="per_head"),
    "exaone_moe": Family(qk_norm="per_head", router_bias=True),
    "falcon": Family(matrices=2, norm_bias=True),
    "gemma": Family(tied=True),
    "gemma2": Family(tied=True, norms=4, every_nth_full=2),
    "gemma3": Family(tied=True, norms=4, qk_norm="per_head", every_nth_full=6),
    "gemma4": Family(tied=True, norms=4, qk_norm="per_head", every_nth_full=6),
    "glm4_moe": Family(router_bias=True, out_bias=False),
    "glm_moe_dsa": _NOAUX,
    "gpt2": Family(tied=True, matrices=2, norm_bias=True, qkv_bias=True, mlp_bias=True),
    "gpt_oss": Family(sinks=True, expert_bias=True, router_bias=True, qkv_bias=True),
    "gptj": Family(matrices=2, norms=1, norm_bias=True, out_bias=False, mlp_bias=True, head_bias=True),
    "hyperclovax": Family(norms=4),
    "kimi_k2": _NOAUX,
    "kimi_k25": _NOAUX,
    "llama4": Family(shared_experts=1, every_nth_full=4),
    "minimax_m2": Family(qk_norm="full_width", mtp_released=False),
    "nemotron": Family(matrices=2, norm_bias=True),
    "olmo2": Family(qk_norm="full_width"),
    "opt": Family(tied=True, matrices=2, norm_bias=True, qkv_bias=True, mlp_bias=True),
    "phimoe": Family(norm_bias=True),
    "qwen2": Family(qkv_bias=True, out_bias=False),
    "qwen2_moe": Family(qkv_bias=True, out_bias=False, shared_gate=True),
    "qwen3": Family(qk_norm="per_head"),
    "qwen3_5": _QWEN_NEXT,
    "qwen3_5_moe": _QWEN_NEXT,
    "qwen3_moe": Family(qk_norm="per_head"),
    "qwen3_next": Family(qk_norm="per_head", output_gate=True, shared_gate=True, every_nth_full=4, mtp_layers=1),
    "qwen3_vl": Family(qk_norm="per_head"),
    "qwen3_vl_moe": Family(qk_norm="per_head"),
    "smollm3": Family(tied=True),
    "solar_open": _NOAUX,
    "starcoder2": Family(tied=True, matrices=2, norm_bias=True, qkv_bias=True, mlp_bias=True),
}
PLAIN = frozenset(
    {
        "baichuan",
        "deepseek_v2",
        "exaone",
        "granite",
        "internlm2",
        "llama",
        "minimax",
        "minimax_m1",
        "mistral",
        "mixtral",
        "olmo",
        "phi3",
        "yi",
    }
)


class Config:
    """Typed look-ups in one config.json; null counts as absent, the nested text model comes first."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        nested = next((config[k] for k in _NESTED if isinstance(config.get(k), dict)), None)
        self._levels = [config] if nested is None else [nested, config]
        self.where = where

    def get(self, *keys: str) -> Any:
        """First value that is present and not null, else None."""
        for level in self._levels:
            for key in keys:
                if level.get(key) is not None:
                    return level[key]
        return None

    def number(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Whole number of the first key present; without one: the default, or a SpecError naming the keys."""
        value = self.get(*keys)
        if value is None:
            if default is None:
                others = f" (nor {', '.join(keys[1:])})" if len(keys) > 1 else ""
                raise SpecError(
                    f"{self.where}: the configuration has no '{keys[0]}'{others}, so the shapes are unknown; "
                    "add the key or write a model spec"
                )
            return default
        if isinstance(value, float) and value.is_integer() and abs(value) < _LIMIT:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LIMIT:
            raise SpecError(f"{self.where}: '{keys[0]}' is {str(value)[:40]!r}; it must be a whole number >= {least}")
        return value

    def optional(self, *keys: str) -> int | None:
        """Whole number of 1 or more, or None if absent or 0."""
        return self.number(*keys, default=0, least=0) or None

    def flag(self, *keys: str, default: bool) -> bool:
        """Truth value of the first key present."""
        value = self.get(*keys)
        return default if value is None else value is True or value == 1

    def texts(self, *keys: str) -> list[str] | None:
        """List of words of the first key present, or None."""
        value = self.get(*keys)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise SpecError(f"{self.where}: '{keys[0]}' must be a list of words")
        return value

    def numbers(self, *keys: str) -> list[int] | None:
        """List of whole numbers of the first key present that holds a list, else None."""
        value = self.get(*keys)
        if not isinstance(value, list):
            return None
        if not all(isinstance(v, int) for v in value):
            raise SpecError(f"{self.where}: '{keys[0]}' must be a list of whole numbers")
        return [int(v) for v in value]

    @property
    def model_type(self) -> str:
        """Model type of the text model, without the `_text` ending."""
        inner, outer = self._levels[0].get("model_type"), self._levels[-1].get("model_type")
        for name in (inner, outer):
            if isinstance(name, str) and name:
                return "deepseek_v4" if self.get("o_lora_rank") else name.removesuffix("_text")
        return ""
