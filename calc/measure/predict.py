"""Times of decoders from constants, and constants from probe runs: both through the core's operators and
kernel formula.

A run's operators (`calc/operators.py`) give its ideal memory and compute seconds on this machine; constants
of the engine (floors, shares, knees) turn them into time. `fit_engine` finds the constants from decoders
made for probing, and `seconds` applies them to others: no measurement is predicted from itself.

Two facts of processors stand beside the formula. A row of weights has a cost of its own (`row_s`): the dot
product of one row starts and ends anew, 5 to 12 ns on two cores, so that a model of 576-wide rows decodes at
two thirds of the bytes per second of one of 1,536. And llama.cpp shares its cache among threads in padded
blocks: `attended`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ..hardware.formats import find_format
from ..physics.operators import component_formats, decode_pass, operators, prefill_pass
from ..physics.parallel import Plan
from ..physics.roofline import smooth_max
from ..physics.step import ideal_terms
from .decoders.llamacpp import Request
from .decoders.shapes import Shape
from .fit import Vector, least_squares

_COLLECTIVES = ("all_reduce", "all_to_all")


@dataclass(frozen=True)
class Roofs:
    """What the probes found of the machine: bytes/s and op/s by format; no links."""

    bandwidth_bytes_s: float
    peak_ops_s: Mapping[str, float]
    links: tuple[()] = ()
    sustained: float = 1.0  # the probes' rates are what the machine sustains


@dataclass(frozen=True)
class Run:
    """One run of an engine: a shape, formats of weights and cache, the request, and its seconds (0: not
    measured).
    """

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
    shared instead. Worked: 524 tokens, 768 cells, 2 threads: 384 against 140, so as long as 768 shared evenly.
    Source: ggml-cpu, ggml_compute_forward_flash_attn_ext (its split over the cache), and the step from 256 to
    257 tokens that it makes.
    """
    cells = math.ceil(most / _BLOCK_CELLS) * _BLOCK_CELLS
    if cells < _SPLIT_CELLS:
        return tokens
    return threads * min(tokens, cells / threads)


_BLOCK_CELLS, _SPLIT_CELLS = 256, 512


@dataclass(frozen=True)
class EngineConstants:
    """What an engine adds to this machine's roofs. Tables hold t0_s, eta_m, eta_c, p as in a chip's
    efficiency table: kernel by format of the weights, attention by format of the cache; block: cells of cache
    that threads share as a whole (0: they share evenly).
    """

    overhead_s: float
    sequence_s: float
    kernel: Mapping[str, Mapping[str, float]]
    attention_decode: Mapping[str, Mapping[str, float]]
    attention_prefill: Mapping[str, Mapping[str, float]]
    elementwise: Mapping[str, float]
    median_error: float = 0.0
    worst_error: float = 0.0
    points: int = 0
    block: float = 0.0
    notes: tuple[str, ...] = field(default=())

    def of(self, kind: str, fmt: str) -> Mapping[str, float]:
        """The constants of a kind of operator in a format; a format that was not probed takes the nearest in
        bits.
        """
        if kind == "elementwise":
            return self.elementwise
        tables: Mapping[str, Mapping[str, float]] = self.kernel if kind in ("gemm", "moe") else getattr(self, kind)
        if fmt in tables:
            return tables[fmt]
        bits = find_format(fmt).bits
        return tables[min(tables, key=lambda f: abs(find_format(f).bits - bits))]

    def efficiency(self) -> dict[str, Any]:
        """As the `[efficiency]` table of a chip file; attention over a cache in a format that was not probed takes
        the first one's constants, "any".
        """
        block = {"block": self.block} if self.block else {}

        def caches(tables: Mapping[str, Mapping[str, float]], more: Mapping[str, float]) -> dict[str, Any]:
            out = {"any": {**next(iter(tables.values())), **more}}
            return out | ({f: {**t, **more} for f, t in tables.items()} if len(tables) > 1 else {})

        return {
            "kernel": {f: dict(t) for f, t in self.kernel.items()},
            "attention_decode": caches(self.attention_decode, block),
            "attention_prefill": caches(self.attention_prefill, {}),
            "elementwise": {"any": dict(self.elementwise)},
            "step": {"overhead_s": self.overhead_s, "sequence_s": self.sequence_s},
        }


@dataclass
class _Terms:
    """Operators of many runs, flattened: ideal seconds and counts, with the run and the class of each."""

    run: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    count: list[float] = field(default_factory=list)
    kernels: list[float] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)

    def add(self, index: int, run: Run, roofs: Roofs, classes: list[tuple[str, str]]) -> None:
        """Append the operators of one run; new classes of (kind, format) are appended to `classes`."""
        r = run.request
        fmt = component_formats(run.shape.model(), run.weights, run.kv)
        if r.kind == "decode":
            work = decode_pass(float(r.batch), run.attended)
        else:
            work = prefill_pass(float(r.batch), float(r.tokens), float(r.past))
        ops = [op for op in operators(run.shape.model(), Plan(), work, fmt) if op.kind not in _COLLECTIVES]
        for term in ideal_terms(ops, cast("Any", roofs)):
            key = (term.kind, "any" if term.kind == "elementwise" else term.format)
            if key not in classes:
                classes.append(key)
            self.run.append(index)
            self.group.append(classes.index(key))
            self.count.append(float(term.count))
            self.kernels.append(float(term.kernels))
            self.x.append(float(term.x_s))
            self.y.append(float(term.y_s))
            self.rows.append(float(term.outputs))


def seconds(run: Run, roofs: Roofs, constants: EngineConstants) -> float:
    """Predicted seconds of a run: sum over operators of count (n t0 + smooth maximum + rows row_s) plus the
    step's overhead.
    """
    return float(breakdown(run, roofs, constants)["total"])


def breakdown(run: Run, roofs: Roofs, constants: EngineConstants) -> dict[str, float]:
    """Predicted seconds by kind of operator, with "overhead" and "total"."""
    classes: list[tuple[str, str]] = []
    t = _Terms()
    t.add(0, run, roofs, classes)
    out: dict[str, float] = {}
    for g, count, kernels, x, y, rows in zip(t.group, t.count, t.kernels, t.x, t.y, t.rows, strict=True):
        kind, fmt = classes[g]
        c = constants.of(kind, fmt)
        busy = float(smooth_max(x / c["eta_m"], y / c["eta_c"], c["p"]))
        busy += rows * c.get("row_s", 0.0)
        out[kind] = out.get(kind, 0.0) + count * (kernels * c["t0_s"] + busy)
    out["overhead"] = constants.overhead_s + constants.sequence_s * run.request.batch
    out["total"] = sum(out.values())
    return out


def fit_engine(runs: Sequence[Run], roofs: Roofs) -> EngineConstants:
    """Constants of an engine from its probe runs (at least two layer counts, two contexts, several prompt
    lengths).

    Unknowns: one floor per kernel, overhead per step and per sequence; per weight format eta_m, eta_c, p and
    row_s; per cache format shares of decode attention (p = 1: on processors a core reads and computes in turn)
    and of prefill attention; of elementwise work. Least squares of log errors, with weak pulls (a twentieth of a point)
    towards plain values where data is thin.
    """
    classes: list[tuple[str, str]] = []
    terms = _Terms()
    for i, run in enumerate(runs):
        terms.add(i, run, roofs, classes)
    formats = sorted({fmt for kind, fmt in classes if kind in ("gemm", "moe")})
    caches = list(dict.fromkeys(fmt for kind, fmt in classes if kind.startswith("attention")))
    run_of, group = np.array(terms.run), np.array(terms.group)
    count, kernels = np.array(terms.count), np.array(terms.kernels)
    x, y, rows = np.array(terms.x), np.array(terms.y), np.array(terms.rows)
    measured = np.array([r.seconds for r in runs])
    sequences = np.array([float(r.request.batch) for r in runs])
    weight = np.array([1.5 if r.request.kind == "decode" else 1.0 for r in runs])

    # unknowns: log t0, overhead, sequence; eta_m of elementwise; then log eta_m, log eta_c, p, log row_s per
    # format of weights; then eta_m, eta_c of decode attention and eta_c of prefill attention per format of cache
    plain = [np.log(2e-6), np.log(2e-5), np.log(1e-5), np.log(0.3)]
    low = [np.log(1e-9)] * 3 + [np.log(0.005)]
    high = [np.log(1e-2)] * 3 + [np.log(10.0)]
    pull = [0.01] * 3 + [0.05]
    for _ in formats:
        plain += [np.log(0.7), np.log(0.5), 2.0, np.log(2e-9)]
        low += [np.log(0.01), np.log(0.005), 1.0, np.log(1e-12)]
        high += [np.log(3.0), np.log(3.0), 8.0, np.log(1e-6)]
        pull += [0.05, 0.05, 0.02, 0.01]
    for _ in caches:
        plain += [np.log(0.7), np.log(0.1), np.log(0.1)]
        low += [np.log(0.02), np.log(1e-4), np.log(1e-4)]
        high += [np.log(3.0)] * 3
        pull += [0.05] * 3
    at = {f: 4 + 4 * i for i, f in enumerate(formats)}
    seen = {f: 4 + 4 * len(formats) + 3 * i for i, f in enumerate(caches)}

    def tables(u: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        eta_m, eta_c, p = np.empty(len(classes)), np.empty(len(classes)), np.ones(len(classes))
        row_s = np.zeros(len(classes))
        for i, (kind, fmt) in enumerate(classes):
            if kind in ("gemm", "moe"):
                j = at[fmt]
                eta_m[i], eta_c[i], p[i] = np.exp(u[j]), np.exp(u[j + 1]), u[j + 2]
                row_s[i] = np.exp(u[j + 3])
            elif kind == "attention_decode":
                eta_m[i], eta_c[i] = np.exp(u[seen[fmt]]), np.exp(u[seen[fmt] + 1])
            elif kind == "attention_prefill":
                eta_m[i], eta_c[i] = 1.0, np.exp(u[seen[fmt] + 2])
            else:
                eta_m[i], eta_c[i] = np.exp(u[3]), 1.0
        return eta_m, eta_c, p, row_s

    def model(u: Vector) -> Vector:
        eta_m, eta_c, p, row_s = tables(u)
        busy = smooth_max(x / eta_m[group], y / eta_c[group], p[group]) + rows * row_s[group]
        total = np.bincount(run_of, count * (kernels * np.exp(u[0]) + busy), minlength=len(runs))
        return np.asarray(total + np.exp(u[1]) + np.exp(u[2]) * sequences)

    start = np.array(plain)
    pulls = np.array(pull)

    def residuals(u: Vector) -> Vector:
        return np.concatenate([weight * np.log(model(u) / measured), pulls * (u - start)])

    u, _ = least_squares(residuals, plain, low, high, rounds=300)
    error = np.abs(model(u) / measured - 1)
    t0 = float(np.exp(u[0]))

    def table(eta_m: float, eta_c: float, p: float = 1.0) -> dict[str, float]:
        return {"t0_s": t0, "eta_m": float(eta_m), "eta_c": float(eta_c), "p": float(p)}

    return EngineConstants(
        overhead_s=float(np.exp(u[1])),
        sequence_s=float(np.exp(u[2])),
        kernel={
            f: {**table(np.exp(u[j]), np.exp(u[j + 1]), u[j + 2]), "row_s": float(np.exp(u[j + 3]))}
            for f, j in at.items()
        },
        attention_decode={f: table(np.exp(u[j]), np.exp(u[j + 1])) for f, j in seen.items()},
        attention_prefill={f: table(1.0, np.exp(u[j + 2])) for f, j in seen.items()},
        elementwise=table(np.exp(u[3]), 1.0),
        median_error=float(np.median(error)),
        worst_error=float(error.max()),
        points=len(runs),
        block=float(_BLOCK_CELLS) if any(r.threads > 1 for r in runs) else 0.0,
    )
