"""Several chips, models, formats, workloads: one answer or one reason each, as dictionaries or as a flat
table.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from typing import TYPE_CHECKING, Any

from ..errors import TokcalcError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from ..answers.answer import Answer

Row = dict[str, Any]
MOST = 20_000
RATIOS = {
    "speed.output_tok_s_user.value": "relative.user_speed",
    "speed.output_tok_s_chip.value": "relative.chip_rate",
    "speed.ttft_s.value": "relative.first_token",
    "cost.per_m_output": "relative.cost",
    "energy.joule_per_output_token": "relative.energy",
}
_LOWER = ("ttft_s", "tpot_s", "per_m_", "per_hour", "joule", "power_w", "kwh", "co2", "used_share", "chips")
_OPERATORS = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"\s*([\w.]+)\s*(>=|<=|!=|==|>|<|=)\s*(.+?)\s*")


def answers(
    chip: Iterable[str], model: Iterable[str], /, *, ask: Callable[..., Answer] | None = None, **workload: Any
) -> list[dict[str, Any]]:
    """The answer of every combination, chips varying slowest, then models, then options that are lists.

    chip, model: names; ask: who answers, `estimate` unless it is `full_load.loaded`; workload: its keywords, each a
    value or a list of them. A case without an answer gives {"chip", "model", "reason"}. Raises UnknownName or SpecError
    for a name that stands for no chip or model, and the error itself where every case fails on the same wrong input.
    """
    from ..answers.estimate import estimate
    from ..catalog import load_chip, load_model

    ask = ask or estimate
    varied = {name: list(value) for name, value in workload.items() if isinstance(value, list | tuple)}
    fixed = {name: value for name, value in workload.items() if name not in varied}
    chip_ids = {name: load_chip(name).id for name in chip}
    model_ids = {name: load_model(name).id for name in model}
    count = math.prod([len(chip_ids), len(model_ids), *(len(values) for values in varied.values())])
    if count > MOST:
        raise UsageError(f"{count:,} answers are too many for a table; `tokcalc sweep` streams grids of any size")
    found: list[dict[str, Any]] = []
    errors: list[TokcalcError] = []
    cases: list[tuple[str, str, dict[str, Any]]] = []
    for chip_name, model_name, *values in product(chip_ids, model_ids, *varied.values()):
        case = {**fixed, **dict(zip(varied, values, strict=True))}
        cases.append((chip_name, model_name, case))
        try:
            found.append(ask(chip_name, model_name, **case).to_dict())
        except TokcalcError as error:
            errors.append(error)
            given = _inputs({name: case[name] for name in varied})
            found.append({"chip": chip_ids[chip_name], "model": model_ids[model_name], "reason": str(error), **given})
    if errors and len(errors) == len(found) and all(isinstance(error, UsageError) for error in errors):
        raise errors[0]

    def owned_at(place: int) -> dict[str, Any]:
        chip_name, model_name, case = cases[place]
        return ask(chip_name, model_name, **{**case, "own": {}}).to_dict()

    price_alike(found, fixed, owned_at)
    return found


def price_alike(
    found: list[dict[str, Any]], question: Mapping[str, Any], owned_at: Callable[[int], dict[str, Any]]
) -> None:
    """One way of pricing for all: rents where every chip has one, else ownership; what cannot follow is marked.

    found: answers or reasons, changed in place; question: what was asked of all, where a way that is named stays;
    owned_at: the answer at a place, asked again as an owner's.
    """
    if any(question.get(name) is not None for name in ("rent", "own", "price")):
        return
    ways = {(answer.get("cost") or {}).get("way") for answer in found} - {None}
    if len(ways) <= 1:
        return
    for place, answer in enumerate(found):
        if (answer.get("cost") or {}).get("way") == "rental":
            owned = owned_at(place)
            if owned["cost"].get("way"):
                found[place] = owned
            else:
                found[place]["cost"]["unlike"] = True


def _inputs(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of a case without an answer, under the keys that answers have them."""
    rooms: dict[str, Any] = {}
    for name, value in asked.items():
        room = "workload" if name in ("isl", "osl", "concurrency", "cache_hit", "draft", "acceptance") else "deployment"
        rooms.setdefault(room, {})[name] = value
    return rooms


def compare(chip: str | Iterable[str], model: str | Iterable[str], /, **workload: Any) -> pd.DataFrame:
    """One row per case; columns are the flattened keys of the answer ("speed.tpot_s.value").

    chip, model: a name, a comma-separated string or a list; workload: the keywords of `tokcalc.estimate`,
    lists for several. A case without an answer has its reason in column "reason". SI units as the keys name
    them.
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


def column(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The full key of a column by its key or the end of it ("tpot_s" is "speed.tpot_s.value").

    Raises UsageError with the nearest names where no row has one.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if name in keys:
        return name
    for key in keys:
        parts = key.removesuffix(".value").split(".")
        if parts[-1] == name:
            return key
    short = list(dict.fromkeys(key.removesuffix(".value").split(".")[-1] for key in keys))
    near = get_close_matches(name, [*short, *keys], n=3, cutoff=0.4)
    raise UsageError(f"no column {name!r}; {'nearest: ' if near else 'known: '}{', '.join(near or short[:20])}")


def lower_is_better(key: str) -> bool:
    """True for times, money, energy and counts of chips."""
    return any(part in key for part in _LOWER)


def ordered(rows: Sequence[Row], by: str) -> list[Row]:
    """Rows by a column, the best first ("-tpot_s": the worst); rows without the figure last."""
    key = column(rows, by.removeprefix("-"))
    down = lower_is_better(key) == by.startswith("-")
    known = [row for row in rows if row.get(key) is not None]
    texts = any(isinstance(row[key], str) for row in known)
    known.sort(key=lambda row: str(row[key]) if texts else row[key], reverse=down and not texts)
    return [*known, *(row for row in rows if row.get(key) is None)]


def filtered(rows: Sequence[Row], condition: str) -> list[Row]:
    """Rows that keep a condition: "output_tok_s_user>=50", "grade<=B", "weights=fp8,bf16"; a missing figure
    keeps none.
    """
    found = _CONDITION.fullmatch(condition)
    if not found:
        raise UsageError(f"--filter {condition!r} is no condition; write COLUMN>=VALUE, such as output_tok_s_user>=50")
    key, sign, wanted = column(rows, found[1]), found[2].replace("==", "="), found[3]
    values = [row[key] for row in rows if row.get(key) is not None]
    if all(isinstance(value, str | bool) for value in values):
        if sign in ("=", "!="):
            words = {word.strip().lower() for word in wanted.split(",")}
            return [r for r in rows if r.get(key) is not None and (str(r[key]).lower() in words) == (sign == "=")]
        return [r for r in rows if r.get(key) is not None and _OPERATORS[sign](str(r[key]), wanted)]
    try:
        limit = float(wanted)
    except ValueError:
        raise UsageError(f"--filter {condition!r}: {wanted!r} is not a number, and {found[1]} is one") from None
    return [row for row in rows if row.get(key) is not None and _OPERATORS[sign](row[key], limit)]


def relative(rows: Sequence[Row], baseline: str) -> list[Row]:
    """The rows with RATIOS against the baseline chip's row of the same model and `asked`; None without one.

    asked: what tells the cases of a pair apart, the same for every chip. Ratios are value / baseline's, for
    times and money too. Raises UsageError where no row of the baseline answers.
    """
    base = {_asked(row): row for row in rows if row.get("chip") == baseline and "reason" not in row}
    if not base:
        raise UsageError(f"{baseline} has no answer here, so nothing is relative to it; choose another --baseline")
    made = []
    for row in rows:
        own = base.get(_asked(row))
        extra = {}
        for key, name in RATIOS.items():
            value, against = row.get(key), own.get(key) if own else None
            extra[name] = value / against if value is not None and against else None
        made.append(row | extra)
    return made


def _asked(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("model"), row.get("asked")


def _names(names: str | Iterable[str]) -> list[str]:
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
