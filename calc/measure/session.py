"""One whole measurement of this machine, in order: kernels, probe decoders, constants, then the runs that
judge them.

The order of the visits, and what several of them say together, is `visits`' matter. Before it stand all
probes; behind it `localspec` and the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..errors import NoAnswer, UsageError
from .decoders import llamacpp
from .decoders.engines import Engine, LlamaEngine, NumpyEngine, TorchEngine
from .decoders.llamacpp import Request
from .decoders.shapes import Shape
from .fit import fit_kernel
from .kernels.backends import Backend, NumpyBackend, TorchBackend
from .kernels.bandwidth import array_bytes_for, best, cache_levels, streams, thread_sweep
from .kernels.energy import Meter
from .kernels.matmul import call_floor, ladder, peak, usable_dtypes
from .kernels.statistics import Summary, remarks
from .load import idle_cores, set_wait
from .machine import free_memory_bytes, identify, limit_blas, torch_or_none
from .predict import Run, fit_engine, seconds
from .probes import check_jobs, probe_jobs
from .progress import Progress
from .results import Found, Judged, Options
from .visits import Step, Visits, Watcher, in_order, remark, schedule, together

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
                    "xllamacpp is not installed; `pip install tokcalc[llamacpp]`, or leave llama.cpp out of --engine"
                )
            out.append(LlamaEngine(threads, options.gpu_layers, options.file, options.file_shape))
    return out, notes


def engine_formats(engine: Engine, options: Options) -> list[str]:
    """Formats of an engine that were asked for; all of them where none was."""
    if options.file is not None:  # all formats are probed: the file's own may lie between them
        return list(engine.formats)
    wanted = [f for f in engine.formats if not options.formats or f in options.formats]
    if options.quick and not options.formats:
        return wanted[:1] if engine.name != "llama.cpp" else ["q8_0"]
    return wanted


def measure(options: Options, shapes: Sequence[Shape], say: Callable[[str], None] = lambda text: None) -> Found:
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
    steps = [("memory bandwidth", 5.0 if options.quick else 12.0), ("matrix products", 8.0 if options.quick else 60.0)]
    order = schedule(plans, checks, options.passes, again=not options.quick)
    steps += [(step.name, step.job.expected_s) for step in order]
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
        size = array_bytes_for(found.machine.llc_bytes, free_memory_bytes())
        watcher = Watcher(found.threads, size) if options.device == "cpu" else None
        for step in order:
            start(step.name)
            _visit(found, step, probed if step.what == "probe" else judged, watcher)
        found.states = watcher.states if watcher else []
        by_name = {e.name: e for e in engines}
        for (name, shape, weights, request), visits in probed.items():
            summary, _ = together(visits)
            found.probes.append((name, _run(by_name[name], shape, weights, request, summary), summary))
        for engine, _ in plans:
            runs = [r for name, r, _ in found.probes if name == engine.name]
            if runs:
                found.engines[engine.name] = fit_engine(runs, found.roofs)
                found.engine_names[engine.name] = engine.description
        for (name, shape, weights, request), visits in sorted(judged.items(), key=in_order(judged)):
            summary, power = together(visits)
            run = _run(by_name[name], shape, weights, request, summary)
            predicted = seconds(run, found.roofs, found.engines[name])
            found.judged.append(Judged(run, name, summary, predicted, power))
    finally:
        restore()
        progress.close()
    found.notes += [n for e in engines for n in getattr(e, "notes", ())] + remarks(found.summaries())
    found.notes += [text for text in [remark(found.states)] if text]
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
        top = max((peak(backend, dtype, quick) for _ in range(found.options.rounds)), key=lambda p: p.best_ops_s)
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
        from .kernels.collective import all_reduce_curve

        found.all_reduce = all_reduce_curve(len(gpus))


def _visit(found: Found, step: Step, visits: Visits, watcher: Watcher | None) -> None:
    """Run one job and append its times to `visits`; a check without room becomes a note."""
    meter = Meter(gpu=found.options.device.startswith("cuda"))
    engine, job = step.engine, step.job

    def run() -> list[Summary]:
        return engine.measure(job.shape, job.weights, job.requests)

    meter.start()
    try:
        taken = watcher.visit(step.name, run) if watcher else run()
    except NoAnswer as error:
        if step.what == "probe":
            raise
        found.notes += [str(error)] * (str(error) not in found.notes)
        return
    power = meter.watts()
    for request, summary in zip(job.requests, taken, strict=True):
        visits.setdefault((engine.name, job.shape, job.weights, request), []).append((summary, power))


def _run(engine: Engine, shape: Shape, weights: str, request: Request, summary: Summary) -> Run:
    return Run(shape, weights, engine.kv(weights), request, summary.median, engine.split)
