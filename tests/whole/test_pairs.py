"""Every chip with every model: an answer that keeps to physics, or a reason; never another exception.

Each pair is asked once; other loads of its deployment are arrays that the core evaluates.
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
from tokcalc.serving.replica import Replica
from tokcalc.serving.workload import Load

from .roofs import of_answer, of_replica

LOADS = Load(*(np.array(axis) for axis in ([[1024.0], [8192.0]], [[1024.0], [8.0]], [16.0, MAX])))


class Pairs(NamedTuple):
    """A chip and what it says of every model."""

    chip: Chip
    answers: dict[str, dict[str, Any]]
    reasons: dict[str, str]


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load_model(name) for name in list_ids("models")}


@pytest.fixture(scope="module", params=list_ids("chips"))
def pairs(request: pytest.FixtureRequest, models: dict[str, Model]) -> Pairs:
    found = Pairs(load_chip(request.param), {}, {})
    for name, model in models.items():
        try:
            found.answers[name] = estimate(found.chip, model).to_dict()
        except TokcalcError as error:
            found.reasons[name] = str(error)
    return found


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


def test_every_model_has_an_answer_or_a_reason(pairs: Pairs) -> None:
    for model, reason in pairs.reasons.items():
        assert reason, model
        assert "\n" not in reason, model
    for model, answer in pairs.answers.items():
        bad = [path for path, number in numbers(answer) if not math.isfinite(number)]
        assert not bad, (model, bad)
        speed = answer["speed"]
        assert speed["output_tok_s_user"]["value"] > 0
        assert speed["ttft_s"]["value"] > 0
        for item in speed.values():
            if isinstance(item, Mapping):
                assert item["low"] <= item["value"] <= item["high"], (model, item)


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
    cut = Plan(*(float(deployment[degree]) for degree in ("tp", "pp", "dp", "ep")))
    return of_replica(Replica.of(chip, model, cut, fmt, software), LOADS)
