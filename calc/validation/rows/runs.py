"""What the page of a benchmark tells beside its rows: requests of a run, checkpoints with a recipe of their own."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from ...arrays import Values
from ...hardware.formats import find_format
from .inputs import assumed_values, datasets, numbers, texts

if TYPE_CHECKING:
    import pandas as pd

    from ...physics.operators import Formats

_REQUESTS = re.compile(r"(\d+) (?:requests|prompts|\(all|\(max-num-seqs)")


def note_requests(rows: pd.DataFrame) -> Values:
    """Requests of a whole run: as the row's remarks print them, or as its benchmark sends them for these lengths
    (`[runs]` in datasets.toml); inf elsewhere: a queue that never empties.
    """
    noted = [_REQUESTS.search(text) for text in texts(rows, "note")]
    lengths = numbers(rows, "isl"), numbers(rows, "osl")
    sent = [_sent(*row) for row in zip(texts(rows, "regime"), texts(rows, "source"), *lengths, strict=True)]
    return np.array([float(m[1]) if m else n for m, n in zip(noted, sent, strict=True)])


def _sent(regime: str, source: str, isl: float, osl: float) -> float:
    for run in datasets()["runs"].values():
        if regime == "max-load" and fnmatchcase(source, run["page"]):
            return float(run["requests"].get(f"{isl:g}/{osl:g}", np.inf))
    return np.inf


def even_waves(requests: Values, limit: Values) -> Values:
    """Requests that run at once in a run that ends: N / ceil(N / limit), where the limit is the smaller.

    Slots of equal requests serve ceil(N / limit) of them at most, so the run lasts that many lives; a life grows
    evenly with the requests beside it, so that k full waves and a rest take as long as k + 1 even ones.

    >>> even_waves(np.array([3000.0, np.inf]), np.array([2048.0, 2048.0])).tolist()  # two waves, an endless queue
    [1500.0, 2048.0]
    """
    finite = np.isfinite(requests) & (requests > limit)
    whole = np.where(finite, requests, limit)
    found: Values = whole / np.ceil(whole / np.maximum(limit, 1.0))
    return found


def checkpoints(rows: pd.DataFrame) -> list[str]:
    """Name of a checkpoint (`[checkpoints]` in datasets.toml) that a row's remarks name; "" for the usual recipe."""
    known = datasets()["checkpoints"]
    said = zip(texts(rows, "weights"), texts(rows, "note"), strict=True)
    return [
        next((name for name, own in known.items() if own["weights"] == weights and own["remark"] in note), "")
        for weights, note in said
    ]


def widened(formats: Formats, checkpoint: str) -> Formats:
    """The recipe with the parts at 16 bit that a named checkpoint keeps so; itself for ""."""
    parts = datasets()["checkpoints"][checkpoint]["wide"] if checkpoint else ()
    return replace(formats, **dict.fromkeys(parts, find_format("bf16")))


def cached_share(rows: pd.DataFrame) -> Values:
    """Share of each row's prompt that is found in a cache: all but its last token where prompts repeat, else 0.

    1,024 tokens: 1,023/1,024, so one token is computed.
    """
    isl = np.maximum(numbers(rows, "isl", 1.0), 1.0)
    repeated = [any(words in text for words in assumed_values()["repeated"]) for text in texts(rows, "note")]
    return np.where(np.array(repeated, dtype=bool), 1.0 - 1.0 / isl, 0.0)
