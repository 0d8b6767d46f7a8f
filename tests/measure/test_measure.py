"""Statistics, fits, decoders, synthetic files and the local spec: facts of any machine; nothing is timed."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.errors import NoAnswer, UsageError
from tokcalc.measure.compare import compare_constants, sentence
from tokcalc.measure.decoders import llamacpp, synthetic
from tokcalc.measure.decoders.llamacpp import Request
from tokcalc.measure.decoders.shapes import Shape, probe_shapes, shape_of
from tokcalc.measure.decoders.with_numpy import NumpyDecoder, rms_norm, rotary, rotate
from tokcalc.measure.fit import KernelPoint, fit_collective, fit_kernel
from tokcalc.measure.kernels.bandwidth import Stream, array_bytes_for, best
from tokcalc.measure.kernels.statistics import collect, median_interval, outlier_mask, remarks, summarise
from tokcalc.measure.localspec import check_name, constants_of, write_spec
from tokcalc.measure.machine import Cache, Machine
from tokcalc.measure.predict import EngineConstants, Roofs, Run, attended, breakdown, fit_engine, seconds
from tokcalc.measure.probes import check_jobs, probe_jobs
from tokcalc.measure.progress import Progress, clock
from tokcalc.measure.results import Found, Judged, Options
from tokcalc.physics.roofline import collective_time, kernel_time
from tokcalc.physics.step import whole_blocks

SMALL = Shape("small", 3, 128, 4, 2, 32, 192, 300, tied=False)
SAMPLES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60)


# ------------------------------------------------------------------ statistics
@given(SAMPLES)
def test_median_lies_in_its_interval_and_the_interval_in_the_samples(samples: list[float]) -> None:
    middle, low, high = median_interval(samples)
    assert min(samples) <= low <= high <= max(samples)
    assert low <= middle * (1 + 1e-12)
    assert middle <= high * (1 + 1e-12)


def test_median_interval_covers_the_median_of_the_population() -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(400):
        _, low, high = median_interval(rng.exponential(1.0, 41))
        inside += low <= math.log(2) <= high
    assert inside / 400 > 0.92


def test_one_far_sample_is_an_outlier_and_equal_samples_are_none() -> None:
    assert outlier_mask([1.0, 1.01, 0.99, 1.02, 0.98, 50.0]).tolist() == [False] * 5 + [True]
    assert not outlier_mask([2.0] * 5).any()


def test_a_slow_first_run_and_a_slowing_machine_are_noticed() -> None:
    assert summarise([9.0, 1.0, 1.01, 0.99, 1.0, 1.02]).slow_first
    slowing = summarise([1.0, 1.01, 1.0, 1.2, 1.3, 1.31])
    assert slowing.drift > 0.25
    assert "throttling" in " ".join(remarks([slowing] * 4))


def test_samples_are_taken_until_the_median_is_tight() -> None:
    calls = []

    def sample() -> float:
        calls.append(1)
        time.sleep(0.002)
        return 0.01

    found = collect(sample, warmup=2, least=5, budget_s=0.5)
    assert found.median == 0.01
    assert found.n >= 5
    assert len(calls) >= found.n + 2


# ------------------------------------------------------------------ fits
@settings(max_examples=25, deadline=None)
@given(
    t0=st.floats(1e-6, 2e-5), eta_m=st.floats(0.4, 0.95), eta_c=st.floats(0.3, 0.95), p=st.floats(1.2, 4.0)
)  # fmt: skip
def test_kernel_fit_recovers_known_constants(t0: float, eta_m: float, eta_c: float, p: float) -> None:
    peak, bandwidth = 100e12, 2e12
    points = []
    for side in (512, 2048, 8192):
        for m in (1, 4, 16, 64, 256, 1024, 4096):
            q, f = 2.0 * (side * side + 2 * m * side), 2.0 * m * side * side
            t = kernel_time(f, q, peak_ops_s=peak, bandwidth_bytes_s=bandwidth, t0_s=t0, eta_m=eta_m, eta_c=eta_c, p=p)
            points.append(KernelPoint(m, side, side, q, f, float(t)))
    fit = fit_kernel(points, peak, bandwidth)
    assert fit.worst_error < 0.01
    assert fit.eta_m == pytest.approx(eta_m, rel=0.02)
    assert fit.eta_c == pytest.approx(eta_c, rel=0.02)
    assert fit.t0_s == pytest.approx(t0, rel=0.05)


def test_all_reduce_fit_recovers_the_curve_of_eight_h100() -> None:
    volumes = [2.0**i for i in range(10, 30, 2)]
    times = [float(collective_time(v, alpha_s=4.6e-6, bandwidth_bytes_s=474e9, q=0.54)) for v in volumes]
    fit = fit_collective(volumes, times)
    assert fit["alpha_s"] == pytest.approx(4.6e-6, rel=0.02)
    assert fit["bandwidth_bytes_s"] == pytest.approx(474e9, rel=0.02)


ROOFS = Roofs(80e9, {"fp32": 250e9})
KNOWN = EngineConstants(
    overhead_s=4e-5,
    sequence_s=2e-5,
    kernel={
        "q8_0": {"t0_s": 3e-6, "eta_m": 0.6, "eta_c": 1.0, "p": 1.6, "row_s": 6e-9},
        "fp16": {"t0_s": 3e-6, "eta_m": 0.8, "eta_c": 0.5, "p": 1.6},
    },
    attention_decode={"fp16": {"t0_s": 3e-6, "eta_m": 0.7, "eta_c": 0.07, "p": 1.0}},
    attention_prefill={"fp16": {"t0_s": 3e-6, "eta_m": 1.0, "eta_c": 0.2, "p": 1.0}},
    elementwise={"t0_s": 3e-6, "eta_m": 0.3, "eta_c": 1.0, "p": 1.0},
)


class _Plain:
    """An engine that measures nothing: its name and formats make plans."""

    name, device, formats, threads, description = "llama.cpp", "cpu", ("fp16", "q8_0"), 2, "a plan"
    split = 2

    def kv(self, fmt: str) -> str:
        return "fp16"

    def measure(self, shape: object, fmt: str, requests: object, on_answer: object = None) -> list[object]:
        return []


def test_engine_constants_found_from_probes_predict_other_decoders() -> None:
    runs = []
    for job in probe_jobs(_Plain(), ("fp16", "q8_0"), quick=False):  # type: ignore[arg-type]
        for request in job.requests:
            run = Run(job.shape, job.weights, "fp16", request)
            runs.append(Run(job.shape, job.weights, "fp16", request, seconds(run, ROOFS, KNOWN)))
    found = fit_engine(runs, ROOFS)
    assert found.median_error < 0.02
    other = Shape("tinyllama-like", 22, 2048, 32, 4, 64, 5632, 32000, tied=False)
    for fmt in ("fp16", "q8_0"):
        for request in (Request("decode", context=512), Request("prefill", tokens=512)):
            run = Run(other, fmt, "fp16", request)
            assert seconds(run, ROOFS, found) == pytest.approx(seconds(run, ROOFS, KNOWN), rel=0.05)


def test_prediction_is_the_sum_of_its_parts_and_grows_with_context() -> None:
    shape = probe_shapes(True)["deep"]
    short = breakdown(Run(shape, "q8_0", "fp16", Request("decode", context=16)), ROOFS, KNOWN)
    long = breakdown(Run(shape, "q8_0", "fp16", Request("decode", context=4096)), ROOFS, KNOWN)
    assert short["total"] == pytest.approx(sum(v for k, v in short.items() if k != "total"))
    assert long["attention_decode"] > short["attention_decode"]
    assert long["gemm"] == pytest.approx(short["gemm"])


def test_probes_find_the_time_of_a_row_of_weights() -> None:
    runs = []
    for job in probe_jobs(_Plain(), ("q8_0",), quick=True):  # type: ignore[arg-type]
        for request in job.requests:
            bare = Run(job.shape, job.weights, "fp16", request)
            runs.append(Run(job.shape, job.weights, "fp16", request, seconds(bare, ROOFS, KNOWN)))
    found = fit_engine(runs, ROOFS)
    assert found.kernel["q8_0"]["row_s"] == pytest.approx(6e-9, rel=0.25)


def test_short_rows_of_the_same_bytes_take_longer() -> None:
    step = Request("decode", context=16)
    long = Shape("long", 4, 1024, 16, 4, 64, 4096, 512)
    short = Shape("short", 16, 512, 8, 2, 64, 2048, 512)
    times = {s.name: breakdown(Run(s, "q8_0", "fp16", step), ROOFS, KNOWN)["gemm"] for s in (long, short)}
    assert abs(long.weights / short.weights - 1) < 0.03
    assert times["short"] > 1.1 * times["long"]


@pytest.mark.parametrize(
    ("tokens", "most", "threads", "expected"),
    [(28, 40, 2, 28), (212, 224, 2, 212), (268, 280, 2, 512), (412, 424, 2, 512), (524, 536, 2, 768),
     (2060, 2072, 2, 2304), (500, 512, 1, 500), (2060, 2072, 8, 2304)],
)  # fmt: skip
def test_a_cache_shared_by_cells_takes_the_time_of_the_fullest_share(
    tokens: float, most: float, threads: int, expected: float
) -> None:
    assert attended(tokens, most, threads) == expected


@pytest.mark.parametrize(("context", "cells"), [(100, 100), (256, 256), (300, 512), (524, 768), (2060, 2304)])
def test_a_spec_with_blocks_of_cache_takes_the_time_of_whole_blocks(context: float, cells: float) -> None:
    assert float(whole_blocks(context, 256.0)) == pytest.approx(cells / context)


def test_engines_that_share_evenly_attend_to_what_is_cached() -> None:
    request = Request("decode", context=300)
    assert Run(SMALL, "fp32", "fp32", request).attended == 300
    assert Run(SMALL, "q8_0", "fp16", request, threads=2).attended > 300
    assert Run(SMALL, "q8_0", "fp16", Request("decode", context=300, batch=4), threads=2).attended == 300


def test_no_probe_has_the_shape_of_a_shipped_model() -> None:
    from tokcalc.catalog import list_ids, load_model

    shipped = set()
    for name in list_ids("models"):
        model = load_model(name)
        shipped |= {(model.hidden, g.ffn.width, model.layers) for g in model.groups}
    for quick in (True, False):
        for shape in probe_shapes(quick).values():
            assert (shape.hidden, shape.width, shape.layers) not in shipped


def test_the_check_decodes_every_format_context_and_batch() -> None:
    asked = Options(contexts=(16, 512), prompts=(128,), batches=(1, 4))
    jobs = check_jobs(_Plain(), [SMALL], ("fp16", "q8_0"), asked)  # type: ignore[arg-type]
    assert [j.weights for j in jobs] == ["fp16", "q8_0"]
    assert len(jobs[0].requests) == 1 + 2 * 2


# ------------------------------------------------------------------ decoders
def _tokens() -> np.ndarray:
    return np.random.default_rng(1).integers(0, SMALL.vocab, (2, 40))


def test_prompt_plus_decode_equals_one_full_pass() -> None:
    tokens = _tokens()
    whole = NumpyDecoder(SMALL, 64, batch=2).forward(tokens)
    stepped = NumpyDecoder(SMALL, 64, batch=2)
    stepped.forward(tokens[:, :25])
    stepped.forward(tokens[:, 25:33])
    for i in range(33, 40):
        last = stepped.forward(tokens[:, i : i + 1])
    np.testing.assert_allclose(last, whole, atol=1e-4)


def test_a_prompt_in_chunks_gives_what_one_pass_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = _tokens()
    whole = NumpyDecoder(SMALL, 64, batch=2).forward(tokens)
    monkeypatch.setattr("tokcalc.measure.decoders.with_numpy.CHUNK", 16)
    np.testing.assert_allclose(NumpyDecoder(SMALL, 64, batch=2).forward(tokens), whole, atol=1e-4)


def test_sequences_of_a_batch_do_not_see_each_other() -> None:
    tokens = _tokens()
    together = NumpyDecoder(SMALL, 64, batch=2).forward(tokens)
    alone = NumpyDecoder(SMALL, 64, batch=1).forward(tokens[1:])
    np.testing.assert_allclose(together[1:], alone, atol=1e-4)


def test_rotation_keeps_lengths_and_depends_on_distance_only() -> None:
    rng = np.random.default_rng(3)
    q, k = (rng.standard_normal((1, 1, 1, 32)).astype(np.float32) for _ in range(2))

    def product(a: int, b: int) -> float:
        turned_q = rotate(q, *rotary(np.array([a]), 32))
        turned_k = rotate(k, *rotary(np.array([b]), 32))
        return float((turned_q * turned_k).sum())

    assert product(5, 2) == pytest.approx(product(105, 102), abs=1e-3)
    turned = rotate(q, *rotary(np.array([9]), 32))
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(q), rel=1e-5)


def test_rms_norm_gives_unit_mean_square() -> None:
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32) * 7
    np.testing.assert_allclose((rms_norm(x) ** 2).mean(-1), 1.0, rtol=1e-3)


def test_pytorch_decoder_agrees_with_numpy() -> None:
    torch = pytest.importorskip("torch")
    from tokcalc.measure.decoders.with_torch import TorchDecoder

    tokens = _tokens()
    expected = NumpyDecoder(SMALL, 64, batch=2).forward(tokens)
    decoder = TorchDecoder(SMALL, 64, batch=2)
    decoder.forward(torch.from_numpy(tokens[:, :30]))
    decoder.forward(torch.from_numpy(tokens[:, 30:39]))
    last = decoder.forward(torch.from_numpy(tokens[:, 39:]))
    np.testing.assert_allclose(last.numpy(), expected, atol=1e-3)


# ------------------------------------------------------------------ shapes and files
def test_shapes_of_the_judged_models_have_their_published_sizes() -> None:
    from tokcalc.catalog import load_model

    for name, millions in (("smollm2-135m", 134.5), ("smollm2-360m", 361.8), ("tinyllama-1.1b", 1100.0)):
        shape = shape_of(load_model(name))
        assert shape.weights / 1e6 == pytest.approx(millions, rel=0.002)
        assert shape.model().params_total == pytest.approx(shape.weights, rel=0.001)


def test_latent_attention_has_no_synthetic_form_and_says_so() -> None:
    from tokcalc.catalog import load_model

    with pytest.raises(UsageError, match="--gguf"):
        shape_of(load_model("deepseek-v3"))


@pytest.mark.parametrize("fmt", sorted(synthetic.BLOCKS))
def test_synthetic_file_has_the_tensors_and_the_size_of_its_shape(tmp_path: Path, fmt: str) -> None:
    gguf = pytest.importorskip("gguf")
    shape = Shape("tiny", 2, 64, 2, 1, 32, 96, 400)
    path = synthetic.write_synthetic(tmp_path / "x.gguf", shape, fmt)
    reader = gguf.GGUFReader(path)
    assert sum(math.prod(t.shape) for t in reader.tensors if len(t.shape) > 1) == shape.weights
    assert sum(t.n_bytes for t in reader.tensors if len(t.shape) > 1) == synthetic.file_bytes(shape, fmt)
    assert [p.name for p in tmp_path.iterdir()] == ["x.gguf"]


def test_q4_values_have_the_spread_of_real_weights(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    quants = pytest.importorskip("gguf.quants")
    path = synthetic.write_synthetic(tmp_path / "x.gguf", Shape("tiny", 1, 64, 2, 1, 32, 96, 400), "q4_0")
    tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == "token_embd.weight")
    assert np.std(quants.dequantize(tensor.data, tensor.tensor_type)) == pytest.approx(0.02, rel=0.1)


def test_a_synthetic_file_that_does_not_fit_the_disk_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    huge = Shape("huge", 1 << 20, 1 << 14, 128, 8, 128, 1 << 16, 1 << 17)
    with pytest.raises(NoAnswer, match="no space"):
        synthetic.write_synthetic(tmp_path / "x.gguf", huge, "fp16")
    assert not list(tmp_path.iterdir())


def test_rows_that_are_no_multiple_of_a_block_name_the_way_out() -> None:
    with pytest.raises(UsageError, match="fp16"):
        synthetic.file_bytes(Shape("odd", 1, 100, 2, 1, 50, 100, 100), "q4_0")


def test_files_that_are_no_models_are_refused_in_one_sentence(tmp_path: Path) -> None:
    text = tmp_path / "note.gguf"
    text.write_text("hello")
    with pytest.raises(UsageError, match="not a GGUF"):
        llamacpp.check_file(text)
    with pytest.raises(UsageError, match="cannot be read"):
        llamacpp.check_file(tmp_path / "none.gguf")


def test_llama_cpp_decodes_a_synthetic_model_and_refuses_half_of_it(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gguf")
    path = synthetic.write_synthetic(tmp_path / "x.gguf", Shape("tiny", 2, 64, 2, 1, 32, 96, 400), "q8_0")
    requests = [Request("prefill", tokens=32, least=1, most=1), Request("decode", context=16, batch=2, most=2)]
    found = llamacpp.measure_file(path, requests, threads=1)
    assert [f.n > 0 for f in found] == [True, True]
    assert all(f.median > 0 for f in found)
    half = tmp_path / "half.gguf"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UsageError, match="truncated"):
        llamacpp.measure_file(half, requests, threads=1)


# ------------------------------------------------------------------ the local spec
MACHINE = Machine(
    "Example CPU", "AMD", 2, 2.6e9, ("avx2",), (Cache(1, 48 << 10), Cache(3, 32 << 20)), 24 << 30,
    "Linux 6 x86_64, Python 3.12", "openblas", (),
)  # fmt: skip


def _found() -> Found:
    def stream(kernel: str, rate: float) -> Stream:
        return Stream(kernel, 2, 128e6, 128e6, summarise([128e6 / rate]))

    found = Found(MACHINE, Options(quick=True))
    found.streams = [
        stream("read (max)", 80e9),
        stream("read (dot)", 90e9),
        stream("triad", 70e9),
        stream("copy", 75e9),
    ]
    found.caches = [stream("read L1", 400e9), stream("read L3", 100e9)]
    found.peaks = {"fp32": 250e9, "bf16": 1e12}
    found.peak_library = {"fp32": "NumPy", "bf16": "PyTorch"}
    found.engines = {"llama.cpp": KNOWN}
    found.engine_names = {"llama.cpp": 'llama.cpp "quoted", 2 threads'}
    request = Request("decode", context=16)
    run = Run(SMALL, "q8_0", "fp16", request, 1e-3)
    found.judged = [Judged(run, "llama.cpp", summarise([1e-3, 1.1e-3, 0.9e-3]), 1.05e-3)]
    return found


def test_local_spec_is_read_back_as_a_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokcalc.catalog import load_chip

    monkeypatch.setenv("TOKCALC_SPECS", str(tmp_path))
    monkeypatch.setenv("TOKCALC_CACHE", str(tmp_path / "cache"))
    spec, samples = write_spec(_found(), "local")
    chip = load_chip("local")
    assert chip.bandwidth_bytes_s == pytest.approx(90e9, rel=1e-4)
    assert chip.peak_ops_s["bf16"] == pytest.approx(1e12, rel=1e-4)
    assert chip.memory_bytes == pytest.approx(24 << 30, rel=1e-4)
    assert chip.efficiency["kernel"]["q8_0"]["eta_m"] == pytest.approx(0.6)
    assert chip.efficiency["step"]["overhead_s"] == pytest.approx(4e-5)
    assert spec.parent == samples.parent == tmp_path / "chips"
    assert chip.efficiency["kernel"]["q8_0"]["row_s"] == pytest.approx(6e-9)
    raw = json.loads(samples.read_text())
    assert raw["checks"][0]["seconds"]["samples"] == [1e-3, 1.1e-3, 0.9e-3]
    assert not [p for p in spec.parent.iterdir() if p.name.endswith(".tmp")]


def test_the_written_spec_decodes_as_fast_as_the_bench_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokcalc.catalog import load_chip
    from tokcalc.engines.constants import load_constants
    from tokcalc.physics.operators import component_formats, decode_pass, operators
    from tokcalc.physics.parallel import Plan
    from tokcalc.physics.step import step_time

    monkeypatch.setenv("TOKCALC_SPECS", str(tmp_path))
    monkeypatch.setenv("TOKCALC_CACHE", str(tmp_path / "cache"))
    found = _found()
    write_spec(found, "local")
    model = SMALL.model()
    work = operators(model, Plan(), decode_pass(1.0, 100.0), component_formats(model, "q8_0", "fp16"))
    step = step_time(work, load_chip("local"), load_constants())
    bench = breakdown(Run(SMALL, "q8_0", "fp16", Request("decode", context=100)), found.roofs, KNOWN)
    assert float(step.seconds) == pytest.approx(bench["total"] - bench["overhead"], rel=1e-3)


def test_a_polite_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    import os
    import signal
    import tempfile

    from tokcalc.cli.commands.bench import _tidy_end

    before = signal.getsignal(signal.SIGTERM)

    def run() -> None:
        with _tidy_end(), tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            (Path(folder) / "half.gguf").write_bytes(b"GGUF")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 143
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_spec_name_is_checked_before_anything_is_measured() -> None:
    assert check_name("my-laptop") == "my-laptop"
    for bad in ("", "Local", "../x", "a b"):
        with pytest.raises(UsageError, match="--name"):
            check_name(bad)
    with pytest.raises(UsageError, match="catalogue"):
        check_name("h100-sxm")


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TOKCALC_SPECS", str(blocked))
    with pytest.raises(UsageError, match="TOKCALC_SPECS"):
        write_spec(_found(), "local")


def test_two_runs_are_compared_constant_by_constant() -> None:
    old = constants_of(_found())
    changes = compare_constants(old, {**old, "bandwidth_bytes_s": 60e9})
    off = [c.name for c in changes if not c.agrees]
    assert off == ["bandwidth_bytes_s"]
    assert "-33%" in sentence(changes, "2026-01-01")
    assert all(c.agrees for c in compare_constants(old, {k: v * 1.049 for k, v in old.items()}))


# ------------------------------------------------------------------ small things
def test_arrays_are_four_caches_and_never_most_of_the_memory() -> None:
    assert array_bytes_for(32 << 20, 64 << 30) == 128 << 20
    assert array_bytes_for(1 << 30, 8 << 30) <= (8 << 30) / 10 + 1


def test_best_read_is_the_faster_of_its_two_forms() -> None:
    assert best(_found().streams, "read").kernel == "read (dot)"


def test_progress_counts_down_and_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress([("a", 10.0), ("b", 30.0)])
    assert progress.left() == pytest.approx(40.0)
    progress.start("b")
    assert progress.left() < 40.0
    progress.close()
    assert capsys.readouterr().err == ""
    assert [clock(s) for s in (9.6, 130.0)] == ["10 s", "2 min 10 s"]


def test_energy_counter_wraps_and_is_read_without_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokcalc.measure.kernels import energy

    package = tmp_path / "intel-rapl:0"
    (tmp_path / "intel-rapl:0:0").mkdir()
    package.mkdir()
    (package / "name").write_text("package-0\n")
    (package / "max_energy_range_uj").write_text("1000000000")
    (package / "energy_uj").write_text("999000000")
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    meter = energy.Meter()
    assert meter.source == "RAPL"
    meter.start()
    (package / "energy_uj").write_text("4000000")
    assert meter.joules() == pytest.approx(5.0)
    watts = meter.watts()
    assert watts is not None
    assert watts > 0


def test_without_a_counter_there_is_no_energy_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokcalc.measure.kernels import energy

    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    meter = energy.Meter()
    meter.start()
    assert meter.joules() is None
    assert meter.watts() is None


def test_all_reduce_runs_on_processor_cores_too() -> None:
    pytest.importorskip("torch")
    from tokcalc.measure.kernels.collective import all_reduce_curve

    found = all_reduce_curve(2, backend="gloo", sizes=(1024, 65536, 1 << 20))
    assert len(found["seconds"]) == 3
    assert min(found["seconds"]) > 0
    assert found["fit"]["alpha_s"] > 0


def test_without_scipy_nothing_is_measured_and_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from tokcalc.measure.session import measure

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install tokcalc\[measure\]"):
        measure(Options(quick=True), [SMALL])
