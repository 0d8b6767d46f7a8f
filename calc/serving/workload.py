"""A workload: tokens in and out, requests in flight, cache hits and drafting, as numbers or arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array


@dataclass(frozen=True, eq=False, repr=False)
class Load:
    """A workload of arrays: tokens in and out per request, requests in flight, share of the prompt found in a cache.

    draft: drafted tokens per step (0: none); acceptance: chance that a drafted token is accepted.
    """

    isl: Array
    osl: Array
    concurrency: Array
    cached_share: Array = 0.0
    draft: Array = 0.0
    acceptance: Array = 0.0

    @property
    def fresh(self) -> Array:
        """Prompt tokens that no cache holds."""
        return self.isl * (1.0 - np.asarray(self.cached_share))

    @property
    def context(self) -> Array:
        """Mean tokens cached by a running request: ISL + OSL / 2."""
        return self.isl + 0.5 * self.osl


def accepted_tokens(acceptance: Array, draft: Array) -> Array:
    """Mean tokens that one verified step yields: (1 - a^(g+1)) / (1 - a), from 1 (a = 0) to g + 1 (a = 1).

    Worked: a = .7, g = 3: 2.533. Source: speculative sampling, independent acceptance of each drafted token.
    """
    a = np.minimum(np.asarray(acceptance, dtype=float), 1.0 - 1e-9)
    return (1.0 - a ** (np.asarray(draft) + 1.0)) / (1.0 - a)
