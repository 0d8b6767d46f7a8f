"""Where the time of a step goes, as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .labels import text_width
from .scales import LABELS
from .theme import COLOURS, INK, WIDTH, altair, data, finish, read

BAR, MOST_TERMS = 30, 8
# Dark fills take white text, light ones dark text.
LIGHT = {"#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#BBBBBB", "#009E73"}
OTHER, OTHER_COLOUR = "other", "#BBBBBB"
Row = dict[str, Any]


def stacked_terms(rows: Any, *, title: str | None = None) -> Any:
    """One bar a case, its terms one after another, named inside where there is room, else in the key.

    rows: columns `case` (may be missing when there is one), `name` (the term) and `seconds`. The largest
    seven terms keep their name, the others are summed as "other".
    """
    alt = altair()
    found = [row for row in read(rows, ("seconds",), ("case", "name")) if row["seconds"] > 0]
    totals: dict[str, float] = {}
    for row in found:
        totals[row["name"]] = totals.get(row["name"], 0.0) + row["seconds"]
    ordered = sorted(totals, key=lambda name: -totals[name])
    kept = ordered if len(ordered) <= MOST_TERMS else ordered[: MOST_TERMS - 1]
    cases = list(dict.fromkeys(row["case"] for row in found))
    names = [*(name for name in kept if name != OTHER), *([OTHER] if len(kept) < len(ordered) or OTHER in kept else [])]
    longest = max((sum(row["seconds"] for row in found if row["case"] == case) for case in cases), default=1.0)
    unit, scale = ("ms", 1e3) if longest < 10 else ("s", 1.0)
    segments = [row for case in cases for row in _segments(found, case, names, scale)]
    ends = {row["case"]: row["x1"] for row in segments}
    longest = max(ends.values(), default=scale)
    fills = {name: OTHER_COLOUR if name == OTHER else COLOURS[place] for place, name in enumerate(names)}
    x = alt.X(
        "x0:Q",
        title=f"time of one step ({unit})",
        scale=alt.Scale(domain=[0, longest * 1.1]),
        axis=alt.Axis(grid=False, tickCount=8, labelExpr=LABELS),
    )
    y = alt.Y("case:N", sort=cases, title=None, axis=alt.Axis(domain=False, ticks=False, labelPadding=8))
    key = {"orient": "bottom", "columns": 4, "symbolType": "square", "labelLimit": 150, "labelFontSize": 12}
    colours = alt.Scale(domain=list(fills), range=list(fills.values()))
    colour = alt.Color("name:N", scale=colours, legend=alt.Legend(title=None, **key))
    tip = ["case:N", "name:N", alt.Tooltip("width:Q", title=unit, format=".3~g"), alt.Tooltip("share:Q", format=".1%")]
    bars = alt.Chart(data(segments)).mark_bar(size=BAR, stroke="white", strokeWidth=1)
    whole = [{"case": case, "x0": end, "label": f"{end:.3g} {unit}"} for case, end in ends.items()]
    sums = alt.Chart(data(whole)).mark_text(align="left", dx=5, baseline="middle", color=INK)
    layers = [
        bars.encode(x=x, x2="x1:Q", y=y, color=colour, tooltip=tip),
        *_inside(segments, fills, WIDTH / (longest * 1.1), y),
        sums.encode(x=x, y=y, text="label:N"),
    ]
    return finish(alt.layer(*layers).properties(width=WIDTH, height=alt.Step(BAR + 16)), title)


def _segments(found: Sequence[Row], case: str, names: Sequence[str], scale: float) -> list[Row]:
    """Start and end of every term in a bar, in the order of `names`; other terms are summed."""
    parts = dict.fromkeys(names, 0.0)
    for row in found:
        if row["case"] == case:
            parts[row["name"] if row["name"] in parts else OTHER] += row["seconds"]
    total, reached, made = sum(parts.values()), 0.0, []
    for name, seconds in parts.items():
        if seconds > 0:
            ends = {"x0": reached * scale, "x1": (reached + seconds) * scale}
            made.append({"case": case, "name": name, **ends, "width": seconds * scale, "share": seconds / total})
            reached += seconds
    return made


def _inside(segments: Sequence[Row], fills: Mapping[str, str], pixels_per_unit: float, y: Any) -> list[Any]:
    """Name and share inside the segments that are wide enough, the share alone in narrower ones."""
    alt = altair()
    rows = []
    for row in segments:
        share = f"{100 * row['share']:.0f} %"
        room = row["width"] * pixels_per_unit - 8
        text = next((text for text in (f"{row['name']} {share}", share) if text_width(text) <= room), None)
        if text is not None:
            tone = INK if fills[row["name"]] in LIGHT else "white"
            rows.append({"case": row["case"], "x0": (row["x0"] + row["x1"]) / 2, "label": text, "tone": tone})
    if not rows:
        return []
    marks = alt.Chart(data(rows)).mark_text(baseline="middle", align="center")
    tone_scale = alt.Color("tone:N", scale=None, legend=None)
    return [marks.encode(x="x0:Q", y=y, text="label:N", color=tone_scale)]
