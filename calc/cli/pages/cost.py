"""What tokens cost, as a person reads it: one machine in full, or several side by side. Pure text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...explore.full_load import limits_text, load_lines
from ...money.waterfall import Breakdown
from .. import text
from ..table import Column, Spanning, item, tabulate

Answer = Mapping[str, Any]


def card(answer: Answer, steps: Breakdown, width: int) -> list[str]:
    """One machine: the ways to price its hour, the waterfall, what a million tokens of each kind costs."""
    code = answer["cost"]["currency"]

    def amount(value: float) -> str:
        return text.money(value, code)

    def figure(value: Any, digits: int = 3) -> str:
        return text.number(float(value), digits) if isinstance(value, int | float) else str(value or "-")

    ways = (
        Column("way", 50, False, lambda w: w.way),
        Column("price", 50, cell=lambda w: amount(w.value)),
        Column("low", 50, cell=lambda w: amount(w.low)),
        Column("high", 50, cell=lambda w: amount(w.high)),
        Column("of", 50, False, lambda w: str(w.price.get("date") or "-")),
        Column("grade", 50, False, lambda w: str(w.price.get("grade") or "-")),
        Column("", 50, False, lambda w: "used" if w is steps.hour else ""),
    )
    inputs = (
        Column("input", 50, False, lambda r: r["input"] + ("" if r["unit"] in ("1", "") else f", {r['unit']}")),
        Column("value", 49, cell=lambda r: figure(r["value"], 4)),
        Column("low", 48, cell=lambda r: figure(r["low"], 4)),
        Column("high", 47, cell=lambda r: figure(r["high"], 4)),
        Column("of", 46, False, lambda r: r["date"] or "-"),
        Column("grade", 45, False, lambda r: r["grade"] or "-"),
        Column("basis", 44, False, item("basis")),
    )
    waterfall = (
        Column("step", 9, False, item("step")),
        Column("a chip-hour", 8, cell=item("per_chip_hour", amount)),
        Column("1M output", 7, cell=item("per_m_output", amount)),
        Column("share", 6, cell=item("share", "{:.1%}".format)),
    )
    worth = (
        Column("what matters most", 9, False, item("input")),
        Column("low", 8, cell=item("low", figure)),
        Column("high", 7, cell=item("high", figure)),
        Column("1M output at low", 6, cell=item("at_low", amount)),
        Column("at high", 5, cell=item("at_high", amount)),
    )
    lines = text.wrap(load_lines(answer) + ".", width)
    lines += ["", f"an hour of one chip, {code}", tabulate(ways, steps.ways, width)]
    if steps.purchase:
        lines += ["", "what the owner's hour is made of", tabulate(inputs, steps.purchase, width)]
    lines += ["", "from the hour to a million output tokens", tabulate(waterfall, steps.steps, width)]
    lines += ["", *_totals(answer, width), "", tabulate(worth, answer["sensitivity"], width)]
    return [*lines, "(`tokcalc sensitivity` shows all, and where the ends come from)"]


def _totals(answer: Answer, width: int) -> list[str]:
    money, energy, work, price = answer["cost"], answer["energy"], answer["workload"], answer["cost"]["price"]

    def amount(key: str, of: Mapping[str, Any] = money) -> str:
        return text.money(of[key], of["currency"])

    band = f"{amount('per_m_output_low')} to {amount('per_m_output_high')}"
    rows = [("1M output tokens", f"{amount('per_m_output')}, {band}"), ("1M input tokens", amount("per_m_input"))]
    if money.get("per_m_cached_input") is not None:
        cached = f"cached {amount('per_m_cached_input')} (a hit takes no prefill)"
        rows.append(("of them", f"uncached {amount('per_m_uncached_input')}, {cached}"))
    rows.append((f"blend {money.get('blend_ratio', work['isl'] / work['osl']):g} to 1", amount("per_m_blended")))
    if also := money.get("also"):
        both = f"{amount('per_m_output', also)} output, {amount('per_m_input', also)} input"
        rows.append((f"in {also['currency']}", both))
    if energy.get("kwh_per_m_output") is not None:
        chip = f"{text.number(energy['joule_per_output_token'])} J an output token ({energy['boundary']})"
        whole = f"{text.number(energy['kwh_per_m_output'])} kWh a million ({energy['all_in']})"
        rows.append(("energy", f"{chip}, all-in {whole}"))
    if energy.get("co2_kg_per_m_output") is not None:
        grid = f"{text.number(energy['grid_kg_per_kwh'])} kg/kWh, {energy['grid']}"
        rows.append(("CO2", f"{text.number(energy['co2_kg_per_m_output'])} kg a million output tokens ({grid})"))
    dated = f"of {price['date']}" if price.get("date") else ""
    used = (dated, *(str(price.get(key) or "") for key in ("terms", "note", "source")))
    rows += [
        ("in use", f"{work['utilisation']:.0%} of the paid hours"),
        ("price", ", ".join(part for part in used if part)),
        ("grade", f"{answer['grade']} for the speed, {price.get('grade')} for the price"),
    ]
    return [line for name, value in rows for line in text.wrap(value, width, f"{name:<18}")]


def table(answers: Sequence[Answer], second: str | None, width: int) -> list[str]:
    """Chips side by side: one row each, every figure at the same latency limit."""
    currency = next((a["cost"]["currency"] for a in answers if "cost" in a), "USD")
    models = sorted({str(a["model"]) for a in answers})

    def figure(value: float | None, answer: Answer) -> str:
        return text.number(value, 2 if answer["grade"] == "D" else 3)

    def speed(key: str) -> Any:
        return lambda a: figure(a["speed"][key]["value"], a)

    def amount(key: str) -> Any:
        return lambda a: text.amount(a["cost"].get(key), currency)

    def way(answer: Answer) -> str:
        money = answer["cost"]
        return (
            f"{money['way']}{'*' * bool(money.get('unlike'))} {money['price']['grade']}" if money.get("way") else "none"
        )

    named = [Column("chip", 200, False, item("chip"))]
    if len(models) > 1:
        named.append(Column("model", 190, False, item("model")))
    also = []
    if second:
        also.append(
            Column(
                f"{second}/M out",
                99,
                cell=lambda a: text.amount((a["cost"].get("also") or {}).get("per_m_output"), second),
            )
        )
    columns = [
        *named,
        Column("chips", 85, cell=lambda a: f"{a['deployment']['chips']:,}"),
        Column("batch", 60, cell=lambda a: f"{a['workload']['concurrency']:,}"),
        Column("tok/s/user", 95, cell=speed("output_tok_s_user")),
        Column("tok/s/chip", 80, cell=speed("output_tok_s_chip")),
        Column(f"{currency}/M out", 100, cell=amount("per_m_output")),
        *also,
        Column(f"{currency}/M in", 70, cell=amount("per_m_input")),
        Column("J/tok", 97, cell=lambda a: figure(a["energy"].get("joule_per_output_token"), a)),
        Column("kWh/M", 40, cell=lambda a: figure(a["energy"].get("kwh_per_m_output"), a)),
        Column("grade", 98, False, item("grade")),
        Column("price", 84, False, way),
    ]
    rows = [
        a if "speed" in a else Spanning(tuple(column.cell(a) for column in named), str(a.get("reason")))
        for a in answers
    ]
    heads = [] if len(models) > 1 else models
    if work := next((a["workload"] for a in answers if "workload" in a), None):
        heads += [f"{work['isl']:,} tokens in, {work['osl']:,} out", limits_text(list(answers))]
        heads.append(f"{work['utilisation']:.0%} of the paid hours in use")
    lines = [*text.wrap("; ".join(heads) + ".", width), ""] if heads else []
    unlike = any((a.get("cost") or {}).get("unlike") for a in answers)
    foot = "price: how the hour is priced, and the grade of that price. J/tok: chips alone; kWh/M: all-in."
    foot += " * priced in another way than the rest, for want of a price of their kind." if unlike else ""
    return [*lines, tabulate(columns, rows, width), "", *text.wrap(foot, width)]
