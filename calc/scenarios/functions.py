"""What a scenario's expressions may ask of the program: prices of a day, speeds, costs, fleets.

Every price is of the scenario's own day, so that an old claim is judged by its own market.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..catalog import find_id, load_chip, load_model
from ..errors import NoAnswer, UsageError
from ..explore.fleet import demand_of, for_budget, for_demand, for_power, unit_of
from ..explore.full_load import loaded
from ..money.amounts import fx
from ..money.hour import Terms, chip_hour
from ..money.list_prices import api_price
from ..money.purchases import purchase
from ..money.rents import rental
from ..money.sites import finance
from ..serving.wide_ep import decode_tok_s_chip, prefill_tok_s_chip

_QUESTION = (
    *("isl", "osl", "concurrency", "weights", "kv", "chips", "cache_hit", "draft", "acceptance"),
    *("utilisation", "software_date", "engine"),
)
_WHOLE = ("isl", "osl", "chips", "draft")
_WIDE_DECODE = ("batch", "speed", "weights", "draft", "acceptance", "software_date")
_WIDE_PREFILL = ("cache_hit", "tokens", "weights", "balanced", "software_date")


def functions(on: str | None) -> dict[str, Callable[..., Any]]:
    """The functions by name, with prices of the day `on`."""
    program = Program(on)
    return {name: getattr(program, name) for name in vars(Program) if not name.startswith("_")}


@lru_cache(maxsize=256)
def _loaded(chip: str, model: str, speed: float, on: str | None, asked: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The answer at the largest load within the speed, once for all claims that ask for it."""
    question = {key: round(value) if key in _WHOLE else value for key, value in asked}
    if isinstance(question.get("concurrency"), float):
        question["concurrency"] = round(question["concurrency"])
    return loaded(chip, model, speed=speed, on=on, **question).to_dict()


def _known(asked: Mapping[str, Any], names: tuple[str, ...], what: str) -> Mapping[str, Any]:
    """The options; UsageError names one that is not known."""
    unknown = sorted(set(asked) - set(names))
    if unknown:
        raise UsageError(f"{unknown[0]} is not an option of {what}; known: {', '.join(names)}.")
    return asked


class Program:
    """The program as an expression sees it: each public method is a function of that name."""

    def __init__(self, on: str | None) -> None:
        self._on = on or None

    def _answer(self, chip: str, model: str, speed: float = 20.0, **asked: Any) -> dict[str, Any]:
        question = _known(asked, _QUESTION, "a scenario's question")
        return _loaded(chip, model, float(speed), self._on, tuple(sorted(question.items())))

    def user_speed(self, chip: str, model: str, **asked: Any) -> float:
        """Tokens/s of one user, alone unless a concurrency is given."""
        asked.setdefault("concurrency", 1)
        return float(self._answer(chip, model, **asked)["speed"]["output_tok_s_user"]["value"])

    def system_speed(self, chip: str, model: str, **asked: Any) -> float:
        """Output tokens/s of a replica at the largest load within the speed limit."""
        return float(self._answer(chip, model, **asked)["speed"]["output_tok_s"]["value"])

    def chips(self, chip: str, model: str, **asked: Any) -> float:
        """Chips of that replica."""
        return float(self._answer(chip, model, **asked)["deployment"]["chips"])

    def cost(self, chip: str, model: str, kind: str = "output", **asked: Any) -> float:
        """USD per million tokens: output, input or blended."""
        money = self._answer(chip, model, **asked)["cost"]
        if kind not in ("output", "input", "blended"):
            raise UsageError(f'cost of "{kind}" is not known; choose output, input or blended.')
        value = money.get(f"per_m_{kind}")
        if value is None:
            raise NoAnswer(str(money.get("reason")))
        return float(value)

    def rent(self, chip: str) -> float:
        """USD an hour of one chip."""
        found = rental(find_id("chips", chip), self._on)
        if found is None:
            raise NoAnswer(f"No rent of {chip} is known.")
        return found.value

    def purchase(self, chip: str) -> float:
        """USD to buy one chip: its share of a system where one is priced, else a card."""
        found = purchase(find_id("chips", chip), self._on)
        if found is None:
            raise NoAnswer(f"No purchase price of {chip} is known.")
        return found.value

    def api(self, model: str, provider: str, kind: str) -> float:
        """List price in USD per million tokens: input, output or cached."""
        found = api_price(model, provider, self._on)
        value = {"input": found.input, "output": found.output, "cached": found.cached_input}.get(kind)
        if value is None:
            raise NoAnswer(f'{provider} lists no price of "{kind}" tokens for {model}.')
        return value

    def peak(self, chip: str, kind: str) -> float:
        """Dense operations per second of one chip."""
        found = load_chip(chip).peak_ops_s
        if kind not in found:
            raise UsageError(f"{chip} has no peak for {kind}; it has {', '.join(found)}.")
        return found[kind]

    def active(self, model: str) -> float:
        """Parameters that one token meets."""
        return float(load_model(model).params_active)

    def fx(self, currency: str) -> float:
        """Units of a currency for a dollar."""
        return fx(currency, self._on)

    def fleet(
        self,
        chip: str,
        model: str,
        what: str,
        *,
        budget: float | None = None,
        mw: float | None = None,
        tokens_per_day: float | None = None,
        peak_factor: float = 2.0,
        build: float = 0.0,
        running_years: float = 0.0,
        **asked: Any,
    ) -> float:
        """chips, systems, racks, mw, upfront, per_year, tokens_per_day or per_m_output of a fleet (USD)."""
        found = self._answer(chip, model, **asked)
        device, count, watts = load_chip(chip), found["deployment"]["chips"], found["energy"]
        power = [watts[k] / count if k in watts else None for k in ("system_power_w", "system_rated_w")]
        hour = chip_hour(device, Terms(own={}, on=self._on), *power)
        per_mw = finance("build_cost_per_mw", self._on).value if build else None
        unit = unit_of(found, device, hour, build_per_mw=per_mw)
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
            "chips": made.chips,
            "systems": made.systems,
            "racks": made.racks,
            "mw": made.site_mw,
            "upfront": made.upfront,
            "per_year": made.yearly_total,
            "tokens_per_day": made.served_output_per_day,
            "per_m_output": made.per_million()[1],
        }
        if what not in figures:
            raise UsageError(f'fleet figure "{what}" is not known; choose {", ".join(figures)}.')
        return float(figures[what])

    def wide_decode(self, chip: str, model: str, chips: float, context: float, **asked: Any) -> float:
        """Output tokens/s of one chip of a wide expert parallel deployment that only generates."""
        return decode_tok_s_chip(chip, model, round(chips), context, **self._wide(asked, _WIDE_DECODE))

    def wide_prefill(self, chip: str, model: str, chips: float, isl: float, **asked: Any) -> float:
        """Computed input tokens/s of one chip of a wide expert parallel deployment that only reads prompts."""
        return prefill_tok_s_chip(chip, model, round(chips), isl, **self._wide(asked, _WIDE_PREFILL))

    def _wide(self, asked: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """The options of a phase, in their own types; software of the scenario's day unless another is given."""
        kinds: dict[str, Callable[[Any], Any]] = {"draft": round, "balanced": bool}
        known = _known(asked, names, "a wide expert parallel phase")
        return {"software_date": self._on or ""} | {k: kinds.get(k, lambda v: v)(v) for k, v in known.items()}
