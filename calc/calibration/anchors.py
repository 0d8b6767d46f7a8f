"""Factors of measured combinations (model x chip x engine x weights) over the shared constants.

What is left after a fit is mostly one factor per combination: the implementation of its expert kernels. A question
about a combination that was measured is anchored to it; any other question sees none of this, and errors of groups
left out never use it. `engines.resolve` applies the factors; `[anchors]` of specs/calibration/gpus.toml sets the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..arrays import Values
from ..catalog.toml import rounded
from .parameters import moves

if TYPE_CHECKING:
    from .problem import Problem

_METRICS = {"tpot_ms": "tpot", "ttft_ms": "ttft"}


def factor(away: Values) -> float:
    """exp(-m n / (n + 3)), m the median of log(predicted/measured) over n rows.

    >>> round(factor(np.full(27, np.log(1.25))), 3)
    0.818
    """
    n = len(away)
    return float(np.exp(-np.median(away) * n / (n + moves()["anchors"]["prior_rows"]))) if n else 1.0


def anchors(problem: Problem, away: Values) -> dict[str, dict[str, float]]:
    """{combination: {"tpot", "ttft", "rows"}} of combinations with ten rows of closed loops or more.

    away: log(predicted/measured) of the problem's rows by the shared constants alone.
    """
    return {
        name: {**{of: rounded(factor(away[at])) for of, at in sorted(by.items())}, "rows": sum(map(len, by.values()))}
        for name, by in sorted(_measured(problem).items())
    }


def anchored_errors(problem: Problem, away: Values) -> Values:
    """Log errors of rows anchored by the other rows of their combination, every fifth left out in turn; NaN elsewhere.

    The shared constants have seen all rows; the factor that is judged has not seen the row.
    """
    out = np.full(len(away), np.nan)
    parts = moves()["anchors"]["parts"]
    for at in (at for by in _measured(problem).values() for at in by.values()):
        order = np.random.default_rng(0).permutation(len(at)) % parts
        for part in range(parts):
            out[at[order == part]] = away[at[order == part]] + np.log(factor(away[at[order != part]]))
    return out


def _measured(problem: Problem) -> dict[str, dict[str, NDArray[np.intp]]]:
    """Positions of closed-loop rows by combination and quantity, of combinations with enough of them."""
    metric = problem.table["metric"].to_numpy(dtype=str)
    serving = problem.table["regime"].to_numpy(dtype=str) == "serving"
    found = {}
    for name in np.unique(problem.combination[serving]):
        here = serving & (problem.combination == name)
        by = {of: np.flatnonzero(here & (metric == label)) for label, of in _METRICS.items()}
        if len(by["tpot"]) >= moves()["anchors"]["least_rows"]:
            found[str(name)] = {of: at for of, at in by.items() if len(at)}
    return found
