"""Mixed systems: prompts on one chip and generation on another, rate-matched.

Prefill replicas hand their KV cache over a link; whole numbers of replicas on both sides make the cheapest
token. Stands after `pool_sides`, before the commands that show it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..physics.operators import component_formats
from ..trust.bands import band_factor
from .pool_sides import Side, best_drafted, decode_side, link_bytes_s, prefill_side

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model

__all__ = [
    "DECODE_BUSY", "PREFILL_BUSY", "Mixed", "Side", "as_answer", "decode_side", "link_bytes_s", "mixed",
    "prefill_side", "rate_match", "transfer_s",
]  # fmt: skip

PREFILL_BUSY, DECODE_BUSY = 0.90, 0.92  # shares of their rate that rate-matched pools can be planned for
MOST_REPLICAS = 32


@dataclass(frozen=True)
class Mixed:
    """Replicas on both sides and what they give together; money per hour where both chips have a price."""

    prefill: Side
    decode: Side
    prefill_replicas: int
    decode_replicas: int
    requests_per_s: float
    kv_bytes: float
    transfer_s: float
    ttft_s: float
    tpot_s: float
    money_per_hour: float | None
    grade: str
    draft: int = 0


def transfer_s(kv_bytes: float, sender: float, receiver: float) -> float:
    """Seconds in which a prompt's cache moves: bytes over the slower of the two sides' links."""
    return kv_bytes / min(sender, receiver)


def rate_match(
    prefill_rate: float, decode_rate: float, prefill_cost: float, decode_cost: float, most: int = MOST_REPLICAS
) -> tuple[int, int]:
    """(x, y) replicas from 1 to `most` with the least cost per request: (x c_p + y c_d)/min(.9 x R_p, .92 y
    R_d).

    Worked: R_p = 3, R_d = 1, equal costs: one prefill replica feeds three decode replicas, 2.7 of 2.76
    requests/s. The smaller system wins where the cost is within two per cent.
    """
    x = np.arange(1, most + 1)[:, None]
    y = np.arange(1, most + 1)[None, :]
    served = np.minimum(PREFILL_BUSY * x * prefill_rate, DECODE_BUSY * y * decode_rate)
    cost = (x * prefill_cost + y * decode_cost) / served
    near = cost <= cost.min() * 1.02
    size = np.where(near, x + y, np.inf)
    i, j = np.unravel_index(int(np.argmin(size)), size.shape)
    return int(i) + 1, int(j) + 1


def mixed(
    model: Model, prefill_chip: Chip, decode_chip: Chip, *, isl: int, osl: int, batch: float | None = None,
    cache_hit: float = 0.0, prefill_chips: int | None = None, decode_chips: int | None = None,
    weights: str | None = None, draft: int | str = 0, acceptance: float = 0.0, max_tpot_s: float | None = None,
    hour_price: Callable[[Chip], float | None] = lambda chip: None,
) -> Mixed:  # fmt: skip
    """Prompts on one chip, generation on another: whole replicas whose rates match, at the least cost.

    The sender is held while it sends, so a transfer costs prefill time as well as time to first token:
    TTFT = prompt + transfer + wait of a pool 90 % busy (M/D/1: half of .9/.1 services) + one step.
    draft "best": the length that makes the most tokens.
    hour_price: money per chip hour, None where it has none (then chips, not money, are matched).
    """
    first = prefill_side(prefill_chip, model, isl, cache_hit, prefill_chips, weights)
    asked = (decode_chip, model, isl, osl, batch, decode_chips, weights)
    if isinstance(draft, str):
        second, drafted = best_drafted(*asked, acceptance, max_tpot_s)
    else:
        second, drafted = decode_side(*asked, draft, acceptance, max_tpot_s), draft
    fmt = component_formats(model, second.weights, second.kv)
    kv = float(model.kv_bytes(float(isl), fmt.kv.bytes))
    move = transfer_s(kv, first.link_bytes_s, second.link_bytes_s)
    service = 1.0 / first.requests_per_s + move
    prices = (hour_price(prefill_chip), hour_price(decode_chip))
    priced = all(price is not None for price in prices)
    costs = [
        (price if priced and price else 1.0) * side.chips for price, side in zip(prices, (first, second), strict=True)
    ]
    x, y = rate_match(1.0 / service, second.requests_per_s, costs[0], costs[1])
    rate = min(PREFILL_BUSY * x / service, DECODE_BUSY * y * second.requests_per_s)
    load = rate * service / x
    wait = load * service / (2.0 * (1.0 - load)) / x
    return Mixed(
        first, second, x, y, rate, kv, move, first.phase_s + move + wait + second.phase_s, second.phase_s,
        x * costs[0] + y * costs[1] if priced else None, max(first.grade, second.grade), drafted,
    )  # fmt: skip


def as_answer(m: Mixed, model: Model, isl: int, osl: int, currency: str) -> dict[str, Any]:
    """The mixed system as a dictionary with the keys of an answer, for JSON, tables and exports.

    Bands are of the chips: the prefill chip's for the first token, the decode chip's for the time per token, the wider
    of both for what they make together; all at the worse grade.
    """
    chips = m.prefill_replicas * m.prefill.chips + m.decode_replicas * m.decode.chips

    both = (m.prefill.chip.id, m.decode.chip.id)
    of = {"ttft": both[:1], "tpot": both[1:]}

    def banded(value: float, quantity: str) -> dict[str, float]:
        wider = max(band_factor(quantity, m.grade, chip, model.is_moe) for chip in of.get(quantity, both))
        return {"value": value, "low": value / wider, "high": value * wider}

    def side(s: Side, replicas: int) -> dict[str, Any]:
        return {
            "chip": s.chip.id, "chips": s.chips, "replicas": replicas, "weights": s.weights, "kv": s.kv,
            "batch": s.batch, "requests_per_s": s.requests_per_s, "grade": s.grade,
        }  # fmt: skip

    money = m.money_per_hour
    output = m.requests_per_s * osl
    return {
        "chip": f"{m.prefill.chip.id}+{m.decode.chip.id}", "model": model.id,
        "deployment": {
            "chips": chips, "prefill": side(m.prefill, m.prefill_replicas),
            "decode": side(m.decode, m.decode_replicas),
        },
        "workload": {"isl": isl, "osl": osl, "concurrency": round(m.decode.batch * m.decode_replicas),
                     "draft": m.draft},
        "speed": {
            "output_tok_s_user": banded(1.0 / m.tpot_s, "tpot"), "output_tok_s": banded(output, "throughput"),
            "input_tok_s": banded(m.requests_per_s * isl, "throughput"), "ttft_s": banded(m.ttft_s, "ttft"),
            "tpot_s": banded(m.tpot_s, "tpot"), "requests_per_s": m.requests_per_s,
        },
        "transfer": {"kv_bytes": m.kv_bytes, "seconds": m.transfer_s,
                     "link_bytes_s": min(m.prefill.link_bytes_s, m.decode.link_bytes_s)},
        "cost": {"currency": currency, "per_hour": money,
                 "per_m_blended": money / 3600 / (m.requests_per_s * (isl + osl)) * 1e6 if money else None,
                 "per_m_output": money / 3600 / output * 1e6 if money else None},
        "grade": m.grade,
    }  # fmt: skip
