"""Schema of a memory file, and its normal form: the SI dictionary that `MemoryGeneration.from_spec` takes."""

from __future__ import annotations

import datetime
import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ..errors import SpecError
from . import schema_common as common
from .schema_common import Bandwidth, BitRate, Capacity, Name, Strict, Text

Positive = Annotated[float, Field(gt=0, lt=1e6)]


class Nominal(Strict):
    """The point that a swap of generations uses, per stack, device, channel or chip as `scope` says."""

    pin_rate: BitRate | None = None
    bandwidth: Bandwidth | None = None
    capacity: Capacity


class Price(Strict):
    """Contract price per gigabyte, low and high, and when it held."""

    usd_per_gb: Annotated[list[Positive], Field(min_length=1, max_length=2)]
    date: datetime.date
    note: str = ""


class MemoryFile(Strict):
    """A whole memory-generation file."""

    id: Name
    name: Text
    aliases: list[Name] = Field(default=[])
    year: common.Year
    status: common.Status
    scope: Literal["stack", "device", "channel", "chip"]
    bus_bits: Annotated[int, Field(ge=8, le=8192, strict=True)] | None = None
    channels: Annotated[int, Field(ge=1, le=128, strict=True)] | None = None
    stack_heights: list[Annotated[int, Field(ge=1, le=64, strict=True)]] = Field(default=[])
    pin_rate: Annotated[list[BitRate], Field(min_length=2, max_length=2)] | None = None
    bandwidth: Annotated[list[Bandwidth], Field(min_length=2, max_length=2)]
    capacity: Annotated[list[Capacity], Field(min_length=1)]
    nominal: Nominal
    energy_pj_per_bit: Annotated[list[Positive], Field(min_length=1, max_length=2)] | None = None
    price: Price | None = None
    about: common.About = common.About()
    grades: common.Grades
    sources: common.Sources

    @field_validator("pin_rate", "bandwidth", "energy_pj_per_bit")
    @classmethod
    def _ordered(cls, values: list[float] | None) -> list[float] | None:
        if values and values[0] > values[-1]:
            raise ValueError("has its larger end first; expected [low, high]")
        return values


def _pair(values: list[float] | None, factor: float = 1.0) -> list[float] | None:
    return [values[0] * factor, values[-1] * factor] if values else None


def check_memory(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Normal form of a memory file's table. Raises SpecError, one sentence: file, key, reason."""
    table = common.validated(MemoryFile, raw, where)
    try:
        origin = common.origin(raw, table.sources)
        bandwidth = _nominal_bandwidth(table)
        for index, end in enumerate(("low", "high")):
            if table.pin_rate and table.bus_bits:
                product = table.bus_bits * table.pin_rate[index] / 8
                if not math.isclose(product, table.bandwidth[index], rel_tol=0.04):
                    stated, pins = table.bandwidth[index] / 1e9, table.pin_rate[index] / 1e9
                    raise ValueError(
                        f"the {end} bandwidth is {stated:g} GB/s, but {table.bus_bits} bit x "
                        f"{pins:g} Gbit/s / 8 is {product / 1e9:g} GB/s"
                    )
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None
    return {
        **table.model_dump(
            include={"id", "name", "aliases", "year", "status", "scope", "bus_bits", "channels", "stack_heights"}
        ),
        **origin,
        "pin_rate_bit_s": table.nominal.pin_rate,
        "capacity_bytes": table.nominal.capacity,
        "bandwidth_bytes_s": bandwidth,
        "pin_rate_range_bit_s": _pair(table.pin_rate),
        "bandwidth_range_bytes_s": _pair(table.bandwidth),
        "capacity_options_bytes": table.capacity,
        "energy_j_per_bit": _pair(table.energy_pj_per_bit, 1e-12),
        "price_usd_per_gb": _pair(table.price.usd_per_gb) if table.price else None,
        "price_date": table.price.date.isoformat() if table.price else "",
    }


def _nominal_bandwidth(table: MemoryFile) -> float:
    nominal = table.nominal
    if table.bus_bits is not None and nominal.pin_rate is not None:
        if nominal.bandwidth is not None:
            raise ValueError("nominal.bandwidth is bus_bits x nominal.pin_rate / 8; leave it out")
        return float(table.bus_bits * nominal.pin_rate / 8)
    if nominal.bandwidth is None:
        raise ValueError("nominal needs pin_rate (with bus_bits), or bandwidth where the structure is unpublished")
    return float(nominal.bandwidth)
