"""The table of what was measured of each chip, from judged rows; `trust.evidence` reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .judge import errors_of, in_band

HEAD = """\
What is published about each chip, and the median error of the predictions on it. Written by
`tokcalc calibrate --what evidence --write FILE`. rows: published numbers with a prediction; points: independent ones
(source, model and format); error and bias: |predicted/measured - 1| and the median excess; in_band: share inside
low..high; held_out: predicted by constants that had not seen the row's group (GPUs) or model."""


def evidence_of(judged: pd.DataFrame, held_out: bool = False) -> dict[str, Any]:
    """{chip: its line} from judged rows: chip, model, regime, group, value, predicted, low, high.

    held_out: the predictions left out what they judge.
    """
    done = judged[judged["predicted"].notna()]
    return {str(chip): _of_chip(part, held_out) for chip, part in done.groupby("chip", sort=True)}


def _of_chip(part: pd.DataFrame, held_out: bool) -> dict[str, Any]:
    error = errors_of((part["predicted"] / part["value"]).to_numpy(dtype=float))
    inside = in_band(part) if {"low", "high"} <= set(part) else np.nan
    return {
        "rows": len(part),
        "points": int(part["group" if "group" in part else "model"].nunique()),
        "models": sorted(map(str, part["model"].unique())),
        "regimes": sorted(map(str, part["regime"].unique())),
        "error": round(error["median_ape"], 3),
        "bias": round(error["bias"], 3),
        **({"in_band": round(inside, 2)} if np.isfinite(inside) else {}),
        "held_out": held_out,
    }
