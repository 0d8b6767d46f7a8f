"""Points of a frontier: the best rate per chip at a stated speed of one user, over layouts and batches.

Sources print what a chip delivers at so many tokens per second and user without saying on which layout; here
machines of up to two boxes and rate-matched pools for prompts and generation are tried, on each engine that
the source runs, and the best is taken, as those sources do. Stands after `serving` and `wide_ep`, beside
`predict`; what is tried is in specs/engines/frontier.toml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog.tables import shipped_table
from ..engines.engine import find_engine
from ..errors import NoAnswer
from ..hardware.links import box
from ..physics.memory import footprint
from ..physics.parallel import Plan
from ..serving.closed_loop import closed_loop
from ..serving.pools import DECODE_BUSY, PREFILL_BUSY
from ..serving.replica import Replica
from ..serving.wide_ep import Software, decode, prefill
from ..serving.workload import Load
from .rows.drafts import chance_of, drafting_table
from .rows.inputs import ROOM

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..physics.operators import Formats

BATCHES = 2.0 ** np.arange(0.0, 12.5, 0.5)


@dataclass(frozen=True)
class Point:
    """What a source says of a point: lengths, tokens/s of one user, requests in flight (inf: not said).

    drafted, pooled: whether it drafts and whether prompts run on chips of their own; None where it is silent.
    """

    isl: float
    osl: float
    user: float
    flight: float = np.inf
    drafted: bool | None = None
    pooled: bool | None = None


@dataclass(frozen=True)
class Found:
    """Input and output tokens per second and chip (NaN: no layout is that fast) and the layout in words."""

    rate: float
    words: str = ""


NONE = Found(float("nan"))


@lru_cache(maxsize=1)
def frontier_table() -> Mapping[str, Any]:
    """specs/engines/frontier.toml."""
    return shipped_table("engines", "frontier.toml") or {}


def best_rate(chip: Chip, model: Model, fmt: Formats, constants: Constants, point: Point) -> Found:
    """The best rate at a point. Where drafting is not said and both ways reach the speed: their geometric mean,
    the guess of least error when either is as likely.

    Worked: 800 tokens/s plain, 1,250 drafted, silent source: 1,000.
    """
    can = model.mtp_layers > 0
    plain = NONE if point.drafted and can else _best(chip, model, fmt, constants, point, 0)
    with_draft = NONE if point.drafted is False or not can else _best(chip, model, fmt, constants, point, 1)
    if np.isfinite(plain.rate) and np.isfinite(with_draft.rate):
        mean = float(np.sqrt(plain.rate * with_draft.rate))
        return Found(mean, f"{plain.words} and, drafted, {with_draft.words}: their geometric mean")
    return plain if np.isfinite(plain.rate) else with_draft


def _best(
    chip: Chip, model: Model, fmt: Formats, constants: Constants, point: Point, draft: int
) -> Found:  # fmt: skip
    found: list[Found] = []
    if not point.pooled:
        for name in _engines(chip):
            for plan in _plans(chip, model):
                found.append(_machine(chip, model, fmt, constants, point, draft, name, plan))
    if point.pooled is not False and model.is_moe:
        found += _pools(chip, model, fmt, constants, point, draft)
    good = [f for f in found if np.isfinite(f.rate)]
    return max(good, key=lambda f: f.rate, default=NONE)


def _engines(chip: Chip) -> Sequence[str]:
    table: Mapping[str, Sequence[str]] = frontier_table()["engines"]
    return table.get(chip.vendor, table["any"])


def _plans(chip: Chip, model: Model) -> Iterator[Plan]:
    """Tensor parallel, and for mixtures attention data parallel, inside a box; stages or wider ranks on two."""
    one = float(min(box(chip), 8))
    for width in frontier_table()["machine_chips"]:
        if width <= one:
            yield Plan(width)
        else:
            yield Plan(one, width / one)
            yield Plan(width)
        if model.is_moe and width > 1:
            yield Plan(1, 1, width, width)


def _machine(
    chip: Chip, model: Model, fmt: Formats, constants: Constants, point: Point, draft: int, engine: str, plan: Plan
) -> Found:  # fmt: skip
    """One replica that does both phases; rates between two batches are interpolated in logarithms.

    Its batch is the largest that keeps the user's speed, and never more than the requests in flight; those then
    go at the stated speed, though the machine could go faster. Weights leave the cache its room (`ROOM`).
    """
    software = find_engine(constants, engine)
    held = footprint(chip, model, plan, fmt, software, point.isl + point.osl)
    if float(held.batch) < 1 or float(held.weights_bytes) > ROOM * chip.memory_bytes:
        return NONE
    yielded = drafting_table()["mtp"]["yields"][draft - 1] if draft else 1.0
    load = Load(point.isl, point.osl, BATCHES, 0.0, float(draft), chance_of(yielded, draft) if draft else 0.0)
    s = closed_loop(Replica.of(chip, model, plan, fmt, (software, constants)), load)
    speed = np.broadcast_to(s.output_tok_s_user, BATCHES.shape)
    rate = np.broadcast_to(s.output_tok_s + s.input_tok_s, BATCHES.shape) / plan.chips
    if speed[0] < point.user:
        return NONE
    order = np.argsort(speed)
    batch = np.exp(np.interp(np.log(point.user), np.log(speed[order]), np.log(BATCHES[order])))
    whole = float(batch) <= point.flight
    batch = min(float(batch), point.flight)
    at = np.log(batch), np.log(BATCHES)
    slower = 1.0 if whole else min(1.0, point.user / float(np.exp(np.interp(*at, np.log(speed)))))
    found = float(np.exp(np.interp(*at, np.log(rate)))) * slower
    return Found(found, f"{plan.chips:g} chips (tp {plan.tp:g}, dp {plan.dp:g}, {engine}) of {batch:.0f}")


def _pools(chip: Chip, model: Model, fmt: Formats, constants: Constants, point: Point, draft: int) -> Iterator[Found]:
    """Whole numbers of prefill replicas that feed whole numbers of decode replicas, as requests in flight allow."""
    isl, osl = point.isl, point.osl
    yielded = drafting_table()["mtp"]["yields"][draft - 1] if draft else 1.0
    software = Software(None, constants)
    engine = software.on(chip, model, fmt)[0]

    def holds(n: int, context: float) -> bool:
        return float(footprint(chip, model, Plan(1.0, 1.0, n, n), fmt, engine, context).batch) >= n

    readers = [
        (n, n * prefill(chip, model, fmt, chips=n, isl=isl, software=software).tok_s_chip)
        for n in frontier_table()["prefill_chips"] if holds(n, isl)
    ]  # fmt: skip
    for n in frontier_table()["decode_chips"]:
        if not holds(n, isl + osl):
            continue
        for tp in (1, min(n, frontier_table()["decode_tp"])):
            ask: dict[str, Any] = {
                "chips": n, "tp": tp, "context": isl + 0.5 * osl, "draft": draft, "accepted": yielded,
                "software": software,
            }  # fmt: skip
            w = decode(chip, model, fmt, batch_per_chip=None, max_tpot_s=1.0 / point.user, **ask)
            if w.tpot_s * point.user > 1.0 + 1e-9:
                continue
            full = w.tokens_per_chip * n
            writers = max(1.0, np.floor(point.flight / full)) if np.isfinite(point.flight) else 1.0
            made = w.tok_s_chip * n if full <= point.flight else point.flight * point.user
            for size, rate in readers:
                yield _matched(point, size, rate / isl, writers, n, made / osl, tp)


def _matched(
    point: Point, size: int, reads: float, writers: float, n: int, writes: float, tp: int
) -> Found:  # fmt: skip
    """Total rate of pools; whole prefill replicas for the writers, any share where the size is not said."""
    requests = DECODE_BUSY * writers * writes
    readers = requests / (PREFILL_BUSY * reads)
    readers = np.ceil(readers) if np.isfinite(point.flight) else readers
    chips = readers * size + writers * n
    words = f"{readers:.3g} x {size} chips reading for {writers:g} x {n} (tp {tp})"
    return Found(float(requests * (point.isl + point.osl) / chips), words)


def usd_per_hour(chip: Chip, date: str | None) -> float:
    """What an hour of the chip costs its owner in USD on that day; NoAnswer where no purchase price is known."""
    from ..money.hour import Terms, chip_hour
    from ..physics.power import system_watts

    watts = system_watts(chip)
    if watts is None:
        raise NoAnswer(f"no power figure of {chip.name} is published")
    return chip_hour(chip, Terms(own={}, on=date), watts, watts).value


def usd_per_million(rate: float, hour: float) -> float:
    """USD of a million tokens: hour x 1e6 / (3600 rate). 2 USD/h at 5,000 tokens/s: 0.111 USD."""
    return hour * 1e6 / (3600.0 * rate)
