"""What an answer says of the serving software behind it: its own measurements, the age of its expert kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engines.engine import Engine, expert_floor, software_day
from ..hardware.links import NO_LINK, domain
from ..physics.step import ideal_terms

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Operator
    from ..physics.parallel import Plan


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
    if model.is_moe and chip.kind == "gpu" and not engine.stack:  # floors of a stack are of its own day
        age, day = constants.tables["age"], software_day(constants, date)
        notes.append(
            f"expert kernels as software of {day} runs them (measured {age['first']} to {age['last']}): floors "
            f"{expert_floor(constants, day):.2f} of those of {age['reference']}"
        )
    if model.is_moe and plan.dp > 1 and plan.tp * plan.dp > domain(chip):
        notes.append(
            f"experts over more than the {domain(chip)} chips of a domain: every copy of a prompt's token crosses the "
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


def term_inputs(ops: Sequence[Operator], chip: Chip, constants: Constants) -> dict[str, dict[str, Any]]:
    """By operator name: layers, ideal microseconds of memory (or link) and compute per layer, constants and format.

    Layer groups of one name are joined: layers add up, the other figures are those of the group with most layers.
    """
    found: dict[str, dict[str, Any]] = {}
    most: dict[str, float] = {}
    for term in ideal_terms(ops, chip):
        count = _one(term.count)
        layers = found.get(term.name, {}).get("layers", 0) + count
        if count >= most.get(term.name, 0.0):
            most[term.name] = count
            if term.collective:
                alpha, eta, q = constants.collective(term.kind, chip, term.ranks)
                inputs: dict[str, Any] = {
                    "ranks": _one(term.ranks),
                    "link us": _one(term.x_s) * 1e6,
                    "alpha us": _one(alpha) * 1e6,
                    "eta_b": _one(eta),
                    "q": _one(q),
                }
            else:
                k = constants.kernel(term.kind, chip, term.format, term.roof)
                inputs = {
                    "format": term.format,
                    "Q/BW us": _one(term.x_s) * 1e6,
                    "F/P us": _one(term.y_s) * 1e6,
                    "t0 us": _one(k.t0_s) * 1e6,
                    "eta_m": _one(k.eta_m),
                    "eta_c": _one(k.eta_c),
                    "p": _one(k.p),
                }
            found[term.name] = {"layers": layers, **inputs}
        found[term.name]["layers"] = layers
    return found


def _one(value: Any) -> float:
    return float(np.ravel(np.asarray(value, dtype=float))[0])
