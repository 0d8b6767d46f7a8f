"""Cutting a model over chips: degrees that agree, shards, experts that a step of tokens reaches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.catalog import load_chip
from tokcalc.errors import UsageError
from tokcalc.parallel import Plan, check_plan, distinct_experts, kv_heads_per_rank, on_cores

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
    tokens = np.sort(
        np.array(data.draw(st.lists(st.integers(1, 100_000), min_size=2, max_size=6)), dtype=float)
    )
    reached = distinct_experts(experts, top_k, tokens)
    near = 1e-9 * experts
    assert np.all(reached >= top_k - near)
    assert np.all(reached <= np.minimum(experts, top_k * tokens) + near)
    assert np.all(np.diff(reached) >= -near)  # more tokens never reach fewer


def test_no_tokens_reach_no_expert() -> None:
    assert distinct_experts(256, 8, 0) == 0


@pytest.mark.parametrize(
    ("heads", "tp", "held"), [(8, 1, 8), (8, 4, 2), (8, 8, 1), (8, 16, 1), (1, 8, 1), (4, 8, 1)]
)
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
