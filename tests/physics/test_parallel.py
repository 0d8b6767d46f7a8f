"""Cutting a model over chips: degrees that agree, shards, experts that a step of tokens reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.errors import DoesNotFit, UsageError
from tokcalc.physics.parallel import (
    Plan,
    check_heads,
    check_plan,
    cuts_heads,
    distinct_experts,
    kv_heads_per_rank,
    on_cores,
    rank_cores,
    usual_degree,
)
from tokcalc.serving.chooser import candidates
from tokcalc.serving.deployment import Wish

DEGREE = st.integers(1, 64)


@pytest.mark.parametrize(
    ("experts", "top_k", "tokens", "expected"),
    [(256, 8, 1, 8), (256, 8, 32, 163), (256, 8, 128, 252), (8, 2, 1, 2), (8, 2, 8, 7.2), (128, 4, 1, 4)],
)
def test_distinct_experts_of_balanced_routing(experts: int, top_k: int, tokens: int, expected: float) -> None:
    assert distinct_experts(experts, top_k, tokens) == pytest.approx(expected, rel=0.01)


@given(st.integers(1, 512), st.data())
def test_tokens_reach_between_top_k_and_all_experts(experts: int, data: st.DataObject) -> None:
    top_k = data.draw(st.integers(1, experts))
    tokens = np.sort(np.array(data.draw(st.lists(st.integers(1, 100_000), min_size=2, max_size=6)), dtype=float))
    reached = distinct_experts(experts, top_k, tokens)
    near = 1e-9 * experts
    assert np.all(reached >= top_k - near)
    assert np.all(reached <= np.minimum(experts, top_k * tokens) + near)
    assert np.all(np.diff(reached) >= -near)  # more tokens never reach fewer


def test_no_tokens_reach_no_expert() -> None:
    assert distinct_experts(256, 8, 0) == 0


@pytest.mark.parametrize(("heads", "tp", "held"), [(8, 1, 8), (8, 4, 2), (8, 8, 1), (8, 16, 1), (1, 8, 1), (4, 8, 1)])
def test_kv_heads_are_replicated_beyond_their_number(heads: int, tp: int, held: float) -> None:
    assert kv_heads_per_rank(heads, tp) == held


@given(st.integers(1, 128), st.integers(1, 128))
def test_ranks_hold_all_kv_heads_together(heads: int, tp: int) -> None:
    assert kv_heads_per_rank(heads, tp) * tp >= heads - 1e-9
    assert 1 <= kv_heads_per_rank(heads, tp) <= heads


@given(DEGREE, DEGREE, DEGREE)
def test_degrees_multiply_to_the_chips(tp: int, pp: int, dp: int) -> None:
    assert check_plan(tp, pp, dp, 1, tp * pp * dp).chips == tp * pp * dp
    with pytest.raises(UsageError, match="contradicts"):
        check_plan(tp, pp, dp, 1, tp * pp * dp + 1)


@given(DEGREE, DEGREE, st.integers(1, 4096))
def test_experts_are_held_once_by_the_chips_of_a_layer(tp: int, dp: int, ep: int) -> None:
    if (tp * dp) % ep:
        with pytest.raises(UsageError, match="--ep"):
            check_plan(tp, 1, dp, ep)
    else:
        # ep groups hold whole experts, each cut over what is left
        assert check_plan(tp, 1, dp, ep).expert_tp * ep == pytest.approx(tp * dp)


@pytest.mark.parametrize("name", ["tp", "pp", "dp", "ep"])
@pytest.mark.parametrize("value", [0, -1, -8])
def test_a_degree_below_one_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"--{name} {value}"):
        check_plan(**({"tp": 1, "pp": 1, "dp": 1, "ep": 1} | {name: value}))


def test_degrees_may_be_arrays_of_cases() -> None:
    plan = Plan(np.array([1, 2, 8]), np.array([1, 2, 1]), 1, np.array([1, 1, 8]))
    assert plan.chips.tolist() == [1, 4, 8]
    assert plan.expert_tp.tolist() == [1, 2, 1]


def test_cores_of_a_chip_keep_whole_heads() -> None:
    # 12 Inferentia2 of two cores: 24 ranks for 8 heads, each rank keeps one
    assert kv_heads_per_rank(8, 12, 2) == 2.0
    assert kv_heads_per_rank(32, 12, 2) == 4.0
    assert kv_heads_per_rank(40, 12, 2) == 4.0
    plan = on_cores(Plan(12), load_chip("inferentia2"))
    assert plan.cores == 2
    assert on_cores(Plan(8), load_chip("h100-sxm")) == Plan(8)


@given(st.integers(1, 128), st.integers(1, 64), st.integers(1, 8))
def test_more_cores_never_read_less_cache(heads: int, tp: int, cores: int) -> None:
    assert kv_heads_per_rank(heads, tp, cores) >= kv_heads_per_rank(heads, tp) * (1 - 1e-12)


@pytest.mark.parametrize(
    ("model", "tp", "near"),
    [("llama-3.3-70b", 7, "4 and 8"), ("llama-3.3-70b", 100, "64"), ("llama-3.3-70b", 12_500, "64"),
     ("qwen2.5-14b", 16, "10 and 20"), ("qwen2.5-7b", 8, "7 and 14"), ("qwen2.5-1.5b", 8, "6 and 12"),
     ("qwen3.5-27b", 16, "12 and 24")],
)  # fmt: skip
def test_a_degree_that_cuts_no_heads_is_refused_with_the_nearest_that_do(model: str, tp: int, near: str) -> None:
    with pytest.raises(UsageError, match=f"--tp {tp} .* query heads of .*: {near}$"):
        check_heads(load_model(model), tp)
    with pytest.raises(UsageError, match=f"--tp {tp} "):
        estimate("h100", model, tp=tp)


@pytest.mark.parametrize(("model", "tp"), [("qwen2.5-14b", 5), ("command-r-plus-104b", 12), ("qwen2.5-7b", 7)])
def test_degrees_need_not_be_powers_of_two(model: str, tp: int) -> None:
    assert estimate("h100", model, tp=tp)["deployment"]["tp"] == tp


@given(st.sampled_from(list_ids("models")), st.integers(1, 300))
def test_an_accepted_degree_leaves_every_rank_the_same_heads(name: str, tp: int) -> None:
    model = load_model(name)
    whole = all(group.attention.heads % tp == 0 for group in model.groups if group.attention.heads)
    assert cuts_heads(model, tp) == whole
    assert cuts_heads(model, tp) or not usual_degree(model, tp)


def test_usual_degrees_keep_key_value_heads_whole() -> None:
    assert [t for t in range(1, 41) if usual_degree(load_model("qwen2.5-14b"), t)] == [1, 2, 4, 8, 40]
    assert [t for t in range(1, 41) if usual_degree(load_model("phi-4"), t)] == [1, 2, 5, 10, 20, 40]
    assert [t for t in range(1, 9) if usual_degree(load_model("deepseek-v3"), t)] == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("chips", "cut"), [(1, None), (5, (1, 5)), (6, (2, 3)), (7, (1, 7)), (12, (4, 3)), (24, (8, 3))]
)
def test_a_number_of_chips_is_cut_in_a_way_that_exists(chips: int, cut: tuple[int, int] | None) -> None:
    """64 query and 8 KV heads: what no tensor degree takes becomes stages."""
    if cut is None:
        with pytest.raises(DoesNotFit):
            estimate("h100", "llama-3.3-70b", chips=chips)
        return
    found = estimate("h100", "llama-3.3-70b", chips=chips)["deployment"]
    assert (found["tp"], found["pp"], found["dp"]) == (*cut, 1)


def test_of_several_cuts_of_a_number_of_chips_the_one_with_the_most_tokens_is_taken() -> None:
    def rate(answer: Any) -> float:
        return float(answer["service"]["speed"]["output_tok_s_chip"]["value"])

    taken = estimate("h100", "llama-3.3-70b", chips=8)
    assert taken["deployment"]["dp"] == 1  # one replica: ranks of a dense model would be two
    for degrees in ({"tp": 8}, {"tp": 4, "pp": 2}, {"tp": 2, "pp": 4}):
        other = estimate("h100", "llama-3.3-70b", chips=8, **degrees)
        assert rate(other) <= rate(taken) * (1 + 1e-9)


def test_a_number_of_chips_that_no_cut_takes_names_its_neighbours() -> None:
    with pytest.raises(UsageError, match="--chips 100 or --chips 102") as caught:
        estimate("h100", "llama-3.3-70b", chips=101)
    assert "--pp 101" not in str(caught.value)
    for chips in (100, 102):
        assert estimate("h100", "llama-3.3-70b", chips=chips)["deployment"]["chips"] == chips
    with pytest.raises(UsageError, match="--tp 3 does not divide"):
        estimate("h100", "llama-3.3-70b", chips=6, pp=2)


def test_cores_fill_their_ranks_up_with_empty_heads() -> None:
    """Neuron ran 40 heads on 12 chips of two cores each."""
    found = estimate("inferentia2", "llama-2-13b", tp=12)["deployment"]
    assert found["tp"] == 12
    with pytest.raises(UsageError, match="--tp 48 is more than"):
        estimate("inferentia2", "llama-2-13b", tp=48)


@pytest.mark.parametrize("chip", ["h100-sxm", "mi300x", "inferentia2", "rngd", "l40s", "gb200"])
def test_every_cut_that_is_searched_would_be_accepted(chip: str) -> None:
    device = load_chip(chip)
    for name in list_ids("models"):
        model, cores = load_model(name), rank_cores(device)
        tried = [plan for plans in candidates(device, model, Wish()) for plan in plans]
        for plan in tried:
            check_heads(model, int(plan.tp), cores)
            assert usual_degree(model, int(plan.tp), cores)
