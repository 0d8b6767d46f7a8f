"""The engines that decode on this machine, behind one call: requests on a shape in a format -> times.

NumPy and PyTorch run the reference decoder here; llama.cpp runs a GGUF file in a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import NoAnswer, UsageError
from ..kernels.statistics import Summary, collect
from ..load import available_cores
from ..machine import blas_name, free_memory_bytes, need_torch
from . import llamacpp
from .llamacpp import Request
from .shapes import Shape
from .synthetic import check_room, gguf_package, write_synthetic
from .with_numpy import NumpyDecoder

Pass = Callable[[], Any]


class Engine(Protocol):
    """One way to run a decoder: `formats` of weights it knows, `kv` the format of its cache, `split` the threads that
    share its cache by cells (0: evenly).
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

    def measure(self, shape: Shape, fmt: str, requests: Sequence[Request]) -> list[Summary]:
        """Seconds of every request: of a whole prompt, or of one decode step."""
        ...


class _Reference:
    """What the reference decoders in NumPy and PyTorch share: one decoder at a time, timed request by request."""

    title = ""
    device = "cpu"
    split = 0

    def measure(self, shape: Shape, fmt: str, requests: Sequence[Request]) -> list[Summary]:
        if shape.experts:
            raise UsageError(
                f"{shape.name} has experts, which the {self.title} decoder does not run; use --engine llama.cpp"
            )
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

    def _decoder(self, shape: Shape, fmt: str, longest: int, batch: int) -> Any:
        raise NotImplementedError

    def _pass(self, decoder: Any, request: Request) -> Pass:
        raise NotImplementedError

    def _wait(self) -> None:
        """Block until the device has finished; NumPy has when it returns."""


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

    name = "numpy"
    title = "NumPy"
    formats: tuple[str, ...] = ("fp32",)

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or available_cores()
        self.description = f"NumPy {np.__version__} decoder, {blas_name()}"

    def kv(self, fmt: str) -> str:
        return "fp32"

    def _decoder(self, shape: Shape, fmt: str, longest: int, batch: int) -> NumpyDecoder:
        return NumpyDecoder(shape, longest, batch)

    def _pass(self, decoder: NumpyDecoder, request: Request) -> Pass:
        return _forward(decoder, request, np.ones((request.batch, request.tokens or 1), dtype=np.int64))


class TorchEngine(_Reference):
    """The same decoder in PyTorch on one device; on CUDA decode steps are replayed as graphs."""

    name = "torch"
    title = "PyTorch"

    def __init__(self, device: str = "cpu", threads: int | None = None) -> None:
        self.torch, self.device = need_torch(), device
        self.threads = threads or available_cores()
        if device == "cpu":
            self.torch.set_num_threads(self.threads)
        self.formats: tuple[str, ...] = ("fp32", "bf16") if device == "cpu" else ("bf16", "fp16")
        self.description = f"PyTorch {self.torch.__version__} decoder on {device}"
        self.notes: list[str] = []

    def kv(self, fmt: str) -> str:
        return fmt

    def _wait(self) -> None:
        kind = self.device.partition(":")[0]
        if kind != "cpu":
            getattr(self.torch, kind).synchronize()

    def _decoder(self, shape: Shape, fmt: str, longest: int, batch: int) -> Any:
        from .with_torch import TorchDecoder

        return TorchDecoder(shape, longest, batch, dtype=fmt, device=self.device)

    def _pass(self, decoder: Any, request: Request) -> Pass:
        tokens = self.torch.ones((request.batch, request.tokens or 1), dtype=self.torch.long, device=self.device)
        decoder.length = request.cached
        replay: Pass | None = decoder.graph(tokens) if request.kind == "decode" else None
        self.notes += [note for note in decoder.notes if note not in self.notes]
        return replay or _forward(decoder, request, tokens)


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
