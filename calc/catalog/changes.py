"""What of a chip is not as the measured one was built: the parts of its file that change an answer.

A what-if (`--set`, `--memory`) or a file of one's own is compared with the shipped chip of that id by value, so that
a figure set to what it is anyway, a label or a rate that no answer reads changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..hardware.chip import Chip

UNREAD_PEAKS = ("fp64", "fp32_vector")  # no product of a served model runs at them (`formats.roof`)
_LEVEL = attrgetter("capacity_bytes", "bandwidth_bytes_s", "stacks", "bus_bits_per_stack", "is_sram")
_LINK = attrgetter(
    "bandwidth_bytes_s", "domain_chips", "measured_bandwidth_bytes_s", "per_pair_bytes_s", "aggregate_bytes_s", "links"
)


def changes(chip: Chip, built: Chip) -> tuple[str, ...]:
    """Parts of `chip` that differ from `built`, of memory, arithmetic, efficiency, kind, family, links, host memory,
    power; () where none does.

    Memory is the tier that holds weights; links are the chips of a system too.
    """
    own, other = _parts(chip, chip.weights_in), _parts(built, chip.weights_in)
    return tuple(name for name in own if not _same(own[name], other[name]))


def grades_of(chip: Chip, own: Chip, paths: Iterable[str]) -> dict[str, str]:
    """Grades of a what-if: those that overriding gave it (D), but of figures set to what they are the file's own."""
    now, was = _figures(chip), _figures(own)
    same = {path: own.grade_of(path) for path in paths if path in was and _same(now.get(path), was[path])}
    return {**chip.grades, **same}


def _figures(chip: Chip) -> dict[str, float | None]:
    """The figures that a chip's grade rests on, by the paths that `--set` has for them."""
    figures: dict[str, float | None] = {f"peak_dense.{name}": peak for name, peak in chip.peak_ops_s.items()}
    for level in chip.memory:
        figures[f"memory.{level.name}.capacity"] = level.capacity_bytes
        figures[f"memory.{level.name}.bandwidth"] = level.bandwidth_bytes_s
    return figures


def _parts(chip: Chip, tier: str) -> dict[str, object]:
    host = chip.host_memory
    return {
        "memory": next((_LEVEL(level) for level in chip.memory if level.name == tier), None),
        "arithmetic": {name: peak for name, peak in chip.peak_ops_s.items() if name not in UNREAD_PEAKS},
        "efficiency": chip.efficiency,
        "kind": chip.kind,
        "family": chip.family,
        "links": ({link.level: _LINK(link) for link in chip.links}, chip.chips_per_system),
        "host memory": host and (host.capacity_bytes, host.bandwidth_bytes_s),
        "power": (chip.power.tdp_w, chip.power.system_power_per_chip_w),
    }


def _same(one: object, other: object) -> bool:
    """Equal values, numbers to a billionth, tables and tuples part by part."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other
