"""A language model as shapes: parameter counts and the size of its cache; `build` counts them from a spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..arrays import Array
    from ..provenance import Source


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
    state_bytes_per_element: float = 4.0

    def kv_elements(self, context: Array) -> Array:
        """Cached elements of one sequence: per token x min(context, window) + compressed per token x context.

        The constant state is not among them. context: tokens.
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
        return {
            "embedding": self.embedding_params,
            "head": self.head_params,
            "final": self.final_params,
            "attention": sum(g.count * g.attention.params for g in self.groups),
            "dense_ffn": sum(g.count * g.ffn.dense_params for g in self.groups),
            "router": sum(g.count * g.ffn.router_params for g in self.groups),
            "experts": self.params_routed_experts,
            "norms": sum(g.count * g.norm_params for g in self.groups),
        }

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

    @property
    def state_bytes(self) -> float:
        """Constant bytes per sequence of linear layers, in the state's own format (usually fp32)."""
        layers = ((g.count, g.attention) for g in self.groups)
        return float(sum(n * a.state_elements * a.state_bytes_per_element for n, a in layers))

    def kv_elements(self, context: Array) -> Array:
        """Cached elements of one sequence of `context` tokens, all layers, no state."""
        return sum(g.count * g.attention.kv_elements(context) for g in self.groups)

    def kv_bytes(self, context: Array, bytes_per_element: Array) -> Array:
        """Cached bytes of one sequence: elements(context) * bytes_per_element + constant state.

        >>> from tokcalc.catalog import load_model
        >>> load_model("llama-3.1-70b").kv_bytes(1000, 2.0)  # 80 layers x 2 x 8 heads x 128
        327680000.0
        """
        total = self.kv_elements(context) * bytes_per_element + self.state_bytes
        return total if np.ndim(total) else float(total)

    def kv_bytes_per_token(self, bytes_per_element: float, context: float = 0) -> float:
        """Bytes by which the cache grows with the next token after `context` tokens.

        Windowed layers that are full no longer grow; with context 0 every layer counts.

        >>> from tokcalc.catalog import load_model
        >>> model = load_model("gpt-oss-120b")  # half of 36 layers look back over 128 tokens
        >>> model.kv_bytes_per_token(2.0), model.kv_bytes_per_token(2.0, 1000)
        (73728.0, 36864.0)
        """
        total = 0.0
        for g in self.groups:
            a = g.attention
            growing = a.window is None or context < a.window
            per_token = a.kv_elements_per_token * growing + a.compressed_elements_per_token
            total += g.count * per_token * bytes_per_element
        return total
