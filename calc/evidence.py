"""Which published measurements an answer rests on, chip by chip, and how the model does on them.

The table is written by `validate` (write_evidence) and shipped; answers read it. Stands after `validate`,
before `estimate`, and needs neither pandas nor the rows themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .catalog.tables import shipped_table

if TYPE_CHECKING:
    import pandas as pd

_HEAD = """# What is published about each chip, and the median error of the predictions on it.
# Written by `tokcalc validate`.
# rows: published numbers with a prediction; points: independent ones (source, model and format); error and
# bias:
# |predicted/measured - 1| and the median excess; in_band: share inside low..high; held_out: predicted
# without their model.

"""


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Any]:
    return shipped_table("measured", "evidence.toml") or {}


def evidence(chip_id: str, what_if: bool = False) -> dict[str, Any]:
    """{"rows", "points", "models", "error", "bias", "in_band", "regimes", "text"} of a chip; rows 0 where
    none. what_if: the chip is asked with other figures than it was measured with.
    """
    found = _table().get(chip_id)
    if not found or not found.get("rows"):
        return {"rows": 0, "points": 0, "text": "no published measurement of this chip was found"}
    held = ", with the model left out of the fit" if found.get("held_out") else ""
    models = ", ".join(found["models"][:4]) + (" ..." if len(found["models"]) > 4 else "")
    plural = "s" if found["rows"] != 1 else ""
    text = f"{found['rows']} published number{plural} ({models}); median error {found['error']:.0%}{held}"
    return {**found, "text": f"the chip as it is built: {text}" if what_if else text}


@lru_cache(maxsize=256)
def measured_mixture(chip_id: str) -> bool:
    """True where a mixture of experts is among the models measured on a chip."""
    from .catalog import load_model

    return any(load_model(name).is_moe for name in _table().get(chip_id, {}).get("models", ()))


def known_chips() -> list[str]:
    """Ids of the chips with evidence, sorted."""
    return sorted(_table())


def write_evidence(judged: pd.DataFrame, path: str | Path, held_out: bool = False) -> None:
    """Write the table of evidence from judged rows (`validate_rows`: chip, model, regime, group, value,
    predicted, low, high). held_out: the predictions left out the model that they judge.
    """
    import numpy as np

    from .validate import write_text

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
