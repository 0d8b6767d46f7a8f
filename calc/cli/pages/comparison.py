"""Several answers -> one table in which every chip has its numbers or its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import text
from ..table import Column, Row, Spanning, render, what_ifs
from .answer import GRADES

Answer = Mapping[str, Any]
INPUTS = {
    **{name: f"deployment.{name}" for name in ("weights", "kv", "engine")},
    **{name: f"workload.{name}" for name in ("isl", "osl", "concurrency")},
    **{name: f"deployment.{name}" for name in ("tp", "chips")},
}
"""Inputs that a comparison can vary, and the column of each."""
UNKEPT = "!"  # beside money of a load that breaks the promise
ROUGH = "~ marks figures of grade D, in two digits."

_COLUMNS = {
    "chips": Column("chips", 99),
    "user": Column("tok/s/user", 100),
    "in_flight": Column("in flight", 82),
    "each": Column("tok/s each", 60),
    "chip": Column("tok/s/chip", 84),
    "system": Column("tok/s", 80),
    "ttft": Column("TTFT", 75),
    "output": Column("{}/M out", 90),
    "input": Column("{}/M in", 60),
    "energy": Column("J/tok", 50),
    "grade": Column("grade", 95, right=False),
    "price": Column("price", 93, right=False),
    "bound": Column("bound by", 65, right=False),
    "weights": Column("weights", 40, right=False),
}


def comparison(answers: Sequence[Answer], width: int = 80) -> str:
    """The question, the table, and the notes on what it shows, in lines of at most `width` columns."""
    models = list(dict.fromkeys(str(answer["model"]) for answer in answers))
    chips = list(dict.fromkeys(str(answer["chip"]) for answer in answers))
    names = [kind for kind, found in (("chip", chips), ("model", models)) if len(found) > 1] or ["chip"]
    in_flight = {answer["workload"].get("concurrency") for answer in answers if answer.get("workload")}
    services = any(answer.get("service") for answer in answers)
    shown = [
        key
        for key in _COLUMNS
        if (key != "in_flight" or len(in_flight) > 1 or services) and (key != "each" or services)
    ]
    currency = next((a["cost"]["currency"] for a in answers if (a.get("cost") or {}).get("currency")), "USD")
    columns = [Column(kind, 200, right=False) for kind in names]
    for column in (_COLUMNS[key] for key in shown):
        columns.append(Column(column.title.format(currency), column.importance, column.right))
    rows: list[Row] = []
    for answer in answers:
        head = tuple(str(answer[kind]) for kind in names)
        if "speed" in answer:
            cells = _cells(answer)
            rows.append((*head, *(cells[key] for key in shown)))
        else:
            rows.append(Spanning(head, str(answer.get("reason") or "no answer")))
    lines = [*text.wrap(_question(answers, chips, models, in_flight), width), "", render(columns, rows, width)]
    foot = _foot(answers)
    return "\n".join([*lines, *([""] if foot else []), *(line for note in foot for line in text.wrap(note, width))])


def _cells(answer: Answer) -> dict[str, str]:
    """The cells of an answer by the keys of _COLUMNS; two digits where the grade is D."""
    tentative = answer.get("grade") == "D"
    digits = 2 if tentative else 3
    alone, cost, energy = answer["speed"], answer.get("cost") or {}, answer.get("energy") or {}
    service = answer.get("service")
    speed = service["speed"] if service else alone
    deployment, work = answer.get("deployment") or {}, answer.get("workload") or {}

    def value(key: str) -> float | None:
        found: float | None = (speed.get(key) or {}).get("value")
        return found

    def amount(key: str) -> str:
        known, currency = cost.get(key), str(cost.get("currency"))
        if known is None:
            return "-"
        return text.money(float(f"{known:.2g}") if tentative else known, currency).removesuffix(f" {currency}")

    return {
        "chips": text.whole(deployment.get("chips")),
        "in_flight": text.whole(service["concurrency"] if service else work.get("concurrency")),
        "user": ("~" if tentative else "") + text.number(alone["output_tok_s_user"]["value"], digits),
        "each": (UNKEPT if unkept(answer) else "") + text.number(value("output_tok_s_user"), digits),
        "price": _priced(cost),
        "chip": text.number(value("output_tok_s_chip"), digits),
        "system": text.number(value("output_tok_s"), digits),
        "ttft": text.seconds(value("ttft_s"), digits),
        "output": (UNKEPT if unkept(answer) else "") + amount("per_m_output"),
        "input": amount("per_m_input"),
        "energy": text.number(energy.get("joule_per_output_token"), digits),
        "grade": str(answer.get("grade", "-")),
        "bound": str(answer.get("bound_by", "-")),
        "weights": str(deployment.get("weights", "-")),
    }


def unkept(answer: Answer) -> bool:
    """Whether no load keeps what a service promises, so that money is told at all that fit."""
    service = answer.get("service")
    return service is not None and not service["kept"]


def _broken(answers: Sequence[Answer]) -> list[str]:
    """What users get where no load keeps the promise, in a sentence."""
    found = []
    for answer in filter(unkept, answers):
        speed = answer["service"]["speed"]
        each, first = text.number(speed["output_tok_s_user"]["value"], 3), text.seconds(speed["ttft_s"]["value"], 3)
        found.append(f"{answer['chip']} {each} tok/s and {first}")
    if not found:
        return []
    return [
        f"{UNKEPT} no load keeps that; told at all that fit, where a user gets {', '.join(found)} to the first token."
    ]


def _promises(answers: Sequence[Answer]) -> str:
    """What services promise their users, by chip where they differ; "" where a load was asked for."""
    by_words: dict[str, list[str]] = {}
    for answer in answers:
        if service := answer.get("service"):
            words = f"{service['min_tok_s_user']:g} tok/s a user and {service['max_ttft_s']:g} s to the first token"
            by_words.setdefault(words, []).append(str(answer["chip"]))
    if len(by_words) <= 1:
        return next(iter(by_words), "")
    return ", ".join(f"{words} ({', '.join(dict.fromkeys(chips))})" for words, chips in by_words.items())


def _priced(cost: Mapping[str, Any]) -> str:
    """How the hour is priced, of when, and the grade of that price."""
    price = cost.get("price") or {}
    if not cost.get("way"):
        return "-"
    unlike = "*" if cost.get("unlike") else ""
    return f"{cost['way']}{unlike} {str(price.get('date') or '')[:7]} {price.get('grade') or ''}".strip()


def _question(answers: Sequence[Answer], chips: list[str], models: list[str], in_flight: set[float | None]) -> str:
    work: Answer = next((answer["workload"] for answer in answers if answer.get("workload")), {})
    parts = [models[0] if len(models) == 1 else f"{len(models)} models"]
    if len(models) > 1 and len(chips) == 1:
        parts[0] += f" on {chips[0]}"
    if work:
        parts.append(f"{work.get('isl'):,} tokens in, {work.get('osl'):,} out")
    promises = _promises(answers)
    if promises:
        parts += ["tok/s/user: one request alone", f"the rest: the most in flight that keep {promises}"]
    elif in_flight == {1}:
        parts.append("1 request in flight")
    elif len(in_flight) == 1:
        parts.append(f"{text.whole(next(iter(in_flight)))} requests in flight")
    return "; ".join(parts) + "."


def _foot(answers: Sequence[Answer]) -> list[str]:
    answered = [answer for answer in answers if "speed" in answer]
    grades = sorted({str(answer.get("grade")) for answer in answered} & GRADES.keys())
    lines = [f"Grade {'; '.join(f'{grade}: {GRADES[grade]}' for grade in grades)}."] if grades else []
    if "D" in grades:
        lines.append(ROUGH)
    lines += _broken(answered)
    lines += what_ifs(asked_otherwise(answered))
    if any((answer.get("cost") or {}).get("unlike") for answer in answered):
        lines.append("* priced in another way than the rest, for want of a price of their kind.")
    if any((answer.get("cost") or {}).get("per_m_output") is None for answer in answered):
        lines.append("A dash under money: no price is known; give one with --rent.")
    return lines


def asked_otherwise(answers: Iterable[Answer]) -> list[str]:
    """What the answers' chips were asked otherwise than they are built, as their assumptions say."""
    return [line for a in answers for line in a.get("assumptions") or () if line.startswith("what-if: ")]
