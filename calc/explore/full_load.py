"""The load at which a machine earns its keep: the largest batch, on the best deployment, within a latency
limit.

A lone request makes absurdly dear tokens; nobody serves that way. Cost, margin, fleet and scenarios
therefore ask here: of the deployments and batches that give every user at least `speed` tokens/s (and, if
asked, the first token in time), the one that makes the most tokens per chip. Stands after `estimate`,
before those commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..answers.answer import Answer
from ..answers.estimate import estimate
from ..engines.engine import default_engine
from ..errors import DoesNotFit, NoAnswer, UsageError

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.parallel import Plan

MIN_SPEED = 20.0
"""Tokens/s per user: DeepSeek's own service ran at 20 to 22, four times as fast as people read."""
_DEGREES = ("chips", "tp", "pp", "dp", "ep")
_BETTER = 1.02  # more chips must earn at least this much more tokens per chip
_WIDEST = 64  # chips of one replica that are tried when nobody says


def loaded(
    chip: str | Chip, model: str | Model, *, speed: float = MIN_SPEED, ttft: float | None = None,
    **question: Any,
) -> Answer:  # fmt: skip
    """The answer at the load that makes the most tokens per chip while each user gets `speed` tokens/s.

    ttft: seconds to the first token at most, on average. question: keywords of `estimate`; a concurrency or
    degrees that are given are kept. NoAnswer says how fast the machine is when the limit cannot be met.
    """
    from ..catalog import load_chip, load_model

    if not (np.isfinite(speed) and speed > 0):
        raise UsageError(f"--min-speed must be a number of tokens/s above zero, not {speed:g}.")
    if ttft is not None and not (np.isfinite(ttft) and ttft > 0):
        raise UsageError(f"--max-ttft must be a number of seconds above zero, not {ttft:g}.")
    if question.get("concurrency") is not None:
        return estimate(chip, model, **question)
    asked = {k: v for k, v in question.items() if k != "concurrency"}
    device = load_chip(chip, asked.get("overrides"), asked.get("memory")) if isinstance(chip, str) else chip
    network = load_model(model) if isinstance(model, str) else model
    search = _pipelines if device.weights_in_sram else _replicas
    return search(device, network, speed, ttft, chip, asked)


def limit_text(speed: float | None, ttft: float | None = None) -> str:
    """The latency limit in words, to stand beside every figure that depends on it; None: a load that is given."""
    if speed is None:
        return "requests in flight as asked"
    first = f" and the first token within {ttft:g} s" if ttft else ""
    return f"largest load that fits at full length and gives each user at least {speed:g} tokens/s{first}"


def batches(most: float) -> np.ndarray:
    """Whole numbers from 1 to `most`, eight to an octave: the loads that are tried."""
    top = max(1.0, min(float(most), 1e6))
    steps = np.arange(0.0, np.log2(top) * 8 + 1)
    return np.unique(np.append(np.floor(2.0 ** (steps / 8)), np.floor(top)))


def _replicas(
    chip: Chip, model: Model, speed: float, ttft: float | None, name: str | Chip, asked: dict[str, Any]
) -> Answer:
    from ..engines.constants import load_constants
    from ..engines.engine import find_engine
    from ..engines.resolve import check_runs
    from ..serving.closed_loop import closed_loop
    from ..serving.deployment import choose
    from ..serving.workload import Load

    constants = asked.get("constants") or load_constants()
    software = asked.get("engine") or default_engine(chip)
    engine = find_engine(constants, software, date=asked.get("software_date") or "")
    check_runs(constants, engine, chip)
    isl, osl = int(asked.get("isl", 1024)), int(asked.get("osl", 1024))
    degrees: dict[str, Any] = {k: asked.get(k) for k in _DEGREES}
    formats: dict[str, Any] = {"weights": asked.get("weights"), "kv": asked.get("kv")}
    first = choose(chip, model, engine, batch=1, context=isl + osl, **formats, **degrees)
    plans = [first.plan] if any(degrees.values()) else _plans(chip, model, first.plan)
    best: tuple[float, Plan, float] | None = None
    fastest, soonest = 0.0, np.inf
    for plan in plans:
        try:
            degree: dict[str, Any] = {k: int(getattr(plan, k)) for k in _DEGREES}
            tried = choose(chip, model, engine, batch=1, context=isl + osl, **formats, **degree)
        except DoesNotFit:
            continue
        assert tried.memory is not None
        asking = Load(
            float(isl), float(osl), 1.0, asked.get("cache_hit", 0.0), float(asked.get("draft") or 0),
            float(asked.get("acceptance") or 0.0),
        )  # fmt: skip
        runs = tried.replica(constants)
        pool = min(float(tried.memory.batch), float(runs.software_limit(asking)))
        load = batches(pool)
        served = closed_loop(runs, replace(asking, concurrency=load))
        users = np.broadcast_to(served.output_tok_s_user, load.shape)
        fits = (users >= speed) & (load <= np.broadcast_to(served.running, load.shape))
        if ttft is not None:
            waits = np.broadcast_to(served.ttft_s, load.shape)
            soonest = min(soonest, float(np.min(waits, where=fits, initial=np.inf)))
            fits &= waits <= ttft
        fastest = max(fastest, float(users.max()))
        if not fits.any():
            continue
        rate = np.where(fits, served.output_tok_s / float(plan.chips), 0.0)
        top = int(rate.argmax())
        if best is None or rate[top] > best[0] * _BETTER:
            best = (float(rate[top]), plan, float(load[top]))
    if best is None:
        raise _too_slow(chip, model, speed, ttft, fastest, soonest)
    _, plan, batch = best
    degree = {k: int(getattr(plan, k)) for k in _DEGREES}
    return estimate(name, model, **{**asked, **degree, "concurrency": int(batch)})


def _plans(chip: Chip, model: Model, smallest: Plan) -> Sequence[Plan]:
    """The fewest chips, wider tensor parallelism in the domain, and expert parallelism for mixtures."""
    from ..physics.parallel import Plan, rank_cores, usual_degree
    from ..serving.deployment import _domain

    domain = max(1, _domain(chip))
    plans = [smallest]
    tp = int(smallest.tp)
    cores = rank_cores(chip)
    while smallest.pp == 1 and tp * 2 <= domain and usual_degree(model, tp * 2, cores):
        tp *= 2
        plans.append(Plan(tp, 1, 1, 1))
    if model.is_moe:
        connected = chip.link("scale_out") is not None or (chip.chips_per_system or 1) > domain
        most = _WIDEST if connected else domain
        width = 8
        while width <= most:
            degrees = [t for t in (1, 4, domain) if width % t == 0 and usual_degree(model, t, cores)]
            plans += [Plan(t, 1, width // t, width) for t in degrees]
            width *= 2
    return plans


def _pipelines(
    chip: Chip, model: Model, speed: float, ttft: float | None, name: str | Chip, asked: dict[str, Any]
) -> Answer:
    """SRAM machines: requests in flight up to one a layer; more chips where their caches need them."""
    best: tuple[float, Answer] | None = None
    fastest, soonest, reason = 0.0, np.inf, None
    for batch in [*batches(model.layers)[::4].tolist(), float(model.layers)]:
        try:
            answer = estimate(name, model, **{**asked, "concurrency": int(batch)})
        except DoesNotFit as error:
            reason = error
            continue
        user = answer["speed"]["output_tok_s_user"]["value"]
        rate = answer["speed"]["output_tok_s_chip"]["value"]
        fastest = max(fastest, user)
        soonest = min(soonest, answer.ttft_s) if user >= speed else soonest
        if user >= speed and (ttft is None or answer.ttft_s <= ttft) and (best is None or rate > best[0]):
            best = (rate, answer)
    if best is None:
        raise reason if reason and not fastest else _too_slow(chip, model, speed, ttft, fastest, soonest)
    return best[1]


def _too_slow(chip: Chip, model: Model, speed: float, ttft: float | None, fastest: float, soonest: float) -> NoAnswer:
    """Which limit cannot be met, and what would. soonest: least seconds to the first token at that speed."""
    limit = f"{speed:g} tokens/s per user" + (f" with a first token within {ttft:g} s" if ttft else "")
    reached = f"; alone, a request gets {fastest:,.3g} tokens/s" if fastest else ""
    if ttft is not None and ttft < soonest < np.inf:
        reached, way = f"; it takes {soonest:.3g} s at the least", "give a longer --max-ttft"
        return NoAnswer(f"{chip.name} cannot run {model.name} at {limit}{reached}; {way}")
    return NoAnswer(f"{chip.name} cannot run {model.name} at {limit}{reached}; lower --min-speed, or give more --chips")


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
