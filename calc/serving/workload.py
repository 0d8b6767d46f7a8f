"""What is asked of a machine, and what it gives: a load of requests, and the steady state that it runs in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, Mask, Values

if TYPE_CHECKING:
    from ..physics.memory import Footprint
    from ..physics.operators import Operator
    from ..physics.pipeline import Pipeline
    from ..physics.step import StepTime


@dataclass(frozen=True, eq=False, repr=False)
class Load:
    """A workload of arrays: tokens in and out per request, requests in flight, share of the prompt found in a cache.

    concurrency: inf for as many as memory holds; draft: drafted tokens per step (0: none); acceptance: chance that a
    drafted token is accepted; spread: independent choices of experts that a further token counts for (None: the usual);
    accepted: tokens that a step yields, where they are known better than by the chance of a draft.
    """

    isl: Array
    osl: Array
    concurrency: Array
    cached_share: Array = 0.0
    draft: Array = 0.0
    acceptance: Array = 0.0
    spread: Array | None = None
    accepted: Array | None = None

    @property
    def fresh(self) -> Array:
        """Prompt tokens that no cache holds."""
        return self.isl * (1.0 - np.asarray(self.cached_share))

    @property
    def cached(self) -> Array:
        """Prompt tokens that a cache holds."""
        return self.isl - self.fresh

    @property
    def verified(self) -> Array:
        """Tokens that a step checks for every request: the next one and the drafted ones."""
        return np.asarray(self.draft) + 1.0

    @property
    def yielded(self) -> Array:
        """Tokens that a step yields for every request."""
        return accepted_tokens(self.acceptance, self.draft) if self.accepted is None else self.accepted


def accepted_tokens(acceptance: Array, draft: Array) -> Array:
    """Expected tokens per step of speculative decoding: (1 - a^(g+1)) / (1 - a); 1 without a draft.

    >>> round(float(accepted_tokens(0.7, 3)), 3)
    2.533
    """
    a, g = np.asarray(acceptance, dtype=float), np.asarray(draft, dtype=float)
    missed = 1.0 - a
    surely = missed < 1e-9  # where the quotient loses its digits
    return np.where(surely, g + 1.0, (1.0 - a ** (g + 1.0)) / np.where(surely, 1.0, missed))


@dataclass(frozen=True, eq=False, repr=False)
class Served:
    """Steady state of a machine; arrays of cases. Rates are tokens per second of the whole machine.

    Where `fits` is False the other figures mean nothing. busy: share of the time that it does not wait for its host.
    Figures of a long list are its columns alone: passes, memory and layers over chips are of single machines.
    """

    fits: Mask
    chips: Array
    concurrency: Array  # requests in flight
    running: Array  # requests decoding or prefilling at once
    largest_batch: Array
    tpot_s: Array
    ttft_s: Array
    output_tok_s: Array
    input_tok_s: Array
    step_s: Array  # one decode step without prompts of others, over the tokens that it yields
    prompt_s: Array  # service of one prompt in a busy machine
    alone_s: Array  # one prompt by itself, without the front end
    queue_s: Array  # part of the TTFT spent waiting for others
    prefill_share: Array  # share of the working time that prompts take
    used_share: Array  # of the fullest chip's memory
    busy: Array
    memory: Footprint | None = None  # of requests at full length
    decode: StepTime | None = None
    prefill: StepTime | None = None
    operators: Sequence[Operator] = ()  # of the decode step
    pipe: Pipeline | None = None

    @property
    def output_tok_s_user(self) -> Array:
        """Tokens per second of one user after the first."""
        return 1.0 / self.tpot_s

    def arrays(self) -> dict[str, Values]:
        """All figures in the full shape of the cases, by name."""
        full = np.broadcast_arrays(*(np.asarray(getattr(self, name)) for name in COLUMNS))
        return dict(zip(COLUMNS, full, strict=True))


COLUMNS = tuple(f.name for f in fields(Served) if f.default is MISSING)
"""Names of the figures that every case has."""
