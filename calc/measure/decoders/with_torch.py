"""The same decoder in PyTorch, on any of its devices and data types; on CUDA a decode step is replayed as a graph.

Weights are those of `with_numpy` (so the two can be compared), cast to the data type. PyTorch is optional.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..machine import need_torch
from .shapes import Shape
from .with_numpy import random_matrix

Tensor = Any
TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class TorchDecoder:
    """A decoder with a cache for `batch` sequences of at most `max_context` tokens; notes: why there is no graph."""

    def __init__(
        self, shape: Shape, max_context: int, batch: int = 1, *, dtype: str = "fp32", device: str = "cpu"
    ) -> None:
        self.torch = torch = need_torch()
        self.shape, self.device = shape, device
        self.kind = getattr(torch, TYPES[dtype])
        self.notes: list[str] = []
        self.length = 0
        rng = np.random.default_rng(0)
        with torch.inference_mode():
            self.layers = [self._layer_weights(rng) for _ in range(shape.layers)]
            self.embed = self._to(random_matrix(rng, shape.vocab, shape.hidden))
            self.head = self.embed if shape.tied else self._to(random_matrix(rng, shape.vocab, shape.hidden))
            size = (shape.layers, batch, shape.kv_heads, max_context, shape.head_dim)
            self.keys = torch.zeros(size, dtype=self.kind, device=device)
            self.values = torch.zeros(size, dtype=self.kind, device=device)
            rate = 10000.0 ** (-torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim)
            angle = torch.arange(max_context, dtype=torch.float32)[:, None] * rate
            self.cos = torch.cos(angle).to(device).to(self.kind)
            self.sin = torch.sin(angle).to(device).to(self.kind)

    def _to(self, matrix: np.ndarray[Any, Any]) -> Tensor:
        return self.torch.from_numpy(matrix).to(self.device).to(self.kind)

    def _layer_weights(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """q, k and v as one matrix, gate and up as one: fewer launches, as serving engines do."""
        parts = {name: random_matrix(rng, n, k) for name, n, k in self.shape.matrices}
        return {
            "qkv": self._to(np.concatenate([parts["q"], parts["k"], parts["v"]])),
            "o": self._to(parts["o"]),
            "gate_up": self._to(np.concatenate([parts["gate"], parts["up"]])),
            "down": self._to(parts["down"]),
        }

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, vocab) after the last of tokens (batch, new)."""
        with self.torch.inference_mode():
            new = tokens.shape[1]
            x = self.embed[tokens]
            for index in range(self.shape.layers):
                x = self._layer(x, index)
            self.length += new
            return self.torch.nn.functional.linear(self._norm(x[:, -1]), self.head)

    def _norm(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * self.torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(self.kind)

    def _rotate(self, x: Tensor) -> Tensor:
        here = slice(self.length, self.length + x.shape[2])
        (a, b), cos, sin = x.chunk(2, dim=-1), self.cos[here], self.sin[here]
        return self.torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def _layer(self, x: Tensor, index: int) -> Tensor:
        s, f, w = self.shape, self.torch.nn.functional, self.layers[index]
        batch, new, past = x.shape[0], x.shape[1], self.length
        end = past + new
        qkv = f.linear(self._norm(x), w["qkv"]).view(batch, new, s.heads + 2 * s.kv_heads, s.head_dim).transpose(1, 2)
        q, k, v = qkv.split([s.heads, s.kv_heads, s.kv_heads], dim=1)
        keys, values = self.keys[index], self.values[index]
        keys[:, :, past:end] = self._rotate(k)
        values[:, :, past:end] = v
        mask = None
        if new > 1 and past:
            seen = self.torch.arange(end, device=x.device)[None, :]
            mask = seen <= self.torch.arange(past, end, device=x.device)[:, None]
        mixed = f.scaled_dot_product_attention(
            self._rotate(q),
            keys[:, :, :end],
            values[:, :, :end],
            attn_mask=mask,
            is_causal=new > 1 and not past,
            enable_gqa=s.heads != s.kv_heads,
        )
        x = x + f.linear(mixed.transpose(1, 2).reshape(batch, new, s.heads * s.head_dim), w["o"])
        gate, up = f.linear(self._norm(x), w["gate_up"]).chunk(2, dim=-1)
        return x + f.linear(f.silu(gate) * up, w["down"])

    def graph(self, tokens: Tensor) -> Callable[[], Any] | None:
        """A function that replays this decode step as one CUDA graph; None where that is impossible."""
        if not self.device.startswith("cuda"):
            return None
        torch, past = self.torch, self.length
        try:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self.length = past
                    self.forward(tokens)
            torch.cuda.current_stream().wait_stream(stream)
            self.length = past
            recorded = torch.cuda.CUDAGraph()
            with torch.cuda.graph(recorded):
                self.forward(tokens)
            return recorded.replay
        except RuntimeError as error:
            self.notes.append(f"no CUDA graph ({str(error).splitlines()[0][:100]})")
            return None
        finally:
            self.length = past
