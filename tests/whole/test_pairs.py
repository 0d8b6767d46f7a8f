"""Every chip with every model: an answer that keeps to physics, or a reason; never another exception.

Each pair is asked once, on its fewest chips; other loads of these are arrays that the core evaluates. What a service
would run is searched, which takes ten times as long, for some pairs of every chip and every model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import default_engine, find_engine
from tokcalc.errors import TokcalcError
from tokcalc.hardware.chip import Chip
from tokcalc.models.model import Model
from tokcalc.physics.operators import component_formats
from tokcalc.physics.parallel import Plan
from tokcalc.serving.closed_loop import MAX
from tokcalc.serving.deployment import Wish, choose
from tokcalc.serving.replica import Replica
from tokcalc.serving.workload import Load

from .roofs import of_answer, of_replica

LOADS = Load(*(np.array(axis) for axis in ([[1024.0], [8192.0]], [[1024.0], [8.0]], [16.0, MAX])))


DEGREES = ("tp", "pp", "dp", "ep")
CHIPS, MODELS = list_ids("chips"), list_ids("models")
EVERY = 24  # of the pairs that are asked as a user does, each chip with four models or more and each model with five


class Pairs(NamedTuple):
    """A chip and what its smallest machines say of every model, for one request."""

    chip: Chip
    answers: dict[str, dict[str, Any]]
    reasons: dict[str, str]


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load_model(name) for name in MODELS}


@pytest.fixture(scope="module", params=CHIPS)
def pairs(request: pytest.FixtureRequest, models: dict[str, Model]) -> Pairs:
    found = Pairs(load_chip(request.param), {}, {})
    for name, model in models.items():
        try:
            cut = smallest(found.chip, model)
            found.answers[name] = estimate(found.chip, model, concurrency=1, **cut).to_dict()
        except TokcalcError as error:
            found.reasons[name] = str(error)
    return found


def smallest(chip: Chip, model: Model) -> dict[str, int]:
    """The degrees of the fewest chips that hold a model; SRAM chips take as many as hold it unasked."""
    if chip.weights_in_sram:
        return {}
    engine = find_engine(load_constants(), default_engine(chip))
    plan = choose(chip, model, engine, Wish(), batch=1.0, context=2048.0).plan
    return {name: int(degree) for name, degree in zip(DEGREES, plan.degrees, strict=True)}


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of an answer with its path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from numbers(item, f"{path}[{i}]")
    elif isinstance(value, float):
        yield path, value


def unsound(answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with the figures of an answer: paths of numbers that are none, speeds outside their bands."""
    speed = {key: item for key, item in answer["speed"].items() if isinstance(item, Mapping)}
    bad = [path for path, number in numbers(answer) if not math.isfinite(number)]
    bad += [key for key, item in speed.items() if not 0 < item["low"] <= item["value"] <= item["high"]]
    return bad


def test_every_model_has_an_answer_or_a_reason(pairs: Pairs) -> None:
    assert len(pairs.answers) + len(pairs.reasons) == len(MODELS)
    assert not [model for model, reason in pairs.reasons.items() if not reason or "\n" in reason]
    assert not {model: bad for model, answer in pairs.answers.items() if (bad := unsound(answer))}


@pytest.mark.parametrize("at", range(len(CHIPS)), ids=CHIPS)
def test_a_service_has_an_answer_or_a_reason(at: int, models: dict[str, Model]) -> None:
    chip = load_chip(CHIPS[at])
    for name in MODELS[at % EVERY :: EVERY]:
        answer, reason = None, ""
        try:
            answer = estimate(chip, models[name]).to_dict()
        except TokcalcError as error:
            reason = str(error)
        if answer is None:
            assert reason, name
            assert "\n" not in reason, name
        else:
            assert not unsound(answer), name
            assert not of_answer(chip, models[name], answer), name


def test_no_speed_exceeds_a_roof(pairs: Pairs, models: dict[str, Model]) -> None:
    above = {name: found for name, a in pairs.answers.items() if (found := of_answer(pairs.chip, models[name], a))}
    assert not above


def test_no_load_exceeds_a_roof(pairs: Pairs, models: dict[str, Model]) -> None:
    # with long prompts compute is nearly all of the time, so that a share of the peak above 1 would show
    asked = ((models[name], answer["deployment"]) for name, answer in pairs.answers.items())
    above = {model.name: found for model, cut in asked if (found := of_loads(pairs.chip, model, cut))}
    assert not above


def of_loads(chip: Chip, model: Model, deployment: Mapping[str, Any]) -> dict[str, float]:
    """Excesses of a deployment under `LOADS`."""
    if chip.weights_in_sram:  # chips follow the load
        asked = ((1024, 1024, "max"), (8192, 8, 16))
        answers = [estimate(chip, model, isl=i, osl=o, concurrency=c).to_dict() for i, o, c in asked]
        return {k: v for answer in answers for k, v in of_answer(chip, model, answer).items()}
    constants = load_constants()
    software = find_engine(constants, deployment["engine"] or default_engine(chip)), constants
    fmt = component_formats(model, deployment["weights"], deployment["kv"])
    cut = Plan(*(float(deployment[degree]) for degree in DEGREES))
    return of_replica(Replica.of(chip, model, cut, fmt, software), LOADS)
