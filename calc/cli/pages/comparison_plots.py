"""Plots of a comparison: stacked terms of a step, speed against batch or context, cost against speed with
list prices.
"""

from __future__ import annotations

from typing import Any

from ...errors import UsageError

MOST_BARS = 24
MOST_PRICES = 6  # list prices drawn, evenly from the cheapest on


def draw(kind: str, found: list[dict[str, Any]], rows: list[dict[str, Any]], varied: dict[str, list[Any]]) -> Any:
    """The chart of a kind: terms, batch, context, cost or pareto."""
    from ...report import plots

    names = _names(rows, varied, kind)
    title = _title(rows)
    if kind == "terms":
        return _terms(found, rows, names, title)
    table = [
        {
            "series": name, "label": f"{row['workload.concurrency']} in flight", "chip": name,
            "isl": row["workload.isl"], "concurrency": row["workload.concurrency"],
            "output_tok_s_user": row["speed.output_tok_s_user.value"],
            "low": row["speed.output_tok_s_user.low"], "high": row["speed.output_tok_s_user.high"],
            "output_tok_s_chip": row["speed.output_tok_s_chip.value"],
            "per_m_output": row.get("cost.per_m_output"),
        }
        for row, name in zip(rows, names, strict=True)
    ]  # fmt: skip
    currency = next((row["cost.currency"] for row in rows if row.get("cost.currency")), "USD")
    if kind in ("batch", "context"):
        x = "concurrency" if kind == "batch" else "isl"
        if len({row[x] for row in table}) < 2:
            raise UsageError(f"a plot against {kind} needs several values of --{x}, such as 1,8,64")
        return plots.speed_against(table, x, series="series", title=title)
    if kind == "pareto":
        return plots.pareto(table, title=title)
    priced = [row for row in table if row["per_m_output"] is not None]
    if not priced:
        raise UsageError("a plot of cost needs a price; give one with --rent")
    return plots.cost_speed(priced, _list_prices(rows, currency), title=title, currency=currency)


def _names(rows: list[dict[str, Any]], varied: dict[str, list[Any]], kind: str) -> list[str]:
    """What tells one line or bar from another: chip, model, and inputs that vary and are not on the axis."""
    axis = {"batch": "concurrency", "context": "isl", "cost": "concurrency", "pareto": "concurrency"}.get(kind)
    moving = [name for name in varied if len(varied[name]) > 1 and name != axis]
    rooms = {"isl": "workload", "osl": "workload", "concurrency": "workload"}
    several = {key: len({row[key] for row in rows}) > 1 for key in ("chip", "model")}
    made = []
    for row in rows:
        parts = [str(row[key]) for key in ("chip", "model") if several[key]]
        for name in moving:
            value = row.get(f"{rooms.get(name, 'deployment')}.{name}")
            parts.append(str(value) if name in ("weights", "kv", "engine") else f"{name} {value:,}")
        made.append(" ".join(parts) or str(row["chip"]))
    return made


def _title(rows: list[dict[str, Any]]) -> str:
    models = sorted({str(row["model"]) for row in rows})
    lengths = {(row["workload.isl"], row["workload.osl"]) for row in rows}
    title = ", ".join(models) if len(models) < 4 else f"{len(models)} models"
    if len(lengths) == 1:
        isl, osl = next(iter(lengths))
        title += f", {isl:,} tokens in, {osl:,} out"
    return title


def _terms(found: list[dict[str, Any]], rows: list[dict[str, Any]], names: list[str], title: str) -> Any:
    from ...report.plots import stacked_terms

    if len(rows) > MOST_BARS:
        raise UsageError(f"{len(rows)} bars are too many for a plot of terms; compare at most {MOST_BARS} cases")
    by_command = {answer["command"]: answer for answer in found if answer.get("terms")}
    made = []
    for row, name in zip(rows, names, strict=True):
        answer = by_command.get(row["command"])
        for term in answer["terms"] if answer else []:
            made.append({"case": name, "name": term["name"], "seconds": term["seconds"]})
    return stacked_terms(made, title=title)


def _list_prices(rows: list[dict[str, Any]], currency: str) -> list[dict[str, Any]]:
    """What sellers ask for the model's output tokens, one mark a seller; empty where no list price is
    known.
    """
    models = {str(row["model"]) for row in rows}
    if len(models) != 1:
        return []
    from ...errors import TokcalcError
    from ...money.list_prices import api_prices

    try:
        found = api_prices(next(iter(models)), currency=currency)
    except TokcalcError:
        return []
    sellers: dict[str, float] = {}
    for quote in found:
        sellers[quote.provider] = min(quote.output, sellers.get(quote.provider, quote.output))
    by_price = sorted(sellers.items(), key=lambda item: item[1])
    step = max(1, -(-len(by_price) // MOST_PRICES))
    return [{"name": name, "per_m_output": price} for name, price in by_price[::step]]
