"""Every measured row as predicted by constants that had not seen it: what bands and evidence are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Values
from ..trust.bands import ANCHORED
from ..validation.evidence import evidence_of
from ..validation.predict import predict_rows
from ..validation.rows.inputs import is_mixture
from . import accelerators, bands, gpus
from .anchors import anchored_errors


@dataclass(frozen=True, eq=False)
class Unseen:
    """Judged rows of all chips, and what bands of accelerators come from.

    rows: measured columns, predicted, low, high, grade, ratio, moe, and `stack`: True for rows of a stack with a fit of
    its own; anchored: closed loops of measured combinations, predicted by the other rows of their combination.
    """

    rows: pd.DataFrame
    anchored: pd.DataFrame
    judged: list[accelerators.Judged]
    residuals: pd.DataFrame

    def bands(self) -> dict[str, Any]:
        """The tables of bands.toml."""
        loops = self.anchored.assign(regime=ANCHORED)
        general = bands.by_regime(pd.concat([self.rows[~self.rows["stack"]], loops], ignore_index=True))
        lines = accelerators.report(self.judged).to_dict("records")
        held = {line["chip"]: (int(line["rows"]), float(line["in_band"])) for line in lines}
        return {"bands": {**general, "chips": bands.by_chip(self.residuals, held)}}

    def evidence(self) -> dict[str, Any]:
        """The tables of evidence.toml."""
        return evidence_of(self.rows, held_out=True)


def unseen(rows: pd.DataFrame, beside: pd.DataFrame | None, folds: int, tick: accelerators.Tick) -> Unseen:
    """Rows of GPUs by fits without their group, of accelerators without their model; others as shipped.

    beside: rows of many hands, as `gpus.with_rows_beside` weighs them.
    """
    every = rows if beside is None else pd.concat([rows, beside], ignore_index=True)
    shown = predict_rows(every)
    every = every.assign(factor=shown["high"] / shown["predicted"], stack=False, moe=every["model"].map(is_mixture))
    every = every.assign(predicted=shown["predicted"], grade=shown["grade"]).set_index("id", drop=False)
    fitted = gpus.fit(
        rows if beside is None else gpus.with_rows_beside(rows, beside),
        folds=folds,
        progress=lambda done, of: tick(f"gpus: fold {done} of {of}"),
    )
    names, value = fitted.problem.table["id"], np.exp(fitted.problem.log_value)
    every.loc[names, "predicted"] = value * np.exp(fitted.left_out)
    judged, residuals = accelerators.fit_all(every.reset_index(drop=True), tick=tick)
    for found in judged:
        at = found.table["id"]
        every.loc[at, "predicted"] = found.table["value"].to_numpy() * np.exp(found.left_out)
        every.loc[at, "factor"] = found.factor
        every.loc[at, "stack"] = True
    every["ratio"] = every["predicted"] / every["value"]
    every["low"], every["high"] = every["predicted"] / every["factor"], every["predicted"] * every["factor"]
    away: Values = anchored_errors(fitted.problem, fitted.shared)
    anchored = every.loc[names].assign(ratio=np.exp(away))[np.isfinite(away)]
    return Unseen(every.reset_index(drop=True), anchored.reset_index(drop=True), judged, residuals)
