"""`tokcalc mixed`: prompts on one chip and generation on another, or several chips sharing a load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...answers.mixed import mixed_answer
from ...catalog import load_chip, load_model
from ...errors import NoAnswer, UsageError
from ...explore.compare import flatten
from ...explore.shared_load import parse_owned, share_load
from ...hardware.chip import Chip
from ...money.hour import Terms, chip_hour
from ...serving import pools
from .. import options as o
from .. import text, values
from ..output import Output, tell
from ..table import Column, item, tabulate


class Pools(o.Group):
    """The model, and the chips of both sides or those that share a load."""

    model: o.Text = o.MODEL
    prefill_chip: o.Text = o.option(None, "Chip that reads prompts.", "CHIP")
    decode_chip: o.Text = o.option(None, "Chip that generates.", "CHIP")
    prefill_chips: o.Whole = o.option(None, "Chips of a prefill replica.", "N")
    decode_chips: o.Whole = o.option(None, "Chips of a decode replica.", "N")
    batch: o.Whole = o.option(None, "Requests of a decode replica; default: most.", "N")
    max_tpot: o.Real = o.option(None, "Longest time per token.", "MS")
    share: o.Texts = o.option(None, "Chips that share a load, as h800=8,rngd=16.", "CHIP=N")


class Work(o.Lengths):
    """What is asked of them."""

    cache_hit: float = o.CACHE_HIT
    draft: o.Text = o.DRAFT
    acceptance: o.Real = o.ACCEPTANCE
    weights: o.Text = o.WEIGHTS
    currency: str = o.CURRENCY
    on: o.Text = o.ON


def mixed(pools: Pools, work: Work, out: Output) -> None:
    """Mix chips: prompts on one and generation on another, or several sharing a load."""
    model = pools.model
    if model is None:
        raise UsageError(
            "--model is missing, as in tokcalc mixed --model r1 --prefill-chip h800 --decode-chip groq-3-lpu"
        )
    out.check()
    load = {**work.tokens(), "weights": work.weights, "cache_hit": work.cache_hit}
    if pools.share:
        if pools.prefill_chip or pools.decode_chip:
            raise UsageError("--share and --prefill-chip are two questions; ask them one after the other")
        _share(pools, model, load, out)
        return
    if pools.prefill_chip is None or pools.decode_chip is None:
        missing = "--prefill-chip" if pools.prefill_chip is None else "--decode-chip"
        raise UsageError(f"{missing} is missing: a mixed system needs both, or --share h800=8,ascend-910c=16")
    sizes = {name: getattr(pools, name) for name in ("batch", "prefill_chips", "decode_chips")}
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value} is not a number of at least 1")
    if (work.draft is None) != (work.acceptance is None):
        raise UsageError("--draft and --acceptance belong together, as in --draft 1 --acceptance 0.7")
    values.share("--cache-hit", work.cache_hit)
    speculation = {
        "draft": values.draft(work.draft) or 0,
        "acceptance": values.share("--acceptance", work.acceptance or 0.0),
        "max_tpot_s": pools.max_tpot / 1e3 if pools.max_tpot else None,
    }
    day, code = values.date("--on", work.on), work.currency.strip().upper()
    answer = _answer(model, (pools.prefill_chip, pools.decode_chip), (day, code), load | sizes | speculation)
    _write(out, [answer])
    out.show(answer, lambda width: _page(answer, width))


def _write(out: Output, rows: list[dict[str, Any]]) -> None:
    out.write([flatten(row) for row in rows])


def _answer(model: str, chips: tuple[str, str], money: tuple[str | None, str], asked: Mapping[str, Any]) -> Any:
    """The mixed system of both chips, at the prices of a day in a currency."""
    network = load_model(model)
    terms = Terms(on=money[0], currency=money[1]).checked()
    unpriced = []

    def hour(chip: Chip) -> float | None:
        watts = chip.power.system_power_per_chip_w or chip.power.tdp_w
        try:
            return float(chip_hour(chip, terms, watts, watts).value)
        except NoAnswer as error:
            unpriced.append(str(error))
            return None

    draft = asked["draft"]
    sizes = {"weights": asked["weights"], "cache_hit": asked["cache_hit"]}
    reads = pools.Job(load_chip(chips[0]), network, asked["isl"], chips=asked["prefill_chips"], **sizes)
    writes = pools.Job(
        load_chip(chips[1]),
        network,
        asked["isl"],
        asked["osl"],
        chips=asked["decode_chips"],
        weights=asked["weights"],
        batch=asked["batch"],
        max_tpot_s=asked["max_tpot_s"],
        draft=0 if isinstance(draft, str) else draft,
        acceptance=asked["acceptance"],
    )
    found = pools.mixed(reads, writes, best_draft=isinstance(draft, str), hour_price=hour)
    answer = mixed_answer(found, writes, money[1])
    if unpriced:
        answer["cost"]["reason"] = unpriced[0]
    return answer


def _page(answer: Mapping[str, Any], width: int) -> list[str]:
    """The mixed system in sentences and lines; two digits and a warning where anything is of grade D."""
    rough = answer["grade"] == "D"
    digits = 2 if rough else 3
    speed, move = answer["speed"], answer["transfer"]
    p, d = (answer["deployment"][side] for side in ("prefill", "decode"))

    def band(key: str, show: Any, unit: str = "") -> str:
        value, low, high = (show(speed[key][part], digits) for part in ("value", "low", "high"))
        return f"{'~' if rough else ''}{value}{unit}  ({low} to {high})"

    user = f"{'perhaps ' if rough else ''}{text.number(speed['output_tok_s_user']['value'], digits)}"
    said = [
        f"{p['replicas']} x {p['chips']} {p['chip']} read prompts for {d['replicas']} x {d['chips']} {d['chip']}, "
        f"which generate {answer['model']} at {user} tokens/s per user."
    ]
    if rough:
        said.append(
            "! GRADE D: a side of this system is on the roadmap, a target of its vendor, or unmeasured. "
            "Compare, do not plan."
        )
    cost, drafted = answer["cost"], answer["workload"]["draft"]
    price = f"not known: {cost.get('reason', 'no price')}"
    if cost.get("per_hour") is not None:
        hour, million = (text.money(cost[key], cost["currency"]) for key in ("per_hour", "per_m_output"))
        price = f"{hour} an hour, {million} per million output tokens"
    link = f"{text.rate(move['link_bytes_s'], 'B/s')}, the slower side"
    rows = (
        ("per user", band("output_tok_s_user", text.number, " tokens/s")),
        ("whole system", band("output_tok_s", text.number, " tokens/s out")),
        ("first token", band("ttft_s", text.seconds)),
        ("cache moved", f"{text.size(move['kv_bytes'])} a prompt in {text.seconds(move['seconds'])} at {link}"),
        ("in flight", f"{answer['workload']['concurrency']:,} requests on the decode side"),
        ("drafted", f"{drafted} a step" if drafted else ""),
    )
    columns = (
        Column("pool", 100, False, lambda s: "prefill" if s is p else "decode"),
        Column("replicas", 90, cell=item("replicas")),
        Column("chips each", 85, cell=item("chips")),
        Column("chip", 95, False, item("chip")),
        Column("batch", 60, cell=item("batch", text.number)),
        Column("requests/s each", 70, cell=lambda s: text.number(s["requests_per_s"], digits)),
        Column("weights", 40, False, item("weights")),
        Column("grade", 80, False, item("grade")),
    )
    lines = [line for one in said for line in text.wrap(one, width, "", "! " if one.startswith("! ") else "")]
    lines += ["", *(f"{label:<14}{value}" for label, value in rows if value)]
    return [*lines, *text.wrap(price, width, f"{'cost':<14}"), "", tabulate(columns, (p, d), width)]


def _share(pools: Pools, model: str, load: Mapping[str, Any], out: Output) -> None:
    """Chips of several kinds that share a load within a time per token."""
    found, left_out = share_load(
        parse_owned(pools.share or []), model, max_tpot_s=(pools.max_tpot or 50.0) / 1e3, **load
    )
    parts = [asdict(part) for part in found]
    columns = (
        Column("chip", 100, False, item("chip")),
        Column("replicas", 80, cell=item("replicas", "{:,}".format)),
        Column("users each", 70, cell=item("concurrency", "{:,}".format)),
        Column("tok/s", 90, cell=lambda r: text.number(r["output_tok_s"], 2 if r["grade"] == "D" else 3)),
        Column("per token", 75, cell=item("tpot_s", text.seconds)),
        Column("share", 95, cell=item("share", "{:.0%}".format)),
        Column("grade", 85, False, item("grade")),
    )
    for name, reason in left_out:
        tell(f"tokcalc: {name} takes no share: {reason}")
    _write(out, parts)
    answer = {"model": model, "parts": parts, "left_out": dict(left_out)}
    out.show(answer, lambda width: [tabulate(columns, parts, width)])
