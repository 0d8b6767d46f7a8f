"""A parsed config.json under one set of names, and what its model type leaves unsaid.

Vendors name the same figure differently; the spellings, in order of precedence, and the families stand in
specs/imports/config.toml. `files` reads the file before it, `hugging_face` makes the tables of a model spec behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...errors import SpecError
from ..tables import spec_table

_NESTED = ("text_config", "language_config", "llm_config")
_LIMIT = 10**10


def tables() -> Mapping[str, Any]:
    """Sections spellings, layer_types, unreadable and families of specs/imports/config.toml."""
    return spec_table("imports", "config")


@dataclass(frozen=True)
class Family:
    """What the configuration of a model type leaves unsaid; `known` is False for a type that no table names."""

    known: bool = True
    tied: bool = False
    matrices: int = 3
    norms: int = 2
    norm_bias: bool = False
    norm_weights: bool = True  # False: norms of queries and keys have no weights
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
    all_local: bool = False  # with a window: every layer has it
    compressed: bool = False  # DeepSeek-V4's attention and hyper-connections
    positions: int | None = None  # rows of a table of positions beyond the context; None: rotary
    width_per_hidden: int | None = None  # width of the FFN where no key says, per hidden size
    moe_post_norm: bool = False
    mtp_layers: int = 0
    mtp_released: bool = True
    mtp_ffn: str = "moe"


class Config:
    """Typed look-ups of figures in one config.json; null counts as absent, the nested text model comes first."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        nested = next((config[k] for k in _NESTED if isinstance(config.get(k), dict)), None)
        self._levels = [config] if nested is None else [nested, config]
        self._spellings: Mapping[str, list[str]] = tables()["spellings"]
        self.where = where

    def _keys(self, figure: str) -> list[str]:
        return self._spellings.get(figure, [figure])

    def get(self, figure: str) -> Any:
        """First value that is present and not null, else None."""
        for level in self._levels:
            for key in self._keys(figure):
                if level.get(key) is not None:
                    return level[key]
        return None

    def number(self, figure: str, default: int | None = None, least: int = 1) -> int:
        """Whole number of a figure; without one: the default, or a SpecError naming the keys."""
        value = self.get(figure)
        key, *others = self._keys(figure)
        if value is None:
            if default is None:
                nor = f" (nor {', '.join(others)})" if others else ""
                raise SpecError(
                    f"{self.where}: the configuration has no '{key}'{nor}, so the shapes are unknown; "
                    "add the key or write a model spec"
                )
            return default
        if isinstance(value, float) and value.is_integer() and abs(value) < _LIMIT:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LIMIT:
            raise SpecError(f"{self.where}: '{key}' is {str(value)[:40]!r}; it must be a whole number >= {least}")
        return value

    def optional(self, figure: str) -> int | None:
        """Whole number of 1 or more, or None if absent or 0."""
        return self.number(figure, default=0, least=0) or None

    def flag(self, figure: str, default: bool = False) -> bool:
        """Truth value of a figure."""
        value = self.get(figure)
        return default if value is None else value is True or value == 1

    def texts(self, figure: str) -> list[str] | None:
        """List of words, or None."""
        value = self.get(figure)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise SpecError(f"{self.where}: '{figure}' must be a list of words")
        return value

    def numbers(self, figure: str) -> list[int] | None:
        """List of whole numbers, None for anything that is no list."""
        value = self.get(figure)
        if not isinstance(value, list):
            return None
        if not all(isinstance(v, int) for v in value):
            raise SpecError(f"{self.where}: '{figure}' must be a list of whole numbers")
        return [int(v) for v in value]

    @property
    def model_type(self) -> str:
        """Model type of the text model, without the `_text` ending."""
        for level in (self._levels[0], self._levels[-1]):
            name = level.get("model_type")
            if isinstance(name, str) and name:
                return "deepseek_v4" if self.get("o_lora_rank") else name.removesuffix("_text")
        return ""

    @cached_property
    def family(self) -> Family:
        """What is known of the model type; the plainest decoder where nothing is."""
        table = tables()["families"].get(self.model_type)
        return Family(known=False) if table is None else Family(**table)
