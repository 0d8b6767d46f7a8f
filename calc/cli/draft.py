"""`tokcalc draft`: which draft length is fastest at each load, and where drafting stops paying."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import listing, options, text
from .table import Column, render

_KINDS = ("ngram", "mtp")


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
            "--chip and --model are missing, as in "
            "tokcalc draft --chip h800 --model llama-70b --acceptance 0.7"
        )
    if acceptance is None:
        raise UsageError("--acceptance is missing: the chance that a drafted token is accepted, such as 0.7")
    options.share("--acceptance", acceptance, 0.0, 1.0)
    batches = []
    for word in batch.split(","):
        if not word.strip().isdecimal() or int(word) < 1:
            raise UsageError(
                f"--batch '{word}' is not a number of requests; write numbers from 1, as in 1,16,64"
            )
        batches.append(float(word))
    rows = rows_of(
        chip, model, with_, acceptance, batches, options.length("--isl", isl), options.length("--osl", osl),
        weights, chips,
    )  # fmt: skip
    for path in export or []:
        from ..report import write

        write(rows, path)
        print(f"wrote {path}", file=sys.stderr)
    if json_:
        json.dump(rows, sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        cells = [[write_cell(row[key]) for _, key, write_cell in _COLUMNS] for row in rows]
        print(render([column for column, _, _ in _COLUMNS], cells, text.width()))
        stop = next((row["batch"] for row in rows if row["draft"] == 0), None)
        print(
            f"\nFrom {stop:.0f} requests in flight no draft pays." if stop is not None
            else "\nDrafting pays at every load asked for."
        )  # fmt: skip


def rows_of(
    chip: str, model: str, kind: str, acceptance: float, batches: list[float], isl: int, osl: int,
    weights: str | None, chips: int | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The best length at each batch, beside the speed without a draft."""
    from .. import drafting
    from ..catalog import load_chip, load_model
    from ..constants import load_constants
    from ..deployment import choose, choose_formats
    from ..engine import find_engine
    from ..serving import Load
    from ..stack import engine_for_chip

    device, network, constants = load_chip(chip), load_model(model), load_constants()
    engine = engine_for_chip(device, find_engine(constants, None), network, constants)
    helper: Any = kind if kind in _KINDS else load_model(kind)
    drafting.check_draft(device, network, constants, kind)
    rows = []
    for batch in batches:
        load = Load(float(isl), float(osl), batch, 0.0, 0.0, acceptance)
        if device.weights_in_sram:
            found = drafting.pipe_lengths(
                device, network, choose_formats(device, network, engine, weights, None)[0], load
            )
        else:
            d = choose(
                device, network, engine, batch=batch, context=float(isl + osl), weights=weights, chips=chips
            )
            found = drafting.lengths(d, constants, load, helper)
        top = drafting.best(found)
        rows.append(
            {
                "batch": batch, "draft": top.draft if top.gain >= 1.02 else 0, "tok_s_user": 1.0 / top.tpot_s,
                "tok_s_user_plain": 1.0 / found[0].tpot_s, "gain": top.gain, "step_s": top.step_s,
                "draft_s": top.draft_s,
                **{f"gain_{row.draft}": row.gain for row in found},
            }
        )  # fmt: skip
    return rows


_COLUMNS: tuple[listing.Shown, ...] = (
    (Column("in flight", 100), "batch", lambda v: f"{v:,.0f}"),
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
