"""Name or path -> Chip, Model or MemoryGeneration: the file's normal form, from the cache if it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SpecError, UsageError
from ..hardware.chip import Chip
from ..hardware.memory import MemoryGeneration
from . import cache
from .changes import changes, grades_of
from .files import builtin_folder, parse_toml, read_bytes
from .index import find_id, load_index

if TYPE_CHECKING:
    from ..models.model import Model

T = TypeVar("T")


def checked(kind: str, raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Normal form of a file's table; the schemas need pydantic, which a cached file does without."""
    if kind == "chips":
        from .schema_chip import check_chip as check
    elif kind == "memory":
        from .schema_memory import check_memory as check
    else:
        from .schema_model import check_model as check
    return check(raw, where)


def is_path(name: str) -> bool:
    """True if the text names a file rather than a spec: a known ending, or a separator in it."""
    return name.endswith((".toml", ".json", ".gguf")) or ((os.sep in name or "/" in name) and os.path.exists(name))


def spec_path(kind: str, name: str | os.PathLike[str]) -> Path:
    """File behind a name or path. Raises UnknownName or SpecError."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and is_path(name)):
        path = Path(name).expanduser()
        if "\0" in str(path):
            raise SpecError("A file name holds a null character; give a readable .toml file")
        return path
    if not isinstance(name, str):
        raise UsageError(f"{name!r} is neither a name nor a path; give one of them as text")
    return Path(load_index(kind)["files"][find_id(kind, name)])


def _where(path: Path) -> str:
    """How an error names a file: a shipped one by its name, a user's own with its folder."""
    return path.name if path.parent.parent == builtin_folder("chips").parent else str(path)


def _normal_form(kind: str, path: Path, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` builds from the checked file; the check is skipped if the cache knows the content."""
    data = read_bytes(path)
    key = cache.key(kind, data)
    plain = cache.get("specs", key)
    if plain is not None:
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # of code that the fingerprint misses
            return make(plain)
    plain = checked(kind, parse_toml(data, _where(path)), _where(path))
    cache.put("specs", key, plain)
    return make(plain)


def load_memory(name: str | os.PathLike[str]) -> MemoryGeneration:
    """Memory generation by id, alias, unique prefix or path to a .toml file.

    Raises UnknownName (with the nearest names) or SpecError (file, key, reason).
    """
    path = spec_path("memory", name)
    return _normal_form("memory", path, lambda plain: MemoryGeneration.from_spec(plain, str(path)))


def load_chip(
    name: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None, memory: str | None = None
) -> Chip:
    """Chip by id, alias, unique prefix or path to a .toml file, with optional what-ifs.

    overrides: dotted field -> value, as in the file: {"memory.hbm.stacks": 8, "power.tdp": "500 W"}.
    memory: id of a memory generation which replaces the chip's own, stack for stack, before the overrides.
    `Chip.changes` tells what differs from the shipped chip of that id, through them or in a file of one's own.
    Raises UnknownName, SpecError (file, key, reason), UsageError (a value of the wrong kind).
    """
    path = spec_path("chips", name)
    own = _normal_form("chips", path, lambda plain: Chip.from_spec(plain, str(path)))
    built, changed = _built(own, path)
    if not overrides and not memory:
        return replace(own, overridden=tuple(changed), changes=changes(own, built)) if changed else own
    from .override import apply_overrides, swap_memory, swap_note

    raw = parse_toml(read_bytes(path), _where(path))
    if memory:
        raw = swap_memory(raw, load_memory(memory), _where(path))
        changed.append(f"memory={memory}")
    if overrides:
        raw = apply_overrides(raw, overrides, _where(path))
        changed += [f"{key}={value}" for key, value in overrides.items()]
    plain = checked("chips", raw, _where(path))
    chip = Chip.from_spec({**plain, "overridden": changed}, str(path))
    notes = (swap_note(chip.level(own.weights_in), own.main_memory), *chip.notes) if memory else chip.notes
    grades = grades_of(chip, own, overrides or ())
    unverified = tuple(path for path, grade in grades.items() if grade == "D" and path)
    return replace(chip, notes=notes, grades=grades, unverified=unverified, changes=changes(chip, built))


def _built(own: Chip, path: Path) -> tuple[Chip, list[str]]:
    """(the chip as it is built, ["file=PATH"] where the file differs from the shipped one of the same id, else []).

    A file with an id of its own is as built as it says.
    """
    shipped = builtin_folder("chips") / f"{own.id}.toml"
    if path == shipped or not shipped.is_file():
        return own, []
    built = _normal_form("chips", shipped, lambda plain: Chip.from_spec(plain, str(shipped)))
    return built, [f"file={path}"] if changes(own, built) else []


def load_model(name: str | os.PathLike[str]) -> Model:
    """Model by id, alias, unique prefix, path to a .toml spec, a Hugging Face config.json or a .gguf file.

    Raises UnknownName, SpecError (file, key, reason).
    """
    path = spec_path("models", name)
    if path.suffix == ".json" or (path / "config.json").is_file():
        from .imports.files import from_hf_config

        return from_hf_config(path)
    if path.suffix == ".gguf":
        from .imports.files import from_gguf

        return from_gguf(path)
    from ..models.build import build_model

    return _normal_form("models", path, lambda plain: build_model(plain, str(path)))


def spec_word(kind: str, spec: Chip | Model) -> str:
    """How a command names a chip or model: by its id, or by its path where the id stands for no or another file."""
    if not spec.path or Path(spec.path).parent == builtin_folder(kind):
        return spec.id
    known = load_index(kind)["files"].get(spec.id)
    return spec.path if spec.path != known else spec.id
