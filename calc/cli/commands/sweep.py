"""`tokcalc sweep`: any grid of questions, streamed to a file or shown by its best rows."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import NoAnswer, UsageError
from ...explore.sweep.axes import DEGREES, Axis
from ...explore.sweep.cases import WHAT_IF, Question, Words, columns_of
from ...explore.sweep.columns import check
from ...explore.sweep.sweep import ask, best_rows, check_file, confirm, what_ifs, write_rows
from .. import options, text
from ..progress import Line
from ..table import short_what_ifs
from ..table import what_ifs as tabled

if TYPE_CHECKING:
    import pandas as pd

_Text = str | None
_question, _workload, _deployment, _money, _output = (
    partial(typer.Option, rich_help_panel=title) for title in ("Question", "Workload", "Deployment", "Money", "Output")
)
SHOWN = {
    "chip": "chip", "model": "model", "deployment.weights": "weights", "deployment.kv": "kv",
    "deployment.engine": "engine", "deployment.chips": "chips", "deployment.tp": "tp", "deployment.pp": "pp",
    "deployment.dp": "dp", "deployment.ep": "ep", "workload.isl": "isl", "workload.osl": "osl",
    "workload.concurrency": "requests in flight", "workload.cache_hit": "cache hit", "workload.draft": "draft",
    "workload.acceptance": "acceptance", "workload.utilisation": "in use",
    "speed.output_tok_s_user.value": "speed per user", "speed.output_tok_s_chip.value": "per chip",
    "speed.output_tok_s.value": "throughput", "speed.ttft_s.value": "TTFT", "cost.per_m_output": "cost/M out",
    "cost.per_m_input": "cost/M in", "memory.used_share": "memory used",
}  # fmt: skip
MOST_LINES, MOST_POINTS = 12, 2000
LOWER = ("ttft_s", "tpot_s", "per_", "joule", "power_w", "used_share", "chips")


def sweep(
    grid: Annotated[
        list[str] | None, _question(metavar="NAME=VALUES", help="concurrency=1:4096:x2, isl=1k,8k.")
    ] = None,
    chip: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Chips: id, alias, prefix or file.")] = None,
    model: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Models, likewise.")] = None,
    isl: Annotated[_Text, _workload(metavar="TOKENS", help="Input length [1024].")] = None,
    osl: Annotated[_Text, _workload(metavar="TOKENS", help="Output length [1024].")] = None,
    concurrency: Annotated[_Text, _workload(metavar="N|max", help="Requests in flight [1].")] = None,
    cache_hit: Annotated[float | None, _workload(metavar="SHARE", help="Share of the input found in cache.")] = None,
    draft: Annotated[int | None, _workload(metavar="N", help="Tokens drafted per step (speculation).")] = None,
    acceptance: Annotated[float | None, _workload(metavar="SHARE", help="Chance that one is accepted.")] = None,
    weights: Annotated[_Text, _deployment(metavar="TYPE", help="Data type of the weights.")] = None,
    kv: Annotated[_Text, _deployment(metavar="TYPE", help="Data type of the KV cache.")] = None,
    chips: Annotated[int | None, _deployment(metavar="N", help="Chips; else the fewest that fit.")] = None,
    tp: Annotated[int | None, _deployment(metavar="N", help="Tensor-parallel degree.")] = None,
    pp: Annotated[int | None, _deployment(metavar="N", help="Pipeline-parallel degree.")] = None,
    dp: Annotated[int | None, _deployment(metavar="N", help="Data-parallel degree.")] = None,
    ep: Annotated[int | None, _deployment(metavar="N", help="Expert-parallel degree.")] = None,
    engine: Annotated[_Text, _deployment(metavar="NAME", help="Serving engine: vllm, sglang, ...")] = None,
    memory: Annotated[_Text, _deployment(metavar="NAME", help="Swap the memory generation: hbm4, ...")] = None,
    set_: Annotated[
        list[str] | None, _deployment("--set", metavar="PATH=VALUE", help="Override a field of the chip.")
    ] = None,
    rent: Annotated[_Text, _money(metavar="PRICE", help='Your price per chip: "2.5 USD/h".')] = None,
    price: Annotated[_Text, _money(metavar="TERMS", help="on-demand, reserved, spot or a provider.")] = None,
    on: Annotated[_Text, _money("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")] = None,
    currency: Annotated[_Text, _money(metavar="CODE", help="Currency of the answer.")] = None,
    utilisation: Annotated[float | None, _money(metavar="SHARE", help="Share of the paid hours in use.")] = None,
    columns: Annotated[_Text, _output(metavar="NAMES", help="Columns to keep: tpot_s,ttft_s,...")] = None,
    sort: Annotated[
        str, _output(metavar="COLUMN", help="Rows shown are the best of it [output_tok_s_chip].")
    ] = "output_tok_s_chip",
    top: Annotated[int, _output(metavar="N", help="Rows shown.")] = 20,
    export: Annotated[
        list[str] | None, _output(metavar="FILE", help="Write all rows; .parquet and .csv are streamed.")
    ] = None,
    plot: Annotated[_Text, _output(metavar="FILE", help="Speed along the first axis: .svg .png .html.")] = None,
    yes: Annotated[bool, _output("--yes", help="Compute a huge grid all the same.")] = False,
    dask: Annotated[_Text, _output(metavar="ADDRESS", help="Let a Dask cluster compute the parts.")] = None,
    json_: Annotated[bool, _output("--json", help="Print the rows shown as JSON.")] = False,
) -> None:
    """Evaluate any grid of questions, in blocks and bounded memory.

    a:b:xF multiplies from a to b, a:b:+S adds, commas list; every option can vary, also
    memory.hbm.pin_rate. An interrupted export goes on where it stopped.
    """
    given: dict[str, Any] = {
        "isl": isl, "osl": osl, "concurrency": concurrency, "cache_hit": cache_hit, "draft": draft,
        "acceptance": acceptance, "weights": weights, "kv": kv, "chips": chips, "tp": tp, "pp": pp, "dp": dp,
        "ep": ep, "engine": engine, "memory": memory, "rent": rent, "price": price,
        "on": options.date("--on", on),
        "currency": currency.strip().upper() if currency else None, "utilisation": utilisation,
        "overrides": options.assignments(set_ or []) or None,
    }  # fmt: skip
    question = _question_of(chip, model, grid or [], columns, given, yes)
    exports, bar = export or [], Line("cases")
    for path in exports:
        check_file(path, question.rows)
    if plot is not None:
        from ...report.plots import check as check_plot

        check_plot(plot)
    check(question)
    try:
        for path in exports:
            count = write_rows(question, path, progress=bar, dask=dask)
            bar.close()
            print(f"wrote {path}: {count:,} rows", file=sys.stderr)
        if plot is not None:
            _plot(question, plot)
        if not exports or json_:
            _show(question, sort, top, json_, bar)
    finally:
        bar.close()


def _question_of(
    chip: _Text, model: _Text, grid: list[str], columns: _Text, given: dict[str, Any], yes: bool
) -> Question:
    wanted = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    question = ask(chip, model, grid, wanted, given)
    confirm(question, yes)
    return question


def _show(question: Question, sort: str, top: int, json_: bool, bar: Line) -> None:
    """The best rows by a column, as a table that fits the terminal or as JSON."""
    from ...report import render
    from ...report.terminal import layout

    down = sort.startswith("-")
    key = sort.lstrip("-")
    lowest = down or any(part in key for part in LOWER)
    count = question.rows if question.rows <= top else max(1, top)
    if WHAT_IF not in question.columns and what_ifs(question.axes, question.fixed):
        question = replace(question, columns=(*question.columns, WHAT_IF))  # what is shown says so, whatever is kept
    rows, answered = best_rows(question, key, count, lowest=lowest, progress=bar)
    bar.close()
    if not answered:
        raise NoAnswer(f"none of the {question.rows:,} cases has an answer: {_why(question)}")
    if json_:
        print(render(rows, "json"))
        return
    asked = tabled(str(note) for note in rows[WHAT_IF].unique()) if WHAT_IF in rows else []
    for said in (_heading(question, answered, len(rows), sort, lowest), *asked):
        print("\n".join(text.wrap(said, text.width())))
    print()
    others = {axis.name: axis.name for axis in question.axes if axis.name in rows.columns}
    labels = {key: label for key, label in (others | SHOWN).items() if key in rows and _tells(rows, key, question)}
    labels = labels or {name: name for name in rows.columns if name != WHAT_IF}
    print(layout(rows, labels, text.width(), priority=_priority(labels, question)).text)


def _why(question: Question) -> str:
    from ...explore.sweep.columns import stretch

    found = stretch(Question(question.axes, question.fixed, ("reason",)), 0, min(question.rows, 1000))["reason"]
    given = [found.words[code] for code in dict.fromkeys(found.codes.tolist())] if isinstance(found, Words) else []
    return next((word for word in given if word), "no reason is known")


def _heading(question: Question, answered: int, shown: int, sort: str, lowest: bool) -> str:
    size = f"{question.rows:,} case" + ("s" if question.rows > 1 else "")
    size += "" if answered == question.rows else f", {answered:,} with an answer"
    order = f"{'lowest' if lowest else 'highest'} {sort.lstrip('-')}"
    if shown >= answered:
        return f"{size}, {order} first."
    return f"{size}; the {shown} with the {order}; --export FILE.parquet keeps all."


def _tells(rows: pd.DataFrame, key: str, question: Question) -> bool:
    """Inputs that are the same everywhere tell nothing; what was asked to vary does."""
    varied = {axis.name for axis in question.axes if len(axis) > 1}
    return key.startswith(("speed", "cost")) or key.split(".")[-1] in varied or rows[key].nunique(dropna=False) > 1


def _priority(labels: dict[str, str], question: Question) -> list[str]:
    varied = [axis.name for axis in question.axes if len(axis) > 1]
    first = [key for key in labels if key in varied or key.split(".")[-1] in varied]
    speeds = [f"speed.{name}.value" for name in ("output_tok_s_user", "output_tok_s_chip", "ttft_s")]
    return [*first, *speeds, "cost.per_m_output", *labels]


def _plot(question: Question, path: str) -> None:
    """Speed per user along the longest numeric axis, a line per value of the next one."""
    from ...explore.sweep.columns import stretch
    from ...explore.sweep.files import frame
    from ...report.plots import save, speed_against

    numeric = sorted((a for a in question.axes if a.numeric and len(a) > 1), key=lambda a: -len(a))
    if not numeric:
        raise UsageError("--plot needs a grid axis of numbers, such as --grid concurrency=1:256:x2")
    others = [a for a in question.axes if a is not numeric[0] and len(a) > 1]
    lines = 1
    for axis in others:
        lines *= len(axis)
    if lines > MOST_LINES or len(numeric[0]) > MOST_POINTS:
        raise UsageError(
            f"--plot would draw {lines:,} lines of {len(numeric[0]):,} points; vary less, at most {MOST_LINES} lines"
        )
    key = f"{'deployment' if numeric[0].name in DEGREES else 'workload'}.{numeric[0].name}"
    y = "speed.output_tok_s_user.value"
    names = [_column(axis) for axis in others]
    asked = (WHAT_IF,) if what_ifs(question.axes, question.fixed) else ()
    columns = columns_of([key, y, *(name for name in names if name), *asked])
    table = frame(stretch(Question(question.axes, question.fixed, columns), 0, question.rows))
    rows = [
        {
            "x": row[0],
            "y": row[1],
            "series": " ".join(_label(axis, value) for axis, value in zip(others, row[2:], strict=True)),
        }
        for row in table[[key, y, *names]].itertuples(index=False)
        if row[1] == row[1]
    ]
    if not rows:
        raise NoAnswer(f"none of the {question.rows:,} cases has an answer: {_why(question)}")
    from ...report.plots.theme import title_of

    said = short_what_ifs(str(note) for note in table[WHAT_IF].unique()) if asked else ""
    chart = speed_against(
        rows, "x", "y", series="series", x_title=title_of(numeric[0].name),
        y_title=title_of("output_tok_s_user"),
        title="; ".join(part for part in (_title(question), said) if part),
    )  # fmt: skip
    save(chart, path)
    print(f"wrote {path}", file=sys.stderr)


def _column(axis: Axis) -> str:
    if axis.name in ("chip", "model"):
        return axis.name
    room = "deployment" if axis.name in (*DEGREES, "weights", "kv", "engine") else "workload"
    if not axis.numeric and room == "workload":
        raise UsageError(f"--plot cannot tell lines apart by {axis.name}; put it into --set or --memory")
    return f"{room}.{axis.name}"


def _label(axis: Axis, value: Any) -> str:
    return str(value) if not axis.numeric else f"{axis.name} {value:,.10g}"


def _title(question: Question) -> str:
    single = {a.name: a.texts()[0] for a in question.axes if not a.numeric and len(a) == 1}
    return " on ".join(single[name] for name in ("model", "chip") if name in single)
