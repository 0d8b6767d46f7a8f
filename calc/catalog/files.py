"""Where spec files lie (package, user, cache folders), and how a file of any quality is read."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import SpecError

KINDS = ("chips", "models", "memory")
MAX_BYTES = 1_000_000


@cache
def builtin_folder(kind: str) -> Path:
    """Folder of the spec files that ship with the program."""
    specs = import_module(f"{__package__.partition('.')[0]}.specs")
    return Path(specs.__path__[0]) / kind


def user_folder(kind: str) -> Path:
    """Folder where a user's own specs are found: TOKCALC_SPECS, else the platform's data folder."""
    own = os.environ.get("TOKCALC_SPECS")
    return (Path(own).expanduser() if own else _platform_folder("data") / "specs") / kind


def cache_folder() -> Path:
    """Folder of parsed specs: TOKCALC_CACHE, else the platform's cache folder."""
    own = os.environ.get("TOKCALC_CACHE")
    return Path(own).expanduser() if own else _platform_folder("cache")


def _platform_folder(what: str) -> Path:
    """What platformdirs answers; on Linux worked out here, as its import costs more than reading a chip."""
    if sys.platform.startswith("linux"):
        variable, default = {"data": ("XDG_DATA_HOME", ".local/share"), "cache": ("XDG_CACHE_HOME", ".cache")}[what]
        home = os.environ.get(variable, "")
        base = Path(home) if home.strip() else Path(os.path.expanduser("~")) / default
        return base / "tokcalc"
    import platformdirs

    return Path(getattr(platformdirs, f"user_{what}_dir")("tokcalc"))


def read_bytes(path: Path) -> bytes:
    """Contents of a spec file; SpecError in one sentence if it is no readable file of at most 1 MB."""
    try:
        if path.is_dir():
            raise SpecError(f"{path} is a folder, not a spec file; name one of the .toml files in it")
        if not path.exists():
            raise SpecError(f"{path} does not exist; give an existing .toml file or a name of the catalog")
        if not path.is_file():
            raise SpecError(f"{path} is not a regular file; give a .toml file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{path} cannot be read ({reason}); give a readable .toml file") from None
    if len(data) > MAX_BYTES:
        raise SpecError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; a spec file is a few kilobytes of TOML")
    return data


def parse_toml(data: bytes, where: str) -> dict[str, Any]:
    """TOML table of a file's bytes; SpecError in one sentence for anything that is not a plain TOML text."""
    import tomllib

    if not data.strip():
        raise SpecError(f"{where} is empty; a spec file starts with id, name and vendor")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{where} is not a text file in UTF-8; a spec file is TOML") from None
    if "\0" in text:
        raise SpecError(f"{where} is not a text file; a spec file is TOML")
    try:
        table = tomllib.loads(text)
    except (RecursionError, ValueError, OverflowError) as error:  # a TOMLDecodeError is a ValueError
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        raise SpecError(f"{where} is not valid TOML: {reason}; mend it, or start from a file of specs/") from None
    _check_depth(table, where)
    return table


def _check_depth(value: object, where: str, depth: int = 0) -> None:
    """Refuse tables nested deeper than any spec needs, before a validator recurses into them."""
    if depth > 8:
        raise SpecError(f"{where} is nested more than 8 levels deep; a spec file needs three")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_depth(child, where, depth + 1)
