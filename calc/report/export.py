"""The one interface of the formats: `write` by a file's ending, `render` to text.

A format is a module with `text(table)`, or with `dump(table, stream)` where it is bytes.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from .files import check_target, known_ending, whole_file
from .rows import Table, as_table

# ending -> the module of its format, and the library that this needs
FORMATS = {
    ".csv": ("csv_format", None),
    ".json": ("json_format", None),
    ".md": ("markdown", None),
    ".tex": ("latex", None),
    ".html": ("html", None),
    ".xlsx": ("excel", "openpyxl"),
    ".parquet": ("parquet", "pyarrow"),
}
TEXT_NAMES = {ending[1:]: ending for ending, (_, library) in FORMATS.items() if library is None}
TEXT_NAMES |= {"markdown": ".md", "latex": ".tex"}


def endings() -> list[str]:
    """The file endings that `write` knows."""
    return list(FORMATS)


def check(path: str | os.PathLike[str]) -> str:
    """The ending of a path that `write` would take; call it before a long computation.

    Raises UsageError when the ending is unknown, the library of its format is missing, or the place cannot
    be written.
    """
    ending = known_ending(path, FORMATS, "cannot write")
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


def write(rows: Any, path: str | os.PathLike[str], **how: Any) -> None:
    """Write a table to a file in the format of its ending, whole or not at all.

    rows: list of flat dictionaries, or a pandas DataFrame; how: columns, title, units, see `rows.as_table`.
    Raises UsageError for an unknown ending, column or place, files.WriteFailed when the disk refuses.
    """
    ending = check(path)
    module, table = _module_and_table(ending, rows, how)
    with whole_file(path) as temporary, open(temporary, "wb") as stream:
        if FORMATS[ending][1] is None:
            stream.write(module.text(table).encode("utf-8", "replace"))
        else:
            module.dump(table, stream)


def render(rows: Any, fmt: str, **how: Any) -> str:
    """The same table as text: `fmt` is csv, json, md, tex or html, with or without the dot.

    Raises UsageError for another format or an unknown column.
    """
    ending = TEXT_NAMES.get(fmt.lower().removeprefix("."))
    if ending is None:
        raise UsageError(f"no text format {fmt!r}; known: {' '.join(TEXT_NAMES)}.")
    module, table = _module_and_table(ending, rows, how)
    return str(module.text(table))


def _module_and_table(ending: str, rows: Any, how: Mapping[str, Any]) -> tuple[Any, Table]:
    module = importlib.import_module(f".{FORMATS[ending][0]}", __package__)
    return module, as_table(rows, **how, keep_containers=ending == ".json")
