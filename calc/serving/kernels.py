"""Kernel seconds of a machine at work: its decode step, a prompt by itself, and one among others.

Each pass is evaluated only on the axes that it depends on: decode sees (plan, length, batch), prompts (plan, length).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, Mask
from ..physics.parallel import Plan
from ..physics.passes import padded_tokens, passes_per_prompt, prompts_per_pass, read_context
from ..physics.step import StepTime
from .chunked_prefill import alone_share, joins, room
from .regimes import Case, Seconds
from .replica import Replica
from .workload import Load

if TYPE_CHECKING:
    from ..physics.operators import Operator

FEW = 64  # cases below which splitting a pass costs more than it saves
_ATTENTION = ("attention", "mla", "linear")


@dataclass(frozen=True, eq=False, repr=False)
class Passes:
    """A decode step of the running requests, one prompt alone, and seconds of a prompt among others."""

    decode: StepTime
    alone: StepTime
    batched: Array
    decode_operators: Sequence[Operator] = ()

    @property
    def seconds(self) -> Seconds:
        """The same for `regimes`."""
        return Seconds(self.decode.seconds, self.alone.seconds, self.batched)


def passes_of(r: Replica, load: Load, running: Array) -> Passes:
    """Passes of a replica that runs `running` requests of a load."""
    context = read_context(r.engine, load.isl, load.osl)
    operators = r.decode_operators(running, context, load.verified, load.spread)
    decode = r.seconds(operators)
    alone = r.prompts(1.0, padded_tokens(r.engine, load.fresh), load.cached)
    if joins(r.engine):
        return Passes(decode, alone, _joined_s(r, load, running, decode, alone), operators)
    if np.size(running) == 1 and np.all(together_of(r, load.fresh, running) == 1.0):  # a pass of one prompt
        return Passes(decode, alone, alone.seconds / np.asarray(r.plan.pp), operators)
    return Passes(decode, alone, _shared_s(r, load, running), operators)


def case_of(r: Replica, load: Load, running: Array) -> Case:
    """The running requests of a load as a case of `regimes`; nobody waits."""
    padded = padded_tokens(r.engine, load.fresh)
    together = np.inf if joins(r.engine) else together_of(r, load.fresh, running)
    return Case(
        load.isl,
        load.osl,
        running,
        running,
        r.plan.pp,
        r.plan.dp,
        together,
        passes_per_prompt(r.engine, padded),
        accepted=load.yielded,
    )


def together_of(r: Replica, fresh: Array, running: Array) -> Array:
    """Prompts that share a pass of the replica: what the token budget of each rank takes, where so many run."""
    return prompts_per_pass(r.engine, running / np.asarray(r.plan.dp), fresh) * r.plan.dp


def _shared_s(r: Replica, load: Load, running: Array) -> Array:
    """Seconds of one prompt of a pass of many: P(n prompts)/(pp n).

    Where enough requests run, the prompts of a pass are the token budget's, so that of a large grid all but a few cases
    share one pass a length.
    """

    def service(at: Replica, new: Array, old: Array, count: Array) -> Array:
        return at.prompts(count, padded_tokens(at.engine, new), old).seconds / (np.asarray(at.plan.pp) * count)

    together = together_of(r, load.fresh, running)
    if np.size(together) < FEW:
        return service(r, load.fresh, load.cached, together)
    budget = together_of(r, load.fresh, np.inf)
    few, most = np.asarray(together != budget), service(r, load.fresh, load.cached, budget)
    if not few.any():
        return most
    shape = np.broadcast_shapes(few.shape, np.shape(most))
    few = np.broadcast_to(few, shape)
    prompts = Load(load.isl, 1.0, 1.0, load.cached_share)  # answers and drafts may vary along axes that this has not
    at, part = gather(few, r, prompts)
    out = np.array(np.broadcast_to(most, shape), dtype=float)
    out[few] = service(at, part.fresh, part.cached, np.broadcast_to(together, shape)[few])
    return out


def gather(mask: Mask, r: Replica, load: Load) -> tuple[Replica, Load]:
    """The cases where `mask` is True, as plain lists; requests in flight are left to the caller."""
    where = np.asarray(mask)

    def pick(value: Array) -> Array:
        return value if np.ndim(value) == 0 else np.broadcast_to(value, where.shape)[where]

    tp, pp, dp, ep = map(pick, r.plan.degrees)
    at = replace(r, plan=Plan(tp, pp, dp, ep, r.plan.cores))
    given = {f.name: getattr(load, f.name) for f in fields(Load) if f.name != "concurrency"}
    picked: dict[str, Any] = {name: None if value is None else pick(value) for name, value in given.items()}
    return at, Load(concurrency=1.0, **picked)


def _joined_s(r: Replica, load: Load, running: Array, decode: StepTime, alone: StepTime) -> Array:
    """Seconds that a prompt adds to steps that run anyway (`chunked_prefill`).

    Tokens T of a step, room R, prompt F (F' padded), P(n) the kernels of n tokens without attention, b requests run:
    own = [P(min(F' + b, T)) - P(b)] max(1, F/R), full = P(T) - P(b), R beside b - 1, and a prompt adds its attention
    and max(min(full F/R, own), share own): the room that it fills where prompts queue, a step of its own where it is
    alone (`alone_share`). Worked, P(T) 70 ms, P(b) 9 ms, 16 requests, 512 tokens padded to 1,024, answers of 128:
    .943 x 61 = 57.5 ms.
    """
    engine, dp, fresh = r.engine, r.plan.dp, load.fresh
    rows = np.maximum(running / (np.asarray(dp) * r.plan.pp), 1.0)
    taken, whole = rows * load.verified, engine.chunk_tokens
    filled = fresh / room(engine, taken - load.verified)  # one of them is the prompt that passes
    padded = np.where(fresh < engine.grain, fresh, padded_tokens(engine, fresh))
    base = _tokenwise_s(decode)

    def added(tokens: Array) -> Array:
        return np.maximum(_tokenwise_s(r.prompts(dp, tokens, load.cached)) - base, 0.0)

    own, full = added(np.minimum(padded + taken, whole)) * np.maximum(filled, 1.0), added(whole)
    steps = load.osl / load.yielded
    shared = np.maximum(np.minimum(filled * full, own), alone_share(rows, steps) * own)
    return (shared / dp + alone.seconds - _tokenwise_s(alone)) / r.plan.pp


def _tokenwise_s(pass_: StepTime) -> Array:
    """Seconds of a pass without its attention, whose time follows requests and not the tokens of a step."""
    terms = zip(pass_.bound, pass_.terms_s, strict=True)
    return sum(seconds for kind, seconds in terms if not kind.startswith(_ATTENTION))
