"""A command as a user types it: in this process, for speed, or in one of its own where the process is the fact."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from tokcalc.cli import shell


def run(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The exit code of `tokcalc WORDS` and what it writes where nobody watches a terminal."""
    out, err, arguments = io.StringIO(), io.StringIO(), [str(word) for word in words]
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = shell.run(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def in_own_process(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same by `python -m tokcalc`, as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "tokcalc", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )
