"""The engines that decode on this machine, behind one call: requests on a shape in a format -> times.

NumPy and PyTorch run the reference decoder here; llama.cpp runs a GGUF file in a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import NoAnswer, UsageError
from ..kernels.statistics import Summary, collect
from ..machine import blas_name, free_memory_bytes, need_torch, synchronise
from . import llamacpp
from .llamacpp import Request
from .shapes import Shape
from .synthetic import check_room, gguf_package, write_synthetic
from .with_numpy import NumpyDecoder

Pass = Callable[[], Any]


class Engine(ABC):
    """One way to run a decoder: `formats` of weights it knows, `split` the threads that share its cache by cells (0:
    evenly), `notes` what a person should know of a run.
    """

    name: str
    device: str = "cpu"
    formats: tuple[str, ...] = ()
    split: int = 0
    threads: int
    description: str

    def __init__(self, threads: int, description: str) -> None:
        self.threads, self.description = threads, description
        self.notes: list[str] = []

    def kv(self, fmt: str) -> str:
        """Format of the cache."""
        return fmt

    @abstractmethod
    def measure(self, shape: Shape, fmt: str, requests: Sequence[Request]) -> list[Summary]:
        """Seconds of every request: of a whole prompt, or of one decode step."""


class _Reference(Engine):
    """What the reference decoders in NumPy and PyTorch share: one decoder at a time, timed request by request."""

    title: str

    def measure(self, shape: Shape, fmt: str, requests: Sequence[Request]) -> list[Summary]:
        if shape.experts:
            reason = f"{shape.name} has experts, which the {self.title} decoder does not run"
            raise UsageError(f"{reason}; use --engine llama.cpp")
        longest = max(max(r.past + r.tokens, r.context + 1) for r in requests)
        if self.device == "cpu":
            _need_memory(shape, 4.0 if fmt == "fp32" else 2.0, longest, max(r.batch for r in requests))
        decoder, batch, out = None, 0, []
        for r in requests:
            if r.batch != batch:
                decoder = None  # its memory goes before that of the next is taken
                decoder, batch = self._decoder(shape, fmt, longest, r.batch), r.batch
            out.append(_repeat(self._pass(decoder, r), self._wait, r))
        return out

    @abstractmethod
    def _decoder(self, shape: Shape, fmt: str, longest: int, batch: int) -> Any:
        """A decoder for `batch` sequences of at most `longest` tokens."""

    @abstractmethod
    def _pass(self, decoder: Any, request: Request) -> Pass:
        """One pass of a request."""

    def _wait(self) -> None:
        """Block until the device has finished; processors have when a call returns."""
        if self.device != "cpu":
            synchronise(self.device)


def _forward(decoder: Any, request: Request, tokens: Any) -> Pass:
    """One pass over the tokens, each time from what the request finds cached."""

    def run() -> Any:
        decoder.length = request.cached
        return decoder.forward(tokens)

    return run


def _need_memory(shape: Shape, item_bytes: float, longest: int, batch: int) -> None:
    need = shape.weights * item_bytes + batch * shape.kv_bytes(longest, item_bytes)
    free = free_memory_bytes()
    if free and need > 0.9 * free:
        raise NoAnswer(
            f"{shape.name} takes {need / 1e9:.1f} GB here and {free / 1e9:.1f} GB of memory are free; "
            "choose a smaller model or a narrower format"
        )


def _repeat(run: Pass, wait: Callable[[], None], request: Request) -> Summary:
    """Decode steps until the median is tight; a prompt a few times."""

    def sample() -> float:
        start = time.perf_counter()
        run()
        wait()
        return time.perf_counter() - start

    steps = request.least * request.new if request.kind == "decode" else request.least
    warmup = 2 if request.kind == "decode" else int(request.least > 1)
    return collect(sample, warmup=warmup, least=min(steps, 20), budget_s=0.2 * request.most)


class NumpyEngine(_Reference):
    """The reference decoder in NumPy, fp32."""

    name, title = "numpy", "NumPy"
    formats = ("fp32",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads, f"NumPy {np.__version__} decoder, {blas_name()}")

    def _decoder(self, shape: Shape, fmt: str, longest: int, batch: int) -> NumpyDecoder:
        return NumpyDecoder(shape, longest, batch)

    def _pass(self, decoder: NumpyDecoder, request: Request) -> Pass:
        return _forward(decoder, request, np.ones((request.batch, request.tokens or 1), dtype=np.int64))


class TorchEngine(_Reference):
    """The same decoder in PyTorch on one device; on CUDA decode steps are replayed as graphs."""

    name, title = "torch", "PyTorch"

    def __init__(self, device: str, threads: int) -> None:
        self.torch, self.device = need_torch(), device
        super().__init__(threads, f"PyTorch {self.torch.__version__} decoder on {device}")
        if device == "cpu":
            self.torch.set_num_threads(threads)
        self.formats = ("fp32", "bf16") if device == "cpu" else ("bf16", "fp16")

    def _decoder(self, shape: Shape, fmt: str, longest: int, batch: int) -> Any:
        from .with_torch import TorchDecoder

        return TorchDecoder(shape, longest, batch, dtype=fmt, device=self.device)

    def _pass(self, decoder: Any, request: Request) -> Pass:
        tokens = self.torch.ones((request.batch, request.tokens or 1), dtype=self.torch.long, device=self.device)
        decoder.length = request.cached
        replay: Pass | None = decoder.graph(tokens) if request.kind == "decode" else None
        self.notes += [note for note in decoder.notes if note not in self.notes]
        return replay or _forward(decoder, request, tokens)


class LlamaEngine(Engine):
    """llama.cpp on a synthetic file of the shape, or on the user's own file."""

    name = "llama.cpp"
    formats = ("fp16", "q8_0", "q4_0")

    def __init__(
        self, threads: int, gpu_layers: int = 0, file: Path | None = None, file_shape: Shape | None = None
    ) -> None:
        super().__init__(threads, f"{llamacpp.description()}, {threads} thread{'s' if threads > 1 else ''}")
        self.gpu_layers, self.file, self.file_shape = gpu_layers, file, file_shape
        self.device = "gpu" if gpu_layers else "cpu"
        self.split = 0 if gpu_layers else threads

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

    def measure(self, shape: Shape, fmt: str, requests: Sequence[Request]) -> list[Summary]:
        if self.file is not None and shape == self.file_shape:
            return self._by_batch(self.file, requests)
        with tempfile.TemporaryDirectory(prefix="tokcalc-") as folder:
            return self._by_batch(write_synthetic(Path(folder) / f"{shape.name}-{fmt}.gguf", shape, fmt), requests)

    def _by_batch(self, path: Path, requests: Sequence[Request]) -> list[Summary]:
        """The server splits its context over all slots, so each batch size gets a run of its own."""
        found: dict[int, Summary] = {}
        for batch in sorted({r.batch for r in requests}):
            mine = [i for i, r in enumerate(requests) if r.batch == batch]
            taken = llamacpp.measure_file(path, [requests[i] for i in mine], self.threads, self.gpu_layers)
            found.update(zip(mine, taken, strict=True))
        return [found[i] for i in range(len(requests))]
