"""Chips, degrees and replicas of measured rows that print only some of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...arrays import Values
from ...engines.vendor import stack_table
from ...physics.exchange import wide_ranks
from ...physics.memory import footprint, weight_bytes_per_chip
from ...physics.parallel import Plan
from .inputs import assumed_values, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

    from ...engines.engine import Engine
    from ...hardware.chip import Chip
    from ...models.model import Model
    from ...physics.operators import Formats

_FULL = ("max-load", "energy", "price")  # regimes that fill a machine, beside MLPerf's
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, eq=False)
class Setup:
    """What rows of a block run: a model in formats on a chip under an engine."""

    chip: Chip
    model: Model
    formats: Formats
    engine: Engine


class _Degrees(NamedTuple):
    """Of one row: chips of the whole system; degrees; replicas alike. NaN where not printed."""

    chips: float
    tp: float
    pp: float
    dp: float
    ep: float
    replicas: float = 1.0


def degrees(rows: pd.DataFrame, setup: Setup, context: Values, assumed: list[list[str]]) -> tuple[Plan, Values]:
    """(plan of one replica, replicas alike) of each row; what is not printed is filled and said.

    Engines that split models by layers have stages instead of tensor parallel ranks. TensorRT-LLM's MLPerf
    entries run latent attention (MLA) data parallel. A system without degrees whose regime fills memory is
    cut into the smallest replicas that hold the model with room to run; a single stream spreads over all of
    its chips; a number of chips not printed is the least that fits.
    """
    least = _least_chips(setup, float(np.max(context)))
    roomy = _roomy_chips(setup, least)
    printed = zip(texts(rows, "regime"), *(numbers(rows, c) for c in ("chips", "tp", "pp", "dp", "ep")), strict=True)
    cuts = []
    for (regime, *row), words in zip(printed, assumed, strict=True):
        known = _with_chips(_Degrees(*row), _few(regime, setup.chip, least, roomy), words)
        cuts.append(_cut(known, setup, regime, (least, roomy), words))
    _, tp, pp, dp, ep, replicas = np.array(cuts).T
    return Plan(tp, pp, dp, ep), replicas


def _few(regime: str, chip: Chip, least: float, roomy: float) -> float:
    """Chips of a system that prints neither them nor a degree."""
    few = roomy if regime in ("max-load", "mlperf-offline", "mlperf-server") else least
    alone = regime == "decode-b1" and chip.kind != "gpu"
    return max(few, float(chip.chips_per_system or 1)) if alone else few


def _with_chips(row: _Degrees, few: float, words: list[str]) -> _Degrees:
    row = row._replace(pp=1.0 if isnan(row.pp) else row.pp)
    if not isnan(row.chips):
        return row
    if not isnan(row.tp):
        return row._replace(chips=row.tp * row.pp * (1.0 if isnan(row.dp) else row.dp))
    words.append(f"{few:g} chips")
    return row._replace(chips=few)


def _cut(row: _Degrees, setup: Setup, regime: str, sizes: tuple[float, float], words: list[str]) -> _Degrees:
    """The row with all of its degrees; sizes: the least chips that hold the model, and with room to run."""
    model, engine, (least, roomy) = setup.model, setup.engine, sizes
    if isnan(row.tp):
        row = _split(row, setup, regime, (least, roomy), words)
    elif _is_latent(model) and regime.startswith("mlperf") and "trtllm" in engine.name and not row.dp > 1:
        row = row._replace(tp=1.0, dp=row.tp)
        words.append("attention data parallel")
    if regime == "wide-ep" and row.ep > row.tp:
        # the chips of the row may be a share of the system that holds the experts
        row = row._replace(dp=row.ep / row.tp, replicas=row.chips / row.ep)
    if isnan(row.dp):
        rest = row.chips / (row.tp * row.pp * row.replicas)
        if rest >= 2 and not model.is_moe and row.replicas == 1:
            row = row._replace(replicas=rest)
        row = row._replace(dp=rest if rest >= 2 and model.is_moe else 1.0)
    return row._replace(ep=1.0 if isnan(row.ep) else min(row.ep, row.tp * row.dp))


def _split(row: _Degrees, setup: Setup, regime: str, sizes: tuple[float, float], words: list[str]) -> _Degrees:
    """Chips that print no tensor-parallel degree: replicas of a full machine, wide ranks, stages, or all together."""
    least, roomy = sizes
    per = row.chips / row.pp / (1.0 if isnan(row.dp) else row.dp)
    many = row.chips > 8 or (row.chips < least and setup.chip.kind != "gpu")
    if regime.startswith("mlperf") or (regime in _FULL and many):
        tp = min(roomy, per) if per >= least else roomy  # less than a replica: a chip's share of one
        if per / tp != 1:
            words.append(f"{per / tp:g} replicas of {tp:g}")
        return row._replace(tp=tp, replicas=per / tp)
    if regime == "wide-ep" and setup.model.is_moe:
        ep = wide_ranks(setup.model, row.chips, least) if isnan(row.ep) else row.ep
        if isnan(row.ep) and ep != row.chips:
            words.append(f"a share of {ep:g} chips")
        return row._replace(tp=1.0, ep=ep)
    if setup.engine.split == "layers":
        return row._replace(tp=1.0, pp=row.pp * max(1.0, per))
    return row._replace(tp=max(1.0, per))


def _is_latent(model: Model) -> bool:
    return any(group.attention.kv_lora_rank for group in model.groups)


def _least_chips(setup: Setup, context: float) -> float:
    """Smallest power of two of chips in tensor parallel whose memory holds the weights and two sequences."""
    for chips in _SIZES:
        held = footprint(setup.chip, setup.model, Plan(chips), setup.formats, setup.engine, context=context)
        if float(held.batch) >= 2:
            return float(chips)
    return 1024.0


def _roomy_chips(setup: Setup, least: float) -> float:
    """Fewest chips whose weights leave the cache its room: what who fills a machine with requests would choose.

    Boards that exchange over the host's bus are cut into smaller replicas (`room` of their stack).
    """
    room = float(stack_table(setup.chip)[0].get("room", assumed_values()["room"])) * setup.chip.memory_bytes
    chips = least
    while chips < 512 and float(weight_bytes_per_chip(setup.model, Plan(chips), setup.formats)) > room:
        chips *= 2
    return chips
