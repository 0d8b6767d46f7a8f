"""The reference decoder in NumPy: a llama-like transformer with a key-value cache, readable in one sitting.

RMS norm, rotary positions, grouped-query attention, gated SiLU FFN; fp32 throughout. Weights are random:
speed does not depend on them, and the tests check that prefill plus decode equals one full pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .shapes import Shape

Array = np.ndarray[Any, np.dtype[np.float32]]
CHUNK = 256


def random_matrix(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Normal values of deviation 1/sqrt(columns), from a repeated tile where the matrix is large."""
    size = rows * columns
    tile = rng.standard_normal(min(size, 1 << 20), dtype=np.float32) / np.sqrt(columns, dtype=np.float32)
    return np.resize(tile, (rows, columns))


def random_weights(shape: Shape, seed: int = 0) -> dict[str, Any]:
    """embed (V, H), head (V, H), and per layer q k v o gate up down as (outputs, inputs)."""
    rng = np.random.default_rng(seed)
    layers = [{name: random_matrix(rng, n, k) for name, n, k in shape.matrices} for _ in range(shape.layers)]
    embed = random_matrix(rng, shape.vocab, shape.hidden)
    head = embed if shape.tied else random_matrix(rng, shape.vocab, shape.hidden)
    return {"embed": embed, "head": head, "layers": layers}


def rms_norm(x: Array) -> Array:
    """x / sqrt(mean(x^2) + 1e-5), weights of the norm are ones. Source: Zhang and Sennrich 2019."""
    scale = 1.0 / np.sqrt(np.einsum("...i,...i->...", x, x) / np.float32(x.shape[-1]) + np.float32(1e-5))
    return np.asarray(x * scale[..., None], dtype=np.float32)


def rotary(positions: np.ndarray[Any, Any], head_dim: int) -> tuple[Array, Array]:
    """cos and sin of position x 10000^(-2 i / head_dim), each (tokens, head_dim / 2). Source: Su et al. 2021."""
    rate = 10000.0 ** (-np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
    angle = positions[:, None] * rate
    return np.cos(angle, dtype=np.float32), np.sin(angle, dtype=np.float32)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Rotate the two halves of each head: x (..., tokens, heads, head_dim)."""
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    c, s = cos[:, None, :], sin[:, None, :]
    return np.concatenate([a * c - b * s, b * c + a * s], axis=-1)


def softmax(x: Array) -> Array:
    """Softmax over the last axis, in place."""
    x -= x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


class NumpyDecoder:
    """A decoder with a cache for `batch` sequences of at most `max_context` tokens."""

    def __init__(self, shape: Shape, max_context: int, batch: int = 1, seed: int = 0) -> None:
        self.shape = shape
        self.weights = random_weights(shape, seed)
        size = (shape.layers, batch, shape.kv_heads, max_context, shape.head_dim)
        self.keys = np.zeros(size, dtype=np.float32)
        self.values = np.zeros(size, dtype=np.float32)
        self.length = 0

    def forward(self, tokens: np.ndarray[Any, np.dtype[np.int64]]) -> Array:
        """Logits (batch, vocab) after the last of tokens (batch, new); prompts go in chunks of 256."""
        for start in range(0, tokens.shape[1], CHUNK):
            x = self._pass(tokens[:, start : start + CHUNK])
        return np.asarray(rms_norm(x[:, -1]) @ self.weights["head"].T)

    def _pass(self, tokens: np.ndarray[Any, np.dtype[np.int64]]) -> Array:
        x: Array = self.weights["embed"][tokens]
        angles = rotary(np.arange(self.length, self.length + tokens.shape[1]), self.shape.head_dim)
        for index, w in enumerate(self.weights["layers"]):
            x = x + self._attention(index, rms_norm(x), angles)
            h = rms_norm(x)
            gate = h @ w["gate"].T
            gate /= 1.0 + np.exp(-gate)
            gate *= h @ w["up"].T
            x = x + gate @ w["down"].T
        self.length += tokens.shape[1]
        return x

    def _attention(self, index: int, h: Array, angles: tuple[Array, Array]) -> Array:
        s, w = self.shape, self.weights["layers"][index]
        batch, new = h.shape[:2]
        end = self.length + new
        q = rotate((h @ w["q"].T).reshape(batch, new, s.heads, s.head_dim), *angles)
        k = rotate((h @ w["k"].T).reshape(batch, new, s.kv_heads, s.head_dim), *angles)
        v = (h @ w["v"].T).reshape(batch, new, s.kv_heads, s.head_dim)
        self.keys[index, :, :, self.length : end] = k.transpose(0, 2, 1, 3)
        self.values[index, :, :, self.length : end] = v.transpose(0, 2, 1, 3)
        keys, values = self.keys[index, :, :, :end], self.values[index, :, :, :end]
        group = s.heads // s.kv_heads
        # the heads of a group share keys: they become rows of one product
        rows = q.reshape(batch, new, s.kv_heads, group, s.head_dim).transpose(0, 2, 3, 1, 4)
        rows = rows.reshape(batch, s.kv_heads, group * new, s.head_dim) * np.float32(s.head_dim**-0.5)
        scores = rows @ keys.transpose(0, 1, 3, 2)
        if new > 1:
            blocked = np.arange(end)[None, :] > np.arange(self.length, end)[:, None]
            scores.reshape(batch, s.kv_heads, group, new, end)[..., blocked] = -np.inf
        mixed = softmax(scores) @ values
        mixed = mixed.reshape(batch, s.kv_heads, group, new, s.head_dim).transpose(0, 3, 1, 2, 4)
        return np.asarray(mixed.reshape(batch, new, s.heads * s.head_dim) @ w["o"].T)
