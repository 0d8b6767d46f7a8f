"""Wide expert parallelism against what DeepSeek and Huawei published."""

from __future__ import annotations

import pytest
from tokcalc import wide_ep
from tokcalc.catalog import load_chip, load_model
from tokcalc.operators import component_formats

MODEL = load_model("deepseek-v3")
FP8, INT8 = component_formats(MODEL, "fp8", "bf16"), component_formats(MODEL, "int8", "bf16")


def test_a_node_of_h800_decodes_as_deepseek_said() -> None:
    # 14.8k output tokens/s per node of eight at 20 to 22 tokens/s for each user, 4,989 tokens cached
    phase = wide_ep.decode(
        load_chip("h800"), MODEL, FP8, chips=144, batch_per_chip=None, context=4989.0, max_tpot_s=1 / 21
    )
    assert 8 * phase.tok_s_chip == pytest.approx(14_800, rel=0.30)


def test_a_node_of_h800_reads_prompts_as_its_profile_shows() -> None:
    # 62.7k tokens/s per node of eight at 4,096 tokens a prompt and 16,384 a chip, without cache hits
    phase = wide_ep.prefill(load_chip("h800"), MODEL, FP8, chips=32, isl=4096.0)
    assert 8 * phase.tok_s_chip == pytest.approx(62_700, rel=0.30)


def test_cloudmatrix_decodes_about_1943_tokens_a_chip() -> None:
    chip = load_chip("ascend-910c")
    phase = wide_ep.decode(
        chip, MODEL, INT8, chips=160, batch_per_chip=96, context=4096.0, draft=1, acceptance=0.7
    )
    assert phase.tok_s_chip == pytest.approx(1943, rel=0.25)
    assert phase.tpot_s == pytest.approx(0.0494, rel=0.25)


def test_a_tighter_limit_means_smaller_batches() -> None:
    chip = load_chip("h800")
    found = [
        wide_ep.decode(chip, MODEL, FP8, chips=144, batch_per_chip=None, context=4989.0, max_tpot_s=limit)
        for limit in (0.03, 0.05, 0.08)
    ]
    assert [p.tokens_per_chip for p in found] == sorted(p.tokens_per_chip for p in found)
    assert all(p.tpot_s <= limit for p, limit in zip(found, (0.03, 0.05, 0.08), strict=True))


def test_cached_prompts_are_read_faster() -> None:
    chip = load_chip("h800")
    plain = wide_ep.prefill(chip, MODEL, FP8, chips=32, isl=4096.0)
    cached = wide_ep.prefill(chip, MODEL, FP8, chips=32, isl=4096.0, cache_hit=0.563)
    assert cached.tok_s_chip / (1 - 0.563) > 2.0 * plain.tok_s_chip


def test_only_routed_models_are_spread_wide() -> None:
    assert wide_ep.is_wide(MODEL, 32)
    assert not wide_ep.is_wide(MODEL, 8)
    assert not wide_ep.is_wide(load_model("llama-3.3-70b"), 32)
