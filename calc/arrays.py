"""One type for numbers and arrays of cases: the core takes either, and broadcasts them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "float | NDArray[np.float64]"
"""A number or an array of cases."""
Values: TypeAlias = "NDArray[np.float64]"
"""Always an array of cases."""
Mask: TypeAlias = "bool | NDArray[np.bool_]"
"""True or False, or an array of cases of it."""
