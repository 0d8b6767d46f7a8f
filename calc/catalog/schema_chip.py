"""Schema of a chip file, and its normal form: the SI dictionary that `Chip.from_spec` takes."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ..errors import SpecError
from . import schema_common as common
from .schema_common import Bandwidth, Capacity, Compute, Count, Name, Strict, Text

Kind = Literal["gpu", "wafer", "lpu", "npu", "tpu", "cpu", "apu", "rdu"]
Level = Literal["sram", "l2", "l3", "hbm", "dram", "ddr"]
LinkLevel = Literal["scale_up", "scale_out", "host", "die_to_die", "on_wafer"]
Floats = Literal["fp64", "fp32", "fp32_vector", "tf32", "bf16", "fp16", "fp16_acc16", "fp8", "fp8_acc16", "fp6", "fp4"]
Blocks = Literal["bfp8", "mx9", "mx6", "mxint8", "mxint4"]
Format = Literal[Floats, Blocks, "int8", "int4"]
INTERFACE_TOLERANCE = 0.04
NUMBERS = ("sustained", "cores", "gpus_per_card")
BY_FORMAT = ("kernel", "moe", "attention_decode", "attention_prefill", "mla_decode", "linear_decode", "elementwise")
EFFICIENCY = (*NUMBERS, *BY_FORMAT, "stack", "step", "sram")
_EFFICIENCY_SCHEMA: dict[str, Any] = {
    "properties": {
        "sustained": {"type": "number", "exclusiveMinimum": 0},
        **{name: {"type": "number", "minimum": 1} for name in NUMBERS[1:]},
        **{name: {"type": "object"} for name in EFFICIENCY if name not in NUMBERS},
    },
    "additionalProperties": False,
}


class MemoryTable(Strict):
    """One tier of memory; stack, bus and pin figures come together, a datasheet bandwidth wins over them."""

    type: Text
    generation: Name | None = None
    label: str = ""
    shared_with_cpu: bool = False
    stacks: Annotated[int, Field(ge=1, le=64, strict=True)] | None = None
    bus_bits_per_stack: Annotated[int, Field(ge=8, le=8192, strict=True)] | None = None
    pin_rate: common.BitRate | None = Field(None, serialization_alias="pin_rate_bit_s")
    pin_basis: Literal["published", "derived"] | None = None
    capacity: Capacity = Field(serialization_alias="capacity_bytes")
    physical_capacity: Capacity | None = Field(None, serialization_alias="physical_capacity_bytes")
    bandwidth: Bandwidth | None = Field(None, serialization_alias="datasheet_bandwidth_bytes_s")

    def plain(self, name: str) -> dict[str, Any]:
        """The level as `MemoryLevel` takes it; ValueError if the figures contradict each other."""
        parts = {"stacks": self.stacks, "bus_bits_per_stack": self.bus_bits_per_stack, "pin_rate": self.pin_rate}
        missing = [key for key, value in parts.items() if value is None]
        interface = None
        if self.stacks is not None and self.bus_bits_per_stack is not None and self.pin_rate is not None:
            interface = self.stacks * self.bus_bits_per_stack * self.pin_rate / 8
            if self.bandwidth is not None and not math.isclose(interface, self.bandwidth, rel_tol=INTERFACE_TOLERANCE):
                raise ValueError(
                    f"memory.{name}: {self.stacks} x {self.bus_bits_per_stack} bit x {self.pin_rate / 1e9:g} "
                    f"Gbit/s / 8 is {interface / 1e9:.0f} GB/s, more than 4 % from the bandwidth of "
                    f"{self.bandwidth / 1e9:.0f} GB/s; correct one of them"
                )
        elif len(missing) < 3:
            raise ValueError(f"memory.{name}.{missing[0]} is missing; stacks, bus and pin rate come together")
        if self.physical_capacity is not None and self.physical_capacity < self.capacity:
            raise ValueError(f"memory.{name}.physical_capacity is smaller than the capacity that is exposed")
        bandwidth = self.bandwidth if self.bandwidth is not None else interface
        return {**self.model_dump(by_alias=True), "name": name, "bandwidth_bytes_s": bandwidth}


class LinkTable(Strict):
    """One way out of the chip; `both_directions` repeats the vendor's headline and is only checked."""

    name: Text
    per_direction: Bandwidth | None = Field(None, serialization_alias="bandwidth_bytes_s")
    both_directions: Bandwidth | None = None
    measured_per_direction: Bandwidth | None = Field(None, serialization_alias="measured_bandwidth_bytes_s")
    per_pair: Bandwidth | None = Field(None, serialization_alias="per_pair_bytes_s")
    aggregate: Bandwidth | None = Field(None, serialization_alias="aggregate_bytes_s")
    domain_chips: Count | None = None
    links: Count | None = None

    def plain(self, level: str) -> dict[str, Any]:
        """The link as `Link` takes it; ValueError if the two-way figure is not twice the one-way figure."""
        one, two = self.per_direction, self.both_directions
        if two is not None and (one is None or not math.isclose(two, 2 * one, rel_tol=0.02)):
            raise ValueError(f"links.{level}.both_directions is not twice per_direction; correct one of them")
        return {**self.model_dump(by_alias=True, exclude={"both_directions"}), "level": level}


class HostMemoryTable(Strict):
    """Memory of the host within reach of one chip."""

    type: Text
    label: str = ""
    capacity: Capacity = Field(serialization_alias="capacity_bytes")
    bandwidth: Bandwidth | None = Field(None, serialization_alias="bandwidth_bytes_s")


class PowerTable(Strict):
    """Design power of one unit, and of a whole system (CPUs, switches, fans) with its number of units."""

    tdp: common.Watts | None = None
    system: str = ""
    system_power: common.Watts | None = None
    chips_in_system: Count | None = None

    def plain(self) -> dict[str, Any]:
        """The table as `Power` takes it; ValueError if a system figure lacks its number of chips."""
        if (self.system_power is None) != (self.chips_in_system is None):
            raise ValueError("power.system_power and power.chips_in_system come together")
        share = self.system_power / self.chips_in_system if self.system_power and self.chips_in_system else None
        return {"tdp_w": self.tdp, "system_power_per_chip_w": share, "system": self.system}


class ChipTable(Strict):
    """A whole chip file."""

    id: Name
    name: Text
    vendor: Text
    aliases: list[Name] = Field(default=[])
    kind: Kind
    family: Name
    year: common.Year
    status: common.Status
    process_node: str = ""
    unit: Text
    form_factor: str = ""
    chips_per_system: Count | None = None
    weights_in: Level
    peak_dense: dict[Format, Compute] = Field(min_length=1, serialization_alias="peak_ops_s")
    vendor_headline: dict[Format, Compute] = Field(default={}, serialization_alias="headline_ops_s")
    memory: Annotated[dict[Level, MemoryTable], Field(min_length=1)]
    host_memory: HostMemoryTable | None = None
    links: dict[LinkLevel, LinkTable] = Field(default={})
    power: PowerTable = PowerTable()
    efficiency: dict[str, Any] = Field(default={}, json_schema_extra=_EFFICIENCY_SCHEMA)
    about: common.About = common.About()
    grades: common.Grades
    sources: common.Sources

    @field_validator("efficiency")
    @classmethod
    def _plausible(cls, table: dict[str, Any]) -> dict[str, Any]:
        _check_numbers("efficiency", table)
        _check_efficiency(table)
        return table


def _check_numbers(path: str, value: object) -> None:
    """ValueError unless nested tables and lists hold nothing but numbers from 0 up to a million."""
    if isinstance(value, dict):
        for key, child in value.items():
            _check_numbers(f"{path}.{key}", child)
    elif isinstance(value, list):
        for child in value:
            _check_numbers(path, child)
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e6:
        raise ValueError(f"holds {path} = {value!r}; expected a number from 0 up to a million")


def _check_efficiency(table: dict[str, Any]) -> None:
    """ValueError for a key that nothing reads, and for a share or a count that no chip can have."""
    for key, value in table.items():
        if key not in EFFICIENCY:
            near = get_close_matches(key, EFFICIENCY, n=3) or EFFICIENCY
            raise ValueError(f"has no field '{key[:80]}'; valid are {', '.join(near)}")
        if isinstance(value, dict) == (key in NUMBERS):
            kind = "a number" if key in NUMBERS else "a table"
            raise ValueError(f"holds efficiency.{key} = {value!r}; expected {kind}")
        if key in BY_FORMAT:
            _check_kernels(f"efficiency.{key}", value)
        if key == "step" and not {"overhead_s", "sequence_s"} <= value.keys():
            raise ValueError("holds an efficiency.step that lacks overhead_s or sequence_s; give both")
        if key == "sustained" and not value > 0:
            raise ValueError(f"holds efficiency.sustained = {value:g}; expected a share above 0")
        if key in NUMBERS[1:] and (value < 1 or value != int(value)):
            raise ValueError(f"holds efficiency.{key} = {value:g}; expected a whole number from 1")


def _check_kernels(path: str, table: dict[str, Any]) -> None:
    """ValueError unless each format has a table, whose shares and exponents are above zero."""
    for name, constants in table.items():
        if not isinstance(constants, dict):
            raise ValueError(f"holds {path}.{name} = {constants!r}; expected a table")
        for key in ("eta_m", "eta_c", "p"):
            value = constants.get(key, 1.0)
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"holds {path}.{name}.{key} = {value!r}; expected a number above 0")


def check_chip(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Normal form of a chip file's table: plain JSON in SI units. Raises SpecError, one sentence."""
    table = common.validated(ChipTable, raw, where)
    try:
        origin = common.origin(raw, table.sources)
        if table.weights_in not in table.memory:
            raise ValueError(f"weights_in is '{table.weights_in}', but memory has only {', '.join(table.memory)}")
        memory = [level.plain(name) for name, level in table.memory.items()]
        if next(m for m in memory if m["name"] == table.weights_in)["bandwidth_bytes_s"] is None:
            raise ValueError(f"memory.{table.weights_in}.bandwidth is missing; weights are read at it")
        links = [link.plain(level) for level, link in table.links.items()]
        power = table.power.plain()
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None
    return {
        **table.model_dump(by_alias=True, exclude={"about"}),
        **origin,
        "memory": memory,
        "links": links,
        "power": power,
        "unverified": [path for path, grade in origin["grades"].items() if grade == "D" and path],
        "overridden": [],
    }
