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
    rated = rated_watts(chip)
    if rated is None:
        return None
    shares, fresh = load_shares(), 1.0 - np.asarray(cached_share)
    computed = s.output_tok_s + s.input_tok_s * fresh
    used = compute_share(chip, model, weights, computed, s.chips)
    total = in_use * power_share(s.busy, used / in_use) + (1.0 - in_use) * shares.idle
    arithmetic = np.minimum(total, shares.compute * used)
    full = rated[0] * s.chips
    awake, each = full * (total - arithmetic), full * arithmetic / computed
    of_output = awake * (1.0 - s.prefill_share) / s.output_tok_s + each
    of_input = awake * s.prefill_share / s.input_tok_s + each * fresh
    return Watts(full * total, full * arithmetic, of_output, of_input, full)
