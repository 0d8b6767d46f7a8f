"""Number formats of weights, KV cache and activations: bytes per element and the roof that they compute at.

A format's bits are its definition (block scales included); what a chip runs natively comes from its spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError


@dataclass(frozen=True, repr=False)
class Format:
    """One number format. `bits` per stored element with its scales; `ladder`: roofs to try, best first."""

    name: str
    bits: float
    ladder: tuple[str, ...]

    @property
    def bytes(self) -> float:
        """Bytes per element, scales included."""
        return self.bits / 8


_WIDE = ("bf16", "fp16", "fp32")
_INT8 = ("int8", *_WIDE)
_FP8 = ("fp8", *_WIDE)

# Bits: nvfp4 has an 8-bit scale per 16 elements, mxfp4 one per 32, int4 (AWQ, GPTQ) a 16-bit scale per 128 with
# zero points; fp8_block has a 32-bit scale per 128 x 128 weights (as released by DeepSeek) and needs activations scaled
# on the way, so its kernels are others than those of fp8 with one scale per matrix; the llama.cpp formats store 16-bit
# scales per 32 elements (q4_k_m is the mean of a recipe); q-formats, int4, exl2 are weight-only, computed in 16 bit.
_TABLE = (
    Format("fp32", 32, ("fp32", "tf32", "bf16", "fp16")),
    Format("bf16", 16, _WIDE),
    Format("fp16", 16, ("fp16", "bf16", "fp32")),
    Format("fp8", 8, _FP8),
    Format("fp8_block", 8, _FP8),
    Format("int8", 8, _INT8),
    Format("nvfp4", 4.5, ("fp4", *_WIDE)),
    Format("mxfp4", 4.25, ("fp4", *_WIDE)),
    Format("mxfp6", 6.25, ("fp6", *_FP8)),
    Format("int4", 4.15, _WIDE),
    Format("q8_0", 8.5, _WIDE),
    Format("q6_k", 6.5625, _WIDE),
    Format("q5_k_m", 5.69, _WIDE),
    Format("q4_k_m", 4.85, _WIDE),
    Format("q4_0", 4.5, _WIDE),
    Format("q3_k_m", 3.91, _WIDE),
    Format("q2_k", 3.35, _WIDE),
)
_OTHER_NAMES = {
    "nvfp4": "fp4",
    "fp16": "float16 f16",
    "bf16": "bfloat16",
    "fp8": "float8 mxfp8",
    "fp32": "f32",
    "int4": "awq gptq w4a16",
    "int8": "w8a8",
}
_ALIASES = {alias: name for name, aliases in _OTHER_NAMES.items() for alias in aliases.split()}


def format_names() -> list[str]:
    """Names of the known formats, widest first (`exl2-<bits>bpw` is understood beside them)."""
    return [f.name for f in _TABLE]


def find_format(name: str) -> Format:
    """The format of that name or alias; `exl2-4.0bpw` reads its bits from the name. Unknown: UsageError.

    >>> [(find_format(name).name, find_format(name).bits) for name in ("AWQ", "nvfp4", "exl2-4.0bpw")]
    [('int4', 4.15), ('nvfp4', 4.5), ('exl2-4.0bpw', 4.0)]
    """
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    for entry in _TABLE:
        if entry.name == key:
            return entry
    if key.startswith("exl2-") and key.endswith("bpw"):
        try:
            bits = float(key[5:-3])
        except ValueError:
            bits = 0.0
        if 1.0 <= bits <= 16.0:
            return Format(key, bits, _WIDE)
    raise UsageError(f"number format '{name}' is unknown; choose one of {', '.join(format_names())}")


def is_native(fmt: Format, peaks: Mapping[str, float]) -> bool:
    """True if the chip multiplies in this format itself rather than expanding it to a wider one."""
    return fmt.ladder[0] in peaks


def roof(fmt: Format, peaks: Mapping[str, float]) -> tuple[str, float]:
    """The dense peak that products of this format run at: (roof name, operations per second).

    peaks: the chip's dense peaks in op/s by format name. A format that the chip lacks runs at the first roof of its
    ladder that the chip has (weight-only use: bytes shrink, the roof does not rise); a chip with none of them falls
    back on its fastest wider roof.

    >>> roof(find_format("nvfp4"), {"bf16": 989e12, "fp8": 1979e12})
    ('bf16', 989000000000000.0)
    """
    for name in fmt.ladder:
        if name in peaks:
            return name, peaks[name]
    for name in ("bf16", "fp16", "int8", "fp8", "fp32"):
        if name in peaks:
            return name, peaks[name]
    best = max(peaks, key=lambda k: peaks[k])
    return best, peaks[best]
