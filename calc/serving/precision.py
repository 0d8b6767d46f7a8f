"""Number formats when nobody says: one rule for answers, grids and measured rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engines.constants import Constants
from ..engines.vendor import stack_table
from ..hardware.formats import find_format, is_native, roof

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model


def keeps_released(chip: Chip, model: Model, wide: str) -> bool:
    """True where an accelerator's whole system holds a model as released but not its copy in the wide format.

    It then stores what was released and widens it on the way. Worked: DeepSeek-V3, 671 GB in fp8, on the 1,024 GB of
    16 SN40L, which multiply in 16 bit only.
    """
    room = chip.memory_bytes * (chip.chips_per_system or 1)
    least, most = (model.params_total * find_format(name).bytes for name in (model.native_format, wide))
    return chip.kind != "gpu" and least < room < most


def stored_format(chip: Chip, constants: Constants | None = None) -> str | None:
    """Format that a chip's software stores weights in when nobody asks for one: block float, TruePoint;
    else None.
    """
    if chip.weights_in_sram:
        from ..engines.pipelines import constants_for

        return constants_for(chip)[0].get("weights")
    return stack_table(chip, constants)[0].get("weights")


def choose_formats(
    chip: Chip, model: Model, engine: Engine, weights: str | None, kv: str | None
) -> tuple[str, str, list[str]]:
    """(weights, kv, what was assumed). A format that the chip must emulate is refused with what it would be.

    Weights: as released where the chip multiplies in that format, else 16 bit (8 or 4-bit weights only where the
    chip can expand them); KV cache as the engine does by default.
    """
    assumed = []
    if weights is None:
        from .precision import stored_format

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
    from .precision import keeps_released

    return native if keeps_released(chip, model, wide) else wide


def _reason(model: Model, weights: str) -> str:
    if weights == model.native_format or (weights in ("bf16", "fp16") and model.native_format in ("bf16", "fp16")):
        return "released"
    return f"the chip does not multiply in {model.native_format} as released"


def default_weights(chip: Chip, model: Model) -> str:
    """Weights when nobody says: as released where the chip multiplies in that format or it is 4 bit, else 16 bit.

    Models released in 16 bit stand as the chip's software stores them where it has a format of its own. Accelerators
    whose system does not hold the 16-bit copy keep what was released and widen it on the way; an
    LPU reads weights from SRAM as it multiplies them, so there nothing is widened.
    """
    native = model.native_format
    wide = "bf16" if "bf16" in chip.peak_ops_s or "fp16" not in chip.peak_ops_s else "fp16"
    fmt, stored = find_format(native), stored_format(chip)
    if stored and (fmt.bits >= 16 or (chip.weights_in_sram and not is_native(fmt, chip.peak_ops_s))):
        return stored
    if fmt.bits >= 16:
        return wide
    if is_native(fmt, chip.peak_ops_s) or fmt.bits < 8:
        return native
    return native if keeps_released(chip, model, wide) else wide
