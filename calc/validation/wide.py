"""Measured rows of wide expert parallelism: each by the one implementation of its phase (`wide_ep`).

What a row's remarks say is read here: balance of experts, cache hits, tokens of a pass, a day's mean. Rows
without a batch take the largest that keeps the time per token of specs/engines/wide.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..physics.exchange import fills_memory, wide_table
from ..physics.passes import read_context
from ..serving.wide_ep import Software, decode, prefill

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..physics.parallel import Plan
    from ..serving.wide_ep import WideStep
    from .rows.cases import Block

_HITS = re.compile(r"INCLUDES ([\d.]+)% (?:disk-)?cache hits")
_COMPUTED = re.compile(r"production excluding cache hits")  # the computed tokens of a day that had hits
_TOKENS = re.compile(r"(\d+)(K?)(?: tok/(?:device|NPU)|-token batches)")
_BALANCED = re.compile(r"perfect expert balance|(?:profile|published) traces")  # DeepSeek's profile is balanced


def wide_value(block: Block, i: int, constants: Constants) -> tuple[float, str]:
    """(value in the row's unit, reason where there is none) of row i of a block."""
    row, metric = _Row(block, i, Software(block.engine, constants)), str(block.metric[i])
    if metric in ("input_tok_s", "ttft_ms"):
        return row.read(metric), ""
    p = row.written()
    speeds = {"output_tok_s": p.tok_s_chip * row.of_chips, "output_tok_s_user": 1.0 / p.tpot_s}
    table = {**speeds, "tpot_ms": p.tpot_s * 1e3}
    if metric not in table:
        return float("nan"), f"no {metric} is modelled for wide-ep"
    return table[metric], ""


@dataclass(frozen=True, eq=False)
class _Row:
    """Row i of a block, run by some software."""

    block: Block
    i: int
    software: Software

    @property
    def plan(self) -> Plan:
        """The cut of one replica."""
        return self.block.plan.at(self.i)

    @property
    def chips(self) -> int:
        """Chips of one replica's stage: those that hold all experts together."""
        return int(self.plan.chips / self.plan.pp)

    @property
    def of_chips(self) -> float:
        """Chips that the row's value refers to."""
        return float(self.plan.chips / self.plan.pp * self.block.replicas[self.i])

    def read(self, metric: str) -> float:
        """Prompts: seconds of a pass in ms, or tokens per second.

        A day's mean of prompts stays below the full rate by the share that pools are planned to be busy; that of
        generation does not, since its batch follows the load and its time per token is printed beside it.
        """
        block, note, phase = self.block, str(self.block.note[self.i]), wide_table()["phase"]
        hits, tokens, computed = _HITS.search(note), _TOKENS.search(note), _COMPUTED.search(note)
        share = float(phase["day_hits"]) if computed else float(hits[1]) / 100.0 if hits else 0.0
        p = prefill(
            block.chip,
            block.model,
            block.formats,
            chips=self.chips,
            isl=float(block.isl[self.i]),
            cache_hit=share,
            tokens_per_chip=float(tokens[1]) * (1024.0 if tokens[2] else 1.0) if tokens else None,
            tp=int(self.plan.tp),
            balanced=bool(_BALANCED.search(note)),
            software=self.software,
        )
        if metric == "ttft_ms":
            return p.step_s * 1e3
        busy = float(phase["busy"]) if "production" in note else 1.0
        return p.tok_s_chip / (1.0 if computed else 1.0 - share) * busy * self.of_chips

    def written(self) -> WideStep:
        """Generation at the row's batch, at the largest, or at the largest that keeps the usual time per token."""
        phase, asked = wide_table()["phase"], float(self.block.asked[self.i])
        if asked == asked:
            return self._decode(asked / self.chips, None)
        if fills_memory(str(self.block.note[self.i])):
            return self._decode(None, None)
        limit = phase["limit_ms"] * 1e-3
        found = self._decode(None, limit)
        if found.tpot_s > limit:  # no batch keeps it: the usual one
            return self._decode(min(phase["streams"], max(found.largest_batch, 1.0)), None)
        return found

    def _decode(self, batch: float | None, limit: float | None) -> WideStep:
        block, i = self.block, self.i
        return decode(
            block.chip,
            block.model,
            block.formats,
            chips=self.chips,
            batch_per_chip=batch,
            context=float(read_context(block.engine, block.isl[i], block.osl[i])),
            draft=int(block.draft[i]),
            accepted=float(block.accepted[i]),
            max_tpot_s=limit,
            tp=int(self.plan.tp),
            software=self.software,
        )
