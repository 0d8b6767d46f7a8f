"""Software of SRAM machines: its releases, and the constants of one release for a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..catalog.tables import laid_over

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


@lru_cache(maxsize=1)
def _tables() -> Mapping[str, Any]:
    return laid_over("sram", "sram")


def generations(chip: Chip) -> tuple[Mapping[str, Any], ...]:
    """Releases of the vendor's software, oldest first; empty for machines without dated ones."""
    table, _ = _base(chip)
    return tuple({**release, "date": day} for day, release in sorted(table.get("generation", {}).items()))


def _base(chip: Chip) -> tuple[Mapping[str, Any], str]:
    own = chip.efficiency.get("sram")
    if isinstance(own, Mapping):
        return {**_tables()["any"], **own}, chip.id
    for scope in (chip.id, chip.family, chip.kind):
        if scope in _tables():
            return _tables()[scope], scope
    return _tables()["any"], "any"


def constants_for(chip: Chip, date: str | None = None) -> tuple[Mapping[str, Any], str]:
    """(constants, scope): the chip's own `[efficiency.sram]`, its family's or the general table.

    date: "2024-10-24" takes the release of that day, the first one before it; None the one marked default.
    """
    table, scope = _base(chip)
    known = generations(chip)
    if not known:
        return table, scope
    if date is None:
        chosen = next((g for g in known if g.get("default")), known[-1])
    else:
        day = str(date)[:10]
        chosen = next((g for g in reversed(known) if g["date"] <= day), known[0])
    return {**table, **chosen}, scope


def model_day(chip: Chip, model: Model) -> str | None:
    """Day of the model where it is younger than the default release, which then never ran it; None elsewhere.

    Worked: Llama 3.3 of December 2024 came after the releases of October 2024, Llama 3.1 of July before them.
    """
    known = generations(chip)
    default = next((g for g in known if g.get("default")), None)
    later = [g for g in known if default is not None and g["date"] > default["date"]]
    return model.release_date if later and model.release_date >= str(later[0]["date"]) else None


def frontend_s(chip: Chip) -> float:
    """Host and network before the first token of a hosted service."""
    return float(constants_for(chip)[0]["frontend_ms"]) * 1e-3
