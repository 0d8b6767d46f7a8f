"""Options that several commands take, declared once: single ones, and groups that travel together.

A command names its groups as parameters (`def plan(pair: Pair, price: Price, ...)`); `flat` hands their options to
typer one by one, and the values back in groups. Annotations are objects here, not texts: typer would evaluate texts
three times over, and the main question would wait for it.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import UsageError
from . import values

Text = str | None
question, workload, deployment, money, what_if, output = (
    partial(typer.Option, rich_help_panel=title)
    for title in ("Question", "Workload", "Deployment", "Money", "What if", "Output")
)
"""An option under one of the titles of `tokcalc --help`."""

Chips = Annotated[Text, question(metavar="NAME[,NAME]", help="Chips: id, alias, prefix or file.")]
Model = Annotated[Text, question(metavar="NAME", help="Model: id, alias, prefix or file.")]
Models = Annotated[Text, question(metavar="NAME[,NAME]", help="Models, likewise.")]
Isl = Annotated[Text, workload(metavar="TOKENS", help="Input length of a request.")]
Osl = Annotated[Text, workload(metavar="TOKENS", help="Output length of a request.")]
MinSpeed = Annotated[
    float | None, workload(metavar="TOK/S", help="Tokens/s that a service gives each user [as its kind of chip].")
]
MaxTtft = Annotated[float | None, workload(metavar="SECONDS", help="First token that it promises [2].")]
CacheHit = Annotated[float, workload(metavar="SHARE", help="Share of the input found in cache.")]
Drafted = Annotated[Text, workload(metavar="N|best", help="Tokens drafted per step, or the fastest number.")]
Acceptance = Annotated[float | None, workload(metavar="SHARE", help="Chance that a drafted token is accepted.")]
Weights = Annotated[Text, deployment(metavar="TYPE", help="Data type of the weights: bf16, fp8, ...")]
Kv = Annotated[Text, deployment(metavar="TYPE", help="Data type of the KV cache.")]
Number = Annotated[int | None, deployment(metavar="N", help="Number of chips; else the fewest sensible.")]
Engine = Annotated[Text, deployment(metavar="NAME", help="Serving engine: vllm, sglang, ...")]
On = Annotated[Text, money("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")]
Currency = Annotated[str, money(metavar="CODE", help="Currency of the answer.")]
Grid = Annotated[Text, money(metavar="REGION|KG", help="Grid for CO2: KR, US, 0.43 kg/kWh.")]
Utilisation = Annotated[float, money(metavar="SHARE", help="Share of the paid hours in use.")]
Memory = Annotated[Text, what_if(metavar="NAME", help="Swap the memory generation: hbm4, ...")]
Set = Annotated[list[str] | None, what_if("--set", metavar="PATH=VALUE", help="Override a field of the chips.")]
Year = Annotated[Text, typer.Option(metavar="YEAR", help="2024, 2023-2025, 2024- or -2022.")]


class Group:
    """Options that travel together: each annotated attribute of a subclass is one, with its default."""

    def __init__(self, **given: Any) -> None:
        vars(self).update(given)

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """The options as parameters of a command."""
        return [_parameter(name, hint, getattr(cls, name)) for name, hint in _hints(cls).items()]


def _hints(thing: Any) -> dict[str, Any]:
    hints = get_type_hints(thing, include_extras=True)
    hints.pop("return", None)
    return hints


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def flat(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the options of its groups in place of the groups, as typer takes it."""
    groups: dict[str, tuple[type[Group], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    given = inspect.signature(function).parameters
    for name, hint in _hints(function).items():
        if isinstance(hint, type) and issubclass(hint, Group):
            own = hint.parameters()
            groups[name] = hint, [parameter.name for parameter in own]
            parameters += own
        else:
            parameters.append(_parameter(name, hint, given[name].default))

    def run(**found: Any) -> None:
        for name, (group, names) in groups.items():
            found[name] = group(**{option: found.pop(option) for option in names})
        function(**found)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


class Pair(Group):
    """Which chips with which models."""

    chip: Chips = None
    model: Models = None

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

    isl: Annotated[str, workload(metavar="TOKENS", help="Input length: 1000, 8k, 128Ki.")] = "1024"
    osl: Annotated[str, workload(metavar="TOKENS", help="Output length.")] = "1024"

    def tokens(self) -> dict[str, Any]:
        return {"isl": values.length("--isl", self.isl), "osl": values.length("--osl", self.osl)}


class Price(Group):
    """How an hour of a chip is priced."""

    rent: Annotated[Text, money(metavar="PRICE", help='Your price per chip: "2.5 USD/h".')] = None
    price: Annotated[Text, money(metavar="TERMS", help="on-demand, reserved, spot or a provider; @CN.")] = None
    on: On = None
    currency: Currency = "USD"

    def keywords(self) -> dict[str, Any]:
        """The same, checked, as keywords of an estimate."""
        on, currency = values.date("--on", self.on), self.currency and self.currency.strip().upper()
        return {"rent": self.rent, "price": self.price, "on": on, "currency": currency}


class Rates(Price):
    """With rates of exchange."""

    fx: Annotated[Text, money(metavar="RATES", help="Your rates per dollar: KRW=1400,EUR=0.9.")] = None


class Hour(Rates):
    """With the choice to own the chip."""

    own: Annotated[bool, money("--own", help="Price the hour by owning the chip, not by renting.")] = False


class Cut(Group):
    """How many chips, and how a model is cut over them."""

    chips: Number = None
    tp: Annotated[int | None, deployment(metavar="N", help="Tensor-parallel degree.")] = None
    pp: Annotated[int | None, deployment(metavar="N", help="Pipeline-parallel degree.")] = None
    dp: Annotated[int | None, deployment(metavar="N", help="Data-parallel degree.")] = None
    ep: Annotated[int | None, deployment(metavar="N", help="Expert-parallel degree.")] = None


class WhatIf(Group):
    """A chip otherwise than it is built."""

    memory: Memory = None
    set_: Set = None

    def keywords(self) -> dict[str, Any]:
        return {"memory": self.memory, "overrides": values.assignments(self.set_)}
