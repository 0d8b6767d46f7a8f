"""A tornado: what each input does to a figure between its low and its high end, the largest swing on top."""

from __future__ import annotations

from typing import Any

from .scales import LABELS
from .theme import COLOURS, GREY, WIDTH, altair, data, finish, read

BAR = 20
LOW, HIGH = "input at its low end", "input at its high end"


def tornado(rows: Any, base: float, *, x_title: str, title: str | None = None) -> Any:
    """Bars from `base` to `at_low` and `at_high`, a row of `name` each, in the order of the rows.

    rows: columns `name`, `at_low`, `at_high` (in the unit of x_title), optionally `low_text`, `high_text`.
    """
    alt = altair()
    found = read(rows, ("at_low", "at_high"), ("name", "low_text", "high_text"))
    names = [row["name"] for row in found]
    bars = [
        {"name": row["name"], "from": base, "to": row[key], "end": end, "text": row[text]}
        for row in found
        for key, end, text in (("at_low", LOW, "low_text"), ("at_high", HIGH, "high_text"))
    ]
    for near, far in zip(bars[::2], bars[1::2], strict=True):
        if (near["to"] - base) * (far["to"] - base) >= 0:  # both on one side: the longer bar keeps its text
            min((near, far), key=lambda bar: abs(bar["to"] - base))["text"] = ""
    values = [*(bar["to"] for bar in bars), base]
    room = (max(values) - min(values)) * 0.12 or abs(base) * 0.1 or 1.0
    scale = alt.Scale(domain=[min(values) - room, max(values) + room], nice=False, zero=False)
    x = alt.X("to:Q", title=x_title, scale=scale, axis=alt.Axis(tickCount=6, labelExpr=LABELS))
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(domain=False, ticks=False, labelLimit=260))
    colour = alt.Color(
        "end:N",
        scale=alt.Scale(domain=[LOW, HIGH], range=[COLOURS[5], COLOURS[1]]),
        legend=alt.Legend(title=None, orient="bottom", labelLimit=240),
    )
    tip = ["name:N", "end:N", "text:N", alt.Tooltip("to:Q", title=x_title, format=".4~g")]
    drawn = alt.Chart(data(bars)).mark_bar(size=BAR).encode(x=x, x2="from:Q", y=y, color=colour, tooltip=tip)
    line = alt.Chart(data([{"to": base}])).mark_rule(color=GREY).encode(x=x)
    texts = []
    for side, align, dx in (("up", "left", 4), ("down", "right", -4)):
        rows_here = [bar for bar in bars if bar["text"] and (bar["to"] >= base) == (side == "up")]
        if rows_here:
            mark = alt.Chart(data(rows_here)).mark_text(align=align, dx=dx, baseline="middle", color=GREY)
            texts.append(mark.encode(x=x, y=y, text="text:N"))
    return finish(alt.layer(drawn, line, *texts).properties(width=WIDTH - 60, height=alt.Step(BAR + 10)), title)
