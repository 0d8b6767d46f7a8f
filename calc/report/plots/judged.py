"""What the model said beside what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import NoAnswer, UsageError
from .scales import axis_for
from .theme import COLOURS, GREY, altair, data, finish, read

if TYPE_CHECKING:
    import pandas as pd

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
            guides = [_guide(ends, factor, x, y, x_axis.low, x_axis.high) for factor in (1.0, FACTOR, 1 / FACTOR)]
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


BAND = 0.2


SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


PANELS = {
    "tok/s": "Speed (tokens/s)",
    "ms": "Time (ms)",
    "J/token": "Energy (J per output token)",
    "USD/M tokens": "Price (USD per million tokens)",
}


ENDINGS = (".svg", ".png", ".html")


SIZE = 360


def save_plot(judged: pd.DataFrame, units: Mapping[str, str], path: str | Path) -> None:
    """Draw the predicted rows to a .svg, .png or .html file that needs nothing else to be shown.

    units: the unit of each metric.

    Raises UsageError for another ending or when altair is missing, NoAnswer when no row is predicted.
    """
    check_ending(path)
    path = Path(path)
    done = judged[judged["predicted"].notna()]
    if done.empty:
        raise NoAnswer("there is nothing to plot: no row could be predicted")
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError:
        raise UsageError("plots need altair and vl-convert; install them with: pip install 'tokcalc[plot]'") from None
    chart = _chart(done, units)
    beside = path.with_name(f".{path.name}.part{path.suffix.lower()}")
    try:
        inline = {"inline": True} if path.suffix.lower() == ".html" else {}
        scale = {"scale_factor": 2} if path.suffix.lower() == ".png" else {}
        chart.save(str(beside), **inline, **scale)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}; choose another path") from None
    finally:
        beside.unlink(missing_ok=True)


def check_ending(path: str | Path) -> None:
    """UsageError unless the path has an ending that a plot can have."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise UsageError(f"--plot {path} has no ending that plots have; use {', '.join(ENDINGS)}")


def _chart(done: pd.DataFrame, units: Mapping[str, str]) -> Any:
    import altair as alt

    table = _points(done, units)
    families = list(table["family"].value_counts().index)
    colours = alt.Scale(domain=families, range=[COLOURS[i % len(COLOURS)] for i in range(len(families))])
    shapes = alt.Scale(domain=families, range=[SHAPES[i // len(COLOURS) % len(SHAPES)] for i in range(len(families))])
    panels = [
        _panel(table[table["unit"] == unit], title, colours, shapes)
        for unit, title in PANELS.items()
        if (table["unit"] == unit).any()
    ]
    median = (done["ratio"] - 1).abs().median()
    return (
        alt.concat(*panels, columns=2)
        .resolve_scale(color="shared", shape="shared")
        .properties(
            title=alt.TitleParams(
                f"Predicted against measured: {len(done)} points, median error {median:.1%}",
                subtitle=f"line: equal; band: within {BAND:.0%}; both axes logarithmic",
            )
        )
        .configure_view(strokeOpacity=0.4)
    )


def _points(done: pd.DataFrame, units: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    unit = done["metric"].map(units)
    scale = unit.map(lambda name: 1000.0 if name == "s" else 1.0)
    family = done["family"] if "family" in done else done["chip"]
    return pd.DataFrame(
        {
            "id": done["id"].astype(str),
            "chip": done["chip"].astype(str),
            "model": done["model"].astype(str),
            "regime": done["regime"].astype(str),
            "metric": done["metric"].astype(str),
            "family": family.astype(str),
            "unit": unit.replace("s", "ms"),
            "measured": done["value"] * scale,
            "predicted": done["predicted"] * scale,
        }
    )


def _panel(table: pd.DataFrame, title: str, colours: Any, shapes: Any) -> Any:
    import altair as alt
    import pandas as pd

    values = pd.concat([table["measured"], table["predicted"]])
    low, high = values.min() / 1.5, values.max() * 1.5
    domain = [low, high]
    axis = alt.Scale(type="log", domain=domain, nice=False)
    line = pd.DataFrame(
        {
            "measured": [low, high],
            "predicted": [low, high],
            "below": [low * (1 - BAND), high * (1 - BAND)],
            "above": [low * (1 + BAND), high * (1 + BAND)],
        }
    )
    quantity, unit = title.rstrip(")").split(" (")
    x = alt.X("measured:Q", scale=axis, title=f"measured {quantity.lower()} ({unit})")
    band = (
        alt.Chart(line)
        .mark_area(opacity=0.15, color="#666666", clip=True)
        .encode(x=x, y=alt.Y("below:Q", scale=axis), y2="above:Q")
    )
    equal = (
        alt.Chart(line)
        .mark_line(color="#666666", strokeDash=[4, 3])
        .encode(x=x, y=alt.Y("predicted:Q", scale=axis, title=f"predicted {quantity.lower()} ({unit})"))
    )
    dots = (
        alt.Chart(table)
        .mark_point(filled=True, size=45, opacity=0.8)
        .encode(
            x=x,
            y=alt.Y("predicted:Q", scale=axis),
            color=alt.Color("family:N", scale=colours, title="chip family", legend=alt.Legend(symbolLimit=0)),
            shape=alt.Shape("family:N", scale=shapes, title="chip family", legend=alt.Legend(symbolLimit=0)),
            tooltip=["id", "chip", "model", "regime", "metric", "measured", "predicted"],
        )
    )
    return (band + equal + dots).properties(width=SIZE, height=SIZE, title=title)
