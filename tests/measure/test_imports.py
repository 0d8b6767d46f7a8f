"""Other tools' results become measured rows: small documents in the form that each tool writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokcalc.errors import SpecError, UsageError
from tokcalc.measure.imports.results_of_tools import read_results
from tokcalc.validation.measured import COLUMNS, read_rows

LLAMA_BENCH = {
    "build_commit": "5143fa8",
    "build_number": 6500,
    "cpu_info": "AMD Ryzen 9",
    "gpu_info": "NVIDIA GeForce RTX 4080",
    "backends": "CUDA",
    "model_filename": "models/Qwen2.5-1.5B-Instruct-Q4_K_M.gguf",
    "model_type": "qwen2 1.5B Q4_K - Medium",
    "model_size": 1111376896,
    "model_n_params": 1777088000,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 8,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": 99,
    "n_prompt": 512,
    "n_gen": 0,
    "n_depth": 0,
    "test_time": "2025-08-01T18:17:13Z",
    "avg_ns": 68000000,
    "stddev_ns": 1200000,
    "avg_ts": 7528.1,
    "stddev_ts": 120.1,
    "samples_ns": [67000000, 69000000],
    "samples_ts": [7641.8, 7420.3],
}
VLLM = {
    "date": "20250812-101500",
    "endpoint_type": "openai",
    "backend": "vllm",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
    "num_prompts": 200,
    "request_rate": "inf",
    "burstiness": 1.0,
    "max_concurrency": 16,
    "duration": 52.1,
    "completed": 200,
    "total_input_tokens": 204800,
    "total_output_tokens": 25600,
    "request_throughput": 3.84,
    "output_throughput": 491.4,
    "total_token_throughput": 4422.3,
    "mean_ttft_ms": 190.1,
    "median_ttft_ms": 172.0,
    "p99_ttft_ms": 512.9,
    "mean_tpot_ms": 30.9,
    "median_tpot_ms": 31.1,
    "p99_tpot_ms": 35.0,
    "mean_itl_ms": 30.9,
    "median_itl_ms": 29.3,
    "p99_itl_ms": 80.2,
}
AIPERF = {
    "schema_version": "1.4",
    "aiperf_version": "0.13.0",
    "start_time": "2026-02-03T10:00:00",
    "is_complete": True,
    "request_throughput": {"unit": "requests/sec", "avg": 2.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 512.0},
    "inter_token_latency": {"unit": "ms", "avg": 15.6, "p50": 15.2},
    "time_to_first_token": {"unit": "ms", "avg": 99.0, "p50": 88.0},
    "input_sequence_length": {"unit": "tokens", "avg": 1000.2},
    "output_sequence_length": {"unit": "tokens", "avg": 255.8},
    "input_config": {
        "models": {"items": [{"name": "Qwen/Qwen3-8B"}]},
        "phases": [{"name": "profiling", "type": "concurrency", "concurrency": 8, "requests": 100}],
    },
}
GENAI_PERF = {
    "output_token_throughput": {"unit": "tokens/sec", "avg": 300.0},
    "inter_token_latency": {"unit": "ms", "avg": 12.0, "p50": 11.0},
    "input_config": {"model_names": ["llama-3.1-8b"], "perf_analyzer": {"stimulus": {"concurrency": 4}}},
}


def _distribution(mean: float, median: float) -> dict[str, Any]:
    return {"successful": {"mean": mean, "median": median, "count": 50}, "errored": {}, "incomplete": {}}


GUIDELLM = {
    "metadata": {"version": 1, "guidellm_version": "0.8.1"},
    "config": {"backend": {"kind": "openai_http", "model": "Qwen/Qwen3-8B"}},
    "benchmarks": [
        {
            "type_": "generative_benchmark",
            "config": {"strategy": strategy},
            "start_time": 1_770_000_000.0,
            "metrics": {
                "output_tokens_per_second": _distribution(420.0, 400.0),
                "tokens_per_second": _distribution(2000.0, 1990.0),
                "inter_token_latency_ms": _distribution(19.0, 18.5),
                "time_to_first_token_ms": _distribution(140.0, 120.0),
                "prompt_token_count": _distribution(1024.0, 1024.0),
                "output_token_count": _distribution(256.0, 256.0),
                "request_concurrency": _distribution(7.9, 8.0),
            },
        }
        for strategy in (
            {"type_": "concurrent", "streams": 8},
            {"type_": "throughput"},
            {"type_": "constant", "rate": 2.0},
        )
    ],
}


def _rows(tmp_path: Path, document: Any, **known: Any) -> list[dict[str, Any]]:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(document))
    return read_results(file, **{"chip": "rtx-4080", **known})


def _by_metric(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in rows}


def test_llama_bench_prompt_and_generation_are_two_regimes(tmp_path: Path) -> None:
    generation = {**LLAMA_BENCH, "n_prompt": 0, "n_gen": 128, "n_depth": 4096, "avg_ts": 200.0}
    prompt, decode = _rows(tmp_path, [LLAMA_BENCH, generation])
    assert (prompt["regime"], prompt["metric"], prompt["value"]) == ("prefill-b1", "input_tok_s", 7528.1)
    assert (decode["regime"], decode["metric"], decode["isl"]) == ("decode-b1", "output_tok_s_user", 4096)
    assert {r["weights"] for r in (prompt, decode)} == {"q4_k_m"}
    assert prompt["model"] == "qwen2.5-1.5b"
    assert prompt["date"] == "2025-08-01"


def test_llama_bench_lines_are_read_like_its_list(tmp_path: Path) -> None:
    file = tmp_path / "result.jsonl"
    file.write_text("\n".join(json.dumps(LLAMA_BENCH) for _ in range(3)))
    assert len(read_results(file, chip="rtx-4080")) == 3


def test_vllm_closed_loop_open_loop_and_maximum_load(tmp_path: Path) -> None:
    closed = _by_metric(_rows(tmp_path, VLLM))
    assert closed["tpot_ms"]["value"] == 31.1
    assert closed["ttft_ms"]["value"] == 172.0
    assert closed["output_tok_s"]["concurrency"] == 16
    assert (closed["output_tok_s"]["isl"], closed["output_tok_s"]["osl"]) == (1024, 128)
    assert closed["output_tok_s"]["regime"] == "serving"
    assert closed["output_tok_s"]["model"] == "llama-3.1-8b"
    queued = _rows(tmp_path, {**VLLM, "max_concurrency": None})[0]
    assert (queued["regime"], queued["concurrency"]) == ("max-load", "max")
    offered = _rows(tmp_path, {**VLLM, "max_concurrency": None, "request_rate": 3.8})[0]
    assert offered["regime"] == "open-loop"
    assert offered["concurrency"] == pytest.approx(491.4 * 30.9e-3, abs=0.01)


def test_aiperf_and_genai_perf_share_a_form(tmp_path: Path) -> None:
    new = _by_metric(_rows(tmp_path, AIPERF))
    assert new["tpot_ms"]["value"] == 15.2
    assert new["ttft_ms"]["value"] == 88.0
    assert new["output_tok_s"]["concurrency"] == 8
    assert new["output_tok_s"]["model"] == "qwen3-8b"
    assert (new["output_tok_s"]["isl"], new["output_tok_s"]["osl"]) == (1000, 256)
    old = _by_metric(_rows(tmp_path, GENAI_PERF))
    assert old["tpot_ms"]["value"] == 11.0
    assert old["output_tok_s"]["concurrency"] == 4


def test_an_unfinished_aiperf_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did not finish"):
        _rows(tmp_path, {**AIPERF, "is_complete": False, "incomplete_reason": "stalled"})


def test_guidellm_strategies_are_regimes(tmp_path: Path) -> None:
    rows = [r for r in _rows(tmp_path, GUIDELLM) if r["metric"] == "output_tok_s"]
    assert [r["regime"] for r in rows] == ["serving", "max-load", "open-loop"]
    assert [r["concurrency"] for r in rows] == [8, "max", 7.9]
    assert {r["model"] for r in rows} == {"qwen3-8b"}
    assert _by_metric(_rows(tmp_path, GUIDELLM))["tpot_ms"]["value"] == 18.5


@pytest.mark.parametrize("document", [[LLAMA_BENCH], VLLM, AIPERF, GUIDELLM])
def test_imported_rows_pass_the_reader_of_measured_files(tmp_path: Path, document: Any) -> None:
    from tokcalc.report import write

    rows = _rows(tmp_path, document)
    assert all(set(row) == set(COLUMNS) for row in rows)
    write(rows, tmp_path / "rows.csv", columns=list(COLUMNS))
    table = read_rows([tmp_path / "rows.csv"])
    assert len(table) == len(rows)
    assert table["value"].tolist() == [row["value"] for row in rows]


def test_what_a_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(VLLM))
    with pytest.raises(UsageError, match="--chip"):
        read_results(file)
    file.write_text(json.dumps({**VLLM, "model_id": ""}))
    with pytest.raises(UsageError, match="--model"):
        read_results(file, chip="h100-sxm")
    assert read_results(file, chip="h100-sxm", model="llama-3.1-8b")[0]["model"] == "llama-3.1-8b"


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1, 2]", "{", "null", '{"completed": 1}', "[" * 100_000, "\x00"])
def test_files_of_no_known_form_are_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_results(file, chip="h100-sxm", model="llama-3.1-8b")
    assert "\n" not in str(caught.value)


def test_a_failed_run_has_no_value_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no positive value"):
        _rows(tmp_path, [{**LLAMA_BENCH, "avg_ts": 0.0}])
