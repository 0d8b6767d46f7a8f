"""Different chips sharing one load: each takes what it does within the latency limits.

Stands after `estimate`, beside `disagg`, before the command that shows it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DoesNotFit, NoAnswer, UsageError


@dataclass(frozen=True)
class Part:
    """One kind of chip in a shared fleet: its replicas, what each does within the limits, and its share of
    the load.
    """

    chip: str
    chips: int
    replicas: int
    concurrency: int
    output_tok_s: float
    tpot_s: float
    ttft_s: float
    share: float
    grade: str


def share_load(
    owned: Mapping[str, int], model: str, *, max_tpot_s: float, max_ttft_s: float = math.inf, **workload: Any
) -> tuple[list[Part], list[tuple[str, str]]]:
    """(parts, left out with reason): chips of several kinds share a load by what each does within the limits.

    owned: chip name -> number of chips. Each kind runs whole replicas at the largest batch that keeps both
    limits; share = its tokens/s over the sum, so that every user sees the same limits.
    Raises NoAnswer where no kind keeps them.
    """
    found, out = [], []
    for name, count in owned.items():
        best = _largest(name, model, count, max_tpot_s, max_ttft_s, workload)
        if isinstance(best, str):
            out.append((name, best))
        else:
            found.append((name, count, best))
    if not found:
        raise NoAnswer(
            f"no chip keeps {max_tpot_s * 1e3:.0f} ms a token: "
            + "; ".join(f"{name}: {reason}" for name, reason in out) + "; allow a longer --max-tpot"
        )  # fmt: skip
    rates = [(count // a["deployment"]["chips"]) * a["speed"]["output_tok_s"]["value"] for _, count, a in found]
    total = sum(rates)
    parts = [
        Part(
            a["chip"], count, count // a["deployment"]["chips"], a["workload"]["concurrency"], rate,
            a["speed"]["tpot_s"]["value"], a["speed"]["ttft_s"]["value"], rate / total, a["grade"],
        )
        for (_, count, a), rate in zip(found, rates, strict=True)
    ]  # fmt: skip
    return parts, out


def _largest(
    name: str, model: str, count: int, max_tpot_s: float, max_ttft_s: float, workload: Mapping[str, Any]
) -> dict[str, Any] | str:
    """The answer at the largest batch within the limits, or why there is none. Halving between powers of
    two.
    """
    from ..answers.estimate import estimate
    from ..errors import TokcalcError

    def at(batch: int) -> dict[str, Any] | None:
        try:
            a = estimate(name, model, concurrency=batch, **workload).to_dict()
        except DoesNotFit:
            return None
        kept = a["speed"]["tpot_s"]["value"] <= max_tpot_s and a["speed"]["ttft_s"]["value"] <= max_ttft_s
        return a if kept and a["memory"]["largest_batch"] >= batch else None

    try:
        one = estimate(name, model, concurrency=1, **workload).to_dict()
    except TokcalcError as error:
        return str(error)
    if one["deployment"]["chips"] > count:
        return f"one replica needs {one['deployment']['chips']:,} chips"
    best = at(1)
    if best is None:
        return f"{one['speed']['tpot_s']['value'] * 1e3:.1f} ms a token even for one user"
    low, high = 1, 2
    while high <= 8192 and (found := at(high)) is not None:
        low, high, best = high, high * 2, found
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        found = at(middle)
        if found is None:
            high = middle
        else:
            low, best = middle, found
    if best["deployment"]["chips"] > count:
        return f"one replica needs {best['deployment']['chips']:,} chips"
    return best


def parse_owned(items: Sequence[str]) -> dict[str, int]:
    """["h800=8", "ascend-910c=16"] -> {"h800": 8, "ascend-910c": 16}; UsageError for anything else."""
    owned: dict[str, int] = {}
    for item in ",".join(items).split(","):
        name, sign, count = item.partition("=")
        if not sign or not name.strip() or not count.strip().isdecimal() or int(count) < 1:
            raise UsageError(f"--share '{item}' is not CHIP=NUMBER, as in --share h800=8,ascend-910c=16")
        owned[name.strip()] = owned.get(name.strip(), 0) + int(count)
    return owned
