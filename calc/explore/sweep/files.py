"""A sweep as a file: row stretches as small finished files beside it, a list of what they are, one move at
the end.

Interrupted work goes on where it stopped, as long as question, data and version are the same. The parts can
be made here or by the workers of an existing Dask cluster, from the same code and with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import TokcalcError, UsageError
from ...report.files import WriteFailed, check_target, sentence, whole_file
from .cases import COUNTED, Columns, Question, Words

if TYPE_CHECKING:
    import pandas as pd

PART = 262_144  # rows of a part, a row group of the file
STREAMED = (".parquet", ".csv")
Progress = Callable[[int, int], None]


def write_sweep(
    question: Question, path: str | os.PathLike[str], *, progress: Progress | None = None, dask: str | None = None
) -> int:
    """Stream every row of the grid to a .parquet or .csv file; rows written.

    progress: called with (rows done, rows). dask: address of a scheduler whose workers compute the parts.
    Raises UsageError for a place that cannot be, WriteFailed when the disk refuses; finished parts are kept
    then.
    """
    target = check_target(path)
    ending = target.suffix.lower()
    question, folder = _folder(question, target)
    count = -(-question.rows // PART)
    done = [_part(folder, i, ending).exists() for i in range(count)]
    missing = [i for i, there in enumerate(done) if not there]
    finished = sum(_rows(question, i) for i, there in enumerate(done) if there)
    if progress:
        progress(finished, question.rows)
    try:
        for i, data in _made(question, missing, ending, dask):
            _store(_part(folder, i, ending), data)
            finished += _rows(question, i)
            if progress:
                progress(finished, question.rows)
        with whole_file(path) as temporary:
            _join(question, folder, ending, count, temporary)
    except OSError as error:
        raise _kept(sentence(os.fspath(path), error), folder) from error
    except WriteFailed as error:
        raise _kept(error, folder) from error
    except BaseException:
        _drop_empty(folder)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return question.rows


def part_bytes(question: dict[str, Any], number: int, ending: str) -> bytes:
    """One part as the bytes of a file: rows number x PART on. Plain arguments, so that any worker can make
    it.
    """
    import io

    from .columns import stretch

    whole = Question.from_dict(question)
    first = number * PART
    columns = stretch(whole, first, min(first + PART, whole.rows))
    stream = io.BytesIO()
    if ending == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(arrow(columns), stream, compression="zstd", compression_level=1)
    else:
        text = frame(columns).to_csv(index=False, header=False, lineterminator="\n")
        stream.write(text.encode())
    return stream.getvalue()


def frame(columns: Columns) -> pd.DataFrame:
    """The columns as a DataFrame; texts as categories, counts as whole numbers, NaN where there is no
    answer.
    """
    import pandas as pd

    made: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, Words):
            made[name] = pd.Categorical.from_codes(column.codes.tolist(), pd.Index(list(column.words)))
        elif name in COUNTED:
            made[name] = pd.array(column, dtype="Int64")
        else:
            made[name] = column
    return pd.DataFrame(made)


def arrow(columns: Columns) -> Any:
    """The columns as an Arrow table: texts as dictionaries, NaN as null, units in the metadata of the
    fields.
    """
    import pyarrow as pa

    from ...report.rows import unit_of

    arrays, fields = [], []
    for name, column in columns.items():
        if isinstance(column, Words):
            array = pa.DictionaryArray.from_arrays(pa.array(column.codes), pa.array(column.words, pa.string()))
        else:
            array = pa.array(column, pa.float64(), from_pandas=True)
            array = array.cast(pa.int64()) if name in COUNTED else array
        unit = unit_of(name)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"unit": unit} if unit else None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _made(question: Question, missing: list[int], ending: str, dask: str | None) -> Iterator[tuple[int, bytes]]:
    plain = question.to_dict()
    if dask is None:
        for i in missing:
            yield i, part_bytes(plain, i, ending)
    else:
        yield from _by_dask(plain, missing, ending, dask)


def _by_dask(question: dict[str, Any], missing: list[int], ending: str, address: str) -> Iterator[tuple[int, bytes]]:
    """Parts from a cluster as they come; few at a time, so that memory stays bounded here and there."""
    from ...report.export import need

    distributed = need("distributed", "--dask", "dask")
    try:
        client = distributed.Client(address, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {_first_line(error)}") from error
    with client:
        waiting = iter(missing)
        open_ = 4 * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        running = distributed.as_completed()
        for i in _take(waiting, open_):
            running.add(_submit(client, question, i, ending))
        for future in running:
            i = int(future.key.rpartition("-")[2])
            yield i, future.result()
            future.release()
            for following in _take(waiting, 1):
                running.add(_submit(client, question, following, ending))


def _submit(client: Any, question: dict[str, Any], i: int, ending: str) -> Any:
    digest = hashlib.sha256(json.dumps([question, ending], sort_keys=True).encode()).hexdigest()[:16]
    return client.submit(part_bytes, question, i, ending, key=f"tokcalc-sweep-{digest}-{i}", retries=3)


def _take(source: Iterator[int], count: int) -> list[int]:
    return [i for _, i in zip(range(count), source, strict=False)]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _folder(question: Question, target: Path) -> tuple[Question, Path]:
    """The folder of parts beside the target; parts of another question are dropped, the day of prices is
    kept.
    """
    folder = target.with_name(f".{target.name}.parts")
    manifest = folder / "manifest.json"
    fresh = _identity(question)
    try:
        old = json.loads(manifest.read_text(encoding="utf-8"))
        same = old["identity"] == fresh
    except (OSError, ValueError, KeyError, TypeError):
        old, same = None, False
    if same and old is not None:
        return Question(question.axes, {**question.fixed, "on": old["on"]}, question.columns), folder
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        on = question.fixed.get("on") or _today()
        _store(manifest, json.dumps({"identity": fresh, "on": on, "rows": question.rows}, indent=1).encode())
    except OSError as error:
        raise sentence(str(target), error) from error
    return Question(question.axes, {**question.fixed, "on": on}, question.columns), folder


def _identity(question: Question) -> str:
    """Digest of all that the rows depend on: question, version, data files."""
    from importlib.resources import files

    from ...version import __version__
    from .columns import names_digest

    digest = hashlib.sha256(json.dumps([__version__, PART, question.to_dict()], sort_keys=True).encode())
    for folder in ("engines", "prices"):
        for item in sorted((files("tokcalc.specs") / folder).iterdir(), key=lambda entry: entry.name):
            if item.is_file():
                digest.update(item.read_bytes())
    digest.update(names_digest(question).encode())
    return digest.hexdigest()


def _today() -> str:
    from datetime import date

    return date.today().isoformat()


def _part(folder: Path, number: int, ending: str) -> Path:
    return folder / f"part-{number:06d}{ending}"


def _rows(question: Question, number: int) -> int:
    return min(PART, question.rows - number * PART)


def _store(path: Path, data: bytes) -> None:
    """A part is there whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _join(question: Question, folder: Path, ending: str, count: int, out: Path) -> None:
    if ending == ".csv":
        with open(out, "wb") as stream:
            stream.write((",".join(question.columns) + "\n").encode())
            for i in range(count):
                with open(_part(folder, i, ending), "rb") as part:
                    shutil.copyfileobj(part, stream)
        return
    import pyarrow.parquet as pq

    writer = None
    try:
        for i in range(count):
            table = pq.read_table(_part(folder, i, ending))
            if writer is None:
                writer = pq.ParquetWriter(out, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table, row_group_size=PART)
    finally:
        if writer is not None:
            writer.close()


def _kept(error: TokcalcError, folder: Path) -> TokcalcError:
    """The refusal, with where the finished parts are; a folder without any goes."""
    parts = _drop_empty(folder)
    if not parts:
        return error
    text = str(error).rstrip(".")
    return type(error)(
        f"{text}; the same command goes on from the {parts} finished parts in {str(folder)!r}, or delete that folder."
    )


def _drop_empty(folder: Path) -> int:
    """Finished parts in the folder; without any, the folder goes."""
    parts = sum(1 for _ in folder.glob("part-*"))
    if not parts:
        shutil.rmtree(folder, ignore_errors=True)
    return parts
