"""80 % bands from what measurements missed by that no fit had seen: of GPUs by regime, of other chips one by one.

Rules in specs/calibration/bands.toml; the result is one file, specs/fitted/bands.toml, which is laid over the hand-set
bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Values
from ..catalog.tables import laid_over, spec_table
from ..validation.measured import quantity

QUANTITIES = ("tpot", "ttft", "throughput")
HEAD = """\
80 % bands laid over bands.toml: low = value / f, high = value x f, by quantity and grade of an answer. Written by
`tokcalc calibrate --what bands --write FILE`; not for hands. f is the 80 % quantile of |log(predicted / measured)| of
rows that no fit had seen: of GPUs by regime (-moe: of mixtures), their whole group left out; in [bands.chips] of other
chips, their model left out. There rows of chips with the same software stack count a quarter and those of all other
stacks five rows together, so that few rows do not make a narrow band; held: share of the chip's rows inside bands that
saw nothing of their model either."""


def rules() -> Mapping[str, Any]:
    """specs/calibration/bands.toml."""
    return spec_table("calibration", "bands")


def rounded_up(factor: float) -> float:
    """A band's factor to hundredths, never narrower than it is.

    >>> rounded_up(1.1101)
    1.12
    """
    return float(np.ceil(factor * 100.0) / 100.0)


# ------------------------------------------------------------------ GPUs, by regime
def by_regime(rows: pd.DataFrame) -> dict[str, Any]:
    """{REGIME or REGIME-moe: {quantity: {grade: factor}}} where enough rows judge; the general tables without a regime.

    rows: regime, metric, grade, group, moe and ratio, predicted over measured. Weaker grades whose hand-set factor
    would be narrower than a measured one get that.
    """
    rule = rules()["regimes"]
    good = np.isfinite(rows["ratio"]) & (rows["ratio"] > 0)
    found: dict[str, Any] = {}
    hand = laid_over("bands", "bands", fitted=False)
    for (regime, moe, metrics, grade), part in _quantities(rows[good]).groupby(["regime", "moe", "quantity", "grade"]):
        if len(part) < rule["least_rows"] or part["group"].nunique() < rule["least_groups"]:
            continue
        factor = rounded_up(np.exp(np.quantile(np.abs(np.log(part["ratio"])), rules()["share"])))
        general = regime == rule["general"] and metrics in ("tpot", "ttft")
        name = ("moe" if moe else "") if general else f"{regime}-moe" if moe else regime
        own, start = (table.setdefault(name, {}) if name else table for table in (found, hand))
        factors = own.setdefault(metrics, {})
        factors[grade] = factor
        wider = {weak: factor for weak, f in start.get(metrics, {}).items() if weak > grade and f < factor}
        factors.update({weak: f for weak, f in wider.items() if f > factors.get(weak, 0.0)})
    return found


def _quantities(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(quantity=rows["metric"].map(quantity))


# ------------------------------------------------------------------ other chips, one by one
def residuals(tables: Sequence[tuple[str, pd.DataFrame, Values]]) -> pd.DataFrame:
    """Rows with chip, model, metric of several fits as `factor` wants them; away NaN where nothing was predicted.

    tables: (fit's name, its measured rows, logs of predicted over measured with the model left out).
    """
    columns = ["fit", "chip", "model", "quantity", "away"]
    parts = [_quantities(rows).assign(fit=name, away=np.abs(out))[columns] for name, rows, out in tables]
    return pd.concat(parts, ignore_index=True)


def weighted_quantile(values: Values, weights: Values, share: float) -> float:
    """Value below which `share` of the weight lies, between neighbours by the middle of their weights.

    >>> [weighted_quantile(np.array([1.0, 2.0, 3.0]), np.ones(3), share) for share in (1 / 2, 1 / 6)]
    [2.0, 1.0]
    """
    order = np.argsort(values)
    weights = weights[order]
    middle = np.cumsum(weights) - 0.5 * weights
    return float(np.interp(share * weights.sum(), middle, values[order]))


def factor(rows: pd.DataFrame, chip: str, fit: str, of: str) -> float:
    """Half width of the band of one quantity on one chip: exp of the quantile; NaN without any row of the quantity.

    rows: columns chip, fit, quantity and away, the |log(predicted / measured)| with the model left out.
    """
    rows, rule = rows[rows["quantity"] == of], rules()["chips"]
    if rows.empty:
        return float("nan")
    same = (rows["fit"] == fit).to_numpy()
    counts = rows.groupby("fit")["away"].transform("size").to_numpy(dtype=float)
    others = max(rows.loc[~same, "fit"].nunique(), 1)
    stack = np.where((rows["chip"] == chip).to_numpy(), 1.0, rule["sibling"])
    weights = np.where(same, stack, rule["others"] / others / counts)  # every other stack counts the same
    return float(np.exp(weighted_quantile(rows["away"].to_numpy(dtype=float), weights, rules()["share"])))


def by_chip(rows: pd.DataFrame, held: Mapping[str, tuple[int, float]]) -> dict[str, dict[str, Any]]:
    """{chip: {"rows", "held", quantity: {grade: factor}}}. rows: as `factor`; held: rows and share inside `unseen`."""
    found: dict[str, dict[str, Any]] = {}
    for fit, chip in rows[["fit", "chip"]].drop_duplicates().itertuples(index=False):
        factors = {of: factor(rows, chip, fit, of) for of in QUANTITIES}
        found[chip] = {"rows": held[chip][0], "held": round(held[chip][1], 2)}
        found[chip] |= {of: dict.fromkeys(rules()["grades"], rounded_up(f)) for of, f in factors.items() if f == f}
    return found


def unseen(rows: pd.DataFrame) -> Values:
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
