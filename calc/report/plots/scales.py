"""Axes with a range known beforehand, so that labels can be placed in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .theme import altair

# 0.05, 20, 3k, 1M: the SI prefix from a thousand on, plain decimals below.
LABELS = "datum.value == 0 ? '0' : format(datum.value, abs(datum.value) >= 1000 ? '~s' : '~g')"
STEPS = {True: (1.0, 2.0, 5.0), False: (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)}


@dataclass(frozen=True)
class Axis:
    """One axis: its range, whether logarithmic, its length in pixels; `up` for the vertical one."""

    low: float
    high: float
    log: bool
    pixels: float
    up: bool = False

    def pixel(self, value: float) -> float:
        """Pixels from the left, or from the top when `up`."""
        low, high, here = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (here - low) / (high - low)
        return (1 - share if self.up else share) * self.pixels

    def value(self, pixel: float) -> float:
        """The value at a pixel; the inverse of `pixel`."""
        share = pixel / self.pixels
        share = 1 - share if self.up else share
        if self.log:
            return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return self.low + share * (self.high - self.low)

    def channel(self, field: str, title: str, **axis: Any) -> Any:
        """The Altair channel of this axis for a field."""
        alt = altair()
        values = self.ticks()
        shown = {"labelExpr": LABELS, "values": values, **axis}
        scale = alt.Scale(domain=[self.low, self.high], type="log" if self.log else "linear", nice=False)
        kind = alt.Y if self.up else alt.X
        return kind(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(**shown))

    def ticks(self) -> list[float]:
        """Round values within the range: of a 1-2-5 series when logarithmic, evenly spaced when linear."""
        if not self.log:
            return _even(self.low, self.high, 6)
        decades = math.log10(self.high / self.low)
        if decades < 0.5:
            return _even(self.low, self.high, 5)
        bottom, top = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        room = self.pixels / (34 if not self.up else 22)
        if decades * 3 <= min(room, 14):
            steps: tuple[float, ...] = STEPS[decades > 1.1]
            powers = range(bottom, top + 1)
        else:
            steps = (1.0,)
            powers = range(bottom, top + 1, max(1, math.ceil(decades / 9)))
        made = [float(f"{step * 10.0**power:.6g}") for power in powers for step in steps]
        return [value for value in made if self.low * 0.999 <= value <= self.high * 1.001]


def axis_for(
    values: Iterable[float],
    pixels: float,
    *,
    log: bool | None = None,
    up: bool = False,
    zero: bool = False,
    margin: float = 0.06,
) -> Axis:
    """An axis that holds the values with a margin; logarithmic when they are positive and span tenfold."""
    present = [value for value in values if math.isfinite(value)]
    positive = [value for value in present if value > 0]
    if log is None:
        log = len(positive) == len(present) and max(present) >= 10 * min(present)
    if log:
        low, high = min(positive), max(positive)
        grow = max(high / low, 1.5) ** margin
        return Axis(low / grow, high * grow, True, pixels, up)
    low, high = min(present), max(present)
    if zero and low >= 0:
        low = 0.0
    span = high - low
    if span <= 1e-6 * max(abs(low), abs(high)):  # one value, or as good as one: a range of its own size
        span = abs(high) or 1.0
    return Axis(low if zero and low == 0 else low - span * margin, high + span * margin, False, pixels, up)


def _even(low: float, high: float, count: int) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= count:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [float(f"{step * n:.6g}") for n in range(first, math.floor(high / step + 1e-9) + 1)]
