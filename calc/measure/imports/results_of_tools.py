"""Other tools' results as measured rows: llama-bench, vLLM's serving benchmark, aiperf or genai-perf, guidellm.

Each format is recognised by its own keys (from the tools' documentation and export code); the rows have the columns of
specs/measured/README.md, so `validate` and `calibrate` take them. What a file does not say (the chip, often the format
of the weights) comes from the command line or stays empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import SpecError, UsageError
from . import values as v

MAX_BYTES = 500_000_000
Row = dict[str, Any]
_METRICS = ("output_tok_s", "total_tok_s", "tpot_ms", "ttft_ms")
_TOOLS = "llama-bench (-o json), vllm bench serve --save-result, aiperf, genai-perf and guidellm"


@dataclass(frozen=True)
class _Said:
    """What the caller adds to a file: it overrides or completes what the file says."""

    chip: str | None
    chips: int | None
    model: str | None
    weights: str | None


def read_results(
    path: Path,
    *,
    chip: str | None = None,
    chips: int | None = None,
    model: str | None = None,
    weights: str | None = None,
) -> list[Row]:
    """Measured rows of one result file.

    chip, chips, model, weights override or complete what the file says. Raises SpecError for a file that is none of the
    known ones, UsageError where the chip or the model is neither in the file nor given.
    """
    data = _load(path)
    read = next((read for knows, read in _READERS if knows(data)), None)
    if read is None:
        raise SpecError(f"{path} is no result that is understood; known are {_TOOLS}")
    said = _Said(chip, chips, model, weights)
    return [_finish(row, path, i, said) for i, row in enumerate(read(data))]


def _load(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(f"{path} is larger than {MAX_BYTES // 1_000_000} MB; give the summary, not the records")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror}); give an existing result file") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not a text file; give a JSON result of {_TOOLS}") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:  # llama-bench -o jsonl: one object a line
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise SpecError(f"{path} is not valid JSON; give a result of {_TOOLS}") from None


def _rows(row: Row, metrics: Iterable[tuple[str, Any]]) -> list[Row]:
    """The row once for each metric that has a positive value."""
    return [{**row, "metric": metric, "value": value} for metric, value in metrics if v.as_number(value) > 0]


# ------------------------------------------------------------------ formats
def _is_llama_bench(data: Any) -> bool:
    keys = {"n_prompt", "n_gen", "avg_ts"}
    return isinstance(data, list) and bool(data) and all(isinstance(d, dict) and keys <= d.keys() for d in data)


def _llama_bench(data: list[Mapping[str, Any]]) -> list[Row]:
    """n_prompt alone: a prompt; n_gen alone: generation after n_depth tokens; both: prompt and generation in a row."""
    rows = []
    for d in data:
        prompt, new, depth = int(d["n_prompt"]), int(d["n_gen"]), int(d.get("n_depth", 0))
        kind, device = str(d.get("model_type", "")), d.get("gpu_info") or d.get("cpu_info") or ""
        samples = f"{len(d.get('samples_ts', []))} samples, deviation {v.as_number(d.get('stddev_ts', 0)):.3g} tok/s"
        if new == 0:
            work = {"isl": prompt, "osl": 1, "regime": "prefill-b1", "metric": "input_tok_s"}
        elif prompt == 0:
            work = {"isl": depth, "osl": new, "regime": "decode-b1", "metric": "output_tok_s_user"}
        else:
            work = {"isl": prompt, "osl": new, "regime": "static-batch", "metric": "total_tok_s"}
        row = {
            "model": str(d.get("model_filename", "")).replace("\\", "/").split("/")[-1],
            "weights": v.weights_from(kind),
            "kv": v.format_id(str(d.get("type_k", ""))),
            "engine": "llama.cpp",
            "version": str(d.get("build_commit", "")),
            "concurrency": 1,
            "date": str(d.get("test_time", ""))[:10],
            "spec_decode": 0,
            "note": f"{device}; {kind}; {d.get('n_threads')} threads; {samples}",
        }
        rows.append({**row, **work, "value": d["avg_ts"]})
    return rows


def _is_vllm(data: Any) -> bool:
    return isinstance(data, dict) and {"completed", "output_throughput", "total_input_tokens"} <= data.keys()


def _vllm(data: Mapping[str, Any]) -> list[Row]:
    """max_concurrency with an infinite rate: closed loop; a finite rate: open loop; neither: all queued at once."""
    done = max(1.0, v.as_number(data["completed"]))
    rate, limit = str(data.get("request_rate", "inf")), data.get("max_concurrency")
    regime = "open-loop" if rate != "inf" else "serving" if limit else "max-load"
    tpot = v.as_number(data.get("mean_tpot_ms") or data.get("median_tpot_ms"))
    load = {"serving": limit, "max-load": "max"}.get(regime)
    if regime == "open-loop" and tpot > 0:
        load = round(v.as_number(data["output_throughput"]) * tpot / 1000, 2)
    engine = str(data.get("backend") or data.get("endpoint_type") or "vllm")
    row: Row = {
        "model": data.get("model_id", ""),
        "engine": "vllm" if engine.startswith(("openai", "vllm")) else engine,
        "isl": round(v.as_number(data["total_input_tokens"]) / done),
        "osl": round(v.as_number(data.get("total_output_tokens")) / done),
        "concurrency": load,
        "regime": regime,
        "date": v.stamp_date(str(data.get("date", ""))),
        "note": f"vllm bench serve, rate {rate}, {done:.0f} requests",
    }
    keys = ("output_throughput", "total_token_throughput", "median_tpot_ms", "median_ttft_ms")
    return _rows(row, zip(_METRICS, map(data.get, keys), strict=True))


def _aiperf_metrics(data: Any) -> Mapping[str, Any]:
    """Where the metrics lie: at the top (aiperf, genai-perf), or under "records" in early aiperf files."""
    inner = data.get("records") if isinstance(data, dict) else None
    return inner if isinstance(inner, dict) else data


def _is_aiperf(data: Any) -> bool:
    found = _aiperf_metrics(data).get("output_token_throughput") if isinstance(data, dict) else None
    return isinstance(found, dict) and "avg" in found


def _aiperf(data: Mapping[str, Any]) -> list[Row]:
    metrics, config = _aiperf_metrics(data), data.get("input_config") or {}
    if data.get("is_complete") is False:
        raise SpecError(f"the aiperf run did not finish ({data.get('incomplete_reason')}); measure again")
    rate, limit = v.find_key(config, "request_rate"), v.find_key(config, "concurrency")
    name = next(filter(None, (v.find_key(config, key) for key in ("model_names", "models", "model"))), "")
    tool = f"aiperf {data['aiperf_version']}" if data.get("aiperf_version") else "genai-perf or aiperf"
    row: Row = {
        "model": v.first_name(name),
        "isl": v.figure(metrics, "input_sequence_length", "avg"),
        "osl": v.figure(metrics, "output_sequence_length", "avg"),
        "concurrency": limit if isinstance(limit, int | float) else None,
        "date": str(data.get("start_time") or "")[:10],
        "regime": "serving" if limit else "open-loop",
        "note": f"{tool}{f', rate {rate}' if rate else ''}",
    }
    rows = []
    keys = ("output_token_throughput", "inter_token_latency", "time_to_first_token")
    for metric, key in zip(("output_tok_s", "tpot_ms", "ttft_ms"), keys, strict=True):
        entry = metrics.get(key)
        if isinstance(entry, dict) and entry.get("avg") is not None:
            value = v.as_number(entry["avg"])
            if metric != "output_tok_s":
                value = v.as_number(entry.get("p50") or entry["avg"]) * v.to_ms(str(entry.get("unit", "ms")))
            rows.append({**row, "metric": metric, "value": value})
    return rows


def _is_guidellm(data: Any) -> bool:
    runs = data.get("benchmarks") if isinstance(data, dict) else None
    return isinstance(runs, list) and bool(runs) and all(isinstance(r, dict) and "metrics" in r for r in runs)


def _successful(metrics: Mapping[str, Any], key: str, what: str) -> float | None:
    return v.figure(metrics, key, "successful", what)


def _guidellm(data: Mapping[str, Any]) -> list[Row]:
    """One benchmark per strategy: synchronous, concurrent (streams), throughput (all at once), or a rate."""
    rows: list[Row] = []
    shared = v.find_key(data.get("config") or data.get("args") or {}, "model")
    for run in data["benchmarks"]:
        config, said = run.get("config") or run.get("args") or {}, partial(_successful, run["metrics"])
        strategy = config.get("strategy") or {}
        kind = str(strategy.get("type_") or strategy.get("kind") or "")
        regime = {"synchronous": "serving", "concurrent": "serving", "throughput": "max-load"}.get(kind, "open-loop")
        load: Any = {"synchronous": 1, "throughput": "max"}.get(kind, strategy.get("streams"))
        row: Row = {
            "model": v.first_name(shared or v.find_key(config, "model") or ""),
            "regime": regime,
            "isl": said("prompt_token_count", "mean"),
            "osl": said("output_token_count", "mean"),
            "concurrency": said("request_concurrency", "mean") if load is None else load,
            "date": v.epoch_date(run.get("start_time")),
            "note": f"guidellm, strategy {kind}",
        }
        rates = (said("output_tokens_per_second", "mean"), said("tokens_per_second", "mean"))
        times = (said("inter_token_latency_ms", "median"), said("time_to_first_token_ms", "median"))
        rows += _rows(row, zip(_METRICS, (*rates, *times), strict=True))
    return rows


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Row]]], ...] = (
    (_is_llama_bench, _llama_bench),
    (_is_vllm, _vllm),
    (_is_guidellm, _guidellm),
    (_is_aiperf, _aiperf),
)


# ------------------------------------------------------------------ pieces
def _finish(row: Row, path: Path, index: int, said: _Said) -> Row:
    """The row with every column, known names instead of file names, and what the caller adds."""
    from ...validation.measured import COLUMNS

    value = v.as_number(row.get("value"))
    if not math.isfinite(value) or value <= 0:
        raise SpecError(f"{path}: measurement {index + 1} has no positive value; the run it comes from failed")
    if not said.chip:
        raise UsageError(f"{path} does not say on which chip it ran; add --chip NAME")
    name = v.known_id(said.model or str(row.get("model") or ""), "models")
    if not name:
        raise UsageError(f"{path} does not name its model; add --model NAME")
    full: Row = {column: row.get(column) if row.get(column) is not None else "" for column in COLUMNS}
    chip, weights = v.known_id(said.chip, "chips"), v.format_id(said.weights or str(full["weights"]))
    one = dict.fromkeys(("tp", "pp", "dp"), 1) if (said.chips or 1) == 1 else {}
    return {
        **full,
        **one,
        "id": f"{path.stem}/{index + 1}-{full['metric']}",
        "group": f"{path.stem}/{name}/{chip}/{weights}",
        "chip": chip,
        "model": name,
        "chips": said.chips or 1,
        "weights": weights,
        "value": value,
        "source": path.name,
        "isl": v.as_whole(full["isl"]),
        "osl": v.as_whole(full["osl"]),
    }
