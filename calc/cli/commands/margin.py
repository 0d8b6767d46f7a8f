"""`tokcalc margin`: what providers charge for a model beside what it costs here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

import typer

from ...errors import TokcalcError, UsageError
from .. import money_options as m
from .. import options, text
from ..table import Column, render

DEFAULT_CHIPS = "h800,h200,b200"
_Price = Annotated[str | None, typer.Option(metavar="MONEY", help="A price of your own, per million.")]


def margin(
    model: m.Models = None, chip: m.Chips = DEFAULT_CHIPS,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Only this provider.")] = None,
    input_price: _Price = None, output_price: _Price = None, cached_price: _Price = None,
    isl: m.Isl = None, osl: m.Osl = None, concurrency: m.Concurrency = None, min_speed: m.MinSpeed = None,
    max_ttft: m.MaxTtft = None, cache_hit: m.CacheHit = 0.0, weights: m.Weights = None,
    chips: m.Number = None,
    engine: m.Engine = None, rent: m.Rent = None, own: m.Own = False, price: m.PriceTerms = None,
    on: m.On = None,
    currency: m.Currency = "USD", fx: m.Fx = None, utilisation: m.Utilisation = 1.0, json_: m.Json = False,
    export: m.Export = None,
) -> None:  # fmt: skip
    """What providers charge for a million tokens beside what it costs here.

    tokcalc margin --model deepseek-r1 --chip h800 --cache-hit 0.563
    """
    names = options.names("--model", model, "deepseek-r1", "models")
    if len(names) > 1:
        raise UsageError("--model takes one model here; ask once for each")
    chip_names = options.names("--chip", chip, "h800", "chips")
    on = options.date("--on", on)
    if (input_price is None) != (output_price is None):
        raise UsageError("--input-price and --output-price belong together; give both")
    from ...explore.full_load import MIN_SPEED
    from ...money.hour import Terms

    terms = Terms(rent, {} if own else None, price, on, currency, fx).checked()
    question = m.workload(isl, osl, concurrency, cache_hit, weights, chips, engine, utilisation) | {
        "rent": rent, "price": price, "on": on, "currency": terms.currency, "fx": fx,
        "own": {} if own else None,
    }  # fmt: skip
    for path in export or []:
        from ...report import check

        check(path)
    prices = _prices(names[0], provider, terms, input_price, output_price, cached_price)
    limit = (MIN_SPEED if min_speed is None else min_speed, max_ttft)
    answers, reasons = _costs(chip_names, names[0], limit, question)
    rows = _rows(prices, answers, cache_hit)
    if json_:
        import json

        found = {
            "model": names[0], "currency": terms.currency,
            "limit": {"output_tok_s_user": limit[0], "ttft_s": limit[1]},
            "costs": [{"chip": c, **a["cost"], "deployment": a["deployment"]} for c, a in answers.items()],
            "reasons": reasons, "prices": rows,
        }  # fmt: skip
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    else:
        print(
            "\n".join(
                page(
                    names[0],
                    rows,
                    answers,
                    reasons,
                    m.shown_limit(concurrency, *limit),
                    cache_hit,
                    terms.currency,
                    text.width(),
                )
            )
        )
    if export:
        from ...report import write

        flat = [{k: v for k, v in row.items() if k != "margins"} |
                {f"margin {c}": v["margin"] for c, v in row["margins"].items()} for row in rows]  # fmt: skip
        for path in export:
            write(flat, path)
            print(f"wrote {path}", file=sys.stderr)


def _prices(
    model: str, provider: str | None, terms: Any, given_in: str | None, given_out: str | None,
    given_cached: str | None,
) -> list[Any]:  # fmt: skip
    """List prices of the model in the answer's currency, or the one that is given."""
    from ...money.amounts import parse_money
    from ...money.list_prices import ApiPrice, api_prices

    if given_in is not None and given_out is not None:

        def amount(words: str) -> float:
            money = parse_money(words, terms.currency)
            if money.amount < 0:
                raise UsageError(f'The price "{words}" is below zero.')
            return money.to(terms.currency, terms.on, terms.rates).amount

        cached = None if given_cached is None else amount(given_cached)
        return [
            ApiPrice(model, "given", "standard", amount(given_in), amount(given_out), cached, terms.currency,
                     date.today(), "A", False, "--input-price, --output-price", "")
        ]  # fmt: skip
    found = list(api_prices(model, terms.on, terms.currency, terms.rates))
    if provider is not None:
        mine = [p for p in found if p.provider.lower().startswith(provider.strip().lower())]
        if not mine:
            sellers = ", ".join(sorted({p.provider for p in found}))
            raise UsageError(f'no list price of {model} by "{provider}" is known; sellers are {sellers}')
        return mine
    return found


def _costs(
    chips: Sequence[str], model: str, limit: tuple[float, float | None], question: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """(answers with a cost by chip, reasons of the others); raises the first reason where none has one."""
    from ...catalog import load_chip
    from ...errors import NoAnswer
    from ...explore.full_load import loaded

    answers: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    errors: list[TokcalcError] = []
    for name in chips:
        try:
            found = loaded(name, model, speed=limit[0], ttft=limit[1], **question).to_dict()
            if found["cost"].get("per_m_output") is None:
                raise NoAnswer(str(found["cost"].get("reason")))
            answers[found["chip"]] = found
        except UsageError:
            raise
        except TokcalcError as error:
            errors.append(error)
            reasons[load_chip(name).id] = str(error)
    if not answers:
        raise errors[0]
    return answers, reasons


def _rows(prices: Sequence[Any], answers: Mapping[str, Any], cache_hit: float) -> list[dict[str, Any]]:
    from ...money.margin import margin as of

    rows = []
    for price in prices:
        found = {
            chip: of(price, a["cost"], a["workload"]["isl"] / a["workload"]["osl"], cache_hit)
            for chip, a in answers.items()
        }
        rows.append(
            {
                "provider": price.provider, "tier": price.tier, "date": price.date.isoformat(),
                "grade": price.grade, "input": price.input, "cached_input": price.cached_input,
                "output": price.output, "revenue": next(iter(found.values())).revenue,
                "margins": {
                    chip: {"cost": f.cost, "margin": f.margin, "markup": f.markup, "break_even": f.break_even}
                    for chip, f in found.items()
                },
                "stale": price.stale, "source": price.source, "note": price.note,
            }
        )  # fmt: skip
    return rows


def page(
    model: str, rows: Sequence[Mapping[str, Any]], answers: Mapping[str, Any], reasons: Mapping[str, str],
    limit: tuple[float | None, float | None], cache_hit: float, code: str, width: int,
) -> list[str]:  # fmt: skip
    """Costs of the chips, then each list price with its revenue and its margin on every chip."""
    from ...explore.full_load import limit_text

    def amount(value: float | None) -> str:
        return text.money(value, code).removesuffix(f" {code}")

    work = next(iter(answers.values()))["workload"]
    ratio = work["isl"] / work["osl"]
    lines = text.wrap(
        f"{model}: what a million output tokens bring and cost, each with {ratio:.3g} million input tokens"
        f"{f', {cache_hit:.1%} of them cached' if cache_hit else ''}; {work['isl']:,} + {work['osl']:,} "
        f"tokens a "
        f"request, {limit_text(*limit)}, {work['utilisation']:.0%} of the paid hours in use.", width,
    )  # fmt: skip
    costs = [
        [chip, f"{a['deployment']['chips']:,}", text.number(a["speed"]["output_tok_s_user"]["value"]),
         amount(a["cost"]["per_hour"] / a["deployment"]["chips"]),
         amount(a["cost"]["per_m_input"]),
         amount(a["cost"]["per_m_output"]),
         amount(a["cost"]["per_m_output"] + ratio * a["cost"]["per_m_input"]),
         f"{a['grade']}/{a['cost']['price']['grade']}"]
        for chip, a in answers.items()
    ]  # fmt: skip
    titles = ("cost here", "chips", "tok/s/user", f"{code}/chip-h", "input", "output", "with input", "grade")
    lines += ["", render([Column(t, 90 - i, right=i > 0) for i, t in enumerate(titles)], costs, width)]
    for chip, reason in reasons.items():
        lines += text.wrap(reason, width, f"{chip}: ")
    shown = [
        [row["provider"] + ("" if row["tier"] == "standard" else f", {row['tier']}"),
         row["date"] + (" old" if row["stale"] else ""),
         *(amount(row[k]) for k in ("input", "cached_input", "output", "revenue")),
         *(_percent(row["margins"][chip]["margin"]) for chip in answers)]
        for row in rows
    ]  # fmt: skip
    columns = [
        Column("list price", 100, right=False),         Column("of", 60, right=False),
        Column("input", 70), Column("cached", 50), Column("output", 80), Column("brings", 85),
        *(Column(f"on {chip}", 95) for chip in answers),
    ]  # fmt: skip
    lines += ["", render(columns, shown, width), ""]
    foot = (
        f"Money in {code}. Margin: profit over revenue; below zero the list price does not pay this machine. "
        f"It is of "
        "machines alone: no research, no free users, no idle hours unless --utilisation says so."
    )
    return lines + text.wrap(foot, width)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
