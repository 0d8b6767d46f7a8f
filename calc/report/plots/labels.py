"""Where labels go so that none covers another or a point: geometry in pixels, before the chart is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..terminal import display_width
from .scales import Axis
from .theme import FONT_SIZE, GREY, LEFT, PAGE, WIDTH, altair, data, text_colour

LINE = 14.0
# Mean width of a character at label size, on the generous side.
CHARACTER = 6.4
Box = tuple[float, float, float, float]


def spread(wanted: Sequence[float], low: float, high: float, gap: float = LINE) -> list[float]:
    """Positions nearest to those wanted that keep `gap` between them, within low..high while they fit.

    The order is kept. Neighbours that would touch form a block centred on the mean of their wishes.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    blocks: list[tuple[float, list[int]]] = []
    for place in order:
        members = [place]
        centre = _within(wanted[place], members, low, high, gap)
        while blocks and _top(centre, members, gap) < _bottom(*blocks[-1], gap) + gap:
            members = [*blocks.pop()[1], *members]
            centre = sum(wanted[member] for member in members) / len(members)
            centre = _within(centre, members, low, high, gap)
        blocks.append((centre, members))
    result = [0.0] * len(wanted)
    for centre, members in blocks:
        for rank, member in enumerate(members):
            result[member] = _top(centre, members, gap) + rank * gap
    return result


def _top(centre: float, members: list[int], gap: float) -> float:
    return centre - (len(members) - 1) / 2 * gap


def _bottom(centre: float, members: list[int], gap: float) -> float:
    return centre + (len(members) - 1) / 2 * gap


def _within(centre: float, members: list[int], low: float, high: float, gap: float) -> float:
    half = (len(members) - 1) / 2 * gap
    return (low + high) / 2 if 2 * half > high - low else min(max(centre, low + half), high - half)


def plot_width(ends: Sequence[str]) -> int:
    """Width of a plot with these labels to its right, so that the whole fits a page."""
    longest = max((text_width(text) for text in ends), default=0.0)
    return round(min(WIDTH, max(320.0, PAGE - LEFT - 24 - longest)))


def text_width(text: str) -> float:
    """Pixels that a label takes, wide (CJK) characters counted twice."""
    return display_width(text) * CHARACTER


def place(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    width: float,
    height: float,
    *,
    avoid: Sequence[tuple[float, float]] = (),
    taken: list[Box] | None = None,
    beyond: float = 40.0,
    reach: float = 26.0,
) -> list[tuple[float, float] | None]:
    """For each point (pixels) the left middle of its label, or None where no free place is left beside it.

    Earlier labels have the better claim. avoid: further points not to be covered. taken: boxes already
    used; the new ones are added to it. beyond: pixels that a label may reach out of the plot on the right.
    """
    boxes = taken if taken is not None else []
    dots = [*points, *avoid]
    found: list[tuple[float, float] | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        wide, half = text_width(text), LINE / 2
        chosen = None
        for far in (distance for distance in (8.0, 16.0, 26.0) if distance <= reach):
            for left, middle in (
                (x + far, y),
                (x + far * 0.7, y - far),
                (x + far * 0.7, y + far),
                (x - wide / 2, y - far - 4),
                (x - wide / 2, y + far + 4),
                (x - wide - far, y),
                (x - wide - far * 0.7, y - far),
                (x - wide - far * 0.7, y + far),
            ):
                box = (left, middle - half, left + wide, middle + half)
                if _free(box, boxes, dots, width + beyond, height):
                    chosen = (left, middle)
                    boxes.append(box)
                    break
            if chosen:
                break
        found.append(chosen)
    return found


def _free(box: Box, boxes: Sequence[Box], dots: Sequence[tuple[float, float]], width: float, height: float) -> bool:
    left, top, right, bottom = box
    if left < 2 or top < 0 or bottom > height or right > width:
        return False
    if any(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in boxes):
        return False
    return not any(left - 3 < x < right + 3 and top - 1 < y < bottom + 1 for x, y in dots)


def end_labels(
    ends: Sequence[Mapping[str, Any]], x: Axis, y: Axis, names: Sequence[str], *, starts: Sequence[float] | None = None
) -> Any:
    """Labels to the right of the plot, each beside its line's end and joined to it by a thin rule.

    ends: mappings with `y` (value), `label` and `s`, the name that gives the colour. starts: pixel at which
    each line ends, the right edge by default.
    """
    alt = altair()
    begin = starts or [x.pixels] * len(ends)
    wanted = [min(max(y.pixel(end["y"]), 0.0), y.pixels) for end in ends]
    placed = spread(wanted, 0.0, y.pixels)
    rows = [
        {
            "x0": x.value(start + 5), "y0": y.value(here), "x1": x.value(x.pixels + 14), "y1": y.value(there),
            "xt": x.value(x.pixels + 18), "label": end["label"], "s": end["s"],
        }
        for end, here, there, start in zip(ends, wanted, placed, begin, strict=True)
    ]  # fmt: skip
    rules = (
        alt.Chart(data(rows))
        .mark_rule(color=GREY, strokeWidth=0.7, strokeDash=[1, 2])
        .encode(x="x0:Q", y="y0:Q", x2="x1:Q", y2="y1:Q")
    )
    return rules + label_marks(rows, names, x="xt", y="y1")


def label_marks(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, x: str = "x", y: str = "y", bold: bool = False
) -> Any:
    """Text from its left middle on, with a white halo, in the text tone of the series `s`; others in grey."""
    alt = altair()
    toned = [{**row, "tone": text_colour(row["s"], names)} for row in rows]
    base = alt.Chart(data(toned)).encode(x=f"{x}:Q", y=f"{y}:Q", text="label:N")
    looks: dict[str, Any] = {"align": "left", "baseline": "middle", "fontSize": FONT_SIZE - 1}
    if bold:
        looks["fontWeight"] = 600
    halo = base.mark_text(stroke="white", strokeWidth=3, strokeOpacity=0.85, strokeJoin="round", **looks)
    return halo + base.mark_text(**looks).encode(color=alt.Color("tone:N", scale=None, legend=None))


def placed_labels(
    rows: Sequence[Mapping[str, Any]],
    x: Axis,
    y: Axis,
    names: Sequence[str],
    *,
    avoid: Sequence[tuple[float, float]] = (),
    taken: list[Box] | None = None,
    beyond: float = 40.0,
    reach: float = 26.0,
) -> list[Any]:
    """Layers with the labels of points (`x`, `y`, `label`, `s`) beside them, as far as there is room."""
    pixels = [(x.pixel(row["x"]), y.pixel(row["y"])) for row in rows]
    texts = [row["label"] for row in rows]
    spots = place(pixels, texts, x.pixels, y.pixels, avoid=avoid, taken=taken, beyond=beyond, reach=reach)
    shown = [
        {"x": x.value(spot[0]), "y": y.value(spot[1]), "label": row["label"], "s": row["s"]}
        for row, spot in zip(rows, spots, strict=True)
        if spot is not None
    ]
    return [label_marks(shown, names)] if shown else []


def line_names(
    lines: Mapping[str, Sequence[Mapping[str, Any]]],
    x: Axis,
    y: Axis,
    names: Sequence[str],
    *,
    avoid: Sequence[tuple[float, float]] = (),
    taken: list[Box],
    beyond: float = 40.0,
) -> list[Any]:
    """Layers with the name of each line, bold, beside its last point, else the first, else any that has room.

    A line without room anywhere is named beside its last point all the same, clear of the other labels only.
    """
    shown = []
    for name, points in lines.items():
        tried = [points[-1], points[0], *points[-2:0:-1]]
        text = name + " "  # bold is a little wider
        spot = None
        for dots in (avoid, ()):
            for point in tried:
                here = (x.pixel(point["x"]), y.pixel(point["y"]))
                spot = place([here], [text], x.pixels, y.pixels, avoid=dots, taken=taken, beyond=beyond)[0]
                if spot:
                    break
            if spot:
                break
        if spot:
            shown.append({"x": x.value(spot[0]), "y": y.value(spot[1]), "label": name, "s": name})
    return [label_marks(shown, names, bold=True)] if shown else []


def along(points: Sequence[Mapping[str, Any]], x: Axis, y: Axis, step: float = 6.0) -> list[tuple[float, float]]:
    """Pixels along the line through the points, every `step`, so that labels can keep off the line."""
    pixels = [(x.pixel(point["x"]), y.pixel(point["y"])) for point in points]
    made = list(pixels)
    for (x0, y0), (x1, y1) in pairwise(pixels):
        count = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / step))
        made += [(x0 + (x1 - x0) * n / count, y0 + (y1 - y0) * n / count) for n in range(1, count)]
    return made
