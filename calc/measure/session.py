"""One whole measurement of this machine, in order: kernels, probe decoders, constants, then the runs that
judge them.

Everything is visited `passes` times, minutes apart, probes and judged runs in turn, probes that decode once
more at the end, and the middle visit counts (of two, the faster): a neighbour on a shared processor can slow
a machine for a while without being visible from inside. Before it stand all probes; behind it `localspec`
and the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import NoAnswer, UsageError
from . import llamacpp
from .backends import Backend, NumpyBackend, TorchBackend
from .bandwidth import array_bytes_for, best, cache_levels, streams, thread_sweep
from .energy import Meter
from .engines import Engine, LlamaEngine, NumpyEngine, TorchEngine
from .fit import fit_kernel
from .llamacpp import Request
from .load import idle_cores, set_wait
from .machine import free_memory_bytes, identify, limit_blas, torch_or_none
from .matmul import call_floor, ladder, peak, usable_dtypes
from .predict import Run, fit_engine, seconds
from .probes import Job, check_jobs, probe_jobs
from .progress import Progress
from .results import Found, Judged, Options
from .shapes import Shape
from .statistics import Summary, remarks

ENGINES = ("numpy", "torch", "llama.cpp")


def choose_engines(options: Options, threads: int) -> tuple[list[Engine], list[str]]:
    """(engines to run, notes about those that are left out because their library is missing)."""
    wanted = options.engines or ENGINES
    for name in wanted:
        if name not in ENGINES:
            raise UsageError(f"engine '{name}' is not measured here; choose of {', '.join(ENGINES)}")
    out: list[Engine] = []
    notes = []
    for name in wanted:
        missing = {"torch": torch_or_none() is None, "llama.cpp": not llamacpp.available()}.get(name, False)
        if missing and not options.engines:
            extra = {"torch": "torch", "llama.cpp": "llamacpp"}[name]
            notes.append(f"{name} is not installed and was left out; `pip install tokcalc[{extra}]` adds it")
            continue
        if name == "numpy" and options.device == "cpu":
            out.append(NumpyEngine(threads))
        elif name == "torch":
            out.append(TorchEngine(options.device, threads))
        elif name == "llama.cpp":
            if missing:
                raise UsageError(
                    "xllamacpp is not installed; `pip install tokcalc[llamacpp]`, or leave llama.cpp "
                    "out of --engine"
                )
            out.append(LlamaEngine(threads, options.gpu_layers, options.file, options.file_shape))
    return out, notes


def engine_formats(engine: Engine, options: Options) -> list[str]:
    """Formats of an engine that were asked for; all of them where none was."""
    if options.file is not None:  # all formats are probed: the file's own may lie between them
        return list(engine.formats)
    wanted = [f for f in engine.formats if not options.formats or f in options.formats]
    if options.file is not None:  # all formats are probed: the file's own may lie between them
        return list(engine.formats)
    if options.quick and not options.formats:
        return wanted[:1] if engine.name != "llama.cpp" else ["q8_0"]
    return wanted


def measure(
    options: Options, shapes: Sequence[Shape], say: Callable[[str], None] = lambda text: None
) -> Found:
    """Measure everything. shapes: decoders of the check; say: called with what runs now (for tests and logs).

    Raises UsageError or NoAnswer, one sentence, where a library, memory or disk space is missing.
    """
    begun = time.monotonic()
    set_wait(options.wait_s)
    machine = identify()
    cores, others = idle_cores()
    found = Found(machine, options, others, options.threads or cores)
    engines, notes = choose_engines(options, found.threads)
    found.notes += notes
    if others is not None and others > 0.5:
        found.notes.append(
            f"other programs keep {others:.1f} cores busy: the probes use {found.threads} of "
            f"{machine.cores}, and all figures are lower than an idle machine's"
        )
    plans = [(e, probe_jobs(e, engine_formats(e, options), options.quick, options.batches)) for e in engines]
    for engine in engines:
        if isinstance(engine, LlamaEngine):
            engine.check(_fitting(engine, shapes, options), _judged_formats(engine, options))
    lengths = options.contexts, options.prompts, options.batches
    checks = [
        (e, check_jobs(e, _fitting(e, shapes, options), _judged_formats(e, options), *lengths, options.quick))
        for e in engines
    ]
    steps = [
        ("memory bandwidth", 5.0 if options.quick else 12.0),
        ("matrix products", 8.0 if options.quick else 60.0),
    ]
    stages = [
        (n, what, of) for n in range(options.passes) for what, of in (("probe", plans), ("check", checks))
    ]
    if not options.quick:  # probes stand before and after what they predict: a machine may change meanwhile
        stages.append((options.passes, "probe", [(e, _decoding(jobs)) for e, jobs in plans]))
    steps += [
        (_name(e, j, n, what), j.expected_s)
        for n, what, of in stages
        for e, jobs in of
        for j in jobs
        if _is_due(j, n, what)
    ]
    progress = Progress(steps)

    def start(name: str) -> None:
        progress.start(name)
        say(name)

    restore = limit_blas(found.threads)
    try:
        start("memory bandwidth")
        backends = _backends(options, found.threads)
        _bandwidth(found, backends)
        start("matrix products")
        for backend in backends:
            _products(found, backend)
        _all_reduce(found)
        probed: Visits = {}
        judged: Visits = {}
        for visit, what, of in stages:
            _visit(found, of, what, visit, start, probed if what == "probe" else judged)
        by_name = {e.name: e for e in engines}
        for (name, shape, weights, request), visits in probed.items():
            summary, _ = _middle(visits)
            found.probes.append((name, _run(by_name[name], shape, weights, request, summary), summary))
        for engine, _ in plans:
            runs = [r for name, r, _ in found.probes if name == engine.name]
            if runs:
                found.engines[engine.name] = fit_engine(runs, found.roofs)
                found.engine_names[engine.name] = engine.description
        for (name, shape, weights, request), visits in sorted(judged.items(), key=_in_order(judged)):
            summary, power = _middle(visits)
            run = _run(by_name[name], shape, weights, request, summary)
            predicted = seconds(run, found.roofs, found.engines[name])
            found.judged.append(Judged(run, name, summary, predicted, power))
    finally:
        restore()
        progress.close()
    found.notes += [n for e in engines for n in getattr(e, "notes", ())] + remarks(found.summaries())
    found.took_s = time.monotonic() - begun
    return found


def _fitting(engine: Engine, shapes: Sequence[Shape], options: Options) -> list[Shape]:
    """Shapes that an engine can run: experts only in llama.cpp, the user's file only there."""
    if options.file is not None and engine.name != "llama.cpp":
        return []
    return [s for s in shapes if not s.experts or engine.name == "llama.cpp"]


def _judged_formats(engine: Engine, options: Options) -> list[str]:
    """Formats of the check: the file's own, or those that were probed."""
    return [options.file_format] if options.file is not None else engine_formats(engine, options)


def _name(engine: Engine, job: Job, visit: int, what: str) -> str:
    return f"{what} {visit + 1}: {engine.name} {job.shape.name} {job.weights}"


def _backends(options: Options, threads: int) -> list[Backend]:
    torch = torch_or_none() is not None and (not options.engines or "torch" in options.engines)
    if options.device != "cpu":
        if torch_or_none() is None:
            raise UsageError(f"device '{options.device}' needs PyTorch; `pip install tokcalc[torch]`")
        return [TorchBackend(options.device)]
    return [NumpyBackend(threads), *([TorchBackend("cpu", threads)] if torch else [])]


def _bandwidth(found: Found, backends: Sequence[Backend]) -> None:
    quick = found.options.quick
    size = array_bytes_for(found.machine.llc_bytes, free_memory_bytes())
    if found.options.device != "cpu":
        size = float(1 << 30)
    for _ in range(found.options.rounds):
        for backend in backends:
            found.streams += streams(backend, size, 0.4 if quick else 1.0)
    if found.options.device == "cpu":
        found.caches = cache_levels(found.machine.caches, 0.1 if quick else 0.3)
        found.sweep = [] if quick else thread_sweep(backends[0].threads, size)


def _products(found: Found, backend: Backend) -> None:
    quick = found.options.quick
    found.floors[backend.name] = call_floor(backend).median
    bandwidth = best(found.streams, "read").best_bytes_s
    for dtype, reason in usable_dtypes(backend).items():
        if reason:
            found.left_out[f"{backend.name} {dtype}"] = reason
            continue
        top = max(
            (peak(backend, dtype, quick) for _ in range(found.options.rounds)), key=lambda p: p.best_ops_s
        )
        found.products.append(top)
        if top.best_ops_s < found.peaks.get(dtype, 0.0):
            continue
        found.peaks[dtype], found.peak_library[dtype] = top.best_ops_s, backend.description
        rungs = ladder(backend, dtype, found.machine.llc_bytes, quick)
        found.products += rungs
        if len(rungs) >= 4:
            found.kernels[dtype] = fit_kernel([r.point() for r in rungs], top.best_ops_s, bandwidth)


def _all_reduce(found: Found) -> None:
    gpus = [a for a in found.machine.accelerators if a.kind in ("cuda", "rocm")]
    if found.options.device.startswith("cuda") and len(gpus) > 1:
        from .collective import all_reduce_curve

        found.all_reduce = all_reduce_curve(len(gpus))


Visits = dict[tuple[str, Shape, str, Request], list[tuple[Summary, float | None]]]
"""Engine, shape, format and request -> what each visit measured, with the mean power of its job."""
_LONG_S = 8.0


def _decoding(jobs: Sequence[Job]) -> list[Job]:
    """The same jobs with their decode requests alone, whose time hangs on memory: where a machine changes."""
    short = [replace(j, requests=tuple(r for r in j.requests if r.kind == "decode")) for j in jobs]
    return [replace(j, expected_s=j.expected_s / 3.0) for j in short if j.requests]


def _is_due(job: Job, visit: int, what: str) -> bool:
    """Whether a visit runs this job: long runs of the check come once, their samples lie far apart in time."""
    return visit == 0 or what == "probe" or job.expected_s < _LONG_S


def _visit(
    found: Found,
    plans: Sequence[tuple[Engine, list[Job]]],
    what: str,
    visit: int,
    start: Callable[[str], None],
    visits: Visits,
) -> None:
    """Run every job once and append its times to `visits`."""
    meter = Meter(gpu=found.options.device.startswith("cuda"))
    for engine, jobs in plans:
        for job in jobs:
            if not _is_due(job, visit, what):
                continue
            start(_name(engine, job, visit, what))
            meter.start()
            try:
                taken = engine.measure(job.shape, job.weights, job.requests)
            except NoAnswer as error:
                if what == "probe":
                    raise
                found.notes += [str(error)] * (str(error) not in found.notes)
                continue
            power = meter.watts()
            for request, summary in zip(job.requests, taken, strict=True):
                visits.setdefault((engine.name, job.shape, job.weights, request), []).append((summary, power))


def _middle(visits: Sequence[tuple[Summary, float | None]]) -> tuple[Summary, float | None]:
    """The middle one of the undisturbed visits (of all, where none is), of an even number the faster one."""
    quiet = [v for v in visits if not v[0].disturbed] or list(visits)
    return sorted(quiet, key=lambda v: v[0].median)[(len(quiet) - 1) // 2]


def _in_order(visits: Visits) -> Callable[[tuple[Any, Any]], tuple[Any, ...]]:
    """A sort key: runs of one model and format stay together, prompts before decoding, each from short to
    long.
    """
    groups = {key[:3]: at for at, key in reversed(list(enumerate(visits)))}

    def key(item: tuple[Any, Any]) -> tuple[Any, ...]:
        r = item[0][3]
        return groups[item[0][:3]], r.kind == "decode", r.batch, r.tokens, r.context

    return key


def _run(engine: Engine, shape: Shape, weights: str, request: Request, summary: Summary) -> Run:
    return Run(shape, weights, engine.kv(weights), request, summary.median, engine.split)
