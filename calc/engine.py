"""Serving software as constants: scheduling, host overheads, memory, by engine and by its age.

Read from specs/engines/engines.toml through `constants`. Stands before `memory` and `serving`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .constants import Constants
from .errors import UnknownName

DEFAULT = "any"


@dataclass(frozen=True)
class Engine:
    """One engine's constants in SI units; meanings in specs/engines/README.md."""

    name: str
    step_s: float
    sequence_s: float
    prefill_step_s: float
    interference: float
    frontend_s: float
    queue_share: float
    factor: float
    chunk_tokens: float
    memory_fraction: float
    workspace_bytes: float
    max_sequences: float
    kv_low: tuple[str, ...]

    def default_kv(self, weights: str) -> str:
        """Format of the KV cache when nobody says: 8 bit where the engine's checkpoints bring it, else 16 bit."""
        return "fp8" if weights in self.kv_low else "bf16"


_SCALE = {
    "step_us": ("step_s", 1e-6),
    "sequence_us": ("sequence_s", 1e-6),
    "prefill_step_us": ("prefill_step_s", 1e-6),
    "frontend_ms": ("frontend_s", 1e-3),
    "workspace_gb": ("workspace_bytes", 1e9),
}


def engine_names(constants: Constants) -> list[str]:
    """Names of the engines with constants of their own."""
    return sorted(name for name in constants.engines if name != DEFAULT)


def find_engine(constants: Constants, name: str | None) -> Engine:
    """The engine of that name or alias in any case; None: the defaults. Unknown: UnknownName with the known names."""
    if name is None:
        return _build(DEFAULT, {}, constants)
    key = name.strip().lower()
    for known, table in constants.engines.items():
        if key == known or key in table.get("aliases", ()):
            return _build(known, table, constants)
    raise UnknownName(f"engine '{name}' is unknown; choose one of {', '.join(engine_names(constants))}")


def _build(name: str, table: Mapping[str, Any], constants: Constants) -> Engine:
    merged = {**constants.engines[DEFAULT], **table}
    values: dict[str, Any] = {"name": name}
    for key, value in merged.items():
        target, scale = _SCALE.get(key, (key, None))
        values[target] = value * scale if scale else value
    values["kv_low"] = tuple(values["kv_low"])
    known = {f.name for f in fields(Engine)}
    return Engine(**{k: v for k, v in values.items() if k in known})
