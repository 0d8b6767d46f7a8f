"""The order of visits, what several of them say together, and constants of attention by format of the cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.measure.decoders.llamacpp import Request
from tokcalc.measure.decoders.shapes import Shape, probe_shapes
from tokcalc.measure.kernels.statistics import summarise
from tokcalc.measure.predict import EngineConstants, Roofs, Run, fit_engine, seconds
from tokcalc.measure.probes import check_jobs, probe_jobs
from tokcalc.measure.results import Options
from tokcalc.measure.visits import State, in_order, remark, schedule, together

ROOFS = Roofs(80e9, {"fp32": 250e9, "bf16": 1e12})
PAIRS = {"fp32": (0.9, 0.02), "bf16": (0.4, 0.005)}
TWO_CACHES = EngineConstants(
    overhead_s=1e-6,
    sequence_s=1e-6,
    kernel={f: {"t0_s": 3e-6, "eta_m": 0.4, "eta_c": 0.7, "p": 1.4, "row_s": 2e-8} for f in PAIRS},
    attention_decode={f: {"t0_s": 3e-6, "eta_m": m, "eta_c": c, "p": 1.0} for f, (m, c) in PAIRS.items()},
    attention_prefill={f: {"t0_s": 3e-6, "eta_m": 1.0, "eta_c": c, "p": 1.0} for f, (_, c) in PAIRS.items()},
    elementwise={"t0_s": 3e-6, "eta_m": 0.3, "eta_c": 1.0, "p": 1.0},
)
SMALL = Shape("small", 3, 128, 4, 2, 32, 192, 300, tied=False)
LARGE = Shape("large", 3, 256, 4, 2, 64, 512, 300, tied=False)


class _Plain:
    """An engine that measures nothing: its name and formats make plans."""

    name, device, formats, threads, description = "torch", "cpu", ("fp32", "bf16"), 2, "a plan"
    split = 0

    def kv(self, fmt: str) -> str:
        return fmt

    def measure(self, shape: object, fmt: str, requests: object, on_answer: object = None) -> list[object]:
        return []


def _schedule(quick: bool, passes: int = 1) -> list[tuple[str, str, str, int]]:
    engine = _Plain()
    probes = probe_jobs(engine, engine.formats, quick)  # type: ignore[arg-type]
    checks = check_jobs(engine, [SMALL, LARGE], engine.formats, Options(quick))  # type: ignore[arg-type]
    order = schedule([(engine, probes)], [(engine, checks)], passes, again=not quick)  # type: ignore[list-item]
    return [(s.what, s.job.shape.name, s.job.weights, s.number) for s in order]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("passes", [1, 3])
def test_every_judged_run_stands_between_probes_of_its_format(quick: bool, passes: int) -> None:
    order = _schedule(quick, passes)
    for at, (what, _, fmt, _) in enumerate(order):
        if what == "check":
            assert any(w == "probe" and f == fmt for w, _, f, _ in order[:at])
            assert any(w == "probe" and f == fmt for w, _, f, _ in order[at + 1 :])


def test_probes_come_twice_and_checks_once_in_a_full_run() -> None:
    order = _schedule(quick=False)
    for fmt in ("fp32", "bf16"):
        for name in ("deep", "slim", "small", "cold"):
            assert [n for w, s, f, n in order if (w, s, f) == ("probe", f"probe-{name}", fmt)] == [1, 2]
        assert [s for w, s, f, _ in order if w == "check" and f == fmt] == ["small", "large"]


def test_second_visits_decode_only() -> None:
    engine = _Plain()
    probes = probe_jobs(engine, engine.formats, False)  # type: ignore[arg-type]
    order = schedule([(engine, probes)], [(engine, [])], 1, again=True)  # type: ignore[list-item]
    second = [s.job for s in order if s.number == 2]
    assert second
    assert all(r.kind == "decode" for job in second for r in job.requests)


@given(st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=7))
def test_several_visits_count_by_their_median(times: list[float]) -> None:
    from statistics import median

    summary, power = together([(summarise([t]), None) for t in times])
    assert summary.median == pytest.approx(median(times))
    assert summary.low <= summary.median <= summary.high
    assert power is None


def test_disturbed_visits_count_only_where_there_is_no_other() -> None:
    quiet, busy = summarise([1.0]), summarise([9.0], 1.0, disturbed=True)
    assert together([(busy, None), (quiet, 5.0)]) == (quiet, 5.0)
    assert together([(busy, None)])[0].median == 9.0


def test_judged_runs_are_listed_by_model_then_format() -> None:
    keys = [("torch", shape, fmt, Request("decode", context=c))
            for fmt in ("fp32", "bf16") for shape in (SMALL, LARGE) for c in (512, 16)]  # fmt: skip
    visits = {k: [(summarise([1.0]), None)] for k in keys}
    listed = [(k[1].name, k[2], k[3].context) for k, _ in sorted(visits.items(), key=in_order(visits))]
    assert listed[:4] == [("small", "fp32", 16), ("small", "fp32", 512), ("small", "bf16", 16), ("small", "bf16", 512)]
    assert [name for name, _, _ in listed] == ["small"] * 4 + ["large"] * 4


def test_a_machine_that_changed_is_said_and_a_steady_one_is_not() -> None:
    steady = [State(f"probe {i}", float(i), 70e9, 72e9) for i in range(10)]
    changed = steady + [State(f"check {i}", float(i), 45e9, 45e9) for i in range(10)]
    assert remark([]) == ""
    assert remark(steady) == ""
    assert "45 GB/s at checks" in remark(changed)
    assert "10 of 20 visits" in remark(changed)


# ------------------------------------------------------------------ attention by format of the cache
def test_attention_over_a_slower_cache_is_found_by_its_format() -> None:
    engine = _Plain()
    runs = []
    for job in probe_jobs(engine, engine.formats, quick=False):  # type: ignore[arg-type]
        for request in job.requests:
            run = Run(job.shape, job.weights, job.weights, request)
            runs.append(Run(job.shape, job.weights, job.weights, request, seconds(run, ROOFS, TWO_CACHES)))
    found = fit_engine(runs, ROOFS)
    assert set(found.attention_decode) == {"fp32", "bf16"}
    other = Shape("tinyllama-like", 22, 2048, 32, 4, 64, 5632, 32000, tied=False)
    for fmt in PAIRS:
        run = Run(other, fmt, fmt, Request("decode", context=2048))
        assert seconds(run, ROOFS, found) == pytest.approx(seconds(run, ROOFS, TWO_CACHES), rel=0.05)


def test_a_cache_format_that_was_not_probed_takes_the_nearest_in_bits() -> None:
    assert TWO_CACHES.of("attention_decode", "fp16") == TWO_CACHES.attention_decode["bf16"]
    assert TWO_CACHES.of("attention_decode", "fp32") == TWO_CACHES.attention_decode["fp32"]
    assert TWO_CACHES.of("elementwise", "any") == TWO_CACHES.elementwise


@pytest.mark.parametrize("fmt", ["fp32", "bf16"])
def test_the_written_spec_reads_each_cache_as_its_engine_does(
    fmt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokcalc.catalog import load_chip
    from tokcalc.engines.constants import format_chain, load_constants
    from tokcalc.measure.localspec import write_spec

    from .test_measure import KNOWN, _found

    monkeypatch.setenv("TOKCALC_SPECS", str(tmp_path))
    monkeypatch.setenv("TOKCALC_CACHE", str(tmp_path / "cache"))
    found = _found()
    found.engines["torch"], found.engine_names["torch"] = TWO_CACHES, "PyTorch"
    write_spec(found, "local")
    chip = load_chip("local")

    def table(kv: str) -> object:
        return load_constants().find("attention_decode", chip, format_chain(kv, "bf16"))[0]

    assert dict(table(fmt)) == pytest.approx(TWO_CACHES.attention_decode[fmt])  # type: ignore[call-overload]
    for kv in ("fp16", "q8_0", "q4_0"):  # llama.cpp's caches, its own kernel
        assert dict(table(kv)) == pytest.approx(KNOWN.attention_decode["fp16"])  # type: ignore[call-overload]


def test_floors_of_python_engines_come_from_a_decoder_whose_weights_pass_through_the_caches() -> None:
    engine = _Plain()
    jobs = probe_jobs(engine, engine.formats, False)  # type: ignore[arg-type]
    shapes = probe_shapes(False)
    assert {j.shape for j in jobs} == set(shapes.values()) - {shapes["tiny"], shapes["tall"]}
    assert 4.0 * shapes["thin"].weights > 3 * (32 << 20)
