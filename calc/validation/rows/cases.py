"""Measured rows to cases of the core: one block per chip, model, formats and engine, with arrays of the rest.

`inputs`, `runs` and `layout` fill what a row leaves out; here rows of a kind are gathered into what predictions and
fits share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...arrays import Values
from ...catalog import load_chip, load_model
from ...engines.constants import Constants
from ...engines.engine import Engine, expert_floor, find_engine, poll_wait_steps
from ...engines.resolve import engine_for
from ...engines.routing import routing
from ...errors import TokcalcError
from ...hardware.formats import find_format
from ...physics.exchange import wide_batch_words
from ...physics.operators import Formats, Operator, component_formats
from ...physics.parallel import Plan
from ...physics.passes import padded_tokens, read_context
from ...serving import precision
from ...serving.chunked_prefill import joins
from ...serving.kernels import case_of, together_of
from ...serving.regimes import Case
from ...serving.replica import Replica
from ...serving.workload import Load
from . import inputs, runs
from .layout import Setup, degrees

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from ...hardware.chip import Chip
    from ...models.model import Model

    Texts = NDArray[np.str_]
    Places = NDArray[np.intp]
    Flags = NDArray[np.bool_]

# what is in flight was running, whatever the rules of memory say
_AS_ASKED = ("decode-b1", "decode-batch", "prefill-b1", "wide-ep", "open-loop", "mlperf-server")


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that share chip, model, formats and engine. Arrays have one entry per row; `index` are row positions."""

    chip: Chip
    model: Model
    weights: str
    formats: Formats
    engine: Engine
    plan: Plan
    replicas: Values
    index: Places
    regime: Texts
    metric: Texts
    date: Texts
    note: Texts
    isl: Values
    osl: Values
    cached: Values  # share of the prompt found in a cache
    draft: Values  # tokens drafted per step
    accepted: Values  # tokens that a step yields
    batch: Values  # requests in flight in the replica
    limit: Values  # requests that memory and engine let run at once
    running: Values  # the smaller of the two
    poll: Values  # steps that a benchmarked engine waits before it looks for requests
    front: Values  # 1 where prompts alone came through a server
    sampling: Values  # seconds that sampling takes for each sequence and step beyond a draw from all tokens
    spread: Values  # independent choices of experts that a further token counts for
    chips_known: Flags  # True where the row prints its chips
    drafting_said: Values  # 1 or 0 as the row says, NaN where it is silent
    asked: Values  # requests in flight of the replica as printed, NaN where they are not
    user_speed: Values  # tokens per second of one user that a frontier's row states instead of a layout; or NaN

    def replica(self, constants: Constants) -> Replica:
        """The replica that the rows ran on, with these constants."""
        return Replica.of(self.chip, self.model, self.plan, self.formats, (self.engine, constants))

    @property
    def load(self) -> Load:
        """What the rows asked of it."""
        return Load(self.isl, self.osl, self.batch, self.cached, self.draft, spread=self.spread, accepted=self.accepted)

    def passes(self, constants: Constants) -> tuple[Sequence[Operator], Sequence[Operator], Sequence[Operator]]:
        """Operators of a decode step, of one prompt alone, and of a full pass of prompts, for fits of their kernels."""
        r, load = self.replica(constants), self.load
        padded = padded_tokens(r.engine, load.fresh)
        together = 1.0 if joins(r.engine) else together_of(r, load.fresh, self.running)
        context = read_context(r.engine, load.isl, load.osl)
        return (
            r.decode_operators(self.running, context, load.verified, load.spread),
            r.prompt_operators(1.0, padded, load.cached),
            r.prompt_operators(together, padded, load.cached),
        )

    def case(self, constants: Constants) -> Case:
        """The block's rows for `regimes`, with what their benchmarks did."""
        case = case_of(self.replica(constants), self.load, self.running)
        asked = replace(case, batch=self.batch, replicas=self.replicas)
        return replace(asked, poll=self.poll, front=self.front, sampling_s=self.sampling)


@dataclass(frozen=True)
class Blocks:
    """All rows: blocks, reasons of rows that have none by position, and what was assumed for each row."""

    blocks: list[Block]
    reasons: dict[int, str]
    assumed: list[str]


class _Kind(NamedTuple):
    """What the rows of a block share, as they say it or leave it out ("")."""

    chip: str
    model: str
    weights: str
    kv: str
    checkpoint: str
    software: str
    age: float
    fixed: bool


def gather(rows: pd.DataFrame, constants: Constants) -> Blocks:
    """Every row in one block, or with a reason; and what was assumed.

    rows: columns of the measured contract as `measured.read_rows` types them, any index.
    """
    rows = rows.reset_index(drop=True)
    assumed: list[list[str]] = [[] for _ in range(len(rows))]
    reasons: dict[int, str] = {}
    isl, osl = inputs.lengths(rows, assumed, reasons)
    draft, accepted = inputs.drafting(rows, assumed, reasons)
    filled = {"isl": isl, "osl": osl, "draft": draft, "accepted": accepted, "requests": runs.note_requests(rows)}
    dates = inputs.texts(rows, "date")

    def software(name: str, version: str, date: str) -> str:
        """Name of the engine of that release; "" for none and for software without constants of its own."""
        engine = inputs.known(lambda named: find_engine(constants, named, version, date), name) if name else None
        return engine.name if engine else ""

    named = zip(inputs.software(rows), inputs.texts(rows, "version"), dates, strict=True)
    kinds = {
        **{key: inputs.texts(rows, key) for key in ("chip", "model", "weights")},
        "kv": inputs.caches(rows),
        "checkpoint": runs.checkpoints(rows),
        "software": [software(*told) for told in named],
        "age": [expert_floor(constants, date) if date else 1.0 for date in dates],  # undated: the reference
        "fixed": inputs.fixed_lengths(rows),
    }
    most = rows["most"] if "most" in rows else inputs.note_max_batch(rows)
    table = rows.assign(**kinds, **filled, most=most)
    blocks: list[Block] = []
    # factors of measured combinations are of closed loops of random tokens; texts reach more experts
    shared = replace(constants, anchors={})
    for names, part in table.groupby(list(_Kind._fields), sort=True):
        kind = _Kind(*names)
        part = part[[i not in reasons for i in part.index]]
        if part.empty:
            continue
        try:
            mine = [assumed[i] for i in part.index]
            blocks.append(_block(part, kind, constants if kind.fixed else shared, mine))
        except TokcalcError as error:
            reasons.update(dict.fromkeys(part.index.tolist(), str(error)))
    return Blocks(blocks, reasons, ["; ".join(words) for words in assumed])


def _block(part: pd.DataFrame, kind: _Kind, constants: Constants, assumed: list[list[str]]) -> Block:
    setup, weights = _setup(part, kind, constants, assumed)
    chip, model, engine = setup.chip, setup.model, setup.engine
    part = part.assign(chips=part["chips"] * float(chip.efficiency.get("gpus_per_card", 1.0)))
    isl, osl, regime = part["isl"].to_numpy(float), part["osl"].to_numpy(float), part["regime"].to_numpy(dtype=str)
    plan, replicas = degrees(part, setup, isl + osl, assumed)
    cached = runs.cached_share(part)
    for words, share in zip(assumed, cached, strict=True):
        words += ["prompts repeated, found in a cache"] if share > 0 else []
    asked = inputs.numbers(part, "concurrency") / replicas
    most = part["most"].to_numpy(float) * np.where(np.asarray(plan.dp) > 1, plan.dp, 1.0)  # per rank
    apart = Load(isl * (1.0 - cached), osl, 1.0)  # what is shared is held once
    ran = Replica.of(chip, model, plan, setup.formats, (engine, constants))
    limit = np.minimum(ran.pool(apart), most)
    queued = part["requests"].to_numpy(float) / replicas
    batch = _batch(part, asked, np.where(np.isfinite(queued), queued, limit), assumed)
    held = np.minimum(batch, limit)
    held = np.where(regime == "max-load", runs.even_waves(batch, held), held)
    running = np.maximum(np.where(np.isin(regime, _AS_ASKED), batch, held), 1.0)
    if not model.is_moe:  # ranks of a dense model are machines of their own, each with its share of the requests
        ranks = np.minimum(plan.dp, np.maximum(batch, 1.0))
        plan, replicas, asked = replace(plan, dp=np.ones(len(part))), replicas * ranks, asked / ranks
        batch, limit, running = batch / ranks, limit / ranks, np.maximum(running / ranks, 1.0)
    sort_s = constants.engines.get(engine.name, {}).get("sort_ns", 0.0) * 1e-9
    return Block(
        chip=chip,
        model=model,
        weights=weights,
        formats=setup.formats,
        engine=engine,
        plan=plan,
        replicas=replicas,
        index=part.index.to_numpy(),
        regime=regime,
        metric=part["metric"].to_numpy(dtype=str),
        date=np.array(inputs.texts(part, "date")),
        note=np.array(inputs.texts(part, "note"), dtype=object),
        isl=isl,
        osl=osl,
        cached=cached,
        draft=part["draft"].to_numpy(float),
        accepted=part["accepted"].to_numpy(float),
        batch=batch,
        limit=limit,
        running=running,
        poll=np.where(inputs.of_inferencex(part), poll_wait_steps(engine, batch), 0.0),
        front=inputs.through_server(part),
        sampling=inputs.nucleus(part) * model.vocab * sort_s,
        spread=np.where(inputs.of_texts(part), routing()["spread_texts"], routing()["spread"]),
        chips_known=np.isfinite(inputs.numbers(part, "chips")),
        drafting_said=inputs.numbers(part, "spec_decode"),
        asked=asked,
        user_speed=inputs.note_user_speed(part),
    )


def _setup(part: pd.DataFrame, kind: _Kind, constants: Constants, assumed: list[list[str]]) -> tuple[Setup, str]:
    """What the rows of a kind run, and the format of its weights: what nobody says by the rules of an answer."""
    chip, model = load_chip(kind.chip), load_model(kind.model)
    engine = replace(find_engine(constants, kind.software or None), expert_floor=kind.age)
    weights = kind.weights
    if not weights:
        weights = precision.default_weights(chip, model)
        for words in assumed:
            words.append(f"weights {weights}")
    weights = find_format(weights).name
    kv = kind.kv or engine.default_kv(weights, chip.peak_ops_s)
    formats = runs.widened(component_formats(model, weights, kv), kind.checkpoint)
    if engine.rest and model.is_moe and formats.experts is not formats.ffn:
        rest = find_format(engine.rest)
        formats = replace(formats, attention=rest, ffn=rest, head=rest)
    return Setup(chip, model, formats, engine_for(constants, engine, chip, model, weights)), weights


def _batch(part: pd.DataFrame, asked: Values, queued: Values, assumed: list[list[str]]) -> Values:
    """Requests in flight of one replica: as printed, the largest that fits, or a stated default."""
    regime, unsaid = part["regime"].to_numpy(dtype=str), np.isnan(asked)
    maximum = part["max_load"].to_numpy(dtype=bool)
    batch = np.where(maximum | unsaid, queued, asked)
    for i in np.flatnonzero(~maximum & unsaid):
        if regime[i] in ("prefill-b1", "decode-b1", "wide-ep"):
            batch[i] = 1.0
        if regime[i] == "wide-ep":
            assumed[i].append(wide_batch_words(*(inputs.texts(part, k)[i] for k in ("metric", "note"))))
        else:
            usual = "the best layout at a user's speed"
            assumed[i].append(usual if regime[i] == "price" else f"{batch[i]:.0f} in flight")
    return np.where(np.isin(regime, ("open-loop", "mlperf-server")), batch, np.maximum(batch, 1.0))
