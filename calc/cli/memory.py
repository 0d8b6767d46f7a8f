"""`tokcalc memory`: the generations of memory that chips are fed by."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import listing, text
from .table import Column


def memory(
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="hbm, gddr, lpddr, ddr.")] = None,
    year: Annotated[str | None, typer.Option(metavar="YEAR", help="2024, 2023-2025, 2024- or -2022.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a file.")] = None,
) -> None:
    """List the memory generations, with width, rate and bandwidth."""
    from ..catalog import load_memory

    rows = [_row(generation) for generation in listing.read_all("memory", load_memory)]
    kind_fits = listing.matching("--kind", kind, (row["kind"] for row in rows))
    year_fits = listing.years(year)
    rows = [row for row in rows if kind_fits(row["kind"]) and year_fits(row["year"])]
    rows.sort(key=lambda row: (row["kind"], row["year"], row["id"]))
    listing.show(rows, _COLUMNS, json_, export or [])


def _row(generation: Any) -> listing.Row:
    energy = generation.energy_j_per_bit
    return {
        "id": generation.id,
        "name": generation.name,
        "kind": next(
            k for k in ("lpddr", "gddr", "hbm", "ddr", generation.id) if generation.id.startswith(k)
        ),
        "year": generation.year,
        "status": generation.status,
        "scope": generation.scope,
        "bus_bits": generation.bus_bits,
        "pin_rate_bit_s": generation.pin_rate_bit_s,
        "bandwidth_bytes_s": generation.bandwidth_bytes_s,
        "capacity_bytes": generation.capacity_bytes,
        "energy_low_j_per_bit": energy[0] if energy else None,
        "energy_high_j_per_bit": energy[1] if energy else None,
        "grade": generation.grade,
        "aliases": "; ".join(generation.aliases),
    }


_COLUMNS: tuple[listing.Shown, ...] = (
    (Column("id", 100, right=False), "id", str),
    (Column("year", 75), "year", str),
    (Column("status", 60, right=False), "status", str),
    (Column("scope", 70, right=False), "scope", str),
    (Column("bits", 80), "bus_bits", lambda v: "-" if v is None else f"{v:,}"),
    (Column("pin rate", 85), "pin_rate_bit_s", lambda v: text.rate(v, "bit/s")),
    (Column("bandwidth", 95), "bandwidth_bytes_s", lambda v: text.rate(v, "B/s")),
    (Column("capacity", 90), "capacity_bytes", text.size),
    (Column("grade", 50, right=False), "grade", str),
)
