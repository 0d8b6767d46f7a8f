"""An answer as a whole: parts that agree with each other, bands, units, worked points, input that is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.errors import DoesNotFit, TokcalcError, UsageError
from tokcalc.trust.bands import band, band_factor
from tokcalc.trust.grades import GRADE_MEANING, answer_grade, constants_grade

CHIPS = ["h100-sxm", "h800-sxm", "b200-sxm", "mi300x", "ascend-910c", "rngd", "l40s", "wse-3", "groq-lpu-v1", "tpu-v5e"]
MODELS = ["llama-3.1-8b", "llama-3.3-70b", "deepseek-v3", "gpt-oss-120b", "gemma-3-27b"]
pairs = {"chip": st.sampled_from(CHIPS), "model": st.sampled_from(MODELS)}
loads = {"isl": st.integers(1, 8000), "osl": st.integers(1, 4000), "concurrency": st.sampled_from([1, 3, 17, "max"])}


def value(answer: Any, key: str) -> float:
    return float(answer["speed"][key]["value"])


# ------------------------------------------------------------------ parts agree
@settings(max_examples=80, deadline=None)
@given(**pairs, **loads)
def test_the_parts_of_an_answer_agree(chip: str, model: str, isl: int, osl: int, concurrency: int | str) -> None:
    try:
        a = estimate(chip, model, isl=isl, osl=osl, concurrency=concurrency)
    except DoesNotFit:
        return
    data = a.to_dict()
    chips = data["deployment"]["chips"]
    assert chips == data["deployment"]["tp"] * data["deployment"]["pp"] * data["deployment"]["dp"]
    assert value(a, "output_tok_s_user") == pytest.approx(1.0 / a.tpot_s)
    assert value(a, "output_tok_s_chip") * chips == pytest.approx(value(a, "output_tok_s"))
    assert value(a, "input_tok_s") / value(a, "output_tok_s") == pytest.approx(isl / osl)
    # what runs passes a user's answer at a time: rate <= running / (OSL - 1) TPOT
    # and more run than fit at full length, for as long as they are short
    grown = (data["memory"]["largest_batch"] + 1) * (isl + osl) / (isl + osl / 2)
    running = min(data["workload"]["concurrency"], grown)
    assert value(a, "output_tok_s") * a.tpot_s * (osl - 1) <= running * osl * (1 + 1e-9)
    # terms of the time per token sum to it (TPOT of engines on a stack of their own joins host and kernels softly)
    assert sum(t["share"] for t in data["terms"]) == pytest.approx(1.0, abs=1e-6)
    assert all(t["seconds"] > 0 for t in data["terms"])
    assert 0 < data["bound_share"] <= 1 + 1e-9
    assert json.loads(json.dumps(data)) == data


@settings(max_examples=60, deadline=None)
@given(**pairs, **loads)
def test_bands_hold_their_value_and_one_factor_for_both_sides(
    chip: str, model: str, isl: int, osl: int, concurrency: int | str
) -> None:
    try:
        a = estimate(chip, model, isl=isl, osl=osl, concurrency=concurrency)
    except DoesNotFit:
        return
    assert a.grade in GRADE_MEANING
    for item in a["speed"].values():
        assert 0 < item["low"] < item["value"] < item["high"] < math.inf
        assert item["value"] / item["low"] == pytest.approx(item["high"] / item["value"])


@settings(max_examples=40, deadline=None)
@given(
    chip=st.sampled_from(["h100-sxm", "b200-sxm", "mi300x", "wse-3"]), model=st.sampled_from(MODELS[:2]),
    factor=st.floats(1.0, 4.0), batch=st.sampled_from([1, 16]),
)  # fmt: skip
def test_more_bandwidth_in_the_spec_is_never_slower(chip: str, model: str, factor: float, batch: int) -> None:
    device = load_chip(chip)
    path = f"memory.{device.main_memory.name}.bandwidth"
    ask: dict[str, Any] = {"isl": 500, "osl": 500, "concurrency": batch}
    base = estimate(chip, model, **ask)
    better = estimate(chip, model, overrides={path: f"{(device.bandwidth_bytes_s or 0) * factor / 1e9} GB/s"}, **ask)
    assert better.tpot_s <= base.tpot_s * (1 + 1e-6)
    assert better.ttft_s <= base.ttft_s * (1 + 1e-6)
    assert better.output_tok_s >= base.output_tok_s * (1 - 1e-6)


@settings(max_examples=40, deadline=None)
@given(**pairs, isl=st.integers(1, 4000), more=st.integers(1, 4000))
def test_a_longer_prompt_is_never_cheaper_on_the_same_chips(chip: str, model: str, isl: int, more: int) -> None:
    try:
        long = estimate(chip, model, isl=isl + more, osl=200, concurrency=1)
        fixed: dict[str, Any] = {"chips": long["deployment"]["chips"]}
        if not load_chip(chip).weights_in_sram:
            fixed |= {k: long["deployment"][k] for k in ("tp", "pp", "dp", "ep")}
        short = estimate(chip, model, isl=isl, osl=200, concurrency=1, **fixed)
        long = estimate(chip, model, isl=isl + more, osl=200, concurrency=1, **fixed)
    except DoesNotFit:
        return
    assert long.ttft_s >= short.ttft_s * (1 - 1e-9)
    assert long.tpot_s >= short.tpot_s * (1 - 1e-9)
    assert long.output_tok_s <= short.output_tok_s * (1 + 1e-9)


# ------------------------------------------------------------------ points of the world
def test_a_wafer_gives_llama_70b_hundreds_of_tokens_and_is_bound_by_its_layers() -> None:
    a = estimate("cerebras", "llama-3.1-70b", weights="bf16", software_date="2024-08-27", chips=4, concurrency=1)
    assert value(a, "output_tok_s_user") == pytest.approx(450, rel=0.1)  # published without drafting
    assert "layer" in a["bound_by"]


def test_eight_h100_take_8_to_20_ms_a_token_where_a_plain_roofline_says_3() -> None:
    a = estimate("h100", "llama-3.1-70b", chips=8, weights="fp8", isl=1000, osl=1000, concurrency=32)
    assert 0.008 <= a.tpot_s <= 0.020


def test_cached_input_shortens_the_first_token_only() -> None:
    plain = estimate("h100", "llama-3.1-8b", isl=8000, osl=100)
    cached = estimate("h100", "llama-3.1-8b", isl=8000, osl=100, cache_hit=0.9)
    assert cached.ttft_s < plain.ttft_s
    assert cached.tpot_s == pytest.approx(plain.tpot_s)


def test_beyond_the_context_a_model_was_made_for_the_answer_says_so() -> None:
    longest = load_model("llama-3.1-8b").max_context
    told = estimate("h100", "llama-3.1-8b", isl=longest, osl=10)["assumptions"]
    assert any("beyond" in text for text in told)
    assert not any("beyond" in text for text in estimate("h100", "llama-3.1-8b")["assumptions"])


def test_more_requests_than_the_cache_holds_are_said_to_wait() -> None:
    a = estimate("h100", "llama-3.1-8b", chips=1, isl=8000, osl=1000, concurrency=5000)
    assert any("wait" in text for text in a["assumptions"])
    assert a["memory"]["used_share"] <= 1.03


def test_loaded_objects_and_names_are_alike() -> None:
    by_name = estimate("h100-sxm", "llama-3.1-8b").to_dict()
    assert estimate(load_chip("h100-sxm"), load_model("llama-3.1-8b")).to_dict() == by_name
    assert estimate("h100-sxm", "llama-3.1-8b", constants=load_constants()).to_dict() == by_name


# ------------------------------------------------------------------ units
@pytest.mark.parametrize(
    ("path", "unit", "factor"),
    [
        ("speed.tpot_s.value", "ms", 1e3),
        ("speed.ttft_s.high", "us", 1e6),
        ("speed.output_tok_s.value", "1/min", 60.0),
        ("speed.output_tok_s_user.low", "1/h", 3600.0),
        ("memory.weights_bytes_per_chip", "GB", 1e-9),
        ("memory.capacity_bytes", "GiB", 2.0**-30),
    ],
)
def test_units_survive_a_round_trip(path: str, unit: str, factor: float) -> None:
    a = estimate("h100-sxm", "llama-3.1-8b")
    plain: Any = a.to_dict()
    for key in path.split("."):
        plain = plain[key]
    quantity = a.quantity(path)
    assert quantity.to(unit).magnitude == pytest.approx(plain * factor, rel=1e-12)
    assert quantity.to(unit).to_base_units().to(quantity.units).magnitude == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("path", ["memory.largest_batch", "workload.concurrency", "deployment.chips"])
def test_counts_have_no_unit(path: str) -> None:
    assert estimate("h100-sxm", "llama-3.1-8b").quantity(path).dimensionless


@pytest.mark.parametrize("path", ["bound_share", "memory.used_share"])
def test_shares_have_no_unit(path: str) -> None:
    assert estimate("h100-sxm", "llama-3.1-8b").quantity(path).dimensionless


# ------------------------------------------------------------------ grades
def test_grades_follow_the_scope_of_the_constants() -> None:
    chip, constants = load_chip("h100-sxm"), load_constants()
    assert constants_grade(chip, constants, chip.id) == "A"
    assert constants_grade(chip, constants, chip.family) in ("A", "B")
    assert constants_grade(chip, constants, chip.kind) == "C"
    assert constants_grade(chip, constants, "any") == "D"


def test_announcements_are_grade_d_whatever_is_fitted() -> None:
    from dataclasses import replace

    chip = replace(load_chip("h100-sxm"), status="roadmap")
    assert answer_grade(chip, load_constants(), chip.id) == "D"


def test_a_worse_grade_never_has_a_narrower_band() -> None:
    for quantity in ("tpot", "ttft", "throughput", "energy"):
        factors = [band_factor(quantity, grade) for grade in "ABCD"]
        assert factors == sorted(factors)
        assert factors[0] > 1.0
    low, high = band(10.0, "tpot", "A")
    assert low * high == pytest.approx(100.0)


def test_mixtures_have_bands_of_their_own_where_they_were_judged() -> None:
    assert band_factor("throughput", "A", "max-load", moe=True) > band_factor("throughput", "A", "max-load")
    assert band_factor("tpot", "A", "serving", moe=True) > band_factor("tpot", "A", "serving")
    assert band_factor("tpot", "C", moe=True) == band_factor("tpot", "C")
    assert band_factor("tpot", "A", "groq-lpu-v1", moe=True) == band_factor("tpot", "A", "groq-lpu-v1")
    dense, mixed = (estimate(chip="h100", model=m).to_dict()["speed"]["tpot_s"] for m in ("llama-8b", "gpt-oss-20b"))
    assert mixed["high"] / mixed["value"] > dense["high"] / dense["value"]


# ------------------------------------------------------------------ refused
@pytest.mark.parametrize(
    ("ask", "part"),
    [
        ({"isl": -1}, "--isl -1"),
        ({"isl": 0}, "--isl 0"),
        ({"osl": 0}, "--osl 0"),
        ({"osl": math.nan}, "--osl nan"),
        ({"isl": math.inf}, "--isl inf"),
        ({"isl": "1000"}, "--isl 1000"),
        ({"isl": 10**12}, "--isl"),
        ({"acceptance": 0.5}, "--draft"),
        ({"draft": 2}, "--acceptance"),
        ({"draft": 2, "acceptance": 1.5}, "--acceptance 1.5"),
        ({"draft": 2, "acceptance": -0.1}, "--acceptance -0.1"),
        ({"rent": "-2 USD/h"}, "below zero"),
        ({"rent": "2 GB"}, "GB"),
        ({"utilisation": 0.0}, "tilisation"),
        ({"utilisation": 1.5}, "tilisation"),
        ({"weights": "fp9"}, "fp9"),
        ({"engine": "no-such-engine"}, "vllm"),
    ],
)
def test_numbers_that_cannot_be_are_refused(ask: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=part) as error:
        estimate("h100-sxm", "llama-3.1-8b", **ask)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("ask", "part"),
    [
        ({"concurrency": 0}, "oncurrency"),
        ({"concurrency": -5}, "oncurrency"),
        ({"concurrency": math.nan}, "oncurrency"),
        ({"concurrency": math.inf}, "oncurrency"),
        ({"concurrency": "many"}, "oncurrency"),
        ({"cache_hit": 2.0}, "cache"),
        ({"cache_hit": math.nan}, "cache"),
        ({"draft": -1, "acceptance": 0.5}, "draft"),
    ],
)
def test_loads_that_cannot_be_are_refused(ask: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        estimate("h100-sxm", "llama-3.1-8b", **ask)


@pytest.mark.parametrize("ask", [{"concurrency": 0}, {"concurrency": -5}, {"cache_hit": -1.0}, {"cache_hit": 2.0}])
def test_no_wrong_load_yields_a_number(ask: dict[str, Any]) -> None:
    with pytest.raises(TokcalcError):
        estimate("h100-sxm", "llama-3.1-8b", **ask)
