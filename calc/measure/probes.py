"""Which probe runs an engine gets, and the runs that the check judges: plans, no measuring.

Probe decoders (`shapes.probe_shapes`) never have the shape of a judged model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .decoders.engines import Engine
from .decoders.llamacpp import Request
from .decoders.shapes import Shape, probe_shapes
from .results import Options

_LARGE = 3e8  # weights from which on runs of the check are short: each lasts a second or more by itself
_LARGE_NEW = 12


@dataclass(frozen=True)
class Job:
    """One loading of an engine: a shape in a format, and the requests to time on it; `expected_s` for the progress."""

    engine: str
    shape: Shape
    weights: str
    requests: tuple[Request, ...]
    expected_s: float


def decode(context: int, batch: int = 1, quick: bool = False) -> Request:
    """A decode request at a context; enough tokens for a tight median."""
    return Request("decode", context=context, batch=batch, least=3 if quick else 4, most=5 if quick else 8)


def prefill(tokens: int, past: int = 0, quick: bool = False) -> Request:
    """A prompt of that many tokens."""
    return Request("prefill", tokens=tokens, past=past, least=2, most=3 if quick else 4)


def _short(r: Request) -> Request:
    """The same request with fewer repeats: a prompt once, fewer tokens per sample."""
    if r.kind == "prefill":
        return replace(r, least=1, most=2)
    return replace(r, least=3, most=4, new=_LARGE_NEW)


def _expected(engine: Engine, shape: Shape, requests: Sequence[Request]) -> float:
    """A rough duration, for the progress line alone: 60 GFLOP/s prompts, 10 GB/s decoding."""
    total = 0.3 if engine.name == "llama.cpp" else 0.1
    for r in requests:
        if r.kind == "prefill":
            total += (r.least + 1) * 2.0 * shape.weights * (r.tokens + r.past) / 60e9
        else:
            total += r.least * r.new * (shape.weights * 2.0 / 10e9 + 1e-3) + 2.0 * shape.weights * r.context / 60e9
    return total


def probe_jobs(engine: Engine, formats: Sequence[str], quick: bool, batches: Sequence[int] = (1,)) -> list[Job]:
    """Probe runs that `predict.fit_engine` needs: floors, attention over context, and every weight format.

    Several sequences at once are probed only where they are asked for: on processors they run another kernel
    (a matrix product of four rows took five times the matrix-vector product in NumPy), and one set of
    constants for both fits neither. Floors of llama.cpp and of GPUs come from decoders of next to no weights;
    NumPy and PyTorch on processors take 45 us per layer there and twice that once weights pass through the caches
    between their calls, as in any real model, so theirs come from a thin one of many layers.
    """
    several = [4] if max(batches) > 1 and not quick else []
    shapes = probe_shapes(quick)
    wide = formats[0]
    floors = ("thin",) if engine.device == "cpu" and engine.name != "llama.cpp" else ("tiny", "tall")
    plan = [(name, wide, [decode(16, quick=quick), prefill(128, quick=quick)]) for name in floors]
    cache = [decode(c, quick=quick) for c in ((16, 512) if quick else (16, 512, 2048))] + [prefill(512, quick=quick)]
    cache += [] if quick else [prefill(256, past=768)]
    plan.append(("cache", wide, cache + [decode(512, batch=b) for b in several]))
    for fmt in formats:
        deep = [decode(16, quick=quick), *(prefill(n, quick=quick) for n in ((32, 256) if quick else (16, 128, 512)))]
        plan.append(("deep", fmt, deep + [decode(16, batch=b) for b in several]))
        if quick:
            plan.append(("slim", fmt, [decode(16, quick=True), decode(512, quick=True), prefill(128, quick=True)]))
            continue
        plan.append(("slim", fmt, [decode(16), decode(1024), prefill(128)]))
        plan.append(("small", fmt, [decode(16), decode(512), decode(2048), prefill(512)]))
        plan.append(("cold", fmt, [decode(16), decode(1024)]))
    return [_job(engine, shapes[name], fmt, requests) for name, fmt, requests in plan]


def _job(engine: Engine, shape: Shape, fmt: str, requests: Sequence[Request]) -> Job:
    return Job(engine.name, shape, fmt, tuple(requests), _expected(engine, shape, requests))


def check_jobs(engine: Engine, shapes: Sequence[Shape], formats: Sequence[str], asked: Options) -> list[Job]:
    """The runs to be judged: prompts and decoding of every shape and format."""
    return [_check(engine, shape, fmt, asked) for shape in shapes for fmt in formats]


def _check(engine: Engine, shape: Shape, fmt: str, asked: Options) -> Job:
    large, prompts = shape.weights > _LARGE, sorted(asked.prompts)
    if large and engine.device == "cpu" and not engine.split:
        # a long prompt of a large model takes many seconds; llama.cpp needs it for the contexts anyway
        prompts = prompts[:1]
    requests = [prefill(n, quick=asked.quick) for n in prompts]
    # the longest context first: what it has cached serves the shorter ones
    contexts = sorted(asked.contexts, reverse=True)
    requests += [decode(c, b, asked.quick) for b in sorted(asked.batches) for c in contexts]
    return _job(engine, shape, fmt, [_short(r) for r in requests] if large else requests)
