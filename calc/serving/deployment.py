"""The smallest sensible deployment of a model on a chip: formats, chips, parallel degrees, whether it fits.

What was named is kept here; of the cuts that are left, `chooser` takes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DoesNotFit, UsageError
from ..hardware.links import domain
from ..hardware.tiers import hint as next_tier
from ..physics.memory import Footprint, footprint
from ..physics.operators import Formats, component_formats
from ..physics.parallel import Plan, check_heads, check_plan, cuts_heads, rank_cores, usual_degree
from .precision import choose_formats
from .replica import Replica

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model

MOST_CHIPS = 4096
MOST_FILLED = 0.92  # of the usable memory by weights and workspace, when nobody says how many chips
LEAST_BATCH = 64.0  # sequences that a default deployment holds at once, if that many are asked for


@dataclass(frozen=True, eq=False, repr=False)
class Deployment:
    """A replica: chips, degrees, formats, engine and its memory; `assumed` says what nobody had asked for."""

    chip: Chip
    model: Model
    plan: Plan
    weights: str
    kv: str
    formats: Formats
    engine: Engine
    memory: Footprint | None
    assumed: tuple[str, ...]

    @property
    def chips(self) -> int:
        """Chips of the replica."""
        return int(self.plan.chips)

    def replica(self, constants: Constants) -> Replica:
        """The replica that these constants make of it."""
        return Replica.of(self.chip, self.model, self.plan, self.formats, (self.engine, constants))


@dataclass(frozen=True)
class Wish:
    """What of a deployment was asked for; None where nobody says."""

    weights: str | None = None
    kv: str | None = None
    chips: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    ep: int | None = None

    @property
    def degrees(self) -> tuple[int | None, int | None, int | None, int | None]:
        """tp, pp, dp, ep as asked."""
        return self.tp, self.pp, self.dp, self.ep

    @property
    def named_degrees(self) -> bool:
        """Whether any way to cut the chips was asked for."""
        return any(value is not None for value in self.degrees)


@dataclass(frozen=True, eq=False, repr=False)
class _Fit:
    """What is to be held: a model in formats, with one request of `context` tokens, on chips run by an engine."""

    chip: Chip
    model: Model
    formats: Formats
    engine: Engine
    context: float

    def on(self, plan: Plan) -> Footprint:
        return footprint(self.chip, self.model, plan, self.formats, self.engine, context=self.context)


def choose(
    chip: Chip, model: Model, engine: Engine, wish: Wish | None = None, *, batch: float, context: float
) -> Deployment:
    """The deployment with the fewest chips that holds weights and `batch` sequences of `context` tokens.

    Powers of two inside the scale-up domain as tensor parallel, whole systems as pipeline stages beyond it, stages of
    eight chips where that is too few (`sizes`). Where no size holds `batch`, the largest holds what it can. Degrees
    that are given are kept; contradictory ones raise UsageError, too few chips DoesNotFit with how many would do.
    """
    wish = wish or Wish()
    weights, kv, assumed = choose_formats(chip, model, engine, wish.weights, wish.kv)
    fit = _Fit(chip, model, component_formats(model, weights, kv), engine, context)

    def deployed(plan: Plan, memory: Footprint, words: tuple[str, ...] = ()) -> Deployment:
        return Deployment(chip, model, plan, weights, kv, fit.formats, engine, memory, (*assumed, *words))

    if wish.chips is not None or wish.named_degrees:
        plan = asked_plan(chip, model, wish)
        memory = fit.on(plan)
        if memory.batch < 1:
            raise _no_room(fit, plan)
        return deployed(plan, memory)
    found, least = None, 0
    for plan in sizes(chip, model):
        memory = fit.on(plan)
        if not least and _has_room(memory, 0.0):
            least = int(plan.chips)
        if memory.batch >= 1:
            found = plan, memory
            if _has_room(memory, batch):
                break
    if found is None:
        raise _too_large(fit, weights)
    return deployed(*found, (_why_chips(deployed(*found), least, batch, context),))


def _why_chips(d: Deployment, least: int, batch: float, context: float) -> str:
    """Why a deployment has its chips, as half a sentence. least: chips that hold the model without a request."""
    chips = f"{d.chips:,} chip{'s' if d.chips > 1 else ''}"
    wanted, held = min(batch, LEAST_BATCH), float(d.memory.batch) if d.memory is not None else 0.0
    count = min(wanted, held)
    load = f"{count:.0f} request{'s' if count != 1 else ''} of {context:,.0f} tokens"
    if held < wanted:
        return f"{chips}, the most tried, which hold the model and {load}"
    return f"{chips}, the fewest that hold the model" + ("" if d.chips == least else f" and {load}")


def _has_room(memory: Footprint, batch: float) -> bool:
    """A sensible fit: weights leave a share of the usable memory to the cache, which holds the load."""
    filled = float(memory.weights_bytes + memory.workspace_bytes) / float(memory.usable_bytes)
    return filled <= MOST_FILLED and float(memory.batch) >= min(batch, LEAST_BATCH)


def _domain(chip: Chip) -> int:
    """Widest tensor degree that is tried unasked: cards on a bus only as far as they are sold in one machine."""
    return min(domain(chip), 8 if chip.scale_up else chip.chips_per_system or 1)


def sizes(chip: Chip, model: Model) -> list[Plan]:
    """Numbers of chips to try, rising: tensor degrees of the domain, stages of whole domains, then stages of eight.

    The last are what `--chips N` cuts as well: chips of small domains share their layers over the host's links. Worked:
    a card of 16 GB by itself, 61 layers: 1 to 51 cards in as many stages, then 8 x 7, 8 x 8 ... 8 x 61. Tensor
    degrees are those that the model's heads allow.
    """
    plans, tp = [], 1
    while tp <= _domain(chip) and usual_degree(model, tp, rank_cores(chip)):
        plans.append(Plan(tp, 1, 1, 1))
        tp *= 2
    top = plans[-1].tp
    pp = 2
    while top * pp <= MOST_CHIPS and pp <= model.layers:
        plans.append(Plan(top, pp, 1, 1))
        pp += 1 if pp < 8 else pp // 4
    wide = _wide(chip, model)
    pp = 1 + int(plans[-1].chips) // wide
    while pp < model.layers:
        plans.append(Plan(wide, pp, 1, 1))
        pp += 1 if pp < 16 else pp // 8
    if wide * model.layers > plans[-1].chips:
        plans.append(Plan(wide, model.layers, 1, 1))
    return [plan for plan in plans if plan.chips <= MOST_CHIPS]


def _wide(chip: Chip, model: Model, of: int = 0) -> int:
    """Widest tensor degree that nobody asked for: the domain, or 8, as far as heads go; a divisor of `of`."""
    most = max(_domain(chip), 8)
    return max(t for t in range(1, most + 1) if of % t == 0 and usual_degree(model, t, rank_cores(chip)))


def asked_plan(chip: Chip, model: Model, wish: Wish) -> Plan:
    """Degrees that were given, the rest filled in: what is left of `chips` becomes tensor parallel, then stages.

    Worked: 7 chips for 64 heads are 7 stages, 12 are 4 x 3.
    """
    chips, (tp, pp, dp, ep) = wish.chips, wish.degrees
    if pp is not None and pp > model.layers:
        raise UsageError(f"--pp {pp} is more stages than {model.name} has layers ({model.layers}); give --tp or --dp")
    if chips is None:
        plan = check_plan(tp or 1, pp or 1, dp or 1, ep or 1)
        check_heads(model, tp or 1, rank_cores(chip))
        return plan
    rest = chips
    for value in (tp, pp, dp):
        if value is not None:
            if rest % value:
                check_plan(tp or 1, pp or 1, dp or 1, ep or 1, chips)
            rest //= value
    if tp is None:
        tp = rest if pp is not None and rest <= max(_domain(chip), 8) else _wide(chip, model, rest)
        rest //= tp
    check_heads(model, tp, rank_cores(chip))
    if pp is None:
        pp, rest = rest, 1
    if pp > model.layers:
        raise _no_cut(chip, model, chips, dp or 1, pp)
    return check_plan(tp, pp, dp or 1, ep or 1, chips)


def _no_cut(chip: Chip, model: Model, chips: int, dp: int, stages: int) -> UsageError:
    """A number of chips that needs more stages than there are layers, with the nearest that do not."""
    most = model.layers * _wide(chip, model) * dp

    def possible(count: int) -> bool:
        each = count // dp
        return each * dp == count and each // _wide(chip, model, each) <= model.layers

    below = next((n for n in range(min(chips - 1, most), 0, -1) if possible(n)), None)
    above = next((n for n in range(chips + 1, most + 1) if possible(n)), None)
    near = " or ".join(f"--chips {n}" for n in (below, above) if n)
    return UsageError(
        f"{chips} chips cut {model.name} into {stages} stages, more than its {model.layers} layers; "
        f"give {near}, or --tp or --dp"
    )


def _no_room(fit: _Fit, plan: Plan) -> DoesNotFit:
    memory, chip = fit.on(plan), fit.chip
    need = memory.weights_bytes + memory.workspace_bytes + memory.kv_bytes_per_sequence
    missing = float(need - memory.usable_bytes) / 1e9
    enough = _enough(fit)
    hint = f"{enough} chips would do" if enough else "no number of these chips holds it"
    hint = f"{hint} {next_tier(chip)}".strip()
    return DoesNotFit(
        f"{fit.model.name} does not fit {int(plan.chips)} x {chip.name}: {missing:,.1f} GB are missing on each chip; "
        f"{hint}"
    )


def _enough(fit: _Fit) -> int | None:
    """The fewest of the sizes tried that hold weights and one request, cut as `--chips N` cuts them."""
    for size in sizes(fit.chip, fit.model):
        try:
            plan = asked_plan(fit.chip, fit.model, Wish(chips=int(size.chips)))
        except UsageError:  # more stages than layers
            continue
        if fit.on(plan).batch >= 1:
            return int(size.chips)
    return None


def _too_large(fit: _Fit, weights: str) -> DoesNotFit:
    """What is too large for every size, and the degrees that hold it where there are any."""
    chip, model = fit.chip, fit.model
    largest = sizes(chip, model)[-1]
    memory = fit.on(largest)
    alone = float(memory.usable_bytes - memory.weights_bytes - memory.workspace_bytes) < 0.0
    what = "does not fit" if alone else f"and one request of {fit.context:,.0f} tokens do not fit"
    degrees = [tp for tp in (16, 32, 64, 128) if cuts_heads(model, tp, rank_cores(chip))]
    wider = (Plan(tp, model.layers, 1, 1) for tp in degrees if tp * model.layers <= MOST_CHIPS)
    enough = next((p for p in wider if fit.on(p).batch >= 1), None)
    way = f"give --tp {enough.tp} --pp {enough.pp}, " if enough else ""
    fewer = "fewer bits" if alone else "a shorter request"
    return DoesNotFit(
        f"{model.name} in {weights} {what} {int(largest.chips):,} x {chip.name}, {largest.tp} to each of "
        f"{largest.pp} stages; {way}choose a chip with more memory or {fewer}"
    )
