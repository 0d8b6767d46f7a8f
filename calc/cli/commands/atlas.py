"""`tokcalc atlas`: the Pareto fronts of every chip with every model, in one file and one plot."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import UsageError
from .. import options, text
from ..progress import Line
from ..table import Column, render

if TYPE_CHECKING:
    from ...explore.atlas import Atlas

_Text = str | None
_question, _money, _output = (partial(typer.Option, rich_help_panel=t) for t in ("Question", "Money", "Output"))
SERIES = 7  # chips with a line of their own in the plot; the others share one
SHOWN = 15


def atlas(
    chip: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Only these chips.")] = None,
    model: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Only these models.")] = None,
    lengths: Annotated[
        str, _question(metavar="IN/OUT[,...]", help="Input and output lengths.")
    ] = "1024/1024,8192/1024,1024/8192,65536/1024",
    kv: Annotated[_Text, _question(metavar="TYPE", help="Data type of the KV cache.")] = None,
    rent: Annotated[_Text, _money(metavar="PRICE", help='One price for all chips: "2.5 USD/h".')] = None,
    price: Annotated[_Text, _money(metavar="TERMS", help="on-demand, reserved or spot.")] = None,
    on: Annotated[_Text, _money("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")] = None,
    currency: Annotated[str, _money(metavar="CODE", help="Currency of the costs.")] = "USD",
    jobs: Annotated[int | None, _output(metavar="N", help="Processes; else one a core.")] = None,
    export: Annotated[list[str] | None, _output(metavar="FILE", help="Write the fronts: .parquet, ...")] = None,
    plot: Annotated[_Text, _output(metavar="FILE", help="Fronts of one model: .svg .png .html .pdf.")] = None,
    plot_model: Annotated[str, _output(metavar="NAME", help="Model of the plot.")] = "llama-3.3-70b",
) -> None:
    """Evaluate every sensible deployment of every model on every chip and keep what no other beats."""
    from ...catalog import find_id
    from ...explore.atlas import atlas as draw
    from ...explore.atlas import standing, write_atlas

    pairs = _lengths(lengths)
    for path in export or []:
        from ...report import check

        check(path)
    if plot is not None:
        from ...report.plots import check as check_plot

        check_plot(plot)
    chips = None if chip is None else options.names("--chip", chip, "h100", "chips")
    models = None if model is None else options.names("--model", model, "llama-70b", "models")
    pictured = find_id("models", plot_model)
    if plot is not None and models is not None and pictured not in (find_id("models", m) for m in models):
        pictured = find_id("models", models[0])
    bar = Line("chips")
    began = time.monotonic()
    try:
        found = draw(
            chips, models, lengths=pairs, jobs=None if jobs is None else options.length("--jobs", str(jobs),
            1024),
            progress=bar, kv=kv, rent=rent, price=price, on=options.date("--on", on),
            currency=currency.strip().upper(),
        )  # fmt: skip
    finally:
        bar.close()
    took = time.monotonic() - began
    for path in export or []:
        write_atlas(found, path)
        print(f"wrote {path}: {len(found):,} rows", file=sys.stderr)
    if plot is not None:
        from ...report.plots import save

        save(chart(found, pictured, pairs[0]), plot)
        print(f"wrote {plot}", file=sys.stderr)
    print("\n".join(_report(found, standing(found), took, len(pairs), text.width())))


def _report(found: Atlas, chips: list[dict[str, Any]], took: float, pairs: int, width: int) -> list[str]:
    models = len(set(found.columns["model"]))
    fronts = models * pairs
    head = (
        f"{found.cases:,} deployments of {models} models evaluated in {text.seconds(took)}, "
        f"{found.fitting:,} fit; {len(found):,} are on the front of their chip, "
        f"{found.skipped:,} pairs of chip and model fit nowhere."
    )
    said = f"Of the {fronts:,} fronts over all chips (a model and a pair of lengths), these stand on most:"
    columns = [Column("chip", 100, right=False), Column("throughput", 90), Column("cost", 80)]
    cells = [(row["chip"], f"{row['front_throughput']:,}", f"{row['front_cost']:,}") for row in chips[:SHOWN]]
    return [*text.wrap(head, width), "", *text.wrap(said, width), "", render(columns, cells, width)]


def chart(found: Atlas, model: str, pair: tuple[float, float]) -> Any:
    """Fronts of one model at one pair of lengths: the chips on the front over all, and the best of the
    others.
    """
    from ...explore.atlas import model_rows
    from ...report.plots import pareto, pareto_pair

    rows = model_rows(found, model, *pair)
    if not rows:
        raise UsageError(f"no chip of this atlas holds {model}; choose another --plot-model")
    points: dict[str, int] = {}
    for row in rows:
        points[row["chip"]] = points.get(row["chip"], 0) + int(row["front_throughput"]) + int(row["front_cost"])
    leading = sorted((chip for chip in points if points[chip]), key=lambda chip: -points[chip])[:SERIES]
    others = len(points) - len(leading)
    grades = {row["chip"]: f"{row['chip']} (grade {row['grade']})" for row in rows}
    shown = [
        {
            "chip": grades[row["chip"]] if row["chip"] in leading else f"best of {others} others",
            "label": f"{row['chip']}, {row['chips']:.0f} chips" if row["chip"] not in leading else "",
            **{n: row[n] for n in ("output_tok_s_user", "output_tok_s_chip", "per_m_blended")},
        }
        for row in sorted(rows, key=lambda row: row["chip"] not in leading)
    ]
    title = f"{model}, {pair[0]:,.0f} tokens in, {pair[1]:,.0f} out: fronts of {len(points)} chips"
    priced = [row for row in shown if row["per_m_blended"] == row["per_m_blended"]]
    if priced:
        return pareto_pair(priced, cost="per_m_blended", title=title, currency=found.currency)
    return pareto(shown, title=title)


def _lengths(words: str) -> list[tuple[float, float]]:
    pairs = []
    for word in words.split(","):
        first, slash, last = word.strip().partition("/")
        if not slash:
            raise UsageError(f"--lengths {word!r} is no pair; write input/output, such as 1k/1k,8k/1k")
        pairs.append((float(options.length("--lengths", first)), float(options.length("--lengths", last))))
    return list(dict.fromkeys(pairs))
