"""Chips, degrees and replicas of measured rows that print only some of them.

Stands beside `row_inputs`, before `cases`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...engines.vendor import stack_table
from ...physics.exchange import wide_ranks
from ...physics.memory import footprint, weight_bytes_per_chip
from ...physics.parallel import Plan
from .inputs import ROOM, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

    from ...engines.engine import Engine
    from ...hardware.chip import Chip
    from ...models.model import Model
    from ...physics.operators import Formats


def degrees(
    rows: pd.DataFrame, chip: Chip, model: Model, fmt: Formats, engine: Engine, context: np.ndarray,
    assumed: list[list[str]],
) -> tuple[Plan, np.ndarray]:  # fmt: skip
    """(plan of one replica, replicas alike) of each row; what is not printed is filled and said.

    Engines that split models by layers have stages instead of tensor parallel ranks. TensorRT-LLM's MLPerf
    entries run latent attention (MLA) data parallel. A system without degrees whose regime fills memory is
    cut into the smallest replicas that hold the model with room to run; a single stream spreads over all of
    its chips; a number of chips not printed is the least that fits.
    """
    chips, tp, pp, dp, ep = (numbers(rows, c) for c in ("chips", "tp", "pp", "dp", "ep"))
    regime = texts(rows, "regime")
    size = len(rows)
    replicas = np.ones(size)
    least = _least_chips(chip, model, fmt, engine, float(np.max(context)))
    roomy = _roomy_chips(chip, model, fmt, least)
    latent = any(group.attention.kv_lora_rank for group in model.groups)
    for i in range(size):
        known = not np.isnan(tp[i])
        own_pp = 1.0 if np.isnan(pp[i]) else pp[i]
        own_dp = np.nan if np.isnan(dp[i]) else dp[i]
        if np.isnan(chips[i]):
            few = roomy if regime[i] in ("max-load", "mlperf-offline", "mlperf-server") else least
            if regime[i] == "decode-b1" and chip.kind != "gpu":
                few = max(few, float(chip.chips_per_system or 1))
            chips[i] = (tp[i] * own_pp * (1.0 if np.isnan(own_dp) else own_dp)) if known else few
            if not known:
                assumed[i].append(f"{few:g} chips")
        if not known:
            per = chips[i] / own_pp / (1.0 if np.isnan(own_dp) else own_dp)
            if regime[i].startswith("mlperf") or (
                regime[i] in ("max-load", "energy", "price")
                and (chips[i] > 8 or (chips[i] < least and chip.kind != "gpu"))
            ):
                tp[i] = min(roomy, per) if per >= least else roomy  # less than a replica: a chip's share of one
                replicas[i] = per / tp[i]
                if replicas[i] != 1:
                    assumed[i].append(f"{replicas[i]:g} replicas of {tp[i]:g}")
            elif regime[i] == "wide-ep" and model.is_moe:
                tp[i] = 1.0
                if np.isnan(ep[i]):
                    ep[i] = wide_ranks(model, chips[i], least)
                    if ep[i] != chips[i]:
                        assumed[i].append(f"a share of {ep[i]:g} chips")
            elif engine.split == "layers":
                tp[i], own_pp = 1.0, own_pp * max(1.0, per)
            else:
                tp[i] = max(1.0, per)
        elif (
            latent
            and regime[i].startswith("mlperf")
            and "trtllm" in engine.name
            and np.nan_to_num(own_dp, nan=1.0) == 1
        ):
            tp[i], own_dp = 1.0, tp[i]
            assumed[i].append("attention data parallel")
        pp[i] = own_pp
        if regime[i] == "wide-ep" and not np.isnan(ep[i]) and ep[i] > tp[i]:
            own_dp = ep[i] / tp[i]  # the chips of the row may be a share of the system that holds the experts
            replicas[i] = chips[i] / ep[i]
        if np.isnan(own_dp):
            rest = chips[i] / (tp[i] * own_pp * replicas[i])
            own_dp = rest if rest >= 2 and model.is_moe else 1.0
            if rest >= 2 and not model.is_moe and replicas[i] == 1:
                replicas[i] = rest
        dp[i] = own_dp
        ep[i] = 1.0 if np.isnan(ep[i]) else min(ep[i], tp[i] * dp[i])
    return Plan(tp, pp, dp, ep), replicas


def _least_chips(chip: Chip, model: Model, fmt: Formats, engine: Engine, context: float) -> float:
    """Smallest power of two of chips in tensor parallel whose memory holds the weights and two sequences."""
    for chips in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        if float(footprint(chip, model, Plan(chips), fmt, engine, context).batch) >= 2:
            return float(chips)
    return 1024.0


def _roomy_chips(chip: Chip, model: Model, fmt: Formats, least: float) -> float:
    """Fewest chips whose weights leave the cache its room: what who fills a machine with requests would choose.

    Boards that exchange over the host's bus are cut into smaller replicas (`room` of their stack).
    """
    room = float(stack_table(chip)[0].get("room", ROOM))
    chips = least
    while chips < 512 and float(weight_bytes_per_chip(model, Plan(chips), fmt)) > room * chip.memory_bytes:
        chips *= 2
    return chips
