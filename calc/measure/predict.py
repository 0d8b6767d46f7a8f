"""Times of decoders from constants, and constants from probe runs: both through the core's operators and kernel
formula.

A run's operators (`calc/operators.py`) give its ideal memory and compute seconds on this machine; constants of the
engine (floors, shares, knees) turn them into time. `fit_engine` finds the constants from decoders made for probing, and
`seconds` applies them to others: no measurement is predicted from itself.

Two facts of processors stand beside the formula. A row of weights has a cost of its own (`row_s`): the dot product of
one row starts and ends anew, 5 to 12 ns on two cores, so that a model of 576-wide rows decodes at two thirds of the
bytes per second of one of 1,536. And llama.cpp shares its cache among threads in padded blocks: `attended`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..arrays import Values
from ..hardware.formats import find_format
from ..physics.operators import component_formats, decode_pass, operators, prefill_pass
from ..physics.parallel import Plan
from ..physics.roofline import smooth_max
from ..physics.step import ideal_terms
from .decoders.llamacpp import Request
from .decoders.shapes import Shape
from .fit import least_squares

Constants = Mapping[str, float]
_COLLECTIVES = ("all_reduce", "all_to_all")
_WEIGHTS = ("gemm", "moe")
_BLOCK_CELLS, _SPLIT_CELLS = 256, 512


@dataclass(frozen=True)
class Roofs:
    """What the probes found of the machine: bytes/s and op/s by format; no links."""

    bandwidth_bytes_s: float
    peak_ops_s: Mapping[str, float]
    links: tuple[()] = ()
    sustained: float = 1.0  # the probes' rates are what the machine sustains


@dataclass(frozen=True)
class Run:
    """One run of an engine: a shape, formats of weights and cache, the request, and its seconds (0: not measured)."""

    shape: Shape
    weights: str
    kv: str
    request: Request
    seconds: float = 0.0
    threads: int = 0

    @property
    def attended(self) -> float:
        """Cached tokens that one decode step takes the time of; threads is 0 for engines that share evenly."""
        r = self.request
        if not self.threads or r.batch > 1:
            return float(r.context)
        return attended(r.context + r.new / 2.0, r.context + r.new, self.threads)


def attended(tokens: float, most: float, threads: int) -> float:
    """Tokens of cache that a llama.cpp step on processors takes the time of: threads x the largest share.

    tokens: cached now; most: when the request ends. The cache is seen in blocks of 256 cells; from 512 cells
    on every thread gets an equal run of cells, filled or not, so the first one works longest. Below, heads are
    shared instead. Source: ggml-cpu, ggml_compute_forward_flash_attn_ext (its split over the cache), and the step from
    256 to 257 tokens that it makes.

    >>> attended(524, 536, threads=2)  # 768 cells: 384 tokens against 140, so as long as 768 shared evenly
    768.0
    """
    cells = math.ceil(most / _BLOCK_CELLS) * _BLOCK_CELLS
    return tokens if cells < _SPLIT_CELLS else threads * min(tokens, cells / threads)


@dataclass(frozen=True)
class EngineConstants:
    """What an engine adds to this machine's roofs.

    Tables hold t0_s, eta_m, eta_c, p as in a chip's efficiency table: kernel by format of the weights, attention by
    format of the cache; block: cells of cache that threads share as a whole (0: they share evenly).
    """

    overhead_s: float
    sequence_s: float
    kernel: Mapping[str, Constants]
    attention_decode: Mapping[str, Constants]
    attention_prefill: Mapping[str, Constants]
    elementwise: Constants
    median_error: float = 0.0
    worst_error: float = 0.0
    block: float = 0.0

    def of(self, kind: str, fmt: str) -> Constants:
        """The constants of a kind of operator in a format; one that was not probed takes the nearest in bits."""
        if kind == "elementwise":
            return self.elementwise
        tables: Mapping[str, Constants] = self.kernel if kind in _WEIGHTS else getattr(self, kind)
        if fmt in tables:
            return tables[fmt]
        bits = find_format(fmt).bits
        return tables[min(tables, key=lambda f: abs(find_format(f).bits - bits))]

    def efficiency(self) -> dict[str, Any]:
        """As the `[efficiency]` table of a chip file; a cache in a format that was not probed is "any", the first."""

        def caches(tables: Mapping[str, Constants], **more: float) -> dict[str, dict[str, float]]:
            own = {fmt: {**table, **more} for fmt, table in tables.items()}
            return {"any": next(iter(own.values())), **(own if len(own) > 1 else {})}

        return {
            "kernel": {f: dict(t) for f, t in self.kernel.items()},
            "attention_decode": caches(self.attention_decode, **({"block": self.block} if self.block else {})),
            "attention_prefill": caches(self.attention_prefill),
            "elementwise": {"any": dict(self.elementwise)},
            "step": {"overhead_s": self.overhead_s, "sequence_s": self.sequence_s},
        }


@dataclass(frozen=True)
class _Work:
    """Operators of many runs, flattened: of each its run, its class and its ideal seconds and counts."""

    classes: list[tuple[str, str]]
    """Kind of operator and format, of weights or of the cache."""
    sequences: Values
    run: NDArray[np.intp]
    group: NDArray[np.intp]
    count: Values
    kernels: Values
    memory_s: Values
    compute_s: Values
    rows: Values

    def seconds(self, constants: EngineConstants) -> Values:
        """Of every operator: count x (n t0 + smooth maximum + rows x row_s)."""
        tables = [constants.of(*one) for one in self.classes]
        t0, eta_m, eta_c, p, row_s = (
            np.array([table.get(key, 0.0) for table in tables])[self.group]
            for key in ("t0_s", "eta_m", "eta_c", "p", "row_s")
        )
        busy = smooth_max(self.memory_s / eta_m, self.compute_s / eta_c, p) + self.rows * row_s
        return np.asarray(self.count * (self.kernels * t0 + busy))

    def totals(self, constants: EngineConstants) -> Values:
        """Of every run: its operators and what the engine does around a step."""
        own = np.bincount(self.run, self.seconds(constants), minlength=len(self.sequences))
        return np.asarray(own + constants.overhead_s + constants.sequence_s * self.sequences)


def _work(runs: Sequence[Run], roofs: Roofs) -> _Work:
    classes: dict[tuple[str, str], int] = {}
    rows = []
    for index, run in enumerate(runs):
        r, model = run.request, run.shape.model()
        fmt = component_formats(model, run.weights, run.kv)
        if r.kind == "decode":
            work = decode_pass(float(r.batch), run.attended)
        else:
            work = prefill_pass(float(r.batch), float(r.tokens), float(r.past))
        ops = [op for op in operators(model, Plan(), work, fmt) if op.kind not in _COLLECTIVES]
        for term in ideal_terms(ops, cast("Any", roofs)):
            key = (term.kind, "any" if term.kind == "elementwise" else term.format)
            group = classes.setdefault(key, len(classes))
            rows.append((index, group, term.count, term.kernels, term.x_s, term.y_s, term.outputs))
    run_of, group_of, *counts = np.array(rows, dtype=float).T
    sequences = np.array([float(run.request.batch) for run in runs])
    return _Work(list(classes), sequences, run_of.astype(np.intp), group_of.astype(np.intp), *counts)


def seconds(run: Run, roofs: Roofs, constants: EngineConstants) -> float:
    """Predicted seconds of a run: the sum of its operators, plus the step's overhead."""
    return breakdown(run, roofs, constants)["total"]


def breakdown(run: Run, roofs: Roofs, constants: EngineConstants) -> dict[str, float]:
    """Predicted seconds by kind of operator, with "overhead" and "total"."""
    work = _work([run], roofs)
    out: dict[str, float] = {}
    for group, spent in zip(work.group, work.seconds(constants), strict=True):
        kind = work.classes[group][0]
        out[kind] = out.get(kind, 0.0) + float(spent)
    out["overhead"] = constants.overhead_s + constants.sequence_s * run.request.batch
    out["total"] = sum(out.values())
    return out


class _Unknown(NamedTuple):
    """A constant that a fit looks for: plain value, bounds, and a weak pull towards the plain value."""

    plain: float
    low: float
    high: float
    pull: float


_OF_ENGINE = {
    "t0_s": _Unknown(2e-6, 1e-9, 1e-2, 0.01),
    "overhead_s": _Unknown(2e-5, 1e-9, 1e-2, 0.01),
    "sequence_s": _Unknown(1e-5, 1e-9, 1e-2, 0.01),
    "elementwise": _Unknown(0.3, 0.005, 10.0, 0.05),
}
_OF_WEIGHTS = {
    "eta_m": _Unknown(0.7, 0.01, 3.0, 0.05),
    "eta_c": _Unknown(0.5, 0.005, 3.0, 0.05),
    "p": _Unknown(2.0, 1.0, 8.0, 0.02),
    "row_s": _Unknown(2e-9, 1e-12, 1e-6, 0.01),
}
_OF_CACHE = {
    "decode_m": _Unknown(0.7, 0.02, 3.0, 0.05),
    "decode_c": _Unknown(0.1, 1e-4, 3.0, 0.05),
    "prefill_c": _Unknown(0.1, 1e-4, 3.0, 0.05),
}


def fit_engine(runs: Sequence[Run], roofs: Roofs) -> EngineConstants:
    """Constants of an engine from its probe runs (at least two layer counts, two contexts, several prompt lengths).

    Unknowns: one floor per kernel, overhead per step and per sequence, the share of elementwise work; per format of
    weights eta_m, eta_c, p and row_s; per format of cache shares of decode attention (p = 1: on processors a core
    reads and computes in turn) and of prefill attention. Least squares of log errors, with weak pulls (a twentieth of
    a point) towards plain values where data is thin. All are sought in logarithms but p.
    """
    work = _work(runs, roofs)
    formats = sorted({fmt for kind, fmt in work.classes if kind in _WEIGHTS})
    caches = list(dict.fromkeys(fmt for kind, fmt in work.classes if kind.startswith("attention")))
    unknowns = {("engine", name): unknown for name, unknown in _OF_ENGINE.items()}
    unknowns |= {(fmt, name): unknown for fmt in formats for name, unknown in _OF_WEIGHTS.items()}
    unknowns |= {(fmt, name): unknown for fmt in caches for name, unknown in _OF_CACHE.items()}
    straight = np.array([name == "p" for _, name in unknowns])
    pull = np.array([unknown.pull for unknown in unknowns.values()])
    figures = np.array([unknown[:3] for unknown in unknowns.values()])
    bounds = np.where(straight[:, None], figures, np.log(figures))
    start = bounds[:, 0]

    def constants(u: Values) -> EngineConstants:
        v = dict(zip(unknowns, map(float, np.where(straight, u, np.exp(u))), strict=True))

        def table(**own: float) -> dict[str, float]:
            return {"t0_s": v["engine", "t0_s"], **own}

        return EngineConstants(
            v["engine", "overhead_s"],
            v["engine", "sequence_s"],
            kernel={fmt: table(**{name: v[fmt, name] for name in _OF_WEIGHTS}) for fmt in formats},
            attention_decode={f: table(eta_m=v[f, "decode_m"], eta_c=v[f, "decode_c"], p=1.0) for f in caches},
            attention_prefill={f: table(eta_m=1.0, eta_c=v[f, "prefill_c"], p=1.0) for f in caches},
            elementwise=table(eta_m=v["engine", "elementwise"], eta_c=1.0, p=1.0),
        )

    measured = np.array([run.seconds for run in runs])
    weight = np.array([1.5 if run.request.kind == "decode" else 1.0 for run in runs])

    def residuals(u: Values) -> Values:
        return np.concatenate([weight * np.log(work.totals(constants(u)) / measured), pull * (u - start)])

    found = constants(least_squares(residuals, bounds)[0])
    error = np.abs(work.totals(found) / measured - 1)
    return replace(
        found,
        median_error=float(np.median(error)),
        worst_error=float(error.max()),
        block=float(_BLOCK_CELLS) if any(run.threads > 1 for run in runs) else 0.0,
    )
