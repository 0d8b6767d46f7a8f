"""`tokcalc compare`: chips x models x formats x workloads in one table, sorted, filtered, relative to a
baseline.
"""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from typing import Annotated, Any

import typer

from ...errors import NoAnswer, UsageError
from .. import options, text
from ..pages.comparison import ROUGH, asked_otherwise
from ..table import what_ifs

_Text = str | None
_question, _workload, _deployment, _money, _output = (
    partial(typer.Option, rich_help_panel=title) for title in ("Question", "Workload", "Deployment", "Money", "Output")
)
LABELS = {
    "chip": "chip", "model": "model", "deployment.weights": "weights", "deployment.kv": "kv",
    "deployment.engine": "engine", "workload.isl": "isl", "workload.osl": "osl",
    "workload.concurrency": "requests in flight", "deployment.chips": "chips", "deployment.tp": "tp",
    "speed.output_tok_s_user.value": "speed per user", "relative.user_speed": "speed, times",
    "speed.output_tok_s_chip.value": "per chip", "relative.chip_rate": "per chip, times",
    "speed.output_tok_s.value": "in all", "speed.ttft_s.value": "TTFT", "relative.first_token": "TTFT, times",
    "cost.per_m_output": "cost/M out", "relative.cost": "cost, times", "cost.per_m_input": "cost/M in",
    "energy.joule_per_output_token": "energy", "relative.energy": "energy, times", "grade": "grade",
    "bound_by": "bound by",
}  # fmt: skip
FIRST = (
    "chip", "model", "speed.output_tok_s_user.value", "relative.user_speed", "cost.per_m_output",
    "relative.cost", "grade", "deployment.chips", "speed.output_tok_s_chip.value", "speed.ttft_s.value",
    "speed.output_tok_s.value", "cost.per_m_input", "relative.chip_rate", "relative.first_token", "bound_by",
    "energy.joule_per_output_token",
)  # fmt: skip
INPUTS = ("weights", "kv", "engine", "isl", "osl", "concurrency", "tp", "chips")
FIGURES = ("speed.", "cost.", "energy.", "relative.")  # of grade D they are told in two digits
KINDS = ("auto", "terms", "batch", "context", "cost", "pareto")


def compare(
    chip: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Chips: id, alias, prefix or file.")] = None,
    model: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Models, likewise.")] = None,
    isl: Annotated[str, _workload(metavar="TOKENS,...", help="Input lengths: 1k,8k,128k.")] = "1024",
    osl: Annotated[str, _workload(metavar="TOKENS,...", help="Output lengths.")] = "1024",
    concurrency: Annotated[str, _workload(metavar="N,...|max", help="Requests in flight, several too.")] = "1",
    cache_hit: Annotated[float, _workload(metavar="SHARE", help="Share of the input found in cache.")] = 0.0,
    draft: Annotated[int | None, _workload(metavar="N", help="Tokens drafted per step.")] = None,
    acceptance: Annotated[float | None, _workload(metavar="SHARE", help="Chance that one is accepted.")] = None,
    weights: Annotated[_Text, _deployment(metavar="TYPES", help="Weight formats: bf16,fp8.")] = None,
    kv: Annotated[_Text, _deployment(metavar="TYPES", help="Formats of the KV cache.")] = None,
    engine: Annotated[_Text, _deployment(metavar="NAMES", help="Serving engines: vllm,sglang.")] = None,
    chips: Annotated[_Text, _deployment(metavar="N,...", help="Numbers of chips; else the fewest that fit.")] = None,
    tp: Annotated[_Text, _deployment(metavar="N,...", help="Tensor-parallel degrees.")] = None,
    memory: Annotated[_Text, _deployment(metavar="NAME", help="Swap the memory generation: hbm4, ...")] = None,
    set_: Annotated[
        list[str] | None, _deployment("--set", metavar="PATH=VALUE", help="Override a field of the chips.")
    ] = None,
    rent: Annotated[_Text, _money(metavar="PRICE", help='Your price per chip: "2.5 USD/h".')] = None,
    price: Annotated[_Text, _money(metavar="TERMS", help="on-demand, reserved, spot or a provider.")] = None,
    on: Annotated[_Text, _money("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")] = None,
    currency: Annotated[str, _money(metavar="CODE", help="Currency of the answer.")] = "USD",
    utilisation: Annotated[float, _money(metavar="SHARE", help="Share of the paid hours in use.")] = 1.0,
    baseline: Annotated[_Text, _output(metavar="CHIP", help="Show figures as multiples of this chip's.")] = None,
    sort: Annotated[_Text, _output(metavar="COLUMN", help="Best first by it; -COLUMN: worst first.")] = None,
    filter_: Annotated[
        list[str] | None, _output("--filter", metavar="CONDITION", help="output_tok_s_user>=50, grade<=B, ...")
    ] = None,
    columns: Annotated[_Text, _output(metavar="NAMES", help="Columns to show and export: chip,tpot_s.")] = None,
    export: Annotated[list[str] | None, _output(metavar="FILE", help="Also write a file, all columns.")] = None,
    plot: Annotated[_Text, _output(metavar="FILE", help="Plot: .svg .png .html .pdf.")] = None,
    plot_kind: Annotated[str, _output(metavar="KIND", help="terms, batch, context, cost or pareto.")] = "auto",
    json_: Annotated[bool, _output("--json", help="Print the answers as JSON.")] = False,
) -> None:
    """Compare chips, models, data types and workloads in one table.

    tokcalc compare --chip h100,b200,wse-3 --model llama-70b --isl 1k,8k --baseline h100
    """
    from ...catalog import find_id
    from ...explore.compare import answers, column, filtered, flatten, ordered, relative

    _check_files(export or [], plot, plot_kind)
    names = options.names("--chip", chip, "h100,b200", "chips")
    base = None if baseline is None else find_id("chips", baseline)
    if base is not None and base not in [find_id("chips", name) for name in names if not name.endswith(".toml")]:
        names = [base, *names]
    degrees = {"chips": _whole("--chips", chips), "tp": _whole("--tp", tp)}
    varied: dict[str, list[Any]] = {
        "weights": _words(weights), "kv": _words(kv), "engine": _words(engine),
        "isl": [options.length("--isl", word) for word in isl.split(",")],
        "osl": [options.length("--osl", word) for word in osl.split(",")],
        "concurrency": [options.concurrency(word) for word in concurrency.split(",")], **degrees,
    }  # fmt: skip
    found = answers(
        names, options.names("--model", model, "llama-70b", "models"), **varied,
        cache_hit=options.share("--cache-hit", cache_hit, 0.0, 1.0), draft=draft, acceptance=acceptance,
        memory=memory,
        overrides=options.assignments(set_ or []) or None, rent=rent, price=price, on=options.date("--on",
        on),
        currency=currency.strip().upper(),
        utilisation=options.share("--utilisation", utilisation, 0.0, 1.0, open_low=True),
    )  # fmt: skip
    size = math.prod(len(values) for values in varied.values())
    rows = [flatten(answer) | {"asked": place % size} for place, answer in enumerate(found)]
    if base is not None:
        rows = relative(rows, base)
    for condition in filter_ or []:
        rows = filtered(rows, condition)
    if sort is not None:
        rows = ordered(rows, sort) if rows else rows
    wanted = None if columns is None else [column(rows, name.strip()) for name in columns.split(",")]
    _write(rows, export or [], wanted)
    if plot is not None:
        _plot(found, rows, plot, plot_kind, varied)
    if json_:
        shown = [_plain(row) for row in rows] if base or filter_ or sort else found
        if wanted:
            shown = [{key: row.get(key) for key in wanted} for row in rows]
        json.dump(shown, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    else:
        notes = what_ifs(asked_otherwise(found))
        lines = [line for note in notes for line in text.wrap(note, text.width())]
        print("\n".join([*lines, *([""] if lines else []), *_table(rows, wanted, varied, base, text.width())]))
    raise typer.Exit(0 if any("speed.tpot_s.value" in row for row in rows) else 1)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "asked"}


def _check_files(exports: list[str], plot: _Text, kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"no kind of plot '{kind}'; choose one of {', '.join(KINDS)}")
    for path in exports:
        from ...report import check

        check(path)
    if plot is not None:
        from ...report.plots import check as check_plot

        check_plot(plot)


def _words(words: _Text) -> list[str | None]:
    if words is None:
        return [None]
    return list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip())) or [None]


def _whole(option: str, words: _Text) -> list[int | None]:
    if words is None:
        return [None]
    return list(dict.fromkeys(options.length(option, word, options.MOST_CHIPS) for word in words.split(",")))


def _write(rows: list[dict[str, Any]], exports: list[str], wanted: list[str] | None) -> None:
    from ...report import write

    for path in exports:
        write([_plain(row) for row in rows], path, columns=wanted, title="comparison")
        print(f"wrote {path}", file=sys.stderr)


def _table(
    rows: list[dict[str, Any]], wanted: list[str] | None, varied: dict[str, list[Any]], base: _Text, width: int
) -> list[str]:
    """The table with the inputs that vary, then the cases without an answer, one line each."""
    from ...report.terminal import layout

    answered = [row for row in rows if "speed.tpot_s.value" in row]
    lines: list[str] = []
    if answered:
        keys = wanted or _columns(answered, varied)
        labels = {key: LABELS.get(key, key) for key in keys}
        moving = [key for key in keys if key.split(".")[-1] in varied and len(varied[key.split(".")[-1]]) > 1]
        first = [key for key in ("chip", "model") if key in keys]
        rough = {
            (i, key)
            for i, row in enumerate(answered)
            if row.get("grade") == "D"
            for key in keys
            if key.startswith(FIGURES)
        }
        drawn = layout(answered, labels, width, priority=wanted or [*first, *moving, *FIRST], rough=rough)
        lines += [drawn.text]
        if drawn.note:
            lines += [drawn.note]
        if rough:
            lines += [ROUGH]
        if base is not None:
            lines += [f"times: multiples of the figure of {base}"]
    elif not rows:
        lines += ["no case keeps the filters"]
    for row in rows:
        if "reason" in row:
            inputs = ", ".join(f"{n} {row[k]}" for n, k in _varied_keys(varied) if row.get(k) is not None)
            case = f"{row['chip']}, {row['model']}{', ' + inputs if inputs else ''}: "
            lines += text.wrap(row["reason"], width, case, "  ")
    return lines


def _varied_keys(varied: dict[str, list[Any]]) -> list[tuple[str, str]]:
    rooms = {"isl": "workload", "osl": "workload", "concurrency": "workload"}
    return [(name, f"{rooms.get(name, 'deployment')}.{name}") for name in INPUTS if len(varied[name]) > 1]


def _columns(rows: list[dict[str, Any]], varied: dict[str, list[Any]]) -> list[str]:
    """Columns that have something to tell: inputs where they differ, figures where there are any."""
    moving = {key for _, key in _varied_keys(varied)}
    kept = []
    for key in LABELS:
        values = {str(row.get(key)) for row in rows if row.get(key) is not None}
        is_input = key.startswith(("workload", "deployment")) or key == "model"
        if (
            key == "chip"
            or key in moving
            or (values and (not is_input or key == "deployment.chips" or len(values) > 1))
        ):
            kept.append(key)
    return kept


def _plot(
    found: list[dict[str, Any]], rows: list[dict[str, Any]], path: str, kind: str, varied: dict[str, list[Any]]
) -> None:
    from ...report.plots import save

    answered = [row for row in rows if "speed.tpot_s.value" in row]
    if not answered:
        raise NoAnswer("nothing to plot: no case has an answer")
    if kind == "auto":
        kind = "batch" if len(varied["concurrency"]) > 1 else "context" if len(varied["isl"]) > 1 else "terms"
    from ..pages.comparison_plots import draw

    save(draw(kind, found, answered, varied), path)
    print(f"wrote {path}", file=sys.stderr)
