"""Steady state: Little's law, prompts among decoding requests, what waits, arrays of cases, better chips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import Engine, engine_names, find_engine, poll_wait_steps
from tokcalc.engines.resolve import engine_for
from tokcalc.errors import UnknownName
from tokcalc.hardware.chip import Chip
from tokcalc.physics.operators import component_formats
from tokcalc.physics.parallel import Plan
from tokcalc.serving.closed_loop import evaluate
from tokcalc.serving.regimes import Case, Parts, mean_wait_s, prompt_share, queue_s, tpot_of
from tokcalc.serving.replica import Replica
from tokcalc.serving.workload import Load, Served, accepted_tokens

PAIRS = [
    ("h100-sxm", "llama-3.3-70b", "fp8"),
    ("h200-sxm", "deepseek-v3", "fp8"),
    ("b200-sxm", "gpt-oss-120b", "mxfp4"),
    ("mi300x", "qwen3-235b-a22b", "bf16"),
    ("h100-sxm", "gemma-3-27b", "bf16"),
    ("ascend-910c", "llama-3.3-70b", "bf16"),
    ("rngd", "llama-3.1-8b", "bf16"),
]
PLANS = [Plan(tp=8), Plan(tp=4, pp=2), Plan(tp=2, dp=4, ep=8)]
ENGINES = [None, "vllm", "trtllm", "sglang"]
CLOSE = 1 - 1e-9


def served(
    pair: tuple[str, str, str], plan: Plan, load: Load, engine: str | None = None, chip: Chip | None = None
) -> Served:
    constants = load_constants()
    model = load_model(pair[1])
    fmt = component_formats(model, pair[2])
    software = (find_engine(constants, engine), constants)
    return evaluate(Replica.of(chip or load_chip(pair[0]), model, plan, fmt, software), load)


setups = {"pair": st.sampled_from(PAIRS), "plan": st.sampled_from(PLANS), "engine": st.sampled_from(ENGINES)}
lengths = {"isl": st.integers(1, 30_000), "osl": st.integers(1, 4_000)}


@settings(max_examples=60, deadline=None)
@given(**setups, **lengths, batch=st.integers(1, 400))
def test_requests_in_flight_are_rate_times_time_in_the_system(
    pair: tuple[str, str, str], plan: Plan, engine: str | None, isl: int, osl: int, batch: int
) -> None:
    # Little's law: in flight = requests/s x (TTFT + (OSL - 1) TPOT), behind a full pool too
    s = served(pair, plan, Load(float(isl), float(osl), float(batch)), engine)
    per_s = float(s.output_tok_s) / osl
    assert float(s.input_tok_s) == pytest.approx(per_s * isl)
    assert per_s * float(s.ttft_s + (osl - 1) * s.tpot_s) == pytest.approx(batch, rel=1e-6)
    alone = served(pair, plan, Load(float(isl), float(osl), float(s.running)), engine)
    assert float(alone.running) == float(s.running)
    assert per_s * float(alone.ttft_s + (osl - 1) * alone.tpot_s) == pytest.approx(float(s.running))
    # tokens/s x TPOT is the concurrency but for the share of a request's life before its first token
    share = 1.0 - float(alone.ttft_s - alone.tpot_s) * per_s / float(s.running)
    assert float(s.output_tok_s * s.tpot_s) == pytest.approx(float(s.running) * share)
    assert 1 <= s.running <= batch


@settings(max_examples=60, deadline=None)
@given(**setups, **lengths, batch=st.integers(1, 2000), more=st.integers(1, 2000))
def test_more_requests_never_lower_the_rate_of_the_system_nor_speed_a_user(
    pair: tuple[str, str, str], plan: Plan, engine: str | None, isl: int, osl: int, batch: int, more: int
) -> None:
    s = served(pair, plan, Load(float(isl), float(osl), np.array([batch, batch + more], dtype=float)), engine)
    assert s.output_tok_s[1] >= s.output_tok_s[0] * CLOSE
    assert s.tpot_s[1] >= s.tpot_s[0] * CLOSE
    # prompts that join steps share one where many run: a first token may come a little sooner, an answer never ends so
    life = s.ttft_s + (osl - 1.0) * s.tpot_s
    assert life[1] >= life[0] * CLOSE


@settings(max_examples=60, deadline=None)
@given(**setups, **lengths, more=st.integers(1, 30_000), batch=st.sampled_from([1, 2, 8]))
def test_a_longer_context_is_never_cheaper(
    pair: tuple[str, str, str], plan: Plan, engine: str | None, isl: int, osl: int, more: int, batch: int
) -> None:
    s = served(pair, plan, Load(np.array([isl, isl + more], dtype=float), float(osl), float(batch)), engine)
    assert s.running[1] <= s.running[0]
    assert s.alone_s[1] >= s.alone_s[0] * CLOSE
    if s.running[0] == s.running[1]:  # with fewer requests at once each step is another one
        for name in ("step_s", "prompt_s", "tpot_s", "ttft_s"):
            short, long = np.broadcast_to(getattr(s, name), 2)
            assert long >= short * CLOSE, name
        assert s.output_tok_s[1] <= s.output_tok_s[0] / CLOSE


@settings(max_examples=50, deadline=None)
@given(
    **setups, isl=st.sampled_from([100, 2000, 20_000]), batch=st.sampled_from([1, 16, 200]), factor=st.floats(1.0, 10.0)
)
def test_more_bandwidth_or_peak_is_never_slower(
    pair: tuple[str, str, str], plan: Plan, engine: str | None, isl: int, batch: int, factor: float
) -> None:
    chip, load = load_chip(pair[0]), Load(float(isl), 300.0, float(batch))

    def faster(level: Any) -> Any:
        return replace(level, bandwidth_bytes_s=level.bandwidth_bytes_s and level.bandwidth_bytes_s * factor)

    base = served(pair, plan, load, engine)
    for better in (
        replace(chip, memory=tuple(faster(level) for level in chip.memory)),
        replace(chip, links=tuple(faster(link) for link in chip.links)),
        replace(chip, peak_ops_s={k: v * factor for k, v in chip.peak_ops_s.items()}),
    ):
        found = served(pair, plan, load, engine, better)
        assert found.tpot_s <= base.tpot_s / CLOSE
        # where prompts alone fill the machine, time saved while generating is waited for the next prompt's turn
        whole, before = (s.ttft_s + 299.0 * s.tpot_s for s in (found, base))
        assert whole <= before / CLOSE
        assert found.output_tok_s >= base.output_tok_s * CLOSE


@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from(PAIRS), engine=st.sampled_from(ENGINES),
    cases=st.lists(
        st.tuples(
            st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2]), st.integers(1, 50_000), st.integers(1, 3000),
            st.integers(1, 3000), st.sampled_from([0.0, 0.5, 1.0]),
        ), min_size=1, max_size=6,
    ),
)  # fmt: skip
def test_arrays_of_cases_are_single_cases(
    pair: tuple[str, str, str], engine: str | None, cases: list[tuple[float, ...]]
) -> None:
    tp, pp, isl, osl, batch, hit = (np.array(column, dtype=float) for column in zip(*cases, strict=True))
    together = served(pair, Plan(tp, pp), Load(isl, osl, batch, hit), engine)
    for i, (t, p, n, m, b, h) in enumerate(cases):
        alone = served(pair, Plan(t, p), Load(float(n), float(m), float(b), h), engine)
        for name in ("tpot_s", "ttft_s", "output_tok_s", "input_tok_s", "step_s", "prompt_s", "running", "queue_s"):
            value = np.broadcast_to(getattr(together, name), len(cases))[i]
            assert value == pytest.approx(float(getattr(alone, name)), rel=1e-9, abs=1e-15), name


def test_cached_prompts_cost_less_and_read_the_same_cache() -> None:
    hits = np.array([0.0, 0.5, 0.9])
    s = served(PAIRS[0], PLANS[0], Load(8000.0, 200.0, 16.0, hits))
    assert np.all(np.diff(s.ttft_s) < 0)
    assert np.all(np.diff(s.tpot_s) < 0)
    assert np.ptp(s.step_s * np.ones(3)) == 0.0


def llama(plan: Plan, **changes: float) -> Replica:
    """Llama-3.3-70B in fp8 on H100s, by software with these constants."""
    constants, model = load_constants(), load_model("llama-3.3-70b")
    software = replace(find_engine(constants, None), **changes), constants
    return Replica.of(load_chip("h100-sxm"), model, plan, component_formats(model, "fp8"), software)


def test_a_request_alone_queues_for_the_steps_until_its_first_answer() -> None:
    # of its TTFT neither its own prompt is a wait nor the front end, here of half a second
    r = llama(Plan(tp=4), frontend_s=0.5, ttft_steps=2.5)
    s = evaluate(r, Load(1000.0, 1000.0, 1.0))
    assert float(s.ttft_s) == pytest.approx(float(0.5 + s.alone_s + 2.5 * s.step_s))
    assert float(s.queue_s) == pytest.approx(float(2.5 * s.step_s))


@pytest.mark.parametrize("reserve", [0.0, 0.5, 1.0])
def test_a_pool_holds_the_prompt_and_the_reserved_share_of_the_answer(reserve: float) -> None:
    r = llama(Plan(tp=4), reserve=reserve, pool=1.0)
    assert float(r.pool(Load(8000.0, 2000.0, 1.0))) == float(r.memory(8000.0 + reserve * 2000.0).batch)


def test_requests_that_memory_does_not_hold_wait() -> None:
    constants = load_constants()
    model, chip = load_model("llama-3.3-70b"), load_chip("h100-sxm")
    fmt = component_formats(model, "fp8")
    engine = find_engine(constants, None)
    machine = Replica.of(chip, model, Plan(tp=2), fmt, (engine, constants))
    limit = float(machine.pool(Load(8000.0, 1000.0, 1.0)))
    load = Load(8000.0, 1000.0, np.array([limit, 2 * limit, 10 * limit]))
    s = evaluate(machine, load)
    assert s.running.tolist() == [limit] * 3
    assert np.ptp(s.output_tok_s) == 0.0  # no more than what runs
    assert s.ttft_s[0] < s.ttft_s[1] < s.ttft_s[2]


# ------------------------------------------------------------------ compositions by hand
def test_prompts_of_others_lengthen_the_step() -> None:
    engine = replace(find_engine(load_constants(), None), interference=1.2)
    assert tpot_of(Parts(0.010, 0.0, 0.050), Case(0.0, 800.0, 33.0, 33.0), engine) == pytest.approx(0.0124)
    assert tpot_of(Parts(0.010, 0.0, 0.050), Case(0.0, 800.0, 1.0, 1.0), engine) == 0.010


@pytest.mark.parametrize(
    ("a", "g", "tokens"), [(0.7, 3, 2.533), (0.0, 3, 1.0), (1.0, 3, 4.0), (0.5, 1, 1.5), (0.9, 0, 1.0)]
)
def test_accepted_tokens(a: float, g: int, tokens: float) -> None:
    assert accepted_tokens(a, g) == pytest.approx(tokens, rel=1e-3)


@given(st.floats(0, 1), st.integers(0, 20))
def test_a_verified_step_yields_between_one_and_all_its_tokens(a: float, g: int) -> None:
    assert 1 - 1e-9 <= accepted_tokens(a, g) <= g + 1 + 1e-9
    assert accepted_tokens(a, g + 1) >= accepted_tokens(a, g) - 1e-12
    summed = sum(a**i for i in range(g + 1))  # 1 + a + ... + a^g
    assert accepted_tokens(a, g) == pytest.approx(summed, rel=1e-6)


@given(st.floats(0.01, 0.99), st.floats(0.1, 100))
def test_open_arrivals_wait_as_one_queue_of_constant_service(load: float, capacity: float) -> None:
    assert mean_wait_s(1.0 / capacity, load) == pytest.approx(load / (2 * (1 - load) * capacity))


def test_those_that_do_not_run_wait_for_as_many_ends_as_stand_before_them() -> None:
    assert queue_s(8.0, 8.0, 3.0) == 0.0
    assert queue_s(64.0, 32.0, 3.29) == pytest.approx(9.73, abs=0.01)


# ------------------------------------------------------------------ engines
def test_engines_are_found_in_any_case_and_by_other_names() -> None:
    constants = load_constants()
    assert {"vllm", "sglang", "trtllm"} <= set(engine_names(constants))
    for name in engine_names(constants):
        assert find_engine(constants, f" {name.upper()} ").name == name
    with pytest.raises(UnknownName, match="vllm"):
        find_engine(constants, "no-such-engine")


def test_engine_constants_are_in_their_physical_range() -> None:
    constants = load_constants()
    for name in (None, *engine_names(constants)):
        e = find_engine(constants, name)
        assert 0 <= e.step_s < 0.05
        assert 0 <= e.sequence_s < 1e-3
        assert 0 <= e.prefill_step_s < 0.1
        assert 0.5 <= e.memory_fraction <= 1.07  # boards sold as 80 GB hold 80 GiB, less what ECC takes
        assert 0.3 <= e.factor <= 3.0
        assert 0.5 <= e.interference <= 3.0
        assert 0 <= e.queue_share <= 1.0
        assert e.chunk_tokens >= 256
        assert e.max_sequences >= 1


def test_an_engine_is_resolved_for_a_chip_once() -> None:
    constants = load_constants()
    chip, model = load_chip("h100-sxm"), load_model("gpt-oss-120b")
    once = engine_for(constants, find_engine(constants, "vllm"), chip, model, "mxfp4")
    if once.prompt_factor != 1.0:
        assert engine_for(constants, once, chip, model, "mxfp4") == once


def test_eight_bit_caches_come_with_the_checkpoints_that_bring_them() -> None:
    engine: Engine = replace(find_engine(load_constants(), None), kv_low=("nvfp4",))
    assert (engine.default_kv("nvfp4"), engine.default_kv("bf16")) == ("fp8", "bf16")


def test_a_poll_takes_half_its_period_on_average() -> None:
    engine = replace(find_engine(load_constants(), None), poll_steps=(10.0, 30.0))
    assert poll_wait_steps(engine, np.array([1.0, 15.0, 16.0, 500.0])).tolist() == [5, 5, 15, 15]


def test_long_prompts_under_load_leave_a_price_on_output_and_input() -> None:
    # prompts that fill the machine once made the output free
    for isl, osl in ((100_000, 16), (16, 100_000)):
        cost = estimate("h100-sxm", "llama-3.1-8b", isl=isl, osl=osl, concurrency=200)["cost"]
        assert cost["per_m_output"] > 0
        assert cost["per_m_input"] > 0
    assert prompt_share(0.05, 0.01, 32, 800) == pytest.approx(1 / 6)


def test_ranks_of_a_dense_model_are_machines_of_their_own() -> None:
    one = estimate("h100-sxm", "llama-8b", isl=16_384, osl=128, concurrency=150, chips=1)["speed"]
    many = estimate("h100-sxm", "llama-8b", isl=16_384, osl=128, concurrency=2400, chips=16, dp=16)["speed"]
    for name in ("tpot_s", "ttft_s", "output_tok_s_chip"):
        assert many[name]["value"] == pytest.approx(one[name]["value"])
    alone = [estimate("h100-sxm", "llama-8b", isl=16_384, chips=n, dp=n)["speed"]["ttft_s"]["value"] for n in (1, 8)]
    assert alone[0] == pytest.approx(alone[1])  # a prompt is read by one rank


def test_the_front_end_of_a_rank_has_a_line_of_its_own() -> None:
    full = estimate("b200-sxm", "llama-3.2-1b", isl=128, osl=128, concurrency=1024, engine="vllm").to_dict()
    sending = [t for t in full["terms"] if t["name"] == "engine: front end that sends tokens"]
    assert len(sending) == 1
    assert sum(t["seconds"] for t in full["terms"]) == pytest.approx(full["speed"]["tpot_s"]["value"])
    few = estimate("b200-sxm", "llama-3.2-1b", isl=128, osl=128, concurrency=4, engine="vllm").to_dict()
    assert not any("front end that sends" in t["name"] for t in few["terms"])


def test_experts_beyond_a_domain_say_what_their_answer_leaves_out() -> None:
    wide = estimate("h100-sxm", "deepseek-r1", chips=32, dp=32, ep=32, concurrency=64)["assumptions"]
    assert any("experts over more than the 8 chips of a domain" in line for line in wide)
    inside = estimate("h200-sxm", "deepseek-r1", chips=8, dp=8, ep=8, concurrency=64)["assumptions"]
    assert not any("of a domain" in line for line in inside)
