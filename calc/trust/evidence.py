"""Which published measurements an answer rests on, chip by chip, and how the model does on them.

The table is written by validation and shipped, so that an answer needs neither pandas nor the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..catalog import load_model
from ..catalog.tables import spec_table


def _table() -> Mapping[str, Any]:
    return spec_table("fitted", "evidence")


def evidence(chip_id: str, what_if: bool = False) -> dict[str, Any]:
    """{"rows", "points", "models", "error", "bias", "in_band", "regimes", "text"} of a chip; rows 0 where none.

    what_if: the chip is asked with other figures than it was measured with.
    """
    found = _table().get(chip_id)
    if not found or not found.get("rows"):
        return {"rows": 0, "points": 0, "text": "no published measurement of this chip was found"}
    held = ", with the model left out of the fit" if found.get("held_out") else ""
    models = ", ".join(found["models"][:4]) + (" ..." if len(found["models"]) > 4 else "")
    plural = "s" if found["rows"] != 1 else ""
    text = f"{found['rows']} published number{plural} ({models}); median error {found['error']:.0%}{held}"
    return {**found, "text": f"the chip as it is built: {text}" if what_if else text}


@lru_cache(maxsize=256)
def measured_mixture(chip_id: str) -> bool:
    """True where a mixture of experts is among the models measured on a chip."""
    return any(load_model(name).is_moe for name in _table().get(chip_id, {}).get("models", ()))
