"""Where labels go so that none covers another or a point: geometry in pixels, before the chart is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..terminal import display_width
from .scales import Axis
from .theme import FONT_SIZE, GREY, LEFT, PAGE, WIDTH, altair, data, text_colour

LINE = 14.0
# Mean width of a character at label size, on the generous side.
CHARACTER = 6.4
Point = tuple[float, float]
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
    points: Sequence[Point],
    texts: Sequence[str],
    width: float,
    height: float,
    *,
    avoid: Sequence[Point] = (),
    taken: list[Box] | None = None,
    beyond: float = 40.0,
    reach: float = 26.0,
) -> list[Point | None]:
    """For each point (pixels) the left middle of its label, or None where no free place is left beside it.

    Earlier labels have the better claim. avoid: further points not to be covered. taken: boxes already used;
    the new ones are added to it. beyond: pixels that a label may reach out of the plot on the right; reach:
    how far from its point it may stand.
    """
    boxes = taken if taken is not None else []
    dots = [*points, *avoid]
    found: list[Point | None] = []
    for point, text in zip(points, texts, strict=True):
        wide, half = text_width(text), LINE / 2
        for left, middle in _spots(point, wide, reach):
            box = (left, middle - half, left + wide, middle + half)
            if _free(box, boxes, dots, (width + beyond, height)):
                boxes.append(box)
                found.append((left, middle))
                break
        else:
            found.append(None)
    return found


def _spots(point: Point, wide: float, reach: float) -> Iterator[Point]:
    """Where a label of that width may stand: the nearest places first, on the right before above before left."""
    x, y = point
    for far in (distance for distance in (8.0, 16.0, 26.0) if distance <= reach):
        yield from ((x + far, y), (x + far * 0.7, y - far), (x + far * 0.7, y + far))
        yield from ((x - wide / 2, y - far - 4), (x - wide / 2, y + far + 4))
        left = x - wide
        yield from ((left - far, y), (left - far * 0.7, y - far), (left - far * 0.7, y + far))


def _free(box: Box, boxes: Sequence[Box], dots: Sequence[Point], size: tuple[float, float]) -> bool:
    left, top, right, bottom = box
    if left < 2 or top < 0 or bottom > size[1] or right > size[0]:
        return False
    if any(left < b[2] and b[0] < right and top < b[3] and b[1] < bottom for b in boxes):
        return False
    return not any(left - 3 < x < right + 3 and top - 1 < y < bottom + 1 for x, y in dots)


def end_labels(ends: Sequence[Mapping[str, Any]], room: Room, *, starts: Sequence[float] | None = None) -> Any:
    """Labels to the right of the plot, each beside its line's end and joined to it by a thin rule.

    ends: mappings with `y` (value), `label` and `s`, the name that gives the colour. starts: pixel at which
    each line ends, the right edge by default.
    """
    x, y = room.x, room.y
    begin = starts or [x.pixels] * len(ends)
    wanted = [min(max(y.pixel(end["y"]), 0.0), y.pixels) for end in ends]
    rows = [
        {"x0": x.value(start + 5), "y0": y.value(here), "x1": x.value(x.pixels + 14), "y1": y.value(there)}
        | {"xt": x.value(x.pixels + 18), "label": end["label"], "s": end["s"]}
        for end, here, there, start in zip(ends, wanted, spread(wanted, 0.0, y.pixels), begin, strict=True)
    ]
    rules = altair().Chart(data(rows)).mark_rule(color=GREY, strokeWidth=0.7, strokeDash=[1, 2])
    return rules.encode(x="x0:Q", y="y0:Q", x2="x1:Q", y2="y1:Q") + label_marks(rows, room.names, x="xt", y="y1")


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


@dataclass
class Room:
    """The free room of a plot for labels: its axes, the names that have a colour, what labels must keep off.

    avoid: pixels that no label covers; taken: boxes of the labels placed so far; beyond: pixels that a label may
    reach out of the plot on the right.
    """

    x: Axis
    y: Axis
    names: Sequence[str]
    beyond: float = 40.0
    avoid: list[Point] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)

    def pixel(self, row: Mapping[str, Any]) -> Point:
        """Where a point (`x`, `y`) stands in the plot."""
        return self.x.pixel(row["x"]), self.y.pixel(row["y"])

    def keep_off(self, points: Sequence[Mapping[str, Any]], *, along: bool = False, step: float = 6.0) -> None:
        """Keep labels off the points, and every `step` pixels along the line through them."""
        pixels = [self.pixel(point) for point in points]
        self.avoid += pixels
        for (x0, y0), (x1, y1) in pairwise(pixels) if along else ():
            count = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / step))
            self.avoid += [(x0 + (x1 - x0) * n / count, y0 + (y1 - y0) * n / count) for n in range(1, count)]

    def _place(self, pixels: Sequence[Point], texts: Sequence[str], avoid: Sequence[Point], **how: float) -> Any:
        how |= {"beyond": self.beyond}
        return place(pixels, texts, self.x.pixels, self.y.pixels, avoid=avoid, taken=self.taken, **how)

    def _marks(self, spots: Iterable[tuple[Point, str, str]], *, bold: bool = False) -> list[Any]:
        shown = [{"x": self.x.value(at[0]), "y": self.y.value(at[1]), "label": said, "s": s} for at, said, s in spots]
        return [label_marks(shown, self.names, bold=bold)] if shown else []

    def label(self, rows: Sequence[Mapping[str, Any]], *, reach: float = 26.0) -> list[Any]:
        """Layers with the labels of points (`x`, `y`, `label`, `s`) beside them, as far as there is room."""
        spots = self._place([self.pixel(row) for row in rows], [row["label"] for row in rows], self.avoid, reach=reach)
        return self._marks((at, row["label"], row["s"]) for row, at in zip(rows, spots, strict=True) if at is not None)

    def name(self, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Any]:
        """Layers with the name of each line, bold, beside its last point, else the first, else any that has room.

        A line without room anywhere is named beside its last point all the same, clear of the other labels only.
        """
        spots = []
        for name, points in lines.items():
            tried = [(dots, p) for dots in (self.avoid, ()) for p in (points[-1], points[0], *points[-2:0:-1])]
            # bold is a little wider, hence the space
            found = (self._place([self.pixel(point)], [f"{name} "], dots)[0] for dots, point in tried)
            spot = next((one for one in found if one), None)
            spots += [(spot, name, name)] if spot else []
        return self._marks(spots, bold=True)
