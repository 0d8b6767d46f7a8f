"""Fits the shares of `physics.power` to measured joules per token.

Power is energy times measured throughput, which the rows print in their notes, so that the fit does not lean on the
predicted speed. Errors are of groups left out, once with the measured and once with the predicted throughput.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Values
from ..engines.constants import load_constants
from ..errors import UsageError
from ..physics.power import compute_share, rated_watts
from ..serving.closed_loop import closed_loop
from ..validation.judge import errors_of
from ..validation.predict import predict_rows
from ..validation.rows.cases import gather

_WATTS = re.compile(r"mean ([\d.]+) W|= ([\d.]+) W")
HEAD = """\
Shares of rated power that chips draw, laid over power.toml. Written by `tokcalc calibrate --what power --write FILE`;
not for hands. [power.fit]: errors |predicted / measured - 1| of power, groups left out, at the measured throughput."""


@dataclass(frozen=True)
class Case:
    """One measured row: watts over rated watts, and what the core says of the load at the measured rate."""

    group: str
    chip: str
    share: float
    busy: float
    compute: float
    rate_ratio: float


@dataclass(frozen=True)
class Fit:
    """Shares (awake, kernels, compute), left-out errors; energy errors use the predicted throughput."""

    shares: tuple[float, float, float]
    rows: int
    groups: int
    chips: tuple[str, ...]
    median_error: float
    p90_error: float
    energy_median_error: float
    energy_p90_error: float

    def tables(self) -> dict[str, Any]:
        """The tables of power.toml."""
        share = dict(zip(("awake", "kernels", "compute"), (round(s, 3) for s in self.shares), strict=True))
        record = {
            "rows": self.rows,
            "groups": self.groups,
            "chips": list(self.chips),
            "median_error": round(self.median_error, 3),
            "p90_error": round(self.p90_error, 3),
            "date": date.today().isoformat(),
        }
        return {"power": {"share": share, "fit": record}}


def cases(rows: pd.DataFrame) -> list[Case]:
    """The rows of metric joule_per_output_token that name their power, as cases of the fit."""
    rows = rows[rows["metric"] == "joule_per_output_token"].reset_index(drop=True)
    constants = load_constants()
    rate = predict_rows(rows.assign(regime="serving", metric="output_tok_s"), constants)["predicted"].to_numpy(float)
    found: list[Case] = []
    for block in gather(rows, constants).blocks:
        served = closed_loop(block.replica(constants), replace(block.load, draft=0.0, accepted=None, spread=None))
        rated = rated_watts(block.chip)
        size = len(block.index)
        chips = np.broadcast_to(np.asarray(block.plan.chips, dtype=float), (size,))
        working = np.broadcast_to(np.asarray(served.busy, dtype=float), (size,))
        for i, row in enumerate(block.index):
            note = _WATTS.search(str(rows["note"][row]))
            if note is None or rated is None:
                continue
            watts = float(note[1] or note[2])
            measured = watts / float(rows["value"][row])
            ratio = float(rate[row] / measured)
            tokens = measured * (1.0 + float(block.isl[i] / block.osl[i]))
            used = float(compute_share(block.chip, block.model, block.weights, tokens, chips[i]))
            busy = float(min(1.0, working[i] / ratio))
            share = watts / (chips[i] * rated[0])
            found.append(Case(str(rows["group"][row]), block.chip.id, share, busy, used, ratio))
    return found


def fit(found: Sequence[Case]) -> Fit:
    """Least relative squares with shares of at least zero, each group predicted from the others."""
    groups = np.array([c.group for c in found])
    if len(set(groups)) < 2:
        raise UsageError(
            f"rows of {len(set(groups))} groups name their joules and their watts, and each is judged by the others; "
            "give more data with --data"
        )
    share = np.array([c.share for c in found])
    table = np.array([[1.0, c.busy, c.compute] for c in found])
    ratio = np.array([c.rate_ratio for c in found])
    left_out = np.zeros(len(found))
    for here in (groups == group for group in sorted(set(groups))):
        left_out[here] = np.minimum(1.0, table[here] @ _solve(table[~here], share[~here]))
    awake, kernels, compute = _solve(table, share).tolist()
    chips = tuple(sorted({c.chip for c in found}))
    errors = [errors_of(left_out / share / rate)[of] for rate in (1.0, ratio) for of in ("median_ape", "p90_ape")]
    return Fit((awake, kernels, compute), len(found), len(set(groups)), chips, *errors)


def _solve(table: Values, share: Values) -> Values:
    try:
        from scipy.optimize import nnls
    except ImportError:
        raise UsageError("the fit of power needs SciPy; install it with: pip install 'tokcalc[fit]'") from None

    return nnls(table / share[:, None], np.ones(len(share)))[0]
