"""Measured rows: read and check the CSV files of published measurements that `validate` and `calibrate` use.

The columns are described in specs/measured/README.md. A row that breaks the form is an error that names file, line and
column; a row whose chip or model nobody knows is good data and stays.
"""

from __future__ import annotations

import csv
import fnmatch
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..catalog.files import builtin_folder
from ..errors import SpecError

_SETUP = ("id", "chip", "chips", "model", "weights", "kv", "engine", "version", "tp", "pp", "dp", "ep")
_LOAD = ("isl", "osl", "concurrency", "regime", "metric", "value", "spec_decode", "group", "date", "source", "note")
COLUMNS = (*_SETUP, *_LOAD)
REQUIRED = ("id", "chip", "model", "regime", "metric", "value")
_ALONE = ("prefill-b1", "decode-b1", "decode-batch", "static-batch", "serving", "open-loop", "max-load")
REGIMES = (*_ALONE, "mlperf-offline", "mlperf-server", "wide-ep", "energy", "price")
METRICS = {
    "tpot_ms": "ms",
    "ttft_ms": "ms",
    "output_tok_s": "tok/s",
    "output_tok_s_user": "tok/s",
    "input_tok_s": "tok/s",
    "total_tok_s": "tok/s",
    "e2e_s": "s",
    "joule_per_output_token": "J/token",
    "usd_per_m_output": "USD/M tokens",
    "usd_per_m_total": "USD/M tokens",
}
_QUANTITY = {"tpot_ms": "tpot", "output_tok_s_user": "tpot", "ttft_ms": "ttft", "joule_per_output_token": "energy"}
POSITIVE = ("chips", "tp", "pp", "dp", "ep", "concurrency", "value")
NUMERIC = (*POSITIVE, "isl", "osl", "spec_decode")
MAX_BYTES = 200_000_000
MAX_CELL = 100_000


def read_rows(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Rows of all files as one table: numbers as floats (empty cells NaN), text as str, `max_load` as bool.

    `concurrency` `max` becomes NaN with `max_load` True. Raises SpecError (one sentence with file, line,
    column and reason) for a file that is missing, too large, not text, or has a bad or duplicate row.
    """
    return read_table(paths)[1]


def read_table(paths: Iterable[str | Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(raw, rows): the cells of the files as they stand, every input column kept, and the typed rows."""
    raws: list[pd.DataFrame] = []
    typed: list[pd.DataFrame] = []
    seen: dict[str, str] = {}
    for path in paths:
        raw, lines = _read_cells(Path(path))
        typed.append(_typed(raw, lines, Path(path), seen))
        raws.append(raw)
    if not raws:
        raise SpecError("no measured file was given; name one with --data FILE.csv")
    raw = pd.concat(raws, ignore_index=True).fillna("")
    return raw, pd.concat(typed, ignore_index=True)


def quantity(metric: str) -> str:
    """What a measured metric's band belongs to: tpot, ttft, energy or throughput."""
    return _QUANTITY.get(metric, "throughput")


def packaged_paths() -> list[Path]:
    """The measured files that ship with the program, in name order; the list of suspects is not one."""
    return sorted(p for p in builtin_folder("measured").glob("*.csv") if p.name != "suspects.csv")


def packaged_rows() -> pd.DataFrame:
    """The published points of specs/measured/."""
    return read_rows(packaged_paths())


def read_suspects(path: str | Path | None = None) -> list[tuple[str, str]]:
    """(pattern, reason) pairs of a suspects file with columns `pattern,reason`; None means the packaged list.

    A pattern is matched against a row's id and its group, with the wildcards of file names.
    """
    if path is None:
        path = builtin_folder("measured") / "suspects.csv"
        if not path.exists():
            return []
    path = Path(path)
    header, records = _records(path)
    for column in ("pattern", "reason"):
        if column not in header:
            raise SpecError(f"{path}, line 1, has no column {column!r}; a suspects file has pattern,reason")
    at = header.index("pattern"), header.index("reason")
    pairs = []
    for line, cells in records:
        pattern, reason = cells[at[0]].strip(), cells[at[1]].strip()
        if not pattern or not reason:
            raise SpecError(f"{path}, line {line}, has an empty pattern or reason; give both")
        pairs.append((pattern, reason))
    return pairs


def suspect_reasons(rows: pd.DataFrame, suspects: Sequence[tuple[str, str]]) -> pd.Series:
    """Reason of the first pattern that matches a row's id or group; empty where none does."""
    reasons = pd.Series("", index=rows.index, dtype=object)
    for pattern, reason in reversed(list(suspects)):
        for column in ("id", "group"):
            if column in rows:
                hit = [fnmatch.fnmatchcase(str(text), pattern) for text in rows[column]]
                reasons[hit] = reason
    return reasons


def _records(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and (line, cells) of a CSV file whose every record has as many cells as the header."""
    try:
        if not path.exists():
            raise SpecError(f"{path} does not exist; give the path of a CSV file of measured rows")
        if not path.is_file():
            raise SpecError(f"{path} is not a file; give the path of a CSV file of measured rows")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError(f"{path} has {size / 1e6:.0f} MB, more than the limit of 200 MB; split it")
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(_text_lines(handle, path), strict=True)
            try:
                header = [name.strip() for name in next(reader, [])]
                if not any(header):
                    fault = "has an empty first line" if any(map(any, reader)) else "is empty"
                    raise SpecError(f"{path} {fault}; it needs a header line with {', '.join(REQUIRED)}")
                twice = next((name for name in header if header.count(name) > 1), None)
                if twice is not None:
                    raise SpecError(f"{path}, line 1, names the column {twice!r} twice; keep one")
                records = []
                for cells in reader:
                    if not cells or not any(cell.strip() for cell in cells):
                        continue
                    if len(cells) != len(header):
                        raise SpecError(
                            f"{path}, line {reader.line_num}, has {len(cells)} cells where the header has "
                            f"{len(header)}; quote a cell that holds a comma"
                        )
                    records.append((reader.line_num, cells))
            except csv.Error as error:
                raise SpecError(f"{path}, line {reader.line_num}, is not valid CSV: {error}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not UTF-8 text; save it as a CSV file in UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror or error}") from None
    return header, records


def _text_lines(handle: Iterable[str], path: Path) -> Iterable[str]:
    for number, line in enumerate(handle, 1):
        if "\0" in line:
            raise SpecError(f"{path}, line {number}, holds binary data; give a CSV text file")
        if len(line) > MAX_CELL:
            raise SpecError(f"{path}, line {number}, is longer than {MAX_CELL:,} characters; this is no measured row")
        yield line


def _read_cells(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """The cells of a file and the line of each row."""
    header, records = _records(path)
    for column in REQUIRED:
        if column not in header:
            raise SpecError(f"{path}, line 1, has no column {column!r}; measured rows need {', '.join(REQUIRED)}")
    if not records:
        raise SpecError(f"{path} has a header and no rows; add at least one measured row")
    return pd.DataFrame([cells for _, cells in records], columns=header, dtype=object), [line for line, _ in records]


def _typed(raw: pd.DataFrame, lines: list[int], path: Path, seen: dict[str, str]) -> pd.DataFrame:
    def fail(position: int, column: str, reason: str) -> SpecError:
        return SpecError(f"{path}, line {lines[position]}, column {column!r}: {reason}")

    rows = pd.DataFrame(index=raw.index)
    for column in COLUMNS:
        texts = [str(cell).strip() for cell in raw[column]] if column in raw else [""] * len(raw)
        if column in REQUIRED and "" in texts:
            raise fail(texts.index(""), column, "the cell is empty; every row needs it")
        if column == "concurrency":
            rows["max_load"] = [text.lower() == "max" for text in texts]
            texts = ["" if text.lower() == "max" else text for text in texts]
        if column not in NUMERIC:
            rows[column] = pd.Series(texts, dtype=object, index=raw.index)
            continue
        numbers = []
        for position, text in enumerate(texts):
            try:
                numbers.append(_number(column, text) if text else math.nan)
            except ValueError as error:
                raise fail(position, column, str(error)) from None
        rows[column] = numbers
    for column, allowed in (("regime", REGIMES), ("metric", tuple(METRICS))):
        for position, text in enumerate(rows[column]):
            if text not in allowed:
                raise fail(position, column, f"{text!r} is none of {', '.join(allowed)}")
    for position, key in enumerate(rows["id"]):
        place = f"line {lines[position]} of {path}"
        if key in seen:
            raise fail(position, "id", f"{key!r} stands already on {seen[key]}; ids are unique")
        seen[key] = place
    return rows[[*COLUMNS, "max_load"]]


def _number(column: str, text: str) -> float:
    """The number of a cell; ValueError with the reason where it is none of its column."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]!r} is not a finite number")
    if number < 0 or (number == 0 and column in POSITIVE):
        floor = "more than 0" if column in POSITIVE else "0 or more"
        raise ValueError(f"{text} is out of range; it must be {floor}")
    if column == "spec_decode" and number not in (0, 1):
        raise ValueError(f"{text} is not 0 (off), 1 (on) or empty (unknown)")
    return number
