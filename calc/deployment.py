"""The smallest sensible deployment of a model on a chip: formats, chips, parallel degrees, whether it fits.

Stands after `memory` and `sram`, before `estimate`; the planner searches wider, this room answers when nobody says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import DoesNotFit, UsageError
from .formats import find_format, is_native, roof
from .memory import Footprint, footprint
from .operators import Formats, component_formats
from .parallel import Plan, check_plan

if TYPE_CHECKING:
    from .chip import Chip
    from .engine import Engine
    from .model import Model

MOST_CHIPS = 4096
_MOST_FILLED = 0.92  # of the usable memory by weights and workspace, when nobody says how many chips
_LEAST_BATCH = 64.0  # sequences that a default deployment holds at once, if that many are asked for
_WEIGHT_ONLY = ("int4", "q")  # formats that any chip can expand while it multiplies in 16 bit


@dataclass(frozen=True, eq=False, repr=False)
class Deployment:
    """A replica: chips, degrees, formats, engine and its memory; `assumed` says what nobody had asked for."""

    chip: Chip
    model: Model
    plan: Plan
    weights: str
    kv: str
    formats: Formats
    engine: Engine
    memory: Footprint | None
    assumed: tuple[str, ...]

    @property
    def chips(self) -> int:
        """Chips of the replica."""
        return int(self.plan.chips)


def choose_formats(
    chip: Chip, model: Model, engine: Engine, weights: str | None, kv: str | None
) -> tuple[str, str, list[str]]:
    """(weights, kv, what was assumed). A format that the chip must emulate is refused with what it would be.

    Weights: as released where the chip multiplies in that format, else 16 bit (8 or 4-bit weights only where the
    chip can expand them); KV cache as the engine does by default.
    """
    assumed = []
    if weights is None:
        from .stack import stored_format

        stored = stored_format(chip)
        weights = stored or _released(chip, model)
        assumed.append(f"weights in {weights}, as {_reason(model, weights)}")
    else:
        fmt = find_format(weights)
        weights = fmt.name
        if fmt.ladder[0] in ("fp8", "int8", "fp4", "fp6") and not is_native(fmt, chip.peak_ops_s):
            runs_at = roof(fmt, chip.peak_ops_s)[0]
            assumed.append(
                f"{chip.name} has no {fmt.ladder[0]} units: {weights} weights are expanded and multiplied in {runs_at}"
            )
    if kv is None:
        kv = engine.default_kv(weights, chip.peak_ops_s)
        assumed.append(f"KV cache in {kv}")
    else:
        kv = find_format(kv).name
    return weights, kv, assumed


def _released(chip: Chip, model: Model) -> str:
    native = model.native_format
    wide = "bf16" if "bf16" in chip.peak_ops_s or "fp16" not in chip.peak_ops_s else "fp16"
    if not {"bf16", "fp16", "fp32"} & set(chip.peak_ops_s):
        return "int8" if "int8" in chip.peak_ops_s else "fp8"
    if native in ("bf16", "fp16", "fp32"):
        return wide
    fmt = find_format(native)
    if is_native(fmt, chip.peak_ops_s) or fmt.bits < 8:
        return native
    if "int8" in chip.peak_ops_s:
        return "int8"
    from .stack import keeps_released

    return native if keeps_released(chip, model, wide) else wide


def _reason(model: Model, weights: str) -> str:
    if weights == model.native_format or (
        weights in ("bf16", "fp16") and model.native_format in ("bf16", "fp16")
    ):
        return "released"
    return f"the chip does not multiply in {model.native_format} as released"


def choose(
    chip: Chip, model: Model, engine: Engine, *, batch: float, context: float, weights: str | None = None,
    kv: str | None = None, chips: int | None = None, tp: int | None = None, pp: int | None = None,
    dp: int | None = None, ep: int | None = None,
) -> Deployment:  # fmt: skip
    """The deployment with the fewest chips that holds weights and `batch` sequences of `context` tokens.

    Powers of two inside the scale-up domain as tensor parallel, whole systems as pipeline stages beyond it. Degrees
    that are given are kept; contradictory ones raise UsageError, too few chips DoesNotFit with how many would do.
    """
    weights, kv, assumed = choose_formats(chip, model, engine, weights, kv)
    fmt = component_formats(model, weights, kv)

    def holds(plan: Plan) -> Footprint | None:
        memory = footprint(chip, model, plan, fmt, engine, context)
        return memory if memory.batch >= min(batch, 1.0) * 1.0 and memory.batch >= 1 else None

    asked = any(value is not None for value in (chips, tp, pp, dp, ep))
    if asked:
        plan = _asked_plan(model, chips, tp, pp, dp, ep, _domain(chip))
        memory = holds(plan)
        if memory is None:
            raise _no_room(chip, model, plan, fmt, engine, context)
        return Deployment(chip, model, plan, weights, kv, fmt, engine, memory, tuple(assumed))
    for plan in _sizes(chip, model):
        memory = holds(plan)
        if memory is not None and _has_room(memory, batch):
            assumed.append(
                f"{int(plan.chips)} chip{'s' if plan.chips > 1 else ''}, the fewest that hold the model"
            )
            return Deployment(chip, model, plan, weights, kv, fmt, engine, memory, tuple(assumed))
    raise DoesNotFit(
        f"{model.name} in {weights} does not fit {MOST_CHIPS} x {chip.name}; "
        "choose a chip with more memory or fewer bits"
    )


def _has_room(memory: Footprint, batch: float) -> bool:
    """A sensible fit: weights leave a share of the usable memory to the cache, which holds the load."""
    filled = float(memory.weights_bytes + memory.workspace_bytes) / float(memory.usable_bytes)
    return filled <= _MOST_FILLED and float(memory.batch) >= min(batch, _LEAST_BATCH)


def _domain(chip: Chip) -> int:
    link = chip.scale_up
    if link is not None and link.domain_chips:
        return min(link.domain_chips, 8)
    return min(chip.chips_per_system or 1, 8)


def _sizes(chip: Chip, model: Model) -> list[Plan]:
    domain = max(1, _domain(chip))
    plans, tp = [], 1
    while tp <= domain:
        plans.append(Plan(tp, 1, 1, 1))
        tp *= 2
    top = plans[-1].tp
    pp = 2
    while top * pp <= MOST_CHIPS and pp <= model.layers:
        plans.append(Plan(top, pp, 1, 1))
        pp += 1 if pp < 8 else pp // 4
    return plans


def _asked_plan(
    model: Model,
    chips: int | None,
    tp: int | None,
    pp: int | None,
    dp: int | None,
    ep: int | None,
    domain: int,
) -> Plan:
    """Degrees that were given, the rest filled in: what is left of `chips` becomes tensor parallel, then stages."""
    if pp is not None and pp > model.layers:
        raise UsageError(
            f"--pp {pp} is more stages than {model.name} has layers ({model.layers}); give --tp or --dp"
        )
    if chips is None:
        return check_plan(tp or 1, pp or 1, dp or 1, ep or 1)
    rest = chips
    for value in (tp, pp, dp):
        if value is not None:
            if rest % value:
                check_plan(tp or 1, pp or 1, dp or 1, ep or 1, chips)
            rest //= value
    if tp is None:
        tp = max(t for t in range(1, min(rest, max(domain, 8)) + 1) if rest % t == 0)
        rest //= tp
    if pp is None:
        pp, rest = rest, 1
    if pp > model.layers:
        raise UsageError(
            f"--pp {pp} is more stages than {model.name} has layers ({model.layers}); give --tp or --dp"
        )
    return check_plan(tp, pp, dp or 1, ep or 1, chips)


def _no_room(
    chip: Chip, model: Model, plan: Plan, fmt: Formats, engine: Engine, context: float
) -> DoesNotFit:
    memory = footprint(chip, model, plan, fmt, engine, context)
    need = memory.weights_bytes + memory.workspace_bytes + memory.kv_bytes_per_sequence
    missing = float(need - memory.usable_bytes) / 1e9
    enough = next(
        (int(p.chips) for p in _sizes(chip, model)
         if footprint(chip, model, p, fmt, engine, context).batch >= 1), None,
    )  # fmt: skip
    hint = f"{enough} chips would do" if enough else "no number of these chips holds it"
    from .tiers import hint as next_tier

    hint = f"{hint} {next_tier(chip)}".strip()
    return DoesNotFit(
        f"{model.name} does not fit {int(plan.chips)} x {chip.name}: {missing:,.1f} GB are missing on each chip; {hint}"
    )
