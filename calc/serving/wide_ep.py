"""Wide expert parallelism: attention on every chip for its own requests, experts spread over all of them.

One phase at a time, as DeepSeek (EP32 prefill, EP144 decode on H800) and CloudMatrix (EP320 on Ascend dies)
run it: two half batches take turns, one computing while the other's tokens travel. The one implementation
behind `mixed`, the planner's pools, scenarios and measured wide-ep rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, Mask, Values
from ..engines.constants import Constants, load_constants
from ..engines.engine import Engine, find_engine
from ..engines.resolve import engine_for
from ..physics.exchange import exchange_s, imbalance, wide_table
from ..physics.memory import footprint
from ..physics.operators import Formats, component_formats
from ..physics.parallel import Plan
from ..physics.passes import decode_operators, prompt_operators
from ..physics.roofline import smooth_max
from ..physics.step import StepTime, host_joined, mtp_token_s, step_time
from .workload import accepted_tokens

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


@dataclass(frozen=True)
class WideStep:
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


@dataclass(frozen=True, repr=False)
class Software:
    """Engine and constants of a phase; None: the default engine, the shipped constants."""

    engine: Engine | None = None
    constants: Constants | None = None

    def on(self, chip: Chip, model: Model, fmt: Formats) -> tuple[Engine, Constants]:
        """The engine as it runs this model on this chip, and the constants with what it changes in them."""
        constants = self.constants or load_constants()
        engine = self.engine or find_engine(constants, None)
        engine = engine_for(constants, engine, chip, model, fmt.experts.name)
        return engine, constants.tuned(engine.kernels)


DEFAULT = Software()


def decode(
    chip: Chip,
    model: Model,
    fmt: Formats,
    *,
    chips: int,
    batch_per_chip: float | None,
    context: float,
    draft: int = 0,
    acceptance: float = 0.0,
    max_tpot_s: float | None = None,
    tp: int = 1,
    accepted: float | None = None,
    software: Software = DEFAULT,
) -> WideStep:
    """Generation over `chips`: step = host joined with (compute^p + exchange^p)^(1/p), divided by accepted
    tokens.

    batch_per_chip None: the largest that memory holds, or that keeps max_tpot_s. accepted: tokens that a
    step yields, where they are known better than by draft and acceptance. tp: chips that share attention.
    Worked: DeepSeek-V3 on 144 H800, 78 requests of 4,989 tokens each: 47 ms of compute hide 21 ms of
    exchange.
    """
    engine, constants = software.on(chip, model, fmt)
    plan = Plan(float(tp), 1.0, float(chips) / tp, float(chips))
    room = float(footprint(chip, model, plan, fmt, engine, context=context).batch) / chips
    yielded = accepted if accepted is not None else float(accepted_tokens(acceptance, draft))

    def at(batch: Values) -> tuple[Values, Values, Values, StepTime]:
        """(step, compute, exchange, terms) of each of a few batches."""
        whole = step_time(
            decode_operators(model, plan, fmt, batch * chips, context, verified=draft + 1.0), chip, constants
        )
        compute = _compute(whole)
        if draft and model.mtp_layers:
            plain = step_time(decode_operators(model, plan, fmt, batch * chips, context), chip, constants)
            compute = compute + draft * mtp_token_s(plain, model)
        exchange = exchange_s(chip, model, float(chips), batch * (draft + 1.0), constants, phase="decode")
        kernels = smooth_max(compute, exchange, wide_table()["phase"]["overlap"])
        host = engine.host_s(1.0) + engine.sequence_s * batch * tp
        return np.asarray(host_joined(engine, kernels, host)), np.asarray(compute), np.asarray(exchange), whole

    batch = batch_per_chip
    if batch is None:
        batch = max(1.0, min(room, engine.max_sequences))
        if max_tpot_s is not None:
            batch = _largest(lambda b: np.asarray(at(b)[0] / yielded <= max_tpot_s), batch)
    batch = float(batch)
    step, compute, exchange, whole = at(np.array([batch]))
    seconds, moved = float(step[0]), float(np.ravel(exchange)[0])
    tpot = seconds / yielded
    return WideStep(
        chips,
        batch,
        seconds,
        tpot,
        batch / tpot,
        float(np.ravel(compute)[0]),
        moved,
        float(engine.host_s(1.0) + engine.sequence_s * batch * tp),
        room,
        _sums(whole, moved),
    )


def _largest(keeps: Callable[[Values], Mask], most: float) -> float:
    """Largest whole batch from 1 to `most` that keeps a limit, which larger batches break; 1 if none does."""
    low, high = 1.0, float(np.floor(most)) + 1.0  # low is taken, high is beyond
    if bool(np.all(keeps(np.array([most])))):
        return most
    while high - low > 1.0:
        tried = np.unique(np.floor(np.geomspace(low + 1.0, high - 1.0, 32)))
        good = tried[np.asarray(keeps(tried))]
        low = float(good.max()) if good.size else low
        bad = tried[tried > low]
        high = float(bad.min()) if bad.size else high
    return low


def prefill(
    chip: Chip,
    model: Model,
    fmt: Formats,
    *,
    chips: int,
    isl: float,
    cache_hit: float = 0.0,
    tokens_per_chip: float | None = None,
    tp: int = 1,
    balanced: bool = False,
    software: Software = DEFAULT,
) -> WideStep:
    """Prompts over `chips`, `tokens_per_chip` new tokens at a time; tokens per second are computed ones.

    With cache hits the input rate is tok_s_chip / (1 - cache_hit). balanced: every expert gets as many
    tokens, as vendors' profiles arrange; else all chips wait for the fullest (`wide_exchange.imbalance`).
    """
    engine, constants = software.on(chip, model, fmt)
    plan = Plan(float(tp), 1.0, float(chips) / tp, float(chips))
    fresh = max(isl * (1.0 - cache_hit), 1.0)
    most = tokens_per_chip or wide_table()["phase"]["tokens_per_chip"]
    prompts = chips * max(1.0, most / fresh)
    whole = step_time(prompt_operators(model, plan, fmt, prompts, fresh, cached=isl - fresh), chip, constants)
    each = prompts * fresh / chips
    compute = float(np.ravel(_compute(whole))[0])
    exchange = float(exchange_s(chip, model, float(chips), each, constants, phase="prefill"))
    kernels = smooth_max(compute, exchange, wide_table()["phase"]["overlap"])
    kernels = kernels * (1.0 if balanced else imbalance(model, float(chips)))
    step = float(np.ravel(host_joined(engine, kernels, engine.prefill_step_s))[0])
    return WideStep(
        chips,
        each,
        step,
        step,
        each / step,
        compute,
        exchange,
        engine.prefill_step_s,
        prompts / chips,
        _sums(whole, exchange),
    )


def _compute(whole: StepTime) -> Array:
    """Seconds of a pass but for the messages to experts, which `exchange_s` counts."""
    return sum(t for t, kind in zip(whole.terms_s, whole.bound, strict=True) if kind != "all_to_all")


def _sums(whole: StepTime, exchange: float) -> dict[str, float]:
    found = {"expert exchange": exchange}
    for name, kind, seconds in zip(whole.names, whole.bound, whole.terms_s, strict=True):
        if kind != "all_to_all":
            found[name] = found.get(name, 0.0) + float(np.ravel(seconds)[0])
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def is_wide(model: Model, chips: int | None) -> bool:
    """True where a deployment is taken as wide expert parallel: a routed model on 16 chips or more."""
    return model.is_moe and chips is not None and chips >= 16


def decode_tok_s_chip(
    chip: str,
    model: str,
    chips: int,
    context: float,
    *,
    batch: float | None = None,
    speed: float | None = None,
    weights: str | None = None,
    draft: int = 0,
    acceptance: float = 0.0,
    software_date: str = "",
) -> float:
    """Output tokens/s of one chip by names, for scenarios: at `batch` requests a chip, or `speed` a user.

    software_date: day of the software (`engine.expert_floor`); "" for the newest.
    """
    device, network, fmt = _named(chip, model, weights)
    return decode(
        device,
        network,
        fmt,
        chips=chips,
        batch_per_chip=batch,
        context=context,
        draft=draft,
        acceptance=acceptance,
        max_tpot_s=1.0 / speed if speed else None,
        software=_of_day(software_date),
    ).tok_s_chip


def prefill_tok_s_chip(
    chip: str,
    model: str,
    chips: int,
    isl: float,
    *,
    cache_hit: float = 0.0,
    tokens: float | None = None,
    weights: str | None = None,
    balanced: bool = False,
    software_date: str = "",
) -> float:
    """Computed input tokens/s of one chip by names; over (1 - cache_hit) with those found in a cache."""
    device, network, fmt = _named(chip, model, weights)
    return prefill(
        device,
        network,
        fmt,
        chips=chips,
        isl=isl,
        cache_hit=cache_hit,
        tokens_per_chip=tokens,
        balanced=balanced,
        software=_of_day(software_date),
    ).tok_s_chip


def _of_day(date: str) -> Software:
    return Software(find_engine(load_constants(), None, date=date))


def _named(chip: str, model: str, weights: str | None) -> tuple[Chip, Model, Formats]:
    from ..catalog import load_chip, load_model
    from .precision import choose_formats

    device, network = load_chip(chip), load_model(model)
    engine = find_engine(load_constants(), None)
    weights, kv, _ = choose_formats(device, network, engine, weights, None)
    return device, network, component_formats(network, weights, kv)
