"""The smallest sensible deployment: formats a chip runs, chips that hold the model, degrees that agree."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.constants import load_constants
from tokcalc.deployment import Deployment, choose, choose_formats
from tokcalc.engine import Engine, find_engine
from tokcalc.errors import DoesNotFit, TokcalcError, UsageError
from tokcalc.formats import find_format, is_native
from tokcalc.memory import footprint

MODELS = [
    "llama-3.1-8b",
    "llama-3.3-70b",
    "deepseek-v3",
    "gpt-oss-120b",
    "qwen3-235b-a22b",
    "gemma-3-27b",
    "kimi-k2",
]
CHIPS = [name for name in list_ids("chips") if not load_chip(name).weights_in_sram]


def engine() -> Engine:
    return find_engine(load_constants(), None)


def chosen(
    chip: str, model: str, batch: float = 1.0, context: float = 2048.0, **asked: int | str | None
) -> Deployment:
    return choose(load_chip(chip), load_model(model), engine(), batch=batch, context=context, **asked)


# ------------------------------------------------------------------ formats
@pytest.mark.parametrize(
    ("chip", "model", "weights"),
    [
        ("h100-sxm", "llama-3.3-70b", "bf16"),  # as released
        ("h100-sxm", "deepseek-v3", "fp8"),
        ("b200-sxm", "deepseek-v3", "fp8"),
        ("a100-sxm", "deepseek-v3", "int8"),  # no fp8 units, but 8-bit integer ones
        ("h100-sxm", "gpt-oss-120b", "mxfp4"),  # 4-bit weights expand anywhere
    ],
)
def test_weights_as_released_where_the_chip_multiplies_them(chip: str, model: str, weights: str) -> None:
    found, _, assumed = choose_formats(load_chip(chip), load_model(model), engine(), None, None)
    assert found == weights
    assert any(weights in text for text in assumed)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CHIPS), st.sampled_from(list_ids("models")))
def test_a_default_format_is_one_that_the_chip_can_use(chip: str, model: str) -> None:
    device = load_chip(chip)
    weights, kv, _ = choose_formats(device, load_model(model), engine(), None, None)
    fmt = find_format(weights)
    stored = fmt.bits < 8.5  # expanded while multiplying, or by a stack that stores them so
    assert is_native(fmt, device.peak_ops_s) or stored or fmt.bits >= 16
    if "fp8" not in device.peak_ops_s:
        assert kv == "bf16"


def test_a_format_without_units_says_what_it_is_expanded_to() -> None:
    _, _, assumed = choose_formats(load_chip("a100-sxm"), load_model("llama-3.3-70b"), engine(), "fp8", None)
    assert any("expanded" in text and "bf16" in text for text in assumed)
    _, _, plain = choose_formats(load_chip("h100-sxm"), load_model("llama-3.3-70b"), engine(), "fp8", "fp8")
    assert not plain  # nothing was left to assume


def test_unknown_formats_are_refused() -> None:
    for weights, kv in (("fp9", None), (None, "fp9")):
        with pytest.raises(UsageError, match="fp9"):
            choose_formats(load_chip("h100-sxm"), load_model("llama-3.3-70b"), engine(), weights, kv)


# ------------------------------------------------------------------ size
@pytest.mark.parametrize(
    ("chip", "model", "weights", "chips"),
    [
        ("h100-sxm", "llama-3.1-8b", "bf16", 1),  # 16 GB in 80
        ("h100-sxm", "llama-3.3-70b", "bf16", 4),  # 141 GB leave no cache on two
        ("h200-sxm", "llama-3.3-70b", "fp8", 1),  # 71 GB in 141
        ("h100-sxm", "deepseek-v3", "fp8", 16),  # 671 GB are more than eight hold
        ("mi300x", "llama-3.1-405b", "fp8", 4),  # 406 GB in 4 x 192
    ],
)
def test_chips_that_hold_a_model(chip: str, model: str, weights: str, chips: int) -> None:
    assert chosen(chip, model, weights=weights).chips == chips


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CHIPS),
    st.sampled_from(MODELS),
    st.sampled_from([1.0, 8.0, 64.0]),
    st.sampled_from([512.0, 8192.0]),
)
def test_a_choice_fits_and_more_chips_still_fit(chip: str, model: str, batch: float, context: float) -> None:
    try:
        found = chosen(chip, model, batch, context)
    except DoesNotFit:
        return
    assert found.memory is not None
    assert found.memory.batch >= batch
    assert found.memory.weights_bytes + found.memory.workspace_bytes < found.memory.capacity_bytes
    assert found.chips == found.plan.tp * found.plan.pp * found.plan.dp
    larger = chosen(chip, model, 8 * batch, context)
    assert larger.chips >= found.chips
    twice = replace(found.plan, tp=2 * found.plan.tp)
    more = footprint(found.chip, found.model, twice, found.formats, found.engine, context)
    assert more.batch >= found.memory.batch


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHIPS), st.sampled_from(MODELS), st.sampled_from(["bf16", "int4"]))
def test_too_few_chips_are_told_how_many_would_do(chip: str, model: str, weights: str) -> None:
    try:
        chosen(chip, model, weights=weights, chips=1)
    except DoesNotFit as error:
        text = str(error)
        assert "GB are missing" in text
        enough = re.search(r"([\d,]+) chips would do", text)
        if enough:
            count = int(enough[1].replace(",", ""))
            assert count > 1
            assert chosen(chip, model, weights=weights, chips=count).chips == count


def test_what_is_missing_is_counted() -> None:
    # 141 GB of weights in 16 bit, 80 GB of memory
    with pytest.raises(DoesNotFit) as error:
        chosen("h100-sxm", "llama-3.3-70b", weights="bf16", chips=1)
    found = re.search(r"([\d.]+) GB are missing", str(error.value))
    assert found is not None
    assert 60 < float(found[1]) < 80


# ------------------------------------------------------------------ degrees
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 4, 6, 8, 16, 24]), st.one_of(st.none(), st.sampled_from([1, 2, 4, 8])),
    st.one_of(st.none(), st.sampled_from([1, 2, 3])), st.one_of(st.none(), st.sampled_from([1, 2])),
)  # fmt: skip
def test_degrees_that_are_given_are_kept(chips: int, tp: int | None, pp: int | None, dp: int | None) -> None:
    product = (tp or 1) * (pp or 1) * (dp or 1)
    try:
        found: Deployment | None = chosen("h200-sxm", "llama-3.1-8b", chips=chips, tp=tp, pp=pp, dp=dp)
    except UsageError:
        found = None
    if chips % product or (product != chips and None not in (tp, pp)):
        assert found is None
    if product == chips:
        assert found is not None
    if found is None:
        return
    assert found.chips == chips
    for name, value in (("tp", tp), ("pp", pp), ("dp", dp)):
        assert value is None or getattr(found.plan, name) == value


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"chips": 8, "tp": 3}, "contradicts 8 chips"),
        ({"chips": 8, "tp": 4, "pp": 4}, "contradicts 8 chips"),
        ({"tp": 2, "pp": 2, "dp": 2, "chips": 4}, "contradicts 4 chips"),
        ({"tp": 4, "ep": 3}, "--ep 3"),
        ({"tp": -2}, "--tp -2"),
        ({"pp": 33, "chips": 33}, "more stages than"),
    ],
)
def test_contradictory_degrees_are_refused(asked: dict[str, int], part: str) -> None:
    with pytest.raises(UsageError, match=re.escape(part)):
        chosen("h200-sxm", "llama-3.1-8b", **asked)


@pytest.mark.parametrize("asked", [{"chips": 0}, {"chips": -1}, {"tp": 0}, {"pp": 0}, {"dp": 0}, {"pp": 64}])
def test_counts_that_no_machine_has_are_refused(asked: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        estimate("h200-sxm", "llama-3.1-8b", **asked)


@pytest.mark.parametrize("model", MODELS)
def test_the_deployment_of_an_answer_repeats_itself(model: str) -> None:
    for chip in ("h100-sxm", "mi300x", "ascend-910c", "l40s"):
        try:
            first = estimate(chip, model)
        except TokcalcError:
            continue
        d = first["deployment"]
        again = estimate(
            chip, model, chips=d["chips"], tp=d["tp"], pp=d["pp"], dp=d["dp"], ep=d["ep"], weights=d["weights"],
            kv=d["kv"], engine=d["engine"],
        )  # fmt: skip
        assert again["speed"] == first["speed"]
        assert again["memory"] == first["memory"]
