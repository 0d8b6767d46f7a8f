"""What a scenario's expressions may ask of the program: prices of a day, speeds, costs, fleets.

Before: catalog, prices, `loading.loaded`, fleet.py. After: scenario_math.evaluate calls them by name. Every
price is of the scenario's own day, so that an old claim is judged by its own market.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..errors import NoAnswer, UsageError

_QUESTION = (
    "isl", "osl", "concurrency", "weights", "kv", "chips", "cache_hit", "draft", "acceptance",
    "utilisation", "software_date", "engine",
)  # fmt: skip


@lru_cache(maxsize=256)
def _answer(chip: str, model: str, speed: float, on: str, asked: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    from ..explore.full_load import loaded

    question: dict[str, Any] = dict(asked)
    for key in ("isl", "osl", "chips", "draft"):
        if key in question:
            question[key] = round(question[key])
    if isinstance(question.get("concurrency"), float):
        question["concurrency"] = round(question["concurrency"])
    return loaded(chip, model, speed=speed, on=on or None, **question).to_dict()


def functions(on: str | None) -> dict[str, Callable[..., Any]]:
    """The functions by name, with prices of the day `on`."""

    def answer(chip: str, model: str, speed: float = 20.0, **asked: Any) -> Mapping[str, Any]:
        unknown = sorted(set(asked) - set(_QUESTION))
        if unknown:
            raise UsageError(f"{unknown[0]} is not an option of a scenario's question; known: {', '.join(_QUESTION)}.")
        return _answer(chip, model, float(speed), on or "", tuple(sorted(asked.items())))

    def user_speed(chip: str, model: str, **asked: Any) -> float:
        """Tokens/s of one user, alone unless a concurrency is given."""
        asked.setdefault("concurrency", 1)
        return float(answer(chip, model, **asked)["speed"]["output_tok_s_user"]["value"])

    def system_speed(chip: str, model: str, **asked: Any) -> float:
        """Output tokens/s of a replica at the largest load within the speed limit."""
        return float(answer(chip, model, **asked)["speed"]["output_tok_s"]["value"])

    def chips(chip: str, model: str, **asked: Any) -> float:
        """Chips of that replica."""
        return float(answer(chip, model, **asked)["deployment"]["chips"])

    def cost(chip: str, model: str, kind: str = "output", **asked: Any) -> float:
        """USD per million tokens: output, input or blended."""
        money = answer(chip, model, **asked)["cost"]
        if kind not in ("output", "input", "blended"):
            raise UsageError(f'cost of "{kind}" is not known; choose output, input or blended.')
        value = money.get(f"per_m_{kind}")
        if value is None:
            raise NoAnswer(str(money.get("reason")))
        return float(value)

    def rent(chip: str) -> float:
        """USD an hour of one chip."""
        from ..catalog import find_id
        from ..money.rents import rental

        found = rental(find_id("chips", chip), on)
        if found is None:
            raise NoAnswer(f"No rent of {chip} is known.")
        return found.value

    def purchase(chip: str) -> float:
        """USD to buy one chip: its share of a system where one is priced, else a card."""
        from ..catalog import find_id
        from ..money.purchases import purchase as bought

        found = bought(find_id("chips", chip), on)
        if found is None:
            raise NoAnswer(f"No purchase price of {chip} is known.")
        return found.value

    def api(model: str, provider: str, kind: str) -> float:
        """List price in USD per million tokens: input, output or cached."""
        from ..money.list_prices import api_price

        found = api_price(model, provider, on)
        value = {"input": found.input, "output": found.output, "cached": found.cached_input}.get(kind)
        if value is None:
            raise NoAnswer(f'{provider} lists no price of "{kind}" tokens for {model}.')
        return value

    def peak(chip: str, kind: str) -> float:
        """Dense operations per second of one chip."""
        from ..catalog import load_chip

        found = load_chip(chip).peak_ops_s
        if kind not in found:
            raise UsageError(f"{chip} has no peak for {kind}; it has {', '.join(found)}.")
        return found[kind]

    def active(model: str) -> float:
        """Parameters that one token meets."""
        from ..catalog import load_model

        return float(load_model(model).params_active)

    def fx(currency: str) -> float:
        """Units of a currency for a dollar."""
        from ..money.amounts import fx as rate

        return rate(currency, on)

    def fleet(chip: str, model: str, what: str, **asked: Any) -> float:
        """chips, systems, racks, mw, upfront, per_year, tokens_per_day or per_m_output of a fleet (USD)."""
        return _fleet(chip, model, what, on, answer, **asked)

    def wide_decode(chip: str, model: str, chips: float, context: float, **asked: Any) -> float:
        """Output tokens/s of one chip of a wide expert parallel deployment that only generates."""
        from ..serving.wide_ep import decode_tok_s_chip

        known = _known(asked, ("batch", "speed", "weights", "draft", "acceptance", "software_date"))
        return decode_tok_s_chip(chip, model, round(chips), context, **{"software_date": on or "", **known})

    def wide_prefill(chip: str, model: str, chips: float, isl: float, **asked: Any) -> float:
        """Computed input tokens/s of one chip of a wide expert parallel deployment that only reads prompts."""
        from ..serving.wide_ep import prefill_tok_s_chip

        known = _known(asked, ("cache_hit", "tokens", "weights", "balanced", "software_date"))
        return prefill_tok_s_chip(chip, model, round(chips), isl, **{"software_date": on or "", **known})

    return {
        f.__name__: f
        for f in (
            user_speed, system_speed, chips, cost, rent, purchase, api, peak, active, fx, fleet, wide_decode,
            wide_prefill,
        )
    }  # fmt: skip


def _known(asked: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The options, `draft` as a whole number; UsageError names one that is not known."""
    unknown = sorted(set(asked) - set(names))
    if unknown:
        raise UsageError(f"{unknown[0]} is not an option of a wide expert parallel phase; known: {', '.join(names)}.")
    return {k: round(v) if k == "draft" else bool(v) if k == "balanced" else v for k, v in asked.items()}


def _fleet(
    chip: str, model: str, what: str, on: str | None, answer: Callable[..., Mapping[str, Any]], *,
    budget: float | None = None, mw: float | None = None, tokens_per_day: float | None = None,
    peak_factor: float = 2.0, build: float = 0.0, running_years: float = 0.0, **asked: Any,
) -> float:  # fmt: skip
    from ..catalog import load_chip
    from ..explore.fleet import demand_of, for_budget, for_demand, for_power, unit_of
    from ..money.hour import Terms, chip_hour
    from ..money.sites import finance

    found = answer(chip, model, **asked)
    device, count, watts = load_chip(chip), found["deployment"]["chips"], found["energy"]
    power = [watts[k] / count if k in watts else None for k in ("system_power_w", "system_rated_w")]
    hour = chip_hour(device, Terms(own={}, on=on), *power)
    unit = unit_of(found, device, hour, build_per_mw=finance("build_cost_per_mw", on).value if build else None)
    if budget is not None:
        made = for_budget(unit, budget, peak_factor, running_years)
    elif mw is not None:
        made = for_power(unit, mw * 1e6, peak_factor)
    elif tokens_per_day is not None:
        work = found["workload"]
        made = for_demand(unit, demand_of(tokens_per_day, work["isl"], work["osl"], peak_factor))
    else:
        raise UsageError("fleet() needs budget=, mw= or tokens_per_day=.")
    figures = {
        "chips": made.chips, "systems": made.systems, "racks": made.racks, "mw": made.site_mw,
        "upfront": made.upfront, "per_year": made.yearly_total, "tokens_per_day": made.served_output_per_day,
        "per_m_output": made.per_million()[1],
    }  # fmt: skip
    if what not in figures:
        raise UsageError(f'fleet figure "{what}" is not known; choose {", ".join(figures)}.')
    return float(figures[what])
