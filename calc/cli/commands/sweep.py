"""`tokcalc sweep`: any grid of questions, streamed to a file or shown by its best rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import NoAnswer, UsageError
from ...explore.sweep.axes import DEGREES, Axis
from ...explore.sweep.cases import DEFAULTS, WHAT_IF, Question, Words, columns_of
from ...explore.sweep.columns import check, stretch
from ...explore.sweep.files import frame
from ...explore.sweep.sweep import ask, best_rows, check_file, confirm, what_ifs, write_rows
from ...report import render
from ...report.plots import speed_against
from ...report.plots.theme import title_of
from ...report.terminal import layout
from .. import options as o
from .. import text, values
from ..output import Drawn, tell
from ..progress import Line
from ..table import short_what_ifs
from ..table import what_ifs as tabled

if TYPE_CHECKING:
    import pandas as pd

_DEPLOYMENT = ("weights", "kv", "engine", "chips", "tp", "pp", "dp", "ep")
_WORKLOAD = ("isl", "osl", "concurrency", "cache_hit", "draft", "acceptance", "utilisation")
_RENAMED = {"concurrency": "requests in flight", "cache_hit": "cache hit", "utilisation": "in use"}
SHOWN = {
    "chip": "chip",
    "model": "model",
    **{f"deployment.{name}": name for name in _DEPLOYMENT},
    **{f"workload.{name}": _RENAMED.get(name, name) for name in _WORKLOAD},
    "speed.output_tok_s_user.value": "speed per user",
    "speed.output_tok_s_chip.value": "per chip",
    "speed.output_tok_s.value": "throughput",
    "speed.ttft_s.value": "TTFT",
    "cost.per_m_output": "cost/M out",
    "cost.per_m_input": "cost/M in",
    "memory.used_share": "memory used",
}
MOST_LINES, MOST_POINTS = 12, 2000
LOWER = ("ttft_s", "tpot_s", "per_", "joule", "power_w", "used_share", "chips")


class Over(o.Pair):
    """What varies."""

    grid: o.Texts = o.question(None, "concurrency=1:4096:x2, isl=1k,8k.", "NAME=VALUES")


class Fixed(o.Cut):
    """What is the same in every case, where it is given."""

    isl: o.Text = o.workload(None, "Input length [1024].", "TOKENS")
    osl: o.Text = o.workload(None, "Output length [1024].", "TOKENS")
    concurrency: o.Text = o.workload(None, "Requests in flight [1].", "N|max")
    cache_hit: o.Real = o.workload(None, "Share of the input found in cache.", "SHARE")
    draft: o.Whole = o.workload(None, "Tokens drafted per step (speculation).", "N")
    acceptance: o.Real = o.ACCEPTANCE
    weights: o.Text = o.WEIGHTS
    kv: o.Text = o.KV
    engine: o.Text = o.ENGINE
    utilisation: o.Real = o.money(None, "Share of the paid hours in use.", "SHARE")


class Money(o.Price):
    """The price, where it is given."""

    currency: o.Text = o.money(None, "Currency of the answer.", "CODE")  # type: ignore[assignment]


class Shown(Drawn):
    """What is kept and shown of the rows."""

    columns: o.Text = o.output(None, "Columns to keep: tpot_s,ttft_s,...", "NAMES")
    sort: str = o.output("output_tok_s_chip", "Rows shown are the best of it [output_tok_s_chip].", "COLUMN")
    top: int = o.output(20, "Rows shown.", "N")
    yes: bool = o.output(False, "Compute a huge grid all the same.")
    dask: o.Text = o.output(None, "Let a Dask cluster compute the parts.", "ADDRESS")


def sweep(over: Over, fixed: Fixed, money: Money, what_if: o.WhatIf, out: Shown) -> None:
    """Evaluate any grid of questions, in blocks and bounded memory.

    a:b:xF multiplies from a to b, a:b:+S adds, commas list; every option can vary, also
    memory.hbm.pin_rate. An interrupted export goes on where it stopped: .parquet and .csv are streamed.
    """
    given = vars(fixed) | money.keywords() | what_if.keywords()
    question = ask(over.chip, over.model, over.grid or [], values.words(out.columns), given)
    confirm(question, out.yes)
    for path in out.export or []:
        check_file(path, question.rows)
    out.check_plot()
    check(question)
    with Line("cases") as bar:
        for path in out.export or []:
            count = write_rows(question, path, progress=bar, dask=out.dask)
            bar.close()
            tell(f"wrote {path}: {count:,} rows")
        out.draw(lambda: _chart(question))
        if not out.export or out.json_:
            _show(question, out, bar)


def _show(question: Question, out: Shown, bar: Line) -> None:
    """The best rows by a column, as a table that fits the terminal or as JSON."""
    key = out.sort.lstrip("-")
    lowest = out.sort.startswith("-") or any(part in key for part in LOWER)
    count = question.rows if question.rows <= out.top else max(1, out.top)
    if WHAT_IF not in question.columns and what_ifs(question.axes, question.fixed):
        question = replace(question, columns=(*question.columns, WHAT_IF))  # what is shown says so, whatever is kept
    rows, answered = best_rows(question, key, count, lowest=lowest, progress=bar)
    bar.close()
    if not answered:
        raise NoAnswer(f"none of the {question.rows:,} cases has an answer: {_why(question)}")
    if out.json_:
        print(render(rows, "json"))
        return
    size = f"{question.rows:,} case" + ("s" if question.rows > 1 else "")
    size += "" if answered == question.rows else f", {answered:,} with an answer"
    order = f"{'lowest' if lowest else 'highest'} {key}"
    head = f"{size}; the {len(rows)} with the {order}; --export FILE.parquet keeps all."
    if len(rows) >= answered:
        head = f"{size}, {order} first."
    head += f" {_same(question)}"
    asked = tabled(_notes(rows)) if WHAT_IF in rows else []
    others = {axis.name: axis.name for axis in question.axes if axis.name in rows.columns}
    labels = {key: label for key, label in (others | SHOWN).items() if key in rows and _tells(rows, key, question)}
    labels = labels or {name: name for name in rows.columns if name != WHAT_IF}
    table = layout(rows, labels, text.width(), priority=_priority(labels, question)).text
    print("\n".join([*text.paragraphs([head, *asked], text.width()), "", table]))


def _written(value: Any) -> str:
    most = isinstance(value, str) or math.isinf(value)
    return "as many as fit" if most else text.whole(value)


def _same(question: Question) -> str:
    """The workload of all cases, which speeds and money are told at: lengths and load that no axis varies."""
    fixed = DEFAULTS | dict(question.fixed)
    words = {"isl": "{} tokens in", "osl": "{} tokens out", "concurrency": "{} in flight, for money too"}
    varied = {axis.name for axis in question.axes}
    parts = [form.format(_written(fixed[name])) for name, form in words.items() if name not in varied]
    return f"All: {', '.join(parts)}." if parts else ""


def _notes(rows: pd.DataFrame) -> Iterable[str]:
    return (str(note) for note in rows[WHAT_IF].unique())


def _why(question: Question) -> str:
    found = stretch(Question(question.axes, question.fixed, ("reason",)), 0, min(question.rows, 1000))["reason"]
    given = [found.words[code] for code in dict.fromkeys(found.codes.tolist())] if isinstance(found, Words) else []
    return next((word for word in given if word), "no reason is known")


def _tells(rows: pd.DataFrame, key: str, question: Question) -> bool:
    """Inputs that are the same everywhere tell nothing; what was asked to vary does."""
    varied = {axis.name for axis in question.axes if len(axis) > 1}
    return key.startswith(("speed", "cost")) or key.split(".")[-1] in varied or rows[key].nunique(dropna=False) > 1


def _priority(labels: dict[str, str], question: Question) -> list[str]:
    varied = [axis.name for axis in question.axes if len(axis) > 1]
    first = [key for key in labels if key in varied or key.split(".")[-1] in varied]
    speeds = [f"speed.{name}.value" for name in ("output_tok_s_user", "output_tok_s_chip", "ttft_s")]
    return [*first, *speeds, "cost.per_m_output", *labels]


def _chart(question: Question) -> Any:
    """Speed per user along the longest numeric axis, a line per value of the next one."""
    moving = [axis for axis in question.axes if len(axis) > 1]
    along = max((axis for axis in moving if axis.numeric), key=len, default=None)
    if along is None:
        raise UsageError("--plot needs a grid axis of numbers, such as --grid concurrency=1:256:x2")
    others = [axis for axis in moving if axis is not along]
    lines = math.prod(len(axis) for axis in others)
    if lines > MOST_LINES or len(along) > MOST_POINTS:
        raise UsageError(
            f"--plot would draw {lines:,} lines of {len(along):,} points; vary less, at most {MOST_LINES} lines"
        )
    key = f"{'deployment' if along.name in DEGREES else 'workload'}.{along.name}"
    y = "speed.output_tok_s_user.value"
    names = [_column(axis) for axis in others]
    asked = (WHAT_IF,) if what_ifs(question.axes, question.fixed) else ()
    columns = columns_of([key, y, *names, *asked])
    table = frame(stretch(Question(question.axes, question.fixed, columns), 0, question.rows))
    rows = [
        {"x": x, "y": speed, "series": " ".join(map(_label, others, told))}
        for x, speed, *told in table[[key, y, *names]].itertuples(index=False)
        if speed == speed
    ]
    if not rows:
        raise NoAnswer(f"none of the {question.rows:,} cases has an answer: {_why(question)}")
    single = {axis.name: axis.texts()[0] for axis in question.axes if not axis.numeric and len(axis) == 1}
    title = " on ".join(single[name] for name in ("model", "chip") if name in single)
    said = short_what_ifs(_notes(table)) if asked else ""
    titles = {"x_title": title_of(along.name), "y_title": title_of("output_tok_s_user")}
    return speed_against(rows, "x", "y", series="series", title="; ".join(p for p in (title, said) if p), **titles)


def _column(axis: Axis) -> str:
    if axis.name in ("chip", "model"):
        return axis.name
    room = "deployment" if axis.name in (*DEGREES, "weights", "kv", "engine") else "workload"
    if not axis.numeric and room == "workload":
        raise UsageError(f"--plot cannot tell lines apart by {axis.name}; put it into --set or --memory")
    return f"{room}.{axis.name}"


def _label(axis: Axis, value: Any) -> str:
    return str(value) if not axis.numeric else f"{axis.name} {value:,.10g}"
