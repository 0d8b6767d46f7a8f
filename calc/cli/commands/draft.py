"""`tokcalc draft`: which draft length is fastest at each load, and where drafting stops paying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...answers.notes import waiting_note
from ...catalog import load_chip, load_model
from ...engines.constants import load_constants
from ...engines.engine import Engine, default_engine, find_engine
from ...errors import UsageError
from ...hardware.chip import Chip
from ...models.model import Model
from ...physics import pipeline as sram
from ...physics.operators import component_formats
from ...serving import drafting
from ...serving.deployment import Wish, choose
from ...serving.drafting import Drafted
from ...serving.piped_loop import Piped, too_few
from ...serving.precision import choose_formats
from ...serving.replica import sized_for
from ...serving.workload import Load
from .. import options as o
from .. import text, values
from ..output import Output
from ..table import Column, item, tabulate

_KINDS = ("ngram", "mtp")
STEPS = "decode steps, without the prompts of other requests"
Asked = Mapping[str, Any]
"""Weights and number of chips, where they are given."""


class Ask(o.Lengths):
    """What is drafted for."""

    chip: o.Text = o.option(None, "The chip.", "NAME")
    model: o.Text = o.MODEL
    with_: str = o.option("ngram", "What drafts: ngram, mtp, or a small model's name.", "KIND")
    acceptance: o.Real = o.ACCEPTANCE
    batch: str = o.option("1,4,16,64,256", "Requests in flight.", "N,N")
    weights: o.Text = o.WEIGHTS
    chips: o.Whole = o.NUMBER


def draft(ask: Ask, out: Output) -> None:
    """Choose the draft length of speculative decoding, load by load."""
    if ask.chip is None or ask.model is None:
        raise UsageError(
            "--chip and --model are missing, as in tokcalc draft --chip h800 --model llama-70b --acceptance 0.7"
        )
    if ask.acceptance is None:
        raise UsageError("--acceptance is missing: the chance that a drafted token is accepted, such as 0.7")
    values.share("--acceptance", ask.acceptance)
    words = ask.batch.split(",")
    for word in words:
        if not word.strip().isdecimal() or int(word) < 1:
            raise UsageError(f"--batch '{word}' is not a number of requests; write numbers from 1, as in 1,16,64")
    isl, osl = (float(value) for value in ask.tokens().values())
    loads = [Load(isl, osl, float(word), acceptance=ask.acceptance) for word in words]
    rows = rows_of(ask.chip, ask.model, ask.with_, loads, {"weights": ask.weights, "chips": ask.chips})
    out.write(rows)
    out.show(rows, lambda width: [tabulate(_COLUMNS, rows, width), "", *text.paragraphs(_foot(rows), width)])


def _foot(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where drafting stops paying, what the figures are of, and which loads do not run at once."""
    stop = next((row["batch"] for row in rows if row["draft"] == 0), None)
    pays = "Drafting pays at every load asked for."
    if stop is not None:
        pays = f"From {stop:.0f} requests in flight no draft pays."
    return [pays, f"Figures are of {STEPS}.", *(f"{row['waits']}." for row in rows if row["waits"])]


def rows_of(chip: str, model: str, kind: str, loads: Sequence[Load], asked: Asked) -> list[dict[str, Any]]:
    """The best length at each load, beside the speed without a draft, of the requests that run at once.

    Raises DoesNotFit where the chips asked for hold not even one request, with how many would do.
    """
    device, network, constants = load_chip(chip), load_model(model), load_constants()
    engine = find_engine(constants, default_engine(device))
    helper: Any = kind if kind in _KINDS else load_model(kind)
    drafting.check_draft(device, network, constants, kind)
    rows = []
    for load in loads:
        batch = float(load.concurrency)
        if device.weights_in_sram:
            found, count, most = *_piped(device, network, engine, load, asked), float("inf")
        else:
            wanted = float(sized_for(device, network, (engine, constants), load))
            d = choose(device, network, engine, Wish(**asked), batch=wanted, context=float(load.isl + load.osl))
            runs = d.replica(constants)
            found, count, most = drafting.lengths(runs, load, helper), d.chips, float(runs.software_limit(load))
        top, running = drafting.best(found), found[0].batch
        top = top if top.gain >= drafting.LEAST_GAIN else found[0]
        notes = [waiting_note(batch, running, most)] if running < batch else []
        if top.batch < running:
            notes.append(
                f"with {top.draft} drafted tokens the software lets {top.batch:.0f} of {running:.0f} run at once; they "
                "take turns, which the speed per user contains"
            )
        rows.append(
            {
                "batch": batch,
                "running": running,
                "chips": count,
                "draft": top.draft,
                "tok_s_user": 1.0 / top.tpot_s,
                "tok_s_user_plain": 1.0 / found[0].tpot_s,
                **{name: getattr(top, name) for name in ("gain", "step_s", "draft_s")},
                **{f"gain_{row.draft}": row.gain for row in found},
                "waits": "; ".join(notes),
                "figures": STEPS,
            }
        )
    return rows


def _piped(chip: Chip, model: Model, engine: Engine, load: Load, asked: Asked) -> tuple[list[Drafted], int]:
    """(lengths, chips) of a pipeline over SRAM; DoesNotFit for fewer chips than one request needs."""
    name, chips = choose_formats(chip, model, engine, asked["weights"], None)[0], asked["chips"]
    fmt, context = component_formats(model, name, "bf16"), load.isl + load.osl
    least = int(sram.place(chip, model, fmt, 1.0, context).chips)
    if chips is not None and chips < least:
        raise too_few(Piped(chip, model, fmt), chips, least)
    count = chips or int(sram.place(chip, model, fmt, load.concurrency, context).chips)
    return drafting.pipe_lengths(chip, model, name, load, chips=count), count


def _times(key: str) -> Any:
    return item(key, "{:.2f}x".format)


_COLUMNS = (
    Column("in flight", 100, cell=item("batch", "{:,.0f}".format)),
    Column("running", 88, cell=item("running", "{:,.0f}".format)),
    Column("chips", 87, cell=item("chips")),
    Column("best draft", 95, cell=item("draft")),
    Column("tok/s/user", 90, cell=item("tok_s_user", text.number)),
    Column("without", 85, cell=item("tok_s_user_plain", text.number)),
    Column("gain", 92, cell=_times("gain")),
    Column("step", 60, cell=item("step_s", text.seconds)),
    Column("of it draft", 50, cell=item("draft_s", text.seconds)),
    *(
        Column(f"{'gain of' if n == 1 else 'of'} {n}", i, cell=_times(f"gain_{n}"))
        for n, i in ((1, 40), (3, 39), (7, 38))
    ),
)
