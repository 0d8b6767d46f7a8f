"""A replica: chips cut for a model and run by software; all of a question but its load, resolved once.

The one place where an engine is taken as it runs a model on a chip. Everything that is served asks a replica for its
passes and its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.resolve import engine_for
from ..physics.memory import Footprint, footprint
from ..physics.parallel import Plan, on_cores
from ..physics.passes import decode_operators, prompt_operators
from ..physics.step import StepTime, step_time
from .chunked_prefill import running_limit

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats, Operator
    from .workload import Load


@dataclass(frozen=True, eq=False, repr=False)
class Replica:
    """Chips, model, cut, formats; the engine as it runs this model on this chip, constants with what it changes."""

    chip: Chip
    model: Model
    plan: Plan
    formats: Formats
    engine: Engine
    constants: Constants

    @classmethod
    def of(cls, chip: Chip, model: Model, plan: Plan, formats: Formats, software: tuple[Engine, Constants]) -> Replica:
        """The replica that an engine as found by name makes of chips, a model and its cut."""
        engine, constants = software
        weights = formats.experts.name if model.is_moe else formats.ffn.name
        engine = engine_for(constants, engine, chip, model, weights)
        return cls(chip, model, on_cores(plan, chip), formats, engine, constants.tuned(engine.kernels))

    def cut(self, plan: Plan) -> Replica:
        """The same software on chips that are cut in another way."""
        return replace(self, plan=on_cores(plan, self.chip))

    @property
    def independent_ranks(self) -> bool:
        """Whether data-parallel ranks share nothing: they do where experts are spread over them, in mixtures only."""
        return not self.model.is_moe and bool(np.any(np.asarray(self.plan.dp) > 1))

    def decode_operators(
        self, running: Array, context: Array, tokens: Array = 1.0, spread: Array | None = None
    ) -> Sequence[Operator]:
        """One step of `running` requests at `context`, each of `tokens` tokens (1, or draft + 1)."""
        return decode_operators(self.model, self.plan, self.formats, running, context, verified=tokens, spread=spread)

    def prompt_operators(self, count: Array, fresh: Array, cached: Array = 0.0) -> Sequence[Operator]:
        """One pass of `count` prompts of `fresh` tokens after `cached` ones."""
        return prompt_operators(self.model, self.plan, self.formats, count, fresh, cached=cached)

    def seconds(self, operators: Sequence[Operator]) -> StepTime:
        """Kernel seconds of a pass."""
        return step_time(operators, self.chip, self.constants)

    def decode(self, running: Array, context: Array, tokens: Array = 1.0, spread: Array | None = None) -> StepTime:
        """Kernel seconds of a decode step."""
        return self.seconds(self.decode_operators(running, context, tokens, spread))

    def prompts(self, count: Array, fresh: Array, cached: Array = 0.0) -> StepTime:
        """Kernel seconds of a pass of prompts."""
        return self.seconds(self.prompt_operators(count, fresh, cached))

    def memory(self, context: Array) -> Footprint:
        """What a request of `context` tokens takes, and how many of them the replica holds."""
        return footprint(self.chip, self.model, self.plan, self.formats, self.engine, context=context)

    def host_s(self, running: Array) -> Array:
        """Host work of a step of `running` requests: a constant per stage and a term per sequence of a rank."""
        return self.engine.host_s(self.plan.pp) + self.engine.sequence_s * running / np.asarray(self.plan.dp)

    def software_limit(self, load: Load) -> Array:
        """Requests that the software runs at once, whatever memory holds."""
        return software_limit(self.engine, self.plan, load)

    def pool(self, load: Load) -> Array:
        """Requests that run at once, at least 1: what the cache holds as the engine reserves it, at most its limit."""
        held = self.memory(load.isl + self.engine.reserve * load.osl).batch
        return np.minimum(np.maximum(np.floor(held * self.engine.pool), 1.0), self.software_limit(load))


def software_limit(engine: Engine, plan: Plan, load: Load) -> Array:
    """Requests that software runs at once in a replica: its own limit a rank.

    Where prompts share the steps of running requests, no more than let theirs pass (`chunked_prefill.running_limit`, of
    each pipeline stage's share).
    """
    passing = running_limit(engine, load.fresh, load.osl / load.yielded, load.verified)
    return np.minimum(engine.max_sequences, passing * np.asarray(plan.pp)) * np.asarray(plan.dp)


def sized_for(chip: Chip, model: Model, software: tuple[Engine, Constants], load: Load) -> Array:
    """Requests in flight that a machine is sized for: no more than the software would run on one chip of it."""
    engine = engine_for(software[1], software[0], chip, model, model.native_format)
    return np.minimum(load.concurrency, np.floor(software_limit(engine, Plan(), load)))
