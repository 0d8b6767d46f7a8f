"""What a measured row leaves out, filled by stated rules: lengths, formats, software, drafting.

Each rule says in words what it assumed, or why the row can't be answered. Stands after `measured`, before
`row_layout` and `cases`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arrays import Array
from ...catalog.tables import shipped_table
from ...errors import TokcalcError
from ...physics.exchange import wide_table
from .drafts import drafted

if TYPE_CHECKING:
    import pandas as pd


NOMINAL_LENGTH = 0.9  # mean of a uniform draw between 0.8 and 1.0, as the InferenceX client draws lengths
ASSUMED_ISL = 512.0  # prompts of benchmarks that print no length: llama-bench's, and the order of chat prompts
ASSUMED_OSL = 256.0  # answers of single-stream tools (MLC, exllamav2) that print no length
_IN_PROCESS = ("trtllm", "llama.cpp", "exllama", "mlc", "tt-metal", "neuronx", "transformers")
_COMPILED = "trtllm-tensorrt"
ROOM = 0.6  # of memory for weights at most where a machine is to be filled with requests
_TUNED = ("inferencex", "aic-run")  # benchmarks whose runs ask for an 8-bit cache
_MAX_BATCH = re.compile(r"max batch (\d+)/replica")
_POINT = re.compile(r"operating point (\d+) tok/s/user")
_AT = re.compile(r"\bat (\d+) tok/s(?:/| per )user")


@lru_cache(maxsize=1)
def datasets() -> Mapping[str, Mapping[str, Any]]:
    """Mean lengths of public test sets (specs/engines/datasets.toml), by publisher and set."""
    text = (files("tokcalc.specs") / "engines" / "datasets.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def numbers(frame: pd.DataFrame, column: str, default: float = np.nan) -> np.ndarray:
    """A column as floats, `default` where it is empty or missing."""
    if column not in frame:
        return np.full(len(frame), default)
    values = frame[column].to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isnan(values), default, values)


def texts(frame: pd.DataFrame, column: str) -> list[str]:
    """A column as strings, "" where it is empty or missing."""
    if column not in frame:
        return [""] * len(frame)
    return [str(text) for text in frame[column].fillna("")]


def software(rows: pd.DataFrame) -> list[str]:
    """Engine of every row; MLPerf rows that name none ran TensorRT-LLM on NVIDIA's chips, as its entries do."""
    from ...catalog import load_chip

    names = texts(rows, "engine")
    for i, (regime, chip) in enumerate(zip(texts(rows, "regime"), texts(rows, "chip"), strict=True)):
        if not names[i] and regime.startswith("mlperf"):
            try:
                names[i] = "trtllm" if load_chip(chip).vendor == "NVIDIA" else ""
            except TokcalcError:  # the row's block says that nobody knows the chip
                continue
    return names


def caches(rows: pd.DataFrame) -> list[str]:
    """KV cache format as printed; vLLM's fp8 and mxfp4 runs outside tuned benchmarks keep its default of
    16 bit; "" elsewhere.
    """
    out = texts(rows, "kv")
    named = zip(*(texts(rows, k) for k in ("engine", "weights", "regime", "note")), strict=True)
    for i, (engine, weights, regime, note) in enumerate(named):
        tuned = regime.startswith("mlperf") or note.startswith(_TUNED)
        if not out[i] and engine == "vllm" and weights in ("fp8", "mxfp4") and not tuned:
            out[i] = "bf16"
    return out


def lengths(rows: pd.DataFrame, assumed: list[list[str]], reasons: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
    """(isl, osl) of every row: its own, its test set's mean, or a default; TTFT of an unknown prompt has none."""
    isl, osl = numbers(rows, "isl"), numbers(rows, "osl")
    regime, metric, model = texts(rows, "regime"), texts(rows, "metric"), texts(rows, "model")
    note = texts(rows, "note")
    for i in np.flatnonzero(np.isnan(isl) | np.isnan(osl)):
        entry = _dataset(regime[i], model[i], note[i])
        if np.isnan(isl[i]):
            isl[i], word = _missing_isl(regime[i], entry)
            if metric[i] == "ttft_ms" and entry is None:
                reasons[int(i)] = "TTFT of a prompt whose length is not published"
            elif word:
                assumed[i].append(word)
        if np.isnan(osl[i]):
            usual = _priced("osl") if regime[i] == "price" else ASSUMED_OSL
            usual = 1.0 if "speed at first decode step" in note[i] else usual
            osl[i] = float(entry["osl"]) if entry and "osl" in entry else usual
            if regime[i] not in ("prefill-b1", "wide-ep"):
                assumed[i].append(f"osl {osl[i]:g}")
    nominal = np.array([text.startswith("inferencex") for text in note], dtype=bool)
    scale = np.where(nominal, NOMINAL_LENGTH, 1.0)
    return isl * scale, np.maximum(osl, 1.0) * scale


def fixed_lengths(rows: pd.DataFrame) -> Array:
    """True for closed loops of prompts of a printed length: benchmarks of random tokens, not of a set of texts."""
    closed = np.isin(rows["regime"].to_numpy(dtype=str), ("serving", "price"))
    found: Array = closed & np.isfinite(numbers(rows, "isl"))
    return found


def _dataset(regime: str, model: str, note: str) -> Any:
    known = datasets()
    if regime.startswith("mlperf"):
        return known["mlperf"].get(model)
    if "GPQA" in note:
        return known["energy"]["gpqa"]
    if "LM-Arena" in note:
        return known["energy"]["lm-arena"]
    return None


def _missing_isl(regime: str, entry: Mapping[str, Any] | None) -> tuple[float, str]:
    if entry is not None:
        return float(entry["isl"]), f"isl {entry['isl']:g}, mean of {entry['dataset']}"
    if regime == "decode-b1":
        return 0.0, "generation from an empty context"
    value = ASSUMED_ISL
    if regime == "wide-ep":
        value = float(wide_table()["phase"]["context"])
    elif regime == "price":
        value = _priced("isl")
    return value, f"isl {value:g}"


def _priced(name: str) -> float:
    """Length of requests whose price is printed without it (specs/engines/frontier.toml)."""
    return float((shipped_table("engines", "frontier.toml") or {})[name])


def nucleus(rows: pd.DataFrame) -> np.ndarray:
    """1 where a benchmark samples as the model's makers advise and they advise the most likely tokens only, else 0."""
    named = zip(*(texts(rows, k) for k in ("regime", "model", "note")), strict=True)
    found = [(_dataset(*words), words[1]) for words in named]
    return np.array([float(bool(entry) and model in entry.get("nucleus", ())) for entry, model in found])


def of_texts(rows: pd.DataFrame) -> np.ndarray:
    """True where a row ran a test set of texts, whose tokens choose experts less alike than random ones."""
    named = zip(*(texts(rows, k) for k in ("regime", "model", "note")), strict=True)
    return np.array([bool(_dataset(*words)) for words in named], dtype=bool)


def drafting(rows: pd.DataFrame, assumed: list[list[str]], reasons: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
    """(drafted tokens, tokens that a step yields) where drafting is on; prompts do not care; else a reason."""
    on = numbers(rows, "spec_decode", 0.0) > 0
    model = texts(rows, "model")
    draft, accepted = np.zeros(len(rows)), np.ones(len(rows))
    note, regime, metric = texts(rows, "note"), texts(rows, "regime"), texts(rows, "metric")
    for i in range(len(rows)):
        entry = _dataset(regime[i], model[i], note[i])
        if entry and "beams" in entry:  # rows that share a prompt's cache, as drafted tokens do, but yield one token
            draft[i] = float(entry["beams"]) - 1.0
            assumed[i].append(f"{entry['beams']} beams")
    engine, silent = texts(rows, "engine"), np.isnan(numbers(rows, "spec_decode"))
    for i in range(len(rows)):
        phase = regime[i] == "wide-ep" and metric[i] == "ttft_ms"
        prompts = regime[i] == "prefill-b1" or metric[i] == "input_tok_s" or phase
        if not (on[i] or (silent[i] and regime[i] == "wide-ep")) or prompts or regime[i] == "price":
            continue
        found = drafted(note[i], None if silent[i] else True, engine[i], model[i], _has_mtp(model[i]))
        if found is None:
            reasons[i] = "drafting without its acceptance"
        elif found[0]:
            draft[i], accepted[i], source = found
            assumed[i].append(f"{draft[i]:g} drafted tokens, {accepted[i]:.2f} a step, {source}")
    return draft, accepted


@lru_cache(maxsize=256)
def _has_mtp(name: str) -> bool:
    """True for models that were released with multi-token prediction layers; False for unknown names."""
    from ...catalog import load_model
    from ...errors import TokcalcError

    try:
        return load_model(name).mtp_layers > 0
    except TokcalcError:
        return False


def note_max_batch(rows: pd.DataFrame) -> np.ndarray:
    """Requests that a replica was configured to run at most, where the row's remarks print it; inf elsewhere.

    A limit that another run of its group exceeds, on as many chips and with the same limit printed, bounds
    something else (a micro-batch) and counts as none. Worked: "max batch 128/replica", 792 in flight: inf.
    """
    found = [_MAX_BATCH.search(text) for text in texts(rows, "note")]
    most = np.array([float(m[1]) if m else np.inf for m in found])
    keys = list(zip(texts(rows, "group"), most, strict=True))
    flight = numbers(rows, "concurrency", 0.0) > most * numbers(rows, "chips", 1.0)
    exceeded = {key for key, above in zip(keys, flight, strict=True) if above}
    return np.where([key in exceeded for key in keys], np.inf, most)


def through_server(rows: pd.DataFrame) -> np.ndarray:
    """1 where first tokens were timed through a server, 0 where the software's own run times a library.

    MLPerf's load generator calls NVIDIA's library in its own process. Offered rates come through a server unless
    compiled engines took them, whose C++ runtime brings a benchmark that sends them itself.
    """
    names = [text.lower() for text in texts(rows, "engine")]
    found = [0.0 if name.startswith(_IN_PROCESS) else 1.0 for name in names]
    for i, (regime, name) in enumerate(zip(texts(rows, "regime"), texts(rows, "software"), strict=True)):
        if regime == "open-loop" and name:
            found[i] = 0.0 if name == _COMPILED else 1.0
        elif regime == "mlperf-server" and not names[i]:
            found[i] = 0.0 if name.startswith(_IN_PROCESS) else 1.0
    return np.array(found)


def note_user_speed(rows: pd.DataFrame) -> np.ndarray:
    """Tokens per second of one user at which a frontier was read, where the row's remarks print it; NaN
    elsewhere.

    Prices print the speed too: "at 23 tok/s/user". The peak of a front is read at any speed, here 1.
    """
    note = texts(rows, "note")
    found = [_POINT.search(text) or _AT.search(text) for text in note]
    return np.array(
        [float(m[1]) if m else 1.0 if "point peak" in text else np.nan for m, text in zip(found, note, strict=True)]
    )
