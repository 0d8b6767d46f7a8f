"""Wide expert parallelism against what DeepSeek, SGLang, vLLM and Huawei published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import find_engine
from tokcalc.physics.exchange import exchange_s, imbalance, visited
from tokcalc.physics.operators import component_formats
from tokcalc.serving import wide_ep
from tokcalc.validation.predict import predict_rows

MODEL = load_model("deepseek-v3")
FP8, INT8 = component_formats(MODEL, "fp8", "bf16"), component_formats(MODEL, "int8", "bf16")


def test_a_node_of_h800_decodes_as_deepseek_said() -> None:
    # 14.8k output tokens/s per node of eight at 20 to 22 tokens/s for each user, 4,989 tokens cached
    phase = wide_ep.decode(
        load_chip("h800"), MODEL, FP8, chips=144, batch_per_chip=None, context=4989.0, max_tpot_s=1 / 21
    )
    assert 8 * phase.tok_s_chip == pytest.approx(14_800, rel=0.30)


@pytest.mark.parametrize(
    ("chip", "model", "fmt", "chips", "isl", "balanced", "per_chip"),
    [
        ("h800", "deepseek-v3", "fp8", 32, 4096.0, True, 62_713 / 8),  # DeepSeek's profile, balanced
        ("h100", "deepseek-v3", "fp8", 32, 1024.0, False, 57_674 / 8),  # SGLang, EP32
        ("h100", "deepseek-v3", "fp8", 32, 4096.0, False, 50_302 / 8),
        ("h100", "deepseek-v3", "fp8", 32, 4096.0, True, 59_337 / 8),
        ("h200", "kimi-k2", "fp8", 32, 2000.0, False, 56_000 / 8),  # routing without limit
        ("gb200", "deepseek-v3", "nvfp4", 2, 2000.0, False, 26_156),  # SGLang, two ranks
        ("gb200", "deepseek-v3", "fp8", 4, 2000.0, False, 18_471),
        ("ascend-910c", "deepseek-v3", "int8", 16, 4096.0, False, 5_655),  # CloudMatrix
    ],
)
def test_prompts_are_read_as_published(chip, model, fmt, chips, isl, balanced, per_chip) -> None:
    network = load_model(model)
    formats = component_formats(network, fmt, "bf16")
    phase = wide_ep.prefill(load_chip(chip), network, formats, chips=chips, isl=isl, balanced=balanced)
    assert phase.tok_s_chip == pytest.approx(per_chip, rel=0.25)


def test_cloudmatrix_decodes_about_1943_tokens_a_chip() -> None:
    chip = load_chip("ascend-910c")
    phase = wide_ep.decode(chip, MODEL, INT8, chips=160, batch_per_chip=96, context=4096.0, draft=1, acceptance=0.7)
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


def test_copies_and_balance_are_worked_numbers() -> None:
    assert visited(4.0, 8) == pytest.approx(4 * (1 - 0.75**8))
    assert imbalance(MODEL, 32.0) == pytest.approx(1.18, abs=0.005)
    assert imbalance(MODEL, 1.0) == 1.0


def test_a_token_goes_once_to_a_node_when_it_is_read_and_once_to_an_expert_when_written() -> None:
    chip, constants = load_chip("h800"), load_constants()
    read = exchange_s(chip, MODEL, 144.0, 4096.0, constants, phase="prefill")
    written = exchange_s(chip, MODEL, 144.0, 4096.0, constants, phase="decode")
    assert written > 2.0 * read
    # 128 tokens at EP128: 192 us out and 369 us back (DeepEP), over 58 routed layers
    one = exchange_s(chip, MODEL, 128.0, 128.0, constants, phase="decode") / 58
    assert one == pytest.approx(561e-6, rel=0.05)


@given(chips=st.integers(1, 60), tokens=st.floats(1, 1e5))
def test_messages_never_shrink_with_tokens_nor_inside_a_rack(chips: int, tokens: float) -> None:
    constants = load_constants()
    rack, boxes = load_chip("gb200"), load_chip("b200")
    inside = exchange_s(rack, MODEL, float(chips), tokens, constants, phase="prefill")
    assert inside <= exchange_s(rack, MODEL, float(chips), 2 * tokens, constants, phase="prefill")
    assert inside <= exchange_s(boxes, MODEL, float(chips), tokens, constants, phase="prefill") * 1.0001


def test_only_routed_models_are_spread_wide() -> None:
    assert wide_ep.is_wide(MODEL, 32)
    assert not wide_ep.is_wide(MODEL, 8)
    assert not wide_ep.is_wide(load_model("llama-3.3-70b"), 32)


def test_a_day_of_prompts_is_one_prediction_with_and_without_its_cache_hits() -> None:
    # DeepSeek's day: 73,700 tokens/s a node with 56.3 % found in a cache, 32,206 computed
    notes = ["per 8-GPU node, INCLUDES 56.3% disk-cache hits; production mean over 24 h",
             "per node, DeepSeek production excluding cache hits"]  # fmt: skip
    rows = pd.DataFrame(
        {
            "id": ["with", "without"], "chip": "h800-sxm", "chips": 8.0, "model": "deepseek-v3", "weights": "fp8",
            "kv": "bf16", "engine": "deepseek-internal", "version": "", "tp": np.nan, "pp": np.nan, "dp": np.nan,
            "ep": 32.0, "isl": np.nan, "osl": np.nan, "concurrency": np.nan, "max_load": False, "regime": "wide-ep",
            "metric": "input_tok_s", "value": [73700.0, 32206.0], "spec_decode": 0.0, "group": "day", "date": "2025-02",
            "source": "", "note": notes,
        }
    )  # fmt: skip
    found = predict_rows(rows)["predicted"].to_numpy()
    assert found[1] / found[0] == pytest.approx(1.0 - 0.563)


@pytest.mark.parametrize("tp", [1, 4])
def test_the_host_of_a_rank_handles_the_requests_of_all_its_chips(tp: int) -> None:
    # 10 us for each of 16 requests a chip lengthen the step by so much
    engine = find_engine(load_constants(), None)
    free, paid = (
        wide_ep.decode(
            load_chip("h800"), MODEL, FP8, chips=64, batch_per_chip=16, context=4096.0, tp=tp,
            software=wide_ep.Software(replace(engine, sequence_s=seconds)),
        )
        for seconds in (0.0, 10e-6)
    )  # fmt: skip
    assert paid.host_s - free.host_s == pytest.approx(16 * tp * 10e-6)
    assert paid.step_s - free.step_s == pytest.approx(16 * tp * 10e-6)
