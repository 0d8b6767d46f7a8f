"""Fleets as a person reads them: the question, a table of chips, where the money goes, growth. Pure text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import TokcalcError
from ...explore.fleet import Demand, Fleet, Unit
from ...explore.full_load import limits_text
from ...explore.growth import Year
from ...money.amounts import format_large
from ...money.hour import Hour
from ...report.terminal_plot import bars
from .. import text
from ..table import Column, Spanning, tabulate

Limit = tuple[float | None, float | None]


@dataclass(frozen=True)
class Goal:
    """What is asked for: in words, and as the rule that sizes a fleet of a unit."""

    said: str
    peak_factor: float
    size: Callable[[Unit], Fleet]
    demand: Demand | None = None
    reserve: float = 0.0


@dataclass
class Sized:
    """A chip with its fleet; growth: of demand and the decline of prices behind the table of years."""

    chip: str
    answer: Mapping[str, Any]
    unit: Unit
    fleet: Fleet
    hour: Hour
    years: list[Year] = field(default_factory=list)
    growth: tuple[float, float] = (1.0, 0.0)


@dataclass(frozen=True)
class Refused:
    """A chip without a fleet, and why."""

    chip: str
    error: TokcalcError


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


def page(found: Sequence[Sized | Refused], goal: Goal, width: int) -> list[str]:
    """The whole answer: what was asked, the fleets, the money of each, the years."""
    sized = [one for one in found if isinstance(one, Sized)]
    code, work = sized[0].unit.currency, sized[0].answer["workload"]
    reserve = f"; {goal.reserve:.0%} of machines in reserve" if goal.demand is not None else ""
    conditions = (
        f"Requests of {work['isl']:,} + {work['osl']:,} tokens; "
        f"{limits_text([one.answer for one in sized])}; busiest hour "
        f"{goal.peak_factor:g} times the average{reserve}."
    )
    columns = (
        Column("chip", 200, False, lambda one: one.chip),
        Column("chips", 90, cell=lambda one: f"{one.fleet.chips:,}"),
        Column("systems", 80, cell=lambda one: f"{one.fleet.systems:,}"),
        Column("racks", 60, cell=lambda one: f"{one.fleet.racks:,}"),
        Column("MW", 95, cell=lambda one: text.number(one.fleet.site_mw)),
        Column(f"{code} up front", 99, cell=lambda one: brief(one.fleet.upfront)),
        Column(f"{code}/year", 96, cell=lambda one: brief(one.fleet.yearly_total)),
        Column("out tok/day", 98, cell=lambda one: brief(one.fleet.served_output_per_day)),
        Column("spare", 50, cell=lambda one: f"{one.fleet.spare:.0%}"),
        Column(f"{code}/M out", 97, cell=lambda one: text.amount(one.fleet.per_million()[1], code)),
        Column("grade", 70, False, lambda one: f"{one.answer['grade']}/{one.unit.grade}"),
    )
    table = [Spanning((one.chip,), str(one.error)) if isinstance(one, Refused) else one for one in found]
    lines = text.paragraphs([f"{goal.said[0].upper()}{goal.said[1:]}.", conditions], width)
    lines += ["", tabulate(columns, table, width), ""]
    for one in sized:
        lines += [*_detail(one, width), ""]
    for one in sized:
        lines += [*_years(one, width), ""] if one.years else []
    foot = (
        "MW: rated, at the meter. grade: speed/price. k, M, G, T: thousand to trillion. Part load: machines stay awake "
        "at night, at the power of chips without kernels. Assumptions of planning: specs/prices/planning.toml, grade D."
    )
    return [*lines, *text.wrap(foot, width)]


def _detail(one: Sized, width: int) -> list[str]:
    f, unit, plan = one.fleet, one.unit, one.answer["deployment"]
    code = unit.currency

    def money(parts: Mapping[str, float], times: float = 1.0) -> str:
        return ", ".join(f"{name} {format_large(value * times, code)}" for name, value in parts.items() if value)

    into, out, blended = (text.money(v, code) for v in f.per_million())
    chips = f"{plan['chips']:,} chip{'s' if plan['chips'] > 1 else ''} in {plan['weights']}"
    in_flight = f"{one.answer['workload']['concurrency']:,} requests in flight"
    counts = f"{f.chips:,} chips in {f.systems:,} systems and {f.racks:,} racks"
    meter = f"{text.number(f.site_mw)} MW at the meter (PUE {unit.pue:.2f})"
    speed = text.number(unit.output_tok_s / unit.replicas)
    rows = (
        (one.chip, f"a replica of {chips}, {in_flight}, {speed} tokens/s out"),
        ("  machines", f"{counts}; machines {text.number(f.it_mw)} MW, {meter}; {f.spare:.0%} spare at the peak"),
        ("  up front", money(unit.upfront, f.units) if unit.upfront else None),
        ("  a year", f"{money(f.yearly)} ({unit.way})"),
        ("  1M tokens", f"{out} output, {into} input, {blended} blended"),
        ("  price", one.hour.price.get("note") or None),
    )
    return [line for name, said in rows if said is not None for line in text.wrap(str(said), width, f"{name:<16}")]


def _years(one: Sized, width: int) -> list[str]:
    code = one.unit.currency
    growth, decline = one.growth
    head = f"{one.chip}: demand x {growth:g} a year, machines {decline:.0%} cheaper a year"
    columns = (
        Column("year", 9, cell=lambda y: str(y.year)),
        Column("out tok/day", 8, cell=lambda y: brief(y.output_per_day)),
        Column("chips", 7, cell=lambda y: f"{y.chips:,}"),
        Column("bought", 6, cell=lambda y: f"{y.bought * one.unit.chips:,}"),
        Column("MW", 5, cell=lambda y: text.number(y.site_mw)),
        Column(f"{code} spent", 4, cell=lambda y: brief(y.spent)),
        Column(f"{code} to run", 3, cell=lambda y: brief(y.running)),
        Column(f"{code}/M out", 2, cell=lambda y: text.amount(y.per_m_output, code)),
    )
    points = [(str(y.year), y.per_m_output) for y in one.years]
    plain = "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower()  # stdout cannot show block characters
    drawn = bars(points, width=min(width, 60), unit=f"{code}/M out", plain=plain)
    return [head, tabulate(columns, one.years, width), drawn]
