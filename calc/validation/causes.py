"""Why a measured row and its prediction differ: the worst rows of a judged table, each with its likely cause.

The causes are rules over what the row says and over its neighbours (the rest of its group, the same setup in other
versions); they point at what to look at first, and prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Row = Mapping[Any, Any]
# A group whose log ratios spread less than this while their median is further off than OFF is off as a whole.
STEADY = 0.12
OFF = 0.18
VERSIONS_APART = 0.22
SHORT_OUTPUT = 32
DRAFTED = 1.4
LARGE_BATCH = 16
QUEUED = "the note says that requests queue: waiting is most of the time"
NOTED = (
    ("not stated", "the note says that the setup is partly not stated"),
    ("not published", "the note says that part of the setup is not published"),
    ("not printed", "the note says that part of the setup is not printed"),
    ("osl nominal", "lengths are nominal, the real ones differ"),
    ("vendor", "a vendor's own figure"),
)


@dataclass(frozen=True)
class Neighbours:
    """Groups that are off as a whole (group -> factor), and setups whose versions differ."""

    groups: Mapping[str, float]
    aged: frozenset[tuple[Any, ...]]


def worst(judged: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The n predicted rows furthest from 1 in |log ratio|, worst first, with a column `cause`."""
    done = judged[judged["predicted"].notna()]
    order = np.abs(np.log(done["ratio"].to_numpy(dtype=float))).argsort(kind="stable")[::-1]
    table: pd.DataFrame = done.iloc[order[: max(n, 0)]].copy()
    neighbours = _neighbours(done)
    table["cause"] = [likely_cause(row, neighbours) for row in table.to_dict("records")]
    return table


def likely_cause(row: Row, neighbours: Neighbours) -> str:
    """Up to two causes of a row's error, the most telling first."""
    causes = []
    if row.get("suspect"):
        causes.append(f"suspicious measurement: {row['suspect']}")
    constant = neighbours.groups.get(row["group"]) if row["group"] else None
    if constant is not None:
        causes.append(f"constant of this group: all of it is predicted {constant:.2g} times the measured value")
    if _setup(row) in neighbours.aged:
        causes.append("software age: the same setup in other versions or at other dates is predicted differently")
    causes += [text for holds, text in _of_row(row) if holds]
    return "; ".join(causes[:2]) if causes else "none that the row tells"


def _of_row(row: Row) -> list[tuple[bool, str]]:
    """(whether it holds, cause) of everything that a row can tell alone, the most telling first."""
    note, metric, prompt = str(row["note"]).lower(), row["metric"], row["regime"] == "prefill-b1"
    missing = {name for name, value in row.items() if value is None or value != value}
    queued = "queue" in note
    split = "chips" not in missing and row["chips"] > 1 and "tp" in missing
    large = bool(row["max_load"]) or ("concurrency" not in missing and row["concurrency"] >= LARGE_BATCH)
    short = "osl" not in missing and 0 < row["osl"] <= SHORT_OUTPUT and not prompt
    waits = metric == "ttft_ms" and not queued and not prompt
    drafted = "spec_decode" in missing and _faster_than_predicted(row) > DRAFTED
    return [
        (queued, QUEUED),
        (waits, "queueing: the first token waits for other requests, and how long is not in the row"),
        (metric == "tpot_ms" and "median" in note, "a median hides the stalls of interleaved prefill"),
        (drafted, "drafting is not recorded, and the row is faster than plain decoding would be"),
        (row["spec_decode"] == 1, "speculative decoding: the acceptance of the draft is not in the row"),
        (bool(missing & {"isl", "osl"}), "input or output length unknown"),
        ("chips" in missing, "number of chips unknown"),
        (split, "parallel layout unknown"),
        (not row["weights"], "weight format unknown"),
        (not row["kv"] and large, "KV format unknown, which sets the batch or the bytes read"),
        (short, "short outputs: nearly all of the time is prefill"),
        (str(row["grade"])[:1] in ("C", "D"), "the chip has no constants of its own"),
        *((word in note, text) for word, text in NOTED),
    ]


def _neighbours(done: pd.DataFrame) -> Neighbours:
    logs = np.log(done["ratio"])
    groups = {}
    for name, part in logs.groupby(done["group"]):
        if name and len(part) >= 3 and abs(part.median()) > OFF and part.std() < STEADY:
            groups[str(name)] = float(np.exp(part.median()))
    versions: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row, log in zip(done.to_dict("records"), logs, strict=True):
        age = f"{row['version']}|{row['date']}"
        if age != "|" and row["engine"]:
            versions.setdefault(_setup(row), {}).setdefault(age, []).append(float(log))
    medians = {setup: [float(np.median(part)) for part in ages.values()] for setup, ages in versions.items()}
    return Neighbours(groups, frozenset(s for s, found in medians.items() if max(found) - min(found) > VERSIONS_APART))


def _setup(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("chip", "model", "weights", "engine", "regime", "metric"))


def _faster_than_predicted(row: Row) -> float:
    """How many times quicker the row generates than predicted; 1 for what drafting does not touch."""
    if row["metric"] in ("output_tok_s", "output_tok_s_user", "total_tok_s"):
        return float(1 / row["ratio"])
    return float(row["ratio"]) if row["metric"] in ("tpot_ms", "e2e_s") else 1.0
