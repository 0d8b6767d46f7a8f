"""Memory generations: identities of stacks, and what a swap does to a chip."""

from __future__ import annotations

import math

import pytest
from tokcalc.catalog import list_ids, load_chip, load_memory, load_model
from tokcalc.errors import UsageError
from tokcalc.explore.memory_generations import (
    READ_SHARE,
    bytes_per_token,
    check_swappable,
    compare_generations,
    on_chip,
)
from tokcalc.physics.operators import component_formats

MODEL = load_model("llama-3.3-70b")
ROWS = compare_generations([load_memory(name) for name in list_ids("memory")], MODEL, "bf16")


def test_an_8b_token_reads_its_weights_and_cache() -> None:
    model = load_model("llama-3.1-8b")
    read = bytes_per_token(model, component_formats(model, "bf16", "bf16"), 2048.0)
    # 8.03 billion parameters less the embedding's 0.53, and 128 KiB of cache a token
    assert read == pytest.approx((8.03e9 - 0.525e9) * 2 + 2048 * 131072, rel=0.01)


def test_experts_that_are_not_asked_are_not_read() -> None:
    moe = load_model("deepseek-v3")
    assert bytes_per_token(moe, component_formats(moe, "fp8", "bf16"), 1.0) < 0.07 * moe.params_total


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["memory"])
def test_stacks_hold_the_model_and_one_less_does_not(row: dict) -> None:
    held = 141.1e9 + 2048 * 327_680
    assert row["stacks_to_hold"] == math.ceil(held / row["capacity_bytes"])
    read = bytes_per_token(MODEL, component_formats(MODEL, "bf16", "bf16"), 2048.0)
    assert row["output_tok_s_stack"] == pytest.approx(READ_SHARE * row["bandwidth_bytes_s"] / read)


def test_generations_of_hbm_grow() -> None:
    speed = {row["memory"]: row["output_tok_s_stack"] for row in ROWS}
    assert speed["hbm2"] < speed["hbm2e"] < speed["hbm3"] < speed["hbm3e"] < speed["hbm4"] < speed["hbm4e"]


def test_faster_memory_speeds_a_memory_bound_chip() -> None:
    rows = {row["memory"]: row for row in on_chip("h800", "llama-3.1-8b", ["hbm2e", "hbm4"])}
    assert rows["hbm2e"]["output_tok_s_user"] < rows["hbm3"]["output_tok_s_user"] < rows["hbm4"]["output_tok_s_user"]
    assert rows["hbm3"]["own"]
    assert rows["hbm4"]["grade"] == "D"


def test_chips_without_stacks_are_told_what_to_set_instead() -> None:
    for name in ("cerebras", "groq"):
        with pytest.raises(UsageError, match="no stacks to swap; change its size instead with --set"):
            check_swappable(load_chip(name))
