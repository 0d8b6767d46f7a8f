"""Options that several commands take, declared once: single ones, and groups that travel together.

A command names its groups as parameters (`def plan(pair: Pair, price: Price, ...)`); `flat` hands their options to
typer one by one, and the values back in groups. Annotations are objects here, not texts: typer would evaluate texts
three times over, and the main question would wait for it.
"""

import inspect
import re
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, get_type_hints

import typer

from ..errors import UsageError
from . import values

Text = str | None
Real = float | None
Whole = int | None
Texts = list[str] | None


def option(default: Any, help: str, metavar: str | None = None, **how: Any) -> Any:
    """An option: its default, what it is, and how its value is written; its name is that of the attribute."""
    return typer.Option(default, help=help, metavar=metavar, **how)


question, workload, deployment, money, what_if, output = (
    partial(option, rich_help_panel=title)
    for title in ("Question", "Workload", "Deployment", "Money", "What if", "Output")
)
"""An option under one of the titles of `tokcalc --help`."""

CHIPS = question(None, "Chips: id, alias, prefix or file.", "NAME[,NAME]")
MODEL = question(None, "Model: id, alias, prefix or file.", "NAME")
MODELS = question(None, "Models, likewise.", "NAME[,NAME]")
MIN_SPEED = workload(None, "Tokens/s that a service gives each user; else as its kind of chip.", "TOK/S")
MAX_TTFT = workload(None, "First token that a service promises; 2 unless given.", "SECONDS")
CACHE_HIT = workload(0.0, "Share of the input found in cache.", "SHARE")
DRAFT = workload(None, "Tokens drafted per step, or the fastest number.", "N|best")
ACCEPTANCE = workload(None, "Chance that a drafted token is accepted.", "SHARE")
WEIGHTS = deployment(None, "Data type of the weights: bf16, fp8, ...", "TYPE")
KV = deployment(None, "Data type of the KV cache.", "TYPE")
NUMBER = deployment(None, "Number of chips; else as many as make a chip most productive.", "N")
ENGINE = deployment(None, "Serving engine: vllm, sglang, ...", "NAME")
ON = money(None, "Prices as of YYYY-MM-DD.", "DATE")
CURRENCY = money("USD", "Currency of the answer.", "CODE")
GRID = money(None, "Grid for CO2: KR, US, 0.43 kg/kWh.", "REGION|KG")
UTILISATION = money(1.0, "Share of the paid hours in use.", "SHARE")
MEMORY = what_if(None, "Swap the memory generation: hbm4, ...", "NAME")
SET = what_if(None, "Override a field of the chips.", "PATH=VALUE")
VENDOR = option(None, "Of this vendor.", "NAME")


class Group:
    """Options that travel together: each annotated attribute of a subclass is one."""

    def __init__(self, **given: Any) -> None:
        vars(self).update({name: given[name] for name in get_type_hints(type(self))})

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """The options as parameters of a command; a flag has no --no-, and no name ends in an underscore."""
        found = []
        for name, hint in get_type_hints(cls).items():
            declared = getattr(cls, name)
            if hint is bool or name.endswith("_"):
                declared = copy(declared)
                declared.param_decls = (f"--{name.rstrip('_').replace('_', '-')}",)
            found.append(inspect.Parameter(name, _KIND, annotation=hint, default=declared))
        return found


_KIND = inspect.Parameter.KEYWORD_ONLY


def flat(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the options of its groups in place of the groups, as typer takes it."""
    groups: dict[str, type[Group]] = {}
    parameters: list[inspect.Parameter] = []
    hints = get_type_hints(function, include_extras=True)
    given = inspect.signature(function).parameters
    for name, parameter in given.items():
        if isinstance(hints[name], type) and issubclass(hints[name], Group):
            groups[name] = hints[name]
            parameters += hints[name].parameters()
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=_KIND))

    def run(**found: Any) -> None:
        function(**{name: groups[name](**found) if name in groups else found[name] for name in given})

    # every example is a paragraph of its own, or the help would run them together
    run.__name__, run.__doc__ = function.__name__, re.sub(r"\n+( +tokcalc )", r"\n\n\1", function.__doc__ or "")
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


class Pair(Group):
    """Which chips with which models."""

    chip: Text = CHIPS
    model: Text = MODELS

    def chips(self, example: str = "h100") -> list[str]:
        return values.names("--chip", self.chip, example, "chips")

    def models(self, example: str = "llama-70b") -> list[str]:
        return values.names("--model", self.model, example, "models")

    def one_model(self, example: str = "llama-70b") -> str:
        """The model, where a command is about one."""
        found = self.models(example)
        if len(found) > 1:
            raise UsageError("--model takes one model here; ask once for each")
        return found[0]


class Lengths(Group):
    """Tokens of a request."""

    isl: str = workload("1024", "Input length: 1000, 8k, 128Ki.", "TOKENS")
    osl: str = workload("1024", "Output length.", "TOKENS")

    def tokens(self) -> dict[str, Any]:
        return {"isl": values.length("--isl", self.isl), "osl": values.length("--osl", self.osl)}


class Price(Group):
    """How an hour of a chip is priced."""

    rent: Text = money(None, 'Your price per chip: "2.5 USD/h".', "PRICE")
    price: Text = money(None, "on-demand, reserved, spot or a provider; @CN.", "TERMS")
    on: Text = ON
    currency: str = CURRENCY

    def keywords(self) -> dict[str, Any]:
        """The same, checked, as keywords of an estimate."""
        on, currency = values.date("--on", self.on), self.currency and self.currency.strip().upper()
        return {"rent": self.rent, "price": self.price, "on": on, "currency": currency}


class Rates(Price):
    """With rates of exchange."""

    fx: Text = money(None, "Your rates per dollar: KRW=1400,EUR=0.9.", "RATES")


class Hour(Rates):
    """With the choice to own the chip."""

    own: bool = money(False, "Price the hour by owning the chip, not by renting.")


class Cut(Group):
    """How many chips, and how a model is cut over them."""

    chips: Whole = NUMBER
    tp: Whole = deployment(None, "Tensor-parallel degree.", "N")
    pp: Whole = deployment(None, "Pipeline-parallel degree.", "N")
    dp: Whole = deployment(None, "Data-parallel degree.", "N")
    ep: Whole = deployment(None, "Expert-parallel degree.", "N")


class WhatIf(Group):
    """A chip otherwise than it is built."""

    memory: Text = MEMORY
    set_: Texts = SET

    def keywords(self) -> dict[str, Any]:
        return {"memory": self.memory, "overrides": values.assignments(self.set_)}
