"""`tokcalc scenario`: the public claims of the debate, recomputed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from ...errors import UsageError
from ...scenarios.claims import Judged, Scenario, judge, load_scenario, scenario_ids
from .. import options as o
from .. import text
from ..output import Output
from ..table import Column, tabulate


class Which(o.Group):
    """Which claims are recomputed, with what changed."""

    name: o.Text = typer.Argument(None, metavar="[NAME|FILE]", help="A scenario or a .toml.")
    all_: bool = o.option(False, "Every shipped scenario, one table.")
    set_: o.Texts = o.option(None, "Change an input; repeatable.", "INPUT=VALUE")


def scenario(which: Which, out: Output) -> None:
    """Claim, recomputed value, verdict, and the assumption that decides it.

    tokcalc scenario deepseek-day; without a name, the list of those that ship.
    """
    name = which.name
    if which.all_ and name is not None:
        raise UsageError(f"--all takes every scenario; leave out {name}, or leave out --all")
    changes = _changes(which.set_ or [])
    if changes and name is None:
        raise UsageError("--set changes an input of one scenario; name it")
    out.check()
    found = [load_scenario(n) for n in ([name] if name is not None else scenario_ids())]
    if name is None and not which.all_ and not out.json_ and not out.export:
        print("\n".join(_listing(found, text.width())))
        return
    judged = [(one, judge(one, changes)) for one in found]
    records = [_record(one, item) for one, items in judged for item in items]
    out.write(records)
    out.show(records, lambda width: _table(judged, width) if name is None else _page(*judged[0], changes, width))


def _changes(items: Sequence[str]) -> dict[str, float]:
    changes = {}
    for item in items:
        key, _, value = item.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise UsageError(f"--set {item!r} is not INPUT=NUMBER, as in --set rent_per_hour=1.5") from None
        if not math.isfinite(number):
            raise UsageError(f"--set {item!r} is not a finite number")
        changes[key.strip()] = number
    return changes


def _record(of: Scenario, item: Judged) -> dict[str, Any]:
    claim = item.claim
    return {
        "scenario": of.id,
        "claim": claim.name,
        "claimed": list(claim.claimed) if isinstance(claim.claimed, tuple) else claim.claimed,
        "recomputed": item.value,
        "unit": claim.unit,
        "ratio": item.ratio,
        "tolerance": claim.tolerance,
        "verdict": item.verdict,
        "decides": claim.decides,
        "reason": item.reason or None,
    }


def _figure(value: float | None) -> str:
    """A number of any size: 3.29e24, 87,072, 0.0364."""
    if value is None:
        return "-"
    if value and (abs(value) >= 1e15 or abs(value) < 1e-4):
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else text.number(value, 4 if abs(value) >= 100 else 3)


def _claimed(item: Judged) -> str:
    """A claim as it was made: a number, a range, or a dash."""
    claimed = item.claim.claimed
    return f"{_figure(claimed[0])} to {_figure(claimed[1])}" if isinstance(claimed, tuple) else _figure(claimed)


def _verdict(item: Judged) -> str:
    """The verdict as one reads it: holds; off x 1.3; answer."""
    return f"off x {item.ratio:.3g}" if item.verdict == "off" and item.ratio is not None else item.verdict


def _listing(found: Sequence[Scenario], width: int) -> list[str]:
    """Names and titles of the scenarios."""
    lines = [line for one in found for line in text.wrap(one.title, width, f"{one.id:<26}")]
    return [*lines, "", "`tokcalc scenario NAME` recomputes one, --all every one."]


def _columns(name: Any, unit: int) -> list[Column]:
    """What a claim says; name: the cell before it, unit: how important its unit is."""
    return [
        Column("claim", 9, False, lambda row: name(*row)),
        Column("claimed", 7, cell=lambda row: _claimed(row[1]) if row[1] else ""),
        Column("recomputed", 8, cell=lambda row: _figure(row[1].value) if row[1] else ""),
        Column("unit", unit, False, lambda row: row[1].claim.unit if row[1] else ""),
        Column("verdict", 8, False, lambda row: _verdict(row[1]) if row[1] else ""),
    ]


def _page(found: Scenario, claims: Sequence[Judged], changes: Mapping[str, float], width: int) -> list[str]:
    """One scenario: question, source, inputs, each claim with what decides it."""
    lines = [found.title, *text.wrap(found.question, width)]
    source = ", ".join(found.source.get(key, "") for key in ("text", "url", "date") if found.source.get(key))
    if source:
        grade = found.source.get("grade")
        lines += text.wrap(source + (f", grade {grade}" if grade else ""), width, "source: ", "  ")
    if found.on:
        lines.append(f"prices of {found.on}")
    given = {**found.inputs, **changes}
    shown = [f"{key} {_figure(value)}{' (set)' if key in changes else ''}" for key, value in given.items()]
    lines += text.wrap(", ".join(shown), width, "inputs: ", "  ") if shown else []
    lines += ["", tabulate(_columns(lambda n, _: str(n), 6), enumerate(claims, 1), width), ""]
    for n, item in enumerate(claims, 1):
        lines += text.wrap(f"{item.claim.name}: {item.reason or item.claim.decides}", width, f"{n}  ", "   ")
    return lines


def _table(judged: Sequence[tuple[Scenario, Sequence[Judged]]], width: int) -> list[str]:
    """All claims in one table, a line with its name above those of each scenario."""

    def name(found: Scenario, item: Judged | None) -> str:
        if item is None:
            return found.id
        said = item.claim.name
        return "  " + (said if len(said) <= 36 else said[:33].rstrip() + "...")

    def decides(row: tuple[Scenario, Judged | None]) -> str:
        return row[1].reason or row[1].claim.decides if row[1] else ""

    rows = [(found, item) for found, items in judged for item in (None, *items)]
    columns = [*_columns(name, 5), Column("decided by", 1, False, decides)]
    count = [sum(item.verdict == word for _, items in judged for item in items) for word in ("holds", "off", "answer")]
    foot = f"{count[0]} claims hold, {count[1]} are off, {count[2]} questions without a claim are answered."
    return [tabulate(columns, rows, width), "", foot]
