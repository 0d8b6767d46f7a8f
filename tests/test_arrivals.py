"""Percentiles of the first token and open arrivals: worked numbers, Little's law, saturation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.arrivals import closed_percentiles, mean_wait_s, open_percentiles
from tokcalc.errors import NoAnswer, UsageError


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
    assert answer["speed"]["output_tok_s"]["value"] == pytest.approx(5.0 * 1024, rel=0.02)
    in_flight = answer["workload"]["concurrency"]
    assert in_flight == pytest.approx(5.0 * (answer.ttft_s + 1023 * answer.tpot_s), rel=0.03)


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
