"""Every chip with every model: an answer without NaN that keeps to physics, or a reason; never another exception."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.errors import TokcalcError

from .test_roofs import excesses


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


@pytest.mark.parametrize("chip", list_ids("chips"))
def test_every_model_has_an_answer_or_a_reason(chip: str) -> None:
    for model in list_ids("models"):
        try:
            answer = estimate(chip, model).to_dict()
        except TokcalcError as error:
            reason = str(error)
            assert reason, (chip, model)
            assert "\n" not in reason
            continue
        bad = [path for path, number in numbers(answer) if not math.isfinite(number)]
        assert not bad, (chip, model, bad)
        above = excesses(load_chip(chip), load_model(model), answer)
        assert not above, (chip, model, above)
        speed = answer["speed"]
        assert speed["output_tok_s_user"]["value"] > 0
        assert speed["ttft_s"]["value"] > 0
        for item in speed.values():
            if isinstance(item, Mapping):
                assert item["low"] <= item["value"] <= item["high"], (chip, model, item)
