"""Wide expert parallelism: attention on every chip for its own requests, experts spread over all of them.

One phase at a time, as DeepSeek (EP32 prefill, EP144 decode on H800) and CloudMatrix (EP320 on Ascend dies)
run it: two half batches take turns, one computing while the other's tokens travel. Stands after `step`,
before `disagg`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .constants import Constants, load_constants
from .engine import find_engine
from .memory import footprint
from .operators import Formats, component_formats
from .parallel import Plan
from .passes import decode_operators, prompt_operators
from .roofline import smooth_max
from .serving import accepted_tokens
from .stack import engine_for_chip, host_joined
from .step import StepTime, step_time

if TYPE_CHECKING:
    from .chip import Chip
    from .model import Model


@dataclass(frozen=True)
class Phase:
    """Seconds of one step (decode) or pass (prefill) of all chips, and tokens per second of one chip."""

    chips: int
    tokens_per_chip: float
    step_s: float
    tpot_s: float
    tok_s_chip: float
    compute_s: float
    exchange_s: float
    host_s: float
    largest_batch: float
    terms: Mapping[str, float]


def decode(
    chip: Chip, model: Model, fmt: Formats, *, chips: int, batch_per_chip: float | None, context: float,
    draft: int = 0, acceptance: float = 0.0, max_tpot_s: float | None = None,
) -> Phase:  # fmt: skip
    """Generation over `chips`: step = host joined with (compute^p + exchange^p)^(1/p), divided by accepted
    tokens.

    batch_per_chip None: the largest that memory holds, or that keeps max_tpot_s.
    Worked: DeepSeek-V3 on 144 H800, 88 requests of 4,989 tokens each: 51 ms of compute hide 19 ms of
    exchange.
    """
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    plan = Plan(1.0, 1.0, float(chips), float(chips))
    room = float(footprint(chip, model, plan, fmt, engine, context).batch) / chips

    def at(batch: float) -> Phase:
        ops = decode_operators(model, plan, fmt, batch * chips, context, draft + 1.0)
        whole = step_time(ops, chip, constants)
        compute, exchange = _split(whole)
        kernels = smooth_max(compute, exchange, constants.tables["wide"]["overlap"])
        host = engine.step_s + engine.sequence_s * batch
        step = float(np.ravel(host_joined(engine, kernels, host))[0])
        tpot = step / float(accepted_tokens(acceptance, draft))
        return Phase(
            chips, batch, step, tpot, batch / tpot, compute, exchange, host, room, _sums(whole)
        )  # fmt: skip

    if batch_per_chip is not None:
        return at(batch_per_chip)
    low, high = 1.0, max(1.0, min(room, engine.max_sequences))
    if max_tpot_s is None or at(high).tpot_s <= max_tpot_s:
        return at(high)
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if at(middle).tpot_s <= max_tpot_s else (low, middle)
    return at(float(np.floor(low)))


def prefill(
    chip: Chip, model: Model, fmt: Formats, *, chips: int, isl: float, cache_hit: float = 0.0,
    tokens_per_chip: float = 16384.0,
) -> Phase:  # fmt: skip
    """Prompts over `chips`, `tokens_per_chip` new tokens at a time; tokens per second are computed ones.

    Tokens of models whose routing is limited to a few nodes cross the network once per node, not once per
    expert. With cache hits the input rate is tok_s_chip / (1 - cache_hit).
    """
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    plan = Plan(1.0, 1.0, float(chips), float(chips))
    fresh = isl * (1.0 - cache_hit)
    prompts = chips * max(1.0, tokens_per_chip / fresh)
    ops = prompt_operators(model, plan, fmt, prompts, fresh, isl - fresh)
    whole = step_time(ops, chip, constants)
    compute, exchange = _split(whole)
    exchange *= _copies(model, chips, chip, constants)
    kernels = smooth_max(compute, exchange, constants.tables["wide"]["overlap"])
    step = float(np.ravel(host_joined(engine, kernels, engine.prefill_step_s))[0])
    each = prompts * fresh / chips
    return Phase(
        chips, each, step, step, each / step, compute, exchange, engine.prefill_step_s, prompts / chips,
        _sums(whole),
    )  # fmt: skip


def _copies(model: Model, chips: int, chip: Chip, constants: Constants) -> float:
    """Nodes that a token visits over experts that it asks, 1 where routing is free or one switched domain
    holds all.
    """
    wide = constants.tables["wide"]
    top_k = max((group.ffn.top_k for group in model.groups), default=0)
    groups = wide["groups"].get(model.id)
    link = chip.scale_up
    inside = link is not None and (link.domain_chips or 8) >= chips
    if not groups or inside or chips <= wide["node_chips"] or not top_k:
        return 1.0
    return float(min(1.0, groups / top_k))


def _split(whole: StepTime) -> tuple[float, float]:
    """(compute, exchange) seconds of a step."""
    exchange = sum(
        float(np.ravel(t)[0])
        for t, kind in zip(whole.terms_s, whole.bound, strict=True)
        if kind in ("all_to_all", "all_reduce")
    )
    return float(np.ravel(whole.seconds)[0]) - exchange, exchange


def _sums(whole: StepTime) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, seconds in zip(whole.names, whole.terms_s, strict=True):
        found[name] = found.get(name, 0.0) + float(np.ravel(seconds)[0])
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def is_wide(model: Model, chips: int | None) -> bool:
    """True where a deployment is taken as wide expert parallel: a routed model on 16 chips or more."""
    return model.is_moe and chips is not None and chips >= 16


def decode_tok_s_chip(
    chip: str, model: str, chips: int, context: float, *, batch: float | None = None,
    speed: float | None = None, weights: str | None = None, draft: int = 0, acceptance: float = 0.0,
) -> float:  # fmt: skip
    """Output tokens/s of one chip by names, for scenarios: at `batch` requests a chip, or `speed` a user."""
    device, network, fmt = _named(chip, model, weights)
    return decode(
        device, network, fmt, chips=chips, batch_per_chip=batch, context=context, draft=draft,
        acceptance=acceptance, max_tpot_s=1.0 / speed if speed else None,
    ).tok_s_chip  # fmt: skip


def prefill_tok_s_chip(
    chip: str, model: str, chips: int, isl: float, *, cache_hit: float = 0.0, tokens: float = 16384.0,
    weights: str | None = None,
) -> float:  # fmt: skip
    """Computed input tokens/s of one chip by names; over (1 - cache_hit) with those found in a cache."""
    device, network, fmt = _named(chip, model, weights)
    return prefill(
        device, network, fmt, chips=chips, isl=isl, cache_hit=cache_hit, tokens_per_chip=tokens
    ).tok_s_chip


def _named(chip: str, model: str, weights: str | None) -> tuple[Chip, Model, Formats]:
    from .catalog import load_chip, load_model
    from .deployment import choose_formats

    device, network = load_chip(chip), load_model(model)
    engine = find_engine(load_constants(), None)
    weights, kv, _ = choose_formats(device, network, engine, weights, None)
    return device, network, component_formats(network, weights, kv)
