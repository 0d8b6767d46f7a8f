"""The two formulas that every step is a sum of: worked numbers, bounds, monotony."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.physics.roofline import collective_time, kernel_time, ring_volume, smooth_max

H100 = {"peak_ops_s": 989.4e12, "bandwidth_bytes_s": 3.35e12, "t0_s": 3.5e-6, "eta_m": 0.83, "eta_c": 0.79, "p": 2.9}
TIME = st.floats(1e-9, 1e3)
WORK = st.floats(0, 1e16)
KNEE = st.floats(0.4, 6.0)


def test_a_kernel_of_70_mb_on_h100() -> None:
    # 25.2 us of memory, 2.6 us of arithmetic, 3.5 us floor
    assert kernel_time(2e9, 70e6, **H100) == pytest.approx(28.7e-6, rel=0.005)


def test_a_large_square_product_on_h100_is_bound_by_arithmetic() -> None:
    n = 8192.0
    seconds = kernel_time(2 * n**3, 3 * n * n * 2, **H100)
    assert seconds == pytest.approx(2 * n**3 / (0.79 * 989.4e12), rel=0.02)


def test_an_all_reduce_of_a_mebibyte_over_eight_h100() -> None:
    volume = ring_volume(float(2**20), 8.0)
    assert volume == pytest.approx(1.835e6, rel=1e-3)
    assert collective_time(volume, alpha_s=4.6e-6, bandwidth_bytes_s=474e9, q=0.54) == pytest.approx(15.3e-6, rel=0.01)


@pytest.mark.parametrize(("ranks", "share"), [(1, 0.0), (2, 1.0), (4, 1.5), (8, 1.75)])
def test_a_ring_sends_two_n_minus_one_nths(ranks: float, share: float) -> None:
    assert ring_volume(1e6, ranks) == pytest.approx(share * 1e6)


@given(st.floats(0, 1e12), st.integers(1, 4096))
def test_a_ring_never_sends_more_than_twice_the_message(message: float, ranks: int) -> None:
    assert 0 <= ring_volume(message, ranks) <= 2 * message


@given(TIME, TIME, st.floats(1.0, 6.0))
def test_a_smooth_maximum_lies_between_the_larger_and_the_sum(x: float, y: float, p: float) -> None:
    value = smooth_max(x, y, p)
    assert max(x, y) * (1 - 1e-12) <= value <= (x + y) * (1 + 1e-12)


@given(TIME, TIME)
def test_knees_at_their_ends(x: float, y: float) -> None:
    assert smooth_max(x, y, 1.0) == pytest.approx(x + y)
    assert smooth_max(x, y, 500.0) == pytest.approx(max(x, y), rel=2e-3)
    assert smooth_max(x, 0.0, 2.0) == pytest.approx(x)


@given(TIME, TIME, KNEE)
def test_the_order_of_the_two_does_not_matter(x: float, y: float, p: float) -> None:
    assert smooth_max(x, y, p) == pytest.approx(smooth_max(y, x, p))


def test_nothing_at_all_takes_no_time_and_gives_no_nan() -> None:
    assert smooth_max(0.0, 0.0, 2.0) == 0.0
    assert np.all(np.isfinite(smooth_max(np.array([0.0, 1e-300, 1e300]), 0.0, 0.5)))


@given(WORK, st.floats(0, 1e14), st.floats(0, 1e14), WORK)
def test_a_kernel_is_never_faster_than_either_roof_and_more_work_never_faster(
    flops: float, moved: float, more_bytes: float, more_flops: float
) -> None:
    seconds = kernel_time(flops, moved, **H100)
    assert seconds >= H100["t0_s"]
    assert seconds >= moved / H100["bandwidth_bytes_s"]
    assert seconds >= flops / H100["peak_ops_s"]
    slack = 1 + 1e-12
    assert kernel_time(flops, moved + more_bytes, **H100) * slack >= seconds
    assert kernel_time(flops + more_flops, moved, **H100) * slack >= seconds


@given(st.lists(st.tuples(WORK, st.floats(0, 1e14)), min_size=1, max_size=8))
def test_cases_in_an_array_are_the_cases_one_by_one(cases: list[tuple[float, float]]) -> None:
    flops, moved = np.array(cases).T
    together = kernel_time(flops, moved, **H100)
    alone = [kernel_time(f, q, **H100) for f, q in cases]
    assert together == pytest.approx(alone, rel=1e-12)


def test_each_launch_pays_its_floor() -> None:
    assert kernel_time(0.0, 0.0, **H100, kernels=3.0) == pytest.approx(10.5e-6)
