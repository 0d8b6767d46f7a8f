"""Measured rows of wide expert parallelism: each by the one implementation of its phase (`wide_ep`).

What a row's remarks say is read here: balance of experts, cache hits, tokens of a pass, a day's mean. Rows
without a batch take the largest that keeps the time per token of specs/engines/wide.toml. Stands after
`cases` and `wide_ep`, before `predict`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..physics.exchange import fills_memory, wide_table
from ..physics.passes import read_context
from ..serving.wide_ep import Software, decode, prefill

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..serving.wide_ep import WideStep
    from .rows.cases import Block

_HITS = re.compile(r"INCLUDES ([\d.]+)% (?:disk-)?cache hits")
_COMPUTED = re.compile(r"production excluding cache hits")  # the computed tokens of a day that had hits
_TOKENS = re.compile(r"(\d+)(K?)(?: tok/(?:device|NPU)|-token batches)")
_BALANCED = re.compile(r"perfect expert balance|(?:profile|published) traces")  # DeepSeek's profile is balanced


def wide_value(block: Block, i: int, constants: Constants) -> tuple[float, str]:
    """(value in the row's unit, reason where there is none) of row i of a block.

    A day's mean of prompts stays below the full rate by the share that pools are planned to be busy; that of
    generation does not, since its batch follows the load and its time per token is printed beside it.
    """
    software = Software(block.engine, constants)
    metric, note = str(block.metric[i]), str(block.note[i])
    plan = block.plan.at(i)
    tp, replica = int(plan.tp), float(plan.chips / plan.pp)
    chips = float(replica * block.replicas[i])  # that the value refers to
    if metric in ("input_tok_s", "ttft_ms"):
        hits, tokens = _HITS.search(note), _TOKENS.search(note)
        share, computed = float(hits[1]) / 100.0 if hits else 0.0, bool(_COMPUTED.search(note))
        share = float(wide_table()["phase"]["day_hits"]) if computed else share
        p = prefill(
            block.chip, block.model, block.formats, chips=int(replica), isl=float(block.isl[i]), cache_hit=share,
            tokens_per_chip=float(tokens[1]) * (1024.0 if tokens[2] else 1.0) if tokens else None,
            tp=tp, balanced=bool(_BALANCED.search(note)), software=software,
        )  # fmt: skip
        if metric == "ttft_ms":
            return p.step_s * 1e3, ""
        busy = float(wide_table()["phase"]["busy"]) if "production" in note else 1.0
        return p.tok_s_chip / (1.0 if computed else 1.0 - share) * busy * chips, ""
    p = _decoded(block, i, int(replica), tp, software)
    table = {
        "output_tok_s": p.tok_s_chip * chips, "output_tok_s_user": 1.0 / p.tpot_s, "tpot_ms": p.tpot_s * 1e3,
    }  # fmt: skip
    if metric not in table:
        return float("nan"), f"no {metric} is modelled for wide-ep"
    return table[metric], ""


def _decoded(block: Block, i: int, chips: int, tp: int, software: Software) -> WideStep:
    phase = wide_table()["phase"]
    asked = float(block.asked[i])

    context = float(read_context(block.engine, block.isl[i], block.osl[i]))

    def at(batch: float | None, limit: float | None) -> WideStep:
        return decode(
            block.chip, block.model, block.formats, chips=chips, batch_per_chip=batch,
            context=context, draft=int(block.draft[i]), accepted=float(block.accepted[i]),
            max_tpot_s=limit, tp=tp, software=software,
        )  # fmt: skip

    if asked == asked:
        return at(asked / chips, None)
    if fills_memory(str(block.note[i])):
        return at(None, None)
    limit = phase["limit_ms"] * 1e-3
    found = at(None, limit)
    if found.tpot_s > limit:  # no batch keeps it: the usual one
        return at(min(phase["streams"], max(found.largest_batch, 1.0)), None)
    return found
