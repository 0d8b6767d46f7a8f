"""`tokcalc fleet`: machines for a demand, a budget or a power limit, or what given machines serve."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ...errors import TokcalcError, UsageError
from .. import money_options as m
from .. import options, text
from ..pages import fleet as fleet_text

_Text = str | None
_ask = typer.Option


def fleet(
    chip: m.Chips = None, model: m.Models = None,
    demand: Annotated[_Text, _ask(metavar="TOKENS", help='Output tokens a day: 5e9, "168 billion".')] = None,
    users: Annotated[_Text, _ask(metavar="N", help="Users a day: 1e6, 10M.")] = None,
    sessions: Annotated[float | None, _ask(metavar="N", help="Sessions a day of a user.")] = None,
    requests: Annotated[float | None, _ask(metavar="N", help="Requests of a session.")] = None,
    budget: Annotated[_Text, _ask(metavar="MONEY", help='"2 trillion KRW".')] = None,
    power: Annotated[_Text, _ask(metavar="POWER", help='At the meter: "40 MW".')] = None,
    systems: Annotated[_Text, _ask(metavar="N", help="Systems that stand there already.")] = None,
    peak_factor: Annotated[float | None, _ask(metavar="N", help="Busiest over average hour.")] = None,
    reserve: Annotated[float | None, _ask(metavar="SHARE", help="Machines beyond the peak.")] = None,
    build: Annotated[bool, _ask("--build", help="Buy the buildings, do not let the space.")] = False,
    running_years: Annotated[float, _ask(metavar="N", help="Years of running that a budget pays.")] = 0.0,
    rack_power: Annotated[_Text, _ask(metavar="POWER", help='Of one rack: "40 kW".')] = None,
    years: Annotated[int | None, _ask(metavar="N", help="Also a table of growth over N years.")] = None,
    growth: Annotated[float | None, _ask(metavar="N", help="Demand over the year before: 2.")] = None,
    price_decline: Annotated[float | None, _ask(metavar="SHARE", help="Of machines, a year.")] = None,
    isl: m.Isl = None, osl: m.Osl = None, concurrency: m.Concurrency = None, min_speed: m.MinSpeed = None,
    max_ttft: m.MaxTtft = None, cache_hit: m.CacheHit = 0.0, weights: m.Weights = None,
    chips: m.Number = None,
    engine: m.Engine = None, rent: m.Rent = None, price: m.PriceTerms = None, on: m.On = None,
    currency: m.Currency = "USD", fx: m.Fx = None, purchase: m.Purchase = None, life: m.Life = None,
    capital: m.Capital = None, residual: m.Residual = None, pue: m.Pue = None,
    electricity: m.Electricity = None,
    region: m.Region = "US", colo: m.Colo = None, network: m.Network = None, staff: m.Staff = None,
    power_w: m.PowerW = None, plot: m.Plot = None, json_: m.Json = False, export: m.Export = None,
) -> None:  # fmt: skip
    """Machines for a demand, a budget or a power limit; several chips side by side.

    tokcalc fleet --chip h200,b200 --model deepseek-r1 --users 10M
    tokcalc fleet --chip b200 --model deepseek-r1 --budget "2 trillion KRW" --currency KRW
    """
    from ...catalog.tables import planning

    plan = planning()["fleet"]
    chip_names = options.names("--chip", chip, "h200", "chips")
    model_names = options.names("--model", model, "llama-70b", "models")
    if len(model_names) > 1:
        raise UsageError("--model takes one model here; ask once for each")
    ways = {"--demand": demand, "--users": users, "--budget": budget, "--power": power, "--systems": systems}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        what = "give one of" if not given else f"{' and '.join(given)} contradict each other; give one of"
        raise UsageError(f"{what} {', '.join(ways)}")
    if (sessions is not None or requests is not None) and users is None:
        raise UsageError("--sessions and --requests belong to --users")
    if years is not None and not (demand or users):
        raise UsageError("--years grows a demand; give --demand or --users with it")
    if plot and years is None:
        raise UsageError("--plot draws the growth; give --years with it")
    on = options.date("--on", on)
    inputs = m.ownership(
        True, currency, on, m.rates(fx),
        {"purchase": purchase, "electricity": electricity, "colo_kw_month": colo},
        {"life_years": life, "cost_of_capital": capital, "residual_share": residual, "pue": pue,
         "network_share": network, "staff_share": staff, "power_w": power_w},
    )  # fmt: skip
    owned = rent is None and price is None
    if not owned and inputs:
        raise UsageError("--rent and --price let the machines, the options of ownership buy them; leave one out")
    for path in export or []:
        from ...report import check

        check(path)
    if plot:
        from ...report.plots import check as check_plot

        check_plot(plot)
    from ...explore.full_load import MIN_SPEED
    from ...money.hour import Terms

    terms = Terms(rent, inputs if owned else None, price, on, currency, fx, region).checked()
    question = m.workload(
        isl or str(plan["isl"]), osl or str(plan["osl"]), concurrency, cache_hit, weights, chips, engine, 1.0
    ) | {
        "rent": rent, "price": price, "on": on, "currency": terms.currency, "fx": fx,
        "own": inputs if owned else None, "region": region,
    }  # fmt: skip
    goal = _goal(
        plan, question, terms, demand=demand, users=users, sessions=sessions, requests=requests,
        budget=budget,
        power=power, systems=systems, peak_factor=peak_factor, reserve=reserve, running_years=running_years,
        rack_power=rack_power,
    )  # fmt: skip
    goal["build"] = build
    limit = (MIN_SPEED if min_speed is None else min_speed, max_ttft)
    rows = [_row(name, model_names[0], limit, question, terms, goal) for name in chip_names]
    if all("reason" in row for row in rows):
        raise rows[0]["error"]
    for row in rows:
        row.pop("error", None)
    if years is not None:
        _grow(rows, goal, years, growth, price_decline, plan, on)
    _show(rows, goal, m.shown_limit(concurrency, *limit), json_, export or [], plot)


def _goal(plan: Mapping[str, Any], question: Mapping[str, Any], terms: Any, **given: Any) -> dict[str, Any]:
    """What is asked for as plain numbers, defaults from the planning table."""
    from ...explore.fleet import demand_of, demand_of_users
    from ...money.amounts import parse_money
    from ...units import parse

    peak = plan["peak_factor"] if given["peak_factor"] is None else given["peak_factor"]
    lengths = (question["isl"], question["osl"], peak)
    goal: dict[str, Any] = {
        "peak_factor": peak,
        "reserve": plan["reserve"] if given["reserve"] is None else given["reserve"],
        "rack_kw": None if given["rack_power"] is None else parse(given["rack_power"], "power") / 1e3,
        "running_years": given["running_years"],
    }
    if not 0 <= given["running_years"] <= 50:
        raise UsageError(f"--running-years {given['running_years']:g} is outside 0 to 50")
    demand_of(1.0, *lengths)
    if given["demand"] is not None:
        goal["demand"] = demand_of(fleet_text.count("--demand", given["demand"]), *lengths)
    elif given["users"] is not None:
        habits = [
            plan[key] if given[name] is None else given[name]
            for name, key in (("sessions", "sessions_per_user_day"), ("requests", "requests_per_session"))
        ]
        goal["users"] = fleet_text.count("--users", given["users"])
        goal["habits"] = habits
        goal["demand"] = demand_of_users(goal["users"], habits[0], habits[1], *lengths)
    elif given["budget"] is not None:
        money = parse_money(given["budget"], terms.currency)
        goal["budget"] = money.to(terms.currency, terms.on, terms.rates).amount
    elif given["power"] is not None:
        goal["power"] = parse(given["power"], "power")
    else:
        goal["systems"] = int(fleet_text.count("--systems", given["systems"]))
    return goal


def _row(
    chip: str, model: str, limit: tuple[float, float | None], question: Mapping[str, Any], terms: Any,
    goal: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """One chip's fleet, or the reason why it has none."""
    from ...catalog import load_chip
    from ...explore import fleet as fleets
    from ...explore.full_load import loaded
    from ...money.hour import chip_hour
    from ...money.sites import finance

    device = load_chip(chip)
    try:
        answer = loaded(chip, model, speed=limit[0], ttft=limit[1], **question).to_dict()
        count, watts = answer["deployment"]["chips"], answer["energy"]
        power = [watts[k] / count if k in watts else None for k in ("system_power_w", "system_rated_w")]
        hour = chip_hour(device, terms, *power)
        build = None
        if goal["build"]:
            from ...money.amounts import convert

            build = convert(finance("build_cost_per_mw", terms.on).value, "USD", terms.currency, terms.on, terms.rates)
        unit = fleets.unit_of(answer, device, hour, build_per_mw=build)
        found = fleet_for(unit, goal)
    except UsageError:
        raise
    except TokcalcError as error:
        return {"chip": device.id, "reason": str(error), "error": error}
    return {"chip": device.id, "answer": answer, "unit": unit, "fleet": found, "hour": hour}


def fleet_for(unit: Any, goal: Mapping[str, Any]) -> Any:
    """The fleet that meets the goal."""
    from ...explore import fleet as fleets

    peak, rack = goal["peak_factor"], goal["rack_kw"]
    if "demand" in goal:
        return fleets.for_demand(unit, goal["demand"], goal["reserve"], rack)
    if "budget" in goal:
        return fleets.for_budget(unit, goal["budget"], peak, goal["running_years"], rack)
    if "power" in goal:
        return fleets.for_power(unit, goal["power"], peak, rack)
    return fleets.for_systems(unit, goal["systems"], peak, rack)


def _grow(
    rows: list[dict[str, Any]], goal: Mapping[str, Any], years: int, growth: float | None,
    price_decline: float | None, plan: Mapping[str, Any], on: str | None,
) -> None:  # fmt: skip
    from ...explore.growth import grow
    from ...money.pricebook import as_date

    factor = plan["growth"] if growth is None else growth
    decline = plan["price_decline"] if price_decline is None else price_decline
    for row in rows:
        if "fleet" in row:
            row["years"] = grow(row["unit"], goal["demand"], as_date(on).year, years, factor, decline, goal["reserve"])
            row["growth"] = (factor, decline)


def as_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """One fleet as flat numbers, for JSON and tables."""
    if "fleet" not in row:
        return {"chip": row["chip"], "reason": row["reason"]}
    f, unit, answer = row["fleet"], row["unit"], row["answer"]
    into, out, blended = f.per_million()
    return {
        "chip": row["chip"], "model": answer["model"], "chips": f.chips, "systems": f.systems,
        "racks": f.racks,
        "it_mw": f.it_mw, "site_mw": f.site_mw, "currency": unit.currency, "way": unit.way,
        "upfront": f.upfront,
        **{f"upfront_{k}": v * f.units for k, v in unit.upfront.items()},
        "per_year": f.yearly_total, **{f"per_year_{k.replace(' ', '_')}": v for k, v in f.yearly.items()},
        "output_tokens_per_day": f.served_output_per_day, "input_tokens_per_day": f.served_input_per_day,
        "capacity_output_tokens_per_day": f.capacity_output_per_day, "peak_factor": f.peak_factor,
        "spare": f.spare, "per_m_input": into, "per_m_output": out, "per_m_blended": blended,
        "output_tok_s_user": answer["speed"]["output_tok_s_user"]["value"],
        "chips_per_replica": answer["deployment"]["chips"], "grade": answer["grade"],
        "price_grade": unit.grade,
    }  # fmt: skip


def _show(
    rows: Sequence[Mapping[str, Any]], goal: Mapping[str, Any], limit: tuple[float | None, float | None],
    json_: bool,
    exports: Sequence[str], plot: str | None,
) -> None:  # fmt: skip
    records = [as_record(row) for row in rows]
    for row, record in zip(rows, records, strict=True):
        if "years" in row:
            record["years"] = [asdict(year) for year in row["years"]]
    if json_:
        import json

        json.dump(records if len(records) > 1 else records[0], sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        print("\n".join(fleet_text.page(rows, goal, limit, text.width())))
    if exports:
        from ...report import write

        flat = [{k: v for k, v in record.items() if k != "years"} for record in records]
        grown = [{"chip": r["chip"], **year} for r in records for year in r.get("years", [])]
        for path in exports:
            write(grown or flat, path)
            print(f"wrote {path}", file=sys.stderr)
    if plot:
        from ...explore.growth import plot_rows
        from ...report.plots import growth as growth_plot
        from ...report.plots import save

        points = [point for row in rows if "years" in row for point in plot_rows(row["years"], row["chip"])]
        code = next(row["unit"].currency for row in rows if "unit" in row)
        chart = growth_plot(points, y_title=f"cost per million output tokens ({code})", title="cost over the years")
        save(chart, plot)
        print(f"wrote {plot}", file=sys.stderr)
