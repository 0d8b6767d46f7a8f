"""Choices to weigh: Pareto fronts of speed against throughput and cost, and cost beside list prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .labels import Room, end_labels, plot_width
from .scales import axis_for
from .theme import GREY, HEIGHT, LEFT, PAGE, altair, colour_scale, data, finish, read, title_of

# More points than this are thinned outside the front: a page shows no more, and the file stays small.
MOST_POINTS = 3000
# Pixels to the right of the plot for labels of its fastest points.
ROOM = 110
SPEED = "output_tok_s_user"
LOWER = ("per_m_", "cost", "price", "joule", "ttft", "tpot")  # what is better lower: costs, prices and times


def front(xs: Sequence[float], ys: Sequence[float], *, better: str = "higher") -> list[int]:
    """Places of the points that no other beats: a higher x is better, and a higher (or lower) y.

    Ordered by x. Of equal points the first counts.
    """
    sign = 1.0 if better == "higher" else -1.0
    order = sorted(range(len(xs)), key=lambda place: (-xs[place], -sign * ys[place], place))
    kept, best = [], float("-inf")
    for place in order:
        if sign * ys[place] > best:
            best = sign * ys[place]
            kept.append(place)
    return kept[::-1]


def pareto(rows: Any, y: str = "output_tok_s_chip", *, title: str | None = None, currency: str = "USD") -> Any:
    """Every deployment as a faint point, the front of each chip as a line with names where there is room.

    rows: columns `output_tok_s_user`, y (`output_tok_s_chip`, `per_m_output`, ...), `chip`, and `label` for the
    deployment ("TP8 b64"). Costs and times are better lower.
    """
    return finish(_fronts(_named(rows, y), y, currency), title)


def pareto_pair(rows: Any, cost: str = "per_m_output", *, title: str | None = None, currency: str = "USD") -> Any:
    """Two plots, one below the other: throughput per chip and cost against speed per user.

    rows: columns as for `pareto`, with both `output_tok_s_chip` and the cost.
    """
    height = round(HEIGHT * 0.8)
    parts = [_fronts(_named(rows, y), y, currency, height=height) for y in ("output_tok_s_chip", cost)]
    return finish(altair().vconcat(*parts, spacing=24), title)


def cost_speed(rows: Any, references: Any = (), *, title: str | None = None, currency: str = "USD") -> Any:
    """The cheapest million tokens at each speed per user, a line per chip, beside what sellers ask.

    rows: columns `output_tok_s_user`, `per_m_output`, `chip`. references: rows with `name`, `per_m_output`
    and, when the seller states one, `output_tok_s_user`: a diamond; without a speed, a dashed line across
    the plot.
    """
    y, prices = "per_m_output", []
    if len(references):
        found = read(references, (y,), ("name",), (SPEED,))
        prices = [{"x": row[SPEED], "y": row[y], "label": row["name"], "s": ""} for row in found]
    return finish(_fronts(_named(rows, y), y, currency, prices=prices), title)


def _named(rows: Any, y: str) -> list[dict[str, Any]]:
    found = read(rows, (SPEED, y), ("chip", "label"))
    return [{"x": row[SPEED], "y": row[y], "s": row["chip"], "label": row["label"]} for row in found]


def _fronts(
    found: Sequence[dict[str, Any]],
    y: str,
    currency: str,
    *,
    height: int = HEIGHT,
    prices: Sequence[dict[str, Any]] = (),
) -> Any:
    """The plot of all three: points and fronts of each series, and list prices where there are any."""
    titles = title_of(SPEED, currency), title_of(y, currency)
    aim = "lower" if any(part in y for part in LOWER) else "higher"
    alt = altair()
    names = list(dict.fromkeys(row["s"] for row in found))
    lines = {}
    for name in names:
        own = [row for row in found if row["s"] == name]
        lines[name] = [own[place] for place in front([r["x"] for r in own], [r["y"] for r in own], better=aim)]
    timed = [row for row in prices if row["x"] is not None]
    flat = [row for row in prices if row["x"] is None]
    width = plot_width([row["label"] for row in flat]) if flat else PAGE - LEFT - ROOM
    x_axis = axis_for([row["x"] for row in (*found, *timed)], width)
    y_axis = axis_for([row["y"] for row in (*found, *prices)], height, up=True)
    at = {"x": x_axis.channel("x", titles[0]), "y": y_axis.channel("y", titles[1])}
    colour = alt.Color("s:N", scale=colour_scale(names), legend=None)
    tip = [alt.Tooltip("s:N", title="series"), alt.Tooltip("label:N", title="deployment")]
    tip += [alt.Tooltip(f"{side}:Q", title=title, format=".4~s") for side, title in zip("xy", titles, strict=True)]
    best = [row for line in lines.values() for row in line]
    step = -(-len(found) // MOST_POINTS)
    layers = []
    if flat:
        layers.append(alt.Chart(data(flat)).mark_rule(color=GREY, strokeDash=[5, 3]).encode(y=at["y"]))
    cloud = alt.Chart(data(found[::step])).mark_point(filled=True, size=16, opacity=0.28)
    line = alt.Chart(data(best)).mark_line(strokeWidth=2)
    dots = alt.Chart(data(best)).mark_point(filled=True, size=44, opacity=1, stroke="white", strokeWidth=0.8)
    layers += [
        cloud.encode(**at, color=colour, tooltip=tip),
        line.encode(**at, color=colour, order="x:Q"),
        dots.encode(**at, color=colour, tooltip=tip),
    ]
    if timed:
        diamonds = alt.Chart(data(timed)).mark_point(shape="diamond", size=90, color="black", fill="white")
        layers.append(diamonds.encode(**at, tooltip=tip[1:]))
    room = Room(x_axis, y_axis, names, beyond=8.0 if flat else float(ROOM - 12))
    if flat:
        layers.append(end_labels(flat, room))
    for shown in lines.values():
        room.keep_off(shown, along=True)
    room.keep_off(timed)
    for row in flat:
        room.avoid += [(across, y_axis.pixel(row["y"])) for across in range(0, round(width), 6)]
    layers += room.label(timed)
    layers += room.name({name: shown for name, shown in lines.items() if name})
    layers += room.label(
        [row for shown in lines.values() for row in shown[:: -max(1, -(-len(shown) // 6))] if row["label"]]
    )
    return alt.layer(*layers).properties(width=width, height=height)
