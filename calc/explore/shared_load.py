"""Different chips sharing one load: each takes what it does within the latency limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NoAnswer, TokcalcError, UsageError
from .full_load import loaded


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
        best = _largest(name, model, count, (max_tpot_s, max_ttft_s), workload)
        if isinstance(best, str):
            out.append((name, best))
        else:
            found.append((name, count, best))
    if not found:
        raise NoAnswer(
            f"no chip keeps {max_tpot_s * 1e3:.0f} ms a token: "
            + "; ".join(f"{name}: {reason}" for name, reason in out)
            + "; allow a longer --max-tpot"
        )
    rates = [(count // a["deployment"]["chips"]) * a["speed"]["output_tok_s"]["value"] for _, count, a in found]
    total = sum(rates)
    parts = [
        Part(
            a["chip"],
            count,
            count // a["deployment"]["chips"],
            a["workload"]["concurrency"],
            rate,
            a["speed"]["tpot_s"]["value"],
            a["speed"]["ttft_s"]["value"],
            rate / total,
            a["grade"],
        )
        for (_, count, a), rate in zip(found, rates, strict=True)
    ]
    return parts, out


def _largest(
    name: str, model: str, count: int, limits: tuple[float, float], workload: Mapping[str, Any]
) -> dict[str, Any] | str:
    """The answer at the largest load of (seconds per token, to the first one), or why there is none."""
    tpot, ttft = limits
    try:
        best = loaded(name, model, speed=1.0 / tpot, ttft=ttft, **workload).to_dict()
    except TokcalcError as error:
        return str(error)
    if best["deployment"]["chips"] > count:
        try:
            best = loaded(name, model, speed=1.0 / tpot, ttft=ttft, chips=count, **workload).to_dict()
        except TokcalcError as error:
            return str(error)
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
