"""Real decoding with llama.cpp through the xllamacpp wheel: a GGUF file and a list of requests in, times out.

Its own prompt and generation timings are used; the library itself lives in `llama_worker`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ..kernels.statistics import Summary, fastest, summarise
from ..load import QUIET_CORES, wait_s

MAGIC = b"GGUF"


@dataclass(frozen=True)
class Request:
    """What to time: kind "prefill" (tokens) or "decode" (batch sequences at context, `new` tokens per sample).

    past: tokens already cached before a prefill; patience_s: longest wait for a quiet machine before a sample.
    Samples are repeated until `least` of them were undisturbed, at most `most` times.
    """

    kind: str
    tokens: int = 0
    context: int = 0
    batch: int = 1
    new: int = 24
    least: int = 3
    most: int = 6
    patience_s: float = 1.0
    past: int = 0

    @property
    def cached(self) -> int:
        """Tokens in the cache when it begins."""
        return self.past if self.kind == "prefill" else self.context


def available() -> bool:
    """Whether the wheel is installed."""
    return find_spec("xllamacpp") is not None


def description() -> str:
    """Name and version of the wheel."""
    try:
        return f"llama.cpp (xllamacpp {version('xllamacpp')})"
    except PackageNotFoundError:
        return "llama.cpp (not installed)"


def check_file(path: Path) -> None:
    """UsageError in one sentence if that is no readable GGUF file."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give an existing .gguf file") from None
    if head != MAGIC:
        raise UsageError(f"{path} is not a GGUF file; give a model in llama.cpp's format")


def need_wheel() -> None:
    """UsageError with the way to get it where the wheel is not installed."""
    if not available():
        raise UsageError(
            "xllamacpp is not installed; `pip install tokcalc[llamacpp]`, or leave llama.cpp out of --engine"
        )


def measure_file(path: Path, requests: Sequence[Request], threads: int, gpu_layers: int = 0) -> list[Summary]:
    """Times of every request, seconds per prompt or per token, in order.

    path: a .gguf file; threads: of llama.cpp, no more than idle cores (its threads spin). Raises UsageError
    if the wheel is missing or the file does not load, as a truncated one.
    """
    need_wheel()
    check_file(path)
    longest = max(max(r.tokens + r.past, r.context + r.new) for r in requests)
    job = {
        "path": str(path),
        "threads": threads,
        "gpu_layers": gpu_layers,
        "context": -(-(longest + 64) // 256) * 256,
        "slots": max(r.batch for r in requests),
        "requests": [{**asdict(r), "patience_s": max(r.patience_s, wait_s())} for r in requests],
    }
    command = [sys.executable, "-m", f"{__package__}.llama_worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        try:
            return _answers(worker, job, path, requests)
        finally:
            worker.kill()
            if worker.stdin:
                with suppress(OSError):  # what it did not read
                    worker.stdin.close()


def _answers(
    worker: subprocess.Popen[str], job: dict[str, Any], path: Path, requests: Sequence[Request]
) -> list[Summary]:
    """What the worker says, line by line; its stdin stays open, as it ends when its parent does."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
    first = worker.stdout.readline()
    if not first or "error" in json.loads(first):
        raise UsageError(f"llama.cpp can't load {path}: the file is truncated, damaged or of an unknown architecture")
    found = []
    for request in requests:
        line = worker.stdout.readline()
        answer = json.loads(line) if line else {"error": "llama.cpp stopped"}
        if "error" in answer:
            raise UsageError(f"llama.cpp failed on {path.name} at {request}: {answer['error']}")
        found.append(_summary(answer, request.least))
    return found


def _summary(answer: dict[str, Any], least: int) -> Summary:
    """The undisturbed samples, or the fastest third where there are too few."""
    pairs = sorted(zip(answer["others"], answer["seconds"], strict=True), key=lambda p: p[0] or 0.0)
    known = [o for o, _ in pairs if o is not None]
    mean = sum(known) / len(known) if known else None
    quiet = [s for o, s in pairs if (o or 0.0) <= QUIET_CORES]
    if len(quiet) >= min(least, 2):
        return summarise(quiet, mean)
    return fastest([s for _, s in pairs], 2, mean)
