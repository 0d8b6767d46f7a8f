"""Every test runs with the packaged specs only and a cache of its own, whatever the user's folders hold."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before the tests are collected; some are made from the list of chips."""
    folder = tempfile.TemporaryDirectory(prefix="tokcalc-tests-")
    config.add_cleanup(folder.cleanup)
    for name in ("specs", "cache"):
        (Path(folder.name) / name).mkdir()
        os.environ[f"TOKCALC_{name.upper()}"] = str(Path(folder.name) / name)
    for name in ("COLUMNS", "TOKCALC_DEBUG"):
        os.environ.pop(name, None)
