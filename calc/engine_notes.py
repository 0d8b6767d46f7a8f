"""What an answer says of the serving software behind it: its own measurements, the age of its expert kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .engine import Engine, expert_floor, software_day
from .stack import StackEngine

if TYPE_CHECKING:
    from .chip import Chip
    from .constants import Constants
    from .model import Model


def engine_notes(
    chip: Chip, model: Model, engine: Engine, constants: Constants, date: str
) -> tuple[str, ...]:
    """Assumptions of an answer: the anchor of a measured combination, the date that expert kernels are taken of.

    engine: as it runs the model on the chip (`engine_for`); date: of the software as asked; "" for the newest.
    """
    notes = []
    if engine.anchor_rows:
        notes.append(
            f"anchored: {engine.anchor_rows} measured numbers of this model, chip, engine and weights set "
            f"{engine.anchor_rate:.2f} of the shared constants' time per token, and "
            f"{engine.anchor_rate * engine.ttft_factor:.2f} of their first token"
        )
    own = isinstance(engine, StackEngine)  # floors of a stack are of its own day
    if model.is_moe and chip.kind == "gpu" and not own:
        age, day = constants.tables["age"], software_day(constants, date)
        notes.append(
            f"expert kernels as software of {day} runs them (measured {age['first']} to {age['last']}): floors "
            f"{expert_floor(constants, day):.2f} of those of {age['reference']}"
        )
    return tuple(notes)


def waiting_note(batch: float, running: float, own_limit: float) -> str:
    """Assumption of an answer whose requests do not all run at once: how many do, and what holds the others back.

    own_limit: requests that the software runs at once whatever memory holds (`serving.software_limit`).
    """
    why = "run at once, the most that the software lets pass" if running >= own_limit else "fit the KV cache"
    return f"{batch:.0f} requests in flight, of which {running:.0f} {why}; the others wait"
