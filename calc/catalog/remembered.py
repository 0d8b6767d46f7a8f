"""Chips and models by name, kept while their files stay as they are: a second question reads nothing again.

A name stands for the same file while the folders that are searched hold the same files, and for the same spec while
that file is unchanged; both are told by size and time, as in the cache on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .files import builtin_folder, user_folder
from .load import load_chip as _read_chip
from .load import load_model as _read_model

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model

T = TypeVar("T")
_MOST = 4096  # specs kept at once
_kept: dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = {}


def load_chip(
    name: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None, memory: str | None = None
) -> Chip:
    """`load.load_chip`, remembered."""
    key = ("chips", str(name), repr(sorted(overrides.items())) if overrides else "", memory)
    return _remembered(key, lambda: _read_chip(name, overrides, memory))


def load_model(name: str | os.PathLike[str]) -> Model:
    """`load.load_model`, remembered."""
    return _remembered(("models", str(name)), lambda: _read_model(name))


def _remembered(key: tuple[Any, ...], read: Callable[[], T]) -> T:
    folders = (builtin_folder(key[0]), user_folder(key[0]), *((user_folder("memory"),) if key[-1] else ()))
    searched = tuple(map(_stamp, folders))
    known = _kept.get(key)
    if known is not None:
        (before, file, stamp), spec = known
        if before == searched and _stamp(file) == stamp:
            found: T = spec
            return found
    spec = read()
    if len(_kept) >= _MOST:
        _kept.clear()
    path = getattr(spec, "path", "")
    _kept[key] = ((searched, path, _stamp(path)), spec)
    return spec


def _stamp(path: Any) -> tuple[str, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return str(path), -1, -1
    return str(path), found.st_size, found.st_mtime_ns
