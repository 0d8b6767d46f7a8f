"""Electricity of a token: power between idle and loaded, joules, kilowatt-hours, CO2; numbers or arrays of cases."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..checks import at_least_one, not_negative, positive, positive_share, share
from ..errors import UsageError

JOULES_PER_KWH = 3.6e6
MILLION = 1e6


def power_at(load: Array, idle_w: Array, loaded_w: Array) -> Array:
    """Watts at a load between 0 (idle) and 1: idle_w + load x (loaded_w - idle_w).

    It is the mean power, too, of a machine that is loaded for the share `load` of the time and idle for the
    rest. UsageError when idle exceeds loaded.

    >>> power_at(0.5, 100.0, 700.0)
    400.0
    """
    share(load, "Load")
    not_negative(idle_w, "Idle power")
    not_negative(loaded_w, "Loaded power")
    if np.any(np.asarray(idle_w) > np.asarray(loaded_w)):
        raise UsageError("Idle power is above loaded power; swap the two or correct one.")
    return idle_w + load * (loaded_w - idle_w)


def idle_overhead(idle_w: Array, loaded_w: Array, utilisation: Array) -> Array:
    """Factor on a token's energy when machines idle between work: mean power / (utilisation x loaded power).

    Idle at 100 W, loaded at 700 W, busy half of the time: 400 / 350.

    >>> round(idle_overhead(100.0, 700.0, 0.5), 3)
    1.143
    """
    positive_share(utilisation, "Utilisation")
    positive(loaded_w, "Loaded power")
    return power_at(utilisation, idle_w, loaded_w) / (utilisation * loaded_w)


def kwh_per_million(joules: Array) -> Array:
    """Kilowatt-hours of a million tokens at `joules` each: joules x 1e6 / 3.6e6.

    >>> kwh_per_million(3.6)
    1.0
    """
    not_negative(joules, "Energy per token")
    return joules * MILLION / JOULES_PER_KWH


def co2_per_million(joules: Array, kg_per_kwh: Array) -> Array:
    """Kilograms of CO2 equivalent of a million tokens, by the grid factor kg_per_kwh (Korea: 0.43).

    >>> co2_per_million(3.6, 0.43)
    0.43
    """
    not_negative(kg_per_kwh, "The grid factor")
    return kwh_per_million(joules) * kg_per_kwh


def electricity_per_hour(power_w: Array, pue: Array, price_per_kwh: Array) -> Array:
    """Money for an hour of electricity: kilowatts x pue x price.

    >>> round(electricity_per_hour(1275.0, 1.15, 0.10), 6)
    0.146625
    """
    not_negative(power_w, "Power")
    at_least_one(pue, "PUE")
    not_negative(price_per_kwh, "The price of electricity")
    return power_w / 1000.0 * pue * price_per_kwh
