"""Measured rows to cases of the core: one block per chip, model, formats and engine, with arrays of the rest.

`row_inputs` fills what a row leaves out; here rows of a kind are gathered, and their passes and regimes'
cases made. Stands after `measured` and `row_inputs`, before `predict` and `calibrate`, which share these
blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

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
from . import inputs as row_inputs
from . import runs as row_runs
from .layout import Setup, degrees
from .runs import cached_share

if TYPE_CHECKING:
    import pandas as pd

    from ...hardware.chip import Chip
    from ...models.model import Model

_AS_ASKED = (  # what is in flight was running, whatever the rules of memory say
    "decode-b1",
    "decode-batch",
    "prefill-b1",
    "wide-ep",
    "open-loop",
    "mlperf-server",
)


@dataclass(frozen=True)
class Block:
    """Rows that share chip, model, formats and engine. Arrays have one entry per row; `index` are row positions."""

    chip: Chip
    model: Model
    weights: str
    kv: str
    formats: Formats
    engine: Engine
    version: np.ndarray
    date: np.ndarray
    index: np.ndarray
    regime: np.ndarray
    metric: np.ndarray
    plan: Plan
    isl: np.ndarray
    osl: np.ndarray
    batch: np.ndarray  # requests in flight in the replica
    limit: np.ndarray  # requests that memory and engine let run at once
    running: np.ndarray  # the smaller of the two
    spec: np.ndarray
    context_known: np.ndarray
    cached: np.ndarray  # share of the prompt found in a cache
    draft: np.ndarray  # tokens drafted per step
    accepted: np.ndarray  # tokens that a step yields
    replicas: np.ndarray
    poll: np.ndarray  # steps that a benchmarked engine waits before it looks for requests
    front: np.ndarray  # 1 where prompts alone came through a server
    chips_known: np.ndarray  # True where the row prints its chips
    user_speed: np.ndarray  # tokens per second of one user that a frontier's row states instead of a layout; or NaN
    drafting_said: np.ndarray  # 1 or 0 as the row says, NaN where it is silent
    asked: np.ndarray  # requests in flight of the replica as printed, NaN where they are not
    note: np.ndarray
    spread: np.ndarray  # independent choices of experts that a further token counts for
    sampling: np.ndarray  # seconds that sampling takes for each sequence and step beyond a draw from all tokens

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
        return replace(
            case_of(self.replica(constants), self.load, self.running), batch=self.batch, poll=self.poll,
            replicas=self.replicas, front=self.front, sampling_s=self.sampling,
        )  # fmt: skip


@dataclass(frozen=True)
class Blocks:
    """All rows: blocks, reasons of rows that have none by position, and what was assumed for each row."""

    blocks: list[Block]
    reasons: dict[int, str]
    assumed: list[str]


@lru_cache(maxsize=512)
def _chip(name: str) -> Chip:
    from ...catalog import load_chip

    return load_chip(name)


@lru_cache(maxsize=512)
def _model(name: str) -> Model:
    from ...catalog import load_model

    return load_model(name)


def _software(constants: Constants, name: str, version: str, date: str) -> str:
    """Name of the engine of that release; "" for none and for software without constants of its own."""
    try:
        return find_engine(constants, name, version, date).name if name else ""
    except TokcalcError:
        return ""


def build_blocks(rows: pd.DataFrame, constants: Constants) -> tuple[list[Block], dict[int, str]]:
    """(blocks, reasons): every row is in one block, or has a reason by its position."""
    found = gather(rows, constants)
    return found.blocks, found.reasons


def gather(rows: pd.DataFrame, constants: Constants) -> Blocks:
    """Every row in one block, or with a reason; and what was assumed.

    rows: columns of the measured contract as `measured.read_rows` types them, any index.
    """
    rows = rows.reset_index(drop=True)
    assumed: list[list[str]] = [[] for _ in range(len(rows))]
    reasons: dict[int, str] = {}
    isl, osl = row_inputs.lengths(rows, assumed, reasons)
    draft, accepted = row_inputs.drafting(rows, assumed, reasons)
    keys = ["chip", "model", "weights", "kv", "checkpoint", "software", "age", "fixed"]
    words = (row_inputs.software(rows), row_inputs.texts(rows, "version"), row_inputs.texts(rows, "date"))
    named = zip(*words, strict=True)
    table = rows.assign(
        **{k: row_inputs.texts(rows, k) for k in keys[:3]},
        kv=row_inputs.caches(rows), checkpoint=row_runs.checkpoints(rows),
        software=[_software(constants, *told) for told in named],
        age=[expert_floor(constants, date) if date else 1.0 for date in words[2]],  # undated: the reference
        isl=isl, osl=osl, draft=draft, accepted=accepted,
        most=rows["most"] if "most" in rows else row_inputs.note_max_batch(rows),
        requests=row_runs.note_requests(rows), fixed=row_inputs.fixed_lengths(rows),
    )  # fmt: skip
    blocks: list[Block] = []
    # factors of measured combinations are of closed loops of random tokens; texts reach more experts
    shared = replace(constants, anchors={})
    for (chip_name, model_name, weights, kv, checkpoint, software, age, fixed), part in table.groupby(keys, sort=True):
        part = part[[i not in reasons for i in part.index]]
        if part.empty:
            continue
        try:
            block = _block(part, str(chip_name), str(model_name), str(weights), str(kv), str(checkpoint),
                           str(software), float(str(age)), constants if fixed else shared, assumed)  # fmt: skip
        except TokcalcError as error:
            reasons.update(dict.fromkeys(part.index.tolist(), str(error)))
            continue
        blocks.append(block)
    return Blocks(blocks, reasons, ["; ".join(words) for words in assumed])


def _block(
    part: pd.DataFrame, chip_name: str, model_name: str, weights: str, kv: str, checkpoint: str, software: str,
    age: float, constants: Constants, assumed: list[list[str]],
) -> Block:  # fmt: skip
    chip, model = _chip(chip_name), _model(model_name)
    part = part.assign(chips=part["chips"] * float(chip.efficiency.get("gpus_per_card", 1.0)))
    engine = replace(find_engine(constants, software or None), expert_floor=age)
    where = part.index.to_numpy()
    mine: list[list[str]] = [assumed[i] for i in where]
    if not weights:
        weights = precision.default_weights(chip, model)
        for words in mine:
            words.append(f"weights {weights}")
    weights = find_format(weights).name
    kv = kv or engine.default_kv(weights, chip.peak_ops_s)
    formats = row_runs.widened(component_formats(model, weights, kv), checkpoint)
    if engine.rest and model.is_moe and formats.experts is not formats.ffn:
        rest = find_format(engine.rest)
        formats = replace(formats, attention=rest, ffn=rest, head=rest)
    engine = engine_for(constants, engine, chip, model, weights)
    isl, osl = part["isl"].to_numpy(float), part["osl"].to_numpy(float)
    printed = np.isfinite(row_inputs.numbers(part, "chips"))
    plan, replicas = degrees(part, Setup(chip, model, formats, engine), isl + osl, mine)
    regime = part["regime"].to_numpy(dtype=str)
    most = part["most"].to_numpy(float) * np.where(np.asarray(plan.dp) > 1, plan.dp, 1.0)  # per rank
    cached = cached_share(part)
    for words, share in zip(mine, cached, strict=True):
        words += ["prompts repeated, found in a cache"] if share > 0 else []
    apart = Load(isl * (1.0 - cached), osl, 1.0)  # what is shared is held once
    ran = Replica.of(chip, model, plan, formats, (engine, constants))
    limit = np.minimum(ran.pool(apart), most)
    batch = _batch(part, regime, plan, replicas, limit, mine)
    held = np.minimum(batch, limit)
    held = np.where(regime == "max-load", row_runs.even_waves(batch, held), held)
    running = np.maximum(np.where(np.isin(regime, _AS_ASKED), batch, held), 1.0)
    if not model.is_moe:  # ranks of a dense model are machines of their own, each with its share of the requests
        ranks = np.minimum(plan.dp, np.maximum(batch, 1.0))
        plan, replicas = replace(plan, dp=np.ones(len(part))), replicas * ranks
        batch, limit, running = batch / ranks, limit / ranks, np.maximum(running / ranks, 1.0)
    polled = np.array([text.startswith("inferencex") for text in row_inputs.texts(part, "note")])
    return Block(
        chip, model, weights, kv, formats, engine,
        np.array(row_inputs.texts(part, "version")), np.array(row_inputs.texts(part, "date")),
        where, regime, part["metric"].to_numpy(dtype=str), plan, isl, osl, batch, limit, running,
        row_inputs.numbers(part, "spec_decode", 0.0), np.ones(len(part), dtype=bool), cached,
        part["draft"].to_numpy(float), part["accepted"].to_numpy(float), replicas,
        np.where(polled, poll_wait_steps(engine, batch), 0.0), row_inputs.through_server(part), printed,
        row_inputs.note_user_speed(part), row_inputs.numbers(part, "spec_decode"),
        row_inputs.numbers(part, "concurrency") / replicas,
        np.array(row_inputs.texts(part, "note"), dtype=object),
        np.where(row_inputs.of_texts(part), routing()["spread_texts"], routing()["spread"]),
        row_inputs.nucleus(part) * model.vocab * constants.engines.get(engine.name, {}).get("sort_ns", 0.0) * 1e-9,
    )  # fmt: skip


def _batch(
    part: pd.DataFrame, regime: np.ndarray, plan: Plan, replicas: np.ndarray, limit: np.ndarray,
    assumed: list[list[str]],
) -> np.ndarray:  # fmt: skip
    """Requests in flight of one replica: as printed, the largest that fits, or a stated default."""
    asked = row_inputs.numbers(part, "concurrency")
    maximum = part["max_load"].to_numpy(dtype=bool)
    queued = part["requests"].to_numpy(float) / replicas
    queued = np.where(np.isfinite(queued), queued, limit)
    batch = np.where(maximum | np.isnan(asked), queued, asked / replicas)
    for i in np.flatnonzero(~maximum & np.isnan(asked)):
        if regime[i] == "wide-ep":
            assumed[i].append(wide_batch_words(*(row_inputs.texts(part, k)[i] for k in ("metric", "note"))))
            batch[i] = 1.0
            continue
        if regime[i] == "price":
            assumed[i].append("the best layout at a user's speed")
            continue
        if regime[i] in ("prefill-b1", "decode-b1"):
            batch[i] = 1.0
        assumed[i].append(f"{batch[i]:.0f} in flight")
    return np.where(np.isin(regime, ("open-loop", "mlperf-server")), batch, np.maximum(batch, 1.0))
