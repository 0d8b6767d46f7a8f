"""What the model said beside what was measured."""

from __future__ import annotations

import statistics
from typing import Any

from ...errors import UsageError
from .scales import axis_for
from .theme import COLOURS, GREY, altair, data, finish, read

PANEL, ACROSS = 190, 3
MOST_POINTS = 4000
FACTOR = 2.0


def predicted_measured(
    rows: Any,
    *,
    family: str = "family",
    measured: str = "measured",
    predicted: str = "predicted",
    title: str | None = None,
    subtitle: str | None = None,
    unit: str = "",
) -> Any:
    """Predicted against measured on logarithmic axes, a panel per family with its count and median error.

    rows: columns `measured`, `predicted` (both positive, of one unit, given as `unit`) and `family`. The
    solid line is agreement, the dashed ones a factor of two. The median error is that of
    |predicted/measured - 1|.
    """
    alt = altair()
    found = [
        {"x": row[measured], "y": row[predicted], "s": row[family]}
        for row in read(rows, (measured, predicted), (family,))
        if row[measured] > 0 and row[predicted] > 0
    ]
    if not found:
        raise UsageError("cannot plot: no positive pair of measured and predicted values.")
    names = sorted({row["s"] for row in found})
    both = [row[side] for row in found for side in ("x", "y")]
    named = f" ({unit})" if unit else ""
    x_axis, y_axis = axis_for(both, PANEL, log=True), axis_for(both, PANEL, log=True, up=True)
    ends = (x_axis.low, x_axis.high)
    step = -(-len(found) // MOST_POINTS)
    rows_of_panels = []
    for first in range(0, len(names), ACROSS):
        panels = []
        for place, name in enumerate(names[first : first + ACROSS]):
            own = [row for row in found if row["s"] == name]
            error = statistics.median(abs(row["y"] / row["x"] - 1) for row in own)
            below = first + place + ACROSS >= len(names)
            x = x_axis.channel("x", f"measured{named}" if below else "", labels=below)
            y = y_axis.channel("y", f"predicted{named}" if place == 0 else "", labels=place == 0)
            guides = [
                _guide(ends, factor, x, y, x_axis.low, x_axis.high) for factor in (1.0, FACTOR, 1 / FACTOR)
            ]
            dots = alt.Chart(data(own[::step])).mark_circle(size=22, opacity=0.45, color=COLOURS[0])
            dots = dots.encode(x=x, y=y, tooltip=["s:N", "x:Q", "y:Q"])
            heading = alt.TitleParams(
                text=name or "all", subtitle=f"{len(own):,} rows, median error {100 * error:.0f} %",
                fontSize=12, subtitleFontSize=11, subtitleColor=GREY, anchor="start", frame="group",
            )  # fmt: skip
            panels.append(alt.layer(*guides, dots).properties(width=PANEL, height=PANEL, title=heading))
        rows_of_panels.append(alt.hconcat(*panels, spacing=12))
    return finish(alt.vconcat(*rows_of_panels, spacing=14), title, subtitle)


def _guide(ends: tuple[float, float], factor: float, x: Any, y: Any, low: float, high: float) -> Any:
    """The line predicted = factor x measured within the panel."""
    inside = (max(ends[0], low / factor), min(ends[1], high / factor))
    points = [{"x": here, "y": here * factor} for here in inside]
    look: dict[str, Any] = {"color": GREY, "strokeWidth": 1}
    if factor != 1.0:
        look["strokeDash"] = [3, 3]
    return altair().Chart(data(points)).mark_line(**look).encode(x=x, y=y)
