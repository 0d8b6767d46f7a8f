"""Checked specs and the name index as JSON in the cache folder, keyed by content; loss costs only time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from .files import cache_folder


@cache
def code_version() -> str:
    """Fingerprint of the code that makes normal forms: a new version never reads an old one's entries."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for folder, name in (
        (package.parent, "units.py"),
        (package.parent / "hardware", "chip.py"),
        (package.parent / "models", "model.py"),
    ):
        digest.update(_stamp(folder / name))
    for path in sorted(package.glob("*.py")):
        digest.update(_stamp(path))
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> bytes:
    try:
        stat = path.stat()
    except OSError:
        return b"-"
    return f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode()


def key(*parts: bytes | str) -> str:
    """Name of a cache entry: a hash of the code's fingerprint and of everything the entry depends on."""
    digest = hashlib.sha256(code_version().encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:40]


def get(group: str, name: str) -> Any:
    """Entry of that key, or None if there is none or it cannot be read."""
    try:
        wrapped = json.loads((cache_folder() / group / f"{name}.json").read_bytes())
        return wrapped["value"] if wrapped["key"] == name else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def put(group: str, name: str, value: Any) -> None:
    """Write an entry under a temporary name and move it into place; failure is no error."""
    temporary: Path | None = None
    try:
        folder = cache_folder() / group
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_text(json.dumps({"key": name, "value": value}), encoding="utf-8")
        os.replace(temporary, folder / f"{name}.json")
    except (OSError, ValueError, TypeError):
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
