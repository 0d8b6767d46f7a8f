"""A file is written whole or not at all: a temporary file beside it, synced, then moved into place."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import TokcalcError, UsageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class WriteFailed(TokcalcError):
    """The file could not be written; nothing of it is left behind (exit code 2)."""


def known_ending(path: str | os.PathLike[str], known: Collection[str], cannot: str) -> str:
    """The ending of a path among those known; UsageError, which begins with what cannot be done, for another."""
    shown = os.fspath(path)
    ending = os.path.splitext(shown)[1].lower()
    if ending not in known:
        named = f"the ending {ending!r} is not known" if ending else "it has no ending"
        raise UsageError(f"{cannot} {shown!r}: {named}; known: {' '.join(known)}.")
    return ending


def check_target(path: str | os.PathLike[str]) -> Path:
    """The real path that a file would be written to.

    Raises UsageError when its folder is missing or not writable, when it is a folder itself, or
    write-protected.
    """
    shown = os.fspath(path)
    why = "a file name holds no null character" if "\0" in shown else ""
    target = Path()
    try:
        if not why:
            target = Path(os.path.realpath(os.path.expanduser(shown)))
            why = _refusal(target, target.parent)
    except OSError as error:
        raise sentence(shown, error) from error
    if why:
        raise UsageError(f"cannot write {shown!r}: {why}.")
    return target


def _refusal(target: Path, folder: Path) -> str:
    """Why a file cannot be written there; empty where it can."""
    if target.is_dir():
        return "it is a folder; give a file name inside it"
    if not folder.exists():
        return f"the folder {str(folder)!r} does not exist; create it first"
    if not folder.is_dir():
        return f"{str(folder)!r} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"no permission to create files in {str(folder)!r}"
    if target.exists() and not os.access(target, os.W_OK):
        return "the file is write-protected; choose another name"
    return ""


def sentence(shown: str, error: OSError) -> WriteFailed:
    """The sentence for an operating system's refusal."""
    if error.errno in FULL:
        reason = "the disk is full or a size limit is reached; free some space or write elsewhere"
    else:
        reason = (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()
    return WriteFailed(f"cannot write {shown!r}: {reason}.")


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context with a temporary path, which replaces `path` when the block ends well.

    When the block fails, an interrupt included, the temporary file goes and `path` is as it was before.
    Raises UsageError for a target that cannot be, WriteFailed for one that cannot be written.
    """
    shown = os.fspath(path)
    target = check_target(path)
    try:
        handle, name = tempfile.mkstemp(prefix=".tokcalc-", suffix=".tmp", dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise sentence(shown, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except OSError as error:
        raise sentence(shown, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    with contextlib.suppress(OSError):
        _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(target: Path) -> int:
    """Permissions of the file replaced, or those that a new file gets."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
