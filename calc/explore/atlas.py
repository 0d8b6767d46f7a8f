"""Every chip with every model: all sensible deployments evaluated, the Pareto fronts kept, chip by chip in
parallel.

Of each chip, model and pair of lengths the file keeps the deployments that no other of the same chip beats
in speed per user against throughput per chip, or against cost per million tokens; two flags mark those that
no chip of the catalogue beats.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NoAnswer, SpecError, UsageError
from .plan.choice import front
from .plan.search import BATCHES, MOST_CHIPS, MOST_PIPED, NUMBERS, Candidates, join, search, settings_for

LENGTHS = ((1024.0, 1024.0), (8192.0, 1024.0), (1024.0, 8192.0), (65536.0, 1024.0))
TEXTS = ("chip", "model", "weights", "kv", "grade")
WHOLE = ("isl", "osl", "chips", "tp", "pp", "dp", "ep", "draft", "concurrency", "largest_batch")
SMALL_KINDS = ("cpu", "apu")  # sold as whole machines, not joined to serve one model
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Atlas:
    """What was drawn: cases evaluated, cases that fit, rows kept by column, and pairs without an answer."""

    cases: int
    fitting: int
    columns: Mapping[str, np.ndarray]
    skipped: int
    currency: str

    def __len__(self) -> int:
        return len(self.columns["chip"])


@dataclass(frozen=True)
class Task:
    """One chip of the atlas: plain values, so that another process can take it."""

    chip: str
    models: tuple[str, ...]
    lengths: tuple[tuple[float, float], ...]
    options: tuple[tuple[str, Any], ...]


def atlas(
    chips: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    *,
    lengths: Sequence[tuple[float, float]] = LENGTHS,
    jobs: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Atlas:
    """Fronts of every chip with every model (None: the whole catalogue); lengths: (isl, osl) pairs.

    jobs: processes (None: one a core); progress: called with (chips done, chips). options: money options of
    a plan (on, currency, price, rent) and kv. Raises UnknownName for a name, NoAnswer where nothing fits
    anything.
    """
    from datetime import date

    from ..catalog import find_id, list_ids

    chip_ids = _ids("chips", chips, list_ids, find_id)
    model_ids = _ids("models", models, list_ids, find_id)
    if not lengths:
        raise UsageError("an atlas needs a pair of lengths, such as 1k/1k")
    options = {"on": date.today().isoformat(), **{k: v for k, v in options.items() if v is not None}}
    tasks = [Task(chip, tuple(model_ids), tuple(lengths), tuple(sorted(options.items()))) for chip in chip_ids]
    cases, fitting, skipped = 0, 0, 0
    parts: dict[str, dict[str, np.ndarray]] = {}
    for done, (chip, counts, columns) in enumerate(_results(tasks, jobs), start=1):
        cases, fitting, skipped = cases + counts[0], fitting + counts[1], skipped + counts[2]
        if columns is not None:
            parts[chip] = columns
        if progress:
            progress(done, len(tasks))
    if not parts:
        raise NoAnswer("no model fits any of these chips; name larger chips or smaller models")
    ordered = [parts[chip] for chip in chip_ids if chip in parts]
    joined = {name: np.concatenate([part[name] for part in ordered]) for name in ordered[0]}
    joined |= catalogue_fronts(joined)
    return Atlas(cases, fitting, joined, skipped, str(options.get("currency") or "USD"))


def _ids(kind: str, names: Sequence[str] | None, listed: Any, find: Any) -> list[str]:
    if names is None:
        return list(listed(kind))
    return list(dict.fromkeys(find(kind, name) for name in names))


def _results(tasks: Sequence[Task], jobs: int | None) -> Iterator[tuple[str, tuple[int, int, int], Any]]:
    """Results as they come; chips in parallel where there is more than one core and chip."""
    workers = min(jobs or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else jobs or 1, len(tasks))
    if workers <= 1:
        yield from map(chart_chip, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(chart_chip, task) for task in tasks]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def chart_chip(task: Task) -> tuple[str, tuple[int, int, int], dict[str, np.ndarray] | None]:
    """(chip, (cases, fitting, pairs without an answer), columns of its fronts or None) of one chip."""
    cases = fitting = skipped = 0
    kept: list[dict[str, np.ndarray]] = []
    for model in task.models:
        try:
            found = _pair(task, model)
        except (NoAnswer, SpecError):
            skipped += 1
            continue
        cases += len(found)
        good = int(found.fits.sum())
        fitting += good
        if not good:
            skipped += 1
            continue
        kept.append(_fronts(found, task.lengths))
    if not kept:
        return task.chip, (cases, fitting, skipped), None
    return task.chip, (cases, fitting, skipped), {n: np.concatenate([k[n] for k in kept]) for n in kept[0]}


def _pair(task: Task, model: str) -> Candidates:
    settings = settings_for([task.chip], model, dict(task.options), None, [None])
    parts = []
    for s in settings:
        most = MOST_PIPED if s.chip.weights_in_sram else 1 if s.chip.kind in SMALL_KINDS else MOST_CHIPS
        parts.append(search(s, lengths=task.lengths, batches=BATCHES, most_chips=most))
    return join(parts)


def _fronts(found: Candidates, lengths: Sequence[tuple[float, float]]) -> dict[str, np.ndarray]:
    places: list[np.ndarray] = []
    for isl, osl in lengths:
        own = np.flatnonzero(found.fits & (found["isl"] == isl) & (found["osl"] == osl))
        speed = found["output_tok_s_user"][own]
        best = [own[front(speed, found[name][own], up)] for name, up in _AXES]
        places.append(np.unique(np.concatenate(best)))
    kept = found.take(np.concatenate(places))
    words = {
        "chip": [s.chip.id for s in kept.settings],
        "model": [s.model.id for s in kept.settings],
        "weights": [s.weights for s in kept.settings],
        "kv": [s.kv for s in kept.settings],
        "grade": [s.grade for s in kept.settings],
    }
    columns = {name: np.array(texts, dtype=object)[kept.where] for name, texts in words.items()}
    return columns | {name: np.ascontiguousarray(kept[name], dtype=float) for name in NUMBERS}


_AXES = (("output_tok_s_chip", True), ("per_m_blended", False))


def catalogue_fronts(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Flags of the rows that no chip of the catalogue beats at the same model and lengths: on throughput,
    on cost.
    """
    _, codes = np.unique(columns["model"].astype(str), return_inverse=True)
    keys = np.stack([codes.astype(float), columns["isl"], columns["osl"]])
    _, group = np.unique(keys, axis=1, return_inverse=True)
    group = np.ravel(group)
    order = np.argsort(group, kind="stable")
    edges = np.flatnonzero(np.diff(group[order], prepend=-1))
    flags = {name: np.zeros(len(codes), dtype=bool) for name in ("front_throughput", "front_cost")}
    for first, last in zip(edges, [*edges[1:], len(order)], strict=True):
        own = order[first:last]
        speed = columns["output_tok_s_user"][own]
        for flag, (name, up) in zip(flags.values(), _AXES, strict=True):
            flag[own[front(speed, columns[name][own], up)]] = True
    return flags


def write_atlas(found: Atlas, path: str | os.PathLike[str]) -> None:
    """The rows as Parquet, whole or not at all, one row group per quarter million rows; other endings as a
    table.
    """
    from ..report import check, write

    if check(path) != ".parquet":
        if len(found) > 1_000_000:
            raise UsageError(f"{len(found):,} rows are too many for this ending; write .parquet")
        import pandas as pd

        write(pd.DataFrame(dict(found.columns)), path, title="atlas")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ..report.files import whole_file
    from ..report.rows import unit_of

    arrays, fields = [], []
    for name, column in found.columns.items():
        if name in TEXTS:
            array = pa.array(column, pa.string()).dictionary_encode()
        elif name in WHOLE:
            array = pa.array(column.astype(np.int64))
        else:
            array = pa.array(column, from_pandas=True)
        unit = unit_of(name)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"unit": unit} if unit else None))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=262_144)


def standing(found: Atlas) -> list[dict[str, Any]]:
    """Chips by how many (model, lengths) fronts they stand on, most first: throughput and cost counted
    apart.
    """
    rows: dict[str, dict[str, Any]] = {}
    place = {name: found.columns[name] for name in ("chip", "model", "isl", "osl")}
    for flag in ("front_throughput", "front_cost"):
        where = np.flatnonzero(found.columns[flag])
        seen = {tuple(str(place[name][i]) for name in place) for i in where}
        for chip, *_ in seen:
            row = rows.setdefault(chip, {"chip": chip, "front_throughput": 0, "front_cost": 0})
            row[flag] += 1
    return sorted(rows.values(), key=lambda row: (-row["front_throughput"] - row["front_cost"], row["chip"]))


def model_rows(found: Atlas, model: str, isl: float, osl: float) -> list[dict[str, Any]]:
    """The rows of one model and one pair of lengths, as dictionaries."""
    at = found.columns
    own = np.flatnonzero((at["model"] == model) & (at["isl"] == isl) & (at["osl"] == osl))
    return [{name: at[name][i] for name in at} for i in own]
