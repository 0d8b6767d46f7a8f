"""Compositions of seconds: worked numbers, limits in which regimes must agree, orders that physics fixes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import engine_names, find_engine, poll_wait_steps
from tokcalc.serving.regimes import REGIMES, Case, Seconds, metrics

BARE = replace(
    find_engine(load_constants(), None),
    step_s=0.0, sequence_s=0.0, prefill_step_s=0.0, interference=1.0, frontend_s=0.01,
    ttft_steps=2.5, dp_steps=0.0, queue_share=0.055, queue_time=0.76, factor=1.0, prompt_factor=1.0, stage_loss=0.0,
    stream_s=0.0,
)  # fmt: skip


def with_(**more):
    return replace(BARE, **more)


def test_a_prompt_alone_is_isl_over_its_seconds():
    found = metrics("prefill-b1", Case(1000.0, 1.0, 1.0, 1.0), Seconds(0.01, 0.05, 0.05), BARE)
    assert found["input_tok_s"] == pytest.approx(20_000)
    assert found["ttft_ms"] == pytest.approx(50)


def test_a_prompt_through_a_server_passes_its_front_end():
    found = metrics("prefill-b1", Case(1000.0, 1.0, 1.0, 1.0, front=1.0), Seconds(0.01, 0.05, 0.05), BARE)
    assert found["ttft_ms"] == pytest.approx(60)
    assert found["input_tok_s"] == pytest.approx(20_000)


def test_streams_in_step_share_the_step():
    found = metrics("decode-batch", Case(0.0, 100.0, 8.0, 8.0), Seconds(0.01, 0.05, 0.05), BARE)
    assert found["output_tok_s"] == pytest.approx(800)
    assert found["output_tok_s_user"] == pytest.approx(100)


def test_host_work_of_a_step():
    engine = with_(step_s=1e-3, sequence_s=10e-6)
    found = metrics("decode-batch", Case(0.0, 100.0, 32.0, 32.0), Seconds(0.008, 0.05, 0.05), engine)
    assert found["tpot_ms"] == pytest.approx(9.32)


def test_a_static_batch_pays_prompts_then_steps():
    found = metrics("static-batch", Case(512.0, 101.0, 8.0, 8.0), Seconds(0.01, 0.05, 0.05), BARE)
    assert found["e2e_s"] == pytest.approx(8 * 0.05 + 100 * 0.01)
    assert found["input_tok_s"] == pytest.approx(8 * 512 / 0.4)


def test_interference_of_a_closed_loop():
    engine = with_(interference=1.2)
    found = metrics("serving", Case(1000.0, 800.0, 33.0, 33.0), Seconds(0.01, 0.05, 0.05), engine)
    assert found["tpot_ms"] == pytest.approx(12.4)


def test_first_token_of_a_closed_loop():
    found = metrics("serving", Case(1000.0, 800.0, 33.0, 33.0), Seconds(0.01, 0.05, 0.04), BARE)
    assert found["ttft_ms"] == pytest.approx(10 + 50 + 25 + 0.055 * 32 * 40)


def test_drafted_steps_before_the_first_token_are_whole_steps():
    """A step that yields two tokens takes as long before the first of them as one that yields one."""
    plain = metrics("serving", Case(1000.0, 800.0, 1.0, 1.0), Seconds(0.01, 0.05, 0.04), BARE)
    drafted = metrics("serving", Case(1000.0, 800.0, 1.0, 1.0, accepted=2.0), Seconds(0.01, 0.05, 0.04), BARE)
    assert drafted["ttft_ms"] == pytest.approx(plain["ttft_ms"])
    assert drafted["tpot_ms"] == pytest.approx(plain["tpot_ms"] / 2)


def test_offered_streams_give_their_rate():
    found = metrics("open-loop", Case(500.0, 100.0, 20.0, 20.0), Seconds(0.025, 0.0, 0.0), BARE)
    assert found["output_tok_s"] == pytest.approx(800)


def test_a_library_meets_the_middle_of_a_step_and_a_server_its_front_end():
    seconds = Seconds(0.008, 0.012, 0.0)
    library = metrics("open-loop", Case(500.0, 100.0, 20.0, 20.0), seconds, BARE)
    assert library["ttft_ms"] == pytest.approx(12 + 1.5 * 8)
    idle = metrics("open-loop", Case(500.0, 100.0, 1e-6, 1.0), seconds, BARE)
    assert idle["ttft_ms"] == pytest.approx(12 + 8, rel=1e-4)
    served = metrics("open-loop", Case(500.0, 100.0, 20.0, 20.0, front=1.0), seconds, BARE)
    assert served["ttft_ms"] == pytest.approx(10 + 12 + 2.5 * 8)


def test_ranks_that_take_prompts_together_wait_for_each_other():
    seconds, ranks = Seconds(0.008, 0.012, 0.0), Case(500.0, 100.0, 20.0, 20.0, dp=8.0)
    patient = metrics("open-loop", ranks, seconds, with_(dp_steps=50.0))["ttft_ms"]
    assert patient == pytest.approx(12 + (1.5 + 3.5 * 100 / 20) * 8)
    assert metrics("open-loop", ranks, seconds, with_(dp_steps=2.0))["ttft_ms"] == pytest.approx(12 + 3.5 * 8)


def test_short_outputs_at_maximum_load_are_mostly_prompts():
    found = metrics("max-load", Case(2048.0, 128.0, 256.0, 256.0), Seconds(0.02, 0.05, 0.05), BARE)
    assert found["output_tok_s"] == pytest.approx(256 * 128 / (0.05 + 128 * (0.02 + 255 / 128 * 0.05)))
    alone = metrics("decode-batch", Case(2048.0, 128.0, 256.0, 256.0), Seconds(0.02, 0.05, 0.05), BARE)
    assert found["output_tok_s"] < 0.2 * alone["output_tok_s"]


def test_a_burst_and_a_static_batch_take_as_long():
    """Everything at once and nothing after it: prompts, then steps, however the engine mixes them."""
    case, seconds = Case(1024.0, 512.0, 64.0, 64.0), Seconds(0.012, 0.03, 0.03)
    burst, static = metrics("max-load", case, seconds, BARE), metrics("static-batch", case, seconds, BARE)
    assert burst["output_tok_s"] == pytest.approx(static["output_tok_s"], rel=0.01)


@given(
    regime=st.sampled_from(sorted(REGIMES)), batch=st.integers(1, 2000), limit=st.integers(1, 2000),
    isl=st.integers(1, 100_000), osl=st.integers(1, 10_000), step=st.floats(1e-4, 1.0),
    prompt=st.floats(1e-4, 10.0),
)  # fmt: skip
def test_all_metrics_are_positive_and_slower_kernels_never_help(regime, batch, limit, isl, osl, step, prompt):
    case = Case(float(isl), float(osl), float(batch), float(min(batch, limit)))
    fast = metrics(regime, case, Seconds(step, prompt, 0.8 * prompt), BARE)
    slow = metrics(regime, case, Seconds(2 * step, 2 * prompt, 1.6 * prompt), BARE)
    for name, value in fast.items():
        assert np.isfinite(value)
        assert value > 0
        worse = slow[name] > value if name in ("tpot_ms", "ttft_ms", "e2e_s") else slow[name] < value
        assert worse


@given(running=st.integers(1, 500), more=st.integers(1, 500))
def test_what_waits_for_memory_raises_only_the_first_token(running, more):
    seconds = Seconds(0.02, 0.1, 0.08)
    full = metrics("serving", Case(1000.0, 500.0, float(running), float(running)), seconds, BARE)
    over = metrics("serving", Case(1000.0, 500.0, float(running + more), float(running)), seconds, BARE)
    assert over["ttft_ms"] > full["ttft_ms"]
    assert over["tpot_ms"] == full["tpot_ms"]
    assert over["output_tok_s"] == pytest.approx(full["output_tok_s"])


def test_releases_before_a_rewrite_have_their_own_engine():
    constants = load_constants()
    old = find_engine(constants, "trtllm", "0.17")
    assert old.name != "trtllm"
    assert find_engine(constants, "trtllm", "1.0.0rc3").name == "trtllm"
    # rows of MLPerf name the version of another library: then the date tells
    assert find_engine(constants, "trtllm", "10.2.0", "2024-08").name == old.name
    assert find_engine(constants, "trtllm", "10.14", "2026").name == "trtllm"


def test_every_engine_builds_and_polls():
    constants = load_constants()
    for name in engine_names(constants):
        engine = find_engine(constants, name)
        assert engine.step_s >= 0
        assert 0.5 <= engine.memory_fraction <= 1.05
    sglang = find_engine(constants, "sglang")
    assert list(poll_wait_steps(sglang, np.array([4.0, 64.0]))) == [5.0, 15.0]


def test_one_front_end_sends_no_more_than_it_can():
    case = Case(100.0, 800.0, 1024.0, 1024.0)
    slow = with_(stream_s=45e-6)
    for regime in ("decode-batch", "serving"):
        capped = metrics(regime, case, Seconds(0.02, 0.001, 0.001), slow)
        assert capped["tpot_ms"] == pytest.approx(46.08)
    fast = metrics("decode-batch", case, Seconds(0.06, 0.001, 0.001), slow)
    assert fast["tpot_ms"] == pytest.approx(60)
    offline = metrics("max-load", case, Seconds(0.02, 0.001, 0.001), slow)
    assert offline["tpot_ms"] < 46


def test_slow_sampling_is_paid_by_each_sequence_of_a_rank():
    case = Case(0.0, 100.0, 64.0, 64.0, dp=2.0, sampling_s=60e-6)
    found = metrics("decode-batch", case, Seconds(0.01, 0.05, 0.05), BARE)
    assert found["tpot_ms"] == pytest.approx(10 + 32 * 0.06)


def test_at_full_load_every_prompt_costs_its_own_time():
    case, seconds = Case(1000.0, 100.0, 32.0, 32.0), Seconds(0.01, 0.05, 0.05)
    rates = [metrics("max-load", case, seconds, with_(interference=g))["output_tok_s"] for g in (0.8, 1.0, 1.1)]
    assert rates == [pytest.approx(32 * 100 / (100 * 0.01 + 32 * 0.05))] * 3


def test_a_burst_that_fits_is_prefilled_first():
    """Half of the prompts stand before a mean request's own, and half of them pass while it decodes."""
    found = metrics("max-load", Case(1000.0, 100.0, 32.0, 32.0), Seconds(0.01, 0.05, 0.05), BARE)
    assert found["ttft_ms"] == pytest.approx(10 + 50 + 0.5 * 31 * 50)
    assert found["tpot_ms"] == pytest.approx(10 + 0.5 * 31 / 100 * 50)


def test_twice_what_memory_holds_comes_in_rounds():
    """The second half waits for a slot of 50 + 100 x 25.5 ms; who runs decodes among the prompts of all others."""
    found = metrics("max-load", Case(1000.0, 100.0, 64.0, 32.0), Seconds(0.01, 0.05, 0.05), BARE)
    assert found["tpot_ms"] == pytest.approx(10 + 31 / 100 * 50)
    assert found["ttft_ms"] == pytest.approx(10 + 50 + 0.5 * 31 * 50 + 0.5 * 2600)


@pytest.mark.parametrize(("running", "stages"), [(1.0, 1), (2.0, 2), (64.0, 4)])
def test_only_stages_in_use_leave_bubbles(running, stages):
    case = Case(0.0, 100.0, running, running, pp=4.0)
    found = metrics("decode-batch", case, Seconds(0.01, 0.05, 0.05), with_(stage_loss=0.1))
    assert found["tpot_ms"] == pytest.approx(10 * (1 + 0.1 * (stages - 1)))
