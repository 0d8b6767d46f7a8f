"""`tokcalc models`: the catalogue of models."""

from __future__ import annotations

from ...catalog import load_model
from ...models.model import Model
from .. import listing, text
from .. import options as o
from ..output import Output
from ..table import Column, item


class Which(listing.Filters):
    """Which models are listed."""

    kind: o.Text = o.option(None, "dense or moe (mixture of experts).", "KIND")
    vendor: o.Text = o.VENDOR


def models(which: Which, out: Output) -> None:
    """List the models, with parameters and KV bytes per token."""
    rows = [_row(model) for model in listing.read_all("models", load_model)]
    rows = which.kept(rows)
    rows.sort(key=lambda row: (row["vendor"].lower(), row["family"].lower(), row["params"], row["id"]))
    listing.show(rows, _COLUMNS, out)


def _row(model: Model) -> listing.Row:
    return {
        **{name: getattr(model, name) for name in ("id", "name", "vendor", "family")},
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


_COLUMNS = (
    Column("id", 100, False, item("id")),
    Column("vendor", 60, False, item("vendor")),
    Column("kind", 65, False, item("kind")),
    Column("year", 75, cell=item("year", lambda v: "-" if v is None else str(v))),
    Column("layers", 40, cell=item("layers")),
    Column("params", 95, cell=item("params", text.count)),
    Column("active", 85, cell=item("params_active", text.count)),
    Column("attention", 50, False, item("attention")),
    Column("KV/token", 80, cell=item("kv_bytes_per_token_16_bit", text.size)),
    Column("context", 70, cell=item("max_context", lambda v: "-" if v is None else f"{v:,}")),
    Column("released as", 45, False, item("native_format")),
)
