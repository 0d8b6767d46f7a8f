"""The roofline: what a chip can do at each arithmetic intensity, and where the operators of a model stand.

Source: Williams, Waterman, Patterson, Roofline, CACM 52 (2009), https://doi.org/10.1145/1498765.1498785
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..rows import records
from .labels import LINE, Room, end_labels, label_marks, plot_width, text_width
from .scales import Axis, axis_for
from .theme import HEIGHT, altair, colour_scale, data, find, finish, finite, read

ROOF_COLOUR = "#555555"


def roofline(chips: Any, points: Any = (), *, title: str | None = None, subtitle: str | None = None) -> Any:
    """Memory and compute roofs of one or several chips, with operators as points, on logarithmic axes.

    chips: rows with `chip`, `dtype`, `peak_ops_s`, `bandwidth_bytes_s`, one for each chip and data type.
    points: rows with `operator` and `intensity` (FLOP/byte), or `flops` and `bytes`; optionally `batch`
    (points of an operator are joined along it and numbered), `chip`, `dtype`, and either `ops_s` or
    `seconds` for the attained rate; without both a point stands on the roof of its chip and data type, by
    default those of the first row. Roofs of one chip are grey and operators coloured; with several chips
    the colour is the chip's.
    Raises UsageError for missing columns.
    """
    alt = altair()
    roofs = read(chips, ("peak_ops_s", "bandwidth_bytes_s"), ("chip", "dtype"))
    chip_names = list(dict.fromkeys(row["chip"] for row in roofs))
    several = len(chip_names) > 1
    dots = _dots(points, roofs)
    ends = [_end(row, row["chip"] if several else "") for row in roofs]
    width = plot_width([end["label"] for end in ends])
    ridges = [row["peak_ops_s"] / row["bandwidth_bytes_s"] for row in roofs]
    reach = [*(dot["x"] for dot in dots), *(ridge * 6 for ridge in ridges), min(min(ridges) / 100, 1.0)]
    x_axis = axis_for(reach, width, log=True, margin=0.03)
    floor = [x_axis.low * row["bandwidth_bytes_s"] for row in roofs]
    lowest = min([*floor, *(dot["y"] for dot in dots)])
    y_axis = axis_for([lowest, *(row["peak_ops_s"] for row in roofs)], HEIGHT, log=True, up=True, margin=0.05)
    room = Room(x_axis, y_axis, chip_names if several else [])
    at = {"x": x_axis.channel("x", "arithmetic intensity (FLOP/byte)"), "y": y_axis.channel("y", "rate (FLOP/s)")}
    colour: Any = alt.value(ROOF_COLOUR)
    if several:
        colour = alt.Color("s:N", scale=colour_scale(chip_names), legend=None)
    corners = [_corners(row, x_axis, str(number)) for number, row in enumerate(roofs)]
    lines = alt.Chart(data(row for line in corners for row in line)).mark_line(strokeWidth=2)
    layers = [lines.encode(**at, detail="line:N", color=colour), _bandwidth_labels(roofs, chip_names, room)]
    layers.append(end_labels(ends, room))
    if dots:
        if not several:
            room.names = list(dict.fromkeys(dot["s"] for dot in dots))
        layers += _operator_layers(dots, several, at, corners, room)
    return finish(alt.layer(*layers).properties(width=width, height=HEIGHT), title, subtitle)


def _corners(roof: dict[str, Any], x_axis: Axis, line: str) -> list[dict[str, Any]]:
    """Corners of a roof: the left edge on the memory slope, the ridge, the right edge on the peak."""
    peak, bandwidth = roof["peak_ops_s"], roof["bandwidth_bytes_s"]
    places = (x_axis.low, peak / bandwidth, x_axis.high)
    return [{"line": line, "s": roof["chip"], "x": here, "y": min(peak, here * bandwidth)} for here in places]


def _end(roof: dict[str, Any], chip: str) -> dict[str, Any]:
    """Label of a compute roof: chip (when there are several), data type and peak."""
    parts = (chip, roof["dtype"], _si(roof["peak_ops_s"], "FLOP/s"))
    return {"y": roof["peak_ops_s"], "s": chip, "label": " ".join(part for part in parts if part)}


def _dots(points: Any, roofs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Operators as intensity x and rate y."""
    found = records(points)
    if not found:
        return []
    if find(found, "intensity", needed=False):
        rows = read(found, ("intensity",), ("operator", "chip", "dtype"), ("batch", "flops", "ops_s", "seconds"))
    else:
        rows = read(found, ("flops", "bytes"), ("operator", "chip", "dtype"), ("batch", "ops_s", "seconds"))
        rows = [{**row, "intensity": row["flops"] / row["bytes"]} for row in rows if row["bytes"] > 0]
    made = []
    for row in rows:
        own = [roof for roof in roofs if row["chip"] in ("", roof["chip"])] or list(roofs)
        roof = next((roof for roof in own if roof["dtype"] == row["dtype"]), own[0])
        rate = row["ops_s"]
        if not finite(rate) and finite(row["seconds"]) and finite(row["flops"]) and row["seconds"] > 0:
            rate = row["flops"] / row["seconds"]
        if not finite(rate):
            rate = min(roof["peak_ops_s"], row["intensity"] * roof["bandwidth_bytes_s"])
        if row["intensity"] > 0 and rate > 0:
            named = {"s": row["operator"], "chip": row["chip"] or roof["chip"], "batch": row["batch"]}
            made.append({"x": row["intensity"], "y": rate, **named})
    return made


def _operator_layers(
    dots: Sequence[dict[str, Any]],
    several: bool,
    at: dict[str, Any],
    corners: Sequence[Sequence[dict[str, Any]]],
    room: Room,
) -> list[Any]:
    """Points joined along the batch, named at the largest, numbered elsewhere as far as there is room."""
    alt = altair()
    rows = [
        {**dot, "operator": dot["s"], "s": dot["chip" if several else "s"], "line": f"{dot['chip']}|{dot['s']}"}
        for dot in dots
    ]
    rows.sort(key=lambda row: (row["line"], row["batch"] or 0))
    last = {row["line"]: row for row in rows}
    colour = alt.Color("s:N", scale=colour_scale(room.names), legend=None)
    base = alt.Chart(data(rows)).encode(**at, color=colour)
    tip = ["chip:N", "operator:N", "batch:Q"]
    tip += [alt.Tooltip(f"{side}:Q", format=".3~s", title=unit) for side, unit in (("x", "FLOP/byte"), ("y", "FLOP/s"))]
    layers = [
        base.mark_line(strokeWidth=1, opacity=0.6).encode(detail="line:N", order="batch:Q"),
        base.mark_point(filled=True, size=48, opacity=1, stroke="white", strokeWidth=0.8).encode(tooltip=tip),
    ]
    room.keep_off(rows)
    pixels = list(room.avoid)
    for line in corners:
        room.keep_off(line, along=True)
    numbered = [
        {**row, "label": _named(row, False)}
        for row, pixel in zip(rows, pixels, strict=True)
        if row is not last[row["line"]] and row["batch"] is not None and _alone(pixel, pixels)
    ]
    layers += room.label([{**row, "label": _named(row, True)} for row in last.values()])
    return [*layers, *room.label(numbered, reach=8.0)]


def _alone(pixel: tuple[float, float], others: Sequence[tuple[float, float]]) -> bool:
    """True when no other point is so near that a number could mean either."""
    return sum(abs(pixel[0] - x) + abs(pixel[1] - y) < LINE for x, y in others) == 1


def _named(row: dict[str, Any], whole: bool) -> str:
    batch = "" if row["batch"] is None else f"{row['batch']:g}"
    return f"{row['operator']}, batch {batch}" if whole and batch else row["operator"] if whole else batch


def _bandwidth_labels(roofs: Sequence[dict[str, Any]], chips: Sequence[str], room: Room) -> Any:
    """The bandwidth of one chip on its slope; of several in the lower right, which the roofs leave free."""
    speeds = {name: next(row["bandwidth_bytes_s"] for row in roofs if row["chip"] == name) for name in chips}
    texts = {name: f"{name} {_si(bandwidth, 'B/s')}".strip() for name, bandwidth in speeds.items()}
    widths = {name: text_width(text) for name, text in texts.items()}
    if len(speeds) == 1:
        spots = {n: (8.0, room.y.pixel(room.x.value(12 + widths[n]) * speed) - 6) for n, speed in speeds.items()}
    else:
        left, low = room.x.pixels - max(widths.values()) - 4, room.y.pixels - 10
        ranked = sorted(speeds, key=lambda name: speeds[name])
        spots = {name: (left, low - rank * LINE) for rank, name in enumerate(ranked)}
    room.taken += [(x, y - LINE / 2, x + widths[name], y + LINE / 2) for name, (x, y) in spots.items()]
    rows = [
        {"x": room.x.value(x), "y": room.y.value(y), "label": texts[name], "s": name} for name, (x, y) in spots.items()
    ]
    return label_marks(rows, room.names)


def _si(value: float, unit: str) -> str:
    """Three significant digits with the SI prefix: 3.35 TB/s."""
    power = min(max(math.floor(math.log10(value) / 3), 0), 6)
    return f"{value / 1000.0**power:.3g} {'kMGTPE'[power - 1] if power else ''}{unit}"
