"""Fleets as a person reads them: the question, a table of chips, where the money goes, growth. Pure text."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import UsageError
from .. import text
from ..table import Column, Row, Spanning, render

_WORDS = {"": 1.0, "k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "g": 1e9, "billion": 1e9,
          "t": 1e12, "trillion": 1e12}  # fmt: skip
_COUNT = re.compile(r"([0-9][0-9,_]*\.?[0-9]*(?:e[+-]?[0-9]+)?)\s*([a-z]*)")


def count(option: str, words: str) -> float:
    """A positive number from "5e9", "168 billion", "10M"; UsageError otherwise."""
    found = _COUNT.fullmatch(words.strip().lower().removesuffix("tokens").removesuffix("tokens/day").strip())
    scale = _WORDS.get(found[2]) if found else None
    if found is None or scale is None:
        raise UsageError(f'{option} {words!r} is not a number; write 5e9, 10M or "168 billion"')
    value = float(found[1].replace(",", "").replace("_", "")) * scale
    if not (math.isfinite(value) and 0 < value <= 1e21):
        raise UsageError(f"{option} {words!r} must be above zero and at most 1e21")
    return value


def short(value: float) -> str:
    """A count in words: 5.12 billion, 168 billion, 12,300."""
    for scale, word in ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= scale:
            return f"{value / scale:,.3g} {word}"
    return f"{value:,.0f}"


def brief(value: float) -> str:
    """A large amount or count in four or five signs, for tables: 103M, 2.00T, 51.2G."""
    for scale, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{text.number(value / scale)}{letter}"
    return text.number(value)


def page(
    rows: Sequence[Mapping[str, Any]], goal: Mapping[str, Any], limit: tuple[float | None, float | None], width: int
) -> list[str]:
    """The whole answer: what was asked, the fleets, the money of each, the years."""
    first = next(row for row in rows if "fleet" in row)
    code = first["unit"].currency
    work = first["answer"]["workload"]
    lines = [line for part in question(goal, work, limit, code) for line in text.wrap(part, width)]
    columns = [
        Column("chip", 200, right=False), Column("chips", 90), Column("systems", 80), Column("racks", 60),
        Column("MW", 95), Column(f"{code} up front", 99), Column(f"{code}/year", 96),
        Column("out tok/day", 98),
        Column("spare", 50), Column(f"{code}/M out", 97), Column("grade", 70, right=False),
    ]  # fmt: skip
    table: list[Row] = []
    for row in rows:
        if "fleet" not in row:
            table.append(Spanning((str(row["chip"]),), str(row["reason"])))
            continue
        f = row["fleet"]
        table.append(
            [str(row["chip"]), f"{f.chips:,}", f"{f.systems:,}", f"{f.racks:,}", text.number(f.site_mw),
             brief(f.upfront), brief(f.yearly_total), brief(f.served_output_per_day),
             f"{f.spare:.0%}", text.money(f.per_million()[1], code).removesuffix(f" {code}"),
             f"{row['answer']['grade']}/{row['unit'].grade}"]
        )  # fmt: skip
    lines += ["", render(columns, table, width), ""]
    for row in rows:
        if "fleet" in row:
            lines += [*_detail(row, width), ""]
    for row in rows:
        if "years" in row:
            lines += [*_years(row, width), ""]
    foot = (
        "MW: rated, at the meter. grade: speed/price. k, M, G, T: thousand to trillion. Part load: machines "
        "stay "
        "awake at night, at the power of chips without kernels. Assumptions of planning: "
        "specs/prices/planning.toml, grade D."
    )
    return [*lines, *text.wrap(foot, width)]


def question(
    goal: Mapping[str, Any], work: Mapping[str, Any], limit: tuple[float | None, float | None], code: str
) -> list[str]:
    """The goal and the conditions in two sentences."""
    from ...explore.full_load import limit_text
    from ...money.amounts import format_large

    if "users" in goal:
        sessions, requests = goal["habits"]
        ask = (
            f"{short(goal['users'])} users a day, {sessions:g} sessions of {requests:g} requests each: "
            f"{short(goal['demand'].output_per_day)} output tokens a day"
        )
    elif "demand" in goal:
        ask = f"{short(goal['demand'].output_per_day)} output tokens a day"
    elif "budget" in goal:
        extra = f" with {goal['running_years']:g} years of running" if goal["running_years"] else ""
        ask = f"what {format_large(goal['budget'], code)} buys{extra}"
    elif "power" in goal:
        ask = f"what {goal['power'] / 1e6:,.4g} MW at the meter feed"
    else:
        ask = f"what {goal['systems']:,} systems serve"
    reserve = f"; {goal['reserve']:.0%} of machines in reserve" if "demand" in goal else ""
    return [
        f"{ask[0].upper()}{ask[1:]}.",
        f"Requests of {work['isl']:,} + {work['osl']:,} tokens; {limit_text(*limit)}; busiest hour "
        f"{goal['peak_factor']:g} times the average{reserve}.",
    ]


def _detail(row: Mapping[str, Any], width: int) -> list[str]:
    from ...money.amounts import format_large

    f, unit = row["fleet"], row["unit"]
    code = unit.currency

    def money(parts: Mapping[str, float], times: float = 1.0) -> str:
        return ", ".join(f"{name} {format_large(value * times, code)}" for name, value in parts.items() if value)

    plan = row["answer"]["deployment"]
    name = row["chip"]
    lines = text.wrap(
        f"a replica of {plan['chips']:,} chip{'s' if plan['chips'] > 1 else ''} in {plan['weights']}, "
        f"{row['answer']['workload']['concurrency']:,} "
        f"requests in flight, {text.number(unit.output_tok_s / unit.replicas)} tokens/s out", width,
        f"{name:<16}"
    )  # fmt: skip
    lines += text.wrap(
        f"{f.chips:,} chips in {f.systems:,} systems and {f.racks:,} racks; machines {text.number(f.it_mw)} "
        f"MW, "
        f"{text.number(f.site_mw)} MW at the meter (PUE {unit.pue:.2f}); {f.spare:.0%} spare at the peak",
        width, f"{'  machines':<16}",
    )  # fmt: skip
    if unit.upfront:
        lines += text.wrap(money(unit.upfront, f.units), width, f"{'  up front':<16}")
    lines += text.wrap(f"{money(f.yearly)} ({unit.way})", width, f"{'  a year':<16}")
    into, out, blended = (text.money(v, code) for v in f.per_million())
    lines += text.wrap(f"{out} output, {into} input, {blended} blended", width, f"{'  1M tokens':<16}")
    note = row["hour"].price.get("note")
    return lines + (text.wrap(str(note), width, f"{'  price':<16}") if note else [])


def _ascii() -> bool:
    """Whether stdout cannot show block characters."""
    return "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()


def _years(row: Mapping[str, Any], width: int) -> list[str]:
    from ...report.terminal_plot import bars

    code = row["unit"].currency
    growth, decline = row["growth"]
    head = f"{row['chip']}: demand x {growth:g} a year, machines {decline:.0%} cheaper a year"
    money = [f"{code} {kind}" for kind in ("spent", "to run")]
    titles = ("year", "out tok/day", "chips", "bought", "MW", *money, f"{code}/M out")
    columns = [Column(title, 9 - i) for i, title in enumerate(titles)]
    table = [
        [str(y.year), brief(y.output_per_day), f"{y.chips:,}", f"{y.bought * row['unit'].chips:,}",
         text.number(y.site_mw), brief(y.spent), brief(y.running),
         text.money(y.per_m_output, code).removesuffix(f" {code}")]
        for y in row["years"]
    ]  # fmt: skip
    points = [(str(y.year), y.per_m_output) for y in row["years"]]
    drawn = bars(points, width=min(width, 60), unit=f"{code}/M out", plain=_ascii())
    return [head, render(columns, table, width), drawn]
