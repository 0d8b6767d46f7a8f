"""`tokcalc scenario`: the public claims of the debate, recomputed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ...errors import UsageError
from .. import money_options as m
from .. import text
from ..table import Column, render


def scenario(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="A scenario or a .toml.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every shipped scenario, one table.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="INPUT=VALUE", help="Change an input; repeatable.")
    ] = None,
    json_: m.Json = False,
    export: m.Export = None,
) -> None:
    """Claim, recomputed value, verdict, and the assumption that decides it.

    tokcalc scenario deepseek-day; without a name, the list of those that ship.
    """
    from ...scenarios.claims import judge, load_scenario, scenario_ids

    if all_ and name is not None:
        raise UsageError(f"--all takes every scenario; leave out {name}, or leave out --all")
    changes = _changes(set_ or [])
    if changes and name is None:
        raise UsageError("--set changes an input of one scenario; name it")
    for path in export or []:
        from ...report import check

        check(path)
    if name is None and not all_ and not json_ and not export:
        print("\n".join(listing([load_scenario(known) for known in scenario_ids()], text.width())))
        return
    chosen = [load_scenario(n) for n in ([name] if name is not None else scenario_ids())]
    judged = [(found, judge(found, changes)) for found in chosen]
    records = [row for found, claims in judged for row in _records(found, claims)]
    if json_:
        import json

        json.dump(records, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    elif name is not None:
        print("\n".join(page(*judged[0], changes, text.width())))
    else:
        print("\n".join(table(judged, text.width())))
    if export:
        from ...report import write

        for path in export:
            write(records, path)
            print(f"wrote {path}", file=sys.stderr)


def _changes(items: Sequence[str]) -> dict[str, float]:
    changes = {}
    for item in items:
        key, _, value = item.partition("=")
        try:
            changes[key.strip()] = float(value)
        except ValueError:
            raise UsageError(f"--set {item!r} is not INPUT=NUMBER, as in --set rent_per_hour=1.5") from None
        if abs(changes[key.strip()]) == float("inf") or changes[key.strip()] != changes[key.strip()]:
            raise UsageError(f"--set {item!r} is not a finite number")
    return changes


def _records(found: Any, claims: Sequence[Any]) -> list[dict[str, Any]]:
    rows = []
    for item in claims:
        claimed = item.claim.claimed
        rows.append(
            {
                "scenario": found.id, "claim": item.claim.name,
                "claimed": list(claimed) if isinstance(claimed, tuple) else claimed, "recomputed": item.value,
                "unit": item.claim.unit, "ratio": item.ratio, "tolerance": item.claim.tolerance,
                "verdict": item.verdict, "decides": item.claim.decides, "reason": item.reason or None,
            }
        )  # fmt: skip
    return rows


def figure(value: float | None) -> str:
    """A number of any size: 3.29e24, 87,072, 0.0364."""
    if value is None:
        return "-"
    if value and (abs(value) >= 1e15 or abs(value) < 1e-4):
        return f"{value:.3g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return text.number(value, 4 if abs(value) >= 100 else 3)


def claimed_text(claimed: Any) -> str:
    """A claim as it was made: a number, a range, or a dash."""
    return f"{figure(claimed[0])} to {figure(claimed[1])}" if isinstance(claimed, tuple) else figure(claimed)


def verdict_text(item: Any) -> str:
    """holds; off x 1.3; answer."""
    return f"off x {item.ratio:.3g}" if item.verdict == "off" and item.ratio is not None else str(item.verdict)


def listing(found: Sequence[Any], width: int) -> list[str]:
    """Names and titles of the scenarios."""
    lines = [line for s in found for line in text.wrap(s.title, width, f"{s.id:<26}")]
    return [*lines, "", "`tokcalc scenario NAME` recomputes one, --all every one."]


def page(found: Any, claims: Sequence[Any], changes: dict[str, float], width: int) -> list[str]:
    """One scenario: question, source, inputs, each claim with what decides it."""
    lines = [found.title, *text.wrap(found.question, width)]
    source = ", ".join(found.source.get(key, "") for key in ("text", "url", "date") if found.source.get(key))
    if source:
        grade = found.source.get("grade")
        lines += text.wrap(source + (f", grade {grade}" if grade else ""), width, "source: ", "  ")
    if found.on:
        lines.append(f"prices of {found.on}")
    given = {**found.inputs, **changes}
    shown = [f"{key} {figure(value)}{' (set)' if key in changes else ''}" for key, value in given.items()]
    lines += text.wrap(", ".join(shown), width, "inputs: ", "  ") if shown else []
    columns = [
        Column("claim", 9, right=False), Column("claimed", 7), Column("recomputed", 8),
        Column("unit", 6, right=False), Column("verdict", 8, right=False),
    ]  # fmt: skip
    rows = [
        [str(n), claimed_text(i.claim.claimed), figure(i.value), i.claim.unit, verdict_text(i)]
        for n, i in enumerate(claims, 1)
    ]
    lines += ["", render(columns, rows, width), ""]
    for n, item in enumerate(claims, 1):
        lines += text.wrap(f"{item.claim.name}: {item.reason or item.claim.decides}", width, f"{n}  ", "   ")
    return lines


def table(judged: Sequence[tuple[Any, Sequence[Any]]], width: int) -> list[str]:
    """All claims in one table."""
    columns = [
        Column("claim", 9, right=False), Column("claimed", 7), Column("recomputed", 8),
        Column("unit", 5, right=False), Column("verdict", 8, right=False),
        Column("decided by", 1, right=False),
    ]  # fmt: skip
    rows = []
    for found, claims in judged:
        rows.append([found.id, "", "", "", "", ""])
        rows += [
            ["  " + _cut(i.claim.name, 36), claimed_text(i.claim.claimed), figure(i.value), i.claim.unit,
             verdict_text(i), i.reason or i.claim.decides]
            for i in claims
        ]  # fmt: skip
    count = [sum(i.verdict == word for _, claims in judged for i in claims) for word in ("holds", "off", "answer")]
    foot = f"{count[0]} claims hold, {count[1]} are off, {count[2]} questions without a claim are answered."
    return [render(columns, rows, width), "", foot]


def _cut(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 3].rstrip() + "..."
