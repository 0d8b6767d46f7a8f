"""`tokcalc chips`: the catalogue of chips."""

from __future__ import annotations

from ...catalog import load_chip
from ...hardware.chip import Chip
from .. import listing, text
from .. import options as o
from ..output import Output
from ..table import Column, item


class Which(listing.Filters):
    """Which chips are listed."""

    kind: o.Text = o.option(None, "gpu, wafer, lpu, npu, tpu, cpu, apu.", "KIND")
    vendor: o.Text = o.VENDOR


def chips(which: Which, out: Output) -> None:
    """List the chips, with peak, memory and year."""
    rows = [_row(chip) for chip in listing.read_all("chips", load_chip)]
    rows = which.kept(rows)
    rows.sort(key=lambda row: (row["vendor"].lower(), row["year"], row["id"]))
    listing.show(rows, _COLUMNS, out)


def _row(chip: Chip) -> listing.Row:
    memory, peak = chip.main_memory, chip.peak_ops_s
    return {
        **{name: getattr(chip, name) for name in ("id", "name", "vendor", "kind", "family", "year", "status")},
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


_COLUMNS = (
    Column("id", 100, False, item("id")),
    Column("vendor", 70, False, item("vendor")),
    Column("kind", 60, False, item("kind")),
    Column("year", 75, cell=item("year")),
    Column("memory", 90, cell=item("memory_bytes", text.size)),
    Column("type", 40, False, item("memory_type")),
    Column("bandwidth", 90, cell=item("bandwidth_bytes_s", lambda v: text.rate(v, "B/s"))),
    Column("16-bit TFLOP/s", 85, cell=item("peak_16_bit_ops_s", _tera)),
    Column("fp8 TFLOP/s", 50, cell=item("peak_fp8_ops_s", _tera)),
    Column("power", 45, cell=item("tdp_w", lambda v: text.rate(v, "W"))),
    Column("status", 55, False, item("status")),
    Column("grade", 80, False, item("grade")),
)
