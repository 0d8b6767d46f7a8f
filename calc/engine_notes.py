"""What an answer says of the serving software behind it: its own measurements, the age of its expert kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .engine import Engine, expert_floor, software_day
from .stack import StackEngine
from .step import NO_LINK

if TYPE_CHECKING:
    from .chip import Chip
    from .constants import Constants
    from .model import Model
    from .parallel import Plan


def engine_notes(
    chip: Chip, model: Model, engine: Engine, constants: Constants, date: str, plan: Plan
) -> tuple[str, ...]:
    """Assumptions of an answer: the anchor of a measured combination, the date that expert kernels are taken of.

    engine: as it runs the model on the chip (`engine_for`); date: of the software as asked; "" for the newest; plan: of
    the replica, which may spread its experts beyond one domain, where no answer of this kind was measured.
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
    domain = (chip.scale_up.domain_chips if chip.scale_up else None) or chip.chips_per_system or 1
    if model.is_moe and plan.dp > 1 and plan.tp * plan.dp > domain:
        notes.append(
            f"experts over more than the {domain} chips of a domain: every copy of a prompt's token crosses the "
            "network here and nothing overlaps, so prompts may be several times faster in pools of their own "
            "(tokcalc mixed)"
        )
    if plan.chips > 1 and not any(link.bandwidth_bytes_s for link in chip.links):
        notes.append(
            f"no link between these chips is published: {NO_LINK / 1e9:g} GB/s a chip is assumed, and that somebody "
            "joins so many"
        )
    return tuple(notes)


def waiting_note(batch: float, running: float, own_limit: float) -> str:
    """Assumption of an answer whose requests do not all run at once: how many do, and what holds the others back.

    own_limit: requests that the software runs at once whatever memory holds (`serving.software_limit`).
    """
    why = "run at once, the most that the software lets pass" if running >= own_limit else "fit the KV cache"
    return f"{batch:.0f} requests in flight, of which {running:.0f} {why}; the others wait"
