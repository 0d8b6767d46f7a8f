"""One question, one answer: what a chip gives and costs for running a model, with its band, grade and
sources.

Joins deployment, serving (or SRAM pipelines), money and energy into the `Answer` that every front end shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from ..catalog import load_chip, load_model, spec_word
from ..engines.constants import load_constants
from ..engines.engine import default_engine, find_engine
from ..engines.resolve import check_runs, own_software_note
from ..errors import DoesNotFit, UsageError
from ..serving.chooser import Limits
from ..serving.deployment import Wish, choose
from ..trust.grades import answer_grade
from . import answer, question
from . import streamed as parts
from .answer import Answer
from .question import Subject
from .repeated import repeated
from .service import cut_of, promised, service_of

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..models.model import Model
    from .question import Body, Question


@repeated
def estimate(
    chip: str | Chip,
    model: str | Model,
    *,
    isl: int = 1024,
    osl: int = 1024,
    concurrency: int | str | None = None,
    min_speed: float | None = None,
    max_ttft: float | None = None,
    weights: str | None = None,
    kv: str | None = None,
    chips: int | None = None,
    tp: int | None = None,
    pp: int | None = None,
    dp: int | None = None,
    ep: int | None = None,
    engine: str | None = None,
    rent: str | None = None,
    currency: str = "USD",
    on: str | None = None,
    price: str | None = None,
    cache_hit: float = 0.0,
    draft: int | str | None = None,
    acceptance: float | None = None,
    software_date: str | None = None,
    utilisation: float = 1.0,
    overrides: Mapping[str, str] | None = None,
    memory: str | None = None,
    fx: str | None = None,
    grid: str | None = None,
    own: Mapping[str, float] | None = None,
    region: str = "US",
    constants: Constants | None = None,
    stream: bool = False,
    rate: float | None = None,
) -> Answer:
    """The answer for a chip, a model and requests of isl + osl tokens: speed of one alone, money at a service's load.

    chip, model: names, spec files or loaded objects; concurrency: requests in flight instead, a number or "max" (what
    the KV pool holds); min_speed, max_ttft: tokens/s of a user and seconds to the first token that a service promises;
    rent: "2.5 USD/h" per chip; cache_hit: share of input found in a cache; draft, acceptance: speculation.
    draft "best": the length that is fastest at this load, told with where drafting stops paying.
    rate: requests per second that arrive on their own instead of `concurrency` in flight (open loop).
    stream: weights beside a wafer too small for them come from the memory next to it.
    fx: "KRW=1400", rates of your own; grid: a region or kg CO2e per kWh; own: inputs of ownership ({} for the
    dated ones) instead of a rent; region: of its electricity; constants: fitted constants other than those
    shipped. Raises UnknownName, SpecError, UsageError (exit 2) and DoesNotFit, NoAnswer (exit 1).
    """
    pick = draft == "best"
    draft = 1 if pick else _whole(draft)
    _check(concurrency, cache_hit, draft, {"chips": chips, "tp": tp, "pp": pp, "dp": dp, "ep": ep})
    if rate is not None and concurrency is not None:
        raise UsageError(f"--rate {rate:g} and --concurrency {concurrency} are two loads; give one of them")
    device = load_chip(chip, overrides, memory) if isinstance(chip, str) else chip
    network = load_model(model) if isinstance(model, str) else model
    constants = constants or load_constants()
    software = find_engine(constants, engine or default_engine(device), date=software_date or "")
    check_runs(constants, software, device)
    ask = question.Question(
        isl=_count("isl", isl),
        osl=_count("osl", osl),
        concurrency=concurrency,
        cache_hit=cache_hit,
        draft=draft or 0,
        acceptance=_acceptance(draft, acceptance),
        rent=rent,
        currency=currency,
        on=on,
        price=price,
        utilisation=utilisation,
        software_date=software_date,
        fx=fx,
        grid=grid,
        own=own,
        region=region,
        rate=_rate(rate, device),
        limits=_limits(min_speed, max_ttft, device),
    )
    if engine and (stack_note := own_software_note(constants, software, device)):
        ask = ask.with_note(stack_note)
    if device.what_if_note:
        ask = ask.with_note(device.what_if_note)
    if ask.isl + ask.osl > network.max_context:
        note = f"{ask.isl + ask.osl:,} tokens are beyond the {network.max_context:,} that {network.name} was made for"
        ask = ask.with_note(note)
    if draft:
        from ..serving.drafting import check_draft

        check_draft(device, network, constants, "ngram")
    if stream and not device.weights_in_sram:
        raise UsageError(
            f"--stream is for chips that hold weights in SRAM; {device.name} streams them from memory anyway"
        )
    chips = 1 if stream and chips is None else chips
    wish = Wish(weights, kv, chips, tp, pp, dp, ep)
    if pick:
        from .draft_length import best_length

        count, note = best_length(device, network, (software, constants), ask, wish)
        draft, acceptance = (count, acceptance) if count else (None, None)
        ask = replace(ask, draft=count, acceptance=acceptance or 0.0).with_note(note)
    service = None
    if not stream:
        built = load_chip(device.id) if device.what_if else device  # what-ifs keep the cut of the chip as it is built
        if built is not device:
            with suppress(DoesNotFit):
                wish = service_of(built, network, (software, constants), ask, wish).wish
        if rate is None and concurrency is None:
            service = service_of(device, network, (software, constants), ask, wish)
            wish, ask = service.wish, ask.with_note(service.note)
        else:  # the machine of a service, at another load
            wish = cut_of(device, network, (software, constants), ask, wish)
            if rate is not None:
                ask = replace(ask, concurrency=1)
    runs = _machine(device, network, (software, constants), wish, ask, stream)
    body = runs(replace(ask, concurrency=1) if service else ask)
    at_load = runs(replace(ask, concurrency=service.concurrency)) if service else None
    grade = answer_grade(device, constants, body.scope, network.is_moe)
    command = _command(locals(), body)
    return Answer(answer.assemble(Subject(device, network, grade), body, ask, command, service=(service, at_load)))


def _machine(
    chip: Chip, model: Model, software: tuple[Engine, Constants], wish: Wish, ask: Question, stream: bool
) -> Callable[[Question], Body]:
    """The machine that was wished for or, where degrees are open, chosen for the load, as what answers a question."""
    if chip.weights_in_sram:
        from .pipelined import sram_answer

        return lambda asked: sram_answer(chip, model, software[0], asked, wish, stream=stream)
    deployment = choose(chip, model, software[0], wish, batch=1.0, context=ask.isl + ask.osl)
    return lambda asked: parts.served_answer(deployment, software[1], asked)


def _limits(min_speed: float | None, max_ttft: float | None, chip: Chip) -> Limits | None:
    """What was asked for every user; what is left out is as promised. None: nothing was asked."""
    if min_speed is None and max_ttft is None:
        return None
    for value, option, unit in ((min_speed, "--min-speed", "tokens/s"), (max_ttft, "--max-ttft", "seconds")):
        if value is not None and not value > 0.0:
            raise UsageError(f"{option} must be a number of {unit} above zero, not {value:g}.")
    usual = promised(chip)
    return Limits(
        usual.tpot_s if min_speed is None else 1.0 / min_speed, usual.ttft_s if max_ttft is None else max_ttft
    )


def _check(
    concurrency: int | str | None, cache_hit: float, draft: int | None, degrees: Mapping[str, int | None]
) -> None:
    """UsageError for a load or a degree that is no number of requests, share or chips."""
    if concurrency not in ("max", None) and not (
        isinstance(concurrency, int | float) and 1 <= concurrency <= _MOST and concurrency == int(concurrency)
    ):
        raise UsageError(f"--concurrency {concurrency} is not a number of requests; give a whole number from 1 or max")
    if not 0.0 <= cache_hit < 1.0:
        raise UsageError(f"--cache-hit {cache_hit} is not a share of the input; give a number from 0 to below 1")
    for name, value in {**degrees, "draft": draft}.items():
        least = 0 if name == "draft" else 1
        if value is not None and not (isinstance(value, int) and least <= value <= _MOST):
            raise UsageError(f"--{name} {value} is not possible; give a whole number of at least {least}")


def _whole(draft: int | str | None) -> int | None:
    if isinstance(draft, str):
        raise UsageError(f"--draft {draft} is not a number of tokens; give a whole number or best")
    return draft


def _rate(rate: float | None, chip: Chip) -> float | None:
    if rate is None:
        return None
    if not (0.0 < rate <= _MOST):
        raise UsageError(f"--rate {rate:g} is not possible; give requests per second above 0, at most {_MOST:,}")
    if chip.weights_in_sram:
        raise UsageError(f"--rate is not modelled for {chip.name}; give the load with --concurrency")
    return float(rate)


def _count(name: str, value: int) -> int:
    if not isinstance(value, int | float) or value != value or value < 1 or value > 100_000_000:
        raise UsageError(f"--{name} {value} is not a number of tokens; give a whole number from 1 to 100,000,000")
    return int(value)


def _acceptance(draft: int | None, acceptance: float | None) -> float:
    if not draft:
        if acceptance:
            raise UsageError("--acceptance needs --draft, the number of tokens drafted per step")
        return 0.0
    if acceptance is None:
        raise UsageError("--draft needs --acceptance, the chance that a drafted token is accepted, such as 0.7")
    if not 0.0 <= acceptance <= 1.0:
        raise UsageError(f"--acceptance {acceptance} is not a share; give a number from 0 to 1")
    return float(acceptance)


_MOST = 100_000_000


_DEFAULTS: dict[str, Any] = {"isl": 1024, "osl": 1024, "currency": "USD", "cache_hit": 0.0, "utilisation": 1.0}
_OPTIONS = (
    "isl",
    "osl",
    "concurrency",
    "weights",
    "kv",
    "chips",
    "tp",
    "pp",
    "dp",
    "ep",
    "engine",
    "rent",
    "currency",
    "on",
    "price",
    "cache_hit",
    "draft",
    "acceptance",
    "software_date",
    "utilisation",
    "memory",
    "rate",
    "fx",
    "grid",
    "min_speed",
    "max_ttft",
)


def _command(given: Mapping[str, Any], body: Body) -> str:
    """The shell command that repeats the answer on any later day: what was asked, and what was chosen."""
    import shlex

    device, network, plan = given["device"], given["network"], body.deployment
    named = {name: plan[name] for name in ("weights", "kv", "chips", "engine")}
    if not device.weights_in_sram:
        named |= {name: plan[name] for name in ("tp", "pp", "dp", "ep")}
    named["on"] = given["on"] or date.today().isoformat()
    words = ["tokcalc", "--chip", spec_word("chips", device), "--model", spec_word("models", network)]
    for name in _OPTIONS:
        value = named.get(name) if given.get(name) is None else given[name]
        if value is not None and value != _DEFAULTS.get(name):
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    words += [f"--{name}" for name, on in (("own", given["own"] is not None), ("stream", given["stream"])) if on]
    for path, value in (given["overrides"] or {}).items():
        words += ["--set", f"{path}={value}"]
    return " ".join(shlex.quote(word) for word in words)
