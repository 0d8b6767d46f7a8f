"""Sensitivity: what an input is worth, in which direction; `tokcalc sensitivity` whole."""

from __future__ import annotations

import json

import pytest
from tokcalc import estimate
from tokcalc.catalog import load_chip
from tokcalc.cli.shell import run
from tokcalc.engines.constants import load_constants
from tokcalc.explore.sensitivity import faster, host_scaled


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["sensitivity", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


ONE = ("--chip", "h100", "--model", "llama-70b", "--on", "2026-10-15")


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict]:
    code, out, err = ask(capsys, *words, "--json")
    assert code == 0, err
    found = json.loads(out)
    return {row["input"]: row | {"base": found["base"]} for row in found["inputs"]}


@pytest.mark.parametrize("model", ["minimax-m2", "llama-70b"])
def test_kernels_range_over_the_answers_band(capsys: pytest.CaptureFixture[str], model: str) -> None:
    found = rows(capsys, "--chip", "b200", "--model", model)["kernels' share of the peaks"]
    said = estimate("b200", model).to_dict()["speed"]["tpot_s"]
    assert found["high"] == pytest.approx(said["high"] / said["value"])


def test_ten_inputs_the_largest_first(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, *ONE, "--own")
    swings = [row["swing"] for row in found.values()]
    assert len(found) == 10
    assert swings == sorted(swings, reverse=True)
    assert all(row["why"] for row in found.values())


@pytest.mark.parametrize(
    ("name", "dearer_when_high"),
    [("purchase of a chip with its host", True), ("life", False), ("cost of capital", True),
     ("electricity", True),
     ("PUE", True), ("space", True), ("value left at the end", False)],
)  # fmt: skip
def test_the_owners_inputs_move_the_cost_the_right_way(
    capsys: pytest.CaptureFixture[str], name: str, dearer_when_high: bool
) -> None:
    row = rows(capsys, *ONE, "--own", "--top", "30")[name]
    assert row["low"] < row["high"]
    assert (row["at_high"] > row["at_low"]) == dearer_when_high


def test_rent_moves_the_cost_in_proportion(capsys: pytest.CaptureFixture[str]) -> None:
    row = rows(capsys, *ONE)["rent of a chip"]
    assert row["at_high"] / row["at_low"] == pytest.approx(row["high"] / row["low"])
    assert row["at_low"] / row["base"] == pytest.approx(row["low"] / row["now"])


def test_utilisation_divides_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    row = rows(capsys, *ONE, "--rent", "2 USD/h")["utilisation"]
    assert row["at_low"] == pytest.approx(row["base"] / row["low"])


def test_faster_memory_never_slows_a_user(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, *ONE, "--of", "speed", "--top", "30")
    for name in ("memory bandwidth", "kernels' share of the peaks", "link between chips"):
        assert found[name]["at_low"] <= found[name]["base"] <= found[name]["at_high"]
    for name in ("requests in flight", "host work of the engine", "input length"):
        assert found[name]["at_low"] >= found[name]["base"] >= found[name]["at_high"]
    assert "rent of a chip" not in found


def test_a_wafer_lives_by_the_latency_of_its_layers(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "--chip", "cerebras", "--model", "llama-70b", "--of", "speed", "--concurrency", "1")
    assert next(iter(found)) == "latency of a layer"
    assert found["latency of a layer"]["at_low"] > found["latency of a layer"]["at_high"]


def test_scaling_a_chip_keeps_its_capacity() -> None:
    chip = load_chip("h100")
    fast = faster(chip, memory=2.0, compute=3.0)
    assert fast.bandwidth_bytes_s == 2 * chip.bandwidth_bytes_s
    assert fast.peak_ops_s["bf16"] == 3 * chip.peak_ops_s["bf16"]
    assert fast.memory_bytes == chip.memory_bytes


def test_table_bars_export_and_plot(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    pytest.importorskip("vl_convert")
    table, plot = tmp_path / "t.csv", tmp_path / "t.svg"
    code, out, _ = ask(capsys, *ONE, "--export", str(table), "--plot", str(plot))
    assert code == 0
    assert "where the ends come from" in out
    assert "<<" in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(table.read_text(encoding="utf-8").splitlines()) == 11
    assert "rent of a chip" in plot.read_text(encoding="utf-8")


def test_host_work_of_a_stack_matters_as_that_of_an_engine_does() -> None:
    # RNGD's step is a floor and a floor a layer; twice the host work adds exactly those again
    ask_ = {"chip": "rngd", "model": "llama-8b"}
    once = estimate(**ask_).to_dict()
    twice = estimate(**ask_, constants=host_scaled(load_constants(), 2.0)).to_dict()
    stack = load_constants().tables["stack"]["rngd"]
    more = (stack["step_us"] + 32 * stack["layer_us"] + stack["sequence_us"]) * 1e-6
    gained = twice["speed"]["tpot_s"]["value"] - once["speed"]["tpot_s"]["value"]
    assert gained == pytest.approx(more, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*ONE, "--of", "joy"), "choose cost, blended, speed, throughput"),
        ((*ONE, "--top", "0"), "outside 1 to 50"),
        (("--chip", "h100,h20", "--model", "llama-70b"), "one chip and one model"),
        ((*ONE, "--plot", "a.doc"), "known:"),
        ((*ONE, "--utilisation", "1.5"), "out of range"),
    ],
)
def test_bad_input_gets_one_sentence(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str) -> None:
    code, out, err = ask(capsys, *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
