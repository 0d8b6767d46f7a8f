"""The smallest sensible deployment: formats a chip runs, chips that hold the model, degrees that agree."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import Engine, find_engine
from tokcalc.errors import DoesNotFit, TokcalcError, UsageError
from tokcalc.hardware.formats import find_format, is_native
from tokcalc.physics.memory import footprint
from tokcalc.serving.cuts import fewest_chips, search_cuts
from tokcalc.serving.deployment import Deployment, Wish, choose, sizes
from tokcalc.serving.precision import choose_formats

MODELS = ["llama-3.1-8b", "llama-3.3-70b", "deepseek-v3", "gpt-oss-120b", "qwen3-235b-a22b", "gemma-3-27b", "kimi-k2"]
CHIPS = [name for name in list_ids("chips") if not load_chip(name).weights_in_sram]


def engine() -> Engine:
    return find_engine(load_constants(), None)


def chosen(chip: str, model: str, batch: float = 1.0, context: float = 2048.0, **asked: int | str | None) -> Deployment:
    return choose(load_chip(chip), load_model(model), engine(), Wish(**asked), batch=batch, context=context)


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
    st.sampled_from(CHIPS), st.sampled_from(MODELS), st.sampled_from([1.0, 8.0, 64.0]), st.sampled_from([512.0, 8192.0])
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
    more = footprint(found.chip, found.model, twice, found.formats, found.engine, context=context)
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


@pytest.mark.parametrize("chip", ["x330", "warboy", "atom", "wormhole-n150", "m1"])
def test_large_models_on_small_cards_are_answered_with_no_more_than_is_asked_for(chip: str) -> None:
    found = chosen(chip, "deepseek-v3")
    assert found.memory is not None
    assert found.memory.batch >= 1
    again = chosen(chip, "deepseek-v3", chips=found.chips)
    assert (again.plan.tp, again.plan.pp) == (found.plan.tp, found.plan.pp)
    with pytest.raises(DoesNotFit, match=r"\d chips would do"):
        chosen(chip, "deepseek-v3", chips=32)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHIPS), st.sampled_from(MODELS), st.sampled_from([8, 16, 40, 56, 64, 104, 128, 256]))
def test_what_a_number_of_chips_holds_is_never_refused_without_it(chip: str, model: str, chips: int) -> None:
    try:
        chosen(chip, model, chips=chips)
    except TokcalcError:
        return
    assert chosen(chip, model).chips >= 1


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CHIPS), st.sampled_from(MODELS), st.sampled_from([1.0, 16.0, 64.0]),
    st.sampled_from([512.0, 200_000.0, 5e6]),
)  # fmt: skip
def test_grids_choose_as_single_questions_do(chip: str, model: str, batch: float, context: float) -> None:
    try:
        found = chosen(chip, model, batch, context)
    except DoesNotFit:
        return
    plan = fewest_chips(found.chip, found.model, found.formats, found.engine, context, batch)
    assert (float(plan.tp), float(plan.pp)) == (found.plan.tp, found.plan.pp)


def testsizes_rise_and_end_with_eight_to_each_layer() -> None:
    model = load_model("deepseek-v3")
    for chip in CHIPS:
        counts = [plan.chips for plan in sizes(load_chip(chip), model)]
        assert counts == sorted(set(counts))
        assert counts[-1] >= 8 * model.layers


def test_who_asks_for_the_chips_is_said() -> None:
    alone, many = chosen("h100-sxm", "llama-3.3-70b"), chosen("h100-sxm", "llama-3.3-70b", 64.0, 9216.0)
    assert (alone.chips, many.chips) == (4, 8)
    assert alone.assumed[-1] == "4 chips, the fewest that hold the model"
    assert many.assumed[-1] == "8 chips, the fewest that hold the model and 64 requests of 9,216 tokens"
    long = chosen("h100-sxm", "llama-3.1-8b", 1.0, 1e6)
    assert long.assumed[-1].endswith("hold the model and 1 request of 1,000,000 tokens")


def test_a_load_that_no_size_holds_runs_on_the_largest() -> None:
    found = chosen("x330", "deepseek-v3", 64.0, 400_000.0)
    assert found.chips == 8 * found.model.layers
    assert found.memory is not None
    assert 1 <= found.memory.batch < 64
    assert f"the most tried, which hold the model and {float(found.memory.batch):.0f} " in found.assumed[-1]


def test_a_request_that_no_size_holds_is_refused_with_what_is_too_large() -> None:
    with pytest.raises(DoesNotFit, match=r"one request of 50,000,000 tokens do not fit 488 x .* a shorter request"):
        chosen("x330", "deepseek-v3", 1.0, 5e7)


def test_plans_reach_thesizes_of_answers() -> None:
    card, model = load_chip("x330"), load_model("deepseek-v3")
    answered = chosen("x330", "deepseek-v3").plan
    assert any((p.tp, p.pp) == (answered.tp, answered.pp) for p in search_cuts(card, model, 64))
    assert max(p.chips for p in search_cuts(card, load_model("llama-3.1-8b"), 64)) <= 16
    assert all(p.chips <= 40 for p in search_cuts(card, model, 40))


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


def test_chips_without_a_published_link_say_what_is_assumed() -> None:
    several = estimate("m1", "deepseek-r1")["assumptions"]
    assert any("no link between these chips is published: 16 GB/s" in line for line in several)
    for chip, model in (("m1", "llama-3.2-1b"), ("h100-sxm", "deepseek-r1"), ("rngd", "llama-70b")):
        assert not any("no link between" in line for line in estimate(chip, model)["assumptions"])
