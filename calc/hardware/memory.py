"""A generation of memory: width, rates, capacities, energy and price of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..provenance import Source


@dataclass(frozen=True, repr=False)
class MemoryGeneration:
    """One generation of memory, per stack (HBM) or per device or channel (GDDR, LPDDR, DDR), as `scope` says.

    The nominal point (pin rate, capacity) is what `--memory NAME` puts in the place of a chip's own stacks.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    year: int
    status: str
    scope: str
    bus_bits: int | None
    channels: int | None
    stack_heights: tuple[int, ...]
    pin_rate_bit_s: float | None
    capacity_bytes: float
    bandwidth_bytes_s: float
    pin_rate_range_bit_s: tuple[float, float] | None
    bandwidth_range_bytes_s: tuple[float, float]
    capacity_options_bytes: tuple[float, ...]
    energy_j_per_bit: tuple[float, float] | None
    price_usd_per_gb: tuple[float, float] | None
    price_date: str
    grades: Mapping[str, str]
    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    path: str = ""

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], path: str = "") -> MemoryGeneration:
        """MemoryGeneration from the normal form which `catalog` makes of a file."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()
        }
        values["sources"] = tuple(Source(**source) for source in spec["sources"])
        return cls(**values, path=path)

    @property
    def grade(self) -> str:
        """Default grade of the file."""
        return self.grades[""]
