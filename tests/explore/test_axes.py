"""Grids: what the forms mean, that sizes are known without values, and that nonsense is refused in a
sentence.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.errors import UsageError
from tokcalc.explore.sweep.axes import AXES, parse_axes, parse_axis, size


def test_forms_of_the_help():
    assert parse_axis("concurrency=1:4096:x2").numbers().tolist() == [2.0**i for i in range(13)]
    assert parse_axis("isl=1k,8k,128Ki").numbers().tolist() == [1000, 8000, 131072]
    assert parse_axis("tp=1:7:+2").numbers().tolist() == [1, 3, 5, 7]
    assert parse_axis("concurrency=1,4:8:+2,max").numbers().tolist() == [1, 4, 6, 8, math.inf]
    assert parse_axis("cache-hit=0:0.5:+0.25").numbers().tolist() == [0, 0.25, 0.5]
    assert parse_axis("chip=h100, h200").texts() == ["h100", "h200"]
    assert parse_axis("memory.hbm.pin_rate=6 Gbit/s,8 Gbit/s").texts() == ["6 Gbit/s", "8 Gbit/s"]


def test_multiples_of_a_count_are_whole_and_unique():
    values = parse_axis("concurrency=1:100:x1.3").numbers()
    assert np.all(values == np.round(values))
    assert len(set(values)) == len(values)


def test_size_of_a_huge_grid_needs_no_values():
    axes = parse_axes([f"{name}=1:1000000:+1" for name in ("isl", "osl", "concurrency")])
    assert size(axes) == 10**18


@given(st.integers(1, 50), st.integers(1, 7), st.integers(0, 40), st.integers(0, 60), st.integers(0, 60))
def test_a_slice_of_an_axis_is_the_slice_of_its_values(start, step, count, low, high):
    axis = parse_axis(f"isl=3,{start}:{start + step * count}:+{step},7")
    assert len(axis) == count + 3
    assert axis.numbers(low, high).tolist() == axis.numbers().tolist()[low:high]


@pytest.mark.parametrize(
    "item",
    ["tp", "=1", "tp=", "tp=1,,2", "tp=0", "tp=-1", "tp=1.5", "tp=a", "tp=1:8", "tp=8:1:x2", "tp=1:8:x1",
    "tp=1:8:+0",
     "tp=1:8:x0", "isl=nan", "isl=inf", "isl=1e30", "isl=0:8:x2", "cache_hit=1.5", "utilisation=0", "speed=1",
     "isl=1:2:x1.0000000001", "isl=1:1e9:x1.000001", "isl=1:3:+0.5"],
)  # fmt: skip
def test_nonsense_is_refused_in_one_sentence(item):
    with pytest.raises(UsageError) as refused:
        parse_axis(item)
    assert "\n" not in str(refused.value)


def test_an_unknown_input_names_the_nearest():
    with pytest.raises(UsageError, match="concurrency"):
        parse_axis("concurency=1")
    with pytest.raises(UsageError, match="twice"):
        parse_axes(["tp=1", "tp=2"])
    assert "isl" in AXES
