"""How a model is cut over chips: parallel degrees, numbers or arrays of cases, and what a rank holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import UsageError

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


@dataclass(frozen=True, repr=False)
class Plan:
    """Parallel degrees of one replica: tp (tensor) x pp (pipeline) x dp (attention data parallel) = chips.

    ep: over how many chips whole experts are spread; experts are tensor-cut over the remaining tp dp / ep.
    cores: tensor-parallel ranks inside one chip, each with whole heads of its own (`on_cores`).
    """

    tp: Array = 1
    pp: Array = 1
    dp: Array = 1
    ep: Array = 1
    cores: float = 1

    @property
    def chips(self) -> Array:
        """Chips of the replica."""
        return self.tp * self.pp * self.dp

    @property
    def degrees(self) -> tuple[Array, Array, Array, Array]:
        """tp, pp, dp, ep."""
        return self.tp, self.pp, self.dp, self.ep

    def at(self, where: Any) -> Plan:
        """The plan of some of its cases, by any index of their arrays."""
        tp, pp, dp, ep = (np.asarray(degree)[where] for degree in self.degrees)
        return Plan(tp, pp, dp, ep, self.cores)

    @property
    def expert_tp(self) -> Array:
        """Over how many chips one expert's matrices are cut: tp dp / ep, at least 1."""
        return np.maximum(1.0, self.tp * self.dp / np.maximum(self.ep, 1))


def check_plan(tp: int, pp: int, dp: int, ep: int, chips: int | None = None) -> Plan:
    """A Plan whose degrees agree, or UsageError: tp*pp*dp must equal chips, and ep must divide tp*dp."""
    for name, value in (("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep)):
        if value < 1:
            raise UsageError(f"--{name} {value} is not a parallel degree; give a whole number of at least 1")
    if chips is not None and tp * pp * dp != chips:
        raise UsageError(
            f"tp*pp*dp = {tp}*{pp}*{dp} = {tp * pp * dp} contradicts {chips} chips; "
            "change one of --tp --pp --dp --chips"
        )
    if (tp * dp) % ep:
        raise UsageError(
            f"--ep {ep} does not divide tp*dp = {tp * dp}, the chips that hold a layer's experts; choose a divisor"
        )
    return Plan(tp, pp, dp, ep)


def cuts_heads(model: Model, tp: int, cores: int = 1) -> bool:
    """Whether tensor parallel ranks can share out the query heads of every layer: tp divides them.

    Chips of several cores fill their ranks up with empty heads (`kv_heads_per_rank`), so there any degree up to the
    heads will do.

    >>> from tokcalc.catalog import load_model
    >>> [tp for tp in range(1, 17) if cuts_heads(load_model("qwen3-14b"), tp)]  # 40 heads
    [1, 2, 4, 5, 8, 10]
    """
    heads = _heads(model)
    return tp <= min(heads) and (cores > 1 or math.gcd(*heads) % tp == 0)


def usual_degree(model: Model, tp: int, cores: int = 1) -> bool:
    """Whether engines would be started with this degree: it cuts the query heads, and KV heads stay whole.

    Ranks hold as many KV heads each, or as many ranks share one.

    >>> from tokcalc.catalog import load_model
    >>> [tp for tp in range(1, 17) if usual_degree(load_model("qwen3-14b"), tp)]  # 40 query and 8 KV heads
    [1, 2, 4, 8]
    """
    shared = {group.attention.kv_heads for group in model.groups if not group.attention.kv_lora_rank}
    return cuts_heads(model, tp, cores) and (cores > 1 or all(n % tp == 0 or tp % n == 0 for n in shared if n))


def check_heads(model: Model, tp: int, cores: int = 1) -> None:
    """UsageError, with the nearest degrees that do, where tp does not cut the query heads of the model."""
    if tp < 1 or cuts_heads(model, tp, cores):
        return
    heads = _heads(model)
    good = [t for t in range(1, min(heads) + 1) if cuts_heads(model, t, cores)]
    near = [*[t for t in good if t < tp][-1:], *[t for t in good if t > tp][:1]]
    words = "does not divide" if tp <= min(heads) else "is more than"
    raise UsageError(
        f"--tp {tp} {words} the {' and '.join(str(n) for n in heads)} query heads of {model.name}; "
        f"the nearest that {'cut' if len(near) > 1 else 'cuts'} them: {' and '.join(str(t) for t in near)}"
    )


def _heads(model: Model) -> list[int]:
    """Query heads of the model's kinds of layers, each number once, rising."""
    return sorted({group.attention.heads for group in model.groups if group.attention.heads} or {1})


def rank_cores(chip: Chip) -> int:
    """Tensor parallel ranks inside one chip."""
    return int(chip.efficiency.get("cores", 1))


def on_cores(plan: Plan, chip: Chip) -> Plan:
    """The plan with the chip's tensor-parallel ranks (`[efficiency] cores`); itself where a chip is one rank."""
    cores = rank_cores(chip)
    return replace(plan, cores=cores) if cores != plan.cores else plan


def kv_heads_per_rank(kv_heads: int, tp: Array, cores: float = 1) -> Array:
    """KV heads on one chip of a tensor-parallel group: max(1, K/tp); beyond K ranks they are replicated.

    A chip of several cores is as many ranks, each with whole heads: cores x ceil(K / (tp x cores)).

    >>> float(kv_heads_per_rank(8, 4)), float(kv_heads_per_rank(8, 16))
    (2.0, 1.0)
    >>> float(kv_heads_per_rank(8, 12, cores=2))  # each core keeps one, so twelve chips hold 24 for 8
    2.0
    """
    if cores > 1:
        return cores * np.ceil(kv_heads / (np.asarray(tp, dtype=float) * cores))
    return np.maximum(1.0, kv_heads / np.asarray(tp, dtype=float))


def distinct_experts(experts: int, top_k: int, tokens: Array) -> Array:
    """Experts that at least one of `tokens` tokens picks: E (1 - (1 - k/E)^T), uniform independent routing.

    >>> distinct_experts(256, 8, np.array([1.0, 32.0, 128.0])).round().tolist()
    [8.0, 163.0, 252.0]
    """
    return experts * -np.expm1(tokens * np.log1p(-min(top_k / experts, 1.0 - 1e-12)))
