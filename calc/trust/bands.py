"""The 80 % band of an answer, from residuals of measurements that were left out, by quantity and grade."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..arrays import Array
from ..catalog.tables import laid_over
from .evidence import measured_mixture

ANCHORED = "anchored"  # of questions about a combination that was measured itself; see `engine.engine_for`


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Any]:
    return laid_over("bands", "bands")


def _chips() -> Mapping[str, Any]:
    """Bands of chips with a software stack of their own, by the chip's id."""
    return _table().get("chips", {})


def has_own(chip_id: str) -> bool:
    """True where a chip's software stack has bands of its own, under the chip's id."""
    return chip_id in _chips()


def band_factor(quantity: str, grade: str, regime: str = "", moe: bool = False) -> float:
    """Factor f of the band value/f .. value x f; quantity: tpot, ttft, throughput or energy; grade A-D.

    Regimes whose residuals differ have tables of their own, `[REGIME.quantity]`, before the general one; so have
    chips that are not GPUs, under their ids. Mixtures of experts (moe) have `[REGIME-moe.quantity]` before it, and
    `[moe.quantity]` where a regime has none. The bands of a chip on which only dense models were measured say nothing
    of mixtures: theirs is the wider of the chip's and everybody's (`unseen_mixture`).
    """
    found = _factor(quantity, grade, regime, moe)
    return max(found, _factor(quantity, grade, "", moe)) if unseen_mixture(regime, moe) else found


def _factor(quantity: str, grade: str, regime: str, moe: bool) -> float:
    table = _table()
    for name in (f"{regime}-moe", regime, "moe") if moe else (regime,):
        own = (_chips().get(name) or table.get(name, {})).get(quantity, {})
        if grade in own:
            return float(own[grade])
    return float(table[quantity][grade])


def unseen_mixture(chip_id: str, moe: bool) -> bool:
    """True for a mixture (moe) on a chip with bands of its own that come from dense models alone."""
    return moe and chip_id in _chips() and not measured_mixture(chip_id)


def band(value: Array, quantity: str, grade: str, regime: str = "", moe: bool = False) -> tuple[Array, Array]:
    """(low, high) round a value; arguments as of `band_factor`.

    >>> low, high = band(20.0, "tpot", "A")
    >>> low < 20.0 < high, f"{low * high:.0f}"  # as far below as above, as factors
    (True, '400')
    """
    f = band_factor(quantity, grade, regime, moe)
    return value / f, value * f
