"""`tokcalc compare`: chips x models x formats x workloads in one table, sorted, filtered, relative to a baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import typer

from ...catalog import find_id
from ...errors import NoAnswer, UsageError
from ...explore.compare import answers, column, filtered, flatten, ordered, relative
from ...explore.full_load import limits_text, loaded
from ...report.terminal import layout
from .. import options as o
from .. import text, values
from ..output import Drawn
from ..pages.comparison import INPUTS, ROUGH, asked_otherwise
from ..pages.comparison_plots import draw
from ..table import noted

FIGURES = {
    "speed.output_tok_s_user.value": "speed per user",
    "relative.user_speed": "speed, times",
    "speed.output_tok_s_chip.value": "per chip",
    "relative.chip_rate": "per chip, times",
    "speed.output_tok_s.value": "in all",
    "speed.ttft_s.value": "TTFT",
    "relative.first_token": "TTFT, times",
    "cost.per_m_output": "cost/M out",
    "relative.cost": "cost, times",
    "cost.per_m_input": "cost/M in",
    "energy.joule_per_output_token": "energy",
    "relative.energy": "energy, times",
}
LABELS = {
    **{name: name for name in ("chip", "model")},
    **{INPUTS[name]: name for name in ("weights", "kv", "engine", "isl", "osl", "concurrency", "chips", "tp")},
    "workload.concurrency": "requests in flight",
    **FIGURES,
    "grade": "grade",
    "bound_by": "bound by",
}
FIRST = (
    *("chip", "model", "speed.output_tok_s_user.value", "relative.user_speed", "cost.per_m_output", "relative.cost"),
    *("grade", "deployment.chips", "speed.output_tok_s_chip.value", "speed.ttft_s.value", "speed.output_tok_s.value"),
    *("cost.per_m_input", "relative.chip_rate", "relative.first_token", "bound_by", "energy.joule_per_output_token"),
)
_ROUGH = ("speed.", "cost.", "energy.", "relative.")  # of grade D they are told in two digits
KINDS = ("auto", "terms", "batch", "context", "cost", "pareto")
Row = dict[str, Any]


class Varied(o.Group):
    """What can take several values."""

    isl: str = o.workload("1024", "Input lengths: 1k,8k,128k.", "TOKENS,...")
    osl: str = o.workload("1024", "Output lengths.", "TOKENS,...")
    concurrency: o.Text = o.workload(None, "Requests in flight, several too; else a service's.", "N,...|max")
    weights: o.Text = o.deployment(None, "Weight formats: bf16,fp8.", "TYPES")
    kv: o.Text = o.deployment(None, "Formats of the KV cache.", "TYPES")
    engine: o.Text = o.deployment(None, "Serving engines: vllm,sglang.", "NAMES")
    chips: o.Text = o.deployment(None, "Numbers of chips; else the most productive.", "N,...")
    tp: o.Text = o.deployment(None, "Tensor-parallel degrees.", "N,...")

    def lists(self) -> dict[str, list[Any]]:
        """The values of each option; [None] where none is given."""

        def words(name: str) -> list[str | None]:
            return [*dict.fromkeys(values.words(getattr(self, name)) or ())] or [None]

        def numbers(name: str, most: int) -> list[int | None]:
            given = getattr(self, name)
            return [None] if given is None else [values.length(f"--{name}", word, most) for word in given.split(",")]

        return {
            **{name: words(name) for name in ("weights", "kv", "engine")},
            **{name: numbers(name, values.LONGEST) for name in ("isl", "osl")},
            "concurrency": [values.concurrency(word) for word in self.concurrency.split(",")]
            if self.concurrency
            else [None],
            **{name: list(dict.fromkeys(numbers(name, values.MOST_CHIPS))) for name in ("chips", "tp")},
        }


class Same(o.Price):
    """What is the same for all."""

    cache_hit: float = o.CACHE_HIT
    draft: o.Whole = o.workload(None, "Tokens drafted per step.", "N")
    acceptance: o.Real = o.ACCEPTANCE
    utilisation: float = o.UTILISATION

    def keywords(self) -> dict[str, Any]:
        return super().keywords() | {
            "cache_hit": values.share("--cache-hit", self.cache_hit),
            "draft": self.draft,
            "acceptance": self.acceptance,
            "utilisation": values.share("--utilisation", self.utilisation, open_low=True),
        }


class Shown(Drawn):
    """What is shown of the answers."""

    baseline: o.Text = o.output(None, "Show figures as multiples of this chip's.", "CHIP")
    sort: o.Text = o.output(None, "Best first by it; -COLUMN: worst first.", "COLUMN")
    filter_: o.Texts = o.output(None, "output_tok_s_user>=50, grade<=B, ...", "CONDITION")
    columns: o.Text = o.output(None, "Columns to show and export: chip,tpot_s.", "NAMES")
    plot_kind: str = o.output("auto", "terms, batch, context, cost or pareto.", "KIND")


def compare(pair: o.Pair, varied: Varied, same: Same, what_if: o.WhatIf, out: Shown) -> None:
    """Compare chips, models, data types and workloads in one table.

    tokcalc compare --chip h100,b200,wse-3 --model llama-70b --isl 1k,8k --baseline h100
    """
    if out.plot_kind not in KINDS:
        raise UsageError(f"no kind of plot '{out.plot_kind}'; choose one of {', '.join(KINDS)}")
    out.check()
    names = pair.chips("h100,b200")
    base = None if out.baseline is None else find_id("chips", out.baseline)
    if base is not None and base not in [find_id("chips", name) for name in names if not name.endswith(".toml")]:
        names = [base, *names]
    lists = varied.lists()
    found = answers(names, pair.models(), ask=loaded, **lists, **same.keywords(), **what_if.keywords())
    size = math.prod(len(each) for each in lists.values())
    rows = [flatten(answer) | {"asked": place % size} for place, answer in enumerate(found)]
    if base is not None:
        rows = relative(rows, base)
    for condition in out.filter_ or []:
        rows = filtered(rows, condition)
    if out.sort is not None and rows:
        rows = ordered(rows, out.sort)
    wanted = None if out.columns is None else [column(rows, name.strip()) for name in out.columns.split(",")]
    plain = [{key: value for key, value in row.items() if key != "asked"} for row in rows]
    out.write(plain, columns=wanted, title="comparison")
    out.draw(lambda: _chart(found, _answered(rows), out.plot_kind, lists))
    shown = plain if base or out.filter_ or out.sort else found
    if wanted:
        shown = [{key: row.get(key) for key in wanted} for row in rows]
    times = f"times: multiples of the figure of {base}" if base is not None else ""
    moving = {name: key for name, key in INPUTS.items() if len(lists[name]) > 1}
    table = partial(_table, rows, wanted, moving, times)
    head = _head(found, lists) if _answered(rows) else ""
    out.show(
        shown,
        lambda width: [
            *text.wrap(head, width),
            *[""] * bool(head),
            *noted(asked_otherwise(found), width),
            *table(width),
        ],
    )
    raise typer.Exit(0 if _answered(rows) else 1)


def _head(found: Sequence[Row], lists: Mapping[str, Sequence[Any]]) -> str:
    """What all cases share: the model, lengths, load and way of pricing; the table has what varies."""
    answered = [answer for answer in found if "speed" in answer]
    work, models = answered[0]["workload"], {answer["model"] for answer in answered}
    parts = list(models) if len(models) == 1 else []
    parts += [f"{work[key]:,} tokens {words}" for key, words in (("isl", "in"), ("osl", "out")) if len(lists[key]) == 1]
    if lists["concurrency"] == [None]:
        parts.append(limits_text(list(found)))
    elif len(lists["concurrency"]) == 1:
        parts.append(f"{text.whole(work['concurrency'])} in flight")
    ways = {answer["cost"].get("way") for answer in answered} - {None}
    parts += [f"priced by {way}" for way in ways if len(ways) == 1]
    if len(ways) > 1:
        parts.append("priced in unlike ways (--json has each)")
    return "; ".join(parts) + "."


def _answered(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "speed.tpot_s.value" in row]


def _table(
    rows: Sequence[Row], wanted: Sequence[str] | None, moving: Mapping[str, str], times: str, width: int
) -> list[str]:
    """The table with the inputs that vary, then the cases without an answer, one line each."""
    answered = _answered(rows)
    lines = [] if rows else ["no case keeps the filters"]
    if answered:
        keys = wanted or [key for key in LABELS if _tells(answered, key, moving.values())]
        of_grade_d = [place for place, row in enumerate(answered) if row.get("grade") == "D"]
        rough = {(place, key) for place in of_grade_d for key in keys if key.startswith(_ROUGH)}
        first = [key for key in ("chip", "model") if key in keys]
        asked = [key for key in keys if key.split(".")[-1] in moving]
        labels = {key: LABELS.get(key, key) for key in keys}
        drawn = layout(answered, labels, width, priority=wanted or [*first, *asked, *FIRST], rough=rough)
        lines = [line for line in (drawn.text, drawn.note, ROUGH if rough else "", times) if line]
    for row in rows:
        if "reason" in row:
            inputs = [f"{name} {row[key]}" for name, key in moving.items() if row.get(key) is not None]
            lines += text.wrap(row["reason"], width, ", ".join([row["chip"], row["model"], *inputs]) + ": ", "  ")
    return lines


def _tells(rows: Sequence[Row], key: str, moving: Collection[str]) -> bool:
    """Whether a column has something to tell: inputs where they differ, figures where there are any."""
    if key == "chip" or key in moving:
        return True
    found = {str(row[key]) for row in rows if row.get(key) is not None}
    is_input = key.startswith(("workload", "deployment")) or key == "model"
    return len(found) > (1 if is_input and key != "deployment.chips" else 0)


def _chart(found: Sequence[Row], answered: Sequence[Row], kind: str, lists: Mapping[str, Sequence[Any]]) -> Any:
    if not answered:
        raise NoAnswer("nothing to plot: no case has an answer")
    if kind == "auto":
        kind = "batch" if len(lists["concurrency"]) > 1 else "context" if len(lists["isl"]) > 1 else "terms"
    return draw(kind, found, answered, [name for name in lists if len(lists[name]) > 1])
