"""`tokcalc draft`: which draft length is fastest at each load, and where drafting stops paying."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import DoesNotFit, UsageError
from .. import listing, options, text
from ..table import Column, render

if TYPE_CHECKING:
    from ...engines.engine import Engine
    from ...hardware.chip import Chip
    from ...models.model import Model
    from ...serving.drafting import Drafted
    from ...serving.workload import Load

_KINDS = ("ngram", "mtp")
STEPS = "decode steps, without the prompts of other requests"


def draft(
    chip: Annotated[str | None, typer.Option(metavar="NAME", help="The chip.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The model that answers.")] = None,
    with_: Annotated[
        str, typer.Option("--with", metavar="KIND", help="What drafts: ngram, mtp, or a small model's name.")
    ] = "ngram",
    acceptance: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Chance that a drafted token is accepted.")
    ] = None,
    batch: Annotated[str, typer.Option(metavar="N,N", help="Requests in flight.")] = "1,4,16,64,256",
    isl: Annotated[str, typer.Option(metavar="N", help="Input tokens.")] = "1024",
    osl: Annotated[str, typer.Option(metavar="N", help="Output tokens.")] = "1024",
    weights: Annotated[str | None, typer.Option(metavar="FORMAT", help="Format of the weights.")] = None,
    chips: Annotated[int | None, typer.Option(metavar="N", help="Chips; default: the fewest.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a file.")] = None,
) -> None:
    """Choose the draft length of speculative decoding, load by load."""
    if chip is None or model is None:
        raise UsageError(
            "--chip and --model are missing, as in tokcalc draft --chip h800 --model llama-70b --acceptance 0.7"
        )
    if acceptance is None:
        raise UsageError("--acceptance is missing: the chance that a drafted token is accepted, such as 0.7")
    options.share("--acceptance", acceptance, 0.0, 1.0)
    batches = []
    for word in batch.split(","):
        if not word.strip().isdecimal() or int(word) < 1:
            raise UsageError(f"--batch '{word}' is not a number of requests; write numbers from 1, as in 1,16,64")
        batches.append(float(word))
    rows = rows_of(
        chip, model, with_, acceptance, batches, options.length("--isl", isl), options.length("--osl", osl),
        weights, chips,
    )  # fmt: skip
    for path in export or []:
        from ...report import write

        write(rows, path)
        print(f"wrote {path}", file=sys.stderr)
    if json_:
        json.dump(rows, sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        cells = [[write_cell(row[key]) for _, key, write_cell in _COLUMNS] for row in rows]
        print(render([column for column, _, _ in _COLUMNS], cells, text.width()))
        print()
        for line in _foot(rows):
            print("\n".join(text.wrap(line, text.width())))


def _foot(rows: list[dict[str, Any]]) -> list[str]:
    """Where drafting stops paying, what the figures are of, and which loads do not run at once."""
    stop = next((row["batch"] for row in rows if row["draft"] == 0), None)
    pays = "Drafting pays at every load asked for."
    if stop is not None:
        pays = f"From {stop:.0f} requests in flight no draft pays."
    return [pays, f"Figures are of {STEPS}.", *(f"{row['waits']}." for row in rows if row["waits"])]


def rows_of(
    chip: str, model: str, kind: str, acceptance: float, batches: list[float], isl: int, osl: int,
    weights: str | None, chips: int | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The best length at each batch, beside the speed without a draft, of the requests that run at once.

    Raises DoesNotFit where `chips` hold not even one request, with how many would do.
    """
    from ...answers.notes import waiting_note
    from ...catalog import load_chip, load_model
    from ...engines.constants import load_constants
    from ...engines.engine import default_engine, find_engine
    from ...serving import drafting
    from ...serving.deployment import Wish, choose
    from ...serving.replica import sized_for
    from ...serving.workload import Load

    device, network, constants = load_chip(chip), load_model(model), load_constants()
    engine = find_engine(constants, default_engine(device))
    helper: Any = kind if kind in _KINDS else load_model(kind)
    drafting.check_draft(device, network, constants, kind)
    rows = []
    for batch in batches:
        load = Load(float(isl), float(osl), batch, 0.0, 0.0, acceptance)
        if device.weights_in_sram:
            found, count, most = *_piped(device, network, engine, load, weights, chips), float("inf")
        else:
            wanted = float(sized_for(device, network, (engine, constants), load))
            d = choose(
                device, network, engine, Wish(weights=weights, chips=chips), batch=wanted, context=float(isl + osl)
            )
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
                "batch": batch, "running": running, "chips": count, "draft": top.draft,
                "tok_s_user": 1.0 / top.tpot_s, "tok_s_user_plain": 1.0 / found[0].tpot_s, "gain": top.gain,
                "step_s": top.step_s, "draft_s": top.draft_s,
                **{f"gain_{row.draft}": row.gain for row in found},
                "waits": "; ".join(notes), "figures": STEPS,
            }
        )  # fmt: skip
    return rows


def _piped(
    chip: Chip, model: Model, engine: Engine, load: Load, weights: str | None, chips: int | None
) -> tuple[list[Drafted], int]:
    """(lengths, chips) of a pipeline over SRAM; DoesNotFit for fewer chips than one request needs."""
    from ...answers.pipelined import too_few
    from ...physics import pipeline as sram
    from ...physics.operators import component_formats
    from ...serving import drafting
    from ...serving.precision import choose_formats

    name = choose_formats(chip, model, engine, weights, None)[0]
    fmt, context = component_formats(model, name, "bf16"), load.isl + load.osl
    least = int(sram.place(chip, model, fmt, 1.0, context).chips)
    if chips is not None and chips < least:
        raise DoesNotFit(too_few(chip, model, fmt, name, chips, least))
    count = chips or int(sram.place(chip, model, fmt, load.concurrency, context).chips)
    return drafting.pipe_lengths(chip, model, name, load, chips=count), count


_COLUMNS: tuple[listing.Shown, ...] = (
    (Column("in flight", 100), "batch", lambda v: f"{v:,.0f}"),
    (Column("running", 88), "running", lambda v: f"{v:,.0f}"),
    (Column("chips", 87), "chips", str),
    (Column("best draft", 95), "draft", str),
    (Column("tok/s/user", 90), "tok_s_user", text.number),
    (Column("without", 85), "tok_s_user_plain", text.number),
    (Column("gain", 92), "gain", lambda v: f"{v:.2f}x"),
    (Column("step", 60), "step_s", text.seconds),
    (Column("of it draft", 50), "draft_s", text.seconds),
    (Column("gain of 1", 40), "gain_1", lambda v: f"{v:.2f}x"),
    (Column("of 3", 39), "gain_3", lambda v: f"{v:.2f}x"),
    (Column("of 7", 38), "gain_7", lambda v: f"{v:.2f}x"),
)
