"""The schema of a model spec file, and its check: raw TOML tables in, a JSON-able normal form out.

The field-by-field guide for people is specs/README.md. Every table of the normal form is present (absent ones
are null) and every default is filled in, so that `model_build` needs no defaults of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ..errors import SpecError
from .schema_common import Grade
from .schema_common import Strict as Table

Count = Annotated[int, Field(strict=True, ge=1, le=10**8)]
CountOrZero = Annotated[int, Field(strict=True, ge=0, le=10**8)]
Depth = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Small = Annotated[int, Field(strict=True, ge=1, le=64)]
Experts = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Total = Annotated[float, Field(gt=0, lt=1e18)]
Text = Annotated[str, Field(strict=True, max_length=4_000)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
Flag = Annotated[bool, Field(strict=True)]
Kind = Literal["full", "sliding", "chunked", "linear", "csa", "hca"]
Day = BeforeValidator(lambda value: value.isoformat() if isinstance(value, datetime.date) else value)
Date = Annotated[Text, Day, Field(pattern=r"^(\d{4}(-\d{2}(-\d{2})?)?)?$")]


class Shape(Table):
    layers: Depth
    hidden: Count
    vocab: Count
    tied_embeddings: Flag
    max_context: Annotated[int, Field(strict=True, ge=1, le=10**10)]
    norms_per_layer: Annotated[int, Field(strict=True, ge=0, le=16)] = 2
    norm_bias: Flag = False
    head_bias: Flag = False
    learned_positions: CountOrZero = 0
    hyper_connections: Annotated[int, Field(strict=True, ge=0, le=64)] = 0


class Pattern(Table):
    prefix: list[Kind] = Field(default_factory=list, max_length=10_000)
    cycle: list[Kind] = Field(default_factory=lambda: ["full"], min_length=1, max_length=10_000)  # type: ignore[arg-type]


class KindOverride(Table):
    heads: Count | None = None
    kv_heads: Count | None = None
    head_dim: Count | None = None
    window: Count | None = None
    shared_kv: Flag | None = None


class AttentionTable(Table):
    heads: Count
    kv_heads: Count
    head_dim: Count | None = None
    window: Count | None = None
    qk_norm: Literal["none", "per_head", "own_per_head", "full_width"] = "none"
    qkv_bias: Flag = False
    out_bias: Flag = False
    output_gate: Flag = False
    sinks: Flag = False
    shared_kv: Flag = False
    cached_vectors: Literal[1, 2] = 2
    full: KindOverride | None = None
    sliding: KindOverride | None = None
    chunked: KindOverride | None = None


class Mla(Table):
    q_lora_rank: Count | None = None
    kv_lora_rank: Count
    nope_dim: Count
    rope_dim: Count
    v_head_dim: Count


class Linear(Table):
    kind: Literal["gated_deltanet", "lightning"]
    key_heads: Count
    value_heads: Count
    key_head_dim: Count
    value_head_dim: Count
    conv_kernel: Small = 1
    state_bytes_per_element: Annotated[float, Field(gt=0, le=8)] = 4.0


class Compressed(Table):
    q_lora_rank: Count
    rope_dim: Count
    o_groups: Count
    o_lora_rank: Count
    csa_ratio: Count
    hca_ratio: Count


class Index(Table):
    heads: Count
    head_dim: Count
    top_k: Count


class Ffn(Table):
    matrices: Literal[2, 3] = 3
    activation: Text = "silu"
    width: Count | None = None
    bias: Flag = False


class Moe(Table):
    experts: Experts
    top_k: Experts
    expert_width: Count
    shared_experts: CountOrZero = 0
    shared_width: CountOrZero = 0
    first_dense_layers: CountOrZero = 0
    every: Count = 1
    dense_layers: list[CountOrZero] = Field(default_factory=list, max_length=10_000)
    router_bias: Flag = False
    expert_bias: Flag = False
    shared_gate: Flag = False
    post_norm: Flag = False
    dense_residual: Flag = False
    expert_groups: Count | None = None
    groups_per_token: Count | None = None
    hash_routed_layers: CountOrZero = 0


class Mtp(Table):
    layers: Small
    weights_released: Flag = True
    attention: Kind = "full"
    ffn: Literal["dense", "moe"] = "moe"


class Weights(Table):
    native_format: Name
    rest_format: Text = ""
    table_format: Name = "bf16"
    bits_per_weight: Annotated[float, Field(gt=0, le=64)] | None = None
    block: list[Count] = Field(default_factory=list, max_length=4)
    fp8_scales: Literal["", "block"] = ""
    applies_to: Text = ""


class Published(Table):
    total: Total | None = None
    active: Total | None = None
    source: Text = ""
    difference: Text = ""


class SourceTable(Table):
    url: Text = ""
    date: Date = ""
    grade: Grade
    covers: Text = ""
    note: Text = ""


class ModelTable(Table):
    """One model file."""

    id: Name
    name: Text = ""
    vendor: Text = ""
    family: Text = ""
    aliases: list[Name] = Field(default_factory=list, max_length=200)
    hub: Text = ""
    architecture: Text = ""
    release_date: Date = ""
    grade: Grade = "D"
    notes: list[Text] = Field(default_factory=list, max_length=200)
    unverified: list[Text] = Field(default_factory=list, max_length=200)
    shape: Shape
    pattern: Pattern = Field(default_factory=Pattern)
    attention: AttentionTable
    mla: Mla | None = None
    linear: Linear | None = None
    compressed: Compressed | None = None
    index: Index | None = None
    ffn: Ffn = Field(default_factory=Ffn)
    moe: Moe | None = None
    mtp: Mtp | None = None
    weights: Weights
    published: Published = Field(default_factory=Published)
    sources: list[SourceTable] = Field(default_factory=list, max_length=200)

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelTable:
        broken = next((message for wrong, message in (*self._attention_rules(), *self._ffn_rules()) if wrong), None)
        if broken:
            raise ValueError(broken)
        return self

    def _attention_rules(self) -> Iterator[tuple[object, str]]:
        """(whether a rule is broken, what to say), in order."""
        att, mla, compressed, layers = self.attention, self.mla, self.compressed, self.shape.layers
        kinds = {*self.pattern.prefix, *self.pattern.cycle}
        yield len(self.pattern.prefix) > layers, f"pattern.prefix has more entries than shape.layers = {layers}"
        yield not (mla or att.head_dim), "attention.head_dim is missing"
        windowed = "pattern names windowed or compressed layers, which [mla] cannot describe"
        yield mla and kinds & {"sliding", "chunked", "csa", "hca"}, windowed
        missing = "pattern names {} layers, so a [{}] table is missing"
        yield "linear" in kinds and not self.linear, missing.format("linear", "linear")
        yield kinds & {"csa", "hca"} and not compressed, missing.format("csa or hca", "compressed")
        if compressed:
            others = kinds - {"sliding", "csa", "hca"}
            yield others, "with [compressed] the pattern may name sliding, csa and hca layers only"
            yield "csa" in kinds and not self.index, "csa layers need an [index] table"
            wide = att.head_dim and compressed.rope_dim > att.head_dim
            yield wide, "compressed.rope_dim is larger than attention.head_dim"
        low_rank_query = compressed or (mla and mla.q_lora_rank)
        yield self.index and not low_rank_query, "an [index] table needs [compressed], or [mla] with q_lora_rank"
        for kind in sorted(kinds & {"full", "sliding", "chunked"}):
            over = getattr(att, kind) or KindOverride()
            heads, kv = over.heads or att.heads, over.kv_heads or att.kv_heads
            yield heads % kv, f"attention.heads = {heads} is not a multiple of kv_heads = {kv}"
            window = kind == "full" or over.window or att.window
            yield not window, f"pattern names {kind} layers, so attention.window is missing"
        yield kinds & {"csa", "hca"} and not att.window, "csa and hca layers need attention.window"

    def _ffn_rules(self) -> Iterator[tuple[object, str]]:
        moe = self.moe
        if moe:
            yield moe.top_k > moe.experts, f"moe.top_k = {moe.top_k} exceeds moe.experts = {moe.experts}"
            shared = moe.shared_experts and not moe.shared_width
            yield shared, "moe.shared_width is missing though moe.shared_experts is given"
            yield moe.first_dense_layers > self.shape.layers, "moe.first_dense_layers exceeds shape.layers"
        plain = not moe or moe.every > 1 or moe.first_dense_layers or moe.dense_layers or moe.dense_residual
        dense = plain or (self.mtp and self.mtp.ffn == "dense")
        yield dense and self.ffn.width is None, "ffn.width is missing though some layers have a dense FFN"


def check_model(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Normal form of a raw model spec: every table present, defaults filled in, JSON-able.

    raw: parsed TOML; where: the file's name for the message. Raises SpecError, one sentence.
    """
    try:
        return ModelTable.model_validate(raw).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            reason = "it is missing; add it"
        elif first["type"] == "extra_forbidden":
            reason = _unknown_key(str(first["loc"][-1]))
        more = error.error_count() - 1
        tail = f" (and {more} more to mend)" if more else ""
        raise SpecError(f"{where}: {key + ': ' if key else ''}{reason}{tail}") from None
    except RecursionError:
        raise SpecError(f"{where}: tables are nested too deeply for a model") from None


def _unknown_key(key: str) -> str:
    """What to say of a key that no table has: the nearest names that some table does have."""
    import difflib

    schema = ModelTable.model_json_schema()
    names = {name for table in (schema, *schema["$defs"].values()) for name in table["properties"]}
    near = difflib.get_close_matches(key, sorted(names), n=3)
    return f"there is no such key; the nearest are {', '.join(near)}" if near else "there is no such key"
