"""Validate: predicted against measured, row by row and summed up by chip, model, regime and more.

Before it stand `measured` (the rows) and `predict` (the model); after it the command line, which prints, and
`calibrate`, which uses the same errors. An error is |predicted/measured - 1|; nothing is dropped silently: a
row that cannot be predicted keeps its place and says why.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SpecError, UnknownName, UsageError

if TYPE_CHECKING:
    import pandas as pd

    Predictor = Callable[[pd.DataFrame], pd.DataFrame]

BY = ("chip", "model", "regime", "metric", "engine", "group", "family", "weights", "grade")
PREDICTED = ("predicted", "low", "high", "ratio", "grade", "bound_by", "reason")
PERCENTILE = 0.9


def validate_rows(rows: pd.DataFrame, predictor: Predictor | None = None) -> pd.DataFrame:
    """Judged rows: the rows, then PREDICTED and `family`, in the order given.

    predictor: takes rows, returns predicted, low, high, grade, bound_by, reason on the same index; None is
    the program's own model. Rows whose chip or model is unknown are not given to it.
    """
    import pandas as pd

    families, reasons = _names(rows)
    known = reasons == ""
    if predictor is None:
        from .predict import predict_rows

        predictor = predict_rows
    predictions = pd.DataFrame(index=rows.index, columns=["predicted", "low", "high"], dtype=float)
    for column in ("grade", "bound_by", "reason"):
        predictions[column] = pd.Series("", index=rows.index, dtype=object)
    predictions["reason"] = reasons
    if known.any():
        answered = predictor(rows[known])
        for column in predictions.columns:
            if column in answered:
                predictions.loc[answered.index, column] = answered[column]
    judged = judge(rows, predictions)
    judged["family"] = families
    return judged


def judge(rows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows joined by index with their predictions, and ratio = predicted / measured.

    A prediction that is not a positive finite number counts as none; such a row gets a reason if it has none.
    """
    import numpy as np
    import pandas as pd

    judged = rows.copy()
    for column in ("predicted", "low", "high"):
        numbers = predictions[column].reindex(rows.index) if column in predictions else math.nan
        judged[column] = pd.to_numeric(pd.Series(numbers, index=rows.index), errors="coerce").astype(float)
    good = np.isfinite(judged["predicted"]) & (judged["predicted"] > 0)
    judged.loc[~good, ["predicted", "low", "high"]] = math.nan
    judged["ratio"] = judged["predicted"] / judged["value"]
    for column in ("grade", "bound_by", "reason"):
        texts = predictions[column].reindex(rows.index) if column in predictions else ""
        judged[column] = pd.Series(texts, index=rows.index, dtype=object).fillna("").astype(str)
    judged.loc[~good & (judged["reason"] == ""), "reason"] = "the model gave no prediction"
    return judged


def summarise(judged: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Errors by the given keys (one line over all rows when there are none).

    Columns: the keys, n, predicted (rows), median_ape and p90_ape (share: 0.1 is 10 %), bias
    (exp(median log ratio) - 1) and in_band (share of the predicted rows with a band inside low..high);
    NaN where nothing is predicted.
    """
    import pandas as pd

    keys = check_by(by)
    if not keys:
        return pd.DataFrame([_errors(judged)])
    lines = []
    for values, part in judged.groupby(keys, sort=True, dropna=False):
        lines.append(dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True)) | _errors(part))
    return pd.DataFrame(lines, columns=[*keys, "n", "predicted", "median_ape", "p90_ape", "bias", "in_band"])


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
    answer: dict[str, Any] = {
        "rows": len(judged),
        "predicted": predicted,
        "skipped": len(judged) - predicted,
        "summary": _summary_list(judged, by),
    }
    if "suspect" in judged and (judged["suspect"] != "").any():
        clean = judged[judged["suspect"] == ""]
        answer["suspects"] = {"rows": len(judged) - len(clean), "summary_without": _summary_list(clean, by)}
    return answer


def write_predictions(raw: pd.DataFrame, judged: pd.DataFrame, path: str | Path) -> None:
    """CSV of the input cells as they stood, then PREDICTED, one line per row in the order of the input.

    Written to a temporary file beside it and then moved over, so a reader never sees half of it.
    """
    columns = [name for name in raw.columns if name not in PREDICTED]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *PREDICTED])
    answers = judged[list(PREDICTED)].itertuples(index=False)
    for cells, answer in zip(raw[columns].itertuples(index=False), answers, strict=True):
        writer.writerow([*cells, *(_cell(value) for value in answer)])
    write_text(path, text.getvalue())


def write_text(path: str | Path, text: str) -> None:
    """Write a whole text file at once (temporary file, then os.replace); SpecError where it cannot be."""
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpecError(f"{path} cannot be written: {error.strerror or error}; choose another path") from None


def skipped(judged: pd.DataFrame) -> list[tuple[str, int]]:
    """Reasons of the rows without a prediction, with their counts, most frequent first."""
    counts = judged.loc[judged["predicted"].isna(), "reason"].value_counts()
    return [(str(reason), int(count)) for reason, count in counts.items()]


def _errors(part: pd.DataFrame) -> dict[str, float]:
    import numpy as np

    done = part[part["predicted"].notna()]
    line: dict[str, float] = {"n": len(part), "predicted": len(done)}
    if done.empty:
        return line | dict.fromkeys(("median_ape", "p90_ape", "bias", "in_band"), math.nan)
    ratio = done["ratio"].to_numpy(dtype=float)
    error = np.abs(ratio - 1)
    banded = done[done["low"].notna() & done["high"].notna()]
    inside = (banded["low"] <= banded["value"]) & (banded["value"] <= banded["high"])
    return line | {
        "median_ape": float(np.median(error)),
        "p90_ape": float(np.quantile(error, PERCENTILE)),
        "bias": float(np.exp(np.median(np.log(ratio))) - 1),
        "in_band": float(inside.mean()) if len(banded) else math.nan,
    }


def _names(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """(family of each row's chip, reason why chip or model is unknown or "")."""
    from ..catalog import find_id, load_chip

    def look(kind: str, name: str) -> str:
        try:
            find_id(kind, name)
        except UnknownName as error:
            return f"{kind[:-1]} {name!r} is unknown: {error}"
        return ""

    def family(name: str) -> str:
        return str(load_chip(name).family) if not chip_reason[name] else "unknown"

    chip_reason = {name: look("chips", name) for name in rows["chip"].unique()}
    model_reason = {name: look("models", name) for name in rows["model"].unique()}
    families = {name: family(name) for name in chip_reason}
    reasons = rows["chip"].map(chip_reason).where(lambda text: text != "", rows["model"].map(model_reason))
    return rows["chip"].map(families), reasons.astype(object)


def _summary_list(judged: pd.DataFrame, by: Sequence[str]) -> list[dict[str, Any]]:
    keys = check_by(by)

    def lines() -> Iterator[dict[str, Any]]:
        for record in summarise(judged, keys).to_dict("records"):
            numbers = {str(k): _null(v) for k, v in record.items() if k not in keys}
            counts = {key: int(numbers.pop(key)) for key in ("n", "predicted")}
            yield {"by": {key: record[key] for key in keys}, **counts, **numbers}

    return list(lines())


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
