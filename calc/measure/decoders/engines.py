"""The engines that decode on this machine, behind one call: requests on a shape in a format -> times.

NumPy and PyTorch run the reference decoder here; llama.cpp runs a GGUF file in a process of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import NoAnswer, UsageError
from ..kernels.statistics import Summary, collect
from ..load import available_cores
from ..machine import free_memory_bytes, torch_or_none
from . import llamacpp
from .llamacpp import Request
from .shapes import Shape
from .synthetic import check_room, gguf_package, write_synthetic
from .with_numpy import NumpyDecoder

OnAnswer = Callable[[int], None]


class Engine(Protocol):
    """One way to run a decoder: `formats` of weights it knows, `kv` the format of its cache, `split` the
    threads that share its cache by cells (0: evenly).
    """

    name: str
    device: str
    formats: tuple[str, ...]
    threads: int
    split: int
    description: str

    def kv(self, fmt: str) -> str:
        """Format of the cache."""
        ...

    def measure(
        self, shape: Shape, fmt: str, requests: Sequence[Request], on_answer: OnAnswer | None = None
    ) -> list[Summary]:
        """Seconds of every request: of a whole prompt, or of one decode step."""
        ...


def _need_memory(shape: Shape, item_bytes: float, longest: int, batch: int) -> None:
    need = shape.weights * item_bytes + batch * shape.kv_bytes(longest, item_bytes)
    free = free_memory_bytes()
    if free and need > 0.9 * free:
        raise NoAnswer(
            f"{shape.name} takes {need / 1e9:.1f} GB here and {free / 1e9:.1f} GB of memory are free; "
            "choose a smaller "
            "model or a narrower format"
        )


class NumpyEngine:
    """The reference decoder in NumPy, fp32."""

    name = "numpy"
    device = "cpu"
    split = 0
    formats: tuple[str, ...] = ("fp32",)

    def __init__(self, threads: int | None = None) -> None:
        from ..machine import blas_name

        self.threads = threads or available_cores()
        self.description = f"NumPy {np.__version__} decoder, {blas_name()}"

    def kv(self, fmt: str) -> str:
        return "fp32"

    def measure(
        self, shape: Shape, fmt: str, requests: Sequence[Request], on_answer: OnAnswer | None = None
    ) -> list[Summary]:
        longest = max(max(r.past + r.tokens, r.context + 1) for r in requests)
        if shape.experts:
            raise UsageError(f"{shape.name} has experts, which the NumPy decoder does not run; use --engine llama.cpp")
        _need_memory(shape, 4.0, longest, max(r.batch for r in requests))
        decoders: dict[int, NumpyDecoder] = {}
        out = []
        for i, r in enumerate(requests):
            if r.batch not in decoders:
                decoders = {r.batch: NumpyDecoder(shape, longest, r.batch)}
            decoder = decoders[r.batch]
            tokens = np.ones((r.batch, r.tokens or 1), dtype=np.int64)

            def run(d: NumpyDecoder = decoder, r: Request = r, t: Any = tokens) -> Any:
                d.length = r.past if r.kind == "prefill" else r.context
                return d.forward(t)

            out.append(_repeat(run, lambda: None, r))
            if on_answer:
                on_answer(i)
        return out


class TorchEngine:
    """The same decoder in PyTorch on one device; on CUDA compiled, and decode steps replayed as graphs."""

    name = "torch"
    split = 0

    def __init__(self, device: str = "cpu", threads: int | None = None) -> None:
        torch = torch_or_none()
        if torch is None:
            raise UsageError("PyTorch is not installed; `pip install tokcalc[torch]`, or leave torch out of --engine")
        self.torch, self.device = torch, device
        self.threads = threads or available_cores()
        if device == "cpu":
            torch.set_num_threads(self.threads)
        self.formats: tuple[str, ...] = ("fp32", "bf16") if device == "cpu" else ("bf16", "fp16")
        self.description = f"PyTorch {torch.__version__} decoder on {device}"
        self.notes: list[str] = []

    def kv(self, fmt: str) -> str:
        return fmt

    def _wait(self) -> None:
        kind = self.device.partition(":")[0]
        if kind != "cpu":
            getattr(self.torch, kind).synchronize()

    def measure(
        self, shape: Shape, fmt: str, requests: Sequence[Request], on_answer: OnAnswer | None = None
    ) -> list[Summary]:
        from .with_torch import TorchDecoder

        if shape.experts:
            raise UsageError(
                f"{shape.name} has experts, which the PyTorch decoder does not run; use --engine llama.cpp"
            )
        longest = max(max(r.past + r.tokens, r.context + 1) for r in requests)
        if self.device == "cpu":
            _need_memory(shape, 4.0 if fmt == "fp32" else 2.0, longest, max(r.batch for r in requests))
        decoders: dict[int, Any] = {}
        out = []
        for i, r in enumerate(requests):
            if r.batch not in decoders:
                decoders.clear()
                decoders[r.batch] = TorchDecoder(shape, longest, r.batch, dtype=fmt, device=self.device)
            decoder = decoders[r.batch]
            tokens = self.torch.ones((r.batch, r.tokens or 1), dtype=self.torch.long, device=self.device)
            decoder.length = r.past if r.kind == "prefill" else r.context
            replay = decoder.graph(tokens) if r.kind == "decode" else None

            def run(d: Any = decoder, r: Request = r, t: Any = tokens, replay: Any = replay) -> Any:
                if replay is not None:
                    return replay()
                d.length = r.past if r.kind == "prefill" else r.context
                return d.forward(t)

            out.append(_repeat(run, self._wait, r))
            self.notes += [n for n in decoder.notes if n not in self.notes]
            if on_answer:
                on_answer(i)
        return out


def _repeat(run: Callable[[], Any], wait: Callable[[], Any], request: Request) -> Summary:
    """Decode steps until the median is tight; a prompt a few times."""
    import time

    def sample() -> float:
        start = time.perf_counter()
        run()
        wait()
        return time.perf_counter() - start

    steps = request.least * request.new if request.kind == "decode" else request.least
    budget = 0.2 * request.most
    warmup = 2 if request.kind == "decode" else int(request.least > 1)
    return collect(sample, warmup=warmup, least=min(steps, 20), budget_s=budget)


class LlamaEngine:
    """llama.cpp on a synthetic file of the shape, or on the user's own file."""

    name = "llama.cpp"
    formats: tuple[str, ...] = ("fp16", "q8_0", "q4_0")

    def __init__(
        self, threads: int, gpu_layers: int = 0, file: Path | None = None, file_shape: Shape | None = None
    ) -> None:
        self.threads, self.gpu_layers = threads, gpu_layers
        self.file, self.file_shape = file, file_shape
        self.device = "gpu" if gpu_layers else "cpu"
        self.split = 0 if gpu_layers else threads
        self.description = f"{llamacpp.description()}, {threads} thread{'s' if threads > 1 else ''}"

    def kv(self, fmt: str) -> str:
        return "fp16"

    def check(self, shapes: Sequence[Shape], formats: Sequence[str]) -> None:
        """Refuse what can't run before anything is measured: a file that does not load, shapes without room."""
        if self.file is not None:
            llamacpp.measure_file(self.file, [Request("prefill", tokens=4, least=1, most=1)], self.threads)
            return
        gguf_package()
        for shape in shapes:
            for fmt in formats:
                check_room(Path(tempfile.gettempdir()), shape, fmt)

    def measure(
        self, shape: Shape, fmt: str, requests: Sequence[Request], on_answer: OnAnswer | None = None
    ) -> list[Summary]:
        # the server splits its context over all slots, so each batch size gets a run of its own
        if self.file is not None and shape == self.file_shape:
            return self._by_batch(self.file, requests, on_answer)
        with tempfile.TemporaryDirectory(prefix="tokcalc-") as folder:
            path = write_synthetic(Path(folder) / f"{shape.name}-{fmt}.gguf", shape, fmt)
            return self._by_batch(path, requests, on_answer)

    def _by_batch(self, path: Path, requests: Sequence[Request], on_answer: OnAnswer | None) -> list[Summary]:
        found: dict[int, Summary] = {}
        for batch in sorted({r.batch for r in requests}):
            mine = [i for i, r in enumerate(requests) if r.batch == batch]
            taken = llamacpp.measure_file(
                path, [replace(requests[i]) for i in mine], self.threads, self.gpu_layers, on_answer
            )
            found.update(zip(mine, taken, strict=True))
        return [found[i] for i in range(len(requests))]
