"""One whole measurement of this machine, in order: kernels, probe decoders, constants, then the runs that judge them.

The order of the visits, and what several of them say together, is `visits`' matter. Before it stand all probes; behind
it `localspec` and the command line.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..errors import NoAnswer, UsageError
from .decoders import llamacpp
from .decoders.engines import Engine, LlamaEngine, NumpyEngine, TorchEngine
from .decoders.shapes import Shape
from .fit import fit_kernel, need_scipy
from .kernels.backends import Backend, NumpyBackend, TorchBackend
from .kernels.bandwidth import array_bytes_for, best, cache_levels, streams, thread_sweep
from .kernels.energy import Meter
from .kernels.matmul import ladder, peak, usable_dtypes
from .kernels.statistics import Summary, remarks
from .load import idle_cores, set_wait
from .machine import free_memory_bytes, identify, limit_blas, torch_or_none
from .predict import Run, fit_engine, seconds
from .probes import check_jobs, probe_jobs
from .progress import Progress
from .results import Found, Judged, Options
from .visits import Step, Visited, Visits, Watcher, in_order, remark, schedule, together

ENGINES = ("numpy", "torch", "llama.cpp")


def choose_engines(options: Options, threads: int) -> tuple[list[Engine], list[str]]:
    """(engines to run, notes about those that are left out because their library is missing)."""
    wanted = options.engines or ENGINES
    for name in wanted:
        if name not in ENGINES:
            raise UsageError(f"engine '{name}' is not measured here; choose of {', '.join(ENGINES)}")
    missing = {"torch": torch_or_none() is None, "llama.cpp": not llamacpp.available()}
    out: list[Engine] = []
    notes = []
    for name in wanted:
        if missing.get(name) and not options.engines:
            extra = name.replace(".", "")
            notes.append(f"{name} is not installed and was left out; `pip install tokcalc[{extra}]` adds it")
        elif name == "numpy" and options.device == "cpu":
            out.append(NumpyEngine(threads))
        elif name == "torch":
            out.append(TorchEngine(options.device, threads))
        elif name == "llama.cpp":
            llamacpp.need_wheel()
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


def measure(options: Options, shapes: Sequence[Shape]) -> Found:
    """Measure everything; shapes: decoders of the check.

    Raises UsageError or NoAnswer, one sentence, where a library, memory or disk space is missing.
    """
    need_scipy()
    begun = time.monotonic()
    set_wait(options.wait_s)
    machine = identify()
    cores, others = idle_cores()
    found = Found(machine, options, others, options.threads or cores)
    engines, found.notes = choose_engines(options, found.threads)
    if others is not None and others > 0.5:
        found.notes.append(
            f"other programs keep {others:.1f} cores busy: the probes use {found.threads} of "
            f"{machine.cores}, and all figures are lower than an idle machine's"
        )
    order = _plan(engines, shapes, options)
    kernels = ("memory bandwidth", 5.0 if options.quick else 12.0), ("matrix products", 8.0 if options.quick else 60.0)
    progress = Progress([*kernels, *((step.name, step.job.expected_s) for step in order)])
    restore = limit_blas(found.threads)
    try:
        progress.start("memory bandwidth")
        backends = _backends(options, found.threads)
        _bandwidth(found, backends)
        progress.start("matrix products")
        for backend in backends:
            _products(found, backend)
        _all_reduce(found)
        visits: dict[str, Visits] = {"probe": {}, "check": {}}
        size = array_bytes_for(machine.llc_bytes, free_memory_bytes())
        watcher = Watcher(found.threads, size) if options.device == "cpu" else None
        for step in order:
            progress.start(step.name)
            _visit(found, step, visits[step.what], watcher)
        found.states = watcher.states if watcher else []
        _judge(found, {engine.name: engine for engine in engines}, visits)
    finally:
        restore()
        progress.close()
    found.notes += [n for e in engines for n in e.notes] + remarks(found.summaries())
    found.notes += filter(None, [remark(found.states)])
    found.took_s = time.monotonic() - begun
    return found


def _plan(engines: Sequence[Engine], shapes: Sequence[Shape], options: Options) -> list[Step]:
    """All visits in order; refuses what llama.cpp can't run before anything is measured."""
    probes = [(e, probe_jobs(e, engine_formats(e, options), options.quick, options.batches)) for e in engines]
    checks = []
    for engine in engines:
        # experts only in llama.cpp, the user's file only there, in its own format
        able = engine.name == "llama.cpp"
        own = [s for s in shapes if able or (options.file is None and not s.experts)]
        formats = engine_formats(engine, options) if options.file is None else [options.file_format]
        if isinstance(engine, LlamaEngine):
            engine.check(own, formats)
        checks.append((engine, check_jobs(engine, own, formats, options)))
    return schedule(probes, checks, options.passes, again=not options.quick)


def _judge(found: Found, engines: dict[str, Engine], visits: dict[str, Visits]) -> None:
    """Constants of every engine from its probes, and the runs of the check beside what they predict."""
    for key, taken in visits["probe"].items():
        summary, _ = together(taken)
        found.probes.append((key[0], _run(engines[key[0]], key, summary), summary))
    for name, engine in engines.items():
        runs = [r for probed, r, _ in found.probes if probed == name]
        if runs:
            found.engines[name] = fit_engine(runs, found.roofs)
            found.engine_names[name] = engine.description
    for key, taken in sorted(visits["check"].items(), key=in_order(visits["check"])):
        summary, power = together(taken)
        run = _run(engines[key[0]], key, summary)
        predicted = seconds(run, found.roofs, found.engines[key[0]])
        found.judged.append(Judged(run, key[0], summary, predicted, power))


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


def _run(engine: Engine, key: Visited, summary: Summary) -> Run:
    _, shape, weights, request = key
    return Run(shape, weights, engine.kv(weights), request, summary.median, engine.split)
