"""Chip, MemoryLevel, Link and Power: what a spec file says, in SI, ready for the physics.

Built by `catalog` from checked files; every field name carries its unit. A memory level's bandwidth is the
datasheet's, or stacks x bus bits x pin rate / 8 where no datasheet prints one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..provenance import Source


@dataclass(frozen=True, repr=False)
class MemoryLevel:
    """One tier of memory; `bandwidth_bytes_s` is None where the vendor publishes none (most caches)."""

    name: str
    type: str
    generation: str | None
    capacity_bytes: float
    bandwidth_bytes_s: float | None
    stacks: int | None = None
    bus_bits_per_stack: int | None = None
    pin_rate_bit_s: float | None = None
    datasheet_bandwidth_bytes_s: float | None = None
    physical_capacity_bytes: float | None = None
    shared_with_cpu: bool = False
    label: str = ""
    pin_basis: str | None = None

    @property
    def is_sram(self) -> bool:
        """True for on-die memory, whatever the vendor calls the level."""
        return self.type.upper().startswith("SRAM")

    @property
    def interface_bandwidth_bytes_s(self) -> float | None:
        """stacks x bus bits x pin rate / 8, in B/s; None where the stack structure is unknown."""
        if self.stacks is None or self.bus_bits_per_stack is None or self.pin_rate_bit_s is None:
            return None
        return self.stacks * self.bus_bits_per_stack * self.pin_rate_bit_s / 8


@dataclass(frozen=True, repr=False)
class Link:
    """One way out of the chip; bandwidths are per direction and per chip, never the two-way headline."""

    level: str
    name: str
    bandwidth_bytes_s: float | None
    domain_chips: int | None = None
    measured_bandwidth_bytes_s: float | None = None
    per_pair_bytes_s: float | None = None
    aggregate_bytes_s: float | None = None
    links: int | None = None


@dataclass(frozen=True, repr=False)
class Power:
    """Watts of one chip at its design limit, and its share of the whole system's draw."""

    tdp_w: float | None = None
    system_power_per_chip_w: float | None = None
    system: str = ""


@dataclass(frozen=True, repr=False)
class HostMemory:
    """Memory of the host that one chip can reach: capacity in bytes, bandwidth in bytes per second."""

    type: str
    capacity_bytes: float
    bandwidth_bytes_s: float | None
    label: str = ""


@dataclass(frozen=True, repr=False)
class Chip:
    """One accelerator as its spec file describes it; peaks are dense rates per unit in operations per second.

    `peak_ops_s` is the only roof; `headline_ops_s` keeps the vendor's sparse or doubled one.
    `grades` maps a dotted field to its grade, "" to the default of the file. `overridden` is what was asked otherwise;
    `changes` the parts that differ by it from the chip as it is built (`catalog.changes`).
    """

    id: str
    name: str
    vendor: str
    aliases: tuple[str, ...]
    kind: str
    family: str
    year: int
    status: str
    unit: str
    chips_per_system: int | None
    peak_ops_s: Mapping[str, float]
    headline_ops_s: Mapping[str, float]
    memory: tuple[MemoryLevel, ...]
    links: tuple[Link, ...]
    power: Power
    weights_in: str
    host_memory: HostMemory | None = None
    efficiency: Mapping[str, Any] = field(default_factory=dict)
    grades: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    process_node: str = ""
    form_factor: str = ""
    path: str = ""
    overridden: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], path: str = "") -> Chip:
        """Chip from the normal form, the SI dictionary which `catalog` makes of a file."""
        plain = {key: value for key, value in spec.items() if key not in _NESTED}
        return cls(
            **plain,
            aliases=tuple(spec["aliases"]),
            memory=tuple(MemoryLevel(**level) for level in spec["memory"]),
            links=tuple(Link(**link) for link in spec["links"]),
            power=Power(**spec["power"]),
            host_memory=HostMemory(**spec["host_memory"]) if spec["host_memory"] else None,
            sources=tuple(Source(**source) for source in spec["sources"]),
            notes=tuple(spec["notes"]),
            unverified=tuple(spec["unverified"]),
            overridden=tuple(spec["overridden"]),
            path=path,
        )

    def __hash__(self) -> int:
        """By file and what-ifs, so that a chip may be the key of a cache although it holds tables."""
        return hash((self.id, self.path, self.overridden))

    @property
    def sustained(self) -> float:
        """Share of the rated clock that the board's power carries through matrix products: `[efficiency] sustained`."""
        return float(self.efficiency.get("sustained", 1.0))

    @property
    def main_memory(self) -> MemoryLevel:
        """The level that holds weights and KV cache."""
        return self.level(self.weights_in)

    def level(self, name: str) -> MemoryLevel:
        """The memory level of that name; KeyError if the chip has none."""
        for level in self.memory:
            if level.name == name:
                return level
        raise KeyError(name)

    @property
    def weights_in_sram(self) -> bool:
        """True for wafers and LPUs, whose models are placed in on-chip memory and pipelined over chips."""
        return self.main_memory.is_sram

    @property
    def memory_bytes(self) -> float:
        """Capacity of the main memory in bytes, before any engine takes its share."""
        return self.main_memory.capacity_bytes

    @property
    def bandwidth_bytes_s(self) -> float | None:
        """Peak bandwidth of the main memory in bytes per second."""
        return self.main_memory.bandwidth_bytes_s

    def link(self, level: str) -> Link | None:
        """The link of a level such as "scale_up", "scale_out" or "host"; None if not published."""
        return next((link for link in self.links if link.level == level), None)

    @property
    def scale_up(self) -> Link | None:
        """The link for tensor parallel traffic; None where only host bus or network join the chips."""
        return self.link("scale_up")

    def grade_of(self, path: str) -> str:
        """Grade of a dotted field such as "memory.hbm.pin_rate": its own, its table's, or the default."""
        while path:
            if path in self.grades:
                return self.grades[path]
            path = path.rpartition(".")[0]
        return self.grades[""]

    @property
    def what_if(self) -> bool:
        """True where anything but its power is not the chip's own, so that nothing was measured on it."""
        return bool(set(self.changes) - {"power"})

    @property
    def rebuilt(self) -> bool:
        """True for what-ifs of the chip itself (memory, rates, efficiency, kind, family), not of what is round it."""
        return bool(set(self.changes) - {"power", "links", "host memory"})

    @property
    def what_if_note(self) -> str:
        """What was asked otherwise, in a sentence for every table and answer; "" for a chip as it is built."""
        asked = ", ".join(self.overridden)
        return f"what-if: {asked}; all else, prices too, as {self.name} is built" if asked else ""

    @property
    def grade(self) -> str:
        """The worst grade of the three figures every estimate uses: main peak, capacity, bandwidth; D for what-ifs."""
        main = f"memory.{self.weights_in}"
        peaks = [name for name in ("bf16", "fp16") if name in self.peak_ops_s] or list(self.peak_ops_s)
        peak = min(self.grade_of(f"peak_dense.{name}") for name in peaks)
        if self.rebuilt:
            return "D"
        return max(peak, self.grade_of(f"{main}.capacity"), self.grade_of(f"{main}.bandwidth"))


_NESTED = {"aliases", "memory", "links", "power", "host_memory", "sources", "notes", "unverified", "overridden"}
