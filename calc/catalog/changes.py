"""What of a chip is not as the measured one was built: the parts of its file that change an answer.

A what-if (`--set`, `--memory`) or a file of one's own is compared with the shipped chip of that id by value, so that
a figure set to what it is anyway, a label or a rate that no answer reads changes nothing. Stands before `load`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..hardware.chip import Chip

UNREAD_PEAKS = ("fp64", "fp32_vector")  # no product of a served model runs at them (`formats.roof`)


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


def _figures(chip: Chip) -> dict[str, Any]:
    """The figures that a chip's grade rests on, by the paths that `--set` has for them."""
    figures: dict[str, Any] = {f"peak_dense.{name}": peak for name, peak in chip.peak_ops_s.items()}
    for level in chip.memory:
        figures[f"memory.{level.name}.capacity"] = level.capacity_bytes
        figures[f"memory.{level.name}.bandwidth"] = level.bandwidth_bytes_s
    return figures


def _parts(chip: Chip, tier: str) -> dict[str, Any]:
    power = (chip.power.tdp_w, chip.power.system_power_per_chip_w)
    return {
        "memory": _memory(chip, tier), "arithmetic": _arithmetic(chip), "efficiency": dict(chip.efficiency),
        "kind": chip.kind, "family": chip.family, "links": _links(chip), "host memory": _host(chip), "power": power,
    }  # fmt: skip


def _memory(chip: Chip, name: str) -> Any:
    level = next((m for m in chip.memory if m.name == name), None)
    return level and (
        level.capacity_bytes, level.bandwidth_bytes_s, level.stacks, level.bus_bits_per_stack, level.is_sram,
    )  # fmt: skip


def _arithmetic(chip: Chip) -> Any:
    return {name: peak for name, peak in chip.peak_ops_s.items() if name not in UNREAD_PEAKS}


def _links(chip: Chip) -> Any:
    figures = {
        link.level: (
            link.bandwidth_bytes_s, link.domain_chips, link.measured_bandwidth_bytes_s, link.per_pair_bytes_s,
            link.aggregate_bytes_s, link.links,
        )
        for link in chip.links
    }  # fmt: skip
    return figures, chip.chips_per_system


def _host(chip: Chip) -> Any:
    return chip.host_memory and (chip.host_memory.capacity_bytes, chip.host_memory.bandwidth_bytes_s)


def _same(one: Any, other: Any) -> bool:
    """Equal values, numbers to a billionth, tables and tuples part by part."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)
