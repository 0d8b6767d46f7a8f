"""`tokcalc plan`: the best deployment under limits, what came next, why the rest lost, and the Pareto
front.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import units
from ...errors import UsageError
from .. import limits, options, text
from ..table import Column, render, short_what_ifs, what_ifs

if TYPE_CHECKING:
    from ...explore.plan.plan import Planned

_Text = str | None
_question, _limit, _search, _money, _output = (
    partial(typer.Option, rich_help_panel=title) for title in ("Question", "Limits", "Search", "Money", "Output")
)
FRONT_ROWS = 12
_AIM = {
    "cheapest": "lowest cost per million tokens", "fastest": "highest speed per user",
    "tokens-per-watt": "most output tokens per joule", "tokens-per-chip": "highest throughput per chip",
}  # fmt: skip


def plan(
    chip: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Chips to choose from.")] = None,
    model: Annotated[_Text, _question(metavar="NAME", help="Model: id, alias, prefix or file.")] = None,
    aim: Annotated[
        str, _question(metavar="AIM", help="cheapest, fastest, tokens-per-watt or tokens-per-chip.")
    ] = "cheapest",
    isl: Annotated[str, _question(metavar="TOKENS", help="Input length: 1000, 8k, 128Ki.")] = "1024",
    osl: Annotated[str, _question(metavar="TOKENS", help="Output length.")] = "1024",
    cache_hit: Annotated[float, _question(metavar="SHARE", help="Share of the input found in cache.")] = 0.0,
    ttft: Annotated[_Text, _limit(metavar="TIME", help='Longest time to the first token: "500 ms".')] = None,
    tpot: Annotated[_Text, _limit(metavar="TIME", help='Longest time per output token: "30 ms".')] = None,
    speed: Annotated[_Text, _limit(metavar="RATE", help='Slowest speed per user: "50 tok/s".')] = None,
    cost: Annotated[
        _Text, _limit(metavar="MONEY", help="Dearest million tokens, input and output as they come.")
    ] = None,
    power: Annotated[_Text, _limit(metavar="POWER", help='Most power of the chips: "10 kW".')] = None,
    chips: Annotated[int | None, _limit(metavar="N", help="How many chips there are.")] = None,
    weights: Annotated[_Text, _search(metavar="TYPES", help="Weight formats: fp8,bf16 or any.")] = None,
    kv: Annotated[_Text, _search(metavar="TYPE", help="Data type of the KV cache.")] = None,
    engine: Annotated[_Text, _search(metavar="NAMES", help="Engines: vllm,sglang,trtllm.")] = None,
    draft: Annotated[_Text, _search(metavar="LENGTHS", help="Draft lengths to try, by n-gram lookup: 0,3,5.")] = None,
    aggregated: Annotated[
        bool, _search("--aggregated", help="Leave out separate pools of prefill and decode.")
    ] = False,
    acceptance: Annotated[float, _search(metavar="SHARE", help="Chance that a drafted token is accepted.")] = 0.0,
    rent: Annotated[_Text, _money(metavar="PRICE", help='Your price per chip: "2.5 USD/h".')] = None,
    price: Annotated[_Text, _money(metavar="TERMS", help="on-demand, reserved, spot or a provider.")] = None,
    on: Annotated[_Text, _money("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")] = None,
    currency: Annotated[str, _money(metavar="CODE", help="Currency of the answer.")] = "USD",
    utilisation: Annotated[float, _money(metavar="SHARE", help="Share of the paid hours in use.")] = 1.0,
    memory: Annotated[_Text, _search(metavar="NAME", help="Swap the memory generation: hbm4, ...")] = None,
    set_: Annotated[
        list[str] | None, _search("--set", metavar="PATH=VALUE", help="Override a field of the chip.")
    ] = None,
    plot: Annotated[_Text, _output(metavar="FILE", help="Pareto front: .svg .png .html .pdf.")] = None,
    json_: Annotated[bool, _output("--json", help="Print all of it as JSON.")] = False,
    export: Annotated[list[str] | None, _output(metavar="FILE", help="Also write the front to a file.")] = None,
) -> None:
    """Find the best deployment of a model under limits.

    tokcalc plan --chip h100,b200 --model llama-70b --ttft 500ms --speed "50 tok/s" searches cuts, batches,
    formats and engines. Exit code 1 and the closest miss where nothing keeps the limits.
    """
    from ...explore.plan.plan import plan as search

    for path in export or []:
        from ...report import check

        check(path)
    if plot is not None:
        from ...report.plots import check as check_plot

        check_plot(plot)
    found = search(
        options.names("--chip", chip, "h100,b200", "chips"),
        _single(options.names("--model", model, "llama-70b", "models")),
        aim=aim.strip().lower(), isl=options.length("--isl", isl), osl=options.length("--osl", osl),
        cache_hit=options.share("--cache-hit", cache_hit, 0.0, 1.0), ttft_s=limits.duration("--ttft", ttft),
        tpot_s=limits.longest_step(tpot, speed), per_m=limits.amount(cost, currency),
        power_w=limits.quantity("--power", power, "power"),
        chips=None if chips is None else options.length("--chips", str(chips), options.MOST_CHIPS),
        weights=limits.words_of(weights), engines=limits.words_of(engine), drafts=limits.draft_lengths(draft),
        acceptance=options.share("--acceptance", acceptance, 0.0, 1.0),
        utilisation=options.share("--utilisation", utilisation, 0.0, 1.0, open_low=True),
        disaggregated=not aggregated, kv=kv, memory=memory, rent=rent, price=price, on=options.date("--on", on),
        currency=currency.strip().upper(),
        overrides=options.assignments(set_ or []) or None,
    )  # fmt: skip
    _write(found, export or [], plot)
    if json_:
        json.dump(found.to_dict(), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    else:
        print("\n".join(report(found, text.width())))
    raise typer.Exit(0 if found.best is not None else 1)


def _single(models: list[str]) -> str:
    if len(models) > 1:
        raise UsageError(f"--model names {len(models)} models; a plan is for one, `tokcalc atlas` is for many")
    return models[0]


def report(found: Planned, width: int) -> list[str]:
    """The verdict, the table, why the rest lost, the front, in lines."""
    lines = [line for said in (_asked(found), *what_ifs(found.what_if)) for line in text.wrap(said, width)]
    if found.best is None:
        lines += ["", *text.wrap(_missed(found), width)]
        shown = [found.miss] if found.miss else []
    else:
        lines += ["", *text.wrap(_verdict(found), width)]
        shown = [found.best, *found.runners_up]
    lines += ["", _table(shown, found.currency, width, ["closest"] if found.best is None else None)]
    lines += ["", *text.wrap(_losers(found), width)]
    if len(found.front) > 1:
        from ...explore.plan.choice import thin

        places = thin(range(len(found.front)), FRONT_ROWS)
        head = f"Pareto front of all {len(found.front)} that no other beats, * within the limits:"
        lines += ["", head, "", _table([found.front[i] for i in places], found.currency, width, [])]
        lines += ["", *_small_plot(found, width)]
    return lines


def _asked(found: Planned) -> str:
    work, kept = found.workload, found.limits
    said = [f"{found.model}; {work['isl']:,.0f} tokens in, {work['osl']:,.0f} out", f"aim: {_AIM[found.aim]}"]
    if kept.ttft_s is not None:
        said.append(f"first token within {units.duration(kept.ttft_s)}")
    if kept.tpot_s is not None:
        said.append(f"at least {text.number(1 / kept.tpot_s)} tok/s per user")
    if kept.per_m is not None:
        said.append(f"at most {units.money(found.currency, kept.per_m)} per million tokens")
    if kept.power_w is not None:
        said.append(f"at most {units.si(kept.power_w, 'W')}")
    if kept.chips is not None:
        said.append(f"at most {kept.chips:,} chips")
    return "; ".join(said) + "."


def _verdict(found: Planned) -> str:
    best = found.best or {}
    many = f"{best['chips']} x {best['chip']}"
    parts = [
        f"{many}, {best['label']}, {best['weights']} weights, {best['kv']} cache"
        + (f", {best['engine']}" if best["engine"] else ""),
        f"{text.number(best['output_tok_s_user'])} tok/s per user, "
        f"{text.number(best['output_tok_s'])} in all, first token after {text.seconds(best['ttft_s'])}",
    ]
    if best["per_m_blended"] is not None:
        parts.append(
            f"{text.money(best['per_m_output'], found.currency)} per million output and "
            f"{text.money(best['per_m_input'], found.currency)} per million input tokens"
        )
    sentence = "; ".join(parts)
    if best["replicas"] > 1:
        total = best["replicas"] * best["output_tok_s"]
        sentence += f"; {best['replicas']} replicas fit the limits, {text.number(total)} tok/s together"
    return f"Best: {sentence}. Grade {best['grade']}."


def _missed(found: Planned) -> str:
    parts = [
        f"{why}, {_shown(column, value, found.currency)} instead of {_shown(column, most, found.currency)}"
        for why, column, value, most in found.missed
    ]
    row = found.miss or {}
    named = f"{row['chips']} x {row['chip']} {row['label']}"
    return f"No deployment keeps all limits. The closest, {named}: {'; '.join(parts)}."


def _shown(column: str, value: float, currency: str) -> str:
    """A limited figure as a person writes it."""
    if column == "ttft_s":
        return units.duration(value)
    if column == "tpot_s":
        return f"{text.number(1 / value)} tok/s per user"
    if column == "per_m_blended":
        return f"{units.money(currency, value)} per million"
    return units.si(value, "W") if column == "power_w" else f"{value:,.0f} chips"


def _losers(found: Planned) -> str:
    said = "; ".join(f"{count:,} {why}" for why, count in found.lost)
    return f"Searched {found.cases:,} deployments: {found.good:,} keep the limits" + (f"; {said}." if said else ".")


def _table(rows: list[dict[str, Any]], currency: str, width: int, marks: list[str] | None) -> str:
    """Deployments line by line; the front marks those within the limits."""
    columns = [
        Column("", 210, right=False), Column("chip", 200, right=False), Column("chips", 95),
        Column("deployment", 190, right=False), Column("weights", 60, right=False), Column("engine", 30,
        right=False),
        Column("tok/s/user", 180), Column("tok/s/chip", 170), Column("TTFT", 120),
        Column(f"{currency}/M", 160), Column(f"{currency}/M out", 50), Column("tok/J", 40), Column("grade",
        45, right=False),
    ]  # fmt: skip
    names = ["best", *(str(i) for i in range(2, len(rows) + 1))] if marks is None else marks
    cells = []
    for place, row in enumerate(rows):
        mark = names[place] if names else "*" if row["within"] else ""

        def amount(key: str, row: dict[str, Any] = row) -> str:
            return text.money(row[key], currency).removesuffix(f" {currency}")

        cells.append(
            (mark, row["chip"], str(row["chips"]), row["label"], row["weights"], row["engine"] or "-",
             text.number(row["output_tok_s_user"]), text.number(row["output_tok_s_chip"]),
             text.seconds(row["ttft_s"]),
             amount("per_m_blended"), amount("per_m_output"), text.number(row["tok_per_joule"]), row["grade"])
        )  # fmt: skip
    return render(columns, cells, width)


def _small_plot(found: Planned, width: int) -> list[str]:
    from ...report.terminal_plot import scatter

    series: dict[str, list[tuple[float, float]]] = {}
    for row in found.front:
        series.setdefault(row["chip"], []).append((row["output_tok_s_user"], row["output_tok_s_chip"]))
    drawn = scatter(
        series, width=min(width, 76), height=12, log_x=True, log_y=True, x_title="tok/s per user",
        y_title="tok/s per chip",
    )  # fmt: skip
    return drawn.splitlines()


def _write(found: Planned, exports: list[str], plot: _Text) -> None:
    if exports:
        from ...report import write

        for path in exports:
            write(found.front, path, title=f"Pareto front of {found.model}")
            print(f"wrote {path}", file=sys.stderr)
    if plot is not None:
        from ...report.plots import save

        save(chart(found), plot)
        print(f"wrote {plot}", file=sys.stderr)


def chart(found: Planned) -> Any:
    """The front as two plots: throughput per chip and cost per million against speed per user."""
    from ...explore.plan.choice import plot_rows
    from ...report.plots import pareto, pareto_pair

    rows = plot_rows(found.found) if found.found is not None else found.front
    work = found.workload
    title = f"{found.model}, {work['isl']:,.0f} tokens in, {work['osl']:,.0f} out"
    title = "; ".join(said for said in (title, short_what_ifs(found.what_if)) if said)
    if any(row["per_m_blended"] is not None for row in rows):
        priced = [row for row in rows if row["per_m_blended"] is not None]
        return pareto_pair(priced, cost="per_m_blended", title=title, currency=found.currency)
    return pareto(rows, title=title)
