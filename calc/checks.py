"""Guards for numbers that users give: each returns the number, or raises one sentence that names it.

They take floats and arrays alike, so that a sweep is checked as strictly as one question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Number = TypeVar("Number", bound="ArrayLike")


def _required(value: Number, name: str, rule: str, good: NDArray[np.bool_]) -> Number:
    bad = ~(np.isfinite(value) & good)
    if np.any(bad):
        shown = np.asarray(value, dtype=float)[bad].flat[0]
        raise UsageError(f"{name} must be {rule}, not {shown:g}.")
    return value


def positive(value: Number, name: str) -> Number:
    """`value` if finite and above zero everywhere, else UsageError.

    >>> positive(-2.5, "--rent")
    Traceback (most recent call last):
    tokcalc.errors.UsageError: --rent must be a number above zero, not -2.5.
    """
    return _required(value, name, "a number above zero", np.greater(value, 0))


def not_negative(value: Number, name: str) -> Number:
    """`value` if finite and at least zero everywhere, else UsageError."""
    return _required(value, name, "a number of at least zero", np.greater_equal(value, 0))


def share(value: Number, name: str) -> Number:
    """`value` if between 0 and 1 everywhere, else UsageError."""
    return _required(value, name, "between 0 and 1", np.greater_equal(value, 0) & np.less_equal(value, 1))


def positive_share(value: Number, name: str) -> Number:
    """`value` if above 0 and at most 1 everywhere, else UsageError."""
    return _required(value, name, "above 0 and at most 1", np.greater(value, 0) & np.less_equal(value, 1))


def at_least_one(value: Number, name: str) -> Number:
    """`value` if finite and at least 1 everywhere, else UsageError."""
    return _required(value, name, "at least 1", np.greater_equal(value, 1))
