"""One engine step: the sum of its operators' seconds, with the breakdown by term.

Ideal times (bytes over bandwidth, operations over peak) come from the chip, shares and floors from `constants`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..engines.engine import Engine
from ..errors import NoAnswer
from ..hardware.formats import find_format, roof
from ..hardware.links import bandwidth_bytes_s
from .operators import Operator
from .roofline import smooth_max

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from ..models.model import Model

_COLLECTIVES = ("all_reduce", "all_to_all")


@dataclass(frozen=True, eq=False, repr=False)
class Term:
    """An operator on a chip at 100 %: x_s = bytes / bandwidth (collective: volume / link), y_s = operations / peak.

    count: layers; kernels: launches per layer; ranks: of a collective; format: for the constants.
    """

    name: str
    kind: str
    format: str
    roof: str
    count: Array
    kernels: Array
    x_s: Array
    y_s: Array
    ranks: Array
    outputs: Array = 0.0
    context: Array = 0.0

    @property
    def collective(self) -> bool:
        """True for messages between chips."""
        return self.kind in _COLLECTIVES


def ideal_terms(ops: Sequence[Operator], chip: Chip) -> list[Term]:
    """Operators as ideal seconds on the chip: memory (or link) and compute time at datasheet peaks.

    A chip whose board power does not carry its rated clock through matrix products says which share of it does
    (`[efficiency] sustained`).

    >>> from tokcalc.catalog import load_chip
    >>> (term,) = ideal_terms([Operator("product", "gemm", 1.0, flops=1e12, bytes=3.94e9)], load_chip("h100-nvl"))
    >>> f"{term.x_s * 1e3:.2f} ms at 3.94 TB/s, {1 / term.y_s:.0f} of 835 TFLOP/s"  # 400 W carry .84
    '1.00 ms at 3.94 TB/s, 702 of 835 TFLOP/s'
    """
    bandwidth = chip.bandwidth_bytes_s
    if bandwidth is None:
        way = f"--set memory.{chip.weights_in}.bandwidth=VALUE"
        raise NoAnswer(f"no memory bandwidth of {chip.name} is published; give one with {way}")
    sustained = chip.sustained
    out = []
    for op in ops:
        if op.kind in _COLLECTIVES:
            link = bandwidth_bytes_s(chip, op.ranks)
            out.append(Term(op.name, op.kind, "", "", op.count, op.kernels, op.message_bytes / link, 0.0, op.ranks))
            continue
        fmt = find_format(op.format)
        wide = "decode" in op.kind or op.kind == "attention_prefill"  # attention multiplies in 16 bit
        name, peak = roof(find_format("bf16") if wide else fmt, chip.peak_ops_s)
        ideal = op.bytes / bandwidth, op.flops / (peak * sustained)
        out.append(Term(op.name, op.kind, fmt.name, name, op.count, op.kernels, *ideal, 1.0, op.outputs, op.context))
    return out


def term_time(term: Term, chip: Chip, constants: Constants) -> Array:
    """Seconds of one term on one rank: floors plus smooth maximum (`roofline`), times its layers."""
    if term.collective:
        alpha, eta, q = constants.collective(term.kind, chip, term.ranks)
        busy = smooth_max(alpha, term.x_s / eta, q)
        return term.count * np.where(np.asarray(term.ranks) > 1, busy, 0.0)
    k = constants.kernel(term.kind, chip, term.format, term.roof)
    busy = smooth_max(term.x_s / k.eta_m, term.y_s / k.eta_c, k.p)
    if k.row_s:
        busy = busy + term.outputs * k.row_s
    if k.block:
        busy = busy * whole_blocks(term.context, k.block)
    return term.count * (term.kernels * k.t0_s + busy)


def whole_blocks(context: Array, block: float) -> Array:
    """Factor by which attention over whole blocks of cache takes longer than over the tokens in it.

    From two blocks on; below, nothing is shared by blocks.

    >>> (whole_blocks(np.array([200.0, 400.0, 524.0]), 256.0) * [200, 400, 524]).round().tolist()
    [200.0, 512.0, 768.0]
    """
    cells = np.ceil(np.asarray(context) / block) * block
    return np.where(cells >= 2.0 * block, cells / np.maximum(context, 1.0), 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class StepTime:
    """Seconds of one step and of each of its terms; arrays of cases. `names` label the rows of `terms_s`."""

    seconds: Array
    names: tuple[str, ...]
    terms_s: tuple[Array, ...]
    bound: tuple[str, ...]


def step_time(ops: Sequence[Operator], chip: Chip, constants: Constants) -> StepTime:
    """Sum of all operators of a pass on one rank, without engine overhead."""
    terms = ideal_terms(ops, chip)
    seconds = [term_time(term, chip, constants) for term in terms]
    names, kinds = tuple(term.name for term in terms), tuple(term.kind for term in terms)
    return StepTime(sum(seconds[1:], seconds[0]), names, tuple(seconds), kinds)


def host_joined(engine: Engine, kernel_s: Array, host_s: Array) -> Array:
    """Seconds of a step from its kernels and host work: (k^p + h^p)^(1/p), their sum on most stacks (p = 1)."""
    return smooth_max(engine.factor * kernel_s, host_s, engine.overlap)


def mtp_token_s(plain: StepTime, model: Model) -> Array:
    """Seconds of a token from the model's own MTP layers: the output head and its share of a plain step's layers.

    >>> from tokcalc.catalog import load_model
    >>> plain = StepTime(8e-3, ("layers", "output head"), (7.7e-3, 0.3e-3), ("gemm", "gemm"))
    >>> f"{mtp_token_s(plain, load_model('deepseek-v3')) * 1e3:.2f} ms"  # 0.3 + 7.7/61, one MTP layer beside 61
    '0.43 ms'
    """
    head = sum(t for n, t in zip(plain.names, plain.terms_s, strict=True) if n == "output head")
    return head + (plain.seconds - head) * model.mtp_layers / model.layers
