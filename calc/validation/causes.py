"""Why a measured row and its prediction differ: the worst rows of a judged table, each with its likely cause.

Stands after `validate.judge`. The causes are rules over what the row says and over its neighbours (the rest
of its group, the same setup in other versions); they point at what to look at first, and prove nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# A group whose log ratios spread less than this while their median is further off than OFF is off as a whole.
STEADY = 0.12
OFF = 0.18
VERSIONS_APART = 0.22
SHORT_OUTPUT = 32
DRAFTED = 1.4
NOTED = (
    ("queue", "the note says that requests queue: waiting is most of the time"),
    ("not stated", "the note says that the setup is partly not stated"),
    ("not published", "the note says that part of the setup is not published"),
    ("not printed", "the note says that part of the setup is not printed"),
    ("osl nominal", "lengths are nominal, the real ones differ"),
    ("vendor", "a vendor's own figure"),
)


def worst(judged: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """The n predicted rows furthest from 1 in |log ratio|, worst first, with a column `cause`."""
    import numpy as np

    done = judged[judged["predicted"].notna()]
    order = np.abs(np.log(done["ratio"].to_numpy(dtype=float))).argsort(kind="stable")[::-1]
    table: pd.DataFrame = done.iloc[order[: max(n, 0)]].copy()
    context = _context(done)
    table["cause"] = [likely_cause(row, context) for row in table.to_dict("records")]
    return table


def likely_cause(row: dict[Any, Any], context: dict[str, dict[Any, Any]]) -> str:
    """Up to two causes of a row's error, the most telling first."""
    causes = []
    if row.get("suspect"):
        causes.append(f"suspicious measurement: {row['suspect']}")
    constant = context["groups"].get(row["group"]) if row["group"] else None
    if constant is not None:
        causes.append(f"constant of this group: all of it is predicted {constant:.2g} times the measured value")
    if _setup(row) in context["aged"]:
        causes.append("software age: the same setup in other versions or at other dates is predicted differently")
    causes += _of_row(row)
    return "; ".join(causes[:2]) if causes else "none that the row tells"


def _of_row(row: dict[Any, Any]) -> list[str]:
    note = str(row["note"]).lower()
    causes = [text for word, text in NOTED[:1] if word in note]
    if row["metric"] == "ttft_ms" and not causes and row["regime"] not in ("prefill-b1",):
        causes.append("queueing: the first token waits for other requests, and how long is not in the row")
    if row["metric"] == "tpot_ms" and "median" in note:
        causes.append("a median hides the stalls of interleaved prefill")
    if _missing(row["spec_decode"]) and _faster_than_predicted(row) > DRAFTED:
        causes.append("drafting is not recorded, and the row is faster than plain decoding would be")
    if row["spec_decode"] == 1:
        causes.append("speculative decoding: the acceptance of the draft is not in the row")
    if _missing(row["isl"]) or _missing(row["osl"]):
        causes.append("input or output length unknown")
    if _missing(row["chips"]):
        causes.append("number of chips unknown")
    elif row["chips"] > 1 and _missing(row["tp"]):
        causes.append("parallel layout unknown")
    if not row["weights"]:
        causes.append("weight format unknown")
    if not row["kv"] and (row["max_load"] or _large(row["concurrency"])):
        causes.append("KV format unknown, which sets the batch or the bytes read")
    if not _missing(row["osl"]) and 0 < row["osl"] <= SHORT_OUTPUT and row["regime"] not in ("prefill-b1",):
        causes.append("short outputs: nearly all of the time is prefill")
    if str(row["grade"])[:1] in ("C", "D"):
        causes.append("the chip has no constants of its own")
    return causes + [text for word, text in NOTED[1:] if word in note]


def _context(done: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """Groups that are off as a whole (group -> factor), and setups whose versions differ."""
    import numpy as np

    logs = np.log(done["ratio"])
    groups = {}
    for name, part in logs.groupby(done["group"]):
        if name and len(part) >= 3 and abs(part.median()) > OFF and part.std() < STEADY:
            groups[name] = float(np.exp(part.median()))
    versions: dict[Any, dict[str, list[float]]] = {}
    for row, log in zip(done.to_dict("records"), logs, strict=True):
        age = f"{row['version']}|{row['date']}"
        if age != "|" and row["engine"]:
            versions.setdefault(_setup(row), {}).setdefault(age, []).append(float(log))
    aged = {}
    for setup, ages in versions.items():
        medians = [float(np.median(part)) for part in ages.values()]
        if len(medians) > 1 and max(medians) - min(medians) > VERSIONS_APART:
            aged[setup] = len(medians)
    return {"groups": groups, "aged": aged}


def _setup(row: dict[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("chip", "model", "weights", "engine", "regime", "metric"))


def _faster_than_predicted(row: dict[Any, Any]) -> float:
    """How many times quicker the row generates than predicted; 1 for what drafting does not touch."""
    if row["metric"] in ("output_tok_s", "output_tok_s_user", "total_tok_s"):
        return float(1 / row["ratio"])
    return float(row["ratio"]) if row["metric"] in ("tpot_ms", "e2e_s") else 1.0


def _missing(value: Any) -> bool:
    return value is None or value != value


def _large(value: Any) -> bool:
    return not _missing(value) and value >= 16
