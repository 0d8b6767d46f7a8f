"""Watts and joules of a machine at work: the one rule for answers, grids, pools and measured rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..physics.power import compute_share, load_shares, power_share, rated_watts

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model
    from .workload import Served


@dataclass(frozen=True, eq=False, repr=False)
class Work:
    """What a machine does on average: tokens per second of all its chips, share of the time that it does not wait for
    its host, share of the working time that prompts take. A `Served` tells the same.
    """

    chips: Array
    output_tok_s: Array
    input_tok_s: Array
    busy: Array
    prefill_share: Array


@dataclass(frozen=True, eq=False, repr=False)
class Effort:
    """What sets the power of chips: how many, computed tokens per second of all, share of the time that they work."""

    chips: Array
    computed_tok_s: Array
    busy: Array
    in_use: Array = 1.0  # share of the time in which requests are in flight; between them the chips idle


@dataclass(frozen=True, eq=False, repr=False)
class Watts:
    """Mean watts of a machine's chips, of which arithmetic; joules per token, and the chips' rated watts together.

    Joules: the power while awake is shared by time between input and output; that of arithmetic goes to whom the
    operations belong, the same for every computed token.
    """

    chips_w: Array
    arithmetic_w: Array
    joule_per_output_token: Array
    joule_per_input_token: Array
    rated_w: Array

    @property
    def share(self) -> Array:
        """Of the rated power."""
        return self.chips_w / self.rated_w


def watts(
    chip: Chip, model: Model, weights: str, s: Served | Work, *, cached_share: Array = 0.0, in_use: Array = 1.0
) -> Watts | None:
    """Watts of a machine in the state `s`; None where no power figure of the chip is published.

    cached_share: of the input, which costs no arithmetic; in_use: share of the time in which requests are in flight;
    between them the chips idle. Worked: an H100 of 700 W, busy .8, at a tenth of its dense peak: 552 W.
    """
    fresh = 1.0 - np.asarray(cached_share)
    computed = s.output_tok_s + s.input_tok_s * fresh
    drawn = chips_watts(chip, model, weights, Effort(s.chips, computed, s.busy, in_use))
    if drawn is None:
        return None
    total, arithmetic, rated = drawn
    awake, each = total - arithmetic, arithmetic / computed
    of_output = awake * (1.0 - s.prefill_share) / s.output_tok_s + each
    of_input = awake * s.prefill_share / s.input_tok_s + each * fresh
    return Watts(total, arithmetic, of_output, of_input, rated)


def chips_watts(chip: Chip, model: Model, weights: str, effort: Effort) -> tuple[Array, Array, Array] | None:
    """(watts of the chips, those of arithmetic, rated watts of all); None where no power figure is published."""
    rated = rated_watts(chip)
    if rated is None:
        return None
    shares, in_use = load_shares(), effort.in_use
    used = compute_share(chip, model, weights, effort.computed_tok_s, effort.chips)
    total = in_use * power_share(effort.busy, used / in_use) + (1.0 - in_use) * shares.idle
    full = rated[0] * effort.chips
    return full * total, full * np.minimum(total, shares.compute * used), full
