"""Line plots: speed against batch, context or memory generation, and growth over the years."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from ...errors import UsageError
from ..rows import plain, records
from .labels import Room, end_labels, plot_width
from .scales import Axis, axis_for
from .theme import HEIGHT, altair, colour_scale, dash_scale, data, find, finish, finite, read, title_of

DAYS_PER_YEAR = 365.2425


def speed_against(
    rows: Any,
    x: str = "concurrency",
    y: str = "output_tok_s_user",
    *,
    series: str = "chip",
    title: str | None = None,
    x_title: str | None = None,
    y_title: str | None = None,
) -> Any:
    """A line per series, with its band where rows have `low` and `high`.

    rows: columns `x` (concurrency, batch, context, ...), `y`, `series`, and optionally `low`, `high` in the
    unit of y. Axes are logarithmic when the values span tenfold. Raises UsageError for missing columns.
    """
    found = _renamed(rows, x, y, series)
    return finish(_lines(found, x_title or title_of(x), y_title or title_of(y)), title)


def memory_generations(rows: Any, *, y: str = "output_tok_s_user", title: str | None = None) -> Any:
    """Speed with one memory generation after another, in the order in which the rows name them.

    rows: columns `memory` (hbm2e, hbm3, ...), y, `chip`, and optionally `low`, `high`.
    """
    raw = records(rows)
    key = (find(raw, "memory") if raw else None) or "memory"
    names = list(dict.fromkeys(str(row.get(key)) for row in raw))
    numbered = [{**row, key: names.index(str(row.get(key)))} for row in raw]
    found = _renamed(numbered, "memory", y, "chip")
    return finish(_lines(found, title_of("memory"), title_of(y), categories=names), title)


def growth(rows: Any, *, y_title: str = "value", title: str | None = None) -> Any:
    """Demand, price or another figure over time, a line per series; what is projected is dashed.

    rows: columns `year` (2025, 2025.5, "2025-06", a date), `value`, `series`, optionally `low`, `high`, and
    `projected` (true for values that are not observed). y_title: the figure with its unit.
    """
    raw = records(rows)
    key = (find(raw, "year") if raw else None) or "year"
    found = _renamed([{**row, key: year_of(row.get(key))} for row in raw], "year", "value", "series")
    return finish(_lines(found, "year", y_title, years=True), title)


def year_of(moment: Any) -> float | None:
    """A year with its fraction from 2025, "2025", "2025-07", "2025-07-01" or a date; else None."""
    moment = plain(moment)
    if finite(moment):
        return float(moment)
    if isinstance(moment, str):
        parts = moment.strip()[:10].split("-")
        try:
            numbers = [int(part) for part in parts]
            if len(numbers) == 1:
                return float(numbers[0])
            moment = date(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 1)
        except ValueError:
            return None
    if isinstance(moment, date | datetime):
        day = date(moment.year, moment.month, moment.day)
        return moment.year + (day - date(moment.year, 1, 1)).days / DAYS_PER_YEAR
    return None


def _renamed(rows: Any, x: str, y: str, series: str) -> list[dict[str, Any]]:
    """Rows with the columns x, y, s, low, high, projected, ordered along each series."""
    names = {x: "x", y: "y", series: "s"}
    if len(names) < 3:
        raise UsageError(f"cannot plot: {x!r}, {y!r} and {series!r} must be three different columns.")
    found = read(rows, (x, y), (series,), ("low", "high", "projected"))
    made = [{names.get(key, key): value for key, value in row.items()} for row in found]
    order = list(dict.fromkeys(row["s"] for row in made))
    return sorted(made, key=lambda row: (order.index(row["s"]), row["x"]))


def _lines(
    rows: Sequence[dict[str, Any]], x_title: str, y_title: str, *, years: bool = False, categories: Sequence[str] = ()
) -> Any:
    alt = altair()
    names = list(dict.fromkeys(row["s"] for row in rows))
    width = plot_width(names)
    banded = [row for row in rows if finite(row["low"]) and finite(row["high"])]
    heights = [row["y"] for row in rows] + [row[side] for row in banded for side in ("low", "high")]
    y_axis = axis_for(heights, HEIGHT, up=True, zero=True)
    shown: dict[str, Any] = {}
    if categories:
        x_axis = Axis(-0.4, len(categories) - 0.6, False, width)
        labels = f"{json.dumps(list(categories), ensure_ascii=False)}[datum.value]"
        shown = {"values": list(range(len(categories))), "grid": False, "labelExpr": labels}
    else:
        x_axis = axis_for([row["x"] for row in rows], width, log=False if years else None, margin=0.02)
        if years:
            whole = [tick for tick in x_axis.ticks() if tick == int(tick)]
            shown = {"values": whole or x_axis.ticks(), "labelExpr": "format(datum.value, '~f')"}
    at = {"x": x_axis.channel("x", x_title, **shown), "y": y_axis.channel("y", y_title)}
    at["color"] = alt.Color("s:N", scale=colour_scale(names), legend=None)
    layers = []
    if banded:
        band = {**at, "y": y_axis.channel("low", y_title), "y2": "high:Q"}
        layers.append(alt.Chart(data(banded)).mark_area(opacity=0.16).encode(**band))
    tip = [alt.Tooltip("s:N", title="series"), alt.Tooltip("x:Q", title=x_title), alt.Tooltip("y:Q", title=y_title)]
    for part, dashed in _parts(rows, names):
        dash: Any = alt.value([5, 4]) if dashed else alt.StrokeDash("s:N", scale=dash_scale(names), legend=None)
        line = alt.Chart(data(part)).mark_line(strokeWidth=2)
        layers.append(line.encode(**at, tooltip=tip, strokeDash=dash))
    dots = alt.Chart(data(rows)).mark_point(size=28, filled=True, opacity=1)
    layers.append(dots.encode(**at, tooltip=tip))
    last = {row["s"]: row for row in rows}
    ends = [{"y": last[name]["y"], "label": name, "s": name} for name in names if name]
    if ends:
        starts = [x_axis.pixel(last[end["s"]]["x"]) for end in ends]
        layers.append(end_labels(ends, Room(x_axis, y_axis, names), starts=starts))
    return alt.layer(*layers).properties(width=width, height=HEIGHT)


def _parts(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[tuple[list[dict[str, Any]], bool]]:
    """The observed rows, then the projected ones from the last observed point on, to join the lines."""
    observed = [row for row in rows if not row["projected"]]
    projected = []
    for name in names:
        ahead = [row for row in rows if row["s"] == name and row["projected"]]
        before = [row for row in observed if row["s"] == name]
        projected += [*before[-1:], *ahead] if ahead else []
    return [part for part in ((observed, False), (projected, True)) if part[0]]
