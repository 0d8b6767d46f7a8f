"""Parameters of a fit: logarithms with a start, a prior width and bounds, shared by name.

A constant is its start value times deviations that belong to all kernels of a kind, to a number format, to a chip
family and to their combination; each deviation is pulled to 1 by its own prior, so that what one family shows also
serves the next. Used by `fit_terms` and `calibrate` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Key = tuple[Any, ...]

# Prior widths as standard deviations of a logarithm, set so that groups left out are predicted best: kernel shares
# stay near their measured starts, floors may move most, engines differ by a few per cent. Floors of fused expert
# kernels are another implementation in each engine, family and format: what they share is pulled harder than what
# is one implementation's own, so that one odd kernel doesn't speak for its neighbours.
PRIORS: Mapping[str, float] = {
    "t0.family": 0.6, "t0.kind_format": 0.4, "t0.own": 0.2,
    "t0.moe_format": 0.2, "t0.own_moe": 0.25, "t0.engine_moe": 0.1, "t0.engine_format": 0.35,
    "t0.engine_attention": 0.2, "eta_m.engine_attention": 0.1,
    "eta_m.kind": 0.03, "eta_m.kind_format": 0.03, "eta_m.family": 0.03, "eta_m.own": 0.02,
    "eta_c.kind": 0.1, "eta_c.kind_format": 0.1, "eta_c.family": 0.1, "eta_c.own": 0.03,
    "p.kind": 0.2, "p.kind_format": 0.3,
    "alpha.scope": 0.3, "alpha.own": 0.1, "eta_b.scope": 0.2, "eta_b.own": 0.06, "q.scope": 0.15,
    "factor.engine": 0.04, "factor.engine_family": 0.04, "step.engine": 0.4, "step.engine_family": 0.3,
    "sequence.engine": 0.4, "prefill_step.engine": 0.6, "interference.engine": 0.1, "frontend.engine": 0.3,
    "ttft_steps.engine": 0.4, "queue_share.engine": 0.1, "prompt.engine": 0.2, "prompt.family": 0.1,
    "prompt.weights": 0.12, "group.rate": 0.06, "group.ttft": 0.3,
}  # fmt: skip
REACH = 4.0  # bounds lie this many prior widths from the start


@dataclass
class Space:
    """Log parameters by key; index 0 is a constant zero that fills unused places."""

    index: dict[Key, int] = field(default_factory=lambda: {("zero",): 0})
    width: list[float] = field(default_factory=lambda: [0.0])
    starts: dict[Key, Mapping[str, Any]] = field(default_factory=dict)  # of (kind, format, scope): where a fit began

    def get(self, prior: str, *key: Any) -> int:
        """Index of the deviation of that prior class and key, made at its first use; its start is log 1 = 0."""
        full = (prior, *key)
        if full not in self.index:
            self.index[full] = len(self.width)
            self.width.append(PRIORS[prior])
        return self.index[full]

    @property
    def widths(self) -> Array:
        """Prior widths of all parameters; 0 for the constant."""
        return np.array(self.width)

    def kernel(
        self, kind: str, fmt: str, family: str, engine: str | None = None, scope: str | None = None
    ) -> dict[str, tuple[int, ...]]:
        """Indices of the deviations of one kernel class: floor and shares (of some kernels by engine too), knee.

        scope: a chip's id where the chip has a table of its own, which then has deviations of its own; else the family.
        """
        own = scope or family
        if kind == "moe":
            floor = [self.get("t0.family", family), self.get("t0.moe_format", fmt),
                     self.get("t0.own_moe", kind, fmt, own)]  # fmt: skip
        else:
            floor = [self.get("t0.family", family), self.get("t0.kind_format", kind, fmt),
                     self.get("t0.own", kind, fmt, own)]  # fmt: skip
        share = [self.get("eta_m.kind", kind), self.get("eta_m.kind_format", kind, fmt),
                 self.get("eta_m.family", family), self.get("eta_m.own", kind, fmt, own)]  # fmt: skip
        if engine is not None and kind == "moe":
            floor += [self.get("t0.engine_moe", engine, family), self.get("t0.engine_format", engine, family, fmt)]
        if engine is not None and kind == "attention_decode":
            floor.append(self.get("t0.engine_attention", engine, family))
            share.append(self.get("eta_m.engine_attention", engine, family))
        return {
            "t0": tuple(floor),
            "eta_m": tuple(share),
            "eta_c": (self.get("eta_c.kind", kind), self.get("eta_c.kind_format", kind, fmt),
                      self.get("eta_c.family", family), self.get("eta_c.own", kind, fmt, own)),
            "p": (self.get("p.kind", kind), self.get("p.kind_format", kind, fmt)),
        }  # fmt: skip

    def collective(self, kind: str, scope: str, place: int) -> dict[str, tuple[int, ...]]:
        """Indices of the deviations of a collective: latency, share of the link, knee; place 0, 1, 2 for 2, 4, 8."""
        return {
            "alpha": (self.get("alpha.scope", kind, scope), self.get("alpha.own", kind, scope, place)),
            "eta_b": (self.get("eta_b.scope", kind, scope), self.get("eta_b.own", kind, scope, place)),
            "q": (self.get("q.scope", kind, scope),),
        }
