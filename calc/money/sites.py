"""What a place costs: electricity, cooling overhead, space, carbon; and the financial defaults of owning machines.

Each function returns a Price with date, range and grade, by the rules of specs/prices/README.md.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import UnknownName
from .amounts import Asked
from .pricebook import Day, Price, Rates, as_date, flagged, known_rows, make_price, offer, rows, sound, voices, within

_TARIFFS = ("industrial", "business", "commercial", "large", "data-centre")
_US_TARIFFS = ("commercial", "industrial", "business", "large", "data-centre")
_UNUSUAL = ("subsidised", "small")
_RANGE_DAYS = 1096
# The rows of these differ by city or by size of cluster, so each counts; of others each author's latest word.
_EACH_ROW = ("network_share", "build_cost_per_mw", "rental_overhead_share")


def _place(kind: str, region: str) -> str:
    """The region as the file writes it; UnknownName lists those known."""
    known = sorted({r["region"] for r in rows(kind)})
    for code in known:
        if code.lower() == region.strip().lower():
            return code
    raise UnknownName(f'No {kind} value for region "{region}" is known; regions are {", ".join(known)}.')


def electricity(
    region: str = "US", on: Day = None, currency: str = "USD", tariff: str | None = None, rates: Rates = None
) -> Price:
    """Price of a kilowatt-hour in a region: the latest of the tariff that data centres there are usually billed.

    region: US, KR, CN, DE, ... or a state as US-VA. tariff: "industrial", "commercial", ... to insist; by
    default commercial in the United States and industrial elsewhere, subsidised tariffs never. low and high
    span every tariff and part of the region in the three years before.
    """
    place, asked = _place("electricity", region), Asked.of(on, currency, rates)
    here = [r for r in rows("electricity") if r["region"] == place]
    usual = [r for r in here if not flagged(r, *_UNUSUAL)]
    if tariff is None:
        order = _US_TARIFFS if place.startswith("US") else _TARIFFS
        tariff = next((t for t in order if any(r["tariff"] == t for r in usual)), here[0]["tariff"])
    fit = [r for r in usual if r["tariff"] == tariff] or [r for r in here if r["tariff"] == tariff]
    if not fit:
        known = ", ".join(sorted({r["tariff"] for r in here}))
        raise UnknownName(f'No tariff "{tariff}" of {place} is known; tariffs are {known}.')
    known_then = known_rows(fit, asked.day, f"No electricity price for {place} is known on")
    latest = max(sound(asked.offers(map(offer, known_then))), key=lambda o: o.date)
    parts = [r for r in rows("electricity") if r["region"] == place or r["region"].startswith(place + "-")]
    span = [o.value for o in within(asked.offers(map(offer, parts)), latest.date, _RANGE_DAYS)]
    price = asked.price([latest], unit="kWh", terms=tariff, basis="list", span=span, note=latest.row["note"])
    return replace(price, grade=latest.grade)


def pue(provider: str | None = None, on: Day = None) -> Price:
    """Power usage effectiveness: all power of a site over the power of its machines (a ratio, no currency).

    By default the median of the fleets that operators report and of the industry's average, the range from
    the best to the average; a vendor's claim for one site counts only when its name is asked for.
    """
    asked = as_date(on)
    name = (provider or "").strip().lower()
    found = [r for r in rows("pue") if r["provider"].lower().startswith(name)]
    if not found:
        operators = ", ".join(sorted({r["provider"] for r in rows("pue")}))
        raise UnknownName(f'No PUE of "{provider}" is known; operators with one are {operators}.')
    fit = [r for r in found if not flagged(r, "claim")] or found
    known = known_rows(fit, asked, f"No PUE for {provider or 'data centres'} is known on")
    return replace(make_price(voices([offer(r) for r in known]), asked, unit="1"), currency="")


def colo(on: Day = None, currency: str = "USD", rates: Rates = None) -> Price:
    """Rent of data-centre space per kilowatt of machines and month, metered electricity not included."""
    asked = Asked.of(on, currency, rates)
    known_then = known_rows(rows("colo"), asked.day, "No colocation rent for wholesale space is known on")
    known = asked.offers(map(offer, known_then))
    latest = voices(known)
    span = [o.value for o in within(known, latest[0].date, _RANGE_DAYS)]
    price = asked.price(latest, unit="kW-month", basis="list", span=span, note=latest[0].row["note"])
    return replace(price, grade=latest[0].grade)


def co2(region: str, on: Day = None) -> Price:
    """Kilograms of CO2 equivalent per kilowatt-hour of a region's grid; a nation's average before one site's."""
    place, asked = _place("co2", region), as_date(on)
    here = [r for r in rows("co2") if r["region"] == place]
    known = [offer(r) for r in known_rows(here, asked, f"No grid factor for {place} is known on")]
    latest = max([o for o in known if o.row["scope"] == "nation"] or known, key=lambda o: o.date)
    span = [o.value for o in known]
    price = make_price([latest], asked, unit="kg/kWh", basis="list", span=span, note=latest.row["note"])
    return replace(price, currency="", grade=latest.grade)


def finance(item: str, on: Day = None) -> Price:
    """A financial default: its median over the companies or authors that state it, with range, date and grade.

    item: life_years (depreciation life), cost_of_capital (per year), network_share (of node plus network
    capital), host_share (host over bare chip), rental_overhead_share, build_cost_per_mw,
    facility_and_staff_per_chip_life.
    """
    asked = as_date(on)
    fit = [r for r in rows("finance") if r["item"] == item]
    if not fit:
        items = ", ".join(sorted({r["item"] for r in rows("finance")}))
        raise UnknownName(f'No financial default "{item}"; known are {items}.')
    stated = [offer(r) for r in known_rows(fit, asked, f"No value of {item} for ownership is known on")]
    usual = [o for o in stated if not flagged(o.row, "critic")] or stated  # critics widen the range, no more
    chosen = sound(usual) if item in _EACH_ROW else voices(sound(usual))
    span = [o.value for o in stated if o.date >= min(c.date for c in chosen)]
    unit = chosen[0].row["unit"]
    price = make_price(chosen, asked, unit=unit, span=span, note=chosen[0].row["note"])
    return replace(price, currency="USD" if "USD" in unit else "")
