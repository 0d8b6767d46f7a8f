"""Number formats: bits with their scales, and the dense roof that products of each format run at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.catalog import list_ids, load_chip
from tokcalc.errors import UsageError
from tokcalc.hardware.formats import find_format, format_names, is_native, roof

AMPERE = {"fp32": 19.5e12, "tf32": 156e12, "bf16": 312e12, "fp16": 312e12, "int8": 624e12}
BLACKWELL = {"bf16": 2.25e15, "fp8": 4.5e15, "fp4": 9e15}


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("bf16", 16.0),
        ("fp8", 8.0),
        ("nvfp4", 4 + 8 / 16),  # an 8-bit scale per 16 elements
        ("mxfp4", 4 + 8 / 32),  # an 8-bit scale per 32
        ("mxfp6", 6 + 8 / 32),
        ("q8_0", 8 + 16 / 32),  # a 16-bit scale per 32
        ("q4_0", 4 + 16 / 32),
        ("q6_k", 210 * 8 / 256),  # llama.cpp: 210 bytes per block of 256
    ],
)
def test_bits_count_the_scales(name: str, bits: float) -> None:
    assert find_format(name).bits == pytest.approx(bits)
    assert find_format(name).bytes == pytest.approx(bits / 8)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("FP4", "nvfp4"), ("awq", "int4"), ("w8a8", "int8"), ("bfloat16", "bf16"), (" F16 ", "fp16"), ("mxfp8", "fp8")],
)
def test_other_names_of_a_format(alias: str, name: str) -> None:
    assert find_format(alias).name == name


def test_exl2_reads_its_bits_from_the_name() -> None:
    assert find_format("exl2-4.0bpw").bits == 4.0
    assert find_format("exl2-2.55bpw").bits == 2.55


@pytest.mark.parametrize("name", ["", "fp5", "exl2-bpw", "exl2-0.2bpw", "exl2-99bpw", "exl2-nanbpw", "int-4"])
def test_an_unknown_format_lists_the_known(name: str) -> None:
    with pytest.raises(UsageError, match="nvfp4") as error:
        find_format(name)
    assert f"'{name}'" in str(error.value)


def test_names_are_unique_and_each_finds_itself() -> None:
    names = format_names()
    assert len(set(names)) == len(names)
    assert [find_format(name).name for name in names] == names


def test_a_format_without_units_runs_at_the_next_wider_roof() -> None:
    # weights shrink, the roof does not rise
    assert roof(find_format("fp8"), AMPERE) == ("bf16", 312e12)
    assert roof(find_format("nvfp4"), AMPERE) == ("bf16", 312e12)
    assert roof(find_format("int8"), AMPERE) == ("int8", 624e12)
    assert not is_native(find_format("fp8"), AMPERE)
    assert is_native(find_format("nvfp4"), BLACKWELL)


@pytest.mark.parametrize("name", ["int4", "q4_k_m", "q4_0", "exl2-4.0bpw"])
def test_weight_only_formats_multiply_in_16_bit(name: str) -> None:
    assert roof(find_format(name), BLACKWELL | {"int4": 9e15}) == ("bf16", 2.25e15)


def test_a_machine_with_one_roof_uses_it_for_everything() -> None:
    for name in format_names():
        assert roof(find_format(name), {"int8": 750e12}) == ("int8", 750e12)


@given(st.sampled_from(format_names()), st.sampled_from(list_ids("chips")))
def test_a_roof_is_one_of_the_chips_dense_peaks(name: str, chip: str) -> None:
    peaks = load_chip(chip).peak_ops_s
    found, value = roof(find_format(name), peaks)
    assert peaks[found] == value
    if is_native(find_format(name), peaks):
        assert found == find_format(name).ladder[0]
