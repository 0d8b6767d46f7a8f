"""`tokcalc plan`: the best deployment under limits, what came next, why the rest lost, and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from ... import units
from ...errors import UsageError
from ...explore.plan.choice import plot_rows, thin
from ...explore.plan.plan import Planned
from ...explore.plan.plan import plan as search
from ...report.plots import pareto, pareto_pair
from ...report.terminal_plot import scatter
from .. import options as o
from .. import text, values
from ..output import Drawn
from ..table import Column, item, short_what_ifs, tabulate, what_ifs

FRONT_ROWS = 12
_AIM = {
    "cheapest": "lowest cost per million tokens",
    "fastest": "highest speed per user",
    "tokens-per-watt": "most output tokens per joule",
    "tokens-per-chip": "highest throughput per chip",
}


class Aim(o.Pair):
    """What is served, and what for."""

    model: o.Text = o.MODEL
    aim: str = o.question("cheapest", "cheapest, fastest, tokens-per-watt or tokens-per-chip.", "AIM")


class Limits(o.Group):
    """What the deployment must keep."""

    ttft: o.Text = o.workload(None, 'Longest time to the first token: "500 ms".', "TIME")
    tpot: o.Text = o.workload(None, 'Longest time per output token: "30 ms".', "TIME")
    speed: o.Text = o.workload(None, 'Slowest speed per user: "50 tok/s".', "RATE")
    cost: o.Text = o.workload(None, "Dearest million tokens, input and output as they come.", "MONEY")
    power: o.Text = o.workload(None, 'Most power of the chips: "10 kW".', "POWER")
    chips: o.Whole = o.workload(None, "How many chips there are.", "N")


class Search(o.Group):
    """What is tried."""

    cache_hit: float = o.CACHE_HIT
    weights: o.Text = o.deployment(None, "Weight formats: fp8,bf16 or any.", "TYPES")
    kv: o.Text = o.KV
    engine: o.Text = o.deployment(None, "Engines: vllm,sglang,trtllm.", "NAMES")
    draft: o.Text = o.deployment(None, "Draft lengths to try, by n-gram lookup: 0,3,5.", "LENGTHS")
    aggregated: bool = o.deployment(False, "Leave out separate pools of prefill and decode.")
    acceptance: float = o.workload(0.0, "Chance that a drafted token is accepted.", "SHARE")
    utilisation: float = o.UTILISATION


def plan(
    ask: Aim, lengths: o.Lengths, limits: Limits, tried: Search, price: o.Price, what_if: o.WhatIf, out: Drawn
) -> None:
    """Find the best deployment of a model under limits.

    tokcalc plan --chip h100,b200 --model llama-70b --ttft 500ms --speed "50 tok/s" searches cuts, batches,
    formats and engines. Exit code 1 and the closest miss where nothing keeps the limits.
    """
    out.check()
    chips, models = ask.chips("h100,b200"), ask.models()
    if len(models) > 1:
        raise UsageError(f"--model names {len(models)} models; a plan is for one, `tokcalc atlas` is for many")
    found = search(
        chips,
        models[0],
        aim=ask.aim.strip().lower(),
        **lengths.tokens(),
        cache_hit=values.share("--cache-hit", tried.cache_hit),
        ttft_s=values.quantity("--ttft", limits.ttft, "time"),
        tpot_s=values.longest_step(limits.tpot, limits.speed),
        per_m=values.amount(limits.cost, price.currency),
        power_w=values.quantity("--power", limits.power, "power"),
        chips=values.number_of("--chips", limits.chips),
        weights=values.words(tried.weights),
        engines=values.words(tried.engine),
        drafts=values.draft_lengths(tried.draft),
        acceptance=values.share("--acceptance", tried.acceptance),
        utilisation=values.share("--utilisation", tried.utilisation, open_low=True),
        disaggregated=not tried.aggregated,
        kv=tried.kv,
        **price.keywords(),
        **what_if.keywords(),
    )
    out.write(found.front, title=f"Pareto front of {found.model}")
    out.draw(lambda: _chart(found))
    out.show(found.to_dict(), lambda width: _page(found, width))
    raise typer.Exit(0 if found.best is not None else 1)


def _page(found: Planned, width: int) -> list[str]:
    """The verdict, the table, why the rest lost, the front, in lines."""
    lines = text.paragraphs((_asked(found), *what_ifs(found.what_if)), width)
    if found.best is None:
        shown, marks, said = [found.miss] if found.miss else [], ["closest"], _missed(found)
    else:
        shown, said = [found.best, *found.runners_up], _verdict(found.best, found.currency)
        marks = ["best", *(str(place) for place in range(2, len(shown) + 1))]
    lost = "; ".join(f"{count:,} {why}" for why, count in found.lost)
    searched = f"Searched {found.cases:,} deployments: {found.good:,} keep the limits{'; ' + lost if lost else ''}."
    lines += ["", *text.wrap(said, width), "", _table(shown, marks, found.currency, width)]
    lines += ["", *text.wrap(searched, width)]
    if len(found.front) > 1:
        head = f"Pareto front of all {len(found.front)} that no other beats, * within the limits:"
        thinned = [found.front[place] for place in thin(range(len(found.front)), FRONT_ROWS)]
        series: dict[str, list[tuple[float, float]]] = {}
        for row in found.front:
            series.setdefault(row["chip"], []).append((row["output_tok_s_user"], row["output_tok_s_chip"]))
        titles = ("tok/s per user", "tok/s per chip")
        drawn = scatter(series, titles, width=min(width, 76), height=12, log=True)
        table = _table(thinned, ["*" if row["within"] else "" for row in thinned], found.currency, width)
        lines += ["", head, "", table, "", *drawn.splitlines()]
    return lines


def _asked(found: Planned) -> str:
    work, kept = found.workload, found.limits
    said = [f"{found.model}; {work['isl']:,.0f} tokens in, {work['osl']:,.0f} out", f"aim: {_AIM[found.aim]}"]
    if kept.ttft_s is not None:
        said.append(f"first token within {units.duration(kept.ttft_s)}")
    for word, column, value in (
        ("least", "tpot_s", kept.tpot_s),
        ("most", "per_m_blended", kept.per_m),
        ("most", "power_w", kept.power_w),
        ("most", "chips", kept.chips),
    ):
        if value is not None:
            per = " tokens" if column == "per_m_blended" else ""
            said.append(f"at {word} {_limited(column, value, found.currency)}{per}")
    return "; ".join(said) + "."


def _limited(column: str, value: float, currency: str) -> str:
    """A limited figure as a person writes it."""
    if column == "ttft_s":
        return units.duration(value)
    if column == "tpot_s":
        return f"{text.number(1 / value)} tok/s per user"
    if column == "per_m_blended":
        return f"{units.money(currency, value)} per million"
    return units.si(value, "W") if column == "power_w" else f"{value:,.0f} chips"


def _verdict(best: Mapping[str, Any], currency: str) -> str:
    engine = f", {best['engine']}" if best["engine"] else ""
    said = (
        f"{best['chips']} x {best['chip']}, {best['label']}, {best['weights']} weights, {best['kv']} cache{engine}; "
        f"{text.number(best['output_tok_s_user'])} tok/s per user, {text.number(best['output_tok_s'])} in all, "
        f"first token after {text.seconds(best['ttft_s'])}"
    )
    if best["per_m_blended"] is not None:
        output, into = (text.money(best[key], currency) for key in ("per_m_output", "per_m_input"))
        said += f"; {output} per million output and {into} per million input tokens"
    if best["replicas"] > 1:
        total = text.number(best["replicas"] * best["output_tok_s"])
        said += f"; {best['replicas']} replicas fit the limits, {total} tok/s together"
    return f"Best: {said}. Grade {best['grade']}."


def _missed(found: Planned) -> str:
    parts = [
        f"{why}, {_limited(column, value, found.currency)} instead of {_limited(column, most, found.currency)}"
        for why, column, value, most in found.missed
    ]
    row = found.miss or {}
    named = f"{row['chips']} x {row['chip']} {row['label']}"
    return f"No deployment keeps all limits. The closest, {named}: {'; '.join(parts)}."


def _table(rows: Sequence[Mapping[str, Any]], marks: Sequence[str], currency: str, width: int) -> str:
    """Deployments line by line, each behind its mark."""

    def amount(value: float | None) -> str:
        return text.amount(value, currency)

    columns = (
        Column("", 210, False, item("mark")),
        Column("chip", 200, False, item("chip")),
        Column("chips", 95, cell=item("chips")),
        Column("deployment", 190, False, item("label")),
        Column("weights", 60, False, item("weights")),
        Column("engine", 30, False, item("engine", lambda name: name or "-")),
        Column("tok/s/user", 180, cell=item("output_tok_s_user", text.number)),
        Column("tok/s/chip", 170, cell=item("output_tok_s_chip", text.number)),
        Column("TTFT", 120, cell=item("ttft_s", text.seconds)),
        Column(f"{currency}/M mix", 160, cell=item("per_m_blended", amount)),
        Column(f"{currency}/M out", 50, cell=item("per_m_output", amount)),
        Column("tok/J", 40, cell=item("tok_per_joule", text.number)),
        Column("grade", 45, False, item("grade")),
    )
    return tabulate(columns, [{**row, "mark": mark} for row, mark in zip(rows, marks, strict=False)], width)


def _chart(found: Planned) -> Any:
    """The front as two plots: throughput per chip and cost per million against speed per user."""
    rows = plot_rows(found.found) if found.found is not None else found.front
    work = found.workload
    title = f"{found.model}, {work['isl']:,.0f} tokens in, {work['osl']:,.0f} out"
    title = "; ".join(said for said in (title, short_what_ifs(found.what_if)) if said)
    priced = [row for row in rows if row["per_m_blended"] is not None]
    if priced:
        return pareto_pair(priced, cost="per_m_blended", title=title, currency=found.currency)
    return pareto(rows, title=title)
