"""`tokcalc models`: the catalogue of models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .. import listing, text
from ..table import Column


def models(
    vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Of this vendor.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="dense or moe (mixture of experts).")] = None,
    year: Annotated[str | None, typer.Option(metavar="YEAR", help="2024, 2023-2025, 2024- or -2022.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a file.")] = None,
) -> None:
    """List the models, with parameters and KV bytes per token."""
    from ...catalog import load_model

    rows = [_row(model) for model in listing.read_all("models", load_model)]
    vendor_fits = listing.matching("--vendor", vendor, (row["vendor"] for row in rows))
    kind_fits = listing.matching("--kind", kind, ("dense", "moe"))
    year_fits = listing.years(year)
    rows = [r for r in rows if vendor_fits(r["vendor"]) and kind_fits(r["kind"]) and year_fits(r["year"])]
    rows.sort(key=lambda row: (row["vendor"].lower(), row["family"].lower(), row["params"], row["id"]))
    listing.show(rows, _COLUMNS, json_, export or [])


def _row(model: Any) -> listing.Row:
    return {
        "id": model.id,
        "name": model.name,
        "vendor": model.vendor,
        "family": model.family,
        "kind": "moe" if model.is_moe else "dense",
        "year": int(model.release_date[:4]) if model.release_date[:4].isdecimal() else None,
        "layers": model.layers,
        "params": model.params_total,
        "params_active": model.params_active,
        "attention": "+".join(dict.fromkeys(group.attention.kind for group in model.groups)),
        "kv_bytes_per_token_16_bit": model.kv_bytes_per_token(2.0),
        "max_context": model.max_context,
        "native_format": model.native_format,
        "aliases": "; ".join(model.aliases),
    }


_COLUMNS: tuple[listing.Shown, ...] = (
    (Column("id", 100, right=False), "id", str),
    (Column("vendor", 60, right=False), "vendor", str),
    (Column("kind", 65, right=False), "kind", str),
    (Column("year", 75), "year", lambda v: "-" if v is None else str(v)),
    (Column("layers", 40), "layers", str),
    (Column("params", 95), "params", text.count),
    (Column("active", 85), "params_active", text.count),
    (Column("attention", 50, right=False), "attention", str),
    (Column("KV/token", 80), "kv_bytes_per_token_16_bit", text.size),
    (Column("context", 70), "max_context", lambda v: "-" if v is None else f"{v:,}"),
    (Column("released as", 45, right=False), "native_format", str),
)
