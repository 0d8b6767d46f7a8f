"""Disaggregated systems for the planner: pools of prefill and decode replicas, on one kind of chip or on
two.

Every whole number of replicas on both sides is a candidate; the seconds of each side come from `serving.pools`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...answers.setting import Setting
from ...errors import TokcalcError
from ...serving.pools import DECODE_BUSY, Job, Phase, decode, matched, prefill
from ...serving.power import Effort, chips_watts
from .search import NUMBERS, POOLS, Candidates

COLUMNS = (*NUMBERS, *POOLS)
MOST_REPLICAS = 8
BATCHES = (1, 4, 8, 16, 32, 64, 128, 256, 512)
MOST_PAIRS = 64


@dataclass(frozen=True)
class _Asked:
    """What every system is asked for: lengths, share found in cache, most chips, share of the paid hours in use."""

    isl: float
    osl: float
    most_chips: int
    cached: float
    utilisation: float


@dataclass(frozen=True)
class _Side:
    """The replicas of one pool and the setting that they stand for."""

    setting: Setting
    phase: Phase


def pool_candidates(
    settings: Sequence[Setting],
    *,
    isl: float,
    osl: float,
    most_chips: int,
    cached: float = 0.0,
    utilisation: float = 1.0,
) -> Candidates | None:
    """Prefill on one setting, decode on another, each pair of chips and formats; None where none fits.

    TTFT = prompt + transfer + wait of the prefill pool + one step, as `serving.pools.matched` composes it. Settings
    that differ in the engine alone count once, since pools use the general constants.
    """
    asked = _Asked(isl, osl, most_chips, cached, utilisation)
    unique = list({(s.chip.id, s.weights): s for s in settings}.values())
    if len(unique) ** 2 > MOST_PAIRS:
        pairs = [(s, s) for s in unique]
    else:
        pairs = [(first, second) for first in unique for second in unique]
    places = {id(s): place for place, s in enumerate(unique)}
    prefills = {id(s): _prefill(s, isl, cached) for s in unique}
    decodes = {id(s): _decodes(s, isl, osl) for s in unique}
    parts: list[dict[str, np.ndarray]] = []
    for first, second in pairs:
        sender = prefills[id(first)]
        for receiver in decodes[id(second)] if sender is not None else ():
            assert sender is not None
            part = _system(_Side(first, sender), _Side(second, receiver), asked)
            if part is not None:
                size = len(part["chips"])
                part["where"] = np.full(size, float(places[id(second)]))
                part["prefill"] = np.full(size, float(places[id(first)]))
                parts.append(part)
    if not parts:
        return None
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    where = joined.pop("where").astype(np.intp)
    fits = np.ones(len(where), dtype=bool)
    return Candidates(tuple(unique), where, fits, fits.copy(), {name: joined[name] for name in COLUMNS})


def _prefill(s: Setting, isl: float, cached: float) -> Phase | None:
    try:
        return prefill(Job(s.chip, s.model, int(isl), 1, cached, None, s.weights))
    except (TokcalcError, ZeroDivisionError):
        return None


def _decodes(s: Setting, isl: float, osl: float) -> list[Phase]:
    """Decode replicas of the fewest chips and of a whole box, at each batch that they hold."""
    found: list[Phase] = []
    box = s.chip.chips_per_system
    for chips in dict.fromkeys((None, None if s.chip.weights_in_sram or not box or box > 16 else box)):
        for batch in BATCHES:
            try:
                found.append(decode(Job(s.chip, s.model, int(isl), int(osl), 0.0, chips, s.weights, float(batch))))
            except TokcalcError:
                break
    return found


def _system(reads: _Side, writes: _Side, asked: _Asked) -> dict[str, np.ndarray] | None:
    """Figures of x prefill and y decode replicas, for all x and y that the chips allow."""
    sender, receiver, isl, osl = reads.phase, writes.phase, asked.isl, asked.osl
    x, y = (v.ravel() for v in np.meshgrid(np.arange(1.0, MOST_REPLICAS + 1), np.arange(1.0, MOST_REPLICAS + 1)))
    kept = x * sender.chips + y * receiver.chips <= asked.most_chips
    x, y = x[kept], y[kept]
    if not x.size:
        return None
    both = matched(sender, receiver, writes.setting.model, isl, (x, y))
    rate, chips = np.asarray(both.requests_per_s), np.asarray(both.chips)
    figures: dict[str, Any] = dict.fromkeys(COLUMNS, np.nan)
    figures |= {
        "isl": isl,
        "osl": osl,
        "chips": chips,
        "tp": 1.0,
        "pp": 1.0,
        "dp": 1.0,
        "ep": 1.0,
        "draft": 0.0,
        "concurrency": y * receiver.batch,
        "largest_batch": y * receiver.batch,
        "tpot_s": receiver.seconds,
        "ttft_s": both.ttft_s,
        "output_tok_s": rate * osl,
        "input_tok_s": rate * isl,
        "output_tok_s_user": 1.0 / receiver.seconds,
        "output_tok_s_chip": rate * osl / chips,
        "prefill_chips": float(sender.chips),
        "prefill_replicas": x,
        "decode_chips": float(receiver.chips),
        "decode_replicas": y,
    }
    watts = [_watts(reads, x, rate * isl * (1.0 - asked.cached)), _watts(writes, y, rate * osl)]
    if watts[0] is not None and watts[1] is not None:
        figures |= {"power_w": watts[0] + watts[1], "tok_per_joule": rate * osl / (watts[0] + watts[1])}
    prices = [(side.setting.price, side.phase.chips) for side in (reads, writes)]
    if all(price is not None for price, _ in prices):
        hours = [
            price.fixed * count * chips + price.per_watt * (0.0 if w is None else w)
            for (price, chips), count, w in zip(prices, (x, y), watts, strict=True)
            if price is not None
        ]
        per_token = 1e6 / 3600.0 / asked.utilisation
        figures |= {
            "per_hour": hours[0] + hours[1],
            "per_m_input": hours[0] * per_token / (rate * isl),
            "per_m_output": hours[1] * per_token / (rate * osl),
            "per_m_blended": (hours[0] + hours[1]) * per_token / (rate * (isl + osl)),
        }
    return {
        name: np.array(np.broadcast_to(figures[name], x.shape), dtype=float) for name in COLUMNS if name != "prefill"
    }


def _watts(side: _Side, replicas: np.ndarray, tokens_s: np.ndarray) -> np.ndarray | None:
    """Watts of a pool's chips at that token rate; None where no power is published."""
    s, effort = side.setting, Effort(replicas * side.phase.chips, tokens_s, DECODE_BUSY)
    drawn = chips_watts(s.chip, s.model, side.phase.weights, effort)
    return None if drawn is None else np.asarray(drawn[0])
