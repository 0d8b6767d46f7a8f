"""What rows leave out: limits, engines, lengths and sampling of named data sets, shares of a replica."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tokcalc.catalog import load_chip
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import find_engine
from tokcalc.validation.measured import COLUMNS
from tokcalc.validation.predict import predict_rows
from tokcalc.validation.rows import inputs as row_inputs
from tokcalc.validation.rows import runs as row_runs

OFFLINE = {
    "chip": "gb300", "model": "gpt-oss-120b", "chips": 1, "tp": 1, "pp": 1, "dp": 1, "ep": 1, "weights": "mxfp4",
    "kv": "fp8", "engine": "trtllm", "osl": 1308, "regime": "mlperf-offline", "metric": "output_tok_s", "value": 1,
    "note": "max batch 128/replica", "group": "a", "max_load": True, "date": "2026",
}  # fmt: skip
SERVER = {**OFFLINE, "regime": "mlperf-server", "concurrency": 760, "max_load": False}


def table(*given: dict[str, object]) -> pd.DataFrame:
    """Rows typed as `read_rows` types them."""
    frame = pd.DataFrame([{**dict.fromkeys(COLUMNS, ""), **row} for row in given])
    for name in ("chips", "tp", "pp", "dp", "ep", "isl", "osl", "concurrency", "value", "spec_decode"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float)
    frame["max_load"] = [bool(row.get("max_load")) for row in given]
    return frame


def test_a_limit_that_another_run_of_the_group_exceeds_is_none() -> None:
    assert row_inputs.note_max_batch(table(OFFLINE, SERVER)).tolist() == [np.inf, np.inf]
    assert row_inputs.note_max_batch(table(OFFLINE, {**SERVER, "concurrency": 120})).tolist() == [128, 128]
    assert row_inputs.note_max_batch(table(OFFLINE, {**SERVER, "group": "b"})).tolist() == [128, np.inf]


def test_a_run_that_ends_is_served_in_even_waves() -> None:
    found = row_runs.even_waves(np.array([3000.0, 500.0, np.inf, 2048.0]), np.array([2048.0, 500.0, 2048.0, 2048.0]))
    assert found.tolist() == [1500, 500, 2048, 2048]


def test_requests_are_those_of_the_remarks_or_of_the_benchmarks_page() -> None:
    page = "https://github.com/NVIDIA/TensorRT-LLM/blob/00f3/docs/source/performance/perf-overview.md"
    run = {**OFFLINE, "regime": "max-load", "note": "", "source": page, "isl": 20000, "osl": 2000}
    named = table(run, {**run, "note": "500 requests"}, {**run, "isl": 7}, {**run, "source": "https://else.where"})
    assert row_runs.note_requests(named).tolist() == [1000, 500, np.inf, np.inf]
    faster, slower = predict_rows(table({**run, "source": ""}, {**run, "note": "8 requests"}))["predicted"]
    assert faster > 2 * slower


def test_limits_told_from_runs_that_stay_out_hold_all_the_same() -> None:
    alone = table(OFFLINE)
    bound, free = predict_rows(alone)["predicted"][0], predict_rows(alone.assign(most=np.inf))["predicted"][0]
    assert free > 1.2 * bound


def test_a_chip_that_expands_four_bit_weights_keeps_the_cache_at_16_bit() -> None:
    engine = find_engine(load_constants(), "trtllm")
    assert engine.default_kv("mxfp4", load_chip("b200-sxm").peak_ops_s) == "fp8"
    assert engine.default_kv("mxfp4", load_chip("h200-sxm").peak_ops_s) == "bf16"
    assert engine.default_kv("fp8", load_chip("h200-sxm").peak_ops_s) == "fp8"


def test_mlperf_calls_a_library_and_offered_rates_a_server() -> None:
    offered = {**SERVER, "regime": "open-loop"}
    named = table(SERVER, offered, offered, {**SERVER, "engine": "vllm"}, {**SERVER, "engine": ""})
    named["software"] = ["trtllm", "trtllm", "trtllm-tensorrt", "vllm", "trtllm"]
    assert row_inputs.through_server(named).tolist() == [0, 1, 0, 1, 0]


def test_a_named_checkpoint_keeps_its_attention_at_16_bit() -> None:
    run = {**OFFLINE, "chip": "h100-sxm", "chips": 8, "tp": 8, "model": "llama-3.1-405b", "weights": "fp8", "isl": 2048,
           "osl": 2048, "concurrency": 256, "regime": "static-batch", "engine": "vllm", "max_load": False}  # fmt: skip
    named = table({**run, "note": ""}, {**run, "note": "Meta FP8 weights"}, {**run, "weights": "bf16"})
    assert row_runs.checkpoints(named) == ["", "meta-fp8", ""]
    usual, own = predict_rows(named)["predicted"][:2]
    assert usual > 1.1 * own  # 72 GB more of weights leave less room for requests


def test_a_limit_per_rank_holds_for_all_chips_of_a_row() -> None:
    ranks = {**SERVER, "chips": 8, "concurrency": 900}
    assert row_inputs.note_max_batch(table(ranks)).tolist() == [128]


def test_unnamed_engines_of_mlperf_are_the_vendors_own() -> None:
    unnamed = {**OFFLINE, "engine": ""}
    found = row_inputs.software(
        table(unnamed, {**unnamed, "chip": "mi300x"}, {**unnamed, "regime": "serving"}, {**unnamed, "chip": "nobody"})
    )
    assert found == ["trtllm", "", "", ""]


def test_a_rate_of_one_chip_is_a_share_of_the_replica_that_holds_the_model() -> None:
    one = {**OFFLINE, "model": "deepseek-v3", "chip": "h200-sxm", "weights": "fp8", "tp": "", "pp": "", "dp": "",
           "ep": "", "note": ""}  # fmt: skip
    found = predict_rows(table(one, {**one, "chips": 8}))["predicted"]
    assert found[1] / found[0] == pytest.approx(8, rel=0.15)


def test_a_speed_at_the_first_step_has_no_answer_in_its_cache() -> None:
    first = {**OFFLINE, "model": "llama-3.1-8b", "chip": "wormhole-n150", "regime": "decode-batch", "isl": 128,
             "osl": "", "note": "batch 32; speed at first decode step with 128 cached tokens"}  # fmt: skip
    assumed: list[list[str]] = [[]]
    isl, osl = row_inputs.lengths(table(first), assumed, {})
    assert (isl[0], osl[0]) == (128.0, 1.0)
    assert assumed == [["osl 1"]]


def test_lengths_of_a_named_set_are_its_means() -> None:
    assumed: list[list[str]] = [[], []]
    isl, osl = row_inputs.lengths(table(OFFLINE, {**OFFLINE, "isl": 100}), assumed, {})
    assert isl.tolist() == [row_inputs.datasets()["mlperf"]["gpt-oss-120b"]["isl"], 100]
    assert osl.tolist() == [1308, 1308]
    assert "PubMed" in assumed[0][0]
    assert not assumed[1]


CHAT = {
    "chip": "b200-sxm", "model": "llama-3.1-8b", "chips": 1, "tp": 1, "pp": 1, "dp": 1, "weights": "bf16",
    "engine": "vllm", "osl": 400, "regime": "decode-batch", "metric": "tpot_ms", "value": 1, "concurrency": 64,
    "note": "LM-Arena chat prompts", "isl": 150,
}  # fmt: skip


def test_sampling_by_a_sort_costs_each_sequence_its_vocabulary() -> None:
    greedy, alone = {**CHAT, "note": ""}, {**CHAT, "concurrency": 1}
    step, plain, one = predict_rows(table(CHAT, greedy, alone))["predicted"]
    sort = 128256 * load_constants().engines["vllm"]["sort_ns"] * 1e-6  # ms of each sequence
    assert step - plain == pytest.approx(64 * sort, rel=1e-6)
    assert one < step
    assert row_inputs.nucleus(table(CHAT, {**CHAT, "model": "gpt-oss-120b"})).tolist() == [1, 0]


def test_vllm_keeps_its_cache_at_16_bit_outside_tuned_benchmarks() -> None:
    plain = {**CHAT, "weights": "fp8", "note": ""}
    rows = table(plain, {**plain, "kv": "fp8"}, {**plain, "note": "inferencex-db"}, {**plain, "engine": "sglang"},
                 {**plain, "regime": "mlperf-offline"}, {**plain, "weights": "nvfp4"},
                 {**plain, "weights": "mxfp4"})  # fmt: skip
    assert row_inputs.caches(rows) == ["bf16", "fp8", "", "", "", "", "bf16"]


def test_texts_reach_more_experts_than_random_tokens() -> None:
    texts = {**CHAT, "model": "gpt-oss-120b"}
    random = {**texts, "note": "random tokens"}
    assert row_inputs.of_texts(table(texts, random)).tolist() == [True, False]
    some = [{**row, "concurrency": 24} for row in (texts, random)]
    slower, faster = predict_rows(table(*some))["predicted"]
    assert faster < slower < 1.25 * faster
