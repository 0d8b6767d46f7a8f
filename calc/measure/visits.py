"""In which order decoders are visited, and what several visits of one say together.

A shared machine's memory changes within seconds to minutes, so whatever is judged stands between the probes that
predict it: of each engine and format, probes and judged runs take turns, and probes that decode come a second time. Of
several visits the median counts, for probes and judged runs alike. Stands between `probes` and `session`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .decoders.engines import Engine
from .decoders.llamacpp import Request
from .decoders.shapes import Shape
from .kernels.backends import NumpyBackend
from .kernels.statistics import Summary
from .probes import Job
from .results import State

Plan = Sequence[tuple[Engine, list[Job]]]
Taken = tuple[Summary, float | None]
"""What one visit measured, with the mean power of its job."""
Visited = tuple[str, Shape, str, Request]
"""Engine, shape, format and request."""
Visits = dict[Visited, list[Taken]]
_LONG_S = 8.0
_SOON_FILLED = 1024
_STATE_READS = 4


@dataclass(frozen=True)
class Step:
    """One visit of one decoder: what is "probe" or "check", `number` counts the visits from 1."""

    engine: Engine
    job: Job
    what: str
    number: int

    @property
    def name(self) -> str:
        """As the progress line shows it."""
        return f"{self.what} {self.number}: {self.engine.name} {self.job.shape.name} {self.job.weights}"


def schedule(probes: Plan, checks: Plan, passes: int, again: bool) -> list[Step]:
    """All visits in order: engine by engine and format by format, checks spread evenly among probes.

    passes: how often everything comes; again: probes come once more, with their decode requests alone. Long checks come
    once. So probes A B C and checks x y, again, are A B x C A y B C.
    """
    out: list[Step] = []
    for number in range(1, passes + 1):
        for engine, mine in probes:
            judged = [j for e, jobs in checks if e is engine for j in jobs]
            for fmt in dict.fromkeys(j.weights for j in (*mine, *judged)):
                before = [Step(engine, j, "probe", number) for j in mine if j.weights == fmt]
                if again and number == passes:
                    jobs = [j for s in before if (j := _decoding(s.job)).requests]
                    before += [Step(engine, j, "probe", number + 1) for j in jobs]
                due = [j for j in judged if j.weights == fmt and (number == 1 or j.expected_s < _LONG_S)]
                out += _spread(before, [Step(engine, j, "check", number) for j in due])
    return out


def _spread(among: list[Step], these: list[Step]) -> list[Step]:
    """These, in order, at even distances among the others."""
    out = list(among)
    for i, step in reversed(list(enumerate(these))):
        out.insert(round((i + 1) * len(among) / (len(these) + 1)), step)
    return out


def _decoding(job: Job) -> Job:
    """The same job with its decode requests alone, whose time hangs on memory, where a machine changes.

    Without contexts that llama.cpp takes seconds to fill.
    """
    longest = _SOON_FILLED if job.engine == "llama.cpp" else math.inf
    short = tuple(r for r in job.requests if r.kind == "decode" and r.context <= longest)
    return replace(job, requests=short, expected_s=job.expected_s / 3.0)


def together(visits: Sequence[Taken]) -> Taken:
    """The median of the undisturbed visits, of all where none is; of an even number the mean of the middle two."""
    quiet = sorted([v for v in visits if not v[0].disturbed] or list(visits), key=lambda v: v[0].median)
    a, b = quiet[(len(quiet) - 1) // 2], quiet[len(quiet) // 2]
    if a is b:
        return a
    both = replace(
        a[0],
        median=(a[0].median + b[0].median) / 2.0,
        low=min(a[0].low, b[0].low),
        high=max(a[0].high, b[0].high),
        best=min(a[0].best, b[0].best),
        n=a[0].n + b[0].n,
        outliers=a[0].outliers + b[0].outliers,
        samples=a[0].samples + b[0].samples,
    )
    powers = [p for p in (a[1], b[1]) if p is not None]
    return both, sum(powers) / len(powers) if powers else None


def in_order(visits: Visits) -> Callable[[tuple[Visited, object]], tuple[int, ...]]:
    """A sort key: runs of one model stay together by format, prompts before decoding, each from short to long."""
    first: dict[tuple[object, ...], int] = {}
    for at, visited in enumerate(visits):
        for depth in (1, 2, 3):
            first.setdefault(visited[:depth], at)

    def key(item: tuple[Visited, object]) -> tuple[int, ...]:
        visited, r = item[0], item[0][3]
        place = (first[visited[:depth]] for depth in (1, 2, 3))
        return *place, r.kind == "decode", r.batch, r.tokens, r.context

    return key


@dataclass
class Watcher:
    """Reads memory before and after each visit, to know the state it is in: a vector times a matrix of four last-level
    caches, the best of a few, 10 ms in all.
    """

    threads: int
    array_bytes: float
    states: list[State] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._backend, columns = NumpyBackend(self.threads), 1024
        self._matrix = self._backend.random("fp32", max(1, int(self.array_bytes // (4 * columns))), columns)
        self._vector = self._backend.random("fp32", 1, columns)
        self._zero = time.monotonic()

    def read(self) -> float:
        """Bytes per second of the best of a few reads."""
        best = 0.0
        for _ in range(_STATE_READS):
            start = time.perf_counter()
            self._backend.product("fp32", self._vector, self._matrix)
            best = max(best, self._matrix.nbytes / (time.perf_counter() - start))
        return best

    def visit(self, step: str, run: Callable[[], list[Summary]]) -> list[Summary]:
        """What `run` returns, with the state before and after it noted."""
        before, begun = self.read(), time.monotonic() - self._zero
        result = run()
        self.states.append(State(step, begun, before, self.read()))
        return result


def remark(states: Sequence[State]) -> str:
    """A sentence about a machine whose memory was not equally fast throughout; "" for a steady one."""
    if not states:
        return ""
    every = np.array([[s.before_bytes_s, s.after_bytes_s] for s in states]) / 1e9
    low, high = np.quantile(every, [0.1, 0.9])
    if high < 1.25 * low:
        return ""
    whose = {what: [s.step.startswith(what) for s in states] for what in ("probe", "check")}
    middle = ", ".join(f"{np.median(every[mask]):.0f} GB/s at {what}s" for what, mask in whose.items() if any(mask))
    slow = int(np.sum(every.mean(axis=1) < (low + high) / 2))
    return (
        f"the machine's memory changed while this ran: read at {low:.0f} to {high:.0f} GB/s around the visits "
        f"(median {middle}), {slow} of {len(states)} visits in the slower half; constants are a mixture"
    )
