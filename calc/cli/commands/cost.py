"""`tokcalc cost`: from a purchase price or a rent to a million tokens; several chips side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from ...catalog import load_chip, load_model
from ...errors import NoAnswer, TokcalcError, UsageError
from ...explore.compare import flatten, price_alike
from ...explore.full_load import loaded
from ...explore.sensitivity import tornado
from ...money.amounts import convert, currency_code
from ...money.cost import blend
from ...money.hour import Terms
from ...money.waterfall import Breakdown, breakdown
from .. import money as m
from .. import options as o
from ..output import Output
from ..pages.comparison import asked_otherwise
from ..pages.cost import card, table
from ..table import noted
from .sensitivity import row_of

_WORTH = 5  # inputs that the page of one machine ranks; `tokcalc sensitivity` has all


class Blend(o.Group):
    """How the money of an answer is put together and shown."""

    utilisation: float = o.UTILISATION
    grid: o.Text = o.GRID
    also: str | None = o.option(None, "A second currency in the table.", "CODE")
    ratio: o.Real = o.option(None, "Blend: input per output tokens.", "N")


def cost(pair: o.Pair, load: m.Load, hour: o.Hour, blended: Blend, ownership: m.Ownership, out: Output) -> None:
    """What a million tokens costs, from the purchase or the rent on.

    tokcalc cost --chip h100 --model llama-70b --own
    tokcalc cost --chip h800,h20,groq --model llama-70b,deepseek-r1 --also KRW
    """
    chips, models = pair.chips("h800"), pair.models()
    inputs = ownership.inputs(hour)
    terms = m.terms_of(hour, inputs if inputs or hour.own else None, ownership.region)
    if blended.ratio is not None:
        blend(0.0, 0.0, blended.ratio)  # refuses a ratio that makes no blend
    question = load.question(terms, blended.utilisation) | {"grid": blended.grid}
    second = currency_code(blended.also) if blended.also else None
    out.check()
    answers = _answers(chips, models, load.limit(), question)
    for answer in answers:
        money = answer.get("cost") or {}
        if money.get("per_m_output") is not None:
            if blended.ratio is not None:
                money["per_m_blended"] = blend(money["per_m_input"], money["per_m_output"], blended.ratio)
                money["blend_ratio"] = blended.ratio
            if second:
                money["also"] = _converted(money, second, terms)
    if len(answers) > 1:
        out.write([_flat(answer) for answer in answers])
        out.show(answers, lambda width: _with_notes(table(answers, second, width), answers, width))
    else:
        steps = _single(answers[0], (chips[0], models[0]), question, terms)
        out.write(answers[0]["waterfall"] or [flatten(answers[0])])
        out.show(answers[0], lambda width: _with_notes(card(answers[0], steps, width), answers, width))
    raise typer.Exit(0 if any("speed" in answer for answer in answers) else 1)


def _with_notes(lines: list[str], answers: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    notes = noted(asked_otherwise(answers), width)
    return [*lines, *(["", *notes[:-1]] if notes else [])]


def _single(answer: dict[str, Any], names: tuple[str, str], question: Mapping[str, Any], terms: Terms) -> Breakdown:
    """The breakdown of a lone answer, added to it with what each input is worth. NoAnswer without a price."""
    if answer["cost"].get("per_m_output") is None:
        raise NoAnswer(str(answer["cost"]["reason"]))
    device = load_chip(names[0])
    steps = breakdown(answer, device, terms)
    answer["waterfall"] = [dict(row) for row in steps.steps]
    answer["ownership"] = [dict(row) for row in steps.purchase]
    answer["ways"] = [
        {"way": w.way, "per_chip_hour": w.value, "low": w.low, "high": w.high, "price": dict(w.price)}
        for w in steps.ways
    ]
    swings = tornado(device, load_model(names[1]), answer, question, terms, most=_WORTH)
    keys = ("input", "unit", "low", "high", "at_low", "at_high")
    answer["sensitivity"] = [{key: row_of(swing)[key] for key in keys} for swing in swings]
    return steps


def _answers(
    chips: Sequence[str], models: Sequence[str], limit: Mapping[str, Any], question: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The loaded answer of every pair; in a comparison a pair without one keeps its reason."""
    pairs = [(chip, model) for model in models for chip in chips]
    ids = [{"chip": load_chip(chip).id, "model": load_model(model).id} for chip, model in pairs]
    found: list[dict[str, Any]] = []
    errors: list[TokcalcError] = []
    for (chip, model), named in zip(pairs, ids, strict=True):
        try:
            found.append(loaded(chip, model, **limit, **question).to_dict())
        except TokcalcError as error:
            errors.append(error)
            found.append({**named, "reason": str(error)})
    if len(errors) == len(pairs) and (len(pairs) == 1 or all(isinstance(error, UsageError) for error in errors)):
        raise errors[0]

    def owned_at(place: int) -> dict[str, Any]:
        chip, model = pairs[place]
        return loaded(chip, model, **limit, **{**question, "own": {}}).to_dict()

    price_alike(found, question, owned_at)
    return found


def _converted(money: Mapping[str, Any], second: str, terms: Terms) -> dict[str, Any]:
    """The same prices in a second currency, at the rate of the same day."""
    keys = ("per_hour", "per_m_input", "per_m_output", "per_m_blended")
    also = {key: convert(money[key], money["currency"], second, terms.on, terms.rates) for key in keys}
    return {"currency": second, **also}


def _flat(answer: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the exported comparison: the columns that the debate is about."""
    if "speed" not in answer:
        return {"chip": answer["chip"], "model": answer["model"], "reason": answer.get("reason")}
    speed, money, energy, price = answer["speed"], answer["cost"], answer["energy"], answer["cost"].get("price") or {}

    def rounded(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.3g}")

    row = {
        **{key: answer[key] for key in ("chip", "model")},
        "chips": answer["deployment"]["chips"],
        "weights": answer["deployment"]["weights"],
        "concurrency": answer["workload"]["concurrency"],
        "tok/s/user": round(speed["output_tok_s_user"]["value"], 1),
        "tok/s/chip": round(speed["output_tok_s_chip"]["value"], 1),
        f"{money['currency']}/M input": rounded(money.get("per_m_input")),
        f"{money['currency']}/M output": rounded(money.get("per_m_output")),
    }
    if money.get("also"):
        row |= {f"{money['also']['currency']}/M output": round(money["also"]["per_m_output"], 0)}
    return row | {
        "J/output token": rounded(energy.get("joule_per_output_token")),
        "kWh/M output": rounded(energy.get("kwh_per_m_output")),
        "grade": answer["grade"],
        "price": money.get("way"),
        "price grade": price.get("grade"),
        "price date": price.get("date"),
    }
