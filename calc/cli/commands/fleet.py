"""`tokcalc fleet`: machines for a demand, a budget or a power limit, or what given machines serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...catalog import load_chip
from ...catalog.tables import planning
from ...errors import TokcalcError, UsageError
from ...explore import fleet as fleets
from ...explore.fleet import unit_of
from ...explore.full_load import loaded
from ...explore.growth import grow, plot_rows
from ...money.amounts import convert, format_large, parse_money
from ...money.hour import Terms, chip_hour
from ...money.pricebook import as_date
from ...money.sites import finance
from ...report.plots import growth
from ...units import parse
from .. import money as m
from .. import options as o
from .. import values
from ..output import Drawn
from ..pages.fleet import Goal, Refused, Sized, page, short

_ask = o.option


class Ask(o.Group):
    """What the machines are for; one of the first five."""

    demand: o.Text = _ask(None, 'Output tokens a day: 5e9, "168 billion".', "TOKENS")
    users: o.Text = _ask(None, "Users a day: 1e6, 10M.", "N")
    budget: o.Text = _ask(None, '"2 trillion KRW".', "MONEY")
    power: o.Text = _ask(None, 'At the meter: "40 MW".', "POWER")
    systems: o.Text = _ask(None, "Systems that stand there already.", "N")
    sessions: o.Real = _ask(None, "Sessions a day of a user.", "N")
    requests: o.Real = _ask(None, "Requests of a session.", "N")
    peak_factor: o.Real = _ask(None, "Busiest over average hour.", "N")
    reserve: o.Real = _ask(None, "Machines beyond the peak.", "SHARE")
    build: bool = _ask(False, "Buy the buildings, do not let the space.")
    running_years: float = _ask(0.0, "Years of running that a budget pays.", "N")
    rack_power: o.Text = _ask(None, 'Of one rack: "40 kW".', "POWER")


class Years(o.Group):
    """How the demand goes on."""

    years: o.Whole = _ask(None, "Also a table of growth over N years.", "N")
    growth: o.Real = _ask(None, "Demand over the year before: 2.", "N")
    price_decline: o.Real = _ask(None, "Of machines, a year.", "SHARE")


def fleet(
    pair: o.Pair, ask: Ask, ahead: Years, load: m.Load, hour: o.Rates, ownership: m.Ownership, out: Drawn
) -> None:
    """Machines for a demand, a budget or a power limit; several chips side by side.

    tokcalc fleet --chip h200,b200 --model deepseek-r1 --users 10M
    tokcalc fleet --chip b200 --model deepseek-r1 --budget "2 trillion KRW" --currency KRW
    """
    plan = planning()["fleet"]
    chips, model = pair.chips("h200"), pair.one_model()
    _check(ask, ahead, out)
    inputs = ownership.inputs(hour)
    owned = hour.rent is None and hour.price is None
    if not owned and inputs:
        raise UsageError("--rent and --price let the machines, the options of ownership buy them; leave one out")
    out.check()
    terms = m.terms_of(hour, inputs if owned else None, ownership.region)
    load.isl, load.osl = load.isl or str(plan["isl"]), load.osl or str(plan["osl"])
    question = load.question(terms)
    goal = _goal(ask, plan, (question["isl"], question["osl"]), terms)
    build = _building(terms) if ask.build else None
    found = [_sized(chip, load.limit() | question | {"model": model}, terms, goal, build) for chip in chips]
    if isinstance(found[0], Refused) and not any(isinstance(one, Sized) for one in found):
        raise found[0].error
    if ahead.years is not None and goal.demand is not None:
        _grow([one for one in found if isinstance(one, Sized)], ahead, goal, plan, terms.on)
    records = [_record(one) for one in found]
    grown = [{"chip": r["chip"], **year} for r in records for year in r.get("years", [])]
    out.write(grown or [{key: value for key, value in record.items() if key != "years"} for record in records])
    out.draw(lambda: _chart([one for one in found if isinstance(one, Sized)]))
    out.show(records if len(records) > 1 else records[0], lambda width: page(found, goal, width))


def _check(ask: Ask, ahead: Years, out: Drawn) -> None:
    ways = {f"--{name}": getattr(ask, name) for name in ("demand", "users", "budget", "power", "systems")}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        what = "give one of" if not given else f"{' and '.join(given)} contradict each other; give one of"
        raise UsageError(f"{what} {', '.join(ways)}")
    if (ask.sessions is not None or ask.requests is not None) and ask.users is None:
        raise UsageError("--sessions and --requests belong to --users")
    if ahead.years is not None and not (ask.demand or ask.users):
        raise UsageError("--years grows a demand; give --demand or --users with it")
    if out.plot and ahead.years is None:
        raise UsageError("--plot draws the growth; give --years with it")


def _or(value: float | None, planned: Any) -> Any:
    return planned if value is None else value


def _goal(ask: Ask, plan: Mapping[str, Any], tokens: tuple[int, int], terms: Terms) -> Goal:
    """What is asked for, in words and as a rule that sizes a fleet; defaults from the planning table."""
    peak, reserve = _or(ask.peak_factor, plan["peak_factor"]), _or(ask.reserve, plan["reserve"])
    rack = None if ask.rack_power is None else parse(ask.rack_power, "power") / 1e3
    years = ask.running_years
    if not 0 <= years <= 50:
        raise UsageError(f"--running-years {years:g} is outside 0 to 50")
    fleets.demand_of(1.0, *tokens, peak)  # refuses a peak factor that is none
    if ask.budget is not None:
        budget = parse_money(ask.budget, terms.currency).to(terms.currency, terms.on, terms.rates).amount
        running = f" with {years:g} years of running" if years else ""
        said = f"what {format_large(budget, terms.currency)} buys{running}"
        return Goal(said, peak, lambda unit: fleets.for_budget(unit, budget, peak, years, rack))
    if ask.power is not None:
        watts = parse(ask.power, "power")
        said = f"what {watts / 1e6:,.4g} MW at the meter feed"
        return Goal(said, peak, lambda unit: fleets.for_power(unit, watts, peak, rack))
    if ask.systems is not None:
        systems = int(values.count("--systems", ask.systems))
        return Goal(f"what {systems:,} systems serve", peak, lambda unit: fleets.for_systems(unit, systems, peak, rack))
    said = ""
    if ask.users is not None:
        users = values.count("--users", ask.users)
        sessions = _or(ask.sessions, plan["sessions_per_user_day"])
        requests = _or(ask.requests, plan["requests_per_session"])
        demand = fleets.demand_of_users(users, sessions, requests, *tokens, peak)
        said = f"{short(users)} users a day, {sessions:g} sessions of {requests:g} requests each: "
    else:
        demand = fleets.demand_of(values.count("--demand", ask.demand or ""), *tokens, peak)
    said += f"{short(demand.output_per_day)} output tokens a day"
    return Goal(said, peak, lambda unit: fleets.for_demand(unit, demand, reserve, rack), demand, reserve)


def _building(terms: Terms) -> float:
    """Money per megawatt of buildings, in the currency of the answer."""
    return convert(finance("build_cost_per_mw", terms.on).value, "USD", terms.currency, terms.on, terms.rates)


def _sized(chip: str, question: Mapping[str, Any], terms: Terms, goal: Goal, build: float | None) -> Sized | Refused:
    """One chip's fleet, or the reason why it has none."""
    device = load_chip(chip)
    try:
        answer = loaded(chip, **question).to_dict()
        count, watts = answer["deployment"]["chips"], answer["energy"]
        power = [watts[k] / count if k in watts else None for k in ("system_power_w", "system_rated_w")]
        hour = chip_hour(device, terms, *power)
        unit = unit_of(answer, device, hour, build_per_mw=build)
        return Sized(device.id, answer, unit, goal.size(unit), hour)
    except UsageError:
        raise
    except TokcalcError as error:
        return Refused(device.id, error)


def _grow(found: Sequence[Sized], ahead: Years, goal: Goal, plan: Mapping[str, Any], on: str | None) -> None:
    assert goal.demand is not None
    growth, decline = _or(ahead.growth, plan["growth"]), _or(ahead.price_decline, plan["price_decline"])
    for one in found:
        one.growth = growth, decline
        one.years = grow(one.unit, goal.demand, as_date(on).year, ahead.years or 0, growth, decline, goal.reserve)


def _record(found: Sized | Refused) -> dict[str, Any]:
    """One fleet as flat numbers, for JSON and tables."""
    if isinstance(found, Refused):
        return {"chip": found.chip, "reason": str(found.error)}
    f, unit, answer = found.fleet, found.unit, found.answer
    into, out, blended = f.per_million()
    return {
        "chip": found.chip,
        "model": answer["model"],
        **{name: getattr(f, name) for name in ("chips", "systems", "racks", "it_mw", "site_mw")},
        "currency": unit.currency,
        "way": unit.way,
        "upfront": f.upfront,
        **{f"upfront_{part}": money * f.units for part, money in unit.upfront.items()},
        "per_year": f.yearly_total,
        **{f"per_year_{part.replace(' ', '_')}": money for part, money in f.yearly.items()},
        "output_tokens_per_day": f.served_output_per_day,
        "input_tokens_per_day": f.served_input_per_day,
        "capacity_output_tokens_per_day": f.capacity_output_per_day,
        "peak_factor": f.peak_factor,
        "spare": f.spare,
        "per_m_input": into,
        "per_m_output": out,
        "per_m_blended": blended,
        "output_tok_s_user": answer["speed"]["output_tok_s_user"]["value"],
        "chips_per_replica": answer["deployment"]["chips"],
        "grade": answer["grade"],
        "price_grade": unit.grade,
        **({"years": [asdict(year) for year in found.years]} if found.years else {}),
    }


def _chart(found: Sequence[Sized]) -> Any:
    points = [point for one in found for point in plot_rows(one.years, one.chip)]
    y_title = f"cost per million output tokens ({found[0].unit.currency})"
    return growth(points, y_title=y_title, title="cost over the years")
