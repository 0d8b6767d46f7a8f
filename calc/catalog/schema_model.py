"""The schema of a model spec file, and its check: raw TOML tables in, a JSON-able normal form out.

The field-by-field guide for people is specs/README.md. Every table of the normal form is present (absent ones
are null) and every default is filled in, so that `model_build` needs no defaults of its own.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..errors import SpecError

Count = Annotated[int, Field(strict=True, ge=1, le=10**8)]
CountOrZero = Annotated[int, Field(strict=True, ge=0, le=10**8)]
Depth = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Text = Annotated[str, Field(strict=True, max_length=4_000)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
Flag = Annotated[bool, Field(strict=True)]
Kind = Literal["full", "sliding", "chunked", "linear", "csa", "hca"]
Grade = Literal["A", "B", "C", "D"]


def _iso(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.date) else value


Date = Annotated[Text, BeforeValidator(_iso), Field(pattern=r"^(\d{4}(-\d{2}(-\d{2})?)?)?$")]


class Table(BaseModel):
    """A table of the file; a key that the schema does not know is an error, not a remark."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


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
    conv_kernel: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
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
    experts: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    top_k: Annotated[int, Field(strict=True, ge=1, le=100_000)]
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
    layers: Annotated[int, Field(strict=True, ge=1, le=64)]
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
    total: Annotated[float, Field(gt=0, lt=1e18)] | None = None
    active: Annotated[float, Field(gt=0, lt=1e18)] | None = None
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
        self._check_attention()
        self._check_ffn()
        return self

    def _check_attention(self) -> None:
        att, kinds = self.attention, {*self.pattern.prefix, *self.pattern.cycle}
        if len(self.pattern.prefix) > self.shape.layers:
            raise ValueError(f"pattern.prefix has more entries than shape.layers = {self.shape.layers}")
        if self.mla is None and att.head_dim is None:
            raise ValueError("attention.head_dim is missing")
        if self.mla is not None and kinds & {"sliding", "chunked", "csa", "hca"}:
            raise ValueError("pattern names windowed or compressed layers, which [mla] cannot describe")
        if "linear" in kinds and self.linear is None:
            raise ValueError("pattern names linear layers, so a [linear] table is missing")
        if kinds & {"csa", "hca"} and self.compressed is None:
            raise ValueError("pattern names csa or hca layers, so a [compressed] table is missing")
        if self.compressed is not None:
            if not kinds <= {"sliding", "csa", "hca"}:
                raise ValueError("with [compressed] the pattern may name sliding, csa and hca layers only")
            if "csa" in kinds and self.index is None:
                raise ValueError("csa layers need an [index] table")
            if att.head_dim is not None and self.compressed.rope_dim > att.head_dim:
                raise ValueError("compressed.rope_dim is larger than attention.head_dim")
        low_rank_query = self.compressed is not None or (self.mla is not None and self.mla.q_lora_rank)
        if self.index is not None and not low_rank_query:
            raise ValueError("an [index] table needs [compressed], or [mla] with q_lora_rank")
        for kind in kinds & {"full", "sliding", "chunked"}:
            over = getattr(att, kind) or KindOverride()
            heads, kv = over.heads or att.heads, over.kv_heads or att.kv_heads
            if heads % kv:
                raise ValueError(f"attention.heads = {heads} is not a multiple of kv_heads = {kv}")
            if kind != "full" and not (over.window or att.window):
                raise ValueError(f"pattern names {kind} layers, so attention.window is missing")
        if kinds & {"csa", "hca"} and not att.window:
            raise ValueError("csa and hca layers need attention.window")

    def _check_ffn(self) -> None:
        moe, layers = self.moe, self.shape.layers
        dense_layers = moe is None or moe.every > 1
        if moe is not None:
            dense_layers |= bool(moe.first_dense_layers or moe.dense_layers or moe.dense_residual)
        if moe is not None:
            if moe.top_k > moe.experts:
                raise ValueError(f"moe.top_k = {moe.top_k} exceeds moe.experts = {moe.experts}")
            if moe.shared_experts and not moe.shared_width:
                raise ValueError("moe.shared_width is missing though moe.shared_experts is given")
            if moe.first_dense_layers > layers:
                raise ValueError("moe.first_dense_layers exceeds shape.layers")
        if self.mtp is not None and self.mtp.ffn == "dense":
            dense_layers = True
        if dense_layers and self.ffn.width is None:
            raise ValueError("ffn.width is missing though some layers have a dense FFN")


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

    tables = (ModelTable, Shape, Pattern, AttentionTable, Mla, Linear, Compressed, Index, Ffn, Moe, Mtp)
    names = {name for table in (*tables, Weights, Published, SourceTable) for name in table.model_fields}
    near = difflib.get_close_matches(key, sorted(names), n=3)
    return f"there is no such key; the nearest are {', '.join(near)}" if near else "there is no such key"
