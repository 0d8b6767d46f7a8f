"""Points of a frontier: the best rate per chip at a stated speed of one user, over layouts and batches.

Sources print what a chip delivers at so many tokens per second and user without saying on which layout;
here small layouts are tried and the best is taken, as those sources do. Stands after `serving`, beside
`predict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import NoAnswer
from .memory import footprint
from .parallel import Plan
from .serving import Load, serve

if TYPE_CHECKING:
    from .chip import Chip
    from .constants import Constants
    from .engine import Engine
    from .model import Model
    from .operators import Formats

Array = Any
BATCHES = 2.0 ** np.arange(0.0, 12.5, 0.5)
WIDTHS = (1.0, 2.0, 4.0, 8.0)  # chips of a replica inside one machine


def best_rate(
    chip: Chip, model: Model, fmt: Formats, engine: Engine, constants: Constants, isl: float, osl: float, user: float
) -> float:  # fmt: skip
    """Input and output tokens per second and chip where one user gets `user` tokens per second; NaN if none
    can.

    Rates between two batches of a layout are interpolated in logarithms.
    """
    best = np.nan
    for width in WIDTHS:
        for plan in {Plan(width), Plan(1, 1, width, width)} if model.is_moe else {Plan(width)}:
            if float(footprint(chip, model, plan, fmt, engine, isl + osl).batch) < 1:
                continue
            s = serve(chip, model, plan, fmt, engine, constants, Load(isl, osl, BATCHES))
            speed = np.broadcast_to(s.output_tok_s_user, BATCHES.shape)
            rate = np.broadcast_to(s.output_tok_s + s.input_tok_s, BATCHES.shape) / width
            if speed[0] < user:
                continue
            order = np.argsort(speed)
            found = float(np.exp(np.interp(np.log(user), np.log(speed[order]), np.log(rate[order]))))
            best = np.fmax(best, found)
    return float(best)


def usd_per_hour(chip: Chip, date: str | None) -> float:
    """What an hour of the chip costs its owner in USD on that day; NoAnswer where no purchase price is known."""
    from .hourly import Terms, chip_hour
    from .power import system_watts

    watts = system_watts(chip)
    if watts is None:
        raise NoAnswer(f"no power figure of {chip.name} is published")
    return chip_hour(chip, Terms(own={}, on=date), watts, watts).value


def usd_per_million(rate: float, hour: float) -> float:
    """USD of a million tokens: hour x 1e6 / (3600 rate). 2 USD/h at 5,000 tokens/s: 0.111 USD."""
    return hour * 1e6 / (3600.0 * rate)
