"""The roofline: what a chip can do at each arithmetic intensity, and where the operators of a model stand.

Source: Williams, Waterman, Patterson, Roofline, CACM 52 (2009), https://doi.org/10.1145/1498765.1498785
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..rows import records
from .labels import LINE, Box, along, end_labels, label_marks, placed_labels, plot_width, text_width
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
    dots = _dots(points, roofs)
    several = len(chip_names) > 1
    ends = [_end(row, row["chip"] if several else "") for row in roofs]
    width = plot_width([end["label"] for end in ends])
    ridges = [row["peak_ops_s"] / row["bandwidth_bytes_s"] for row in roofs]
    reach = [*(dot["x"] for dot in dots), *(ridge * 6 for ridge in ridges), min(min(ridges) / 100, 1.0)]
    x_axis = axis_for(reach, width, log=True, margin=0.03)
    floor = [x_axis.low * row["bandwidth_bytes_s"] for row in roofs]
    lowest = min([*floor, *(dot["y"] for dot in dots)])
    y_axis = axis_for([lowest, *(row["peak_ops_s"] for row in roofs)], HEIGHT, log=True, up=True, margin=0.05)
    operators = list(dict.fromkeys(dot["s"] for dot in dots))
    names = chip_names if several else operators
    x = x_axis.channel("x", "arithmetic intensity (FLOP/byte)")
    y = y_axis.channel("y", "rate (FLOP/s)")
    roof_colour: Any = alt.Color("s:N", scale=colour_scale(names), legend=None) if several else alt.value(ROOF_COLOUR)
    corners = _roof_lines(roofs, x_axis)
    lines = alt.Chart(data(corners)).mark_line(strokeWidth=2)
    layers = [lines.encode(x=x, y=y, detail="line:N", color=roof_colour)]
    taken: list[Box] = []
    layers.append(_bandwidth_labels(roofs, chip_names, x_axis, y_axis, names if several else [], taken))
    layers.append(end_labels(ends, x_axis, y_axis, names if several else []))
    if dots:
        layers += _operator_layers(
            dots, chip_names if several else operators, several, x, y, x_axis, y_axis, corners, taken
        )
    return finish(alt.layer(*layers).properties(width=width, height=HEIGHT), title, subtitle)


def _roof_lines(roofs: Sequence[dict[str, Any]], x_axis: Axis) -> list[dict[str, Any]]:
    """Corners of every roof: the left edge on the memory slope, the ridge, the right edge on the peak."""
    made = []
    for number, row in enumerate(roofs):
        peak, bandwidth = row["peak_ops_s"], row["bandwidth_bytes_s"]
        for here in (x_axis.low, peak / bandwidth, x_axis.high):
            made.append({"line": str(number), "s": row["chip"], "x": here, "y": min(peak, here * bandwidth)})
    return made


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
            chip = row["chip"] or roof["chip"]
            dot = {"x": row["intensity"], "y": rate, "s": row["operator"], "chip": chip, "batch": row["batch"]}
            made.append(dot)
    return made


def _operator_layers(
    dots: Sequence[dict[str, Any]],
    names: Sequence[str],
    several: bool,
    x: Any,
    y: Any,
    x_axis: Axis,
    y_axis: Axis,
    corners: Sequence[dict[str, Any]],
    taken: list[Box],
) -> list[Any]:
    """Points joined along the batch, named at the largest, numbered elsewhere as far as there is room."""
    alt = altair()
    rows = [
        {**dot, "operator": dot["s"], "s": dot["chip" if several else "s"], "line": f"{dot['chip']}|{dot['s']}"}
        for dot in dots
    ]
    rows.sort(key=lambda row: (row["line"], row["batch"] or 0))
    last = {row["line"]: row for row in rows}
    titled = [{**row, "label": _named(row, True)} for row in last.values()]
    colour = alt.Color("s:N", scale=colour_scale(names), legend=None)
    base = alt.Chart(data(rows)).encode(x=x, y=y, color=colour)
    tip = ["chip:N", "operator:N", "batch:Q", alt.Tooltip("x:Q", format=".3~s", title="FLOP/byte"),
           alt.Tooltip("y:Q", format=".3~s", title="FLOP/s")]  # fmt: skip
    layers = [
        base.mark_line(strokeWidth=1, opacity=0.6).encode(detail="line:N", order="batch:Q"),
        base.mark_point(filled=True, size=48, opacity=1, stroke="white", strokeWidth=0.8).encode(tooltip=tip),
    ]
    pixels = [(x_axis.pixel(row["x"]), y_axis.pixel(row["y"])) for row in rows]
    for number in range(len(corners) // 3):
        pixels += along(corners[3 * number : 3 * number + 3], x_axis, y_axis)
    numbered = [
        {**row, "label": _named(row, False)}
        for place, row in enumerate(rows)
        if row is not last[row["line"]] and row["batch"] is not None and _alone(pixels[place], pixels[: len(rows)])
    ]
    layers += placed_labels(titled, x_axis, y_axis, names, avoid=pixels, taken=taken)
    return [*layers, *placed_labels(numbered, x_axis, y_axis, names, avoid=pixels, taken=taken, reach=8.0)]


def _alone(pixel: tuple[float, float], others: Sequence[tuple[float, float]]) -> bool:
    """True when no other point is so near that a number could mean either."""
    return sum(abs(pixel[0] - x) + abs(pixel[1] - y) < LINE for x, y in others) == 1


def _named(row: dict[str, Any], whole: bool) -> str:
    batch = "" if row["batch"] is None else f"{row['batch']:g}"
    return f"{row['operator']}, batch {batch}" if whole and batch else row["operator"] if whole else batch


def _bandwidth_labels(
    roofs: Sequence[dict[str, Any]],
    chip_names: Sequence[str],
    x_axis: Axis,
    y_axis: Axis,
    names: Sequence[str],
    taken: list[Box],
) -> Any:
    """The bandwidth of one chip on its slope; of several in the lower right, which the roofs leave free."""
    speeds = {name: next(row["bandwidth_bytes_s"] for row in roofs if row["chip"] == name) for name in chip_names}
    texts = {name: f"{name} {_si(bandwidth, 'B/s')}".strip() for name, bandwidth in speeds.items()}
    spots = {}
    if len(speeds) == 1:
        for name, text in texts.items():
            right = 12 + text_width(text)
            spots[name] = (8.0, y_axis.pixel(x_axis.value(right) * speeds[name]) - 6)
    else:
        left = x_axis.pixels - max(text_width(text) for text in texts.values()) - 4
        for rank, name in enumerate(sorted(speeds, key=lambda name: speeds[name])):
            spots[name] = (left, y_axis.pixels - 10 - rank * LINE)
    for name, (left, middle) in spots.items():
        taken.append((left, middle - LINE / 2, left + text_width(texts[name]), middle + LINE / 2))
    rows = [
        {"x": x_axis.value(left), "y": y_axis.value(middle), "label": texts[name], "s": name}
        for name, (left, middle) in spots.items()
    ]
    return label_marks(rows, names)


def _si(value: float, unit: str) -> str:
    """Three significant digits with the SI prefix: 3.35 TB/s."""
    power = min(max(math.floor(math.log10(value) / 3), 0), 6)
    return f"{value / 1000.0**power:.3g} {'kMGTPE'[power - 1] if power else ''}{unit}"
