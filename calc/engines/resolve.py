"""An engine as it runs one model on one chip: whether it runs there, and with which numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from .constants import Constants
from .engine import Engine, engine_names, prompt_factor, runs_on

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


def refusal(constants: Constants, engine: Engine, chip: Chip) -> str:
    """Why this engine is not offered on the chip, with those that are; "" where it is."""
    if runs_on(constants, engine.name, chip):
        return ""
    from .vendor import stack_table

    vendors = " and ".join(constants.engines[engine.name]["vendors"])
    others = ", ".join(name for name in engine_names(constants) if runs_on(constants, name, chip))
    way = f"choose {others}, or leave --engine out"
    if chip.weights_in_sram or (chip.kind != "gpu" and stack_table(chip, constants)[1]):
        way = "leave --engine out, for the chip's own software"
    return f"{engine.name} runs on {vendors} chips only, not on {chip.name}; {way}"


def check_runs(constants: Constants, engine: Engine, chip: Chip) -> None:
    """UsageError where the engine does not run on the chip."""
    if reason := refusal(constants, engine, chip):
        raise UsageError(reason)


def own_software_note(constants: Constants, engine: Engine, chip: Chip) -> str:
    """What an engine that was asked for changes on a chip with software of its own; "" on others."""
    from .vendor import stack_table

    if chip.weights_in_sram:
        return f"{chip.name} runs its maker's software; --engine {engine.name} changes nothing"
    if stack_table(chip, constants)[1]:
        return f"times of {chip.name}'s own software; --engine {engine.name} gives only what they leave open"
    return ""


def engine_for(constants: Constants, engine: Engine, chip: Chip, model: Model, weights: str) -> Engine:
    """The engine as it runs this model on this chip: floors of the chip's own stack, prompt factor, anchor.

    A chip whose stack has constants of its own (`stack`) brings them all; else the engine's prompt factor applies.
    A combination that was measured is anchored: every second of its step times the factor that its own measurements
    show over the shared constants, TTFT by a factor of its own. Worked: shared 10 ms, anchor .85: 8.5 ms.
    """
    from .vendor import engine_for_chip

    if engine.resolved:
        return engine
    own = engine_for_chip(chip, engine, model, constants)
    if own is not engine:
        return own
    by = constants.engines.get(engine.name, {}).get("by", {}).get(chip.family, {})
    key = anchor_key(model.id, chip.id, engine.name, weights)
    anchor = {} if chip.what_if else constants.anchors.get(key, {})
    rate = anchor.get("tpot", 1.0)
    kernels = dict(by.get("kernels", {}))
    if chip.kind == "gpu":
        kernels["moe.t0"] = kernels.get("moe.t0", 1.0) * engine.expert_floor
    return replace(
        engine,
        prompt_factor=prompt_factor(constants, engine, chip, model, weights),
        factor=engine.factor * by.get("factor", 1.0) * rate,
        step_s=engine.step_s * by.get("step", 1.0) * rate,
        sequence_s=engine.sequence_s * rate,
        prefill_step_s=engine.prefill_step_s * rate,
        kernels=tuple(sorted(kernels.items())),
        ttft_factor=anchor.get("ttft", rate) / rate,
        anchor_rows=int(anchor.get("rows", 0)),
        anchor_rate=rate,
        resolved=True,
    )


def anchor_key(model: str, chip: str, engine: str, weights: str) -> str:
    """Name of a measured combination in the table of anchors; a scale per block doesn't tell weights apart."""
    return f"{model}/{chip}/{engine}/{weights.removesuffix('_block')}"
