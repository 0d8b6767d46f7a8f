"""Shapes of decoders that this machine runs: taken from a model's spec, or made up for a probe.

A `Shape` is what the NumPy, PyTorch and synthetic llama.cpp decoders build; `model()` gives the same thing
as the rest of the program sees it, so that predictions run through the same operators as any other answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import UsageError

if TYPE_CHECKING:
    from ...models.model import Model


@dataclass(frozen=True)
class Shape:
    """A llama-like decoder: grouped-query attention, gated FFN or experts, RMS norms, rotary positions."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    width: int
    vocab: int
    tied: bool = True
    experts: int = 0
    top_k: int = 0
    notes: tuple[str, ...] = ()

    @property
    def matrices(self) -> tuple[tuple[str, int, int], ...]:
        """(name, outputs, inputs) of one layer's matrices; of the experts, one."""
        h, q, kv = self.hidden, self.heads * self.head_dim, self.kv_heads * self.head_dim
        ffn = (("gate", self.width, h), ("up", self.width, h), ("down", h, self.width))
        return (("q", q, h), ("k", kv, h), ("v", kv, h), ("o", h, q), *ffn)

    @property
    def weights(self) -> int:
        """Weights of all matrices, tables included."""
        copies = max(1, self.experts)
        per = sum(n * k * (copies if name in ("gate", "up", "down") else 1) for name, n, k in self.matrices)
        router = self.experts * self.hidden
        return self.layers * (per + router) + self.vocab * self.hidden * (1 if self.tied else 2)

    def kv_bytes(self, tokens: int, item_bytes: float) -> float:
        """Cache of one sequence: 2 x layers x KV heads x head width x tokens."""
        return 2.0 * self.layers * self.kv_heads * self.head_dim * tokens * item_bytes

    def model(self) -> Model:
        """The shape as a Model of the core."""
        from ...catalog.schema_model import check_model
        from ...models.build import build_model

        raw: dict[str, object] = {
            **{"id": self.name, "name": self.name, "vendor": "probe", "family": "probe", "grade": "D"},
            "shape": {
                "layers": self.layers,
                "hidden": self.hidden,
                "vocab": self.vocab,
                "tied_embeddings": self.tied,
                "max_context": 1 << 20,
            },
            "attention": {"heads": self.heads, "kv_heads": self.kv_heads, "head_dim": self.head_dim},
            "ffn": {"matrices": 3, "width": self.width},
            "weights": {"native_format": "bf16"},
            "published": {"total": float(self.weights), "source": "a probe"},
            "sources": [{"date": "2026-01-01", "grade": "D", "note": "made up for a probe"}],
        }
        if self.experts:
            raw["moe"] = {"experts": self.experts, "top_k": self.top_k, "expert_width": self.width}
        return build_model(check_model(raw, self.name))


def shape_of(model: Model) -> Shape:
    """The shape of a model for a synthetic run: layers all alike, those of the largest group; see its notes.

    Raises UsageError where attention has no such form (latent, linear, compressed).
    """
    group = max(model.groups, key=lambda g: g.count)
    att, ffn = group.attention, group.ffn
    if att.kind not in ("full", "sliding", "chunked"):
        raise UsageError(
            f"model '{model.id}' has {att.kind} attention, which has no synthetic form; measure a real file with --gguf"
        )
    notes = []
    if len(model.groups) > 1:
        notes.append(f"all {model.layers} layers like the {group.count} most common ones")
    if any(g.attention.window for g in model.groups):
        notes.append("windowed attention sees the whole context")
    moe = ffn.kind == "moe"
    if moe and ffn.dense_params:
        notes.append("shared experts are left out")
    if ffn.matrices != 3:
        notes.append("the plain FFN is run as a gated one of the same number of weights")
    width = ffn.expert_width if moe else ffn.width * ffn.matrices // 3
    whole = Shape(model.id, model.layers, model.hidden, att.heads, att.kv_heads, att.head_dim, width, model.vocab)
    experts, top_k = (ffn.experts, ffn.top_k) if moe else (0, 0)
    return replace(whole, tied=model.tied, experts=experts, top_k=top_k, notes=tuple(notes))


def probe_shapes(quick: bool) -> dict[str, Shape]:
    """Decoders made to find constants; none has the shape of a model that is judged.

    tiny and tall differ only in layers: floors per step and per layer. thin has many layers of weights that
    pass through the caches: floors of engines driven from Python, whose own code and data the weights push
    out. deep streams its weights from memory in long rows and is wide enough for large products. slim does
    so in short rows: with deep it tells the time of a row from that of its bytes. cache is nearly all
    attention. cold and small read a cache that the weights have pushed out of the processor's own, as real
    models do; they and slim differ in how many heads share a key.
    """
    found = {
        "tiny": Shape("probe-tiny", 2, 128, 2, 1, 64, 256, 512),
        "tall": Shape("probe-tall", 18, 128, 2, 1, 64, 256, 512),
        "thin": Shape("probe-thin", 48, 256, 4, 4, 64, 768, 512),
        "deep": Shape("probe-deep", 3 if quick else 4, 1536, 24, 6, 64, 6144, 8192),
        "cache": Shape("probe-cache", 12, 768, 12, 4, 64, 256, 512),
    }
    if quick:
        found["slim"] = Shape("probe-slim", 16, 512, 12, 4, 64, 1792, 16384)
        return found
    found["slim"] = Shape("probe-slim", 24, 448, 7, 7, 64, 1600, 8192)
    found["small"] = Shape("probe-small", 16, 640, 10, 2, 64, 1792, 24576)
    found["cold"] = Shape("probe-cold", 14, 768, 18, 6, 64, 2304, 16384)
    return found
