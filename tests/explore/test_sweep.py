"""Sweeps: rows equal single answers, files are whole and resumable, a cluster writes the same bytes."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate, sweep
from tokcalc.errors import DoesNotFit, UsageError
from tokcalc.explore.sweep.cases import boxes
from tokcalc.explore.sweep.columns import stretch
from tokcalc.explore.sweep.files import PART, frame, part_bytes, write_sweep
from tokcalc.explore.sweep.sweep import ask, best_rows, confirm

from ..commands import run

GRID = {"tp": [1, 2, 4, 8], "isl": "1k,8k", "concurrency": "1:64:x4,max"}
DAY = "2026-07-01"


def test_rows_are_the_answers_of_single_questions():
    table = sweep("h100,wse-3", "llama-3.1-8b", {"isl": "1k,9k", "concurrency": "1,100,max"}, on=DAY)
    assert len(table) == 12
    for _, row in table.iterrows():
        many = row["workload.concurrency"]
        answer = estimate(
            row["chip"], row["model"], isl=int(row["workload.isl"]), concurrency=int(many), on=DAY
        ).to_dict()
        for key in ("tpot_s", "ttft_s", "output_tok_s", "input_tok_s", "output_tok_s_chip"):
            assert row[f"speed.{key}.value"] == pytest.approx(answer["speed"][key]["value"], rel=1e-9)
        for key in ("per_hour", "per_m_input", "per_m_output", "per_m_blended"):
            if answer["cost"].get(key) is not None:
                assert row[f"cost.{key}"] == pytest.approx(answer["cost"][key], rel=1e-9)
        assert row["memory.used_share"] == pytest.approx(answer["memory"]["used_share"], rel=1e-9)
        assert row["grade"] == answer["grade"]
        assert row["deployment.chips"] == answer["deployment"]["chips"]


@pytest.mark.parametrize(
    ("chip", "model"),
    [("h100-sxm", "gpt-oss-120b"), ("b200-sxm", "minimax-m2"), ("rngd", "qwen3-30b-a3b"),
     ("arc-pro-b60", "gpt-oss-20b")],
)  # fmt: skip
def test_rows_have_the_grade_and_the_bands_of_single_answers(chip: str, model: str):
    columns = [f"speed.{key}.{side}" for key in ("tpot_s", "ttft_s", "output_tok_s") for side in ("low", "high")]
    row = sweep(chip, model, {"isl": "960"}, osl=128, concurrency=16, columns=[*columns, "grade"]).iloc[0]
    answer = estimate(chip, model, isl=960, osl=128, concurrency=16).to_dict()
    assert row["grade"] == answer["grade"]
    for name in columns:
        _, key, side = name.split(".")
        assert row[name] == pytest.approx(answer["speed"][key][side], rel=1e-9)


@pytest.mark.parametrize("chip", ["h100", "rngd", "arc-pro-b60"])
def test_a_full_pool_is_no_more_than_the_memory_of_its_chips(chip: str):
    row = sweep(chip, "llama-3.1-8b", {"concurrency": "3000"}).iloc[0]
    memory = estimate(chip, "llama-3.1-8b", concurrency=3000).to_dict()["memory"]
    assert row["memory.largest_batch"] == memory["largest_batch"]
    assert row["memory.used_share"] == pytest.approx(memory["used_share"], rel=1e-9)
    assert 0.8 < memory["used_share"] <= 1.0
    parts = sum(memory[f"{part}_bytes_per_chip"] for part in ("weights", "workspace", "kv"))
    assert parts / memory["capacity_bytes"] == pytest.approx(memory["used_share"])


def test_what_does_not_fit_says_so_where_the_answer_does():
    table = sweep("h100", "llama-3.3-70b", GRID, weights="bf16", on=DAY)
    assert len(table) == 4 * 2 * 5
    for tp, part in table.groupby("deployment.tp"):
        try:
            estimate("h100", "llama-3.3-70b", isl=1000, weights="bf16", tp=int(tp), on=DAY)
        except DoesNotFit:
            assert part["speed.tpot_s.value"].isna().all()
            assert part["reason"].str.contains("fit").all()
        else:
            assert part["speed.tpot_s.value"].notna().any()


def test_contradicting_degrees_have_their_reason_and_no_numbers():
    table = sweep("h100", "llama-3.1-8b", {"chips": [4, 8], "tp": [3, 4, 8], "ep": [1, 3]}, on=DAY)
    bad = table["reason"] != ""
    assert bad.any()
    assert (~bad).any()
    assert table.loc[bad, "speed.tpot_s.value"].isna().all()
    assert table.loc[~bad, "speed.tpot_s.value"].notna().all()


def test_drafts_on_a_chip_that_nothing_is_measured_on_have_the_refusal_of_a_single_question():
    table = sweep("corsair,h100", "llama-3.1-8b", {"draft": "0,3", "concurrency": "1,16"}, acceptance=0.7, on=DAY)
    refused = (table["chip"] == "corsair") & (table["workload.draft"] > 0)
    assert refused.sum() == 2
    with pytest.raises(UsageError) as single:
        estimate("corsair", "llama-3.1-8b", draft=3, acceptance=0.7)
    assert set(table.loc[refused, "reason"]) == {str(single.value)}
    assert table.loc[refused, "speed.tpot_s.value"].isna().all()
    assert set(table.loc[~refused, "reason"]) == {""}
    assert table.loc[~refused, "speed.tpot_s.value"].notna().all()


def test_a_sweep_of_refused_drafts_alone_ends_with_the_sentence():
    done = run("sweep", "--chip", "corsair", "--model", "llama-8b", "--draft", "3", "--acceptance", "0.7")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "nothing is measured on d-Matrix Corsair" in done.stderr


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data(), st.integers(1, 9))
def test_boxes_cover_a_stretch_once_and_in_order(shape, data, most):
    total = math.prod(shape)
    first = data.draw(st.integers(0, total))
    last = data.draw(st.integers(first, total))
    places = np.arange(total).reshape(shape)
    found = [places[where].ravel() for where in boxes(shape, first, last, most)]
    assert all(1 <= len(part) <= most for part in found)
    assert (np.concatenate(found).tolist() if found else []) == list(range(first, last))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 80), st.integers(0, 80))
def test_any_stretch_is_the_stretch_of_the_whole(a, b):
    question = ask("h100,b200", "gpt-oss-20b", {**GRID, "ep": [1, 2]}, None, {"on": DAY})
    assert question.rows == 160
    whole = frame(stretch(question, 0, question.rows))
    first, last = min(a, b), max(a, b) + 1
    part = frame(stretch(question, first, last))
    for name in whole:
        left, right = part[name].to_list(), whole[name].iloc[first:last].to_list()
        assert str(left) == str(right) or np.allclose(
            np.array(left, dtype=float), np.array(right, dtype=float), rtol=1e-12, equal_nan=True
        )


def test_best_rows_are_the_head_of_the_sorted_table():
    question = ask("h100", "llama-3.1-8b", GRID, None, {"on": DAY})
    whole = frame(stretch(question, 0, question.rows))
    best, answered = best_rows(question, "output_tok_s_chip", 5, lowest=False)
    key = "speed.output_tok_s_chip.value"
    assert answered == whole[key].notna().sum()
    assert best[key].tolist() == sorted(whole[key].dropna(), reverse=True)[:5]


def test_files_hold_the_rows(tmp_path):
    sweep("h100", "llama-3.1-8b", GRID, path=tmp_path / "a.parquet", on=DAY)
    sweep("h100", "llama-3.1-8b", GRID, path=tmp_path / "a.csv", on=DAY)
    table = sweep("h100", "llama-3.1-8b", GRID, on=DAY)
    from_parquet, from_csv = pd.read_parquet(tmp_path / "a.parquet"), pd.read_csv(tmp_path / "a.csv")
    assert list(from_parquet) == list(from_csv) == list(table)
    for name in ("speed.tpot_s.value", "cost.per_m_output", "workload.isl"):
        np.testing.assert_array_equal(from_parquet[name].to_numpy(float), table[name].to_numpy(float))
        np.testing.assert_allclose(from_csv[name].to_numpy(float), table[name].to_numpy(float), rtol=1e-15)
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.parquet"]


def big(tmp_path):
    """Three parts, few columns."""
    question = ask(
        "h100", "llama-3.1-8b", {"isl": "1:1000:+1", "concurrency": "1:600:+1"}, ["isl", "tpot_s"], {"on": DAY}
    )
    assert 2 * PART < question.rows <= 3 * PART
    return question, tmp_path / "big.parquet"


def test_an_interrupted_sweep_goes_on_and_ends_in_the_same_bytes(tmp_path):
    question, path = big(tmp_path)
    made = []

    def stop(done, total):
        made.append(done)
        if len(made) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sweep(question, path, progress=stop)
    assert not path.exists()
    resumed = []
    write_sweep(question, path, progress=lambda done, total: resumed.append(done))
    assert resumed[0] == PART
    assert resumed[-1] == question.rows
    whole = tmp_path / "whole.parquet"
    write_sweep(question, whole)
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["big.parquet", "whole.parquet"]


def test_parts_of_another_question_are_not_used(tmp_path):
    question, path = big(tmp_path)

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sweep(question, path, progress=stop)
    other = ask("h100", "llama-3.1-8b", {"isl": "1,2"}, ["isl", "tpot_s"], {"on": DAY})
    write_sweep(other, path)
    assert len(pd.read_parquet(path)) == 2


def test_a_killed_command_goes_on(tmp_path):
    path = tmp_path / "k.parquet"
    words = ["sweep", "--chip", "h100", "--model", "llama-3.1-8b", "--grid", "isl=1:1000:+1", "--grid",
             "concurrency=1:600:+1", "--columns", "isl,tpot_s", "--on", DAY, "--export",
             str(path)]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "tokcalc", *words], stderr=subprocess.DEVNULL)
    folder = tmp_path / ".k.parquet.parts"
    deadline = time.monotonic() + 60
    while not list(folder.glob("part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if not path.exists():
        assert list(folder.glob("part-*.parquet"))
    assert run(*words).returncode == 0
    assert len(pd.read_parquet(path)) == 1000 * 600
    assert os.listdir(tmp_path) == ["k.parquet"]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--grid", "isl=1:100k:+1", "--grid", "osl=1:100k:+1", "--grid", "concurrency=1:100k:+1"], "1e+15"),
        (["--columns", "tpott_s"], "tpot_s"),
        (["--export", "x.foo"], ".parquet"),
        (["--export", "/missing/folder/x.parquet"], "does not exist"),
        (["--export", "."], "cannot write"),
        (["--grid", "isl=1,2", "--isl", "3"], "twice"),
        (["--grid", "chip=h100"], "twice"),
        (["--grid", "nonsense=1"], "no input"),
        (["--grid", "tp=0"], "at least 1"),
        (["--sort", "chip"], "number"),
        (["--plot", "x.gif"], ".svg"),
        (["--plot", "x.svg"], "axis of numbers"),
        (["--dask", "tcp://127.0.0.1:1", "--export", "d.csv"], "dask"),
        (["--concurrency", "1:8:x2"], "--grid concurrency"),
        (["--engine", "nonsense"], "engine"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(extra, words, tmp_path):
    done = run("sweep", "--chip", "h100", "--model", "llama-3.1-8b", *extra, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert words.lower() in done.stderr.lower()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    question, path = big(tmp_path)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(Exception, match="full") as refused:
            write_sweep(question, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert "\n" not in str(refused.value)
    assert not path.exists()


def test_confirmation_names_the_size():
    question = ask("h100", "llama-3.1-8b", {"isl": "1:100000:+1", "osl": "1:100000:+1"}, None, {})
    with pytest.raises(UsageError, match=r"10,000,000,000 cases.*--yes"):
        confirm(question, yes=False)
    confirm(question, yes=True)


def test_the_table_of_the_command(tmp_path):
    done = run("sweep", "--chip", "h100,wse-3", "--model", "llama-70b", "--grid", "concurrency=1:64:x2", "--top", "5")
    assert done.returncode == 0
    assert "14 cases" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


class TestDask:
    """The same code on a cluster of two workers."""

    @pytest.fixture
    def cluster(self):
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True, silence_logs=50
        ) as found:
            yield found

    def test_the_same_bytes_although_a_worker_dies(self, cluster, tmp_path):
        question, path = big(tmp_path)
        killed = []

        def kill(done, total):
            if not killed:
                killed.append(True)
                worker = next(iter(cluster.workers.values()))
                os.kill(worker.pid, signal.SIGKILL)

        write_sweep(question, path, progress=kill, dask=cluster.scheduler_address)
        assert killed
        alone = tmp_path / "alone.parquet"
        write_sweep(question, alone)
        assert path.read_bytes() == alone.read_bytes()


def test_a_part_is_the_same_wherever_it_is_made():
    question = ask("h100", "llama-3.1-8b", GRID, None, {"on": DAY})
    assert part_bytes(question.to_dict(), 0, ".csv") == part_bytes(question.to_dict(), 0, ".csv")


def test_every_input_that_varies_has_a_column():
    table = sweep(
        "h100",
        "llama-3.1-8b",
        {"memory": ["hbm3", "hbm4"], "engine": "vllm,sglang", "memory.hbm.pin_rate": ["6 Gbit/s"]},
    )
    assert list(table["memory"].unique()) == ["hbm3", "hbm4"]
    assert list(table["memory.hbm.pin_rate"].unique()) == ["6 Gbit/s"]
    assert set(table["deployment.engine"]) == {"vllm", "sglang"}
    with pytest.raises(UsageError, match="--draft"):
        sweep("h100", "llama-3.1-8b", {"acceptance": [0.5, 0.9]})
