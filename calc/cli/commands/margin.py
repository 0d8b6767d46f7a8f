"""`tokcalc margin`: what providers charge for a model beside what it costs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ...catalog import load_chip
from ...errors import NoAnswer, TokcalcError, UsageError
from ...explore.full_load import limits_text, loaded
from ...money.amounts import parse_money
from ...money.hour import Terms
from ...money.list_prices import ApiPrice, api_prices
from ...money.margin import margin as of
from .. import money as m
from .. import options as o
from .. import text
from ..output import Output
from ..table import Column, tabulate

_PRICE = o.option(None, "A price of your own, per million.", "MONEY")
Row = Mapping[str, Any]


class Sold(o.Pair):
    """What is sold, by whom, and what it runs on here."""

    chip: str = o.question("h800,h200,b200", "Chips: id, alias, prefix or file.", "NAME[,NAME]")
    provider: str | None = o.option(None, "Only this provider.", "NAME")
    input_price: o.Text = _PRICE
    output_price: o.Text = _PRICE
    cached_price: o.Text = _PRICE
    utilisation: float = o.UTILISATION


def margin(sold: Sold, load: m.Load, hour: o.Hour, out: Output) -> None:
    """What providers charge for a million tokens beside what it costs here.

    tokcalc margin --model deepseek-r1 --chip h800 --cache-hit 0.563
    """
    model, chips = sold.one_model("deepseek-r1"), sold.chips("h800")
    if (sold.input_price is None) != (sold.output_price is None):
        raise UsageError("--input-price and --output-price belong together; give both")
    terms = m.terms_of(hour, m.owned(hour))
    question = load.question(terms, sold.utilisation)
    out.check()
    prices = _prices(model, sold, terms)
    answers, reasons = _costs(chips, model, load.limit() | question)
    rows = [_row(price, answers, load.cache_hit) for price in prices]
    found = {
        "model": model,
        "currency": terms.currency,
        "services": {chip: a.get("service") for chip, a in answers.items()},
        "costs": [{"chip": chip, **a["cost"], "deployment": a["deployment"]} for chip, a in answers.items()],
        "reasons": reasons,
        "prices": rows,
    }
    margins = [{f"margin {chip}": made["margin"] for chip, made in row["margins"].items()} for row in rows]
    out.write([{k: v for k, v in row.items() if k != "margins"} | m for row, m in zip(rows, margins, strict=True)])
    out.show(found, lambda width: _page(found, answers, load, width))


def _prices(model: str, sold: Sold, terms: Terms) -> list[ApiPrice]:
    """List prices of the model in the answer's currency, or the one that is given."""

    def amount(words: str) -> float:
        money = parse_money(words, terms.currency)
        if money.amount < 0:
            raise UsageError(f'The price "{words}" is below zero.')
        return money.to(terms.currency, terms.on, terms.rates).amount

    if sold.input_price is not None and sold.output_price is not None:
        cached = None if sold.cached_price is None else amount(sold.cached_price)
        own = (amount(sold.input_price), amount(sold.output_price), cached, terms.currency, date.today())
        return [ApiPrice(model, "given", "standard", *own, "A", False, "--input-price, --output-price", "")]
    found = list(api_prices(model, terms.on, terms.currency, terms.rates))
    if sold.provider is None:
        return found
    mine = [price for price in found if price.provider.lower().startswith(sold.provider.strip().lower())]
    if not mine:
        sellers = ", ".join(sorted({price.provider for price in found}))
        raise UsageError(f'no list price of {model} by "{sold.provider}" is known; sellers are {sellers}')
    return mine


def _costs(chips: Sequence[str], model: str, question: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(answers with a cost by chip, reasons of the others); raises the first reason where none has one."""
    answers: dict[str, Any] = {}
    errors: dict[str, TokcalcError] = {}
    for name in chips:
        try:
            found = loaded(name, model, **question).to_dict()
            if found["cost"].get("per_m_output") is None:
                raise NoAnswer(str(found["cost"].get("reason")))
            answers[found["chip"]] = found
        except UsageError:
            raise
        except TokcalcError as error:
            errors[load_chip(name).id] = error
    if not answers:
        raise next(iter(errors.values()))
    return answers, {chip: str(error) for chip, error in errors.items()}


def _row(price: ApiPrice, answers: Mapping[str, Any], cache_hit: float) -> dict[str, Any]:
    """One list price with its margin on every chip."""
    found = {
        chip: of(price, a["cost"], a["workload"]["isl"] / a["workload"]["osl"], cache_hit)
        for chip, a in answers.items()
    }
    figures = ("cost", "margin", "markup", "break_even")
    return {
        "provider": price.provider,
        "tier": price.tier,
        "date": price.date.isoformat(),
        **{name: getattr(price, name) for name in ("grade", "input", "cached_input", "output")},
        "revenue": next(iter(found.values())).revenue,
        "margins": {chip: {name: getattr(made, name) for name in figures} for chip, made in found.items()},
        **{name: getattr(price, name) for name in ("stale", "source", "note")},
    }


def _page(found: Row, answers: Mapping[str, Any], load: m.Load, width: int) -> list[str]:
    """Costs of the chips, then each list price with its revenue and its margin on every chip."""
    code, work = found["currency"], next(iter(answers.values()))["workload"]
    ratio = work["isl"] / work["osl"]

    def amount(value: float | None) -> str:
        return text.amount(value, code)

    def margin_on(chip: str) -> Column:
        def cell(row: Row) -> str:
            value = row["margins"][chip]["margin"]
            return "-" if value is None else f"{value:.0%}"

        return Column(f"on {chip}", 95, cell=cell)

    cached = f", {load.cache_hit:.1%} of them cached" if load.cache_hit else ""
    conditions = f"{limits_text(list(answers.values()))}, {work['utilisation']:.0%} of the paid hours in use."
    head = (
        f"{found['model']}: what a million output tokens bring and cost, each with {ratio:.3g} million input "
        f"tokens{cached}; {work['isl']:,} + {work['osl']:,} tokens a request, {conditions}"
    )
    costs = (
        Column("cost here", 90, False, lambda a: a["chip"]),
        Column("chips", 89, cell=lambda a: f"{a['deployment']['chips']:,}"),
        Column("tok/s/user", 88, cell=lambda a: text.number(a["speed"]["output_tok_s_user"]["value"])),
        Column(f"{code}/chip-h", 87, cell=lambda a: amount(a["cost"]["per_hour"] / a["deployment"]["chips"])),
        Column("input", 86, cell=lambda a: amount(a["cost"]["per_m_input"])),
        Column("output", 85, cell=lambda a: amount(a["cost"]["per_m_output"])),
        Column("with input", 84, cell=lambda a: amount(a["cost"]["per_m_output"] + ratio * a["cost"]["per_m_input"])),
        Column("grade", 83, cell=lambda a: f"{a['grade']}/{a['cost']['price']['grade']}"),
    )
    prices = (
        Column(
            "list price", 100, False, lambda r: r["provider"] + (f", {r['tier']}" if r["tier"] != "standard" else "")
        ),
        Column("of", 60, False, lambda r: r["date"] + (" old" if r["stale"] else "")),
        Column("input", 70, cell=lambda r: amount(r["input"])),
        Column("cached", 50, cell=lambda r: amount(r["cached_input"])),
        Column("output", 80, cell=lambda r: amount(r["output"])),
        Column("brings", 85, cell=lambda r: amount(r["revenue"])),
        *map(margin_on, answers),
    )
    lines = [*text.wrap(head, width), "", tabulate(costs, answers.values(), width)]
    for chip, reason in found["reasons"].items():
        lines += text.wrap(reason, width, f"{chip}: ")
    foot = (
        f"Money in {code}. Margin: profit over revenue; below zero the list price does not pay this machine. It is of "
        "machines alone: no research, no free users, no idle hours unless --utilisation says so."
    )
    return [*lines, "", tabulate(prices, found["prices"], width), "", *text.wrap(foot, width)]
