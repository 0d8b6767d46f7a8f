"""Anchors: factors of measured combinations, what they change in an answer, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
import pytest
from tokcalc.answers.estimate import estimate
from tokcalc.calibration.anchors import factor
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import expert_floor, find_engine
from tokcalc.engines.resolve import anchor_key, engine_for
from tokcalc.engines.routing import expert_launches
from tokcalc.physics.operators import component_formats


def test_a_median_is_shrunk_by_three_rows_of_the_shared_constants() -> None:
    assert factor(np.full(27, np.log(1.25))) == pytest.approx(1.25**-0.9)
    assert factor(np.zeros(0)) == 1.0


def test_names_of_combinations_do_not_tell_scales_per_block_apart() -> None:
    assert anchor_key("m", "c", "vllm", "fp8_block") == anchor_key("m", "c", "vllm", "fp8") == "m/c/vllm/fp8"


def test_an_anchor_scales_every_second_of_a_step_and_ttft_by_its_own_factor() -> None:
    plain = load_constants()
    chip, model = load_chip("b200-sxm"), load_model("gpt-oss-120b")
    key = anchor_key(model.id, chip.id, "vllm", "mxfp4")
    without = replace(plain, anchors={})
    with_ = replace(plain, anchors={key: {"tpot": 0.8, "ttft": 0.6, "rows": 66}})
    engine = find_engine(plain, "vllm")
    free = engine_for(without, engine, chip, model, "mxfp4")
    held = engine_for(with_, engine, chip, model, "mxfp4")
    for name in ("factor", "step_s", "sequence_s", "prefill_step_s"):
        assert getattr(held, name) == pytest.approx(0.8 * getattr(free, name))
    assert held.ttft_factor == pytest.approx(0.75)
    assert (free.anchor_rows, held.anchor_rows) == (0, 66)
    assert engine_for(with_, held, chip, model, "mxfp4") is held
    assert engine_for(with_, engine, load_chip("h100-sxm"), model, "mxfp4").anchor_rows == 0


def test_an_answer_about_a_measured_combination_says_so_and_has_the_narrower_band() -> None:
    ask = {"chip": "b200-sxm", "model": "gpt-oss-120b", "weights": "mxfp4", "chips": 2, "tp": 2, "concurrency": 16}
    held = estimate(engine="trtllm", **ask).to_dict()
    free = estimate(engine="trtllm", **ask | {"chip": "b300-sxm"}).to_dict()
    assert any(a.startswith("anchored: ") for a in held["assumptions"])
    assert not any(a.startswith("anchored: ") for a in free["assumptions"])
    wide = free["speed"]["tpot_s"]["high"] / free["speed"]["tpot_s"]["value"]
    assert held["speed"]["tpot_s"]["high"] / held["speed"]["tpot_s"]["value"] < wide


def test_floors_of_expert_kernels_grow_with_the_number_of_experts() -> None:
    assert expert_launches(256) == 1.0
    assert expert_launches(128) == 0.55


@pytest.mark.parametrize(
    ("model", "name"),
    [("deepseek-v3", "fp8_block"), ("qwen3-235b-a22b", "fp8_block"), ("qwen3-32b", "fp8"), ("llama-3.1-70b", "fp8")],
)
def test_fp8_of_makers_who_release_it_with_a_scale_per_block(model: str, name: str) -> None:
    fmt = component_formats(load_model(model), "fp8")
    assert fmt.ffn.name == name


def test_expert_kernels_of_newer_software_have_lower_floors() -> None:
    constants = load_constants()
    age = constants.tables["age"]
    assert expert_floor(constants, age["reference"]) == 1.0
    assert expert_floor(constants, "2025-11-01") == pytest.approx(exp(3 * age["month_share"]))
    assert expert_floor(constants, "2024-06-01") == expert_floor(constants, age["first"])
    assert expert_floor(constants, "") == expert_floor(constants, "2027-01-01") == expert_floor(constants, age["last"])
    for vague in ("2025", "2099", "2025-Q4", "2025-12-1", "soon"):  # tells no month
        assert expert_floor(constants, vague) == 1.0


@pytest.mark.parametrize("day", ["2025", "2099", "2025-Q4", "2025-12", "2024-06-01", "2099-01-01", None])
def test_an_answer_says_the_floor_that_it_was_computed_with(day: str | None) -> None:
    said = estimate("b200-sxm", "gpt-oss-120b", software_date=day).to_dict()["assumptions"]
    floor = find_engine(load_constants(), None, date=day or "").expert_floor
    assert any(f"floors {floor:.2f} of those" in line for line in said)


def test_terms_show_the_tokens_that_compiled_attention_reads() -> None:
    short, longer = (estimate("rngd", "llama-8b", isl=512, osl=osl).to_dict()["terms"] for osl in (128, 256))
    inputs = [next(t["inputs"] for t in terms if t["name"] == "attention") for terms in (short, longer)]
    assert inputs[0] == inputs[1]  # both read the 1,024 tokens that the kernel was compiled for


def test_a_gpu_whose_stack_has_floors_of_its_own_tells_no_age() -> None:
    ask = {"chip": "arc-pro-b60", "model": "gpt-oss-20b"}
    old, new = (estimate(software_date=day, **ask).to_dict() for day in ("2025-11-01", None))
    assert old["speed"] == new["speed"]
    assert not any("expert kernels" in line for line in new["assumptions"])


def test_the_software_of_a_date_is_asked_for_and_said() -> None:
    ask = {"chip": "b200-sxm", "model": "gpt-oss-120b", "engine": "vllm", "concurrency": 4}
    old, new = (estimate(software_date=day, **ask).to_dict() for day in ("2025-11-01", None))
    assert old["speed"]["tpot_s"]["value"] > 1.05 * new["speed"]["tpot_s"]["value"]
    assert any("software of 2025-11-01" in line for line in old["assumptions"])
    dense = [estimate(software_date=day, **ask | {"model": "llama-70b"}).to_dict() for day in ("2025-11-01", None)]
    assert dense[0]["speed"]["tpot_s"]["value"] == dense[1]["speed"]["tpot_s"]["value"]
    assert not any("expert kernels" in line for line in dense[0]["assumptions"])
