"""Points of a frontier: the best rate per chip at a stated speed of one user, over layouts and batches.

Sources print what a chip delivers at so many tokens per second and user without saying on which layout; here
machines of up to two boxes and rate-matched pools for prompts and generation are tried, on each engine that
the source runs, and the best is taken, as those sources do. What is tried is in specs/measured/frontier.toml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog.tables import spec_table
from ..engines.engine import find_engine
from ..errors import NoAnswer
from ..hardware.links import box
from ..money.hour import Terms, chip_hour
from ..physics.memory import footprint
from ..physics.parallel import Plan
from ..physics.power import system_watts
from ..serving.closed_loop import closed_loop
from ..serving.pools import DECODE_BUSY, PREFILL_BUSY
from ..serving.replica import Replica
from ..serving.wide_ep import Software, decode, prefill
from ..serving.workload import Load
from .rows.drafts import chance_of, drafting_table
from .rows.inputs import assumed_values

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


def frontier_table() -> Mapping[str, Any]:
    """specs/measured/frontier.toml."""
    return spec_table("measured", "frontier")


def best_rate(chip: Chip, model: Model, fmt: Formats, constants: Constants, point: Point) -> Found:
    """The best rate at a point. Where drafting is not said and both ways reach the speed: their geometric mean,
    the guess of least error when either is as likely.

    Worked: 800 tokens/s plain, 1,250 drafted, silent source: 1,000.
    """
    can = model.mtp_layers > 0
    search = _Search(chip, model, fmt, constants, point)
    plain = NONE if point.drafted and can else search.best(0)
    with_draft = NONE if point.drafted is False or not can else search.best(1)
    if np.isfinite(plain.rate) and np.isfinite(with_draft.rate):
        mean = float(np.sqrt(plain.rate * with_draft.rate))
        return Found(mean, f"{plain.words} and, drafted, {with_draft.words}: their geometric mean")
    return plain if np.isfinite(plain.rate) else with_draft


@dataclass(frozen=True, eq=False)
class _Search:
    """What is tried at one point."""

    chip: Chip
    model: Model
    formats: Formats
    constants: Constants
    point: Point

    def best(self, draft: int) -> Found:
        """The best of all machines and pools that draft so many tokens."""
        point, found = self.point, []
        if not point.pooled:
            engines = frontier_table()["engines"]
            for name in engines.get(self.chip.vendor, engines["any"]):
                found += [self.machine(draft, name, plan) for plan in _plans(self.chip, self.model)]
        if point.pooled is not False and self.model.is_moe:
            found += self.pools(draft)
        return max((f for f in found if np.isfinite(f.rate)), key=lambda f: f.rate, default=NONE)

    def machine(self, draft: int, engine: str, plan: Plan) -> Found:
        """One replica that does both phases; rates between two batches are interpolated in logarithms.

        Its batch is the largest that keeps the user's speed, and never more than the requests in flight; those then
        go at the stated speed, though the machine could go faster. Weights leave the cache its room.
        """
        chip, point = self.chip, self.point
        software = find_engine(self.constants, engine)
        held = footprint(chip, self.model, plan, self.formats, software, context=point.isl + point.osl)
        if float(held.batch) < 1 or float(held.weights_bytes) > assumed_values()["room"] * chip.memory_bytes:
            return NONE
        chance = chance_of(_yield(draft), draft) if draft else 0.0
        load = Load(point.isl, point.osl, BATCHES, 0.0, float(draft), chance)
        s = closed_loop(Replica.of(chip, self.model, plan, self.formats, (software, self.constants)), load)
        speed = np.broadcast_to(s.output_tok_s_user, BATCHES.shape)
        rate = np.broadcast_to(s.output_tok_s + s.input_tok_s, BATCHES.shape) / plan.chips
        if speed[0] < point.user:
            return NONE
        order = np.argsort(speed)
        batch = float(np.exp(np.interp(np.log(point.user), np.log(speed[order]), np.log(BATCHES[order]))))
        whole = batch <= point.flight
        batch = min(batch, point.flight)
        at = np.log(batch), np.log(BATCHES)
        slower = 1.0 if whole else min(1.0, point.user / float(np.exp(np.interp(*at, np.log(speed)))))
        found = float(np.exp(np.interp(*at, np.log(rate)))) * slower
        return Found(found, f"{plan.chips:g} chips (tp {plan.tp:g}, dp {plan.dp:g}, {engine}) of {batch:.0f}")

    def pools(self, draft: int) -> Iterator[Found]:
        """Whole numbers of prefill replicas that feed whole numbers of decode replicas, as requests in flight allow."""
        point, asked = self.point, (self.chip, self.model, self.formats)
        software = Software(None, self.constants)
        engine = software.on(*asked)[0]

        def holds(n: int, context: float) -> bool:
            held = footprint(self.chip, self.model, Plan(1.0, 1.0, n, n), self.formats, engine, context=context)
            return float(held.batch) >= n

        readers = [
            (n, n * prefill(*asked, chips=n, isl=point.isl, software=software).tok_s_chip / point.isl)
            for n in frontier_table()["prefill_chips"]
            if holds(n, point.isl)
        ]
        for n in frontier_table()["decode_chips"]:
            if not holds(n, point.isl + point.osl):
                continue
            for tp in (1, min(n, frontier_table()["decode_tp"])):
                w = decode(
                    *asked,
                    chips=n,
                    batch_per_chip=None,
                    context=point.isl + 0.5 * point.osl,
                    draft=draft,
                    accepted=_yield(draft),
                    max_tpot_s=1.0 / point.user,
                    tp=tp,
                    software=software,
                )
                if w.tpot_s * point.user > 1.0 + 1e-9:
                    continue
                full = w.tokens_per_chip * n
                count = max(1.0, np.floor(point.flight / full)) if np.isfinite(point.flight) else 1.0
                made = w.tok_s_chip * n if full <= point.flight else point.flight * point.user
                writers = _Pool(count, n, made / point.osl, f" (tp {tp})")
                yield from (_matched(point, _Pool(0.0, size, rate), writers) for size, rate in readers)


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


def _yield(draft: int) -> float:
    """Tokens of a step that drafts so many."""
    return float(drafting_table()["mtp"]["yields"][draft - 1]) if draft else 1.0


@dataclass(frozen=True)
class _Pool:
    """Replicas of one phase: how many, chips of each, requests per second of each."""

    count: float
    chips: int
    requests_s: float
    words: str = ""


def _matched(point: Point, readers: _Pool, writers: _Pool) -> Found:
    """Total rate of pools; whole prefill replicas for the writers, any share where the size is not said."""
    requests = DECODE_BUSY * writers.count * writers.requests_s
    count = requests / (PREFILL_BUSY * readers.requests_s)
    count = float(np.ceil(count)) if np.isfinite(point.flight) else count
    chips = count * readers.chips + writers.count * writers.chips
    words = f"{count:.3g} x {readers.chips} chips reading for {writers.count:g} x {writers.chips}{writers.words}"
    return Found(float(requests * (point.isl + point.osl) / chips), words)


def usd_per_hour(chip: Chip, date: str | None) -> float:
    """What an hour of the chip costs its owner in USD on that day; NoAnswer where no purchase price is known."""
    watts = system_watts(chip)
    if watts is None:
        raise NoAnswer(f"no power figure of {chip.name} is published")
    return chip_hour(chip, Terms(own={}, on=date), watts, watts).value
