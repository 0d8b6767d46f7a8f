"""`tokcalc bench`: measure this machine, write its spec file, and judge predictions by real decoding.

With --import it measures nothing and brings another tool's results to measured rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NoAnswer, UsageError
from . import text
from .table import Column, render

if TYPE_CHECKING:
    from ..measure.session import Found, Options

DEFAULT_MODEL = "smollm2-135m"


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Under a minute instead of a few.")] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the spec that is written.")] = "local",
    model: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help=f"Models whose shapes are decoded. Default: {DEFAULT_MODEL}."),
    ] = None,
    gguf: Annotated[
        str | None, typer.Option(metavar="FILE", help="Decode your own GGUF file with llama.cpp.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="numpy, torch, llama.cpp. Default: all that are installed."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Formats of weights: fp32, bf16, fp16, q8_0, q4_0. Default: all."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="cpu, cuda:0 (also ROCm), mps or xpu:0.")
    ] = "cpu",
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads. Default: as many as cores idle.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Contexts to decode at, as 16,512.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TOKENS", help="Prompt lengths, as 128,512.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="Sequences decoded together, as 1,4.")
    ] = None,
    gpu_layers: Annotated[int, typer.Option(metavar="N", help="Layers that llama.cpp puts on a GPU.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Also write the check as a table.")
    ] = None,
    import_: Annotated[
        list[str] | None,
        typer.Option(
            "--import", metavar="FILE", help="Read results of llama-bench, vLLM, aiperf or guidellm instead."
        ),
    ] = None,
    chip: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --import: the chip that they ran on.")
    ] = None,
    chips: Annotated[int | None, typer.Option(metavar="N", help="With --import: how many chips.")] = None,
) -> None:
    """Measure this machine, write it as the chip `local`, and compare predicted with measured decoding."""
    if import_:
        _import(import_, chip, chips, model, weights, json_, export or [])
        return
    from ..measure.localspec import check_name, target_folder, write_spec
    from ..report import check

    for path in export or []:
        check(path)
    check_name(name)
    target_folder()
    options = _options(quick, engine, weights, device, threads, context, prompt, batch, gpu_layers, gguf)
    shapes = _shapes(model, options)
    from ..measure.session import measure

    before = _previous(name)
    found = measure(options, shapes)
    spec, samples = write_spec(found, name)
    rows = [_row(j) for j in found.judged]
    if export:
        from ..report import write

        for path in export:
            write(rows, path)
            print(f"wrote {path}", file=sys.stderr)
    if json_:
        from ..measure.localspec import samples_of

        json.dump(
            {**samples_of(found), "spec": str(spec), "check": rows}, sys.stdout, indent=2, allow_nan=False
        )
        print()
    else:
        print("\n".join(_report(found, rows, before, spec, samples, name)))


command = bench


def _numbers(option: str, value: str | None, default: tuple[int, ...], most: int) -> tuple[int, ...]:
    if value is None:
        return default
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= most for part in parts):
        raise UsageError(
            f"{option} '{value}' is no list of whole numbers from 1 to {most:,}; write them as 16,512"
        )
    return tuple(sorted({int(part) for part in parts}))


def _words(value: str | None) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in (value or "").split(",") if part.strip())


def _options(
    quick: bool,
    engine: str | None,
    weights: str | None,
    device: str,
    threads: int | None,
    context: str | None,
    prompt: str | None,
    batch: str | None,
    gpu_layers: int,
    gguf: str | None,
) -> Options:
    from ..formats import find_format
    from ..measure.load import available_cores
    from ..measure.session import Options

    if device.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise UsageError(f"--device '{device}' is unknown; write cpu, cuda:0, mps or xpu:0")
    if threads is not None and not 1 <= threads <= available_cores():
        raise UsageError(f"--threads {threads} is not possible here; give 1 to {available_cores()}")
    engines = tuple("llama.cpp" if word in ("llamacpp", "llama-cpp") else word for word in _words(engine))
    return Options(
        quick=quick,
        engines=("llama.cpp",) if gguf and not engines else engines,
        formats=tuple(find_format(word).name for word in _words(weights)),
        device=device,
        threads=threads,
        contexts=_numbers("--context", context, (16, 512) if quick else (16, 512, 2048), 1_000_000),
        prompts=_numbers("--prompt", prompt, (128,) if quick else (128, 512), 1_000_000),
        batches=_numbers("--batch", batch, (1,), 1024),
        gpu_layers=gpu_layers,
        file=Path(gguf) if gguf else None,
    )


def _shapes(model: str | None, options: Options) -> list[Any]:
    """Shapes to judge; a user's file brings its own, and its format."""
    from ..catalog import load_model
    from ..measure.llamacpp import check_file
    from ..measure.shapes import shape_of

    if options.file is None:
        return [shape_of(load_model(word)) for word in _words(model) or (DEFAULT_MODEL,)]
    check_file(options.file)
    own = load_model(str(options.file))
    options.file_shape, options.file_format = shape_of(own), own.native_format
    return [options.file_shape]


def _previous(name: str) -> dict[str, Any] | None:
    """Constants of the last run of that name, if there is one."""
    from ..measure.localspec import target_folder

    try:
        old = json.loads((target_folder() / f"{name}.samples.json").read_text(encoding="utf-8"))
        return {"date": str(old["date"]), "constants": dict(old["constants"]), "quick": bool(old["quick"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _row(judged: Any) -> dict[str, Any]:
    r, s, batch = judged.run.request, judged.measured, judged.run.request.batch
    tokens = r.tokens if r.kind == "prefill" else batch
    return {
        "engine": judged.engine,
        "model": judged.run.shape.name,
        "weights": judged.run.weights,
        "phase": r.kind,
        "tokens": r.tokens or None,
        "context": r.context if r.kind == "decode" else None,
        "batch": batch,
        "measured_tok_s": tokens / s.median,
        "low_tok_s": tokens / s.high,
        "high_tok_s": tokens / s.low,
        "predicted_tok_s": tokens / judged.predicted_s,
        "error": 1.0 / (1.0 + judged.error) - 1.0,
        "measured_s": s.median,
        "predicted_s": judged.predicted_s,
        "disturbed": s.disturbed,
        "joule_per_token": judged.joule_per_token,
    }


def _report(
    found: Found,
    rows: list[dict[str, Any]],
    before: dict[str, Any] | None,
    spec: Path,
    samples: Path,
    name: str,
) -> list[str]:
    from ..measure.bandwidth import best

    m, width = found.machine, text.width()
    lines = [f"{m.cpu}, {m.cores} cores, {m.memory_bytes / 1e9:.1f} GB, {m.blas}"]
    lines += [f"{a.name}, {a.memory_bytes / 1e9:.1f} GB ({a.kind}:{a.index})" for a in m.accelerators]
    read, triad = best(found.streams, "read"), best(found.streams, "triad")
    lines += [
        "",
        f"Memory     read {_gb(read.best_bytes_s)}, triad {_gb(triad.best_bytes_s)}, "
        f"copy {_gb(best(found.streams, 'copy').best_bytes_s)}",
    ]
    if found.caches:
        lines.append("Caches     " + ", ".join(f"{s.kernel[5:]} {_gb(s.best_bytes_s)}" for s in found.caches))
    if found.sweep:
        lines.append("Threads    " + ", ".join(f"{s.threads}: {_gb(s.best_bytes_s)}" for s in found.sweep))
    lines.append("Products   " + ", ".join(f"{d} {_gflops(r)}" for d, r in found.peaks.items()))
    columns = [Column("format", 9, right=False), Column("from", 5, right=False), Column("floor", 6)]
    columns += [Column("eta_m", 8), Column("eta_c", 8), Column("p", 7), Column("error", 4)]
    table = []
    for dtype, fit in found.kernels.items():
        table.append([dtype, "kernels", text.seconds(fit.t0_s), *_four(fit), f"{fit.median_error:.0%}"])
    for engine, constants in found.engines.items():
        for fmt, c in constants.kernel.items():
            cells = [text.seconds(c["t0_s"]), *(f"{c[k]:.2f}" for k in ("eta_m", "eta_c", "p"))]
            table.append([fmt, engine, *cells, f"{constants.median_error:.0%}"])
    lines += ["", "Constants", render(columns, table, width)]
    if rows:
        lines += ["", "Predicted against measured (predictions from the probes, not from these runs)"]
        lines += [_check_table(rows, width), "", *_summary(rows)]
    lines += _changes(found, before)
    for note in found.notes:
        lines += ["", *text.wrap(note, width, "Note: ")]
    lines += ["", f"Spec     {spec}", f"Samples  {samples}", f"Took     {text.seconds(found.took_s)}"]
    lines += ["", f"Try: tokcalc --chip {name} --model llama-3.2-1b --weights q8_0"]
    return lines


def _check_table(rows: list[dict[str, Any]], width: int) -> str:
    columns = [
        Column("engine", 8, right=False),
        Column("model", 7, right=False),
        Column("weights", 9, right=False),
    ]
    columns += [
        Column("phase", 9, right=False),
        Column("tokens", 8),
        Column("batch", 3),
        Column("measured tok/s", 9),
    ]
    columns += [Column("predicted", 9), Column("error", 9)]
    cells = [
        [
            row["engine"],
            row["model"],
            row["weights"],
            row["phase"],
            str(row["tokens"] or row["context"]),
            str(row["batch"]),
            text.number(row["measured_tok_s"]) + ("*" if row["disturbed"] else ""),
            text.number(row["predicted_tok_s"]),
            f"{row['error']:+.0%}",
        ]
        for row in rows
    ]
    tail = "\n* measured while other programs used the machine" if any(r["disturbed"] for r in rows) else ""
    return render(columns, cells, width) + tail


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    from statistics import median

    out = []
    for engine in dict.fromkeys(r["engine"] for r in rows):
        for phase in ("decode", "prefill"):
            errors = [abs(r["error"]) for r in rows if r["engine"] == engine and r["phase"] == phase]
            if errors:
                runs = f"{len(errors)} run{'s' if len(errors) > 1 else ''}"
                out.append(
                    f"{engine:10s} {phase:8s} median error {median(errors):.1%}, worst "
                    f"{max(errors):.0%} ({runs})"
                )
    return out


def _changes(found: Found, before: dict[str, Any] | None) -> list[str]:
    """How the constants compare with the last run of the same name and length."""
    from ..measure.compare import compare_constants, sentence
    from ..measure.localspec import constants_of

    if before is None or before["quick"] != found.options.quick:
        return []
    return [
        "",
        *text.wrap(
            sentence(compare_constants(before["constants"], constants_of(found)), before["date"]),
            text.width(),
        ),
    ]


def _four(fit: Any) -> list[str]:
    return [f"{fit.eta_m:.2f}", f"{fit.eta_c:.2f}", f"{fit.p:.2f}"]


def _gb(value: float) -> str:
    return f"{text.number(value / 1e9)} GB/s"


def _gflops(value: float) -> str:
    return f"{text.number(value / 1e12)} TOP/s" if value >= 1e12 else f"{text.number(value / 1e9)} GOP/s"


def _import(
    files: list[str],
    chip: str | None,
    chips: int | None,
    model: str | None,
    weights: str | None,
    json_: bool,
    exports: list[str],
) -> None:
    from ..measure.importers import read_results
    from ..measured import COLUMNS

    rows: list[dict[str, Any]] = []
    for file in files:
        rows += read_results(Path(file), chip=chip, chips=chips, model=model, weights=weights)
    if not rows:
        raise NoAnswer(f"{', '.join(files)} holds no measurement that has a chip, a model and a value")
    if exports:
        from ..report import write

        for path in exports:
            write(rows, path, columns=list(COLUMNS))
            print(f"wrote {len(rows)} rows to {path}", file=sys.stderr)
    if json_:
        json.dump(rows, sys.stdout, indent=2, allow_nan=False)
        print()
    elif not exports:
        from ..report import render as as_text

        print(as_text(rows, "csv", columns=list(COLUMNS)), end="")
