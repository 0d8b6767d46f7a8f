"""What the model said beside what was measured: a panel a unit, a mark a row, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import NoAnswer, UsageError
from .save import save
from .theme import COLOURS, altair

if TYPE_CHECKING:
    import pandas as pd

BAND, SIZE = 0.2, 360
ENDINGS = (".svg", ".png", ".html")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
PANELS = {
    "tok/s": ("speed", "tokens/s"),
    "ms": ("time", "ms"),
    "J/token": ("energy", "J per output token"),
    "USD/M tokens": ("price", "USD per million tokens"),
}
_TEXTS = ("id", "chip", "model", "regime", "metric")


def save_plot(judged: pd.DataFrame, units: Mapping[str, str], path: str | Path) -> None:
    """Draw the predicted rows to a .svg, .png or .html file that needs nothing else to be shown.

    units: the unit of each metric. Raises UsageError for another ending or when altair is missing, NoAnswer
    when no row is predicted.
    """
    check_ending(path)
    done = judged[judged["predicted"].notna()]
    if done.empty:
        raise NoAnswer("there is nothing to plot: no row could be predicted")
    save(_chart(done, units), path)


def check_ending(path: str | Path) -> None:
    """UsageError unless the path has an ending that a plot can have."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise UsageError(f"--plot {path} has no ending that plots have; use {', '.join(ENDINGS)}")


def _chart(done: pd.DataFrame, units: Mapping[str, str]) -> Any:
    alt = altair()
    table = _points(done, units)
    families = list(table["family"].value_counts().index)
    places = range(len(families))
    looks = {
        "color": alt.Scale(domain=families, range=[COLOURS[i % len(COLOURS)] for i in places]),
        "shape": alt.Scale(domain=families, range=[SHAPES[i // len(COLOURS) % len(SHAPES)] for i in places]),
    }
    kinds = {"color": alt.Color, "shape": alt.Shape}
    marks = {
        name: kinds[name]("family:N", scale=scale, title="chip family", legend=alt.Legend(symbolLimit=0))
        for name, scale in looks.items()
    }
    panels = [
        _panel(table[table["unit"] == unit], *named, marks)
        for unit, named in PANELS.items()
        if (table["unit"] == unit).any()
    ]
    median = (done["ratio"] - 1).abs().median()
    title = alt.TitleParams(
        f"Predicted against measured: {len(done)} points, median error {median:.1%}",
        subtitle=f"line: equal; band: within {BAND:.0%}; both axes logarithmic",
    )
    shared = alt.concat(*panels, columns=2).resolve_scale(color="shared", shape="shared")
    return shared.properties(title=title).configure_view(strokeOpacity=0.4)


def _points(done: pd.DataFrame, units: Mapping[str, str]) -> pd.DataFrame:
    """What is drawn of the rows: names as texts, times in milliseconds."""
    unit = done["metric"].map(units)
    scale = unit.map(lambda name: 1000.0 if name == "s" else 1.0)
    family = done["family"] if "family" in done else done["chip"]
    return (
        done[list(_TEXTS)]
        .astype(str)
        .assign(
            family=family.astype(str),
            unit=unit.replace("s", "ms"),
            measured=done["value"] * scale,
            predicted=done["predicted"] * scale,
        )
    )


def _panel(table: pd.DataFrame, quantity: str, unit: str, marks: Mapping[str, Any]) -> Any:
    import pandas as pd

    alt = altair()
    both = pd.concat([table["measured"], table["predicted"]])
    ends = [both.min() / 1.5, both.max() * 1.5]
    axis = alt.Scale(type="log", domain=ends, nice=False)
    edges = {"measured": 1.0, "predicted": 1.0, "below": 1 - BAND, "above": 1 + BAND}
    line = alt.Chart(pd.DataFrame({name: [end * factor for end in ends] for name, factor in edges.items()}))
    x = alt.X("measured:Q", scale=axis, title=f"measured {quantity} ({unit})")
    y = alt.Y("predicted:Q", scale=axis, title=f"predicted {quantity} ({unit})")
    band = line.mark_area(opacity=0.15, color="#666666", clip=True)
    band = band.encode(x=x, y=alt.Y("below:Q", scale=axis), y2="above:Q")
    equal = line.mark_line(color="#666666", strokeDash=[4, 3]).encode(x=x, y=y)
    tip = [*_TEXTS, "measured", "predicted"]
    dots = alt.Chart(table).mark_point(filled=True, size=45, opacity=0.8)
    dots = dots.encode(x=x, y=alt.Y("predicted:Q", scale=axis), tooltip=tip, **marks)
    title = f"{quantity.capitalize()} ({unit})"
    return (band + equal + dots).properties(width=SIZE, height=SIZE, title=title)
