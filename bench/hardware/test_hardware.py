"""pytest-benchmark suite of the probes and decoders: `pytest bench -m hardware`. Nothing asserts a speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokcalc.catalog import load_model
from tokcalc.measure.decoders import llamacpp
from tokcalc.measure.decoders.llamacpp import Request
from tokcalc.measure.decoders.shapes import shape_of
from tokcalc.measure.decoders.synthetic import write_synthetic
from tokcalc.measure.decoders.with_numpy import NumpyDecoder
from tokcalc.measure.kernels.backends import NumpyBackend, TorchBackend
from tokcalc.measure.load import idle_cores
from tokcalc.measure.machine import torch_or_none

pytestmark = pytest.mark.hardware
Benchmark = Callable[..., Any]
ARRAY = 16_777_216  # elements: 128 MiB of doubles, four times a 32 MiB cache
MODEL = "smollm2-135m"


def _backend(name: str) -> Any:
    if name == "numpy":
        return NumpyBackend()
    if torch_or_none() is None:
        pytest.skip("PyTorch is not installed")
    return TorchBackend()


@pytest.mark.parametrize("kernel", ["triad", "copy", "read (max)", "read (dot)"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_bandwidth(benchmark: Benchmark, library: str, kernel: str) -> None:
    run, moved = _backend(library).streams(ARRAY)[kernel]
    benchmark(run)
    benchmark.extra_info["gb_s"] = moved / benchmark.stats.stats.min / 1e9  # type: ignore[attr-defined]


@pytest.mark.parametrize("rows", [1, 16, 256, 1024])
@pytest.mark.parametrize(
    ("library", "dtype"), [("numpy", "fp32"), ("torch", "fp32"), ("torch", "bf16"), ("torch", "int8")]
)
def test_product(benchmark: Benchmark, library: str, dtype: str, rows: int) -> None:
    backend = _backend(library)
    x, w = backend.random(dtype, rows, 2048), backend.random(dtype, 2048, 2048)
    try:
        backend.product(dtype, x, w)
    except RuntimeError as error:
        pytest.skip(f"{dtype} is not multiplied here: {error}")
    benchmark(backend.product, dtype, x, w)
    benchmark.extra_info["gop_s"] = 2 * rows * 2048**2 / benchmark.stats.stats.median / 1e9  # type: ignore[attr-defined]


@pytest.mark.parametrize("context", [16, 512, 2048])
def test_numpy_decode(benchmark: Benchmark, context: int) -> None:
    decoder = NumpyDecoder(shape_of(load_model(MODEL)), context + 1)
    token = np.ones((1, 1), dtype=np.int64)

    def step() -> None:
        decoder.length = context
        decoder.forward(token)

    benchmark(step)


@pytest.mark.parametrize("context", [16, 512, 2048])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_torch_decode(benchmark: Benchmark, context: int, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    from tokcalc.measure.decoders.with_torch import TorchDecoder

    decoder = TorchDecoder(shape_of(load_model(MODEL)), context + 1, dtype=dtype)
    token = torch.ones((1, 1), dtype=torch.long)

    def step() -> None:
        decoder.length = context
        decoder.forward(token)

    benchmark.pedantic(step, rounds=15, warmup_rounds=2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("weights", ["fp16", "q8_0", "q4_0"])
def test_llama_cpp_decode(benchmark: Benchmark, tmp_path: Path, weights: str) -> None:
    if not llamacpp.available():
        pytest.skip("xllamacpp is not installed")
    pytest.importorskip("gguf")
    path = write_synthetic(tmp_path / "model.gguf", shape_of(load_model(MODEL)), weights)
    threads = idle_cores()[0]
    requests = [Request("decode", context=c) for c in (16, 512)]
    found = benchmark.pedantic(  # type: ignore[attr-defined]
        llamacpp.measure_file, (path, requests, threads), rounds=1, iterations=1
    )
    for request, summary in zip(requests, found, strict=True):
        benchmark.extra_info[f"tok_s at {request.context}"] = 1 / summary.median  # type: ignore[attr-defined]


def test_stream_side_by_side(benchmark: Benchmark) -> None:
    import importlib.util
    import shutil

    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    spec = importlib.util.spec_from_file_location("stream", Path(__file__).with_name("stream.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = benchmark.pedantic(module.compare, (1,), rounds=1, iterations=1)  # type: ignore[attr-defined]
    benchmark.extra_info.update(found)  # type: ignore[attr-defined]
