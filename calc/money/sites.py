"""What a place costs: electricity, cooling overhead, space, carbon; and the financial defaults of owning
machines.

Before: specs/prices/{electricity,pue,colo,co2,memory,finance}.csv through pricebook.py. After: ownership.py,
energy.py and the fleet planner. Each function returns a Price with date, range and grade, by the rules of
specs/prices/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from ..errors import UnknownName
from .amounts import convert, currency_code
from .pricebook import NotYetKnown, Offer, Price, as_date, flagged, known_on, make_price, offer, rows, voices, within

_TARIFFS = ("industrial", "business", "commercial", "large", "data-centre")
_US_TARIFFS = ("commercial", "industrial", "business", "large", "data-centre")
_RANGE_DAYS = 1096


def _known(kind: str, name: str, found: Sequence[dict[str, str]], asked: date) -> list[dict[str, str]]:
    """Rows on or before the date; NoAnswer names the first when all are later."""
    known = [r for r in found if known_on(r, asked.isoformat())]
    if not known:
        first = min(r["date"] for r in found)
        raise NotYetKnown(f"No {kind} for {name} is known on {asked}; the first is of {first}.", first)
    return known


def _place(kind: str, region: str) -> str:
    """The region as the file writes it; UnknownName lists those known."""
    known = sorted({r["region"] for r in rows(kind)})
    for code in known:
        if code.lower() == region.strip().lower():
            return code
    raise UnknownName(f'No {kind} value for region "{region}" is known; regions are {", ".join(known)}.')


def electricity(
    region: str = "US",
    on: date | str | None = None,
    currency: str = "USD",
    tariff: str | None = None,
    rates: Mapping[str, float] | None = None,
) -> Price:
    """Price of a kilowatt-hour in a region: the latest of the tariff that data centres there are usually
    billed.

    region: US, KR, CN, DE, ... or a state as US-VA. tariff: "industrial", "commercial", ... to insist; by
    default commercial in the United States and industrial elsewhere, subsidised tariffs never. low and high
    span every tariff and part of the region in the three years before.
    """
    place, code, asked = _place("electricity", region), currency_code(currency), as_date(on)
    here = [r for r in rows("electricity") if r["region"] == place]
    if tariff is None:
        order = _US_TARIFFS if place.startswith("US") else _TARIFFS
        fit = [r for r in here if not flagged(r, "subsidised", "small")]
        tariff = next((t for t in order if any(r["tariff"] == t for r in fit)), here[0]["tariff"])
    fit = [r for r in here if r["tariff"] == tariff]
    if not fit:
        known = ", ".join(sorted({r["tariff"] for r in here}))
        raise UnknownName(f'No tariff "{tariff}" of {place} is known; tariffs are {known}.')
    fit = [r for r in fit if not flagged(r, "subsidised", "small")] or fit
    found = [_offer(r, code, asked, rates) for r in _known("electricity price", place, fit, asked)]
    sound = [o for o in found if o.grade != "D"] or found
    latest = max(sound, key=lambda o: o.date)
    around = [r for r in rows("electricity") if r["region"] == place or r["region"].startswith(place + "-")]
    around = [r for r in around if r["date"] <= asked.isoformat()]
    span = [o.value for o in within([_offer(r, code, asked, rates) for r in around], latest.date, _RANGE_DAYS)]
    price = make_price([latest], asked, unit="kWh", terms=tariff, basis="list", span=span, note=latest.row["note"])
    return replace(price, grade=latest.grade)


def _offer(row: dict[str, str], currency: str, on: date, rates: Mapping[str, float] | None) -> Offer:
    """The row as an offer in the currency asked for."""
    found = offer(row)
    return replace(found, value=convert(found.value, found.currency, currency, on, rates), currency=currency)


def pue(provider: str | None = None, on: date | str | None = None) -> Price:
    """Power usage effectiveness: all power of a site over the power of its machines (a ratio, no currency).

    By default the median of the fleets that operators report and of the industry's average, the range from
    the best to the average; a vendor's claim for one site counts only when its name is asked for.
    """
    asked = as_date(on)
    found = list(rows("pue"))
    if provider is None:
        fit = [r for r in found if not flagged(r, "claim")]
    else:
        fit = [r for r in found if r["provider"].lower().startswith(provider.strip().lower())]
        fit = [r for r in fit if not flagged(r, "claim")] or fit
        if not fit:
            operators = ", ".join(sorted({r["provider"] for r in found}))
            raise UnknownName(f'No PUE of "{provider}" is known; operators with one are {operators}.')
    known = voices([offer(r) for r in _known("PUE", provider or "data centres", fit, asked)])
    return replace(make_price(known, asked, unit="1", basis="offers"), currency="")


def colo(on: date | str | None = None, currency: str = "USD", rates: Mapping[str, float] | None = None) -> Price:
    """Rent of data-centre space per kilowatt of machines and month, metered electricity not included."""
    code, asked = currency_code(currency), as_date(on)
    known = [_offer(r, code, asked, rates) for r in _known("colocation rent", "wholesale space", rows("colo"), asked)]
    latest = voices(known)
    span = [o.value for o in within(known, latest[0].date, _RANGE_DAYS)]
    price = make_price(latest, asked, unit="kW-month", basis="list", span=span, note=latest[0].row["note"])
    return replace(price, grade=latest[0].grade)


def co2(region: str, on: date | str | None = None) -> Price:
    """Kilograms of CO2 equivalent per kilowatt-hour of a region's grid; national averages before those of one
    site.
    """
    place, asked = _place("co2", region), as_date(on)
    fit = [r for r in rows("co2") if r["region"] == place]
    known = [offer(r) for r in _known("grid factor", place, fit, asked)]
    nation = [o for o in known if o.row["scope"] == "nation"] or known
    latest = max(nation, key=lambda o: o.date)
    span = [o.value for o in known]
    price = make_price([latest], asked, unit="kg/kWh", basis="list", span=span, note=latest.row["note"])
    return replace(price, currency="", grade=latest.grade)


def memory_price(
    memory: str, on: date | str | None = None, currency: str = "USD", rates: Mapping[str, float] | None = None
) -> Price | None:
    """Price of a gigabyte of a memory type ("hbm3e", "hbm4", "gddr6", ...): median over its sources; None if
    unpriced.

    Only sources of the two years before the latest one count, estimates of grade D only when there is nothing
    else.
    """
    code, asked = currency_code(currency), as_date(on)
    fit = [r for r in rows("memory") if r["memory"] == memory.strip().lower() and not flagged(r, "whole-chip")]
    if not fit:
        return None
    known = [_offer(r, code, asked, rates) for r in _known("memory price", memory, fit, asked)]
    sound = [o for o in known if o.grade != "D"] or known
    recent = within(sound, max(o.date for o in sound), 730)
    chosen = voices(recent)
    return make_price(chosen, asked, unit="GB", basis="offers", span=[o.value for o in recent])


def finance(item: str, on: date | str | None = None) -> Price:
    """A financial default: its median over the companies or authors that state it, with range, date and
    grade.

    item: life_years (depreciation life), cost_of_capital (per year), network_share (of node plus network
    capital), host_share (host over bare chip), rental_overhead_share, build_cost_per_mw,
    facility_and_staff_per_chip_life.
    """
    asked = as_date(on)
    fit = [r for r in rows("finance") if r["item"] == item]
    if not fit:
        items = ", ".join(sorted({r["item"] for r in rows("finance")}))
        raise UnknownName(f'No financial default "{item}"; known are {items}.')
    stated = [offer(r) for r in _known(f"value of {item}", "ownership", fit, asked)]
    usual = [o for o in stated if not flagged(o.row, "critic")]
    sound = [o for o in usual if o.grade != "D"] or usual or stated
    chosen = sound if item in ("network_share", "build_cost_per_mw", "rental_overhead_share") else voices(sound)
    span = [o.value for o in stated if o.date >= min(c.date for c in chosen)]
    unit = chosen[0].row["unit"]
    price = make_price(chosen, asked, unit=unit, basis="offers", span=span, note=chosen[0].row["note"])
    return replace(price, currency="USD" if "USD" in unit else "")
