"""`tokcalc mixed`: prompts on one chip and generation on another, or several chips sharing a load."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from ...errors import NoAnswer, UsageError
from .. import options, text
from ..table import Column, render


def mixed(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The model.")] = None,
    prefill_chip: Annotated[str | None, typer.Option(metavar="CHIP", help="Chip that reads prompts.")] = None,
    decode_chip: Annotated[str | None, typer.Option(metavar="CHIP", help="Chip that generates.")] = None,
    prefill_chips: Annotated[int | None, typer.Option(metavar="N", help="Chips of a prefill replica.")] = None,
    decode_chips: Annotated[int | None, typer.Option(metavar="N", help="Chips of a decode replica.")] = None,
    share: Annotated[
        list[str] | None, typer.Option(metavar="CHIP=N", help="Chips that share a load, as h800=8,rngd=16.")
    ] = None,
    max_tpot: Annotated[float | None, typer.Option(metavar="MS", help="Longest time per token.")] = None,
    draft: Annotated[
        str | None, typer.Option(metavar="N|best", help="Tokens drafted per step, or the best number.")
    ] = None,
    acceptance: Annotated[float | None, typer.Option(metavar="SHARE", help="Chance of a drafted token.")] = None,
    isl: Annotated[str, typer.Option(metavar="N", help="Input tokens.")] = "1024",
    osl: Annotated[str, typer.Option(metavar="N", help="Output tokens.")] = "1024",
    batch: Annotated[int | None, typer.Option(metavar="N", help="Requests of a decode replica; default: most.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="FORMAT", help="Format of the weights.")] = None,
    cache_hit: Annotated[float, typer.Option(metavar="SHARE", help="Share of input found in a cache.")] = 0.0,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Currency.")] = "USD",
    on: Annotated[str | None, typer.Option(metavar="DATE", help="Prices of this day.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a file.")] = None,
) -> None:
    """Mix chips: prompts on one and generation on another, or several sharing a load."""
    if model is None:
        raise UsageError(
            "--model is missing, as in tokcalc mixed --model r1 --prefill-chip h800 --decode-chip groq-3-lpu"
        )
    for path in export or []:
        from ...report import check

        check(path)
    tokens = {"isl": options.length("--isl", isl), "osl": options.length("--osl", osl)}
    if share:
        if prefill_chip or decode_chip:
            raise UsageError("--share and --prefill-chip are two questions; ask them one after the other")
        _shared(
            share,
            model,
            (max_tpot or 50.0) / 1e3,
            {**tokens, "weights": weights, "cache_hit": cache_hit},
            json_,
            export or [],
        )
        return
    if prefill_chip is None or decode_chip is None:
        missing = "--prefill-chip" if prefill_chip is None else "--decode-chip"
        raise UsageError(f"{missing} is missing: a mixed system needs both, or --share h800=8,ascend-910c=16")
    for name, value in (("--batch", batch), ("--prefill-chips", prefill_chips), ("--decode-chips", decode_chips)):
        if value is not None and value < 1:
            raise UsageError(f"{name} {value} is not a number of at least 1")
    if (draft is None) != (acceptance is None):
        raise UsageError("--draft and --acceptance belong together, as in --draft 1 --acceptance 0.7")
    answer = _mixed_answer(
        model, prefill_chip, decode_chip, tokens, batch, options.share("--cache-hit", cache_hit, 0.0, 1.0),
        prefill_chips, decode_chips, weights, currency.strip().upper(), options.date("--on", on),
        draft=options.draft(draft) or 0, acceptance=options.share("--acceptance", acceptance or 0.0, 0.0, 1.0),
        max_tpot_s=max_tpot / 1e3 if max_tpot else None,
    )  # fmt: skip
    _out(answer, [answer], json_, export or [], _card)


def _mixed_answer(
    model: str, prefill_chip: str, decode_chip: str, tokens: dict[str, Any],
    batch: int | None, cache_hit: float,
    prefill_chips: int | None, decode_chips: int | None, weights: str | None, currency: str, on: str | None,
    **speculation: Any,
) -> dict[str, Any]:  # fmt: skip
    from ...answers.mixed import mixed_answer
    from ...catalog import load_chip, load_model
    from ...money.hour import Terms, chip_hour
    from ...serving import pools
    from ...serving.pools import Job

    network = load_model(model)
    terms = Terms(on=on, currency=currency).checked()
    unpriced = []

    def hour(chip: Any) -> float | None:
        watts = chip.power.system_power_per_chip_w or chip.power.tdp_w
        try:
            return float(chip_hour(chip, terms, watts, watts).value)
        except NoAnswer as error:
            unpriced.append(str(error))
            return None

    draft = speculation["draft"]
    reads = Job(load_chip(prefill_chip), network, tokens["isl"], 1, cache_hit, prefill_chips, weights)
    writes = Job(
        load_chip(decode_chip), network, tokens["isl"], tokens["osl"], chips=decode_chips, weights=weights, batch=batch,
        max_tpot_s=speculation["max_tpot_s"], draft=0 if isinstance(draft, str) else draft,
        acceptance=speculation["acceptance"],
    )  # fmt: skip
    found = pools.mixed(reads, writes, best_draft=isinstance(draft, str), hour_price=hour)
    answer = mixed_answer(found, writes, currency)
    if unpriced:
        answer["cost"]["reason"] = unpriced[0]
    return answer


def _card(answer: dict[str, Any]) -> str:
    """The mixed system in sentences and lines; two digits and a warning where anything is of grade D."""
    rough = answer["grade"] == "D"
    digits, about = (2, "perhaps ") if rough else (3, "")
    p, d, speed = answer["deployment"]["prefill"], answer["deployment"]["decode"], answer["speed"]

    def band(key: str, show: Any, unit: str = "") -> str:
        item = speed[key]
        low, high = show(item["low"], digits), show(item["high"], digits)
        return f"{'~' if rough else ''}{show(item['value'], digits)}{unit}  ({low} to {high})"

    move, cost = answer["transfer"], answer["cost"]
    lines = text.wrap(
        f"{p['replicas']} x {p['chips']} {p['chip']} read prompts for "
        f"{d['replicas']} x {d['chips']} {d['chip']}, which generate {answer['model']} at "
        f"{about}{text.number(speed['output_tok_s_user']['value'], digits)} tokens/s per user.",
        text.width(),
    )  # fmt: skip
    if rough:
        lines += text.wrap(
            "GRADE D: a side of this system is on the roadmap, a target of its vendor, or unmeasured. "
            "Compare, do not plan.",
            text.width(), "! ", "! ",
        )  # fmt: skip
    lines += [
        "",
        f"per user      {band('output_tok_s_user', text.number, ' tokens/s')}",
        f"whole system  {band('output_tok_s', text.number, ' tokens/s out')}",
        f"first token   {band('ttft_s', text.seconds)}",
        f"cache moved   {text.size(move['kv_bytes'])} a prompt in {text.seconds(move['seconds'])} at "
        f"{text.rate(move['link_bytes_s'], 'B/s')}, the slower side",
        f"in flight     {answer['workload']['concurrency']:,} requests on the decode side",
        *([f"drafted       {drafted} a step"] if (drafted := answer["workload"]["draft"]) else []),
    ]
    if cost.get("per_hour") is not None:
        lines.append(
            f"cost          {text.money(cost['per_hour'], cost['currency'])} an hour, "
            f"{text.money(cost['per_m_output'], cost['currency'])} per million output tokens"
        )
    else:
        lines += text.wrap(f"not known: {cost.get('reason', 'no price')}", text.width(), "cost          ", " " * 14)
    rows = [
        (side, str(s["replicas"]), str(s["chips"]), s["chip"], text.number(s["batch"]),
         text.number(s["requests_per_s"], digits), s["weights"], s["grade"])
        for side, s in (("prefill", p), ("decode", d))
    ]  # fmt: skip
    columns = [
        Column("pool", 100, False), Column("replicas", 90),
        Column("chips each", 85), Column("chip", 95, False),
        Column("batch", 60), Column("requests/s each", 70), Column("weights", 40, False),
        Column("grade", 80, False),
    ]  # fmt: skip
    return "\n".join([*lines, "", render(columns, rows, text.width())])


def _shared(
    share: list[str], model: str, max_tpot_s: float, workload: dict[str, Any], json_: bool, export: list[str]
) -> None:
    from dataclasses import asdict

    from ...explore.shared_load import parse_owned, share_load

    parts, left_out = share_load(parse_owned(share), model, max_tpot_s=max_tpot_s, **workload)
    rows = [asdict(part) for part in parts]
    shown = [
        (r["chip"], f"{r['replicas']:,}", f"{r['concurrency']:,}", 
         text.number(r["output_tok_s"], 2 if r["grade"] == "D" else 3),
         text.seconds(r["tpot_s"]), f"{r['share']:.0%}", r["grade"])
        for r in rows
    ]  # fmt: skip
    columns = [
        Column("chip", 100, False), Column("replicas", 80), Column("users each", 70), Column("tok/s", 90),
        Column("per token", 75), Column("share", 95), Column("grade", 85, False),
    ]  # fmt: skip
    for name, reason in left_out:
        print(f"tokcalc: {name} takes no share: {reason}", file=sys.stderr)
    _out({"model": model, "parts": rows, "left_out": dict(left_out)}, rows, json_, export,
         lambda _: render(columns, shown, text.width()))  # fmt: skip


def _out(answer: dict[str, Any], rows: list[dict[str, Any]], json_: bool, export: list[str], show: Any) -> None:
    for path in export:
        from ...explore.compare import flatten
        from ...report import write

        write([flatten(row) for row in rows], path)
        print(f"wrote {path}", file=sys.stderr)
    if json_:
        json.dump(answer, sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        print(show(answer))
