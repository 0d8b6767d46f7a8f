"""Small plots in a text terminal: bars, and a scatter in braille.

Every function takes `plain=True` for a terminal which shows ASCII only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .terminal import cut, display_width, pad, short_number

EIGHTHS = " ▏▎▍▌▋▊▉█"
MARKS = "ox+*#@%&"
# Dot of a braille cell by (column, row): Unicode block U+2800.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def bars(values: Sequence[tuple[str, float | None]], *, width: int = 80, unit: str = "", plain: bool = False) -> str:
    """One horizontal bar a label, from zero, its value at the end; negative and missing ones have no bar."""
    if not values:
        return ""
    texts = ["-" if value is None else short_number(value) + (f" {unit}" if unit else "") for _, value in values]
    left = min(max(display_width(label) for label, _ in values), max(width // 3, 1))
    room = max(width - left - max(display_width(text) for text in texts) - 2, 1)
    top = max((value for _, value in values if value is not None and math.isfinite(value)), default=0.0)
    lines = []
    for (label, value), text in zip(values, texts, strict=True):
        share = 0.0 if value is None or top <= 0 else min(max(value / top, 0.0), 1.0)
        lines.append(f"{pad(cut(label, left), left)} {_bar(share, room, plain)} {text}")
    return "\n".join(lines)


def _bar(share: float, room: int, plain: bool) -> str:
    if plain:
        return "#" * max(round(share * room), 1 if share > 0 else 0)
    eighths = max(round(share * room * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def scatter(
    series: Mapping[str, Sequence[tuple[float, float]]],
    titles: tuple[str, str] = ("", ""),
    *,
    width: int = 72,
    height: int = 16,
    log: bool = False,
    plain: bool = False,
) -> str:
    """Points (x, y) of one or several series with the range on both axes; titles: of x and y.

    One series is drawn in braille dots, eight to a character; several get a mark each and a legend. A point
    which is not finite, or not positive on a logarithmic axis, is left out.
    """
    points = [
        (place, scaled_x, scaled_y)
        for place, values in enumerate(series.values())
        for x, y in values
        if (scaled_x := _scale(x, log)) is not None and (scaled_y := _scale(y, log)) is not None
    ]
    if not points:
        return "(no points)"
    x_low, x_high = _span([x for _, x, _ in points])
    y_low, y_high = _span([y for _, _, y in points])
    top, bottom = (short_number(_shown(value, log)) for value in (y_high, y_low))
    left = max(len(top), len(bottom))
    columns, height = max(width - left - 2, 4), max(height, 2)
    grid = [[0] * columns for _ in range(height)]
    marks = [[" "] * columns for _ in range(height)]
    braille = len(series) == 1 and not plain
    for place, x, y in points:
        across, up = (x - x_low) / (x_high - x_low), (y_high - y) / (y_high - y_low)
        column, row = round(across * (columns * 2 - 1)), round(up * (height * 4 - 1))
        grid[row // 4][column // 2] |= DOTS[column % 2][row % 4]
        marks[row // 4][column // 2] = MARKS[place % len(MARKS)]
    lines = [cut(titles[1], width)] if titles[1] else []
    for row in range(height):
        side = top if row == 0 else bottom if row == height - 1 else ""
        body = "".join(chr(0x2800 + cell) if cell else " " for cell in grid[row]) if braille else "".join(marks[row])
        lines.append(f"{side:>{left}} {'|' if plain else '│'}{body}".rstrip())
    lines.append(" " * left + (" +" + "-" * columns if plain else " └" + "─" * columns))
    low, high = (short_number(_shown(value, log)) for value in (x_low, x_high))
    middle = cut(titles[0], max(columns - len(low) - len(high) - 2, 1)) if titles[0] else ""
    gap = columns - len(low) - len(high) - display_width(middle)
    lines.append(" " * (left + 2) + low + " " * (gap // 2) + middle + " " * (gap - gap // 2) + high)
    if len(series) > 1:
        lines.append(cut("   ".join(f"{MARKS[n % len(MARKS)]} {name}" for n, name in enumerate(series)), width))
    return "\n".join(lines)


def _scale(value: float | None, log: bool) -> float | None:
    if value is None or not math.isfinite(value) or (log and value <= 0):
        return None
    return math.log10(value) if log else float(value)


def _shown(value: float, log: bool) -> float:
    return float(f"{10**value if log else value:.3g}")


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        half = abs(low) / 2 or 0.5
        return low - half, high + half
    return low, high
