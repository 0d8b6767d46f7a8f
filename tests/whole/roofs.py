"""The roofs of a chip and a model, counted from shapes and datasheet figures alone, output head included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from tokcalc.hardware.chip import Chip
from tokcalc.hardware.formats import Format, find_format
from tokcalc.models.model import Model
from tokcalc.physics.operators import Formats, component_formats
from tokcalc.serving.closed_loop import evaluate
from tokcalc.serving.replica import Replica
from tokcalc.serving.workload import Load

SLACK = 1 + 1e-6
WIDE = find_format("bf16")
SPEEDS = ("output_tok_s_user", "output_tok_s", "input_tok_s", "ttft_s")


def active_parts(model: Model, fmt: Formats) -> list[tuple[float, Format]]:
    """(parameters that one token multiplies, their format), the output head last; norms and biases left out."""
    parts = []
    for g in model.groups:
        parts += [
            (g.count * (g.attention.qkv_params + g.attention.out_params), fmt.attention),
            (g.count * g.ffn.dense_params, fmt.ffn),
            (g.count * g.ffn.router_params, WIDE),
            (g.count * g.ffn.top_k * g.ffn.expert_params, fmt.experts),
        ]
    parts.append((model.vocab * model.hidden, fmt.head))
    return parts


def peak(chip: Chip, fmt: Format) -> float:
    """The dense peak that products of the format can reach on the chip at the very best."""
    at = {k: v for k, v in chip.peak_ops_s.items() if k in (*fmt.ladder, "fp16", "bf16", "fp16_acc16")}
    return float(max((at or chip.peak_ops_s).values()))


def excesses(chip: Chip, model: Model, fmt: Formats, load: Load, speed: Mapping[str, Any]) -> dict[str, float]:
    """How far the speeds of a machine are above their roofs: name -> largest ratio; empty where all keep to physics.

    load: numbers or arrays, of which the concurrency is what runs; speed: `SPEEDS` on so many `chips`, where a case
    `fits`.
    """
    chips, parts = speed["chips"], active_parts(model, fmt)
    bandwidth = (chip.bandwidth_bytes_s or float("inf")) * chips
    weights = sum(n * f.bytes for n, f in parts)
    cache = model.kv_elements(load.isl) * fmt.kv.bytes  # before the first answer token; later ones read more
    flops_s = [2.0 * n / (peak(chip, f) * chips) for n, f in parts]  # seconds of one token at the peak
    token, inside = sum(flops_s), sum(flops_s[:-1])
    found = {
        # weights are read at least once for a step in which every running request gets one token
        "user over bandwidth": speed["output_tok_s_user"] * (weights + cache) / bandwidth,
        "system over bandwidth": speed["output_tok_s"] * (weights / load.concurrency + cache) / bandwidth,
        # prompts do not need the head, but for their last token
        "system over compute": speed["output_tok_s"] * token + speed["input_tok_s"] * inside,
        "first token over compute": load.fresh * inside / speed["ttft_s"],
        "user over compute": speed["output_tok_s_user"] * token,
    }
    most = {name: float(np.max(np.where(speed["fits"], ratio, 0.0))) for name, ratio in found.items()}
    return {name: ratio for name, ratio in most.items() if not ratio <= SLACK}


def of_replica(r: Replica, load: Load) -> dict[str, float]:
    """`excesses` of a replica under arrays of loads."""
    served = evaluate(r, load)
    running = replace(load, concurrency=served.running)
    speed = {name: getattr(served, name) for name in ("fits", "chips", *SPEEDS)}
    return excesses(r.chip, r.model, r.formats, running, speed)


def of_answer(chip: Chip, model: Model, answer: Mapping[str, Any]) -> dict[str, float]:
    """`excesses` of one answer."""
    asked, deployment = answer["workload"], answer["deployment"]
    isl, osl = float(asked["isl"]), float(asked["osl"])
    # more run than fit at full length, for as long as they are short
    grown = (answer["memory"]["largest_batch"] + 1.0) * (isl + osl) / (isl + osl / 2.0)
    load = Load(isl, osl, min(asked["concurrency"], grown), asked["cache_hit"])
    speed = {name: answer["speed"][name]["value"] for name in SPEEDS}
    fmt = component_formats(model, deployment["weights"], deployment["kv"])
    return excesses(chip, model, fmt, load, {"fits": True, "chips": deployment["chips"], **speed})
