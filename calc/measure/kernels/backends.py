"""The libraries that run kernels on this machine, behind one small interface: NumPy always, PyTorch on any device.

Before it stands `machine`; behind it `bandwidth` and `matmul`, which do not know which library or device they drive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from ..load import available_cores
from ..machine import blas_name, synchronise, torch_or_none

Matrix = Any  # of NumPy or PyTorch, opaque to the probes
Streams = dict[str, tuple[Callable[[], Any], float]]
ITEM_BYTES = {"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2, "int8": 1, "fp8": 1}


class Backend(ABC):
    """What a probe asks of a library. Arrays are opaque to the probes."""

    name: str
    device: str = "cpu"
    threads: int
    description: str

    @abstractmethod
    def dtypes(self) -> tuple[str, ...]:
        """Data types whose matrix product can be tried."""

    @abstractmethod
    def random(self, dtype: str, rows: int, columns: int) -> Matrix:
        """A matrix of that type with small random values."""

    @abstractmethod
    def product(self, dtype: str, x: Matrix, w: Matrix) -> Matrix:
        """x (m, k) times the transpose of w (n, k): a linear layer."""

    @abstractmethod
    def streams(self, elements: int) -> Streams:
        """Memory kernels over arrays of that many elements: name -> (run, bytes moved as STREAM counts them)."""

    def wait(self) -> None:
        """Block until queued work is done; processors are when a call returns."""
        if self.device != "cpu":
            synchronise(self.device)


def _filled(rows: int, columns: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random values by repeating a tile: speed does not depend on them, drawing gigabytes takes minutes."""
    tile = np.random.default_rng(0).standard_normal(min(rows * columns, 1 << 20), dtype=np.float32) * 0.02
    return np.resize(tile, (rows, columns))


class NumpyBackend(Backend):
    """NumPy and the BLAS it was built with; memory kernels on `threads` threads of our own."""

    name = "numpy"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or available_cores()
        self.description = f"NumPy {np.__version__} with {blas_name()}"
        self._pool = ThreadPoolExecutor(self.threads)

    def dtypes(self) -> tuple[str, ...]:
        return ("fp32",)

    def random(self, dtype: str, rows: int, columns: int) -> Matrix:
        return _filled(rows, columns)

    def product(self, dtype: str, x: Matrix, w: Matrix) -> Matrix:
        return x @ w.T

    def streams(self, elements: int) -> Streams:
        a, b, c = np.zeros(elements), np.ones(elements), np.ones(elements)
        cuts = np.linspace(0, elements, self.threads + 1).astype(int)
        parts = [slice(int(i), int(j)) for i, j in pairwise(cuts)]

        def spread(one: Callable[[slice], Any]) -> Callable[[], Any]:
            return lambda: list(self._pool.map(one, parts))

        # NumPy has no fused multiply-add: its add moves the three streams of STREAM's triad
        return {
            "triad": (spread(lambda s: np.add(b[s], c[s], out=a[s])), 24.0 * elements),
            "copy": (spread(lambda s: np.copyto(a[s], b[s])), 16.0 * elements),
            "read (max)": (spread(lambda s: b[s].max()), 8.0 * elements),
            "read (dot)": (lambda: np.dot(b, b), 8.0 * elements),
        }


class TorchBackend(Backend):
    """PyTorch on one device: "cpu", "cuda:0" (also ROCm), "mps", "xpu:0"."""

    name = "torch"

    def __init__(self, device: str = "cpu", threads: int | None = None) -> None:
        self.torch = torch_or_none()
        self.device = device
        self.threads = threads or available_cores()
        if device == "cpu":
            self.torch.set_num_threads(self.threads)
        else:
            self.torch.set_float32_matmul_precision("highest")
        self._kind = device.partition(":")[0]
        self.description = f"PyTorch {self.torch.__version__} on {device}"

    def _type(self, dtype: str) -> Any:
        names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8", "fp8": "float8_e4m3fn"}
        return getattr(self.torch, names[dtype])

    def dtypes(self) -> tuple[str, ...]:
        wide = ("fp32", "bf16", "fp16")
        return wide if self._kind == "mps" else (*wide, "int8", "fp8") if self._kind == "cuda" else (*wide, "int8")

    def random(self, dtype: str, rows: int, columns: int) -> Matrix:
        values = self.torch.from_numpy(_filled(rows, columns))
        if dtype == "int8":
            return (values * 1000).clamp(-127, 127).to(self.torch.int8).to(self.device)
        return values.to(self.device).to(self._type(dtype))

    def product(self, dtype: str, x: Matrix, w: Matrix) -> Matrix:
        torch = self.torch
        if dtype == "int8":
            return torch._int_mm(x, w.t())
        if dtype == "fp8":
            one = torch.ones((), device=self.device)
            return torch._scaled_mm(x, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
        return torch.nn.functional.linear(x, w)

    def streams(self, elements: int) -> Streams:
        torch = self.torch
        kind, size = (torch.float64, 8.0) if self._kind == "cpu" else (torch.float32, 4.0)
        a, b, c = (torch.ones(elements, dtype=kind, device=self.device) for _ in range(3))
        return {
            "triad": (lambda: torch.add(b, c, alpha=3.0, out=a), 3 * size * elements),
            "copy": (lambda: a.copy_(b), 2 * size * elements),
            "read (max)": (lambda: b.max(), size * elements),
            "read (dot)": (lambda: torch.dot(b, b), size * elements),
        }
