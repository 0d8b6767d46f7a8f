"""What a measured row leaves out, filled by stated rules: lengths, formats, software, drafting.

Each rule says in words what it assumed, or why the row can't be answered. Test sets and defaults stand in
specs/measured/datasets.toml and assumed.toml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...arrays import Values
from ...catalog import load_chip, load_model
from ...catalog.tables import spec_table
from ...errors import TokcalcError
from ...physics.exchange import wide_table
from .drafts import drafted

if TYPE_CHECKING:
    import pandas as pd

    Flags = NDArray[np.bool_]

T = TypeVar("T")
_MAX_BATCH = re.compile(r"max batch (\d+)/replica")
_POINT = re.compile(r"operating point (\d+) tok/s/user")
_AT = re.compile(r"\bat (\d+) tok/s(?:/| per )user")


def datasets() -> Mapping[str, Mapping[str, Any]]:
    """Mean lengths of public test sets (specs/measured/datasets.toml), by publisher and set."""
    return spec_table("measured", "datasets")


def assumed_values() -> Mapping[str, Any]:
    """What rows are taken to have been where they do not say (specs/measured/assumed.toml)."""
    return spec_table("measured", "assumed")


def known(load: Callable[[str], T], name: str) -> T | None:
    """What a name stands for; None where nobody knows it."""
    try:
        return load(name)
    except TokcalcError:
        return None


def is_mixture(model: str) -> bool:
    """True for a mixture of experts; False for dense models and unknown names."""
    found = known(load_model, model)
    return found is not None and found.is_moe


def numbers(frame: pd.DataFrame, column: str, default: float = np.nan) -> Values:
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

    def of_mlperf(name: str) -> str:
        chip = known(load_chip, name)  # the row's block says where nobody knows the chip
        return str(assumed_values()["mlperf_engine"]) if chip is not None and chip.vendor == "NVIDIA" else ""

    named = zip(*(texts(rows, k) for k in ("engine", "regime", "chip")), strict=True)
    return [name or (of_mlperf(chip) if regime.startswith("mlperf") else "") for name, regime, chip in named]


def caches(rows: pd.DataFrame) -> list[str]:
    """KV cache format as printed; vLLM's fp8 and mxfp4 runs outside tuned benchmarks keep its 16 bit; "" elsewhere."""

    def unsaid(engine: str, weights: str, regime: str, note: str) -> str:
        tuned = regime.startswith("mlperf") or note.startswith(tuple(assumed_values()["tuned"]))
        return "bf16" if engine == "vllm" and weights in ("fp8", "mxfp4") and not tuned else ""

    said = zip(*(texts(rows, k) for k in ("engine", "weights", "regime", "note")), strict=True)
    return [printed or unsaid(*row) for printed, row in zip(texts(rows, "kv"), said, strict=True)]


def lengths(rows: pd.DataFrame, assumed: list[list[str]], reasons: dict[int, str]) -> tuple[Values, Values]:
    """(isl, osl) of every row: its own, its test set's mean, or a default; TTFT of an unknown prompt has none."""
    isl, osl = numbers(rows, "isl"), numbers(rows, "osl")
    regime, metric, note = texts(rows, "regime"), texts(rows, "metric"), texts(rows, "note")
    sets, common = _sets(rows), assumed_values()
    for i in np.flatnonzero(np.isnan(isl) | np.isnan(osl)):
        entry = sets[i]
        if np.isnan(isl[i]):
            isl[i], word = _missing_isl(regime[i], entry)
            if metric[i] == "ttft_ms" and entry is None:
                reasons[int(i)] = "TTFT of a prompt whose length is not published"
            elif word:
                assumed[i].append(word)
        if np.isnan(osl[i]):
            usual = _priced("osl") if regime[i] == "price" else common["osl"]
            usual = 1.0 if "speed at first decode step" in note[i] else usual
            osl[i] = float(entry["osl"]) if entry and "osl" in entry else usual
            if regime[i] not in ("prefill-b1", "wide-ep"):
                assumed[i].append(f"osl {osl[i]:g}")
    scale = np.where(of_inferencex(rows), common["nominal_length"], 1.0)
    return isl * scale, np.maximum(osl, 1.0) * scale


def of_inferencex(rows: pd.DataFrame) -> Flags:
    """True for runs of InferenceX's client, which draws lengths below the nominal and polls engines in its own way."""
    words = tuple(assumed_values()["inferencex"])
    return np.array([text.startswith(words) for text in texts(rows, "note")], dtype=bool)


def fixed_lengths(rows: pd.DataFrame) -> Flags:
    """True for closed loops of prompts of a printed length: benchmarks of random tokens, not of a set of texts."""
    closed = np.isin(rows["regime"].to_numpy(dtype=str), ("serving", "price"))
    found: Flags = closed & np.isfinite(numbers(rows, "isl"))
    return found


def _sets(rows: pd.DataFrame) -> list[Mapping[str, Any] | None]:
    """Test set of every row that names one: MLPerf's by the model, the energy benchmark's by its remarks."""
    known = datasets()

    def one(regime: str, model: str, note: str) -> Mapping[str, Any] | None:
        if regime.startswith("mlperf"):
            return known["mlperf"].get(model)
        name = "gpqa" if "GPQA" in note else "lm-arena" if "LM-Arena" in note else ""
        return known["energy"].get(name)

    return [one(*row) for row in zip(*(texts(rows, k) for k in ("regime", "model", "note")), strict=True)]


def _missing_isl(regime: str, entry: Mapping[str, Any] | None) -> tuple[float, str]:
    if entry is not None:
        return float(entry["isl"]), f"isl {entry['isl']:g}, mean of {entry['dataset']}"
    if regime == "decode-b1":
        return 0.0, "generation from an empty context"
    value = assumed_values()["isl"]
    if regime == "wide-ep":
        value = float(wide_table()["phase"]["context"])
    elif regime == "price":
        value = _priced("isl")
    return value, f"isl {value:g}"


def _priced(name: str) -> float:
    """Length of requests whose price is printed without it (specs/measured/frontier.toml)."""
    return float(spec_table("measured", "frontier")[name])


def nucleus(rows: pd.DataFrame) -> Values:
    """1 where a benchmark samples as the model's makers advise and they advise the most likely tokens only, else 0."""
    named = zip(_sets(rows), texts(rows, "model"), strict=True)
    return np.array([float(entry is not None and model in entry.get("nucleus", ())) for entry, model in named])


def of_texts(rows: pd.DataFrame) -> Flags:
    """True where a row ran a test set of texts, whose tokens choose experts less alike than random ones."""
    return np.array([entry is not None for entry in _sets(rows)], dtype=bool)


def drafting(rows: pd.DataFrame, assumed: list[list[str]], reasons: dict[int, str]) -> tuple[Values, Values]:
    """(drafted tokens, tokens that a step yields) where drafting is on; prompts do not care; else a reason."""
    said = numbers(rows, "spec_decode")
    draft, accepted = np.zeros(len(rows)), np.ones(len(rows))
    named = zip(*(texts(rows, k) for k in ("note", "engine", "model", "regime", "metric")), strict=True)
    for i, (entry, (note, engine, model, regime, metric)) in enumerate(zip(_sets(rows), named, strict=True)):
        if entry and "beams" in entry:  # rows that share a prompt's cache, as drafted tokens do, but yield one token
            draft[i] = float(entry["beams"]) - 1.0
            assumed[i].append(f"{entry['beams']} beams")
        silent = bool(np.isnan(said[i]))
        asked = said[i] > 0 or (silent and regime == "wide-ep")
        prompts = regime == "prefill-b1" or metric == "input_tok_s" or (regime == "wide-ep" and metric == "ttft_ms")
        if not asked or prompts or regime == "price":
            continue
        network = known(load_model, model)
        has_mtp = network is not None and network.mtp_layers > 0
        found = drafted(note, None if silent else True, engine, model, has_mtp)
        if found is None:
            reasons[i] = "drafting without its acceptance"
        elif found[0]:
            draft[i], accepted[i], source = found
            assumed[i].append(f"{draft[i]:g} drafted tokens, {accepted[i]:.2f} a step, {source}")
    return draft, accepted


def note_max_batch(rows: pd.DataFrame) -> Values:
    """Requests that a replica was configured to run at most, where the row's remarks print it; inf elsewhere.

    A limit that another run of its group exceeds, on as many chips and with the same limit printed, bounds
    something else (a micro-batch) and counts as none: "max batch 128/replica" with 792 in flight is inf.
    """
    found = [_MAX_BATCH.search(text) for text in texts(rows, "note")]
    most = np.array([float(m[1]) if m else np.inf for m in found])
    keys = list(zip(texts(rows, "group"), most, strict=True))
    flight = numbers(rows, "concurrency", 0.0) > most * numbers(rows, "chips", 1.0)
    exceeded = {key for key, above in zip(keys, flight, strict=True) if above}
    return np.where([key in exceeded for key in keys], np.inf, most)


def through_server(rows: pd.DataFrame) -> Values:
    """1 where first tokens were timed through a server, 0 where the software's own run times a library.

    MLPerf's load generator calls NVIDIA's library in its own process. Offered rates come through a server unless
    compiled engines took them, whose C++ runtime brings a benchmark that sends them itself.
    """
    in_process = tuple(assumed_values()["in_process"])

    def served(engine: str, regime: str, name: str) -> bool:
        if regime == "open-loop" and name:
            return name != assumed_values()["compiled"]
        told = name if regime == "mlperf-server" and not engine else engine.lower()
        return not told.startswith(in_process)

    named = zip(*(texts(rows, k) for k in ("engine", "regime", "software")), strict=True)
    return np.array([float(served(*row)) for row in named])


def note_user_speed(rows: pd.DataFrame) -> Values:
    """Tokens per second of one user at which a frontier was read, where the row's remarks print it; NaN elsewhere.

    Prices print the speed too: "at 23 tok/s/user". The peak of a front is read at any speed, here 1.
    """
    found = [(_POINT.search(text) or _AT.search(text), text) for text in texts(rows, "note")]
    return np.array([float(m[1]) if m else 1.0 if "point peak" in text else np.nan for m, text in found])
