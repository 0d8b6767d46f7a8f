"""Chips with several tiers of memory: which tier can hold a model's weights, and how fast it streams them.

SambaNova (SRAM, HBM, DDR) and d-Matrix (SRAM, LPDDR) run small models from the fast tier and large ones from the next;
a question takes another tier with `--set weights_in=NAME`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chip import Chip, MemoryLevel


def tiers(chip: Chip) -> tuple[MemoryLevel, ...]:
    """Levels that weights can stream from, fastest first: those with a published bandwidth, as large as the main one.

    >>> from tokcalc.catalog import load_chip
    >>> [(m.name, m.capacity_bytes / 1e9, m.bandwidth_bytes_s / 1e9) for m in tiers(load_chip("sn40l"))]
    [('hbm', 64.0, 1600.0), ('ddr', 1500.0, 100.0)]
    """
    main = chip.main_memory
    able = [m for m in chip.memory if m.bandwidth_bytes_s and m.capacity_bytes >= main.capacity_bytes]
    return tuple(sorted(able, key=lambda m: -(m.bandwidth_bytes_s or 0.0)))


def hint(chip: Chip) -> str:
    """What to add to a refusal: the next tier's size and speed, as an option; "" where there is none."""
    below = [m for m in tiers(chip) if m.capacity_bytes > chip.memory_bytes]
    if not below:
        return ""
    level, speed = below[0], (below[0].bandwidth_bytes_s or 0.0) / 1e9
    return (
        f"or stream weights from its {level.type}, {level.capacity_bytes / 1e9:,.0f} GB at {speed:,.0f} "
        f"GB/s, with --set weights_in={level.name}"
    )
