"""One machine's cost as a person reads it: ways, inputs, waterfall, a million tokens. Pure text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import text
from ..table import Column, render


def card(answer: Mapping[str, Any], steps: Any, limit: tuple[float | None, float | None], width: int) -> list[str]:
    """One machine: the ways to price its hour, the waterfall, what a million tokens of each kind costs."""
    from ...explore.full_load import load_lines

    money = answer["cost"]
    code = money["currency"]
    lines = text.wrap(load_lines(answer, *limit) + ".", width)
    lines += ["", f"an hour of one chip, {code}"]
    ways = [
        [w.way, text.money(w.value, code), text.money(w.low, code), text.money(w.high, code),
         str(w.price.get("date") or "-"), str(w.price.get("grade") or "-"), "used" if w is steps.hour else ""]
        for w in steps.ways
    ]  # fmt: skip
    names = ("way", "price", "low", "high", "of", "grade", "")
    left = {"way", "of", "grade", ""}
    lines.append(render([Column(n, 50, right=n not in left) for n in names], ways, width))
    if steps.purchase:
        lines += ["", "what the owner's hour is made of"]
        rows = [_input_row(row) for row in steps.purchase]
        titles = ("input", "value", "low", "high", "of", "grade", "basis")
        lines.append(render([Column(t, 50 - i, right=0 < i < 4) for i, t in enumerate(titles)], rows, width))
    lines += ["", "from the hour to a million output tokens"]
    shown = [
        [row["step"], text.money(row["per_chip_hour"], code), text.money(row["per_m_output"], code),
         f"{row['share']:.1%}"]
        for row in steps.steps
    ]  # fmt: skip
    heads = [Column("step", 9, right=False), Column("a chip-hour", 8), Column("1M output", 7), Column("share", 6)]
    lines += [render(heads, shown, width), "", *_totals(answer, width), ""]
    return lines + _worth(answer, width)


def _worth(answer: Mapping[str, Any], width: int) -> list[str]:
    """What the inputs that matter most are worth: each alone from its low to its high end."""

    def figure(value: Any) -> str:
        return text.number(float(value)) if isinstance(value, int | float) else str(value)

    code = answer["cost"]["currency"]
    rows = [
        [row["input"], figure(row["low"]), figure(row["high"]), text.money(row["at_low"], code),
         text.money(row["at_high"], code)]
        for row in answer["sensitivity"]
    ]  # fmt: skip
    titles = ("what matters most", "low", "high", "1M output at low", "at high")
    columns = [Column(title, 9 - i, right=i > 0) for i, title in enumerate(titles)]
    return [render(columns, rows, width), "(`tokcalc sensitivity` shows all, and where the ends come from)"]


def _input_row(row: Mapping[str, Any]) -> list[str]:
    def figure(value: float | None) -> str:
        return "-" if value is None else text.number(value, 4)

    unit = "" if row["unit"] in ("1", "") else f", {row['unit']}"
    return [
        row["input"] + unit, figure(row["value"]),
        figure(row["low"]), figure(row["high"]), row["date"] or "-", row["grade"] or "-", row["basis"],
    ]  # fmt: skip


def _totals(answer: Mapping[str, Any], width: int) -> list[str]:
    money, energy, work = answer["cost"], answer["energy"], answer["workload"]
    code = money["currency"]
    band = f"{text.money(money['per_m_output_low'], code)} to {text.money(money['per_m_output_high'], code)}"
    rows = [
        ("1M output tokens", f"{text.money(money['per_m_output'], code)}, {band}"),
        ("1M input tokens", text.money(money["per_m_input"], code)),
    ]
    if money.get("per_m_cached_input") is not None:
        rows.append(
            ("of them", f"uncached {text.money(money['per_m_uncached_input'], code)}, "
             f"cached {text.money(money['per_m_cached_input'], code)} (a hit takes no prefill)")
        )  # fmt: skip
    ratio = money.get("blend_ratio", work["isl"] / work["osl"])
    rows.append((f"blend {ratio:g} to 1", text.money(money["per_m_blended"], code)))
    if money.get("also"):
        also = money["also"]
        rows.append(
            ("in " + also["currency"], f"{text.money(also['per_m_output'], also['currency'])} output, "
                     f"{text.money(also['per_m_input'], also['currency'])} input"))  # fmt: skip
    if energy.get("kwh_per_m_output") is not None:
        rows.append(
            ("energy", f"{text.number(energy['joule_per_output_token'])} J an output token "
             f"({energy['boundary']}), all-in {text.number(energy['kwh_per_m_output'])} kWh a million "
             f"({energy['all_in']})")
        )  # fmt: skip
    if energy.get("co2_kg_per_m_output") is not None:
        rows.append(
            ("CO2", f"{text.number(energy['co2_kg_per_m_output'])} kg a million output tokens "
             f"({text.number(energy['grid_kg_per_kwh'])} kg/kWh, {energy['grid']})")
        )  # fmt: skip
    share = answer["workload"]["utilisation"]
    rows += [
        ("in use", f"{share:.0%} of the paid hours"),
        ("price", _price(money["price"])),
        ("grade", f"{answer['grade']} for the speed, {money['price'].get('grade')} for the price"),
    ]
    return [line for name, value in rows for line in text.wrap(value, width, f"{name:<18}")]


def _price(price: Mapping[str, Any]) -> str:
    parts = (f"of {price['date']}" if price.get("date") else "", price.get("terms"), price.get("note"),
             price.get("source"))  # fmt: skip
    return ", ".join(str(part) for part in parts if part)
