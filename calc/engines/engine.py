"""Serving software as constants: scheduling, host overheads, memory, by engine and by its age.

Read from specs/engines/engines.toml through `constants`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import UnknownName
from ..hardware.formats import find_format, is_native
from .constants import Constants

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


DEFAULT = "any"


@dataclass(frozen=True, repr=False)
class Engine:
    """One engine's constants in SI units; meanings in specs/engines/README.md, use in `regimes`.

    Resolved for a model, its weights and the chip by `engine_for`: prompt_factor, of prompt seconds; kernels, of
    floors and shares of its kernels over the family's (`constants.tuned`); ttft_factor, of TTFT over its terms, and
    anchor_rows and anchor_rate, the measured numbers of this very combination (0: none) and the factor on every second
    that they show. layer_s: host work of all layers together, which pipeline stages share. expert_floor: floor of
    its expert kernels over that of the reference date, by its age.

    Of software that a chip brings (`vendor`), stack says whose: buckets, compiled prompt lengths, ascending (none: any
    length); decode_lengths, those of decode attention; whole_context: it always reads input + output, the compiled
    length, however many tokens are cached so far; overlap: exponent that joins kernels and host time (1: their sum;
    large: the longer, where hosts launch ahead); grain: prompt tokens by which pieces that join the steps of running
    requests grow, 0 where prompts have passes of their own (`chunked_prefill`).
    """

    name: str
    step_s: float
    sequence_s: float
    prefill_step_s: float
    interference: float
    frontend_s: float
    ttft_steps: float
    dp_steps: float
    queue_share: float
    queue_time: float
    factor: float
    prompt_moe: float
    prompt_dense: float
    chunk_tokens: float
    memory_fraction: float
    workspace_bytes: float
    max_sequences: float
    reserve: float
    pool: float
    poll_steps: tuple[float, ...]
    kv_low: tuple[str, ...]
    split: str
    rest: str
    stage_loss: float
    stream_s: float
    whole_windows: bool
    prompt_factor: float = 1.0
    expert_floor: float = 1.0
    layer_s: float = 0.0
    kernels: tuple[tuple[str, float], ...] = ()
    ttft_factor: float = 1.0
    anchor_rows: int = 0
    anchor_rate: float = 1.0
    buckets: tuple[float, ...] = ()
    decode_lengths: tuple[float, ...] = ()
    whole_context: bool = False
    overlap: float = 1.0
    grain: float = 0.0
    stack: str = ""
    resolved: bool = False

    def host_s(self, stages: Array) -> Array:
        """Host work of a step beside its sequences: stages x step + all layers. Worked: 2, 3 ms, 3.6 ms: 9.6 ms."""
        return self.step_s * stages + self.layer_s

    def default_kv(self, weights: str, peaks: Mapping[str, float] | None = None) -> str:
        """Format of the KV cache when nobody says: 8 bit where the engine's checkpoints bring it, else 16 bit.

        peaks: the chip's, by format; a chip that only expands these weights to wider ones keeps the cache at 16 bit.
        """
        low = weights in self.kv_low
        if peaks is not None:
            low = low and "fp8" in peaks and is_native(find_format(weights), peaks)
        return "fp8" if low else "bf16"


_SCALE = {
    "step_us": ("step_s", 1e-6),
    "sequence_us": ("sequence_s", 1e-6),
    "prefill_step_us": ("prefill_step_s", 1e-6),
    "frontend_ms": ("frontend_s", 1e-3),
    "stream_us": ("stream_s", 1e-6),
    "workspace_gb": ("workspace_bytes", 1e9),
}
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")  # a month or a day
_POLL_SMALL = 16  # requests in flight below which an engine looks for new ones more often


def engine_names(constants: Constants) -> list[str]:
    """Names of the engines with constants of their own."""
    return sorted(name for name in constants.engines if name not in (DEFAULT, "prompt"))


def runs_on(constants: Constants, name: str, chip: Chip) -> bool:
    """Whether an engine runs on the chip's vendor's hardware, as far as its `vendors` say."""
    vendors = constants.engines.get(name, {}).get("vendors")
    return not vendors or chip.vendor in vendors


def find_engine(constants: Constants, name: str | None, version: str = "", date: str = "") -> Engine:
    """The engine of that name or alias in any case; None: the defaults. Unknown: UnknownName with the known names.

    version, date: of the software; releases before a rewrite have constants of their own
    (`older = {version, below, date, engine}`: a version beyond `below` is another library's, then the date tells).
    The date also sets the age of its expert kernels (`expert_floor`); none is the newest measured.
    """
    if name is None:
        return _build(DEFAULT, {}, constants, date)
    key = name.strip().lower()
    for known, table in constants.engines.items():
        if known != "prompt" and (key == known or key in table.get("aliases", ())):
            older = table.get("older")
            if older and _is_older(older, _release(version), date):
                return find_engine(constants, older["engine"], date=date)
            return _build(known, table, constants, date)
    raise UnknownName(f"engine '{name}' is unknown; choose one of {', '.join(engine_names(constants))}")


def _is_older(older: Mapping[str, Any], release: tuple[int, ...], date: str) -> bool:
    if release and release < _release(older["below"]):
        return release < _release(older["version"])
    return bool(date) and date < str(older["date"])


def _release(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: "1.0.0rc3" gives (1, 0), "v0.17" (0, 17); () when there are none."""
    found = re.match(r"v?(\d+)(?:\.(\d+))?", version.strip())
    return tuple(int(g) for g in found.groups() if g) if found else ()


def expert_floor(constants: Constants, date: str) -> float:
    """Floor of expert kernels in software of a date over that of the reference: exp(-s x months since), to half months.

    `[age]` of specs/engines/kernels.toml, date as of `software_day`. Worked: s .16, three months before the reference:
    1.62.
    """
    age = constants.tables["age"]
    months = _months(software_day(constants, date)) - _months(age["reference"])
    return math.exp(-age["month_share"] * round(2.0 * months) / 2.0)


def software_day(constants: Constants, date: str) -> str:
    """The date that stands for one of software: itself inside those measured, else the nearest; the newest for "".

    One without a month, or that is no date, is the reference.
    """
    age = constants.tables["age"]
    if date and not _DAY.fullmatch(date):
        return str(age["reference"])
    return str(min(max(date, age["first"]), age["last"]) if date else age["last"])


def _months(date: str) -> float:
    year, month, day = (int(part) for part in f"{date}-15"[: len("2026-02-01")].split("-"))
    return 12.0 * year + month + (day - 1) / 30.4


def prompt_factor(constants: Constants, engine: Engine, chip: Chip, model: Model, weights: str) -> float:
    """How much longer prompts take than their kernels: the engine's share x the chip family's x the weights'."""
    table = constants.engines.get("prompt", {})
    kind = "moe" if model.is_moe else "dense"
    own = engine.prompt_moe if model.is_moe else engine.prompt_dense
    weights = weights.removesuffix("_block")
    return float(own * table.get("family", {}).get(chip.family, 1.0) * table.get(kind, {}).get(weights, 1.0))


def poll_wait_steps(engine: Engine, batch: Array) -> Array:
    """Mean steps until a benchmarked engine receives a request: half of every 10 below 16 in flight, of 30 above."""
    few, many = engine.poll_steps
    return np.where(np.asarray(batch) < _POLL_SMALL, few, many) / 2.0


def _build(name: str, table: Mapping[str, Any], constants: Constants, date: str) -> Engine:
    merged = {**constants.engines[DEFAULT], **table}
    values: dict[str, Any] = {"name": name, "expert_floor": expert_floor(constants, date)}
    for key, value in merged.items():
        target, scale = _SCALE.get(key, (key, None))
        values[target] = value * scale if scale else value
    values["kv_low"] = tuple(values["kv_low"])
    values["poll_steps"] = tuple(values["poll_steps"])
    known = {f.name for f in fields(Engine)}
    return Engine(**{k: v for k, v in values.items() if k in known})


DEFAULT_ENGINE = "vllm"  # of GPUs, when nobody says: the open engine that runs on most of them


def default_engine(chip: Chip) -> str | None:
    """The engine of an answer when nobody says: DEFAULT_ENGINE on GPUs; None, the chip's own software, elsewhere."""
    return DEFAULT_ENGINE if chip.kind == "gpu" else None
