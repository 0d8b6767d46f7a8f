"""Percentiles of the first token and open arrivals: worked numbers, Little's law, saturation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.errors import NoAnswer, UsageError
from tokcalc.serving.open_loop import closed_percentiles, mean_wait_s, open_percentiles


def test_worked_numbers() -> None:
    assert closed_percentiles(0.3, 0.1) == pytest.approx((0.3, 0.38, 0.398))
    assert open_percentiles(0.0, 0.05, 0.5) == pytest.approx((0.0, 0.0805, 0.1956), abs=1e-4)
    assert mean_wait_s(0.05, 0.5) == pytest.approx(0.025)


@given(base=st.floats(0, 10), service=st.floats(1e-4, 10), load=st.floats(0.0, 0.99))
def test_percentiles_rise_and_never_undercut_the_service(base: float, service: float, load: float) -> None:
    p50, p90, p99 = open_percentiles(base, service, load)
    assert base <= p50 <= p90 <= p99


def test_an_answer_has_percentiles_round_its_mean() -> None:
    ttft = estimate("h100-sxm", "llama-3.1-8b", concurrency=64)["speed"]["ttft_s"]
    assert ttft["p50"] == pytest.approx(ttft["value"])
    assert ttft["p50"] < ttft["p90"] < ttft["p99"]


def test_an_offered_rate_keeps_by_littles_law_what_it_brings_in_flight() -> None:
    answer = estimate("h100-sxm", "llama-3.1-8b", rate=5.0)
    assert answer["speed"]["output_tok_s"]["value"] == pytest.approx(5.0 * 1024)
    in_flight = answer["workload"]["concurrency"]
    assert in_flight == pytest.approx(5.0 * (answer.ttft_s + 1023 * answer.tpot_s), rel=0.03)


@pytest.mark.parametrize("chip", ["rngd", "h100-sxm", "ascend-910c"])
@pytest.mark.parametrize("rate", [0.01, 0.0001])
def test_a_rate_below_one_in_flight_leaves_the_machine_idle(chip: str, rate: float) -> None:
    # a request in 100 s: 1,024 tokens in 100 s, however fast the machine is, at the speed of a lone request
    answer, alone = estimate(chip, "llama-3.1-8b", rate=rate), estimate(chip, "llama-3.1-8b")
    speed = {key: item["value"] for key, item in answer["speed"].items()}
    assert speed["output_tok_s"] == speed["input_tok_s"] == pytest.approx(rate * 1024)
    assert speed["output_tok_s_user"] == pytest.approx(1.0 / alone.tpot_s)
    in_flight = answer["workload"]["concurrency"]
    assert in_flight == pytest.approx(rate * (answer.ttft_s + 1023 * answer.tpot_s))
    assert in_flight < 1.0
    assert any(f"keep {in_flight:.1g} in flight" in line for line in answer["assumptions"])


@pytest.mark.parametrize("chip", ["rngd", "h100-sxm"])
def test_an_idle_machine_costs_as_one_that_is_used_for_that_share_of_its_hours(chip: str) -> None:
    # requests one at a time with pauses are a lone request on a machine in use for part of the paid hours
    answer = estimate(chip, "llama-3.1-8b", rate=0.01)
    same = {name: answer["deployment"][name] for name in ("tp", "pp", "dp", "ep")} | {"concurrency": 1}
    used = answer.output_tok_s / estimate(chip, "llama-3.1-8b", **same).output_tok_s
    paused = estimate(chip, "llama-3.1-8b", utilisation=used, **same)
    for key in ("per_hour", "per_m_input", "per_m_output", "per_m_blended"):
        assert answer["cost"][key] == pytest.approx(paused["cost"][key], rel=1e-3)
    for key in ("system_power_w", "all_in_joule_per_output_token"):
        assert answer["energy"][key] == pytest.approx(paused["energy"][key], rel=0.01)
    energy = answer["energy"]
    spent = energy["joule_per_output_token"] + energy["joule_per_input_token"]
    assert spent * answer.output_tok_s == pytest.approx(energy["power_w"])


@pytest.mark.parametrize("chip", ["rngd", "ascend-910c", "gaudi-3", "h100-sxm", "tpu-v6e"])
def test_the_first_token_of_an_idle_machine_is_a_lone_requests(chip: str) -> None:
    assert estimate(chip, "llama-3.1-8b", rate=1e-4).ttft_s == pytest.approx(
        estimate(chip, "llama-3.1-8b").ttft_s, rel=1e-4
    )


@pytest.mark.parametrize(
    ("model", "asked"),
    [("llama-3.1-8b", {"dp": 4}), ("deepseek-v3", {"chips": 8, "dp": 8, "ep": 8}), ("gpt-oss-20b", {"tp": 2})],
)
def test_idle_ranks_answer_as_alone(model: str, asked: dict[str, int]) -> None:
    alone = estimate("h200", model, **asked)
    assert estimate("h200", model, rate=1e-4, **asked).ttft_s == pytest.approx(alone.ttft_s, rel=1e-4)


def test_drafts_do_not_hasten_the_first_token_of_an_offered_rate() -> None:
    alone = estimate("h100-sxm", "llama-3.1-8b", draft=3, acceptance=0.7)
    offered = estimate("h100-sxm", "llama-3.1-8b", draft=3, acceptance=0.7, rate=1e-4)
    assert offered.ttft_s == pytest.approx(alone.ttft_s, rel=1e-4)


def test_ranks_of_a_dense_model_share_an_offered_rate() -> None:
    one, four = (estimate("h100-sxm", "llama-3.1-8b", rate=1.5), estimate("h100-sxm", "llama-3.1-8b", rate=6.0, dp=4))
    assert four.ttft_s == pytest.approx(one.ttft_s, rel=0.02)
    assert four.tpot_s == pytest.approx(one.tpot_s, rel=0.02)


def test_the_load_of_a_rate_rises_evenly_through_one_in_flight() -> None:
    rates = (0.02, 0.04, 0.0484, 0.0486, 0.06)
    loads = [estimate("rngd", "llama-3.1-8b", rate=rate)["workload"]["concurrency"] for rate in rates]
    assert loads == sorted(loads)
    assert loads[2] < 1.0 < loads[3]
    assert loads[3] - loads[2] < 0.01


def test_a_rate_beyond_the_machine_is_called_saturated_with_the_highest_that_is_not() -> None:
    with pytest.raises(NoAnswer, match=r"saturate .* highest sustainable rate is"):
        estimate("h100-sxm", "llama-3.1-8b", rate=1000.0)
    low = estimate("h100-sxm", "llama-3.1-8b", rate=1.0)
    high = estimate("h100-sxm", "llama-3.1-8b", rate=5.0)
    assert low.ttft_s < high.ttft_s


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="--rate"):
        estimate("h100-sxm", "llama-3.1-8b", rate=rate)


def test_pipelines_take_their_load_by_concurrency() -> None:
    with pytest.raises(UsageError, match="--concurrency"):
        estimate("wse-3", "llama-3.1-8b", rate=1.0)
