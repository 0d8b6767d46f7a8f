"""The load at which a machine earns its keep: the largest that keeps a speed and a first token, on the best cut.

A lone request makes absurdly dear tokens; nobody serves that way. Cost, margin, fleet and scenarios therefore ask here,
and this asks the chooser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..answers.answer import Answer
from ..answers.estimate import estimate
from ..catalog import load_chip, load_model
from ..engines.constants import load_constants
from ..engines.engine import default_engine, find_engine
from ..engines.resolve import check_runs
from ..errors import UsageError
from ..serving.chooser import Limits, choose_loaded
from ..serving.deployment import Wish
from ..serving.workload import Load

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model

MIN_SPEED = 20.0
"""Tokens/s per user: DeepSeek's own service ran at 20 to 22, four times as fast as people read."""


def loaded(
    chip: str | Chip, model: str | Model, *, speed: float = MIN_SPEED, ttft: float | None = None, **question: Any
) -> Answer:
    """The answer at the load that makes the most tokens per chip while each user gets `speed` tokens/s.

    ttft: seconds to the first token at most, on average. question: keywords of `estimate`; a concurrency or
    degrees that are given are kept. NoAnswer says how fast the machine is when the limit cannot be met.
    """
    if not (np.isfinite(speed) and speed > 0):
        raise UsageError(f"--min-speed must be a number of tokens/s above zero, not {speed:g}.")
    if ttft is not None and not (np.isfinite(ttft) and ttft > 0):
        raise UsageError(f"--max-ttft must be a number of seconds above zero, not {ttft:g}.")
    if question.get("concurrency") is not None:
        return estimate(chip, model, **question)
    asked = {k: v for k, v in question.items() if k != "concurrency"}
    device = load_chip(chip, asked.get("overrides"), asked.get("memory")) if isinstance(chip, str) else chip
    network = load_model(model) if isinstance(model, str) else model
    constants = asked.get("constants") or load_constants()
    engine = find_engine(
        constants, asked.get("engine") or default_engine(device), date=asked.get("software_date") or ""
    )
    check_runs(constants, engine, device)
    wish = Wish(**{f.name: asked.get(f.name) for f in fields(Wish)})
    load = Load(
        float(asked.get("isl", 1024)),
        float(asked.get("osl", 1024)),
        1.0,
        asked.get("cache_hit", 0.0),
        float(asked.get("draft") or 0),
        float(asked.get("acceptance") or 0.0),
    )
    limits = Limits(1.0 / speed, np.inf if ttft is None else ttft)
    found = choose_loaded(device, network, (engine, constants), wish, load, limits=limits)
    degrees = dict(zip(("tp", "pp", "dp", "ep"), (int(np.asarray(d)) for d in found.plan.degrees), strict=True))
    if device.weights_in_sram:
        degrees = {"chips": degrees["pp"]}
    return estimate(chip, model, **{**asked, **degrees, "concurrency": int(found.batch)})


def limit_text(speed: float | None, ttft: float | None = None) -> str:
    """The latency limit in words, to stand beside every figure that depends on it; None: a load that is given."""
    if speed is None:
        return "requests in flight as asked"
    first = f" and the first token within {ttft:g} s" if ttft else ""
    return f"largest load that fits at full length and gives each user at least {speed:g} tokens/s{first}"


def load_lines(answer: Mapping[str, Any], speed: float | None, ttft: float | None = None) -> str:
    """One sentence: the machine, its load, and the limit that set it."""
    plan, work = answer["deployment"], answer["workload"]
    degrees = " ".join(f"{k}{plan[k]}" for k in ("tp", "pp", "dp", "ep") if (plan.get(k) or 1) != 1)
    shown = f" ({degrees})" if degrees else ""
    user = answer["speed"]["output_tok_s_user"]["value"]
    return (
        f"{plan['chips']:,} x {answer['chip_name']}{shown}, weights {plan['weights']}, "
        f"{work['concurrency']:,} requests in flight of {work['isl']:,} + {work['osl']:,} tokens, "
        f"{user:,.3g} tokens/s per user ({limit_text(speed, ttft)})"
    )
