"""The one interface of the formats: `write` by a file's ending, `render` to text.

A format is a module with `dump(table, stream)` for bytes, and with `text(table)` when it is text.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from .files import check_target, whole_file
from .rows import Columns, as_table

# ending -> (module, what must be importable, and how to get it)
FORMATS = {
    ".csv": ("csv_format", None),
    ".json": ("json_format", None),
    ".md": ("markdown", None),
    ".tex": ("latex", None),
    ".html": ("html", None),
    ".xlsx": ("excel", "openpyxl"),
    ".parquet": ("parquet", "pyarrow"),
}
TEXT_NAMES = {"csv": ".csv", "json": ".json", "md": ".md", "markdown": ".md", "tex": ".tex", "latex": ".tex",
              "html": ".html"}  # fmt: skip


def endings() -> list[str]:
    """The file endings that `write` knows."""
    return list(FORMATS)


def check(path: str | os.PathLike[str]) -> str:
    """The ending of a path that `write` would take; call it before a long computation.

    Raises UsageError when the ending is unknown, the library of its format is missing, or the place cannot
    be written.
    """
    shown = os.fspath(path)
    ending = os.path.splitext(shown)[1].lower()
    if ending not in FORMATS:
        named = f"the ending {ending!r} is not known" if ending else "it has no ending"
        raise UsageError(f"cannot write {shown!r}: {named}; known: {' '.join(FORMATS)}.")
    library = FORMATS[ending][1]
    if library is not None:
        need(library, f"writing {ending}", "export")
    check_target(path)
    return ending


def need(library: str, purpose: str, extra: str) -> Any:
    """The module `library`, or a UsageError naming the extra which brings it."""
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise UsageError(f"{purpose} needs {library}, which is not installed: pip install tokcalc[{extra}].") from error


def write(
    rows: Any,
    path: str | os.PathLike[str],
    *,
    columns: Columns | None = None,
    title: str | None = None,
    units: Mapping[str, str] | None = None,
) -> None:
    """Write a table to a file in the format of its ending, whole or not at all.

    rows: list of flat dictionaries, or a pandas DataFrame. columns, units: see `rows.as_table`.
    Raises UsageError for an unknown ending, column or place, files.WriteFailed when the disk refuses.
    """
    ending = check(path)
    module = _module(ending)
    table = as_table(rows, columns, title, units, keep_containers=ending == ".json")
    with whole_file(path) as temporary, open(temporary, "wb") as stream:
        module.dump(table, stream)


def render(
    rows: Any,
    fmt: str,
    *,
    columns: Columns | None = None,
    title: str | None = None,
    units: Mapping[str, str] | None = None,
) -> str:
    """The same table as text: `fmt` is csv, json, md, tex or html, with or without the dot.

    Raises UsageError for another format or an unknown column.
    """
    ending = TEXT_NAMES.get(fmt.lower().removeprefix("."))
    if ending is None:
        raise UsageError(f"no text format {fmt!r}; known: {' '.join(dict.fromkeys(TEXT_NAMES))}.")
    table = as_table(rows, columns, title, units, keep_containers=ending == ".json")
    text: str = _module(ending).text(table)
    return text


def _module(ending: str) -> Any:
    return importlib.import_module(f".{FORMATS[ending][0]}", __package__)
