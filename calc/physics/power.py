"""Watts of chips that serve: rated power times a share that rises with how busy they are.

Constants: specs/engines/power.toml; their fit and its error: specs/fitted/power.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..catalog.tables import laid_over
from ..hardware.formats import find_format, roof

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


@dataclass(frozen=True, repr=False)
class PowerShares:
    """Shares of rated power: awake + kernels x busy + compute x share of peak, at most ceiling; idle without work.

    host_ratio: all-in power of a server over its chips' power where the chip's own is not published.
    """

    awake: float
    kernels: float
    compute: float
    ceiling: float
    idle: float
    host_ratio: float


@lru_cache(maxsize=1)
def load_shares() -> PowerShares:
    """The shipped constants, read once."""
    table = laid_over("power", "power")
    return PowerShares(**table["share"], **table["assumed"])


def power_share(busy: Array, compute: Array, shares: PowerShares | None = None) -> Array:
    """Share of rated power: min(ceiling, awake + kernels x busy + compute share).

    busy: share of the time in kernels or messages, 0..1; compute: operations per second over the dense peak.

    >>> shares = PowerShares(awake=0.682, kernels=0.03, compute=0.83, ceiling=1.0, idle=0.1, host_ratio=1.5)
    >>> f"{700 * power_share(0.8, 0.1, shares):.0f} W"  # .682 + .024 + .083 of an H100's rated power
    '552 W'
    >>> float(power_share(1.0, 1.0, shares))
    1.0
    """
    s = shares or load_shares()
    drawn = s.awake + s.kernels * np.clip(busy, 0.0, 1.0) + s.compute * np.asarray(compute)
    return np.minimum(s.ceiling, drawn)


def compute_share(chip: Chip, model: Model, weights: str, tokens_s: Array, chips: Array) -> Array:
    """Operations per second over the dense peak: 2 x active parameters x tokens/s / (chips x peak).

    tokens_s: input that is computed plus output, of all chips together; weights: format, which sets the peak.
    """
    peak = roof(find_format(weights), chip.peak_ops_s)[1]
    return 2.0 * model.params_active_no_embed * np.asarray(tokens_s) / (chips * peak)


def rated_watts(chip: Chip) -> tuple[float, str] | None:
    """(watts of one chip, boundary "chip" or "system") that the shares multiply; None if unpublished."""
    if chip.power.tdp_w is not None:
        return chip.power.tdp_w, "chip"
    if chip.power.system_power_per_chip_w is not None:
        return chip.power.system_power_per_chip_w, "system"
    return None


def system_ratio(chip: Chip) -> tuple[float, bool]:
    """(all-in power of the machine over its chips' power, whether it is assumed).

    A rated system over its rated chips; 1 when only the system's power is known, since it then is the base.

    >>> from tokcalc.catalog import load_chip
    >>> ratio, assumed = system_ratio(load_chip("h100-sxm"))
    >>> f"{ratio:.2f}", assumed  # 10.2 kW of a DGX H100 over 8 x 700 W
    ('1.82', False)
    """
    rated = rated_watts(chip)
    if rated is not None and rated[1] == "system":
        return 1.0, False
    if chip.power.tdp_w and chip.power.system_power_per_chip_w:
        return max(1.0, chip.power.system_power_per_chip_w / chip.power.tdp_w), False
    return load_shares().host_ratio, True


def system_watts(chip: Chip) -> float | None:
    """Rated all-in watts of one chip with its share of the machine: what space and supply are planned for."""
    rated = rated_watts(chip)
    return None if rated is None else rated[0] * system_ratio(chip)[0]
