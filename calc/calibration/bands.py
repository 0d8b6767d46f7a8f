"""80 % bands of accelerators, wafers and LPUs, from the residuals of models that their fits left out.

Written by `stack_fit --write` into specs/engines/stack_bands.toml, which `bands` reads by chip. Stands beside
`stack_write`, after the fits' residuals, before `stack_fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
SHARE = 0.8  # of measurements that a band is to hold
OTHERS = 5.0  # rows that all other software stacks together count for: a stack with few rows looks like the rest
SIBLING = 0.25  # of a row of another chip with the same stack
QUANTITIES = ("tpot", "ttft", "throughput")
_OF_METRIC = {"tpot_ms": "tpot", "output_tok_s_user": "tpot", "ttft_ms": "ttft"}
_GRADES = ("A", "B")  # of chips with rows in a fit; announced ones keep the general bands
_HEAD = """\
# 80 % bands of chips that are not GPUs: low = value / f, high = value x f, by quantity and grade of an answer.
# Written by `python -m tokcalc.stack_fit DATA.csv --write`: f is the 80 % quantile of |log(predicted / measured)| of a
# chip's rows, each predicted by a fit that saw nothing of its model. Rows of other chips with the same software stack
# count a quarter, those of all other stacks five rows together, so that few rows do not make a narrow band. held: share
# of the chip's rows inside bands that saw nothing of their model either.
"""


def quantity(metric: str) -> str:
    """What a measured metric's band belongs to: tpot, ttft or throughput."""
    return _OF_METRIC.get(metric, "throughput")


def weighted_quantile(values: Array, weights: Array, share: float) -> float:
    """Value below which `share` of the weight lies, between neighbours by the middle of their weights.

    Worked: 1, 2, 3 of weight 1: share .5 is 2, share 1/6 is 1.
    """
    order = np.argsort(values)
    weights = weights[order]
    middle = np.cumsum(weights) - 0.5 * weights
    return float(np.interp(share * weights.sum(), middle, values[order]))


def factor(rows: pd.DataFrame, chip: str, fit: str, of: str) -> float:
    """Half width of the band of one quantity on one chip: exp of the quantile; NaN without any row of the quantity.

    rows: columns chip, fit, quantity and away, the |log(predicted / measured)| with the model left out.
    """
    rows = rows[rows["quantity"] == of]
    away = rows["away"].to_numpy(dtype=float)
    if not away.size:
        return float("nan")
    same = (rows["fit"] == fit).to_numpy()
    counts = rows.groupby("fit")["away"].transform("size").to_numpy(dtype=float)
    others = max(rows.loc[~same, "fit"].nunique(), 1)
    stack = np.where((rows["chip"] == chip).to_numpy(), 1.0, SIBLING)
    weights = np.where(same, stack, OTHERS / others / counts)  # every other stack counts the same
    return float(np.exp(weighted_quantile(away, weights, SHARE)))


def table(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Bands by chip: {chip: {quantity: factor}}, rounded up to hundredths. rows: as `factor`."""
    found: dict[str, dict[str, float]] = {}
    for (fit, chip), _ in rows.groupby(["fit", "chip"], sort=False):
        line = {of: factor(rows, str(chip), str(fit), of) for of in QUANTITIES}
        found[str(chip)] = {of: float(np.ceil(v * 100.0) / 100.0) for of, v in line.items() if np.isfinite(v)}
    return found


def unseen(rows: pd.DataFrame) -> Array:
    """Each row's band from the rows without its own model on its stack: what a new model would be given.

    rows: as `factor`, and model.
    """
    out = np.full(len(rows), np.nan)
    keys = [rows[name].to_numpy() for name in ("fit", "chip", "model", "quantity")]
    for fit, chip, model, of in sorted(set(zip(*keys, strict=True))):
        same = (keys[0] == fit) & (keys[2] == model)
        mine = same & (keys[1] == chip) & (keys[3] == of)
        out[mine] = factor(rows[~same], str(chip), str(fit), str(of))
    return out


def text(bands: Mapping[str, Mapping[str, float]], held: Mapping[str, tuple[int, float]]) -> str:
    """The file's text. held: rows and share of each chip inside bands of other models."""
    lines = [_HEAD]
    for chip, line in bands.items():
        rows, share = held[chip]
        lines.append(f"[{chip}]   # {rows} row{'s' if rows != 1 else ''}, held {share:.2f}")
        for of, value in line.items():
            lines.append(f"{of} = {{ {', '.join(f'{grade} = {value:.2f}' for grade in _GRADES)} }}")
        lines.append("")
    return "\n".join(lines)


def residuals(tables: Sequence[tuple[str, pd.DataFrame, Array]]) -> pd.DataFrame:
    """Rows with chip, model, metric of several fits as `factor` wants them; away NaN where nothing was predicted.

    tables: (fit's name, its measured rows, logs of predicted over measured with the model left out).
    """
    import pandas as pd

    parts = [
        pd.DataFrame(
            {"fit": name, "chip": rows["chip"], "model": rows["model"], "quantity": rows["metric"].map(quantity),
             "away": np.abs(left_out)}
        )
        for name, rows, left_out in tables
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)
