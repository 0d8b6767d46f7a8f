"""Factors of measured combinations (model x chip x engine x weights) over the shared constants.

What is left after a fit is mostly one factor per combination: the implementation of its expert kernels. A question
about a combination that was measured is anchored to it; any other question sees none of this, and errors of groups
left out never use it. Stands after `fit_problem`, before `calibrate`; `engine.engine_for` applies the factors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .problem import Problem

Array = np.ndarray
_METRICS = {"tpot_ms": "tpot", "ttft_ms": "ttft"}
LEAST_ROWS = 10
_PRIOR_ROWS = 3.0  # rows that the shared constants count for: a combination's median is shrunk by n / (n + 3)
_PARTS = 5


def factor(away: Array) -> float:
    """exp(-m n / (n + 3)), m the median of log(predicted/measured) over n rows. n 27, m log 1.25: 0.818."""
    n = len(away)
    return float(np.exp(-np.median(away) * n / (n + _PRIOR_ROWS))) if n else 1.0


def anchors(problem: Problem, away: Array) -> dict[str, dict[str, float]]:
    """{combination: {"tpot", "ttft", "rows"}} of combinations with ten rows of closed loops or more.

    away: log(predicted/measured) of the problem's rows by the shared constants alone.
    """
    found: dict[str, dict[str, float]] = {}
    for name, by in _places(problem).items():
        rows = sum(len(at) for at in by.values())
        if len(by.get("tpot", ())) < LEAST_ROWS:
            continue
        values = {key: float(f"{factor(away[at]):.4g}") for key, at in sorted(by.items())}
        found[name] = {**values, "rows": rows}
    return dict(sorted(found.items()))


def anchored_errors(problem: Problem, away: Array) -> Array:
    """Log errors of rows anchored by the other rows of their combination, every fifth row left out in turn; NaN
    elsewhere.

    The shared constants have seen all rows; the factor that is judged has not seen the row.
    """
    out = np.full(len(away), np.nan)
    for by in _places(problem).values():
        if len(by.get("tpot", ())) < LEAST_ROWS:
            continue
        for at in by.values():
            order = np.random.default_rng(0).permutation(len(at)) % _PARTS
            for part in range(_PARTS):
                out[at[order == part]] = away[at[order == part]] + np.log(factor(away[at[order != part]]))
    return out


def _places(problem: Problem) -> dict[str, dict[str, Array]]:
    """Positions of closed-loop rows by combination and quantity."""
    metric = problem.table["metric"].to_numpy(dtype=str)
    serving = problem.table["regime"].to_numpy(dtype=str) == "serving"
    found: dict[str, dict[str, Array]] = {}
    for name in np.unique(problem.combination[serving]):
        for label, key in _METRICS.items():
            at = np.flatnonzero(serving & (metric == label) & (problem.combination == name))
            if len(at):
                found.setdefault(str(name), {})[key] = at
    return found
