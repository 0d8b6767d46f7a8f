"""`tokcalc bench`: measure this machine, write its spec file, and judge predictions by real decoding.

With --import it measures nothing and brings another tool's results to measured rows.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import NoAnswer, UsageError
from ..pages.bench import report, row

if TYPE_CHECKING:
    from ...measure.results import Options

DEFAULT_MODEL = "smollm2-135m"


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Under a minute instead of a few.")] = False,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the spec that is written.")] = "local",
    model: Annotated[
        str | None, typer.Option(metavar="NAMES", help=f"Models whose shapes are decoded. Default: {DEFAULT_MODEL}.")
    ] = None,
    gguf: Annotated[str | None, typer.Option(metavar="FILE", help="Decode your own GGUF file with llama.cpp.")] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="NAMES", help="numpy, torch, llama.cpp. Default: all that are installed.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Formats of weights: fp32, bf16, fp16, q8_0, q4_0. Default: all."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda:0 (also ROCm), mps or xpu:0.")] = "cpu",
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads. Default: as many as cores idle.")] = None,
    context: Annotated[str | None, typer.Option(metavar="TOKENS", help="Contexts to decode at, as 16,512.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TOKENS", help="Prompt lengths, as 128,512.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="NUMBERS", help="Sequences decoded together, as 1,4.")] = None,
    gpu_layers: Annotated[int, typer.Option(metavar="N", help="Layers that llama.cpp puts on a GPU.")] = 0,
    passes: Annotated[
        int | None, typer.Option(metavar="N", help="Visits of every decoder, the middle one counts. Default: 1.")
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Wait so long for a quiet machine, each time.")] = 0.0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write the check as a table.")] = None,
    import_: Annotated[
        list[str] | None,
        typer.Option("--import", metavar="FILE", help="Read results of llama-bench, vLLM, aiperf or guidellm instead."),
    ] = None,
    chip: Annotated[str | None, typer.Option(metavar="NAME", help="With --import: the chip that they ran on.")] = None,
    chips: Annotated[int | None, typer.Option(metavar="N", help="With --import: how many chips.")] = None,
) -> None:
    """Measure this machine, write it as the chip `local`, and compare predicted with measured decoding."""
    if import_:
        _import(import_, chip, chips, model, weights, json_, export or [])
        return
    from ...measure.localspec import check_name, target_folder, write_spec
    from ...report import check

    for path in export or []:
        check(path)
    check_name(name)
    if passes is not None and not 1 <= passes <= 100:
        raise UsageError(f"--passes {passes} is out of range; give 1 to 100")
    if not 0 <= wait <= 3600:
        raise UsageError(f"--wait {wait:g} is out of range; give 0 to 3,600 seconds")
    target_folder()
    options = _options(quick, engine, weights, device, threads, context, prompt, batch, gpu_layers, gguf)
    options.wait_s, options.visits = wait, passes
    shapes = _shapes(model, options)
    from ...measure.session import measure

    before = _previous(name)
    with _tidy_end():
        found = measure(options, shapes)
    spec, samples = write_spec(found, name)
    rows = [row(j) for j in found.judged]
    if export:
        from ...report import write

        for path in export:
            write(rows, path)
            print(f"wrote {path}", file=sys.stderr)
    if json_:
        from ...measure.localspec import samples_of

        json.dump({**samples_of(found), "spec": str(spec), "check": rows}, sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        print("\n".join(report(found, rows, before, spec, samples, name)))


command = bench


@contextmanager
def _tidy_end() -> Iterator[None]:
    """A polite kill ends as Ctrl-C does: what was half written goes, llama.cpp's process too; exit code 143."""

    def end(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the tidying
        raise SystemExit(128 + number)

    try:
        old = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread: signals are its owner's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _numbers(option: str, value: str | None, default: tuple[int, ...], most: int) -> tuple[int, ...]:
    if value is None:
        return default
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= most for part in parts):
        raise UsageError(f"{option} '{value}' is no list of whole numbers from 1 to {most:,}; write them as 16,512")
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
    from ...hardware.formats import find_format
    from ...measure.load import available_cores
    from ...measure.results import Options

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
    from ...catalog import load_model
    from ...measure.decoders.llamacpp import check_file
    from ...measure.decoders.shapes import shape_of

    if options.file is None:
        return [shape_of(load_model(word)) for word in _words(model) or (DEFAULT_MODEL,)]
    check_file(options.file)
    own = load_model(str(options.file))
    options.file_shape, options.file_format = shape_of(own), own.native_format
    return [options.file_shape]


def _previous(name: str) -> dict[str, Any] | None:
    """Constants of the last run of that name, if there is one."""
    from ...measure.localspec import target_folder

    try:
        old = json.loads((target_folder() / f"{name}.samples.json").read_text(encoding="utf-8"))
        return {"date": str(old["date"]), "constants": dict(old["constants"]), "quick": bool(old["quick"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _import(
    files: list[str],
    chip: str | None,
    chips: int | None,
    model: str | None,
    weights: str | None,
    json_: bool,
    exports: list[str],
) -> None:
    from ...measure.imports.results_of_tools import read_results
    from ...validation.measured import COLUMNS

    rows: list[dict[str, Any]] = []
    for file in files:
        rows += read_results(Path(file), chip=chip, chips=chips, model=model, weights=weights)
    if not rows:
        raise NoAnswer(f"{', '.join(files)} holds no measurement that has a chip, a model and a value")
    if exports:
        from ...report import write

        for path in exports:
            write(rows, path, columns=list(COLUMNS))
            print(f"wrote {len(rows)} rows to {path}", file=sys.stderr)
    if json_:
        json.dump(rows, sys.stdout, indent=2, allow_nan=False)
        print()
    elif not exports:
        from ...report import render as as_text

        print(as_text(rows, "csv", columns=list(COLUMNS)), end="")
