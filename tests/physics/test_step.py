"""One step: terms that sum, floors that stay, never faster than datasheet peaks, the right link."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import Constants, Kernel, format_chain, load_constants, scopes
from tokcalc.hardware.links import bandwidth_bytes_s
from tokcalc.physics.operators import Operator, component_formats
from tokcalc.physics.parallel import Plan
from tokcalc.physics.passes import decode_operators, passes_per_prompt, prompt_operators, prompts_per_pass
from tokcalc.physics.step import StepTime, Term, ideal_terms, mtp_token_s, step_time, term_time, whole_blocks

# every kernel at the datasheet's peaks, without a floor: a plain roofline
PERFECT = {"any": {"any": {"t0_us": 0.0, "eta_m": 1.0, "eta_c": 1.0, "p": 500.0}}}
FREE = {"any": {"alpha_us": [1e-9] * 3, "eta_b": [1.0] * 3, "q": [1.0] * 3}}
KINDS = ("gemm", "moe", "attention_decode", "mla_decode", "linear_decode", "attention_prefill", "elementwise")
PLAIN = Constants(dict.fromkeys(KINDS, PERFECT) | {"all_reduce": FREE, "all_to_all": FREE})
PAIRS = [
    ("h100-sxm", "llama-3.3-70b", "fp8"),
    ("a100-sxm-80gb", "llama-3.1-8b", "bf16"),
    ("b200-sxm", "gpt-oss-120b", "mxfp4"),
    ("h200-sxm", "deepseek-v3", "fp8"),
    ("mi300x", "gemma-3-27b", "bf16"),
    ("ascend-910c", "qwen3-next-80b-a3b", "bf16"),
]


def decode_ops(pair: tuple[str, str, str], plan: Plan, batch: float, context: float):  # type: ignore[no-untyped-def]
    model = load_model(pair[1])
    return decode_operators(model, plan, component_formats(model, pair[2]), batch, context)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("plan", [Plan(), Plan(tp=8), Plan(tp=4, pp=2), Plan(dp=8, ep=8)])
def test_a_step_is_the_sum_of_its_terms(pair: tuple[str, str, str], plan: Plan) -> None:
    step = step_time(decode_ops(pair, plan, 64.0, 2000.0), load_chip(pair[0]), load_constants())
    assert float(step.seconds) == pytest.approx(sum(float(t) for t in step.terms_s))
    assert len(step.names) == len(step.terms_s) == len(step.bound)
    assert all(float(t) >= 0 for t in step.terms_s)


@pytest.mark.parametrize("pair", PAIRS)
def test_no_term_beats_the_datasheet(pair: tuple[str, str, str]) -> None:
    chip, constants = load_chip(pair[0]), load_constants()
    for batch in (1.0, 64.0, 4096.0):
        for term in ideal_terms(decode_ops(pair, Plan(tp=2), batch, 2000.0), chip):
            seconds = float(term_time(term, chip, constants))
            assert seconds * (1 + 1e-9) >= float(term.count * np.maximum(term.x_s, term.y_s)), term.name


def test_perfect_constants_give_the_plain_roofline() -> None:
    # 70.6 GB of fp8 weights over 3.35 TB/s; head in 16 bit, input table not read
    model, chip = load_model("llama-3.3-70b"), load_chip("h100-sxm")
    fmt = component_formats(model, "fp8")
    step = step_time(decode_operators(model, Plan(), fmt, 1.0, 0.0), chip, PLAIN)
    head = model.head_params
    read = (model.params_active_no_embed - head) * 1.0 + head * 2.0
    assert float(step.seconds) == pytest.approx(read / 3.35e12, rel=0.01)


def test_floors_make_small_batches_several_times_slower_than_a_bandwidth_roofline() -> None:
    # published: the fixed part is 4-6 ms of a step of a 64-80 layer model on eight Hopper chips
    model, chip = load_model("llama-3.3-70b"), load_chip("h100-sxm")
    ops = decode_operators(model, Plan(tp=8), component_formats(model, "fp8"), 8.0, 1000.0)
    real = float(step_time(ops, chip, load_constants()).seconds)
    plain = float(step_time(ops, chip, PLAIN).seconds)
    assert 2.0 * plain < real < 9.0 * plain
    assert 0.003 < real < 0.012


@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    batch=st.integers(1, 2048),
    more=st.integers(1, 2048),
    context=st.integers(1, 100_000),
    longer=st.integers(1, 100_000),
    tp=st.sampled_from([1, 2, 8]),
)
def test_more_requests_and_longer_contexts_never_make_a_step_faster(
    pair: tuple[str, str, str], batch: int, more: int, context: int, longer: int, tp: int
) -> None:
    chip, constants = load_chip(pair[0]), load_constants()

    def seconds(b: float, t: float) -> float:
        return float(step_time(decode_ops(pair, Plan(tp=tp), b, t), chip, constants).seconds)

    base = seconds(batch, context) * (1 - 1e-9)
    assert seconds(batch + more, context) >= base
    assert seconds(batch, context + longer) >= base


@settings(max_examples=40, deadline=None)
@given(pair=st.sampled_from(PAIRS), factor=st.floats(1.0, 20.0), batch=st.sampled_from([1.0, 32.0, 1024.0]))
def test_more_bandwidth_peak_or_link_is_never_slower(pair: tuple[str, str, str], factor: float, batch: float) -> None:
    chip, constants = load_chip(pair[0]), load_constants()
    main = chip.main_memory
    memory = tuple(
        replace(level, bandwidth_bytes_s=level.bandwidth_bytes_s * factor)
        if level.name == main.name and level.bandwidth_bytes_s
        else level
        for level in chip.memory
    )
    better = (
        replace(chip, memory=memory),
        replace(chip, peak_ops_s={k: v * factor for k, v in chip.peak_ops_s.items()}),
        replace(chip, links=tuple(
            replace(k, bandwidth_bytes_s=k.bandwidth_bytes_s * factor if k.bandwidth_bytes_s else None)
            for k in chip.links
        )),
    )  # fmt: skip
    model = load_model(pair[1])
    fmt = component_formats(model, pair[2])
    for ops in (
        decode_operators(model, Plan(tp=4), fmt, batch, 2000.0),
        prompt_operators(model, Plan(tp=4), fmt, 2.0, 1500.0),
    ):
        base = float(step_time(ops, chip, constants).seconds)
        for device in better:
            assert float(step_time(ops, device, constants).seconds) <= base * (1 + 1e-9)


# ------------------------------------------------------------------ links
def test_links_are_counted_per_direction() -> None:
    # NVLink 4 is sold as 900 GB/s, both directions together
    assert bandwidth_bytes_s(load_chip("h100-sxm"), 8) == 450e9
    assert bandwidth_bytes_s(load_chip("h800-sxm"), 8) == 200e9
    assert bandwidth_bytes_s(load_chip("b200-sxm"), 8) == 900e9


def test_beyond_its_domain_a_chip_uses_the_network() -> None:
    chip = load_chip("h100-sxm")
    inside, beyond = bandwidth_bytes_s(chip, np.array([8, 16])).tolist()
    assert inside == 450e9
    assert beyond < inside / 4


def test_a_card_without_a_link_of_its_own_uses_the_host_bus() -> None:
    chip = load_chip("l40s")
    host = chip.link("host")
    assert chip.scale_up is None
    assert host is not None
    assert bandwidth_bytes_s(chip, 2) <= 64e9


# ------------------------------------------------------------------ constants by scope
def test_the_nearest_scope_speaks() -> None:
    chip = load_chip("h100-sxm")
    assert scopes(chip) == ("h100-sxm", "hopper", "gpu", "any")
    row = {"t0_us": 1.0, "eta_m": 0.5, "eta_c": 0.5, "p": 2.0}
    tables = {"gemm": {scope: {"any": row | {"t0_us": float(i)}} for i, scope in enumerate(reversed(scopes(chip)))}}
    assert Constants(tables).kernel("gemm", chip, "bf16", "bf16").t0_s == pytest.approx(3e-6)
    del tables["gemm"]["h100-sxm"]
    assert Constants(tables).find("gemm", chip)[1] == "hopper"
    tables["gemm"] = {"any": {"any": row}}
    assert Constants(tables).kernel("gemm", chip, "bf16", "bf16") == Kernel(1e-6, 0.5, 0.5, 2.0)


def test_a_chip_files_own_table_comes_first() -> None:
    chip = replace(
        load_chip("h100-sxm"), efficiency={"kernel": {"bf16": {"t0_us": 9.0, "eta_m": 0.1, "eta_c": 0.1, "p": 1.0}}}
    )
    assert load_constants().kernel("gemm", chip, "bf16", "bf16").t0_s == pytest.approx(9e-6)


def test_formats_borrow_from_what_their_kernels_compute_in() -> None:
    assert format_chain("q4_k_m", "bf16") == ("q4_k_m", "int4", "bf16", "any")
    assert format_chain("mxfp4", "fp4") == ("mxfp4", "nvfp4", "fp4", "any")
    assert format_chain("fp16", "fp16")[:2] == ("fp16", "bf16")


def test_collectives_between_fitted_ranks_are_interpolated() -> None:
    chip = load_chip("h100-sxm")
    table = {"alpha_us": [4.0, 6.0, 8.0], "eta_b": [0.5, 0.7, 0.9], "q": [1.0, 0.8, 0.6]}
    constants = Constants({"all_reduce": {"any": table}})
    alpha, eta, q = constants.collective("all_reduce", chip, np.array([2.0, 4.0, 8.0, 64.0]))
    assert alpha == pytest.approx([4e-6, 6e-6, 8e-6, 45.2e-6])  # eight machines: the library's 15.2 and three doublings
    assert eta == pytest.approx([0.5, 0.7, 0.9, 0.9])
    assert q == pytest.approx([1.0, 0.8, 0.6, 0.6])
    assert constants.collective("all_reduce", chip, 6.0)[0] == pytest.approx((6 + 2 * np.log2(1.5)) * 1e-6)


def test_shipped_shares_are_shares() -> None:
    tables = load_constants().tables
    for kind in KINDS:
        for scope, formats in tables[kind].items():
            for name, row in formats.items():
                assert 0 < row["eta_m"] <= 1, (kind, scope, name)
                assert 0 < row["eta_c"] <= 2, (kind, scope, name)  # above 1: test_roofs
                assert row.get("t0_us", row.get("t0_s", 0.0)) >= 0, (kind, scope, name)
                assert 0.4 <= row["p"] <= 6.0, (kind, scope, name)
    for kind in ("all_reduce", "all_to_all"):
        for scope, row in tables[kind].items():
            assert len(row["alpha_us"]) == len(row["eta_b"]) == len(row["q"]) == 3, (kind, scope)
            assert all(a > 0 for a in row["alpha_us"]), (kind, scope)
            assert all(q > 0 for q in row["q"]), (kind, scope)


# ------------------------------------------------------------------ passes
def test_prompts_share_a_pass_up_to_the_token_budget() -> None:
    from tokcalc.engines.engine import find_engine

    engine = replace(find_engine(load_constants(), None), chunk_tokens=8192.0)
    assert prompts_per_pass(engine, 64.0, np.array([100.0, 1024.0, 4096.0, 10_000.0])).tolist() == [64, 8, 2, 1]
    assert passes_per_prompt(engine, np.array([1.0, 8192.0, 8193.0, 20_000.0])).tolist() == [1, 1, 2, 3]


def test_pipeline_stages_share_the_batch_but_not_the_layers() -> None:
    model = load_model("llama-3.3-70b")
    fmt = component_formats(model, "fp8")
    staged = decode_operators(model, Plan(pp=4), fmt, 64.0, 1000.0)
    alone = decode_operators(model, Plan(), fmt, 16.0, 1000.0)
    for many, one in zip(staged, alone, strict=True):
        assert float(np.max(many.flops)) == pytest.approx(float(np.max(one.flops)))
        if many.name != "output head":
            assert float(np.max(many.count)) == float(np.max(one.count))


def test_a_board_without_the_power_for_its_clock_computes_slower_and_reads_as_fast() -> None:
    chip = load_chip("h100-nvl")
    rated = replace(chip, efficiency={})
    ops = [Operator("product", "gemm", 1.0, 1e12, 1e9, "bf16")]
    (held,), (free,) = ideal_terms(ops, chip), ideal_terms(ops, rated)
    assert held.y_s == pytest.approx(free.y_s / chip.efficiency["sustained"])
    assert held.x_s == free.x_s
    assert 0.5 < chip.efficiency["sustained"] < 1.0


def test_rows_of_weights_that_a_kernel_starts_anew_take_their_time() -> None:
    # 1 us of floor, 1 GB over 1 TB/s and 4,096 rows of 10 ns: 1,041.96 us a layer
    row = {"t0_us": 1.0, "eta_m": 1.0, "eta_c": 1.0, "p": 500.0, "row_s": 10e-9}
    term = Term("product", "gemm", "bf16", "bf16", 2.0, 1.0, 1e-3, 0.0, 1.0, outputs=4096.0)
    seconds = float(term_time(term, load_chip("h100-sxm"), Constants({"gemm": {"any": {"any": row}}})))
    assert seconds == pytest.approx(2 * 1041.96e-6)


def test_attention_reads_whole_blocks_from_two_of_them_on() -> None:
    found = whole_blocks(np.array([200.0, 256.0, 300.0, 512.0, 524.0]), 256.0)
    assert found.tolist() == [1.0, 1.0, 512 / 300, 1.0, 768 / 524]


def test_a_token_of_the_models_own_draft_pays_the_head_once() -> None:
    # a head of .3 ms, and one layer like each of the 61 that take the other 7.7 ms
    plain = StepTime(8e-3, ("layers", "output head"), (7.7e-3, 0.3e-3), ("gemm", "gemm"))
    assert mtp_token_s(plain, load_model("deepseek-v3")) == pytest.approx(0.3e-3 + 7.7e-3 / 61)
