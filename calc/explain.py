"""Inputs of each term of an answer, for `--explain`: ideal seconds per layer and the constants that stretch them.

Stands after `step`, used by `answer_parts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .step import ideal_terms

if TYPE_CHECKING:
    from .chip import Chip
    from .constants import Constants
    from .operators import Operator


def term_inputs(ops: Sequence[Operator], chip: Chip, constants: Constants) -> dict[str, dict[str, Any]]:
    """By operator name: layers, ideal microseconds of memory (or link) and compute per layer, constants and format.

    Layer groups of one name are joined: layers add up, the other figures are those of the group with most layers.
    """
    found: dict[str, dict[str, Any]] = {}
    most: dict[str, float] = {}
    for term in ideal_terms(ops, chip):
        count = _one(term.count)
        layers = found.get(term.name, {}).get("layers", 0) + count
        if count >= most.get(term.name, 0.0):
            most[term.name] = count
            if term.collective:
                alpha, eta, q = constants.collective(term.kind, chip, term.ranks)
                inputs: dict[str, Any] = {
                    "ranks": _one(term.ranks), "link us": _one(term.x_s) * 1e6, "alpha us": _one(alpha) * 1e6,
                    "eta_b": _one(eta), "q": _one(q),
                }  # fmt: skip
            else:
                k = constants.kernel(term.kind, chip, term.format, term.roof)
                inputs = {
                    "format": term.format, "Q/BW us": _one(term.x_s) * 1e6, "F/P us": _one(term.y_s) * 1e6,
                    "t0 us": _one(k.t0_s) * 1e6, "eta_m": _one(k.eta_m), "eta_c": _one(k.eta_c), "p": _one(k.p),
                }  # fmt: skip
            found[term.name] = {"layers": layers, **inputs}
        found[term.name]["layers"] = layers
    return found


def _one(value: Any) -> float:
    return float(np.ravel(np.asarray(value, dtype=float))[0])
