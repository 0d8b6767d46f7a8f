"""Predicted against measured, log-log, coloured by chip family: one panel per unit, one self-contained file.

Stands after `validate`; draws with altair, which it imports only when a plot is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import NoAnswer, UsageError
from .measured import METRICS

if TYPE_CHECKING:
    import pandas as pd

BAND = 0.2
# Okabe and Ito's colours, told apart by all common kinds of colour vision; shapes carry the rest.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#B59F00")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
PANELS = {
    "tok/s": "Speed (tokens/s)",
    "ms": "Time (ms)",
    "J/token": "Energy (J per output token)",
    "USD/M tokens": "Price (USD per million tokens)",
}
ENDINGS = (".svg", ".png", ".html")
SIZE = 360


def save_plot(judged: pd.DataFrame, path: str | Path) -> None:
    """Draw the predicted rows to a .svg, .png or .html file that needs nothing else to be shown.

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
        raise UsageError(
            "plots need altair and vl-convert; install them with: pip install 'tokcalc[plot]'"
        ) from None
    chart = _chart(done)
    beside = path.with_name(f".{path.name}.part{path.suffix.lower()}")
    try:
        inline = {"inline": True} if path.suffix.lower() == ".html" else {}
        scale = {"scale_factor": 2} if path.suffix.lower() == ".png" else {}
        chart.save(str(beside), **inline, **scale)
        beside.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}; choose another path"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def check_ending(path: str | Path) -> None:
    """UsageError unless the path has an ending that a plot can have."""
    if Path(path).suffix.lower() not in ENDINGS:
        raise UsageError(f"--plot {path} has no ending that plots have; use {', '.join(ENDINGS)}")


def _chart(done: pd.DataFrame) -> Any:
    import altair as alt

    table = _points(done)
    families = list(table["family"].value_counts().index)
    colours = alt.Scale(domain=families, range=[COLOURS[i % len(COLOURS)] for i in range(len(families))])
    shapes = alt.Scale(
        domain=families, range=[SHAPES[i // len(COLOURS) % len(SHAPES)] for i in range(len(families))]
    )
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


def _points(done: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    unit = done["metric"].map(METRICS)
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
