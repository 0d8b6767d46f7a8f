"""How the tokens of a step choose experts, and what choosing costs: `[routing]` of specs/engines/kernels.toml.

Who picks which experts at all is `parallel.distinct_experts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ..catalog.tables import spec_table


@lru_cache(maxsize=1)
def routing() -> Mapping[str, float]:
    """`[routing]` of specs/engines/kernels.toml: how tokens choose experts and what choosing costs."""
    found: Mapping[str, float] = spec_table("engines", "kernels")["routing"]
    return found


def expert_launches(experts: int) -> float:
    """Floors of fused experts that a layer takes: s + (1 - s) E / E1, s the share of launches, one at E1 experts.

    Launches are fixed; sorting tokens by expert and scheduling a tile for each grows with their number. Worked with
    s .1, E1 256: 128 experts .55, 512 experts 1.9.
    """
    found = routing()
    return found["launch_share"] + (1.0 - found["launch_share"]) * experts / found["experts"]
