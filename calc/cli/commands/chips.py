"""`tokcalc chips`: the catalogue of chips."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .. import listing, text
from ..table import Column


def chips(
    vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Of this vendor.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="gpu, wafer, lpu, npu, tpu, cpu, apu.")] = None,
    year: Annotated[str | None, typer.Option(metavar="YEAR", help="2024, 2023-2025, 2024- or -2022.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a file.")] = None,
) -> None:
    """List the chips, with peak, memory and year."""
    from ...catalog import load_chip

    found = listing.read_all("chips", load_chip)
    vendor_fits = listing.matching("--vendor", vendor, (chip.vendor for chip in found))
    kind_fits = listing.matching("--kind", kind, (chip.kind for chip in found))
    year_fits = listing.years(year)
    rows = [
        _row(chip)
        for chip in sorted(found, key=lambda chip: (chip.vendor.lower(), chip.year, chip.id))
        if vendor_fits(chip.vendor) and kind_fits(chip.kind) and year_fits(chip.year)
    ]
    listing.show(rows, _COLUMNS, json_, export or [])


def _row(chip: Any) -> listing.Row:
    memory, peak = chip.main_memory, chip.peak_ops_s
    return {
        "id": chip.id,
        "name": chip.name,
        "vendor": chip.vendor,
        "kind": chip.kind,
        "family": chip.family,
        "year": chip.year,
        "status": chip.status,
        "memory_type": memory.type,
        "memory_bytes": memory.capacity_bytes,
        "bandwidth_bytes_s": memory.bandwidth_bytes_s,
        "peak_16_bit_ops_s": peak.get("bf16") or peak.get("fp16"),
        "peak_fp8_ops_s": peak.get("fp8"),
        "peak_fp4_ops_s": peak.get("fp4"),
        "tdp_w": chip.power.tdp_w,
        "grade": chip.grade,
        "aliases": "; ".join(chip.aliases),
    }


def _tera(value: float | None) -> str:
    return text.number(value / 1e12 if value else None)


_COLUMNS: tuple[listing.Shown, ...] = (
    (Column("id", 100, right=False), "id", str),
    (Column("vendor", 70, right=False), "vendor", str),
    (Column("kind", 60, right=False), "kind", str),
    (Column("year", 75), "year", str),
    (Column("memory", 90), "memory_bytes", text.size),
    (Column("type", 40, right=False), "memory_type", str),
    (Column("bandwidth", 90), "bandwidth_bytes_s", lambda v: text.rate(v, "B/s")),
    (Column("16-bit TFLOP/s", 85), "peak_16_bit_ops_s", _tera),
    (Column("fp8 TFLOP/s", 50), "peak_fp8_ops_s", _tera),
    (Column("power", 45), "tdp_w", lambda v: text.rate(v, "W")),
    (Column("status", 55, right=False), "status", str),
    (Column("grade", 80, right=False), "grade", str),
)
