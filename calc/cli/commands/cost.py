"""`tokcalc cost`: from a purchase price or a rent to a million tokens; several chips side by side."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ...errors import TokcalcError, UsageError
from .. import money_options as m
from .. import options, text
from ..pages.comparison import asked_otherwise
from ..pages.cost import card
from ..table import Column, Row, Spanning, render, what_ifs

_WORTH = 5  # inputs that the page of one machine ranks; `tokcalc sensitivity` has all


def cost(
    chip: m.Chips = None, model: m.Models = None, isl: m.Isl = None, osl: m.Osl = None,
    concurrency: m.Concurrency = None, min_speed: m.MinSpeed = None, max_ttft: m.MaxTtft = None,
    cache_hit: m.CacheHit = 0.0, weights: m.Weights = None, chips: m.Number = None, engine: m.Engine = None,
    rent: m.Rent = None, own: m.Own = False, price: m.PriceTerms = None, on: m.On = None,
    currency: m.Currency = "USD", fx: m.Fx = None, utilisation: m.Utilisation = 1.0, grid: m.Grid = None,
    also: Annotated[str | None, typer.Option(metavar="CODE", help="A second currency in the table.")] = None,
    ratio: Annotated[float | None, typer.Option(metavar="N", help="Blend: input per output tokens.")] = None,
    purchase: m.Purchase = None, life: m.Life = None, capital: m.Capital = None, residual: m.Residual = None,
    pue: m.Pue = None, electricity: m.Electricity = None, region: m.Region = "US", colo: m.Colo = None,
    network: m.Network = None, staff: m.Staff = None, power_w: m.PowerW = None, json_: m.Json = False,
    export: m.Export = None,
) -> None:  # fmt: skip
    """What a million tokens costs, from the purchase or the rent on.

    tokcalc cost --chip h100 --model llama-70b --own
    tokcalc cost --chip h800,h20,groq --model llama-70b,deepseek-r1 --also KRW
    """
    chip_names = options.names("--chip", chip, "h800", "chips")
    model_names = options.names("--model", model, "llama-70b", "models")
    on = options.date("--on", on)
    inputs = m.ownership(
        own, currency, on, m.rates(fx),
        {"purchase": purchase, "electricity": electricity, "colo_kw_month": colo},
        {"life_years": life, "cost_of_capital": capital, "residual_share": residual, "pue": pue,
         "network_share": network, "staff_share": staff, "power_w": power_w},
    )  # fmt: skip
    from ...explore.full_load import MIN_SPEED
    from ...money.amounts import currency_code
    from ...money.cost import blend
    from ...money.hour import Terms

    terms = Terms(rent, inputs, price, on, currency, fx, region).checked()
    speed = MIN_SPEED if min_speed is None else min_speed
    if ratio is not None:
        blend(0.0, 0.0, ratio)
    question = m.workload(isl, osl, concurrency, cache_hit, weights, chips, engine, utilisation) | {
        "rent": rent, "price": price, "on": on, "currency": terms.currency, "fx": fx, "grid": grid,
        "own": inputs, "region": region,
    }  # fmt: skip
    second = currency_code(also) if also else None
    if export:
        from ...report import check

        for path in export:
            check(path)
    answers = _answers(chip_names, model_names, speed, max_ttft, question)
    if ratio is not None:
        for answer in answers:
            if (answer.get("cost") or {}).get("per_m_output") is not None:
                money = answer["cost"]
                money["per_m_blended"] = blend(money["per_m_input"], money["per_m_output"], ratio)
                money["blend_ratio"] = ratio
    if second:
        _add_currency(answers, second, terms)
    steps = _single(answers[0], chip_names[0], model_names[0], question, terms) if len(answers) == 1 else None
    raise typer.Exit(_show(answers, steps, m.shown_limit(concurrency, speed, max_ttft), second, json_, export or []))


def _single(
    answer: dict[str, Any], chip: str, model: str, question: Mapping[str, Any], terms: Any
) -> Any:  # fmt: skip
    """The breakdown of a lone answer, added to it with what each input is worth. NoAnswer without a price."""
    from ...catalog import load_chip, load_model
    from ...errors import NoAnswer
    from ...explore.sensitivity import tornado
    from ...money.waterfall import breakdown

    if answer["cost"].get("per_m_output") is None:
        raise NoAnswer(str(answer["cost"]["reason"]))
    device = load_chip(chip)
    steps = breakdown(answer, device, terms)
    answer["waterfall"] = [dict(row) for row in steps.steps]
    answer["ownership"] = [dict(row) for row in steps.purchase]
    answer["ways"] = [
        {"way": w.way, "per_chip_hour": w.value, "low": w.low, "high": w.high, "price": dict(w.price)}
        for w in steps.ways
    ]
    answer["sensitivity"] = [
        {"input": s.input.name, "unit": s.input.unit, "low": s.input.low, "high": s.input.high,
         "at_low": s.at_low, "at_high": s.at_high}
        for s in tornado(device, load_model(model), answer, question, terms, most=_WORTH)
    ]  # fmt: skip
    return steps


def _answers(
    chips: Sequence[str], models: Sequence[str], speed: float, ttft: float | None, question: dict[str, Any]
) -> list[dict[str, Any]]:
    """The loaded answer of every pair; in a comparison a pair without one keeps its reason."""
    from ...catalog import load_chip, load_model
    from ...explore.full_load import loaded

    ids = [(chip, load_chip(chip).id, model, load_model(model).id) for model in models for chip in chips]
    if len(ids) == 1:
        return [loaded(chips[0], models[0], speed=speed, ttft=ttft, **question).to_dict()]
    found: list[dict[str, Any]] = []
    errors: list[TokcalcError] = []
    for chip, chip_id, model, model_id in ids:
        try:
            found.append(loaded(chip, model, speed=speed, ttft=ttft, **question).to_dict())
        except TokcalcError as error:
            errors.append(error)
            found.append({"chip": chip_id, "model": model_id, "reason": str(error)})
    if len(errors) == len(ids) and all(isinstance(error, UsageError) for error in errors):
        raise errors[0]
    return found


def _add_currency(answers: Sequence[dict[str, Any]], second: str, terms: Any) -> None:
    """The same prices in a second currency, at the rate of the same day."""
    from ...money.amounts import convert

    for answer in answers:
        money = answer.get("cost") or {}
        if money.get("per_m_output") is not None:
            answer["cost"]["also"] = {
                "currency": second,
                **{key: convert(money[key], money["currency"], second, terms.on, terms.rates)
                   for key in ("per_hour", "per_m_input", "per_m_output", "per_m_blended")},
            }  # fmt: skip


def _show(
    answers: list[dict[str, Any]], steps: Any, limit: tuple[float | None, float | None], second: str | None,
    json_: bool, exports: Sequence[str],
) -> int:  # fmt: skip
    single = answers[0] if len(answers) == 1 else None
    if json_:
        import json

        json.dump(single or answers, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    else:
        width = text.width()
        lines = table(answers, limit, second, width) if single is None else card(single, steps, limit, width)
        notes = [line for said in what_ifs(asked_otherwise(answers)) for line in text.wrap(said, width)]
        print("\n".join([*lines, *([""] if notes else []), *notes]))
    if exports:
        from ...explore.compare import flatten
        from ...report import write

        for path in exports:
            write([_flat(answer) for answer in answers] if single is None else single["waterfall"] or
                  [flatten(single)], path)  # fmt: skip
            print(f"wrote {path}", file=sys.stderr)
    return 0 if any("speed" in answer for answer in answers) else 1


def _flat(answer: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the exported comparison: the columns that the debate is about."""
    if "speed" not in answer:
        return {"chip": answer["chip"], "model": answer["model"], "reason": answer.get("reason")}
    speed, money, energy = answer["speed"], answer["cost"], answer["energy"]
    row = {
        "chip": answer["chip"], "model": answer["model"], "chips": answer["deployment"]["chips"],
        "weights": answer["deployment"]["weights"], "concurrency": answer["workload"]["concurrency"],
        "tok/s/user": round(speed["output_tok_s_user"]["value"], 1),
        "tok/s/chip": round(speed["output_tok_s_chip"]["value"], 1),
        f"{money['currency']}/M input": _rounded(money.get("per_m_input")),
        f"{money['currency']}/M output": _rounded(money.get("per_m_output")),
    }  # fmt: skip
    if money.get("also"):
        also = money["also"]
        row |= {f"{also['currency']}/M output": round(also["per_m_output"], 0)}
    return row | {
        "J/output token": _rounded(energy.get("joule_per_output_token")),
        "kWh/M output": _rounded(energy.get("kwh_per_m_output")),
        "grade": answer["grade"], "price": money.get("way"),
        "price grade": (money.get("price") or {}).get("grade"),
        "price date": (money.get("price") or {}).get("date"),
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def table(
    answers: Sequence[Mapping[str, Any]], limit: tuple[float | None, float | None], second: str | None, width: int
) -> list[str]:
    """Chips side by side: one row each, every figure at the same latency limit."""
    from ...explore.full_load import limit_text

    currency = next((a["cost"]["currency"] for a in answers if "cost" in a), "USD")
    columns = [
        Column("chip", 200, right=False), Column("model", 190, right=False), Column("chips", 85),
        Column("batch", 60), Column("tok/s/user", 95), Column("tok/s/chip", 80),
        Column(f"{currency}/M out", 100),
        Column(f"{second or ''}/M out", 99), Column(f"{currency}/M in", 70), Column("J/tok", 97),
        Column("kWh/M", 40), Column("grade", 98, right=False), Column("price", 65, right=False),
    ]  # fmt: skip
    if second is None:
        del columns[7]
    models = {str(a["model"]) for a in answers}
    rows: list[Row] = [_table_row(answer, currency, second, len(models) > 1) for answer in answers]
    if len(models) == 1:
        del columns[1]
    work: Mapping[str, Any] = next((a["workload"] for a in answers if "workload" in a), {})
    heads = [] if len(models) > 1 else sorted(models)
    if work:
        heads += [
            f"{work['isl']:,} tokens in, {work['osl']:,} out", limit_text(*limit),
            f"{work['utilisation']:.0%} of the paid hours in use",
        ]  # fmt: skip
    lines = [*text.wrap("; ".join(heads) + ".", width), ""] if heads else []
    lines.append(render(columns, rows, width))
    foot = "price: how the hour is priced, and the grade of that price. J/tok: chips alone; kWh/M: all-in."
    return [*lines, "", *text.wrap(foot, width)]


def _table_row(answer: Mapping[str, Any], currency: str, second: str | None, named: bool) -> Row:
    """Cells of an answer, or its reason; named: the model stands in each row, not above the table."""
    head: tuple[str, ...] = (str(answer["chip"]), *([str(answer["model"])] if named else []))
    if "speed" not in answer:
        return Spanning(head, str(answer.get("reason")))
    speed, money, energy = answer["speed"], answer["cost"], answer["energy"]
    digits = 2 if answer["grade"] == "D" else 3

    def amount(value: float | None, code: str) -> str:
        return text.money(value, code).removesuffix(f" {code}")

    cells = [
        *head, f"{answer['deployment']['chips']:,}", f"{answer['workload']['concurrency']:,}",
        text.number(speed["output_tok_s_user"]["value"], digits),
        text.number(speed["output_tok_s_chip"]["value"], digits),
        amount(money.get("per_m_output"), currency),
    ]  # fmt: skip
    if second is not None:
        cells.append(amount((money.get("also") or {}).get("per_m_output"), second))
    way = f"{money['way']} {money['price']['grade']}" if money.get("way") else "none"
    return [
        *cells, amount(money.get("per_m_input"), currency),
        text.number(energy.get("joule_per_output_token"), digits),
        text.number(energy.get("kwh_per_m_output"), digits), str(answer["grade"]), way,
    ]  # fmt: skip
