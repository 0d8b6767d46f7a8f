"""Facts about wafers and LPUs: published speeds without drafting, capacity, what fills a pipeline."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.answers.pipelined import placement
from tokcalc.catalog import load_chip, load_model
from tokcalc.errors import DoesNotFit, UsageError
from tokcalc.physics import pipeline as sram
from tokcalc.physics.operators import component_formats
from tokcalc.serving import piped_loop
from tokcalc.serving.piped_loop import Piped
from tokcalc.serving.workload import Load


def speed(chip: str, model: str, weights: str, date: str | None = None) -> float:
    device, network = load_chip(chip), load_model(model)
    pipe = sram.place(device, network, component_formats(network, weights, "bf16"), 1.0, 1024.0, date=date)
    return 1.0 / float(pipe.token_s)


@pytest.mark.parametrize(("model", "published", "within"), [("llama-3.1-8b", 1800, 0.05), ("llama-3.1-70b", 450, 0.05)])
def test_wafer_speeds_before_drafting(model: str, published: float, within: float) -> None:
    assert speed("wse-3", model, "bf16") == pytest.approx(published, rel=within)


def test_one_constant_carries_a_wafer_from_8b_to_70b() -> None:
    # both published points give the same time to cross a wafer: neither is needed to predict the other
    device = load_chip("wse-3")
    spans = []
    for model, published in (("llama-3.1-8b", 1800.0), ("llama-3.1-70b", 450.0)):
        network = load_model(model)
        fmt = component_formats(network, "bf16", "bf16")
        pipe = sram.place(device, network, fmt, 1.0, 1024.0)
        left = 1.0 / published - float(pipe.hop_s) - float(pipe.matrix_s)
        spans.append(left / (network.layers * float(pipe.layer_s)))
    assert spans[0] == pytest.approx(spans[1], rel=0.05)


@pytest.mark.parametrize(
    ("model", "published"), [("llama-2-7b", 750), ("llama-3-8b", 800), ("llama-3.1-8b", 751), ("llama-2-70b", 300)]
)
def test_groq_speeds_of_2024(model: str, published: float) -> None:
    assert speed("groq-lpu-v1", model, "int8") == pytest.approx(published, rel=0.15)


def test_weights_decide_the_number_of_chips() -> None:
    wafer, groq = load_chip("wse-3"), load_chip("groq-lpu-v1")
    big = load_model("llama-3.1-70b")
    wide, narrow = component_formats(big, "bf16", "bf16"), component_formats(big, "int8", "bf16")
    assert int(sram.place(wafer, big, wide, 1.0, 2048.0).chips) == 4
    assert 610 <= int(sram.place(groq, big, wide, 1.0, 2048.0).chips) <= 690
    assert 305 <= int(sram.place(groq, big, narrow, 1.0, 2048.0).chips) <= 360


def test_a_full_groq_pipeline_takes_the_chips_that_were_deployed() -> None:
    # eight racks of 72 served Llama-2-70B: weights of 8 bit and the cache of as many requests as layers
    answer = estimate("groq", "llama-2-70b", concurrency="max").to_dict()
    assert answer["deployment"]["weights"] == "int8"
    assert answer["deployment"]["chips"] == pytest.approx(576, rel=0.1)
    assert answer["workload"]["concurrency"] == 80


def test_far_below_the_bandwidth_of_sram() -> None:
    answer = estimate("wse-3", "llama-3.1-8b").to_dict()
    share = 16e9 * answer["speed"]["output_tok_s_user"]["value"] / 21e15
    assert share < 0.002
    assert answer["bound_by"] == "latency per layer"


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 400),
    model=st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "gpt-oss-120b"]),
    chip=st.sampled_from(["wse-3", "wse-2", "groq-lpu-v1"]),
)
def test_more_requests_never_slow_the_system_nor_speed_a_user(batch: int, model: str, chip: str) -> None:
    device, network = load_chip(chip), load_model(model)
    fmt = component_formats(network, "int8", "bf16")
    chips = float(sram.place(device, network, fmt, 500.0, 2048.0).chips)
    load = Load(1024.0, 1024.0, np.array([batch, batch + 1.0]))
    s = piped_loop.closed_loop(Piped(device, network, fmt, chips), load)
    assert s.output_tok_s[1] >= s.output_tok_s[0] * 0.999
    assert s.tpot_s[1] >= s.tpot_s[0]
    assert np.all(s.running <= s.largest_batch)


def test_terms_sum_to_the_time_per_token() -> None:
    for concurrency, draft in ((1, None), (200, None), (8, 3)):
        answer = estimate(
            "cerebras", "llama-3.1-8b", concurrency=concurrency, draft=draft, acceptance=0.7 if draft else None
        ).to_dict()
        total = sum(term["seconds"] for term in answer["terms"])
        assert total == pytest.approx(answer["speed"]["tpot_s"]["value"], rel=1e-6)


def test_later_software_is_faster_and_says_that_drafting_is_unknown() -> None:
    first = estimate("cerebras", "llama-3.1-70b", software_date="2024-09-01")
    later = estimate("cerebras", "llama-3.1-70b", software_date="2025-06-01")
    assert later.tpot_s < 0.5 * first.tpot_s
    assert any("drafting is not known" in text for text in later["assumptions"])
    assert estimate("cerebras", "llama-3.1-70b").tpot_s == first.tpot_s


def test_placement_holds_every_layer_once() -> None:
    device, network = load_chip("wse-3"), load_model("llama-3.1-70b")
    lines = placement(device, network, component_formats(network, "bf16", "bf16"), 4, 0.0)
    ranges = [tuple(map(int, line["layers"].split("-"))) for line in lines]
    assert [low for low, _ in ranges] == [0, *(high + 1 for _, high in ranges[:-1])]
    assert ranges[-1][1] == 79
    shares = [int(line["full"].split("] ")[1].rstrip("%")) for line in lines]
    assert max(shares) <= 90
    assert max(shares) - min(shares) <= 5
    assert all("%" in line["full"] for line in lines)


def test_too_few_wafers_is_a_sentence_with_the_way_out() -> None:
    with pytest.raises(DoesNotFit, match="give --chips 4"):
        estimate("cerebras", "llama-3.1-70b", chips=2)
    with pytest.raises(UsageError, match="give --chips"):
        estimate("cerebras", "llama-3.1-70b", tp=4)


def test_streaming_weights_from_beside_the_wafer_is_slow() -> None:
    device, network = load_chip("wse-3"), load_model("llama-3.1-70b")
    fmt = component_formats(network, "bf16", "bf16")
    step = sram.streamed_step_s(device, network, fmt, 1.0)
    assert step == pytest.approx(141e9 / 150e9, rel=0.01)
    assert sram.streamed_step_s(load_chip("groq"), network, fmt, 1.0) is None


@pytest.mark.parametrize("concurrency", [1, 59, 256, 2000])
def test_streamed_requests_beyond_the_sram_wait_by_littles_law(concurrency: int) -> None:
    # 44 GB of a wafer hold the caches of 59 requests of 2,048 tokens; a step streams 141 GB over 150 GB/s
    answer = estimate("wse-3", "llama-3.3-70b", stream=True, concurrency=concurrency)
    requests_s = answer.output_tok_s / 1024
    assert concurrency / requests_s == pytest.approx(answer.ttft_s + 1023 * answer.tpot_s)
    assert requests_s == pytest.approx(min(concurrency, 59) / (1024 * 0.941), rel=1e-3)
    waits = [line for line in answer["assumptions"] if "of which 59 fit" in line]
    assert len(waits) == (concurrency > 59)
    if concurrency > 59:
        assert answer.ttft_s == pytest.approx((concurrency - 59) / requests_s, rel=0.01)


def test_a_streamed_step_verifies_every_drafted_token() -> None:
    plain = estimate("wse-3", "llama-3.3-70b", stream=True)
    drafted = estimate("wse-3", "llama-3.3-70b", stream=True, draft=3, acceptance=0.7)
    assert plain.tpot_s / drafted.tpot_s == pytest.approx(1 + 0.7 + 0.49 + 0.343)


def test_a_cache_that_no_streaming_wafer_holds_is_refused_with_the_way_out() -> None:
    # 200,000 tokens of 328 kB are 66 GB, a wafer has 44 GB
    with pytest.raises(DoesNotFit, match="give --chips 2"):
        estimate("wse-3", "llama-3.3-70b", stream=True, isl=200_000)
    assert estimate("wse-3", "llama-3.3-70b", stream=True, isl=200_000, chips=2)["deployment"]["chips"] == 2


def test_a_pipeline_says_how_many_of_its_requests_run() -> None:
    answer = estimate("wse-3", "llama-3.3-70b", chips=4, concurrency=2000)
    held = int(answer["memory"]["largest_batch"])
    assert any(f"of which {held} fit" in line for line in answer["assumptions"])
    few = estimate("wse-3", "llama-3.3-70b", chips=4, concurrency=held)
    assert not any("wait" in line for line in few["assumptions"])
    assert answer.ttft_s > few.ttft_s


def test_roadmap_lpu_is_graded_d_on_the_command_line() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tokcalc", "--chip", "groq-3-lpu", "--model", "llama-70b", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(run.stdout)["grade"] == "D"


def test_the_grade_of_a_wafer_names_its_reason() -> None:
    # its constants are its own; the dense rate of a wafer is not published, so the answer is B all the same
    answer = estimate("cerebras", "llama-3.1-8b").to_dict()
    assert answer["grade"] == "B"
    assert "dense rate comes from a weak source" in answer["band"]["reason"]
    assert "family" not in answer["band"]["note"]
    assert estimate("groq", "llama-3.1-8b").to_dict()["grade"] == "A"
    target = estimate("groq-3-lpu", "llama-3.1-8b").to_dict()["band"]["reason"]
    assert "announced" in target


def test_hops_through_every_chip_slow_large_mixtures_down() -> None:
    # published: Llama 4 Maverick, 17 billion active of 400, 276 tokens/s on Groq; Llama-3.1-8B with half of them 751
    big, small = (speed("groq-lpu-v1", "llama-4-maverick", "int8"), speed("groq-lpu-v1", "llama-3.1-8b", "int8"))
    assert big == pytest.approx(276, rel=0.15)
    assert small == pytest.approx(751, rel=0.15)


def test_placement_is_per_case() -> None:
    device, network = load_chip("wse-3"), load_model("llama-3.3-70b")
    fmt = component_formats(network, "bf16", "bf16")
    contexts = np.array([128.0, 8_000.0, 100_000.0])
    batch = np.array([[1.0], [50.0]])
    grid = sram.place(device, network, fmt, batch, contexts)
    for i, b in enumerate(batch.ravel()):
        for j, context in enumerate(contexts):
            alone = sram.place(device, network, fmt, float(b), float(context))
            assert grid.token_s[i, j] == pytest.approx(float(alone.token_s), rel=1e-12)
            assert grid.chips[i, j] == alone.chips


def test_a_model_runs_on_software_of_its_own_days() -> None:
    # Llama 3.3 was published six weeks after the releases that made wafers 2.8 times as fast; Llama 3.1 before them
    older, newer = estimate("cerebras", "llama-3.1-70b"), estimate("cerebras", "llama-3.3-70b")
    assert newer.tpot_s < 0.5 * older.tpot_s
    assert any("drafting is not known" in text for text in newer["assumptions"])
    # published: 1,200 to 1,500 tokens/s in 2025
    assert 1.0 / newer.tpot_s == pytest.approx(1300, rel=0.25)


def test_drafts_start_from_a_release_without_them() -> None:
    drafted = estimate("cerebras", "llama-3.3-70b", draft=3, acceptance=0.7)
    plain = estimate("cerebras", "llama-3.3-70b", software_date="2024-09-01")
    assert drafted.tpot_s < plain.tpot_s
    asked = estimate("cerebras", "llama-3.3-70b", draft=3, acceptance=0.7, software_date="2024-09-01")
    assert drafted.tpot_s == pytest.approx(asked.tpot_s, rel=1e-12)


def test_drafted_cases_of_a_grid_equal_single_ones() -> None:
    device, network = load_chip("wse-3"), load_model("llama-3.3-70b")
    fmt = component_formats(network, "bf16", "bf16")
    drafts = np.array([0.0, 3.0])
    grid = piped_loop.closed_loop(Piped(device, network, fmt), Load(1024.0, 512.0, 4.0, 0.0, drafts, 0.7))
    for i, g in enumerate(drafts):
        alone = piped_loop.closed_loop(Piped(device, network, fmt), Load(1024.0, 512.0, 4.0, 0.0, float(g), 0.7))
        assert grid.tpot_s[i] == pytest.approx(float(alone.tpot_s), rel=1e-12)


def test_prompts_never_take_all_of_a_pipeline() -> None:
    # answers of one token are all prompts; a twentieth is left to the output, which is never free
    model = load_model("llama-3.3-70b")
    pipe = Piped(load_chip("groq"), model, component_formats(model, "int8"))
    served = piped_loop.closed_loop(pipe, Load(8000.0, 1.0, 256.0))
    assert float(served.input_tok_s / 8000 * served.prompt_s) == pytest.approx(1.0)
    assert float(served.prefill_share) == 0.95
