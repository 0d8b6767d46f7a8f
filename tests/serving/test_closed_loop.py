"""Grids equal single questions: the same figures to 1e-9, whatever the shape of the arrays."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate, load_chip, load_model
from tokcalc.answers.money import paid_watts, price_line
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import find_engine
from tokcalc.errors import DoesNotFit
from tokcalc.physics.operators import component_formats
from tokcalc.physics.parallel import Plan
from tokcalc.serving.blocks import LIST
from tokcalc.serving.closed_loop import MAX, evaluate
from tokcalc.serving.piped_loop import Piped
from tokcalc.serving.power import watts as drawn_watts
from tokcalc.serving.replica import Replica
from tokcalc.serving.workload import Load

PAIRS = [
    ("h100-sxm", "llama-3.3-70b", "fp8"),
    ("h200-sxm", "deepseek-v3", "fp8"),
    ("b200-sxm", "gpt-oss-120b", "mxfp4"),
    ("mi300x", "qwen3-235b-a22b", "bf16"),
    ("wse-3", "llama-3.3-70b", "bf16"),
    ("groq-lpu-v1", "llama-3.1-8b", "int8"),
]


def setting(pair, engine="vllm"):
    chip, model = load_chip(pair[0]), load_model(pair[1])
    constants = load_constants()
    software = find_engine(constants, engine)
    return chip, model, component_formats(model, pair[2], "bf16"), software, constants


def machine(pair, plan, engine="vllm", chips=None):
    chip, model, fmt, software, constants = setting(pair, engine)
    return (
        Piped(chip, model, fmt, chips)
        if chip.weights_in_sram
        else Replica.of(chip, model, plan, fmt, (software, constants))
    )


def single(pair, engine, cases, hit, draft):
    """Figures of each case asked for by itself, as columns."""
    found = [
        evaluate(machine(pair, Plan(float(t), float(p)), engine), Load(float(n), float(m), float(b), hit, *draft))
        for t, p, n, m, b in cases
    ]
    names = ("tpot_s", "ttft_s", "output_tok_s", "input_tok_s", "running", "prefill_share")
    return {name: np.array([float(getattr(s, name)) for s in found]) for name in names}


@settings(max_examples=25, deadline=None)
@given(
    pair=st.sampled_from(PAIRS[:4]),
    engine=st.sampled_from([None, "vllm", "trtllm"]),
    tp=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=3),
    pp=st.lists(st.sampled_from([1, 2]), min_size=1, max_size=2),
    isl=st.lists(st.integers(1, 60_000), min_size=1, max_size=3),
    osl=st.lists(st.integers(1, 4_000), min_size=1, max_size=2),
    batch=st.lists(st.integers(1, 3_000), min_size=1, max_size=9),
    hit=st.sampled_from([0.0, 0.4, 1.0]),
    draft=st.sampled_from([(0.0, 0.0), (3.0, 0.7)]),
)
def test_a_grid_equals_serving_case_by_case(pair, engine, tp, pp, isl, osl, batch, hit, draft):
    def axis(values, place):
        return np.array(values, dtype=float).reshape([-1 if i == place else 1 for i in range(5)])

    plan = Plan(axis(tp, 0), axis(pp, 1), 1, 1)
    load = Load(axis(isl, 2), axis(osl, 3), axis(batch, 4), hit, *draft)
    grid = evaluate(machine(pair, plan, engine), load).arrays()
    shape = grid["tpot_s"].shape
    flat = [np.broadcast_to(v, shape).ravel() for v in (plan.tp, plan.pp, load.isl, load.osl, load.concurrency)]
    cases = list(zip(*flat, strict=True))
    some = np.unique(np.linspace(0, len(cases) - 1, 12).astype(int))
    listed = single(pair, engine, [cases[i] for i in some], hit, draft)
    for name, values in listed.items():
        np.testing.assert_allclose(grid[name].ravel()[some], values, rtol=1e-9)
    load = Load(flat[2], flat[3], flat[4], hit, *draft)
    unrelated = evaluate(machine(pair, Plan(flat[0], flat[1], 1, 1), engine), load)
    for name, values in unrelated.arrays().items():
        np.testing.assert_allclose(values, grid[name].ravel(), rtol=1e-9)


@pytest.mark.parametrize("varied", ["osl", "draft", "acceptance", "cached_share"])
def test_a_large_grid_over_what_prompts_do_not_depend_on_equals_its_slices(varied):
    values = {"osl": np.array([8.0, 80.0, 900.0]), "draft": np.array([0.0, 2.0, 4.0])}.get(
        varied, np.array([0.0, 0.3, 0.8])
    )
    one = machine(PAIRS[0], Plan(8, 1))
    load = Load(64.0, 80.0, np.arange(1.0, 5001.0), draft=2.0 if varied == "acceptance" else 0.0)
    grid = evaluate(one, replace(load, **{varied: values[:, None]}))
    for place, value in enumerate(values):
        alone = evaluate(one, replace(load, **{varied: float(value)}))
        for name in ("tpot_s", "ttft_s", "output_tok_s"):
            np.testing.assert_allclose(
                np.broadcast_to(getattr(grid, name), (3, 5000))[place], getattr(alone, name), rtol=1e-9
            )


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("concurrency", [1, 7, 300, "max"])
@pytest.mark.parametrize(("isl", "osl"), [(1000, 1000), (9000, 300)])
def test_one_case_equals_the_answer(pair, concurrency, isl, osl):
    chip, model = load_chip(pair[0]), load_model(pair[1])
    degrees = {} if chip.weights_in_sram else {"tp": 8}
    try:
        answer = estimate(
            chip,
            model,
            isl=isl,
            osl=osl,
            concurrency=concurrency,
            weights=pair[2],
            kv="bf16",
            on="2026-07-01",
            **degrees,
        ).to_dict()
    except DoesNotFit:
        answer = None
    load = Load(float(isl), float(osl), MAX if concurrency == "max" else float(concurrency))
    piped = float(answer["deployment"]["chips"]) if answer and chip.weights_in_sram else None
    found = evaluate(machine(pair, Plan(degrees.get("tp", 1), 1, 1, 1), chips=piped), load)
    assert bool(found.fits) == (answer is not None)
    if answer is None:
        return
    for name in ("tpot_s", "ttft_s", "output_tok_s", "input_tok_s"):
        assert float(getattr(found, name)) == pytest.approx(answer["speed"][name]["value"], rel=1e-9)
    assert float(found.used_share) == pytest.approx(answer["memory"]["used_share"], rel=1e-9)
    assert float(found.largest_batch) == answer["memory"]["largest_batch"]
    assert float(found.chips) == answer["deployment"]["chips"]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("own", [None, {}, {"pue": 1.5}])
def test_money_and_energy_are_those_of_the_answer(pair, own):
    chip, model = load_chip(pair[0]), load_model(pair[1])
    degrees = {} if chip.weights_in_sram else {"tp": 8}
    answer = estimate(
        chip, model, isl=2000, osl=500, concurrency=8, weights=pair[2], kv="bf16", on="2026-07-01", own=own,
        utilisation=0.6, cache_hit=0.3, **degrees,
    ).to_dict()  # fmt: skip
    piped = float(answer["deployment"]["chips"]) if chip.weights_in_sram else None
    found = evaluate(machine(pair, Plan(degrees.get("tp", 1), 1, 1, 1), chips=piped), Load(2000.0, 500.0, 8.0, 0.3))
    watts = drawn_watts(chip, model, pair[2], found, cached_share=0.3)
    paid = 0.0 if watts is None else float(paid_watts(chip, watts, 0.6))
    price = price_line(chip, {"on": "2026-07-01", "own": own})
    if watts is None:
        assert "power_w" not in answer["energy"]
    else:
        assert float(watts.chips_w) == pytest.approx(answer["energy"]["power_w"], rel=1e-9)
        assert float(watts.joule_per_output_token) == pytest.approx(
            answer["energy"]["joule_per_output_token"], rel=1e-9
        )
        assert paid == pytest.approx(answer["energy"]["system_power_w"], rel=1e-9)
    if price is None:
        assert "per_hour" not in answer["cost"]
    else:
        hour = price.fixed * float(found.chips) + price.per_watt * paid
        assert hour == pytest.approx(answer["cost"]["per_hour"], rel=1e-9)


def test_more_requests_than_fit_wait():
    load = Load(8000.0, 1000.0, np.array([8.0, 64, 512, 2048]))
    found = evaluate(machine(PAIRS[0], Plan(2, 1, 1, 1)), load).arrays()
    assert np.all(found["running"] <= found["concurrency"])
    assert np.all(np.diff(found["ttft_s"]) > 0)
    assert found["running"][-1] == found["running"][-2]
    assert found["tpot_s"][-1] == found["tpot_s"][-2]


@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[1]])
@pytest.mark.parametrize("plans", [4, 9000])
def test_a_long_list_of_unrelated_cases_equals_serving(pair, plans):
    rng = np.random.default_rng(1)
    count = LIST + 1500
    tp = (2.0 ** rng.integers(0, 4, count)) if plans == 4 else 1.0 + rng.integers(0, plans, count) % 4096
    isl, osl, batch = (rng.integers(low, high, count).astype(float) for low, high in ((1, 9000), (1, 900), (1, 3000)))
    whole = evaluate(machine(pair, Plan(tp, 1, 1, 1)), Load(isl, osl, batch))
    some = rng.integers(0, count, 12)
    cases = [(tp[i], 1.0, isl[i], osl[i], batch[i]) for i in some]
    for name, values in single(pair, "vllm", cases, 0.0, (0.0, 0.0)).items():
        np.testing.assert_allclose(np.broadcast_to(getattr(whole, name), count)[some], values, rtol=1e-9)
