"""Plots of a comparison: terms of a step, speed against batch or context, cost against speed with list prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import TokcalcError, UsageError
from ...money.list_prices import api_prices
from ...report import plots
from ...report.plots import stacked_terms
from .comparison import INPUTS

MOST_BARS = 24
MOST_PRICES = 6  # list prices drawn, evenly from the cheapest on
_AXES = {"batch": "concurrency", "context": "isl", "cost": "concurrency", "pareto": "concurrency"}
_COLUMNS = {
    "isl": "workload.isl",
    "concurrency": "workload.concurrency",
    "output_tok_s_user": "speed.output_tok_s_user.value",
    "low": "speed.output_tok_s_user.low",
    "high": "speed.output_tok_s_user.high",
    "output_tok_s_chip": "speed.output_tok_s_chip.value",
    "per_m_output": "cost.per_m_output",
}
Row = dict[str, Any]


def draw(kind: str, found: Sequence[Row], rows: Sequence[Row], varied: Sequence[str]) -> Any:
    """The chart of a kind (terms, batch, context, cost or pareto); varied: inputs that differ between the rows."""
    moving = [name for name in varied if name != _AXES.get(kind)]
    several = [key for key in ("chip", "model") if len({row[key] for row in rows}) > 1]
    names = [_name(row, several, moving) for row in rows]
    title = _title(rows)
    if kind == "terms":
        return _terms(found, rows, names, title)
    table = [
        {"series": name, "chip": name, "label": f"{row['workload.concurrency']} in flight"}
        | {short: row.get(key) for short, key in _COLUMNS.items()}
        for row, name in zip(rows, names, strict=True)
    ]
    currency = next((row["cost.currency"] for row in rows if row.get("cost.currency")), "USD")
    if kind in ("batch", "context"):
        x = _AXES[kind]
        if len({row[x] for row in table}) < 2:
            raise UsageError(f"a plot against {kind} needs several values of --{x}, such as 1,8,64")
        return plots.speed_against(table, x, series="series", title=title)
    if kind == "pareto":
        return plots.pareto(table, title=title)
    priced = [row for row in table if row["per_m_output"] is not None]
    if not priced:
        raise UsageError("a plot of cost needs a price; give one with --rent")
    return plots.cost_speed(priced, _list_prices(rows, currency), title=title, currency=currency)


def _name(row: Row, several: Sequence[str], moving: Sequence[str]) -> str:
    """What tells one line or bar from another: chip, model, and inputs that vary and are not on the axis."""
    parts = [str(row[key]) for key in several]
    for name in moving:
        value = row.get(INPUTS[name])
        parts.append(str(value) if name in ("weights", "kv", "engine") else f"{name} {value:,}")
    return " ".join(parts) or str(row["chip"])


def _title(rows: Sequence[Row]) -> str:
    models = sorted({str(row["model"]) for row in rows})
    lengths = {(row["workload.isl"], row["workload.osl"]) for row in rows}
    title = ", ".join(models) if len(models) < 4 else f"{len(models)} models"
    if len(lengths) == 1:
        isl, osl = next(iter(lengths))
        title += f", {isl:,} tokens in, {osl:,} out"
    return title


def _terms(found: Sequence[Row], rows: Sequence[Row], names: Sequence[str], title: str) -> Any:
    if len(rows) > MOST_BARS:
        raise UsageError(f"{len(rows)} bars are too many for a plot of terms; compare at most {MOST_BARS} cases")
    terms = {answer["command"]: answer["terms"] for answer in found if answer.get("terms")}
    made = [
        {"case": name, "name": term["name"], "seconds": term["seconds"]}
        for row, name in zip(rows, names, strict=True)
        for term in terms.get(row["command"], [])
    ]
    return stacked_terms(made, title=title)


def _list_prices(rows: Sequence[Row], currency: str) -> Sequence[Row]:
    """What sellers ask for the model's output tokens, one mark a seller; empty where no list price is known."""
    models = {str(row["model"]) for row in rows}
    try:
        found = api_prices(next(iter(models)), currency=currency) if len(models) == 1 else []
    except TokcalcError:
        return []
    sellers: dict[str, float] = {}
    for quote in found:
        sellers[quote.provider] = min(quote.output, sellers.get(quote.provider, quote.output))
    by_price = sorted(sellers.items(), key=lambda seller: seller[1])
    step = max(1, -(-len(by_price) // MOST_PRICES))
    return [{"name": name, "per_m_output": price} for name, price in by_price[::step]]
