"""Several chips, several models: one answer or one reason each, as dictionaries or as a flat table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .errors import TokcalcError, UsageError

if TYPE_CHECKING:
    import pandas as pd


def answers(chip: Iterable[str], model: Iterable[str], /, **workload: Any) -> list[dict[str, Any]]:
    """The answer of every chip with every model, chips varying slowest, as `Answer.to_dict` gives them.

    chip, model: names; workload: the keywords of `tokcalc.estimate`.
    A pair without an answer gives {"chip", "model", "reason"}.
    Raises UnknownName or SpecError for a name that stands for no chip or model, and the error itself where
    every pair fails on the same wrong input.
    """
    from .catalog import load_chip, load_model
    from .estimate import estimate

    chip_ids = {name: load_chip(name).id for name in chip}
    model_ids = {name: load_model(name).id for name in model}
    found: list[dict[str, Any]] = []
    errors: list[TokcalcError] = []
    for chip_name, chip_id in chip_ids.items():
        for model_name, model_id in model_ids.items():
            try:
                found.append(estimate(chip_name, model_name, **workload).to_dict())
            except TokcalcError as error:
                errors.append(error)
                found.append({"chip": chip_id, "model": model_id, "reason": str(error)})
    if errors and len(errors) == len(found) and all(isinstance(error, UsageError) for error in errors):
        raise errors[0]
    return found


def compare(chip: str | Iterable[str], model: str | Iterable[str], /, **workload: Any) -> pd.DataFrame:
    """One row per chip and model; columns are the flattened keys of the answer ("speed.tpot_s.value").

    chip, model: a name, a comma-separated string or a list; workload: the keywords of `tokcalc.estimate`.
    A pair without an answer has its reason in column "reason". SI units as the keys name them.
    """
    import pandas as pd

    return pd.DataFrame([flatten(answer) for answer in answers(_names(chip), _names(model), **workload)])


def flatten(answer: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; lists of texts by "; "; lists of tables (terms, placement) left out."""
    flat: dict[str, Any] = {}
    for key, value in answer.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        elif isinstance(value, list | tuple):
            if all(isinstance(item, str) for item in value):
                flat[prefix + key] = "; ".join(value)
        else:
            flat[prefix + key] = value
    return flat


def _names(names: str | Iterable[str]) -> list[str]:
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
