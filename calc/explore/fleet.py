"""How many machines serve a demand, fit a budget or a power limit, and what they cost.

Arithmetic over one loaded answer. Before: `loading.loaded` (what a replica gives within the latency limit)
and hourly.py (what a chip costs its owner). After: growth.py and `tokcalc fleet`. A fleet is made of whole
units: a system with the replicas that it holds, or the systems that one replica needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..catalog.tables import planning
from ..checks import not_negative, positive
from ..errors import NoAnswer, UsageError
from ..money.energy import power_at

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..money.hour import Hour

HOURS_PER_YEAR = 8766.0
SECONDS_PER_DAY = 86400.0
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True)
class Demand:
    """Tokens of a day and how much busier the busiest hour is than the average one."""

    output_per_day: float
    input_per_day: float
    peak_factor: float

    @property
    def peak_output_tok_s(self) -> float:
        """Output tokens per second in the busiest hour: per day x peak factor / 86,400."""
        return self.output_per_day * self.peak_factor / SECONDS_PER_DAY


def demand_of(output_per_day: float, isl: float, osl: float, peak_factor: float) -> Demand:
    """A demand in output tokens a day, of requests of isl + osl tokens."""
    positive(output_per_day, "The demand in tokens a day")
    if not 1 <= peak_factor <= 1000:
        raise UsageError(f"The peak factor must be from 1 (the average hour) to 1000, not {peak_factor:g}.")
    return Demand(output_per_day, output_per_day * isl / osl, peak_factor)


def demand_of_users(
    users: float, sessions: float, requests: float, isl: float, osl: float, peak_factor: float
) -> Demand:
    """Users x sessions x requests x tokens: a million users, 2 x 5 requests of 512 make 5.12e9 a day."""
    for value, name in ((users, "Users"), (sessions, "Sessions a day"), (requests, "Requests a session")):
        positive(value, name)
    return demand_of(users * sessions * requests * osl, isl, osl, peak_factor)


@dataclass(frozen=True)
class Unit:
    """The smallest number of systems that serves: its chips, replicas, tokens, watts and money.

    upfront: purchase of machines, then network, then buildings (0 when let); hourly: money per hour that
    does not depend on load; energy_price: money per kWh at the meter of the machines (PUE included); wear:
    money per hour of depreciation and capital. Rented: upfront is 0 and hourly the rent.
    """

    systems: int
    chips: int
    replicas: int
    output_tok_s: float
    input_tok_s: float
    prefill_share: float
    rated_w: float
    loaded_w: float
    awake_w: float
    pue: float
    currency: str
    upfront: Mapping[str, float]
    hourly: Mapping[str, float]
    energy_price: float
    wear: float
    way: str
    grade: str

    @property
    def upfront_total(self) -> float:
        """Money before the first token."""
        return sum(self.upfront.values())


def unit_of(
    answer: Mapping[str, Any],
    chip: Chip,
    hour: Hour,
    *,
    build_per_mw: float | None = None,
    build_life_years: float = 15.0,
) -> Unit:
    """The unit of a loaded answer with the hour that its chip costs; build_per_mw: buildings are bought."""
    from ..physics.power import load_shares

    replica, per_system = int(answer["deployment"]["chips"]), max(1, chip.chips_per_system or 1)
    systems = 1 if replica <= per_system else math.ceil(replica / per_system)
    replicas = per_system // replica if replica <= per_system else 1
    chips = systems * per_system
    energy = answer["energy"]
    if "system_rated_w" not in energy:
        raise NoAnswer(str(energy.get("reason") or f"no power figure of {chip.name} is published"))
    rated = energy["system_rated_w"] / replica * chips
    loaded = energy["system_power_w"] / replica * chips
    awake = min(loaded, rated * load_shares().awake)
    speed = answer["speed"]
    money = answer["cost"]
    share = _prefill_share(money, speed)
    pue, price, upfront, hourly, wear = 1.0, 0.0, {}, {"rent": hour.value * chips}, 0.0
    pue = float(energy["pue"])
    if hour.owned is not None:
        own = hour.owned.inputs
        machines = float(own.purchase) * chips
        network = float(machines * own.network_share / (1.0 - own.network_share))
        parts = {name: money * chips for name, money in hour.parts}
        upfront = {"machines": machines, "network": network}
        wear = parts["chip and host"] + parts["network"] + parts["cost of capital"]
        hourly = {"space": parts["space"], "staff": parts["staff"]}
        pue, price = float(own.pue), float(own.electricity) * float(own.pue)
        if build_per_mw is not None:
            from ..money.ownership import capital_per_hour, depreciation_per_hour

            not_negative(build_per_mw, "The cost of buildings")
            building = rated / 1e6 * build_per_mw
            upfront["buildings"] = building
            hourly["space"] = 0.0
            wear += float(
                depreciation_per_hour(building, build_life_years)
                + capital_per_hour(building, build_life_years, own.cost_of_capital)
            )
    return Unit(
        systems,
        chips,
        replicas,
        speed["output_tok_s"]["value"] * replicas,
        speed["input_tok_s"]["value"] * replicas,
        share,
        rated,
        loaded,
        awake,
        pue,
        hour.currency,
        upfront,
        hourly,
        price,
        wear,
        hour.way,
        str(hour.price.get("grade") or "D"),
    )


def _prefill_share(money: Mapping[str, Any], speed: Mapping[str, Any]) -> float:
    """Input's share of the bill, back from the prices of input and output."""
    if money.get("per_m_input") is None:
        return 0.0
    of_input = money["per_m_input"] * speed["input_tok_s"]["value"]
    of_output = money["per_m_output"] * speed["output_tok_s"]["value"]
    return float(of_input / (of_input + of_output)) if of_input + of_output else 0.0


@dataclass(frozen=True)
class Fleet:
    """A number of units and what they serve. Money is in one currency; yearly parts sum to yearly_total."""

    unit: Unit
    units: int
    racks: int
    peak_factor: float
    served_output_per_day: float
    served_input_per_day: float
    capacity_output_per_day: float
    spare: float
    yearly: Mapping[str, float]

    @property
    def chips(self) -> int:
        """Chips of all systems."""
        return self.unit.chips * self.units

    @property
    def systems(self) -> int:
        """Systems of all units."""
        return self.unit.systems * self.units

    @property
    def it_mw(self) -> float:
        """Rated megawatts of the machines."""
        return self.unit.rated_w * self.units / 1e6

    @property
    def site_mw(self) -> float:
        """Rated megawatts at the meter: the machines' x PUE."""
        return self.it_mw * self.unit.pue

    @property
    def upfront(self) -> float:
        """Money before the first token."""
        return self.unit.upfront_total * self.units

    @property
    def yearly_total(self) -> float:
        """Money of a year, wear of what was bought included."""
        return sum(self.yearly.values())

    def per_million(self) -> tuple[float, float, float]:
        """(input, output, blended) money per million tokens served, by their share of the time."""
        out = self.served_output_per_day * DAYS_PER_YEAR / 1e6
        into = self.served_input_per_day * DAYS_PER_YEAR / 1e6
        share = self.unit.prefill_share if into else 0.0
        total = self.yearly_total
        return total * share / into if into else 0.0, total * (1 - share) / out, total / (into + out)


def fleet(
    unit: Unit, units: int, peak_factor: float, demand: Demand | None = None, rack_kw: float | None = None
) -> Fleet:
    """`units` of a unit serving a demand, or as much as they can at that peak factor."""
    if units < 1:
        raise NoAnswer("A fleet needs at least one system.")
    capacity = unit.output_tok_s * units * SECONDS_PER_DAY / peak_factor
    served = min(capacity, demand.output_per_day) if demand else capacity
    into = served * unit.input_tok_s / unit.output_tok_s
    load = served / (unit.output_tok_s * units * SECONDS_PER_DAY)
    watts = float(power_at(load, unit.awake_w, unit.loaded_w)) * units
    yearly = {name: money * units * HOURS_PER_YEAR for name, money in unit.hourly.items()}
    yearly["electricity"] = watts / 1000.0 * unit.energy_price * HOURS_PER_YEAR
    yearly["wear and capital"] = unit.wear * units * HOURS_PER_YEAR
    spare = capacity / demand.output_per_day - 1.0 if demand else 0.0
    return Fleet(
        unit,
        units,
        racks_of(unit, units, rack_kw),
        peak_factor,
        served,
        into,
        capacity,
        spare,
        {name: money for name, money in yearly.items() if money},
    )


def racks_of(unit: Unit, units: int, rack_kw: float | None = None) -> int:
    """Racks by power: as many systems as an air-cooled rack feeds; larger systems take liquid-cooled ones."""
    plan = planning()["fleet"]
    limit = float(positive(plan["rack_kw"] if rack_kw is None else rack_kw, "The power of a rack"))
    system_kw = unit.rated_w / unit.systems / 1000.0
    systems = unit.systems * units
    if system_kw <= limit:
        return math.ceil(systems / math.floor(limit / system_kw))
    return systems * math.ceil(system_kw / max(limit, float(plan["dense_rack_kw"])) - 1e-9)


def for_demand(unit: Unit, demand: Demand, reserve: float = 0.0, rack_kw: float | None = None) -> Fleet:
    """The fewest units whose capacity at the peak holds the demand, with `reserve` of it on top."""
    not_negative(reserve, "The reserve")
    units = max(1, math.ceil(demand.peak_output_tok_s * (1.0 + reserve) / unit.output_tok_s - 1e-9))
    return fleet(unit, units, demand.peak_factor, demand, rack_kw)


def for_budget(
    unit: Unit, budget: float, peak_factor: float, running_years: float = 0.0, rack_kw: float | None = None
) -> Fleet:
    """The most units that a budget pays: what is bought, and `running_years` of power, space, staff (rent:
    at least 1).

    NoAnswer, with the price of the smallest unit, when it pays none.
    """
    positive(budget, "The budget")
    years = max(running_years, 1.0) if not unit.upfront_total else running_years
    one = fleet(unit, 1, peak_factor, None, rack_kw)
    running = (one.yearly_total - one.yearly.get("wear and capital", 0.0)) * years
    price = unit.upfront_total + running
    units = math.floor(budget / price + 1e-9)
    if units < 1:
        from ..money.amounts import format_large

        raise NoAnswer(
            f"{format_large(budget, unit.currency)} buys no system: the smallest that serves, {unit.chips:,} "
            f"chips, "
            f"costs {format_large(price, unit.currency)}."
        )
    return fleet(unit, units, peak_factor, None, rack_kw)


def for_power(unit: Unit, watts: float, peak_factor: float, rack_kw: float | None = None) -> Fleet:
    """The most units whose rated power x PUE stays within `watts` at the meter; NoAnswer when none fits."""
    positive(watts, "The power")
    one = unit.rated_w * unit.pue
    units = math.floor(watts / one + 1e-9)
    if units < 1:
        raise NoAnswer(
            f"{watts / 1e3:,.4g} kW feed no system: the smallest that serves, {unit.chips:,} chips, "
            f"takes {one / 1e3:,.4g} kW at the meter."
        )
    return fleet(unit, units, peak_factor, None, rack_kw)


def for_systems(unit: Unit, systems: int, peak_factor: float, rack_kw: float | None = None) -> Fleet:
    """What a number of systems serves; NoAnswer when fewer than one replica needs."""
    units = systems // unit.systems
    if units < 1:
        raise NoAnswer(f"One replica needs {unit.systems:,} systems, {systems:,} are too few.")
    return fleet(unit, units, peak_factor, None, rack_kw)
