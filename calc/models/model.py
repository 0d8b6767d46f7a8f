"""A language model as shapes: parameter counts and the size of its cache.

Before it stands the catalog (or `model_import`), which brings a spec file, a config.json or a GGUF header to
a normal form; behind it `operators` turns the shapes into work. Everything here is plain integers and floats.
Formulas of the counts: `models.build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..provenance import Source

BYTES_FP32 = 4.0


@dataclass(frozen=True, repr=False)
class Attention:
    """One layer's attention block: shapes, weights, and what it keeps of a sequence.

    kind: "full", "sliding", "chunked", "mla", "linear", "csa" or "hca". All `*_params` count weights, all
    `*_elements*` count cached numbers (multiply by the bytes of the cache format).
    """

    kind: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int  # query and key; nope + rope with MLA; key head of a linear layer
    v_head_dim: int
    window: int | None
    params: int  # the whole block: projections, biases, its own norms, sinks, indexer
    qkv_params: int  # matrices in front of the attention (with MLA: both low-rank pairs)
    out_params: int  # matrices behind it
    kv_elements_per_token: float  # per token of min(context, window)
    state_elements: int = 0  # constant per sequence (linear attention)
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    rope_dim: int = 0
    nope_dim: int = 0
    index_heads: int = 0
    index_head_dim: int = 0
    index_top_k: int = 0
    compress_ratio: float = 0.0  # tokens per compressed entry (csa, hca)
    shared_kv: bool = False  # one projection serves as key and value
    compressed_elements_per_token: float = 0.0  # beside the window: grows with the whole context (csa, hca)
    index_params: int = 0  # matrices of the sparse indexer, inside `params`
    qk_norm: bool = False  # queries and keys are normalised by kernels of their own
    norm_over_heads: bool = False  # ... over all heads together: tensor-parallel ranks exchange their squares
    down_params: int = 0  # low-rank down projections, inside `qkv_params`; every rank keeps them
    state_bytes_per_element: float = BYTES_FP32
    variant: str = ""  # recurrence of a linear layer: "gated_deltanet" or "lightning"

    def kv_elements(self, context: Any) -> Any:
        """Cached elements of one sequence of `context` tokens, without the constant state.

        kv_elements_per_token * min(context, window) + compressed_elements_per_token * context;
        context: tokens, number or array.
        """
        tokens = context if self.window is None else np.minimum(context, self.window)
        return self.kv_elements_per_token * tokens + self.compressed_elements_per_token * context


@dataclass(frozen=True, repr=False)
class FeedForward:
    """One layer's FFN. `dense_params` are the weights every token meets, the router aside."""

    kind: str  # "dense" or "moe"
    width: int  # of what every token meets: dense FFN, or shared experts plus a dense residual branch
    matrices: int  # 3 gated, 2 plain
    dense_params: int
    router_params: int = 0
    experts: int = 0
    top_k: int = 0
    expert_width: int = 0
    expert_params: int = 0  # one expert

    @property
    def routed_params(self) -> int:
        """Weights of all routed experts."""
        return self.experts * self.expert_params

    @property
    def params(self) -> int:
        """All weights of the FFN: what every token meets, router, routed experts."""
        return self.dense_params + self.router_params + self.routed_params

    @property
    def active_params(self) -> int:
        """Weights one token meets."""
        return self.dense_params + self.router_params + self.top_k * self.expert_params


@dataclass(frozen=True, repr=False)
class LayerGroup:
    """`count` equal decoder layers. `norm_params` are the norms (and residual mixers) around both blocks."""

    count: int
    attention: Attention
    ffn: FeedForward
    norm_params: int

    @property
    def params(self) -> int:
        """Weights of one layer."""
        return self.attention.params + self.ffn.params + self.norm_params

    @property
    def active_params(self) -> int:
        """Weights one token meets in one layer."""
        return self.attention.params + self.ffn.active_params + self.norm_params


@dataclass(frozen=True, repr=False)
class Model:
    """A decoder: its layer groups, its tables, and where the numbers come from. No vision tower."""

    id: str
    name: str
    vendor: str
    family: str
    aliases: tuple[str, ...]
    hidden: int
    layers: int
    vocab: int
    tied: bool
    max_context: int
    native_format: str  # of the bulk of the weights as released (routed experts in a mixture)
    groups: tuple[LayerGroup, ...]
    embedding_params: int  # input table and learned positions
    head_params: int  # 0 when tied; `head_read_params` is what a step reads
    mtp_layers: int = 0
    mtp_params: int = 0
    release_date: str = ""
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    published_params: float | None = None
    path: str = ""
    final_params: int = 0  # last norm, and the last residual mixer
    native_rest_format: str = ""  # other linear weights (attention, shared and dense FFN)
    native_table_format: str = "bf16"  # embedding, head, norms, router
    fp8_scales: str = ""  # "block" where the maker also releases fp8 weights with a scale per block
    native_bits: float | None = None  # of `native_format`, where the release says
    published_active_params: float | None = None
    published_note: str = ""  # who published the totals; why they differ from the count, where they do
    grade: str = "D"  # of the shapes: A vendor, B copy or code of the vendor's, C third party, D unverified
    architecture: str = ""

    # ---------------------------------------------------------------- counts
    @property
    def is_moe(self) -> bool:
        """Whether any layer routes tokens to experts."""
        return any(g.ffn.kind == "moe" for g in self.groups)

    @property
    def head_read_params(self) -> int:
        """Weights the output head multiplies: its own table, or the tied input table."""
        return self.vocab * self.hidden if self.tied else self.head_params

    @property
    def params_by_part(self) -> dict[str, int]:
        """Weights by part; the parts sum to `params_total`."""
        parts = {"embedding": self.embedding_params, "head": self.head_params, "final": self.final_params}
        parts["attention"] = sum(g.count * g.attention.params for g in self.groups)
        parts["dense_ffn"] = sum(g.count * g.ffn.dense_params for g in self.groups)
        parts["router"] = sum(g.count * g.ffn.router_params for g in self.groups)
        parts["experts"] = self.params_routed_experts
        parts["norms"] = sum(g.count * g.norm_params for g in self.groups)
        return parts

    @property
    def params_total(self) -> int:
        """All weights of the text decoder, without multi-token-prediction layers."""
        return self._outside + sum(g.count * g.params for g in self.groups)

    @property
    def params_active(self) -> int:
        """Everything one token touches, both embedding tables included: total - sum (E - k) expert."""
        return self._outside + sum(g.count * g.active_params for g in self.groups)

    @property
    def params_active_no_embed(self) -> int:
        """Weights multiplied per token: active without the input table (a lookup), with the output head."""
        tied_head = self.vocab * self.hidden if self.tied else 0
        return self.params_active - self.embedding_params + tied_head

    @property
    def params_routed_experts(self) -> int:
        """Weights of all routed experts of all layers."""
        return sum(g.count * g.ffn.routed_params for g in self.groups)

    @property
    def _outside(self) -> int:
        return self.embedding_params + self.head_params + self.final_params

    # ----------------------------------------------------------------- cache
    @property
    def state_bytes(self) -> float:
        """Constant bytes per sequence of linear layers, in the state's own format (usually fp32)."""
        layers = ((g.count, g.attention) for g in self.groups)
        return float(sum(n * a.state_elements * a.state_bytes_per_element for n, a in layers))

    def kv_elements(self, context: Any) -> Any:
        """Cached elements of one sequence of `context` tokens (number or array), all layers, no state."""
        return sum(g.count * g.attention.kv_elements(context) for g in self.groups)

    def kv_bytes(self, context: Any, bytes_per_element: Any) -> Any:
        """Cached bytes of one sequence: elements(context) * bytes_per_element + constant state.

        context: tokens, number or array; bytes_per_element: of the cache format, number or array, broadcast.
        """
        total = self.kv_elements(context) * bytes_per_element + self.state_bytes
        return total if np.ndim(total) else float(total)

    def kv_bytes_per_token(self, bytes_per_element: float, context: float = 0) -> float:
        """Bytes by which the cache grows with the next token after `context` tokens.

        Windowed layers that are full no longer grow; with context 0 every layer counts.
        """
        total = 0.0
        for g in self.groups:
            a = g.attention
            growing = a.window is None or context < a.window
            per_token = a.kv_elements_per_token * growing + a.compressed_elements_per_token
            total += g.count * per_token * bytes_per_element
        return total
