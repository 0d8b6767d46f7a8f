"""Any grid over any inputs: as a DataFrame, as a streamed file, or as its best rows, in bounded memory.

Rows are in the order of the grid, names slowest; columns are the flattened keys of an answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UsageError
from .axes import NAMES, Axis, make_axis, parse_axes
from .cases import WHAT_IF, Columns, Question, Words, columns_of

if TYPE_CHECKING:
    import pandas as pd

ASK = 1_000_000_000  # cases from which a run must be confirmed
MEMORY = 250_000_000  # numbers that a DataFrame may hold before the same: 2 GB
MONEY = ("rent", "currency", "on", "price", "own", "fx", "region", "overrides")
TABLE = 100_000  # rows of a file that is not streamed
_NOT_VARIED = {"software_date", "grid", "constants", "min_speed", "max_ttft"}  # options of an answer, not of a grid
SPEED = 1e6  # cases a second, for the size that a question names
Progress = Callable[[int, int], None]


def sweep(
    chip: str | Iterable[str],
    model: str | Iterable[str],
    grid: Mapping[str, Any] | Iterable[str] = (),
    *,
    columns: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
    yes: bool = False,
    dask: str | None = None,
    **workload: Any,
) -> pd.DataFrame | None:
    """One row per case of a grid: every combination of chips, models and the values of `grid`.

    grid: {"concurrency": "1:4096:x2", "tp": [1, 2, 4]} or ["concurrency=1:4096:x2", ...]; any option of an
    estimate can vary. columns: keys to keep ("tpot_s" or "speed.tpot_s.value"); workload: options that stay
    the same. path: stream to .parquet or .csv instead and return None. yes: allow huge grids. Units are in
    the names; a case that does not fit has NaN and a `reason`.
    """
    question = ask(chip, model, grid, columns, workload)
    confirm(question, yes, MEMORY // len(question.columns) if path is None else ASK)
    from .columns import check, stretch
    from .files import frame

    if path is not None:
        check_file(path, question.rows)
    check(question)
    if path is None:
        return frame(stretch(question, 0, question.rows))
    write_rows(question, path, dask=dask)
    return None


def ask(
    chip: str | Iterable[str] | None,
    model: str | Iterable[str] | None,
    grid: Mapping[str, Any] | Iterable[str],
    columns: Sequence[str] | None,
    workload: Mapping[str, Any],
) -> Question:
    """The question of a sweep from its parts; UsageError for contradictions and unknown inputs."""
    if isinstance(grid, Mapping):
        axes = [make_axis(name, _values(values)) for name, values in grid.items()]
    else:
        axes = parse_axes([grid] if isinstance(grid, str) else grid)
    fixed = {name: value for name, value in workload.items() if value is not None}
    for name, value in (("chip", chip), ("model", model)):
        given = any(axis.name == name for axis in axes)
        if value is None and not given:
            raise UsageError(f"--{name} is missing: give it once, or several with --grid {name}=A,B")
        if value is not None and given:
            raise UsageError(f"{name} is given twice, as --{name} and in --grid; keep one of them")
        if value is not None:
            axes.insert(0 if name == "chip" else min(1, len(axes)), make_axis(name, _values(value)))
    for axis in axes:
        if axis.name in fixed:
            raise UsageError(f"{axis.name} is given twice, as --{axis.name.replace('_', '-')} and in --grid; keep one")
    _check_drafts(axes, fixed)
    kept = columns_of(columns)
    others = [axis.name for axis in axes if axis.name == "memory" or "." in axis.name]
    if columns is None:
        asked = (WHAT_IF,) if what_ifs(axes, fixed) else ()
        kept = (*kept[:2], *others, *kept[2:], *asked)
    return Question(tuple(axes), _checked(fixed), kept)


def what_ifs(axes: Sequence[Axis], fixed: Mapping[str, Any]) -> bool:
    """True where a row's chip may be another than the one that is built: by options, by axes, by a file of its own."""
    from ...catalog import load_chip

    if any(axis.name == "memory" or "." in axis.name for axis in axes) or fixed.get("memory") or fixed.get("overrides"):
        return True
    return any(load_chip(word).what_if_note for axis in axes if axis.name == "chip" for word in axis.texts())


def _check_drafts(axes: Sequence[Axis], fixed: Mapping[str, Any]) -> None:
    """Drafts and their acceptance are given together, as in a single question."""
    given = {axis.name for axis in axes} | {name for name, value in fixed.items() if value}
    if "acceptance" in given and "draft" not in given:
        raise UsageError("--acceptance needs --draft, the number of tokens drafted per step")
    if "draft" in given and "acceptance" not in given:
        raise UsageError("--draft needs --acceptance, the chance that a drafted token is accepted, such as 0.7")


def _values(values: Any) -> list[Any]:
    if isinstance(values, str):
        return [part.strip() for part in values.split(",")]
    return list(values) if isinstance(values, Iterable) else [values]


def _checked(fixed: dict[str, Any]) -> dict[str, Any]:
    """Fixed options by the rules of the axes, so that a wrong one is refused alike."""
    from ...answers.estimate import estimate

    options = signature(estimate).parameters.values()
    known = {o.name for o in options if o.kind is o.KEYWORD_ONLY} - _NOT_VARIED
    for name, value in fixed.items():
        if name not in known:
            raise UsageError(f"no option {name!r} for a sweep; there are {', '.join(sorted(known))}")
        if name in NAMES or name in MONEY:
            continue
        axis = make_axis(name, [str(value)])
        if len(axis) != 1:
            raise UsageError(f"--{name} {value!r} is several values; put it into --grid {name}={value}")
    return {name: _plain(name, value) for name, value in fixed.items()}


def _plain(name: str, value: Any) -> Any:
    if name in NAMES or name in MONEY:
        return value
    number = float(make_axis(name, [str(value)]).numbers()[0])
    return "max" if np.isinf(number) else number


def confirm(question: Question, yes: bool, most: int = ASK) -> None:
    """Refuse a grid beyond `most` cases unless confirmed; the sentence says its size."""
    if question.rows <= most or yes:
        return
    hours = question.rows / SPEED / 3600
    size = question.rows * 8.0 * sum(1 for name in question.columns if "." in name)
    from ... import units

    raise UsageError(
        f"the grid has {_count(question.rows)} cases, about {units.duration(hours * 3600)} of computing and "
        f"{units.si(size, 'B')} of numbers; give fewer values, or --yes to do it all the same"
    )


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**12 else f"{number:.3g}"


def check_file(path: str | os.PathLike[str], rows: int) -> None:
    """Refuse a file that the rows cannot be written to, before the work."""
    from ...report import check
    from .files import STREAMED

    ending = check(path)
    if ending not in STREAMED and rows > TABLE:
        raise UsageError(f"{rows:,} rows are too many for {ending}; write {' or '.join(STREAMED)}, which are streamed")


def write_rows(
    question: Question, path: str | os.PathLike[str], *, progress: Progress | None = None, dask: str | None = None
) -> int:
    """Write every row to a file: .parquet and .csv streamed and resumable, other tables at once; rows
    written.
    """
    from .files import STREAMED, frame, write_sweep

    check_file(path, question.rows)
    if os.path.splitext(os.fspath(path))[1].lower() in STREAMED:
        return write_sweep(question, path, progress=progress, dask=dask)
    from ...report import write
    from .columns import stretch

    write(frame(stretch(question, 0, question.rows)), path, title="sweep")
    return question.rows


def best_rows(
    question: Question, by: str, count: int, *, lowest: bool, progress: Progress | None = None
) -> tuple[pd.DataFrame, int]:
    """(the `count` rows that are best in a column, how many rows have an answer) in bounded memory."""
    import pandas as pd

    from .columns import stretch
    from .files import PART, frame

    key = columns_of([by])[0]
    asked = question if key in question.columns else Question(question.axes, question.fixed, (*question.columns, key))
    kept = pd.DataFrame()
    answered = 0
    for first in range(0, asked.rows, PART):
        columns = stretch(asked, first, min(first + PART, asked.rows))
        values = columns[key]
        if isinstance(values, Words):
            raise UsageError(f"--sort {by} is a text; sort by a number such as output_tok_s_chip")
        good = np.flatnonzero(np.isfinite(values))
        answered += good.size
        order = good[np.argsort(values[good] if lowest else -values[good], kind="stable")[:count]]
        part = frame(_rows(columns, np.sort(order)))
        for name in part.columns[part.dtypes == "category"]:
            part[name] = part[name].astype(str)
        kept = pd.concat([kept, part], ignore_index=True) if len(kept) else part
        kept = kept.sort_values(key, ascending=lowest, kind="stable").head(count).reset_index(drop=True)
        if progress:
            progress(min(first + PART, asked.rows), asked.rows)
    return kept, answered


def _rows(columns: Columns, where: np.ndarray) -> Columns:
    return {
        name: Words(column.codes[where], column.words) if isinstance(column, Words) else column[where]
        for name, column in columns.items()
    }
