"""Checked specs, shipped tables and the name index as JSON in the cache folder, keyed by content.

A cache is advice: an entry carries a checksum of its own text, and one that does not match is made anew. Loss or
damage costs only time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from ..version import __version__
from .files import cache_folder

FOLDER = os.path.dirname(__file__)
PACKAGE = os.path.dirname(FOLDER)
CODE = ("units.py", "provenance.py", "hardware/chip.py", "hardware/memory.py", "models/model.py", "models/build.py")
"""Modules outside the catalog that make normal forms or read them, by path below the package."""


@cache
def code_version() -> str:
    """Fingerprint of the code that makes normal forms: a new version never reads an old one's entries."""
    digest = hashlib.sha256(__version__.encode())
    with contextlib.suppress(OSError):  # a package inside an archive has its version alone
        own = sorted(name for name in os.listdir(FOLDER) if name.endswith(".py"))
        for path in (*(f"{PACKAGE}/{name}" for name in CODE), *(f"{FOLDER}/{name}" for name in own)):
            stat = os.stat(path)
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def key(*parts: bytes | str) -> str:
    """Name of a cache entry: a hash of the code's fingerprint and of everything the entry depends on."""
    digest = hashlib.sha256(code_version().encode())
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:40]


def _entry(name: str, body: bytes) -> bytes:
    """The text of an entry: its key, a checksum of key and value, and the value as JSON."""
    checksum = hashlib.sha256(name.encode() + body).hexdigest()
    return f'{{"key": "{name}", "sum": "{checksum}", "value": '.encode() + body + b"}"


def get(group: str, name: str) -> dict[str, Any] | None:
    """Table kept under that key; None if there is none, or if it is not to the letter what `put` wrote."""
    try:
        data = (cache_folder() / group / f"{name}.json").read_bytes()
        body = data[len(_entry(name, b"")) - 1 : -1]
        value = json.loads(body) if data == _entry(name, body) else None
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home folder, tables nested without end
        return None
    return value if isinstance(value, dict) else None


def put(group: str, name: str, value: dict[str, Any]) -> None:
    """Write an entry under a temporary name and move it into place; failure is no error."""
    temporary: Path | None = None
    try:
        folder = cache_folder() / group
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_bytes(_entry(name, json.dumps(value).encode()))
        os.replace(temporary, folder / f"{name}.json")
    except (OSError, ValueError, TypeError, RuntimeError):
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
