"""Several answers -> one table in which every chip has its numbers or its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import text
from .table import Column, Row, Spanning, render

_COLUMNS = (
    Column("chips", 85),
    Column("tok/s/user", 100),
    Column("tok/s/chip", 70),
    Column("tok/s", 80),
    Column("TTFT", 75),
    Column("{}/M out", 90),
    Column("{}/M in", 60),
    Column("J/tok", 50),
    Column("grade", 95, right=False),
    Column("bound by", 65, right=False),
    Column("weights", 40, right=False),
)


def comparison(answers: Sequence[Mapping[str, Any]], width: int = 80) -> str:
    """The table, the question above it and the notes that hold for all below it."""
    models = list(dict.fromkeys(str(answer["model"]) for answer in answers))
    chips = list(dict.fromkeys(str(answer["chip"]) for answer in answers))
    names = [kind for kind, found in (("chip", chips), ("model", models)) if len(found) > 1] or ["chip"]
    currency = next((a["cost"]["currency"] for a in answers if (a.get("cost") or {}).get("currency")), "USD")
    columns = [Column(kind, 200, right=False) for kind in names]
    columns += [Column(c.title.format(currency), c.importance, c.right) for c in _COLUMNS]
    rows: list[Row] = [_row(answer, names, currency) for answer in answers]
    head = [_question(answers, chips, models)]
    foot = _foot(answers)
    lines = [line for part in head for line in text.wrap(part, width)]
    lines += ["", render(columns, rows, width)]
    if foot:
        lines += [""] + [line for part in foot for line in text.wrap(part, width)]
    return "\n".join(lines)


def _row(answer: Mapping[str, Any], names: list[str], currency: str) -> Row:
    head = tuple(str(answer[kind]) for kind in names)
    if "speed" not in answer:
        return Spanning(head, str(answer.get("reason") or "no answer"))
    digits = 2 if answer.get("grade") == "D" else 3
    about = "~" if answer.get("grade") == "D" else ""
    speed, cost, energy = answer["speed"], answer.get("cost") or {}, answer.get("energy") or {}
    deployment = answer.get("deployment") or {}

    def value(key: str) -> float | None:
        found: float | None = (speed.get(key) or {}).get("value")
        return found

    def amount(key: str) -> str:
        return text.money(cost.get(key), currency).removesuffix(f" {currency}")

    return (
        *head,
        str(deployment.get("chips", "-")),
        about + text.number(value("output_tok_s_user"), digits),
        text.number(value("output_tok_s_chip"), digits),
        text.number(value("output_tok_s"), digits),
        text.seconds(value("ttft_s"), digits),
        amount("per_m_output"),
        amount("per_m_input"),
        text.number(energy.get("joule_per_output_token"), digits),
        str(answer.get("grade", "-")),
        str(answer.get("bound_by", "-")),
        str(deployment.get("weights", "-")),
    )


def _question(answers: Sequence[Mapping[str, Any]], chips: list[str], models: list[str]) -> str:
    work: Mapping[str, Any] = next((a["workload"] for a in answers if a.get("workload")), {})
    subject = models[0] if len(models) == 1 else f"{len(models)} models"
    if len(models) > 1 and len(chips) == 1:
        subject += f" on {chips[0]}"
    parts = [subject]
    if work:
        parts.append(f"{work.get('isl'):,} tokens in, {work.get('osl'):,} out")
        if (
            len({str((a.get("workload") or {}).get("concurrency")) for a in answers if a.get("workload")})
            == 1
        ):
            one = work.get("concurrency") == 1
            parts.append(f"{work.get('concurrency')} request{'' if one else 's'} in flight")
    return "; ".join(parts) + "."


def _foot(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    from .card import GRADES

    answered = [answer for answer in answers if "speed" in answer]
    grades = sorted({str(answer.get("grade")) for answer in answered} & GRADES.keys())
    lines = [f"Grade {'; '.join(f'{grade}: {GRADES[grade]}' for grade in grades)}."] if grades else []
    if "D" in grades:
        lines.append("~ marks figures that rest on data sheets or roadmaps; two digits.")
    if any((answer.get("cost") or {}).get("per_m_output") is None for answer in answered):
        lines.append("A dash under money: no price is known; give one with --rent.")
    return lines
