"""Validate: predicted against measured, row by row and summed up by chip, model, regime and more.

An error is |predicted/measured - 1|; nothing is dropped silently: a row that cannot be predicted keeps its place and
says why. `calibrate` uses the same errors.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..catalog import find_id, load_chip
from ..errors import UnknownName, UsageError
from ..report.files import whole_file
from .predict import predict_rows

if TYPE_CHECKING:
    from ..arrays import Values

Predictor = Callable[[pd.DataFrame], pd.DataFrame]
BY = ("chip", "model", "regime", "metric", "engine", "group", "family", "weights", "grade")
PREDICTED = ("predicted", "low", "high", "ratio", "grade", "bound_by", "reason")
PERCENTILE = 0.9
_NUMBERS, _TEXTS = ("predicted", "low", "high"), ("grade", "bound_by", "reason")
_ERRORS = ("median_ape", "p90_ape", "bias", "in_band")


def validate_rows(rows: pd.DataFrame, predictor: Predictor = predict_rows) -> pd.DataFrame:
    """Judged rows: the rows, then PREDICTED and `family`, in the order given.

    predictor: takes rows, returns predicted, low, high, grade, bound_by, reason on the same index. Rows whose chip or
    model is unknown are not given to it.
    """
    families, reasons = _names(rows)
    known = reasons == ""
    predictions = pd.DataFrame(index=rows.index, columns=[*_NUMBERS, *_TEXTS], dtype=object)
    predictions["reason"] = reasons
    if known.any():
        answered = predictor(rows[known])
        for column in (name for name in predictions if name in answered):
            predictions.loc[answered.index, column] = answered[column]
    return judge(rows, predictions).assign(family=families)


def judge(rows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows joined by index with their predictions, and ratio = predicted / measured.

    A prediction that is not a positive finite number counts as none; such a row gets a reason if it has none.
    """
    judged, given = rows.copy(), predictions.reindex(index=rows.index, columns=[*_NUMBERS, *_TEXTS])
    for column in _NUMBERS:
        judged[column] = pd.to_numeric(given[column], errors="coerce").astype(float)
    good = np.isfinite(judged["predicted"]) & (judged["predicted"] > 0)
    judged.loc[~good, list(_NUMBERS)] = math.nan
    judged["ratio"] = judged["predicted"] / judged["value"]
    for column in _TEXTS:
        judged[column] = given[column].astype(object).fillna("").astype(str)
    judged.loc[~good & (judged["reason"] == ""), "reason"] = "the model gave no prediction"
    return judged


def summarise(judged: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Errors by the given keys (one line over all rows when there are none).

    Columns: the keys, n, predicted (rows), median_ape and p90_ape (share: 0.1 is 10 %), bias
    (exp(median log ratio) - 1) and in_band (share of the predicted rows with a band inside low..high);
    NaN where nothing is predicted.
    """
    keys = check_by(by)
    parts = judged.groupby(keys, sort=True, dropna=False) if keys else [((), judged)]
    lines = [dict(zip(keys, values, strict=True)) | _line(part) for values, part in parts]
    return pd.DataFrame(lines, columns=[*keys, "n", "predicted", *_ERRORS])


def _line(part: pd.DataFrame) -> dict[str, float]:
    done = part[part["predicted"].notna()]
    counts = {"n": len(part), "predicted": len(done)}
    if done.empty:
        return counts | dict.fromkeys(_ERRORS, math.nan)
    return counts | errors_of(done["ratio"].to_numpy(dtype=float)) | {"in_band": in_band(done)}


def errors_of(ratio: Values) -> dict[str, float]:
    """Median and 90th percentile of |predicted/measured - 1|, and the bias: exp of the median logarithm, less 1.

    >>> {name: round(value, 3) for name, value in errors_of(np.array([0.9, 1.1, 1.2])).items()}
    {'median_ape': 0.1, 'p90_ape': 0.18, 'bias': 0.1}
    """
    error = np.abs(ratio - 1)
    bias = float(np.exp(np.median(np.log(ratio))) - 1)
    return {"median_ape": float(np.median(error)), "p90_ape": float(np.quantile(error, PERCENTILE)), "bias": bias}


def in_band(done: pd.DataFrame) -> float:
    """Share of the rows with a band that lie inside low..high; NaN where none has a band."""
    banded = done[done["low"].notna() & done["high"].notna()]
    return float(banded["value"].between(banded["low"], banded["high"]).mean()) if len(banded) else math.nan


def check_by(by: Sequence[str]) -> list[str]:
    """The keys, each once; UsageError for one that rows cannot be grouped by."""
    keys = list(dict.fromkeys(key.strip() for key in by if key.strip()))
    for key in keys:
        if key not in BY:
            raise UsageError(f"rows cannot be grouped by {key!r}; --by takes {', '.join(BY)}")
    return keys


def as_json(judged: pd.DataFrame, by: Sequence[str] = ()) -> dict[str, Any]:
    """{"rows", "predicted", "skipped", "summary": [{"by", "n", "median_ape", "p90_ape", "bias", "in_band"}]}.

    `n` of a summary line counts its rows, `predicted` those of them with a prediction. What is not known
    is null. When rows are marked suspect, "suspects" tells how many, and the same summary without them.
    """
    predicted = int(judged["predicted"].notna().sum())
    counts = {"rows": len(judged), "predicted": predicted, "skipped": len(judged) - predicted}
    answer: dict[str, Any] = {**counts, "summary": _summary_list(judged, by)}
    if "suspect" in judged and (judged["suspect"] != "").any():
        clean = judged[judged["suspect"] == ""]
        answer["suspects"] = {"rows": len(judged) - len(clean), "summary_without": _summary_list(clean, by)}
    return answer


def _summary_list(judged: pd.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    keys = check_by(by)
    return [
        {"by": {key: record[key] for key in keys}}
        | {name: int(record[name]) for name in ("n", "predicted")}
        | {name: record[name] if math.isfinite(record[name]) else None for name in _ERRORS}
        for record in summarise(judged, keys).to_dict("records")
    ]


def write_predictions(raw: pd.DataFrame, judged: pd.DataFrame, path: str | Path) -> None:
    """CSV of the input cells as they stood, then PREDICTED, one line per row in the order of the input."""
    columns = [name for name in raw.columns if name not in PREDICTED]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *PREDICTED])
    answers = judged[list(PREDICTED)].itertuples(index=False)
    for cells, answer in zip(raw[columns].itertuples(index=False), answers, strict=True):
        writer.writerow([*cells, *(_cell(value) for value in answer)])
    with whole_file(path) as part:
        part.write_bytes(text.getvalue().encode())


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def skipped(judged: pd.DataFrame) -> list[tuple[str, int]]:
    """Reasons of the rows without a prediction, with their counts, most frequent first."""
    counts = judged.loc[judged["predicted"].isna(), "reason"].value_counts()
    return [(str(reason), int(count)) for reason, count in counts.items()]


def _names(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """(family of each row's chip, reason why chip or model is unknown or "")."""

    def look(kind: str, name: str) -> str:
        try:
            find_id(kind, name)
        except UnknownName as error:
            return f"{kind[:-1]} {name!r} is unknown: {error}"
        return ""

    chip_reason = {name: look("chips", name) for name in rows["chip"].unique()}
    model_reason = {name: look("models", name) for name in rows["model"].unique()}
    families = {name: "unknown" if why else str(load_chip(name).family) for name, why in chip_reason.items()}
    reasons = rows["chip"].map(chip_reason).where(lambda text: text != "", rows["model"].map(model_reason))
    return rows["chip"].map(families), reasons.astype(object)
