"""Tiers of memory: the fastest one that holds the weights streams them."""

from __future__ import annotations

from tokcalc import estimate
from tokcalc.catalog import load_chip
from tokcalc.hardware.tiers import hint, tiers


def test_sambanova_holds_large_models_in_ddr() -> None:
    chip = load_chip("sn40l")
    assert [m.name for m in tiers(chip)] == ["hbm", "ddr"]
    hbm, ddr = tiers(chip)
    assert hbm.capacity_bytes < 84e9 < ddr.capacity_bytes  # a 70B model in 8 bit on one socket
    assert (hbm.bandwidth_bytes_s or 0.0) > 10 * (ddr.bandwidth_bytes_s or 0.0)


def test_the_next_tier_is_named_with_its_option() -> None:
    assert "--set weights_in=ddr" in hint(load_chip("sn40l"))
    assert "--set weights_in=dram" in hint(load_chip("corsair"))
    assert hint(load_chip("h100-sxm")) == ""


def test_weights_in_a_slow_tier_are_read_slowly() -> None:
    fast = estimate("sn40l", "llama-3.1-8b", chips=1)
    slow = estimate("sn40l", "llama-3.1-8b", chips=1, overrides={"weights_in": "ddr"})
    assert 8 < slow.tpot_s / fast.tpot_s < 20
