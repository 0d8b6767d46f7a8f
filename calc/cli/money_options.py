"""Options that the commands about money share, and their texts as keywords of `loaded` and `Terms`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import options

_work, _hour, _own = (partial(typer.Option, rich_help_panel=title) for title in ("Workload", "Money", "Ownership"))
Chips = Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Chips: id, alias, prefix or file.")]
Models = Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Models, likewise.")]
Isl = Annotated[str | None, _work(metavar="TOKENS", help="Input length of a request.")]
Osl = Annotated[str | None, _work(metavar="TOKENS", help="Output length of a request.")]
Concurrency = Annotated[
    str | None, _work(metavar="N|max", help="Requests in flight; else the most within the latency limit.")
]
MinSpeed = Annotated[float | None, _work(metavar="TOKENS/S", help="Least speed per user; 20 unless given.")]
MaxTtft = Annotated[float | None, _work(metavar="SECONDS", help="Longest wait for the first token.")]
CacheHit = Annotated[float, _work(metavar="SHARE", help="Share of the input found in cache.")]
Weights = Annotated[str | None, _work(metavar="TYPE", help="Data type of the weights.")]
Number = Annotated[int | None, _work(metavar="N", help="Chips of one replica; else the best number.")]
Engine = Annotated[str | None, _work(metavar="NAME", help="Serving engine.")]
Rent = Annotated[str | None, _hour(metavar="PRICE", help='Your price per chip: "2.5 USD/h".')]
Own = Annotated[bool, _hour("--own", help="Price the hour by owning the chip.")]
PriceTerms = Annotated[str | None, _hour(metavar="TERMS", help="on-demand, reserved, spot, a provider; @CN.")]
On = Annotated[str | None, _hour("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")]
Currency = Annotated[str, _hour(metavar="CODE", help="Currency of the answer.")]
Fx = Annotated[str | None, _hour(metavar="RATES", help="Your rates per dollar: KRW=1400,EUR=0.9.")]
Utilisation = Annotated[float, _hour(metavar="SHARE", help="Share of the paid hours in use.")]
Grid = Annotated[str | None, _hour(metavar="REGION|KG", help="Grid for CO2: KR, US, 0.43 kg/kWh.")]
Purchase = Annotated[str | None, _own(metavar="MONEY", help='Price of a chip with its host: "31000 USD".')]
Life = Annotated[float | None, _own(metavar="YEARS", help="Years of use.")]
Capital = Annotated[float | None, _own(metavar="SHARE", help="Cost of capital per year: 0.08.")]
Residual = Annotated[float | None, _own(metavar="SHARE", help="Value left at the end, of the price.")]
Pue = Annotated[float | None, _own(metavar="RATIO", help="Power of the site over that of its machines.")]
Electricity = Annotated[str | None, _own(metavar="MONEY", help='Per kilowatt-hour: "0.08 USD".')]
Region = Annotated[str, _own(metavar="PLACE", help="Where the electricity is bought: US, KR, CN, US-TX.")]
Colo = Annotated[str | None, _own(metavar="MONEY", help='Space per kW and month: "150 USD".')]
Network = Annotated[float | None, _own(metavar="SHARE", help="Network, of machines and network together.")]
Staff = Annotated[float | None, _own(metavar="SHARE", help="Staff and spares a year, of the purchase.")]
PowerW = Annotated[float | None, _own(metavar="WATTS", help="All-in power of one chip with its host.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Export = Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a table; repeatable.")]
Plot = Annotated[str | None, typer.Option(metavar="FILE", help="Also draw .svg, .png, .pdf or .html.")]


def workload(
    isl: str | None, osl: str | None, concurrency: str | None, cache_hit: float, weights: str | None,
    chips: int | None, engine: str | None, utilisation: float,
) -> dict[str, Any]:  # fmt: skip
    """Keywords of `loaded` about the work, checked; what was not given is left out."""
    if chips is not None:
        options.length("--chips", str(chips), options.MOST_CHIPS)
    found: dict[str, Any] = {
        "isl": None if isl is None else options.length("--isl", isl),
        "osl": None if osl is None else options.length("--osl", osl),
        "concurrency": None if concurrency is None else options.concurrency(concurrency),
        "weights": weights,
        "chips": chips,
        "engine": engine,
    }
    return {k: v for k, v in found.items() if v is not None} | {
        "cache_hit": options.share("--cache-hit", cache_hit, 0.0, 1.0),
        "utilisation": options.share("--utilisation", utilisation, 0.0, 1.0, open_low=True),
    }


def ownership(
    own: bool, currency: str, on: str | None, rates: Mapping[str, float], amounts: Mapping[str, str | None],
    numbers: Mapping[str, float | None],
) -> dict[str, float] | None:  # fmt: skip
    """Inputs of Ownership that the user gave, in the currency of the answer; None when it is not asked for.

    amounts: money by field (purchase, electricity, colo_kw_month); numbers: shares, years, watts by field.
    Any of them asks for ownership. UsageError for what is out of bounds.
    """
    from ..money.amounts import parse_money

    given: dict[str, float] = {}
    for field, text in amounts.items():
        if text is not None:
            money = parse_money(text.partition("/")[0], currency)
            if money.amount < 0:
                raise UsageError(f'"{text}" is below zero; {_NAMES[field]} costs at least nothing.')
            given[field] = money.to(currency, on, rates).amount
    given |= {field: value for field, value in numbers.items() if value is not None}
    return given if own or given else None


_NAMES = {"purchase": "a chip", "electricity": "a kilowatt-hour", "colo_kw_month": "space"}


def shown_limit(concurrency: str | None, speed: float, ttft: float | None) -> tuple[float | None, float | None]:
    """The latency limit that a page names: none where the requests in flight were given."""
    return (speed, ttft) if concurrency is None else (None, None)


def rates(fx: str | None) -> dict[str, float]:
    """The rates that --fx gives."""
    from ..money.amounts import parse_fx

    return parse_fx(fx) if fx else {}
