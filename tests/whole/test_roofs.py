"""No answer beats physics: whatever is asked, no speed exceeds the bandwidth or the compute roof (`roofs`).

What other calculators got wrong stands below: sparse peaks, two-way links, binary gigabytes.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import default_engine, find_engine
from tokcalc.errors import TokcalcError
from tokcalc.hardware.formats import find_format, format_names, roof
from tokcalc.serving.deployment import Wish, choose
from tokcalc.serving.workload import Load

from .roofs import SLACK, of_answer, of_replica, peak

CHIPS = list_ids("chips")


@pytest.mark.parametrize("name", CHIPS)
def test_long_prompts_keep_to_the_compute_roof_in_every_format(name: str) -> None:
    # compute is nearly all of the time here, so that a share of the peak above 1 would show
    chip, constants = load_chip(name), load_constants()
    engine, load, above = find_engine(constants, default_engine(chip)), Load(8192.0, 8.0, 16.0), {}
    for model in map(load_model, ("llama-3.1-8b", "llama-3.3-70b", "qwen3-235b-a22b")):
        for weights in ("bf16", "fp8", "int4"):
            try:
                if chip.weights_in_sram:
                    answer = estimate(chip, model, isl=8192, osl=8, concurrency=16, weights=weights)
                    found = of_answer(chip, model, answer.to_dict())
                else:
                    sized = choose(chip, model, engine, Wish(weights), batch=16.0, context=8200.0)
                    found = of_replica(sized.replica(constants), load)
            except TokcalcError:
                continue
            if found:
                above[model.name, weights] = found
    assert not above


@pytest.mark.parametrize("name", CHIPS)
def test_shares_of_the_peak_keep_below_the_best_peak_of_the_chip(name: str) -> None:
    chip, constants = load_chip(name), load_constants()
    for label in format_names():
        fmt = find_format(label)
        at, rated = roof(fmt, chip.peak_ops_s)
        for kind in ("gemm", "moe"):
            reached = constants.kernel(kind, chip, label, at).eta_c * rated
            assert reached <= peak(chip, fmt) * SLACK, (kind, label)


@pytest.mark.parametrize("day", ["2024-03-01", "2024-09-01", "2025-06-01", "2026-10-01"])
@pytest.mark.parametrize("name", ["wse-3", "groq-lpu-v1"])
def test_no_release_of_their_software_lifts_sram_machines_over_their_roof(name: str, day: str) -> None:
    for model in ("llama-3.1-8b", "llama-3.3-70b", "gpt-oss-120b", "deepseek-v3"):
        for concurrency in (1, "max"):
            answer = estimate(name, model, software_date=day, concurrency=concurrency).to_dict()
            assert not of_answer(load_chip(name), load_model(model), answer)


def test_a_draft_multiplies_speed_by_what_is_accepted_at_most() -> None:
    plain = estimate("h100-sxm", "llama-3.3-70b", chips=8)
    drafted = estimate("h100-sxm", "llama-3.3-70b", chips=8, draft=3, acceptance=0.7)
    assert drafted["speed"]["output_tok_s_user"]["value"] <= 2.534 * plain["speed"]["output_tok_s_user"]["value"]


# ------------------------------------------------------------------ what other calculators got wrong
def test_the_roof_of_l40s_in_fp8_is_dense() -> None:
    chip = load_chip("l40s")
    assert chip.peak_ops_s["fp8"] == pytest.approx(733e12, rel=0.001)
    assert chip.headline_ops_s["fp8"] == pytest.approx(1466e12, rel=0.001)


@pytest.mark.parametrize(
    ("name", "kind", "dense"),
    [
        ("h100-sxm", "bf16", 989e12),
        ("h100-sxm", "fp8", 1979e12),
        ("h200-sxm", "bf16", 989e12),
        ("a100-sxm", "bf16", 312e12),
    ],
)
def test_peaks_are_dense(name: str, kind: str, dense: float) -> None:
    assert load_chip(name).peak_ops_s[kind] == pytest.approx(dense, rel=0.001)


def test_nvlink_of_h100_is_counted_in_one_direction() -> None:
    link = load_chip("h100-sxm").scale_up
    assert link is not None
    assert link.bandwidth_bytes_s == 450e9


def test_capacities_are_decimal_gigabytes() -> None:
    assert load_chip("h100-sxm").memory_bytes == 80e9
    assert estimate("h100-sxm", "llama-3.1-8b")["memory"]["capacity_bytes"] == 80e9


def test_a_wafer_at_batch_one_is_far_below_its_bandwidth() -> None:
    # 21 PB/s over 141 GB would be 150,000 tokens/s; hundreds are measured
    speed = estimate("wse-3", "llama-3.3-70b", weights="bf16", software_date="2024-08-27")
    assert 200 < speed["speed"]["output_tok_s_user"]["value"] < 1000


@pytest.mark.parametrize("osl", [1, 2, 4, 10])
def test_short_answers_keep_to_the_compute_roof(osl: int) -> None:
    above = {}
    for name in ("h100-sxm", "b200-sxm", "mi300x", "ascend-910c", "l40s", "rtx-4090", "wse-3"):
        chip, model = load_chip(name), load_model("llama-3.1-8b")
        for concurrency in (16, 200, "max"):
            answer = estimate(chip, model, isl=3000, osl=osl, concurrency=concurrency).to_dict()
            if found := of_answer(chip, model, answer):
                above[name, concurrency] = found
    assert not above


@settings(max_examples=150, deadline=None)
@given(
    chip=st.sampled_from([c for c in CHIPS if load_chip(c).family not in ("ada", "ampere-consumer")]),
    model=st.sampled_from(list_ids("models")), isl=st.integers(1, 50_000), osl=st.integers(64, 4000),
    concurrency=st.sampled_from([1, 7, 100, 2000, "max"]),
    weights=st.sampled_from([None, "bf16", "fp8", "int4", "nvfp4", "q4_k_m"]),
    engine=st.sampled_from([None, "vllm", "sglang", "trtllm", "llama.cpp"]),
)  # fmt: skip
def test_no_question_beats_physics(
    chip: str, model: str, isl: int, osl: int, concurrency: int | str, weights: str | None, engine: str | None
) -> None:
    try:
        answer = estimate(
            chip, model, isl=isl, osl=osl, concurrency=concurrency, weights=weights, engine=engine
        ).to_dict()  # fmt: skip
    except TokcalcError:
        return
    assert not of_answer(load_chip(chip), load_model(model), answer)
