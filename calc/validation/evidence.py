"""The table of what was measured, written from the judged rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


_HEAD = """# What is published about each chip, and the median error of the predictions on it.
# Written by `tokcalc validate`.
# rows: published numbers with a prediction; points: independent ones (source, model and format); error and
# bias:
# |predicted/measured - 1| and the median excess; in_band: share inside low..high; held_out: predicted
# without their model.

"""


def write_evidence(judged: pd.DataFrame, path: str | Path, held_out: bool = False) -> None:
    """Write the table of evidence from judged rows (`validate_rows`: chip, model, regime, group, value,
    predicted, low, high). held_out: the predictions left out the model that they judge.
    """
    import numpy as np

    from .judge import write_text

    lines = [_HEAD]
    done = judged[judged["predicted"].notna()]
    for chip, part in done.groupby("chip", sort=True):
        ratio = (part["predicted"] / part["value"]).to_numpy(dtype=float)
        groups = part["group"] if "group" in part else part["model"]
        lines += [
            f"[{chip}]",
            f"rows = {len(part)}",
            f"points = {groups.nunique()}",
            f"models = {json.dumps(sorted(map(str, part['model'].unique())))}",
            f"regimes = {json.dumps(sorted(map(str, part['regime'].unique())))}",
            f"error = {float(np.median(np.abs(ratio - 1))):.3f}",
            f"bias = {float(np.exp(np.median(np.log(ratio))) - 1):.3f}",
        ]
        if {"low", "high"} <= set(part) and part["low"].notna().any():
            inside = (part["low"] <= part["value"]) & (part["value"] <= part["high"])
            lines.append(f"in_band = {float(inside.mean()):.2f}")
        lines += [f"held_out = {str(held_out).lower()}", ""]
    write_text(path, "\n".join(lines))
