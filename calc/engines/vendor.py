"""Software floors of chips with a stack of their own: time per step, layer and sequence, prompt buckets.

Read from the `[stack.SCOPE]` tables of specs/engines/accelerators.toml and laid over a serving engine, so
that `serving` takes it as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .constants import Constants, load_constants, scopes
from .engine import Engine
from .routing import expert_launches

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


# key in the file -> (field of Engine, factor to SI); layer terms are folded in by `engine_for_chip`
_FIELDS = {
    "step_us": ("step_s", 1e-6),
    "sequence_us": ("sequence_s", 1e-6),
    "prefill_ms": ("prefill_step_s", 1e-3),
    "frontend_ms": ("frontend_s", 1e-3),
    "workspace_gb": ("workspace_bytes", 1e9),
    "factor": ("factor", 1.0),
    "interference": ("interference", 1.0),
    "queue_share": ("queue_share", 1.0),
    "chunk_tokens": ("chunk_tokens", 1.0),
    "memory_fraction": ("memory_fraction", 1.0),
    "max_sequences": ("max_sequences", 1.0),
}
_LAYER = {"layer_us": "layer_s", "prefill_layer_us": "prefill_step_s"}
_LENGTHS = {"buckets": "prefill_buckets", "decode_lengths": "decode_lengths"}


def stack_table(chip: Chip, constants: Constants | None = None) -> tuple[Mapping[str, Any], str]:
    """(table, scope) of a chip's stack: its file's `[efficiency.stack]`, then id, family, kind; ({}, "") if
    none.
    """
    own = chip.efficiency.get("stack")
    if isinstance(own, Mapping):
        return own, chip.id
    measured = chip.efficiency.get("step")
    if isinstance(measured, Mapping):  # a machine that `bench` described: host work per step, nothing in front
        host = {"step_us": measured["overhead_s"] * 1e6, "sequence_us": measured["sequence_s"] * 1e6}
        prompts = measured["overhead_s"] * 1e3
        return {**host, "prefill_ms": prompts, "frontend_ms": 0.0, "ttft_steps": 1.0}, chip.id
    tables = (constants or load_constants()).tables.get("stack", {})
    for scope in scopes(chip)[:3]:
        if scope in tables:
            return tables[scope], scope
    return {}, ""


def engine_for_chip(chip: Chip, engine: Engine, model: Model, constants: Constants | None = None) -> Engine:
    """The engine with the chip's software floors, layer_s = layers x layer; itself if the chip has none.

    Layer floors depend on the model's depth, so the result is for this model only. Routed experts take their floor once
    a layer, however many there are.
    Worked: RNGD, 36 layers, step 3 ms, layer 0.1 ms: 6.6 ms of host work a step, 9.6 in two stages.
    """
    table, scope = stack_table(chip, constants)
    if not table:
        return engine
    values: dict[str, Any] = {f.name: getattr(engine, f.name) for f in fields(Engine)}
    for key, (name, scale) in _FIELDS.items():
        if key in table:
            values[name] = table[key] * scale
    for key in values.keys() & table.keys() - _FIELDS.keys():
        values[key] = table[key]
    for key, name in _LAYER.items():
        values[name] += table.get(key, 0.0) * 1e-6 * model.layers
    grain = float(table.get("joined_grain", 0.0))
    if grain:  # a prompt runs the graph of any step
        values["prefill_step_s"] = values["step_s"] + values["layer_s"]
    experts = max((group.ffn.experts for group in model.groups), default=0)
    if experts:  # one floor a layer: sorting tokens and scheduling tiles by expert is what GPUs' fused kernels do
        values["kernels"] = (("moe.t0", 1.0 / expert_launches(experts)),)
    values |= {key: tuple(float(n) for n in table.get(name, ())) for key, name in _LENGTHS.items()}
    values |= {
        "whole_context": bool(table.get("whole_context", False)),
        "overlap": float(table.get("overlap", 1.0)),
        "grain": grain,
        "stack": scope,
        "resolved": True,
    }
    return Engine(**values)
