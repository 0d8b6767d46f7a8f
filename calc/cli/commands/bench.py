"""`tokcalc bench`: measure this machine, write its spec file, and judge predictions by real decoding.

With --import it measures nothing and brings another tool's results to measured rows.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import NoAnswer, UsageError
from .. import options as o
from .. import text, values
from ..output import Output, print_json, tell

if TYPE_CHECKING:
    from ...measure.decoders.shapes import Shape
    from ...measure.results import Options

DEFAULT_MODEL = "smollm2-135m"


class Wanted(o.Group):
    """What is measured."""

    quick: bool = o.option(False, "Under a minute instead of a few.")
    name: str = o.option("local", "Name of the spec that is written.", "NAME")
    model: o.Text = o.option(None, f"Models whose shapes are decoded. Default: {DEFAULT_MODEL}.", "NAMES")
    gguf: o.Text = o.option(None, "Decode your own GGUF file with llama.cpp.", "FILE")
    engine: o.Text = o.option(None, "numpy, torch, llama.cpp. Default: all that are installed.", "NAMES")
    weights: o.Text = o.option(None, "Formats of weights: fp32, bf16, fp16, q8_0, q4_0. Default: all.", "NAMES")
    device: str = o.option("cpu", "cpu, cuda:0 (also ROCm), mps or xpu:0.", "NAME")
    threads: o.Whole = o.option(None, "Threads. Default: as many as cores idle.", "N")
    context: o.Text = o.option(None, "Contexts to decode at, as 16,512.", "TOKENS")
    prompt: o.Text = o.option(None, "Prompt lengths, as 128,512.", "TOKENS")
    batch: o.Text = o.option(None, "Sequences decoded together, as 1,4.", "NUMBERS")
    gpu_layers: int = o.option(0, "Layers that llama.cpp puts on a GPU.", "N")
    passes: o.Whole = o.option(None, "Visits of every decoder, the middle one counts. Default: 1.", "N")
    wait: float = o.option(0.0, "Wait so long for a quiet machine, each time.", "SECONDS")


class Foreign(o.Group):
    """Results of other tools."""

    import_: o.Texts = o.option(None, "Read results of llama-bench, vLLM, aiperf or guidellm instead.", "FILE")
    chip: o.Text = o.option(None, "With --import: the chip that they ran on.", "NAME")
    chips: o.Whole = o.option(None, "With --import: how many chips.", "N")


def bench(wanted: Wanted, foreign: Foreign, out: Output) -> None:
    """Measure this machine, write it as the chip `local`, and compare predicted with measured decoding."""
    if foreign.import_:
        _import(foreign.import_, foreign, wanted, out)
        return
    from ...measure.localspec import check_name, samples_of, target_folder, write_spec
    from ..pages.bench import report, row

    out.check()
    check_name(wanted.name)
    if wanted.passes is not None and not 1 <= wanted.passes <= 100:
        raise UsageError(f"--passes {wanted.passes} is out of range; give 1 to 100")
    if not 0 <= wanted.wait <= 3600:
        raise UsageError(f"--wait {wanted.wait:g} is out of range; give 0 to 3,600 seconds")
    target_folder()
    options = _options(wanted)
    shapes = _shapes(wanted.model, options)
    from ...measure.session import measure

    before = _previous(wanted.name)
    with _tidy_end():
        found = measure(options, shapes)
    spec, samples = write_spec(found, wanted.name)
    rows = [row(j) for j in found.judged]
    out.write(rows)
    if out.json_:
        print_json({**samples_of(found), "spec": str(spec), "check": rows})
    else:
        print("\n".join(report(found, rows, before, text.width())))
        print("\n".join(("", f"Spec     {spec}", f"Samples  {samples}", f"Took     {text.seconds(found.took_s)}")))
        print(f"\nTry: tokcalc --chip {wanted.name} --model llama-3.2-1b --weights q8_0")


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


def _numbers(option: str, given: str | None, default: tuple[int, ...], most: int) -> tuple[int, ...]:
    if given is None:
        return default
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= most for part in parts):
        raise UsageError(f"{option} '{given}' is no list of whole numbers from 1 to {most:,}; write them as 16,512")
    return tuple(sorted({int(part) for part in parts}))


def _words(given: str | None) -> tuple[str, ...]:
    return tuple(word.lower() for word in values.words(given) or ())


def _options(wanted: Wanted) -> Options:
    from ...hardware.formats import find_format
    from ...measure.load import available_cores
    from ...measure.results import Options

    device, threads, quick = wanted.device, wanted.threads, wanted.quick
    if device.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise UsageError(f"--device '{device}' is unknown; write cpu, cuda:0, mps or xpu:0")
    if threads is not None and not 1 <= threads <= available_cores():
        raise UsageError(f"--threads {threads} is not possible here; give 1 to {available_cores()}")
    engines = tuple("llama.cpp" if word in ("llamacpp", "llama-cpp") else word for word in _words(wanted.engine))
    return Options(
        quick=quick,
        engines=("llama.cpp",) if wanted.gguf and not engines else engines,
        formats=tuple(find_format(word).name for word in _words(wanted.weights)),
        device=device,
        threads=threads,
        contexts=_numbers("--context", wanted.context, (16, 512) if quick else (16, 512, 2048), 1_000_000),
        prompts=_numbers("--prompt", wanted.prompt, (128,) if quick else (128, 512), 1_000_000),
        batches=_numbers("--batch", wanted.batch, (1,), 1024),
        gpu_layers=wanted.gpu_layers,
        wait_s=wanted.wait,
        visits=wanted.passes,
        file=Path(wanted.gguf) if wanted.gguf else None,
    )


def _shapes(model: str | None, options: Options) -> list[Shape]:
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


def _import(files: list[str], foreign: Foreign, wanted: Wanted, out: Output) -> None:
    """Results of other tools as measured rows: in files, as JSON, or as CSV on stdout."""
    from ...measure.imports.results_of_tools import read_results
    from ...report import render, write
    from ...validation.measured import COLUMNS

    said: dict[str, Any] = {
        "chip": foreign.chip,
        "chips": foreign.chips,
        "model": wanted.model,
        "weights": wanted.weights,
    }
    rows: list[dict[str, Any]] = [row for file in files for row in read_results(Path(file), **said)]
    if not rows:
        raise NoAnswer(f"{', '.join(files)} holds no measurement that has a chip, a model and a value")
    for path in out.export or []:
        write(rows, path, columns=list(COLUMNS))
        tell(f"wrote {len(rows)} rows to {path}")
    if out.json_:
        print_json(rows)
    elif not out.export:
        print(render(rows, "csv", columns=list(COLUMNS)), end="")
