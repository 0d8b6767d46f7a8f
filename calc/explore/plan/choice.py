"""Choosing among deployments: limits, aims, why the others lost, the closest miss, Pareto fronts.

Pure functions of `Candidates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .search import Candidates

AIMS = {
    "cheapest": ("per_m_blended", -1.0),
    "fastest": ("output_tok_s_user", 1.0),
    "tokens-per-watt": ("tok_per_joule", 1.0),
    "tokens-per-chip": ("output_tok_s_chip", 1.0),
}


@dataclass(frozen=True)
class Limits:
    """What a deployment must keep; None: no limit.

    Seconds, money per million tokens of the mix, watts of the chips.
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    per_m: float | None = None
    power_w: float | None = None
    chips: int | None = None

    def checks(self) -> list[tuple[str, str, float]]:
        """(what is missed, column, largest value) of each limit."""
        rules = (
            ("too many chips", "chips", self.chips),
            ("slower first token than asked", "ttft_s", self.ttft_s),
            ("slower tokens than asked", "tpot_s", self.tpot_s),
            ("dearer than the ceiling", "per_m_blended", self.per_m),
            ("more power than allowed", "power_w", self.power_w),
        )
        return [(why, column, float(most)) for why, column, most in rules if most is not None]


_CUT = ("tp", "pp", "dp", "ep")
_POOLS = ("prefill", "prefill_chips", "decode_chips")


def within(found: Candidates, limits: Limits) -> np.ndarray:
    """True for the cases that fit and keep every limit; an unknown figure keeps none."""
    good = found.fits.copy()
    for _, column, most in limits.checks():
        good &= found[column] <= most
    return good


def losses(found: Candidates, limits: Limits, aim: str) -> list[tuple[str, int]]:
    """Why the cases outside the limits lost, and how many, each counted once by the first rule that it
    breaks.
    """
    left = np.ones(len(found), dtype=bool)
    counted = []
    rules = [("weights do not fit the chips", ~found.holds), ("batch beyond the KV cache", found.holds & ~found.fits)]
    rules += [(why, ~(found[column] <= most)) for why, column, most in limits.checks()]
    rules.append((_unknown(aim), np.isnan(found[AIMS[aim][0]])))
    for why, broken in rules:
        hit = left & broken
        if hit.any():
            counted.append((why, int(hit.sum())))
        left &= ~broken
    return counted


def _unknown(aim: str) -> str:
    return {"cheapest": "no price known", "tokens-per-watt": "no power figure published"}.get(aim, "no figure")


def ranked(found: Candidates, good: np.ndarray, aim: str) -> np.ndarray:
    """Places of the good cases, best first; equal ones by fewer chips, then higher throughput per chip."""
    column, sign = AIMS[aim]
    places = np.flatnonzero(good & np.isfinite(found[column]))
    keys = (-found["output_tok_s_chip"][places], found["chips"][places], -sign * found[column][places])
    return places[np.lexsort(keys)]


def distinct(found: Candidates, order: np.ndarray, count: int) -> list[int]:
    """The best case of each deployment (chip, weights, cut), in order, at most `count`."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for place in order:
        s = found.settings[found.where[place]]
        cut = tuple(float(found[name][place]) for name in (*_CUT, *_POOLS))
        key = (s.chip.id, s.weights, *(cut[len(_CUT) :] if s.chip.weights_in_sram else cut))
        if key not in seen:
            seen.add(key)
            kept.append(int(place))
            if len(kept) == count:
                break
    return kept


def closest(found: Candidates, limits: Limits) -> tuple[int, list[tuple[str, str, float, float]]] | None:
    """(place, [(why, column, value, limit)]) of the fitting case that misses its limits by the smallest
    factor.

    The factor is the product over the limits missed; None when nothing fits at all.
    """
    checks = limits.checks()
    miss = np.zeros(len(found))
    for _, column, most in checks:
        values = found[column]
        with np.errstate(divide="ignore", invalid="ignore"):
            miss += np.where(values <= most, 0.0, np.log(values / most) if most > 0 else np.inf)
    miss = np.where(found.fits & ~np.isnan(miss), miss, np.inf)
    if not len(found) or not np.isfinite(miss).any():
        return None
    place = int(np.argmin(miss))
    broken = [(why, c, float(found[c][place]), most) for why, c, most in checks if not found[c][place] <= most]
    return place, broken


def front(x: np.ndarray, y: np.ndarray, higher: bool = True) -> np.ndarray:
    """Places of the points that no other beats (x higher is better, y higher or lower), by rising x; no
    NaN.
    """
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    value = y[usable] if higher else -y[usable]
    order = np.lexsort((-value, -x[usable]))
    best = np.maximum.accumulate(value[order])
    first = np.ones(order.size, dtype=bool)
    first[1:] = value[order][1:] > best[:-1]
    return usable[order[first]][::-1]


def fronts(found: Candidates, good: np.ndarray) -> np.ndarray:
    """Places on the front of speed per user against throughput per chip, or against cost per million, of
    any chip.
    """
    places = np.flatnonzero(good)
    speed = found["output_tok_s_user"][places]
    kept: set[int] = set()
    for column, higher in (("output_tok_s_chip", True), ("per_m_blended", False)):
        kept |= set(places[front(speed, found[column][places], higher)].tolist())
    return np.array(sorted(kept, key=lambda place: found["output_tok_s_user"][place]), dtype=int)


def thin(places: Sequence[int], count: int) -> list[int]:
    """At most `count` of the places, evenly, the ends kept."""
    if len(places) <= count:
        return list(places)
    return [places[round(i * (len(places) - 1) / (count - 1))] for i in range(count)]


MOST_PLOTTED = 300


def plot_rows(found: Candidates) -> list[dict[str, object]]:
    """Cases for a plot: all on a front of their own chip, and an even choice of the others that fit."""
    speed = found["output_tok_s_user"]
    kept: set[int] = set()
    chips = np.array([s.chip.id for s in found.settings], dtype=object)[found.where]
    for place in np.flatnonzero(found["prefill"] >= 0):
        chips[place] = chip_name(found, int(place))
    for chip in dict.fromkeys(chips.tolist()):
        own = np.flatnonzero(found.fits & (chips == chip))
        for column, higher in (("output_tok_s_chip", True), ("per_m_blended", False)):
            kept |= set(own[front(speed[own], found[column][own], higher)].tolist())
    others = np.flatnonzero(found.fits)
    kept |= set(others[:: max(1, others.size // MOST_PLOTTED)].tolist())
    names = ("output_tok_s_user", "output_tok_s_chip", "per_m_output", "per_m_blended")
    return [
        {"chip": str(chips[i]), "label": _short(found, i)}
        | {name: None if np.isnan(found[name][i]) else float(found[name][i]) for name in names}
        for i in sorted(kept)
    ]


def chip_name(found: Candidates, place: int) -> str:
    """The chip of a case; both where prompts run on another one: "h100-sxm + wse-3"."""
    second = str(found.settings[int(found.where[place])].chip.id)
    if found["prefill"][place] < 0:
        return second
    first = found.settings[int(found["prefill"][place])].chip.id
    return second if first == second else f"{first} + {second}"


def _short(found: Candidates, place: int) -> str:
    """A point's name in a plot: chips and requests in flight."""
    count = int(found["chips"][place])
    return f"{count} chip{'s' if count > 1 else ''}, {found['concurrency'][place]:.0f} in flight"
