"""Choices to weigh: Pareto fronts of speed against throughput and cost, and cost beside list prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .labels import Box, along, end_labels, line_names, placed_labels, plot_width
from .scales import axis_for
from .theme import GREY, HEIGHT, LEFT, PAGE, altair, colour_scale, data, finish, read, title_of

# More points than this are thinned outside the front: a page shows no more, and the file stays small.
MOST_POINTS = 3000
# Pixels to the right of the plot for labels of its fastest points.
ROOM = 110


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


def pareto(
    rows: Any,
    x: str = "output_tok_s_user",
    y: str = "output_tok_s_chip",
    *,
    series: str = "chip",
    label: str = "label",
    better: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    x_title: str | None = None,
    y_title: str | None = None,
    currency: str = "USD",
) -> Any:
    """Every deployment as a faint point, the front of each series as a line with names where there is room.

    rows: columns `output_tok_s_user`, `y` (`output_tok_s_chip`, `per_m_output`, ...), `chip`, and `label`
    for the deployment ("TP8 b64"). better: "higher" or "lower" y; costs and times are better lower by
    default.
    """
    titles = x_title or title_of(x, currency), y_title or title_of(y, currency)
    return finish(_fronts(_named(rows, x, y, series, label), titles, better or _aim(y)), title, subtitle)


def pareto_pair(
    rows: Any,
    x: str = "output_tok_s_user",
    y: str = "output_tok_s_chip",
    cost: str = "per_m_output",
    *,
    series: str = "chip",
    label: str = "label",
    title: str | None = None,
    subtitle: str | None = None,
    currency: str = "USD",
) -> Any:
    """Two plots, one below the other: throughput per chip and cost against speed per user.

    rows: columns as for `pareto`, with both `output_tok_s_chip` and `per_m_output`.
    """
    parts = [
        _fronts(
            _named(rows, x, column, series, label),
            (title_of(x, currency), title_of(column, currency)),
            _aim(column),
            height=round(HEIGHT * 0.8),
        )
        for column in (y, cost)
    ]
    return finish(altair().vconcat(*parts, spacing=24), title, subtitle)


def cost_speed(
    rows: Any,
    references: Any = (),
    *,
    x: str = "output_tok_s_user",
    y: str = "per_m_output",
    series: str = "chip",
    label: str = "label",
    title: str | None = None,
    subtitle: str | None = None,
    y_title: str | None = None,
    currency: str = "USD",
) -> Any:
    """The cheapest million tokens at each speed per user, a line per chip, beside what sellers ask.

    rows: columns `output_tok_s_user`, `per_m_output`, `chip`. references: rows with `name`, `per_m_output`
    and, when the seller states one, `output_tok_s_user`: a diamond; without a speed, a dashed line across
    the plot.
    """
    prices = []
    if len(references):
        found = read(references, (y,), ("name",), (x,))
        prices = [{"x": row[x], "y": row[y], "label": row["name"], "s": ""} for row in found]
    titles = title_of(x, currency), y_title or title_of(y, currency)
    return finish(_fronts(_named(rows, x, y, series, label), titles, "lower", prices=prices), title, subtitle)


def _aim(y: str) -> str:
    """Costs, prices and times are better lower, rates higher."""
    lower = any(part in y for part in ("per_m_", "cost", "price", "joule", "ttft", "tpot"))
    return "lower" if lower else "higher"


def _named(rows: Any, x: str, y: str, series: str, label: str) -> list[dict[str, Any]]:
    return [
        {"x": row[x], "y": row[y], "s": row[series], "label": row[label]} for row in read(rows, (x, y), (series, label))
    ]


def _fronts(
    found: Sequence[dict[str, Any]],
    titles: tuple[str, str],
    aim: str,
    *,
    height: int = HEIGHT,
    prices: Sequence[dict[str, Any]] = (),
) -> Any:
    """The plot of all three: points and fronts of each series, and list prices where there are any."""
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
    x, y = x_axis.channel("x", titles[0]), y_axis.channel("y", titles[1])
    colour = alt.Color("s:N", scale=colour_scale(names), legend=None)
    tip = [
        alt.Tooltip("s:N", title="series"), alt.Tooltip("label:N", title="deployment"),
        *(alt.Tooltip(f"{side}:Q", title=titles[side == "y"], format=".4~s") for side in "xy"),
    ]  # fmt: skip
    best = [row for line in lines.values() for row in line]
    step = -(-len(found) // MOST_POINTS)
    layers = []
    if flat:
        layers.append(alt.Chart(data(flat)).mark_rule(color=GREY, strokeDash=[5, 3]).encode(y=y))
    cloud = alt.Chart(data(found[::step])).mark_point(filled=True, size=16, opacity=0.28)
    line = alt.Chart(data(best)).mark_line(strokeWidth=2)
    dots = alt.Chart(data(best)).mark_point(filled=True, size=44, opacity=1, stroke="white", strokeWidth=0.8)
    layers += [
        cloud.encode(x=x, y=y, color=colour, tooltip=tip),
        line.encode(x=x, y=y, color=colour, order="x:Q"),
        dots.encode(x=x, y=y, color=colour, tooltip=tip),
    ]
    if timed:
        diamonds = alt.Chart(data(timed)).mark_point(shape="diamond", size=90, color="black", fill="white")
        layers.append(diamonds.encode(x=x, y=y, tooltip=tip[1:]))
    if flat:
        layers.append(end_labels(flat, x_axis, y_axis, names))
    avoid = [pixel for line in lines.values() for pixel in along(line, x_axis, y_axis)]
    avoid += [(x_axis.pixel(row["x"]), y_axis.pixel(row["y"])) for row in timed]
    for row in flat:
        avoid += [(across, y_axis.pixel(row["y"])) for across in range(0, round(width), 6)]
    taken: list[Box] = []
    beyond = 8.0 if flat else float(ROOM - 12)
    layers += placed_labels(timed, x_axis, y_axis, names, avoid=avoid, taken=taken, beyond=beyond)
    called = {name: line for name, line in lines.items() if name}
    layers += line_names(called, x_axis, y_axis, names, avoid=avoid, taken=taken, beyond=beyond)
    wanted = [row for line in lines.values() for row in line[:: -max(1, -(-len(line) // 6))] if row["label"]]
    layers += placed_labels(wanted, x_axis, y_axis, names, avoid=avoid, taken=taken, beyond=beyond)
    return alt.layer(*layers).properties(width=width, height=height)
