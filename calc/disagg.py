"""Mixed systems: prompts on one chip and generation on another, rate-matched.

Prefill replicas hand their KV cache over a link; whole numbers of replicas on both sides make the cheapest
token. Stands after `serving` and `sram`, before the commands that show it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import wide_ep
from .bands import answer_grade, band
from .constants import load_constants
from .deployment import choose, choose_formats
from .engine import find_engine
from .errors import DoesNotFit
from .operators import component_formats
from .serving import Load, serve
from .stack import engine_for_chip

if TYPE_CHECKING:
    from .chip import Chip
    from .model import Model

PREFILL_BUSY, DECODE_BUSY = 0.90, 0.92  # shares of their rate that rate-matched pools can be planned for
MOST_REPLICAS = 32


@dataclass(frozen=True)
class Side:
    """One pool: a chip, chips of a replica, seconds of its phase and requests per second of a replica."""

    chip: Chip
    chips: int
    weights: str
    kv: str
    phase_s: float  # prefill: one prompt; decode: time per output token
    batch: float
    requests_per_s: float
    link_bytes_s: float
    grade: str


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


def link_bytes_s(chip: Chip, chips: int) -> float:
    """Bytes/s that a replica can send out of its box: the network link of each chip, else its host bus.

    Worked: 8 x H800 with 400 Gbit/s each: 400 GB/s. A chip that publishes neither is taken as a PCIe 4 card.
    """
    links = {link.level: link.bandwidth_bytes_s for link in chip.links if link.bandwidth_bytes_s}
    return (links.get("scale_out") or links.get("host") or links.get("scale_up") or 16e9) * chips


def transfer_s(kv_bytes: float, sender: float, receiver: float) -> float:
    """Seconds in which a prompt's cache moves: bytes over the slower of the two sides' links."""
    return kv_bytes / min(sender, receiver)


def rate_match(
    prefill_rate: float,
    decode_rate: float,
    prefill_cost: float,
    decode_cost: float,
    most: int = MOST_REPLICAS,
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


def prefill_side(
    chip: Chip, model: Model, isl: int, cache_hit: float, chips: int | None, weights: str | None
) -> Side:
    """The fewest chips that hold the model, working through prompts one after another."""
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    if chip.weights_in_sram:
        from . import sram

        weights, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights, kv)
        pipe = sram.place(chip, model, fmt, 1.0, float(isl), float(chips) if chips else None)
        seconds = float(sram.prompt_rate_s(chip, model, fmt, pipe)) * isl * (1.0 - cache_hit)
        grade, count = answer_grade(chip, constants, pipe.scope), int(pipe.chips)
        return Side(
            chip,
            count,
            weights,
            kv,
            float(pipe.token_s) + seconds,
            1.0,
            1.0 / seconds,
            link_bytes_s(chip, count),
            grade,
        )
    if chips is not None and wide_ep.is_wide(model, chips):
        weights, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights, kv)
        p = wide_ep.prefill(chip, model, fmt, chips=chips, isl=float(isl), cache_hit=cache_hit)
        rate = p.tok_s_chip * chips / (isl * (1.0 - cache_hit))
        grade = answer_grade(chip, constants, constants.find("gemm", chip, (weights, "any"))[1])
        return Side(
            chip, chips, weights, kv, p.step_s, p.largest_batch, rate, link_bytes_s(chip, chips), grade
        )
    d = choose(chip, model, engine, batch=1.0, context=float(isl), weights=weights, chips=chips)
    s = serve(chip, model, d.plan, d.formats, engine, constants, Load(float(isl), 1.0, 1.0, cache_hit))
    seconds = float(s.prompt_alone_s)
    scope = constants.find("gemm", chip, (d.weights, "any"))[1]
    return Side(
        chip, d.chips, d.weights, d.kv, seconds, 1.0, 1.0 / seconds, link_bytes_s(chip, d.chips),
        answer_grade(chip, constants, scope),
    )  # fmt: skip


def decode_side(
    chip: Chip, model: Model, isl: int, osl: int, batch: float | None, chips: int | None, weights: str | None,
    draft: int = 0, acceptance: float = 0.0, max_tpot_s: float | None = None,
) -> Side:  # fmt: skip
    """A replica that only generates: its largest batch, or the one that is asked for; no prompt disturbs
    it.
    """
    constants = load_constants()
    engine = engine_for_chip(chip, find_engine(constants, None), model, constants)
    if chip.weights_in_sram:
        from . import sram

        weights, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights, kv)
        asked = Load(
            float(isl), float(osl), batch or math.inf, 1.0, float(draft), acceptance
        )  # prompts are elsewhere
        pipe = sram.steady(chip, model, fmt, asked, float(chips) if chips else None)
        least = int(sram.place(chip, model, fmt, 1.0, float(isl + osl)).chips)
        if chips is not None and chips < least:
            raise DoesNotFit(
                f"{model.name} needs {least:,} x {chip.name} to decode; give --decode-chips {least}"
            )
        count, tpot, running = int(pipe.pipe.chips), float(pipe.tpot_s), float(pipe.running)
        grade = answer_grade(chip, constants, pipe.pipe.scope)
    elif chips is not None and wide_ep.is_wide(model, chips):
        weights, kv, _ = choose_formats(chip, model, engine, weights, None)
        fmt = component_formats(model, weights, kv)
        w = wide_ep.decode(
            chip, model, fmt, chips=chips, batch_per_chip=batch / chips if batch else None,
            context=isl + 0.5 * osl, draft=draft, acceptance=acceptance, max_tpot_s=max_tpot_s,
        )  # fmt: skip
        if batch is not None and batch / chips > w.largest_batch:
            raise DoesNotFit(
                f"{batch:.0f} requests do not fit the KV cache of {chips} x {chip.name}, which "
                f"holds {w.largest_batch * chips:.0f}; give more --decode-chips or a smaller --batch"
            )
        tpot, count, running = w.tpot_s, chips, w.tokens_per_chip * chips
        grade = answer_grade(chip, constants, constants.find("gemm", chip, (weights, "any"))[1])
    else:
        d = choose(
            chip, model, engine, batch=batch or 1.0, context=float(isl + osl), weights=weights, chips=chips
        )
        most = min(float(d.memory.batch), engine.max_sequences) if d.memory is not None else 1.0
        if batch is not None and batch > most:
            raise DoesNotFit(
                f"{batch:.0f} requests do not fit the KV cache of {d.chips} x {chip.name}, which "
                f"holds {most:.0f}; give more --decode-chips or a smaller --batch"
            )
        running = batch or most
        s = serve(
            chip,
            model,
            d.plan,
            d.formats,
            engine,
            constants,
            Load(float(isl), float(osl), running, 0.0, float(draft), acceptance),
        )
        tpot, count, weights, kv = float(s.step_s), d.chips, d.weights, d.kv
        grade = answer_grade(chip, constants, constants.find("gemm", chip, (weights, "any"))[1])
    return Side(
        chip, count, weights, kv, tpot, running, running / (osl * tpot), link_bytes_s(chip, count), grade
    )


def mixed(
    model: Model, prefill_chip: Chip, decode_chip: Chip, *, isl: int, osl: int, batch: float | None = None,
    cache_hit: float = 0.0, prefill_chips: int | None = None, decode_chips: int | None = None,
    weights: str | None = None, draft: int = 0, acceptance: float = 0.0, max_tpot_s: float | None = None,
    hour_price: Callable[[Chip], float | None] = lambda chip: None,
) -> Mixed:  # fmt: skip
    """Prompts on one chip, generation on another: whole replicas whose rates match, at the least cost.

    The sender is held while it sends, so a transfer costs prefill time as well as time to first token:
    TTFT = prompt + transfer + wait of a pool 90 % busy (M/D/1: half of .9/.1 services) + one step.
    hour_price: money per chip hour, None where it has none (then chips, not money, are matched).
    """
    first = prefill_side(prefill_chip, model, isl, cache_hit, prefill_chips, weights)
    second = decode_side(
        decode_chip, model, isl, osl, batch, decode_chips, weights, draft, acceptance, max_tpot_s
    )
    fmt = component_formats(model, second.weights, second.kv)
    kv = float(model.kv_bytes(float(isl), fmt.kv.bytes))
    move = transfer_s(kv, first.link_bytes_s, second.link_bytes_s)
    service = 1.0 / first.requests_per_s + move
    prices = (hour_price(prefill_chip), hour_price(decode_chip))
    priced = all(price is not None for price in prices)
    costs = [
        (price if priced and price else 1.0) * side.chips
        for price, side in zip(prices, (first, second), strict=True)
    ]
    x, y = rate_match(1.0 / service, second.requests_per_s, costs[0], costs[1])
    rate = min(PREFILL_BUSY * x / service, DECODE_BUSY * y * second.requests_per_s)
    load = rate * service / x
    wait = load * service / (2.0 * (1.0 - load)) / x
    return Mixed(
        first, second, x, y, rate, kv, move, first.phase_s + move + wait + second.phase_s, second.phase_s,
        x * costs[0] + y * costs[1] if priced else None, max(first.grade, second.grade),
    )  # fmt: skip


def as_answer(m: Mixed, model: Model, isl: int, osl: int, currency: str) -> dict[str, Any]:
    """The mixed system as a dictionary with the keys of an answer, for JSON, tables and exports."""
    chips = m.prefill_replicas * m.prefill.chips + m.decode_replicas * m.decode.chips

    def banded(value: float, quantity: str) -> dict[str, float]:
        low, high = band(value, quantity, m.grade)
        return {"value": value, "low": float(low), "high": float(high)}

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
        "workload": {"isl": isl, "osl": osl, "concurrency": round(m.decode.batch * m.decode_replicas)},
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
