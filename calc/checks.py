"""Guards for numbers that users give: each returns the number, or raises one sentence that names it.

They take floats and arrays alike, so that a sweep is checked as strictly as one question.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import UsageError


def _refuse(name: str, rule: str, value: Any, bad: Any) -> None:
    if np.any(bad):
        shown = np.asarray(value, dtype=float)[np.asarray(bad)].flat[0] if np.ndim(value) else value
        raise UsageError(f"{name} must be {rule}, not {shown:g}.")


def positive(value: Any, name: str) -> Any:
    """`value` if finite and above zero everywhere, else UsageError."""
    _refuse(name, "a number above zero", value, ~(np.isfinite(value) & (np.asarray(value) > 0)))
    return value


def not_negative(value: Any, name: str) -> Any:
    """`value` if finite and at least zero everywhere, else UsageError."""
    _refuse(name, "a number of at least zero", value, ~(np.isfinite(value) & (np.asarray(value) >= 0)))
    return value


def share(value: Any, name: str) -> Any:
    """`value` if between 0 and 1 everywhere, else UsageError."""
    inside = np.isfinite(value) & (np.asarray(value) >= 0) & (np.asarray(value) <= 1)
    _refuse(name, "between 0 and 1", value, ~inside)
    return value


def positive_share(value: Any, name: str) -> Any:
    """`value` if above 0 and at most 1 everywhere, else UsageError."""
    inside = np.isfinite(value) & (np.asarray(value) > 0) & (np.asarray(value) <= 1)
    _refuse(name, "above 0 and at most 1", value, ~inside)
    return value


def at_least_one(value: Any, name: str) -> Any:
    """`value` if finite and at least 1 everywhere, else UsageError."""
    _refuse(name, "at least 1", value, ~(np.isfinite(value) & (np.asarray(value) >= 1)))
    return value
