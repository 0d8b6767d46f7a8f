"""Where the time of a step goes, as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .labels import text_width
from .scales import LABELS
from .theme import COLOURS, INK, WIDTH, altair, data, finish, read

BAR, MOST_TERMS = 30, 8
# Dark fills take white text, light ones dark text.
LIGHT = {"#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#BBBBBB", "#009E73"}
OTHER, OTHER_COLOUR = "other", "#BBBBBB"


def stacked_terms(
    rows: Any,
    *,
    case: str = "case",
    term: str = "name",
    value: str = "seconds",
    title: str | None = None,
    subtitle: str | None = None,
    x_title: str | None = None,
) -> Any:
    """One bar a case, its terms one after another, named inside where there is room, else in the key.

    rows: columns `case` (may be missing when there is one), `name` (the term) and `seconds`. The largest
    seven terms keep their name, the others are summed as "other".
    """
    alt = altair()
    found = [(row[case], row[term], row[value]) for row in read(rows, (value,), (case, term)) if row[value] > 0]
    totals: dict[str, float] = {}
    for _, name, seconds in found:
        totals[name] = totals.get(name, 0.0) + seconds
    ordered = sorted(totals, key=lambda name: -totals[name])
    kept = ordered if len(ordered) <= MOST_TERMS else ordered[: MOST_TERMS - 1]
    cases = list(dict.fromkeys(name for name, _, _ in found))
    names = [*(name for name in kept if name != OTHER), *([OTHER] if len(kept) < len(ordered) or OTHER in kept else [])]
    segments = _segments(found, cases, names)
    longest = max((row["x1"] for row in segments), default=1.0)
    fills = [OTHER_COLOUR if name == OTHER else COLOURS[place] for place, name in enumerate(names)]
    unit, scale = ("ms", 1e3) if longest < 10 else ("s", 1.0)
    for row in segments:
        row.update(x0=row["x0"] * scale, x1=row["x1"] * scale, width=row["width"] * scale)
    longest *= scale
    x = alt.X(
        "x0:Q",
        title=x_title or f"time of one step ({unit})",
        scale=alt.Scale(domain=[0, longest * 1.1]),
        axis=alt.Axis(grid=False, tickCount=8, labelExpr=LABELS),
    )
    y = alt.Y("case:N", sort=cases, title=None, axis=alt.Axis(domain=False, ticks=False, labelPadding=8))
    colour = alt.Color(
        "name:N",
        scale=alt.Scale(domain=names, range=fills),
        legend=alt.Legend(
            title=None, orient="bottom", columns=4, symbolType="square", labelLimit=150, labelFontSize=12
        ),
    )
    tip = ["case:N", "name:N", alt.Tooltip("width:Q", title=unit, format=".3~g"), alt.Tooltip("share:Q", format=".1%")]
    bars = alt.Chart(data(segments)).mark_bar(size=BAR, stroke="white", strokeWidth=1)
    layers = [bars.encode(x=x, x2="x1:Q", y=y, color=colour, tooltip=tip)]
    layers += _inside(segments, dict(zip(names, fills, strict=True)), WIDTH / (longest * 1.1), y)
    ends = [
        {"case": name, "x0": max(row["x1"] for row in segments if row["case"] == name), "label": ""} for name in cases
    ]
    for end in ends:
        end["label"] = f"{end['x0']:.3g} {unit}"
    whole = alt.Chart(data(ends)).mark_text(align="left", dx=5, baseline="middle", color=INK)
    layers.append(whole.encode(x=x, y=y, text="label:N"))
    return finish(alt.layer(*layers).properties(width=WIDTH, height=alt.Step(BAR + 16)), title, subtitle)


def _segments(
    found: Sequence[tuple[str, str, float]], cases: Sequence[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Start and end of every term in its bar, in the order of `names`; other terms are summed."""
    made = []
    for case in cases:
        parts = dict.fromkeys(names, 0.0)
        for _, name, seconds in (row for row in found if row[0] == case):
            parts[name if name in parts else OTHER] += seconds
        total, reached = sum(parts.values()), 0.0
        for name, seconds in parts.items():
            if seconds > 0:
                ahead = reached + seconds
                made.append({"case": case, "name": name, "x0": reached, "x1": ahead, "width": seconds,
                             "share": seconds / total})  # fmt: skip
                reached = ahead
    return made


def _inside(segments: Sequence[dict[str, Any]], fills: dict[str, str], pixels_per_unit: float, y: Any) -> list[Any]:
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
