"""Facts about steps that carry running requests and pieces of prompts together, in compiled graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.answers.estimate import estimate
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import Engine, find_engine
from tokcalc.engines.vendor import engine_for_chip
from tokcalc.physics.operators import component_formats
from tokcalc.physics.parallel import Plan
from tokcalc.physics.passes import padded_tokens
from tokcalc.serving.chunked_prefill import alone_share, joins, pooled_prompt_s, room, running_limit
from tokcalc.serving.kernels import case_of, passes_of
from tokcalc.serving.regimes import parts
from tokcalc.serving.replica import Replica, software_limit
from tokcalc.serving.workload import Load

CONSTANTS = load_constants()
PLAIN = find_engine(CONSTANTS, None)
CHIP, MODEL = load_chip("rngd"), load_model("qwen3-8b")
ONE = Plan(1, 1, 1, 1)


def rngd() -> Engine:
    """RNGD's software for Qwen3-8B: 1,024 tokens a step, pieces of 128."""
    return engine_for_chip(CHIP, PLAIN, MODEL, CONSTANTS)


def busy_ms(engine: Engine, fresh: float, running: float, osl: float) -> float:
    """Milliseconds of kernels that one prompt adds beside `running` requests on one card."""
    machine = Replica.of(CHIP, MODEL, ONE, component_formats(MODEL, "fp8", "bf16"), (engine, CONSTANTS))
    return float(passes_of(machine, Load(fresh, osl, running), running).batched) * 1e3


def test_prompts_of_rngd_join_and_those_of_gpus_do_not() -> None:
    assert joins(rngd())
    assert not joins(PLAIN)
    assert running_limit(PLAIN, 2048.0, 128.0) == np.inf


def test_running_requests_take_room_from_prompts() -> None:
    assert room(rngd(), np.array([53.0, 179.0, 1024.0])).tolist() == pytest.approx([849.6, 739.4, 112.0], abs=0.1)


def test_requests_that_run_let_their_prompts_pass() -> None:
    limits = running_limit(rngd(), np.array([512.0, 2048.0]), 128.0)
    assert limits.tolist() == pytest.approx([183.6, 53.7], abs=0.1)
    # published: 448.1 tok/s at 118.96 ms a token, answers of 128: Little's law gives the requests that decode, one
    # less than run
    assert limits[1] - 1.0 == pytest.approx(448.1 / 128.0 * 127.0 * 0.11896, rel=0.01)


def test_few_prompts_come_alone_and_many_share() -> None:
    assert float(alone_share(1.0, 128.0)) == pytest.approx(1.0)
    assert float(alone_share(16.0, 128.0)) == pytest.approx(0.943, abs=1e-3)
    assert float(alone_share(1000.0, 100.0)) < 0.11


def test_a_joined_prompt_costs_less_than_one_of_its_own() -> None:
    joined, apart = (busy_ms(rngd(), 512.0, 16.0, 128.0), busy_ms(replace(rngd(), grain=0.0), 512.0, 1.0, 128.0))
    assert 0.5 * apart < joined < apart  # the step of the others, and its weights, run anyway


def test_joined_prompts_launch_nothing() -> None:
    machine = Replica.of(CHIP, MODEL, ONE, component_formats(MODEL, "fp8", "bf16"), (PLAIN, CONSTANTS))
    load = Load(512.0, 128.0, 16.0)
    passes = passes_of(machine, load, 16.0)
    joined = parts(case_of(machine, load, 16.0), passes.seconds, machine.engine).prompt  # kernels alone
    assert float(joined) == pytest.approx(float(passes.batched) * machine.engine.prompt_factor * machine.engine.factor)
    assert rngd().prefill_step_s == pytest.approx(rngd().step_s + rngd().layer_s)  # alone, the graph of any step


@given(st.integers(1, 8192), st.integers(1, 4096))
def test_at_the_limit_prompts_take_all_the_room(fresh: int, osl: int) -> None:
    engine = rngd()
    decoding = float(running_limit(engine, float(fresh), float(osl))) - 1.0
    assert 0.0 <= decoding <= engine.chunk_tokens - engine.grain
    if 0.0 < decoding < engine.chunk_tokens - engine.grain:  # their prompts take all the room that they leave
        assert decoding * fresh / (osl - 1.0) == pytest.approx(float(room(engine, decoding)))


@given(st.integers(16, 4096), st.integers(1, 600))
def test_a_prompt_adds_time_and_longer_ones_add_more(fresh: int, running: int) -> None:
    engine = rngd()
    short, long = (busy_ms(engine, float(n), float(running), 256.0) for n in (fresh, 2 * fresh))
    assert 0.0 < short <= long * (1 + 1e-9)


def test_requests_beyond_the_limit_wait_and_the_answer_says_why() -> None:
    asked = estimate("rngd", "qwen3-8b", weights="fp8", isl=512, osl=128, concurrency=256, chips=1)
    largest = estimate("rngd", "qwen3-8b", weights="fp8", isl=512, osl=128, concurrency="max", chips=1)
    assert largest["workload"]["concurrency"] == 183
    assert asked.ttft_s > largest.ttft_s + 1.0
    assert asked["speed"]["output_tok_s"]["value"] == pytest.approx(largest["speed"]["output_tok_s"]["value"], rel=0.01)
    assert any("184 run at once, the most that the software lets pass" in text for text in asked["assumptions"])


@pytest.mark.parametrize(("isl", "osl"), [(512, 128), (2048, 1), (57_000, 128), (57_500, 128), (65_536, 16)])
@pytest.mark.parametrize("concurrency", [1, 8, 64, 1000])
def test_requests_in_flight_obey_littles_law(isl: int, osl: int, concurrency: int) -> None:
    speed = estimate("rngd", "llama-8b", isl=isl, osl=osl, concurrency=concurrency, chips=4)["speed"]
    life = speed["ttft_s"]["value"] + (osl - 1) * speed["tpot_s"]["value"]
    assert concurrency == pytest.approx(speed["output_tok_s"]["value"] / osl * life, rel=1e-6)


def test_longer_prompts_never_speed_a_user() -> None:
    users = [
        estimate("rngd", "llama-8b", isl=isl, osl=128, concurrency=8, chips=4)["speed"]["tpot_s"]["value"]
        for isl in (1000, 10_000, 57_000, 57_500, 100_000)
    ]
    assert users[2] == pytest.approx(users[3], rel=1e-3)  # steps are full on both sides
    assert users[0] < users[1] < users[2] < users[4]


def test_prompts_alone_fill_steps_side_by_side() -> None:
    engine = rngd()
    assert pooled_prompt_s(engine, 300.0, 0.073, 0.073) == pytest.approx(0.073 * 300 / 896)
    assert pooled_prompt_s(engine, 1024.0, 0.073, 0.073) == 0.073
    assert pooled_prompt_s(PLAIN, 300.0, 0.05, 0.073) == 0.05


def test_stages_and_ranks_have_the_limit_each() -> None:
    load = Load(512.0, 128.0, 1.0)
    alone = float(software_limit(rngd(), ONE, load))
    assert float(software_limit(rngd(), Plan(1, 4, 1, 1), load)) == 4 * alone
    assert float(software_limit(rngd(), Plan(1, 1, 2, 1), load)) == 2 * alone


def test_drafted_tokens_take_room_too() -> None:
    plain, drafted = (float(running_limit(rngd(), 512.0, 128.0, verified)) for verified in (1.0, 4.0))
    # 1 + 1,024 s / (1 + 4 s), s = .875 x 127/512: 119 requests of four tokens a step leave their prompts the rest
    assert (plain, drafted) == pytest.approx((183.6, 119.9), abs=0.1)
    none_left = float(running_limit(rngd(), 1.0, 1e6, 4.0))
    assert (none_left - 1.0) * 4.0 <= rngd().chunk_tokens - rngd().grain


def test_published_staircase_of_prompts_alone() -> None:
    # steps at 128, 256, 1,024 and 1,280 tokens: equal lengths of graphs cost the same
    engine = rngd()
    same = padded_tokens(engine, np.array([257.0, 512.0, 1024.0]))
    assert len(set(same.tolist())) == 1
    assert float(padded_tokens(engine, 1281.0)) == 2048.0
