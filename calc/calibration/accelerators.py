"""Fits the constants of accelerators, wafers and LPUs, one fit per software stack, each model judged without its rows.

What is free, and the rules, stand in specs/calibration/accelerators.toml; the result is one file,
specs/fitted/accelerators.toml. The twin of `gpus`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ..arrays import Values
from ..catalog import load_chip
from ..catalog.tables import joined, spec_table
from ..catalog.toml import rounded
from ..engines.constants import load_constants
from ..errors import UsageError
from ..validation.judge import errors_of
from ..validation.predict import predict_rows
from ..validation.rows.cases import gather
from ..validation.rows.inputs import known
from .bands import residuals, unseen
from .targets import Target, fitted_tables, moves, predicted, targets

Tick = Callable[[str], None]
HEAD = """\
Constants of accelerators, wafers and LPUs, laid over the starts of accelerators.toml and sram.toml. Written by
`tokcalc calibrate --what accelerators --write FILE`; not for hands. [fit.NAME]: rows, models and date of each fit of
specs/calibration/accelerators.toml, and by chip the median error of all rows and of models left out."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows of one fit with logs of predicted over measured: in sample and with their model left out."""

    target: Target
    table: pd.DataFrame
    in_sample: Values
    left_out: Values
    factor: Values  # of each row's 80 % band, from other models where there are any (`with_bands`)
    values: Mapping[str, float]


def fit_all(
    rows: pd.DataFrame, chip: str | None = None, tick: Tick | None = None
) -> tuple[list[Judged], pd.DataFrame | None]:
    """Every fit that has rows (of one chip: that of its stack), and what the rows' bands come from.

    rows: typed measured rows. Raises UsageError where no row can be fitted.
    """
    wanted = [target for target in targets() if chip is None or chip in target.chips]
    found = [judged for target in wanted if (judged := fit(rows, target, tick)) is not None]
    if not found:
        raise UsageError("none of these rows can be fitted; give rows of a chip in specs/calibration/accelerators.toml")
    return with_bands(found)


def fit(rows: pd.DataFrame, target: Target, tick: Tick | None = None) -> Judged | None:
    """The fit of all usable rows of a target's chips, and each model predicted without its own rows.

    rows: typed measured rows; None where no row can be predicted.
    """
    part = rows[rows["chip"].isin(target.chips) & ~rows["regime"].isin(moves()["rules"]["skipped"])]
    part = part.reset_index(drop=True)
    if part.empty:
        return None
    constants = load_constants()
    blocks = gather(part, constants).blocks

    def predict(z: Values) -> Values:
        return predicted(blocks, len(part), constants, target, z)

    good = np.isfinite(predict(np.zeros(len(target.free))))
    log_value = np.log(part["value"].to_numpy(dtype=float))
    weight = np.where(good, _weights(part), 0.0)
    z = _solve(predict, log_value, weight, target)
    inside = np.log(predict(z)) - log_value
    outside = np.full(len(part), np.nan)
    for model in sorted(set(part.loc[good, "model"])):
        held = (part["model"] == model).to_numpy()
        own = _solve(predict, log_value, np.where(held, 0.0, weight), target, z)
        outside[held] = (np.log(predict(own)) - log_value)[held]
        if tick:
            tick(f"{target.name}: {model} left out")
    return Judged(target, part, inside, outside, _shipped(part)[1], target.values(z))


def _weights(part: pd.DataFrame) -> Values:
    """One over the spread of each row, less for many rows of a model on a chip; 0 for rows that are judged only."""
    rule, first = moves()["rules"], part["metric"] == "ttft_ms"
    shared = part.groupby(["chip", "model"])["value"].transform("size").to_numpy(dtype=float)
    weight = np.sqrt(np.minimum(1.0, rule["model_rows"] / shared))
    weight /= np.where(first, rule["spread_ttft"], rule["spread"])
    # a full machine whose layout nobody prints is judged, but its layout is not read out of its rate
    layout = part["regime"].eq("max-load") & part["tp"].isna() & part["chips"].fillna(2.0).gt(1.0)
    return np.where(first & part["regime"].isin(rule["waits"]) | layout, 0.0, weight)


def _shipped(rows: pd.DataFrame) -> tuple[Values, Values]:
    """(predictions, factors of their bands) as shipped."""
    shown = predict_rows(rows)
    value = shown["predicted"].to_numpy(dtype=float)
    return value, shown["high"].to_numpy(dtype=float) / value


def with_bands(found: Sequence[Judged]) -> tuple[list[Judged], pd.DataFrame]:
    """The fits with each row's band from the other models' residuals, and those residuals (`bands`)."""
    rows = residuals([(j.target.name, j.table, j.left_out) for j in found])
    good = np.isfinite(rows["away"].to_numpy(dtype=float))
    factors = np.concatenate([j.factor for j in found])
    own = unseen(rows[good])
    factors[good] = np.where(np.isfinite(own), own, factors[good])
    parts = np.split(factors, np.cumsum([len(j.table) for j in found])[:-1])
    return [replace(j, factor=part) for j, part in zip(found, parts, strict=True)], rows[good]


def unfitted(rows: pd.DataFrame, seen: Sequence[str]) -> Judged | None:
    """Accelerators that no fit touches, predicted with what they borrow; nothing of theirs is in the constants."""
    chips = {name: known(load_chip, name) for name in set(rows["chip"]) - set(seen)}
    others = [name for name, chip in chips.items() if chip is not None and chip.kind != "gpu"]
    part = rows[rows["chip"].isin(others) & ~rows["regime"].isin(moves()["rules"]["skipped"])]
    part = part.reset_index(drop=True)
    if part.empty:
        return None
    value, factor = _shipped(part)
    away = np.log(value / part["value"].to_numpy(dtype=float))
    none = np.zeros(0)
    nobody = Target("none", (), tuple(sorted(set(part["chip"]))), (), centre=none, width=none, most=none)
    return Judged(nobody, part, away, away, factor, {})


def _solve(
    predict: Callable[[Values], Values], log_value: Values, weight: Values, target: Target, start: Values | None = None
) -> Values:
    """Deviations that minimise soft residuals and the prior, by bounded least squares.

    Losses of a residual r in spreads: absolute, 2 (sqrt(1 + r^2) - 1); with heavy tails Cauchy's, log(1 + r^2), which a
    row far off hardly moves. Worked: r 5 (a third off) pulls .98 as hard as a large one, and .38.
    """
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise UsageError("fits of accelerators need SciPy; install it with: pip install 'tokcalc[fit]'") from None

    used, count, reach = weight > 0, len(target.free), moves()["rules"]["reach"]

    def residual(z: Values) -> Values:
        away = (np.log(predict(z)[used]) - log_value[used]) * weight[used]
        loss = np.log1p(away**2) if target.heavy_tails else 2.0 * (np.sqrt(1.0 + away**2) - 1.0)
        return np.concatenate([np.sign(away) * np.sqrt(loss), z])

    first = np.zeros(count) if start is None else np.clip(start, -reach + 0.01, reach - 0.01)
    found = least_squares(
        residual, first, bounds=(-reach, reach), max_nfev=25, ftol=1e-3, xtol=1e-3, diff_step=np.full(count, 1e-3)
    )
    return np.asarray(found.x)


def report(found: Sequence[Judged]) -> pd.DataFrame:
    """By chip: rows, models, median error in sample and left out; 90th percentile, bias, share in band left out."""
    lines = []
    for judged in found:
        table = judged.table.assign(_in=judged.in_sample, _out=judged.left_out, _band=np.log(judged.factor))
        for chip, part in table[np.isfinite(judged.left_out)].groupby("chip", sort=True):
            outside = errors_of(np.exp(part["_out"]))
            lines.append(
                {
                    "fit": judged.target.name,
                    "chip": chip,
                    "rows": len(part),
                    "models": part["model"].nunique(),
                    "in_sample": errors_of(np.exp(part["_in"]))["median_ape"],
                    "left_out": outside["median_ape"],
                    "p90": outside["p90_ape"],
                    "bias": outside["bias"],
                    "in_band": float((part["_out"].abs() <= part["_band"]).mean()),
                }
            )
    return pd.DataFrame(lines)


def resolved(found: Sequence[Judged]) -> dict[str, Any]:
    """The tables of accelerators.toml: every fit's constants and record, and those of classes without measurements.

    Where some fits are not among those found, theirs stay as shipped.
    """
    errors = report(found)
    tables: dict[str, Any] = {"kernels": {}, "sram": {}, "fit": {}}
    for judged in found:
        own = fitted_tables(judged.target, {path: _shown(value) for path, value in judged.values.items()})
        part = "sram" if judged.target.piped else "kernels"
        tables[part] = joined(own, tables[part])
        mine = errors[errors["fit"] == judged.target.name].set_index("chip")
        tables["fit"][judged.target.name] = {
            "rows": int(mine["rows"].sum()),
            "models": int(judged.table.loc[np.isfinite(judged.left_out), "model"].nunique()),
            "date": date.today().isoformat(),
            "chips": list(mine.index),
            "error": {chip: rounded(value, 2) for chip, value in mine["in_sample"].items()},
            "left_out": {chip: rounded(value, 2) for chip, value in mine["left_out"].items()},
        }
    if len(found) < len(targets()):
        tables = joined(tables, spec_table("fitted", "accelerators"))
    known = joined(tables["kernels"], load_constants(fitted=False).tables)
    for name, members in moves()["class"].items():
        tables["kernels"] = joined(class_means(known, name, members), tables["kernels"])
    kernels = {kind: dict(sorted(scopes.items())) for kind, scopes in sorted(tables["kernels"].items())}
    return {"kernels": kernels, "sram": dict(sorted(tables["sram"].items())), "fit": tables["fit"]}


def _shown(value: float) -> float:
    return rounded(value, 3) if value < 1000 else float(round(value))


def class_means(tables: Mapping[str, Any], name: str, members: Sequence[str]) -> dict[str, Any]:
    """Constants of a class of chips without measurements: geometric means over its measured members, by kind.

    A number of the class becomes the mean of the members' numbers of the same kind, format and key, where at least two
    of them have a positive one; plain numbers only where they are times.

    >>> stacks = {"a": {"layer_us": 10.0}, "b": {"layer_us": 1000.0}, "npu": {"layer_us": 5.0}}
    >>> class_means({"stack": stacks}, "npu", ["a", "b"])
    {'stack': {'npu': {'layer_us': 100.0}}}
    """
    found: dict[str, Any] = {}
    for kind, scopes in tables.items():
        others = [scopes[m] for m in members if isinstance(scopes, Mapping) and m in scopes]
        own = scopes.get(name, {}) if isinstance(scopes, Mapping) else {}
        for key, value in own.items():
            theirs = [other[key] for other in others if key in other]
            if isinstance(value, Mapping):
                means = {part: _mean([of.get(part) for of in theirs]) for part in value}
                mean: Any = {part: number for part, number in means.items() if number is not None}
            elif isinstance(value, list):
                number = _mean([of[0] for of in theirs])
                mean = number and [number] * len(value)
            else:
                mean = _mean(theirs) if key.endswith(("_us", "_ms")) else None
            if mean:
                found.setdefault(kind, {}).setdefault(name, {})[key] = mean
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value]
    return _shown(math.exp(sum(map(math.log, known)) / len(known))) if len(known) > 1 else None


def left_out_rows(found: Sequence[Judged]) -> pd.DataFrame:
    """Every row with its prediction by a fit that saw nothing of its model, and the band round it."""
    parts = []
    for judged in found:
        values = judged.table["value"].to_numpy(dtype=float) * np.exp(judged.left_out)
        bands = {"predicted": values, "low": values / judged.factor, "high": values * judged.factor}
        parts.append(judged.table.assign(**bands))
    return pd.concat(parts, ignore_index=True)
