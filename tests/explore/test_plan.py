"""Plans equal brute force over single answers, keep every limit, and say what is missing where none does."""

from __future__ import annotations

import contextlib
import json
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate, load_chip, load_model
from tokcalc.errors import DoesNotFit, NoAnswer, UsageError
from tokcalc.explore.plan.choice import AIMS, front
from tokcalc.explore.plan.plan import plan
from tokcalc.physics.parallel import Plan
from tokcalc.serving.cuts import search_cuts

from ..commands import run

DAY = "2026-07-01"
CUTS = [Plan(1, 1, 1, 1), Plan(2, 1, 1, 1), Plan(4, 1, 1, 1), Plan(4, 2, 1, 1), Plan(2, 1, 2, 4), Plan(8, 1, 1, 8)]
BATCHES = [1, 4, 16, 64, 256]


def enumerate_all(chip, model, weights, isl, osl):
    """Figures of the answer of every deployment of the small grid, one question at a time."""
    chip, model = load_chip(chip), load_model(model)
    for cut in CUTS:
        for batch in BATCHES:
            try:
                answer = estimate(
                    chip, model, isl=isl, osl=osl, concurrency=batch, weights=weights, engine="vllm", on=DAY,
                    tp=int(cut.tp), pp=int(cut.pp), dp=int(cut.dp), ep=int(cut.ep),
                ).to_dict()  # fmt: skip
            except DoesNotFit:
                continue
            speed = answer["speed"]
            waits = any("the others wait" in note for note in answer["assumptions"])
            if waits:
                continue
            yield {
                "per_m_blended": answer["cost"]["per_m_blended"],
                "output_tok_s_user": speed["output_tok_s_user"]["value"],
                "tok_per_joule": speed["output_tok_s"]["value"] / answer["energy"]["power_w"],
                "output_tok_s_chip": speed["output_tok_s_chip"]["value"],
                "ttft_s": speed["ttft_s"]["value"], "tpot_s": speed["tpot_s"]["value"],
                "power_w": answer["energy"]["power_w"], "chips": answer["deployment"]["chips"],
            }  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    pair=st.sampled_from([("h100-sxm", "llama-3.3-70b", "fp8"), ("b200-sxm", "gpt-oss-120b", "mxfp4"),
                          ("h200-sxm", "qwen3-235b-a22b", "fp8")]),
    aim=st.sampled_from(sorted(AIMS)),
    isl=st.sampled_from([300, 4000, 30_000]),
    osl=st.sampled_from([100, 1000]),
    ttft_s=st.sampled_from([None, 0.1, 0.6, 3.0]),
    tpot_s=st.sampled_from([None, 0.008, 0.015, 0.04]),
    per_m=st.sampled_from([None, 0.3, 2.0]),
    power_w=st.sampled_from([None, 2000.0]),
    chips=st.sampled_from([None, 2, 4, 8]),
)  # fmt: skip
def test_the_plan_is_the_best_of_all_single_answers(pair, aim, isl, osl, ttft_s, tpot_s, per_m, power_w, chips):
    chip, model, weights = pair
    limits = {"ttft_s": ttft_s, "tpot_s": tpot_s, "per_m_blended": per_m, "power_w": power_w, "chips": chips}
    every = [row for row in enumerate_all(chip, model, weights, isl, osl) if chips is None or row["chips"] <= chips]
    good = [
        row for row in every if all(most is None or row[name] <= most * (1 + 1e-12) for name, most in limits.items())
    ]
    column, sign = AIMS[aim]
    try:
        found = plan(
            chip, model, aim=aim, isl=isl, osl=osl, ttft_s=ttft_s, tpot_s=tpot_s, per_m=per_m,
            power_w=power_w,
            chips=chips, weights=[weights], engines=["vllm"], cuts=CUTS, batches=BATCHES, on=DAY,
        )  # fmt: skip
    except NoAnswer:
        assert not every
        return
    assert found.good == len(good)
    if not good:
        assert found.best is None
        assert found.miss is not None
        assert found.missed
        return
    best = max(good, key=lambda row: sign * row[column])
    assert found.best[column] == pytest.approx(best[column], rel=1e-9)
    for row in [found.best, *found.runners_up]:
        for name, most in limits.items():
            assert most is None or row[name] <= most
    fast = [(row["output_tok_s_user"], row["output_tok_s_chip"]) for row in every]
    for row in found.front:
        beaten = [p for p in fast if p[0] > row["output_tok_s_user"] * (1 + 1e-9)
                  and p[1] > row["output_tok_s_chip"] * (1 + 1e-9)]  # fmt: skip
        cheaper = [r for r in every if r["output_tok_s_user"] > row["output_tok_s_user"] * (1 + 1e-9)
                   and r["per_m_blended"] < row["per_m_blended"] * (1 - 1e-9)]  # fmt: skip
        assert not beaten or not cheaper


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(sorted(AIMS)), st.sampled_from([0.01, 0.02, 0.05]), st.sampled_from([0.3, 1.0]))
def test_searching_more_never_gives_less_and_keeps_limits(aim, tpot_s, ttft_s):
    limits = {"tpot_s": tpot_s, "ttft_s": ttft_s, "isl": 2000, "osl": 400, "on": DAY}
    few = plan("h100", "llama-3.1-8b", aim=aim, cuts=CUTS[:3], batches=BATCHES, **limits)
    many = plan("h100", "llama-3.1-8b", aim=aim, **limits)
    column, sign = AIMS[aim]
    if few.best is not None:
        assert many.best is not None
        assert sign * many.best[column] >= sign * few.best[column] * (1 - 1e-12 * sign)
    if many.best is not None:
        assert many.best["tpot_s"] <= tpot_s
        assert many.best["ttft_s"] <= ttft_s


def test_every_searched_cut_is_one_that_a_question_accepts():
    for chip, model in (("h100", "llama-70b"), ("gb200", "deepseek-v3"), ("l40s", "gpt-oss-120b")):
        device, network = load_chip(chip), load_model(model)
        cuts = search_cuts(device, network, 64)
        assert len(set(cuts)) == len(cuts)
        for cut in cuts[::5]:
            assert cut.chips <= 64
            with contextlib.suppress(DoesNotFit):
                estimate(chip, model, tp=cut.tp, pp=cut.pp, dp=cut.dp, ep=cut.ep, on=DAY)


def test_losers_are_counted_once():
    found = plan("h100", "llama-70b", ttft_s=0.3, tpot_s=0.02, isl=4000, on=DAY)
    assert found.good + sum(count for _, count in found.lost) == found.cases


def test_sram_chips_take_as_many_as_the_model_needs():
    found = plan("groq", "llama-70b", aim="fastest", on=DAY)
    assert found.best["chips"] > 200


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), max_size=30), st.booleans())
def test_the_front_is_what_no_point_beats(points, higher):
    x, y = (np.array([p[i] for p in points]) for i in (0, 1))
    kept = front(x, y, higher)
    sign = 1 if higher else -1
    assert np.all(np.diff(x[kept]) > 0)
    for i in range(len(points)):
        better = any(x[j] >= x[i] and sign * y[j] >= sign * y[i] and (x[j], y[j]) != (x[i], y[i]) for j in kept)
        assert better or (x[i], y[i]) in {(x[j], y[j]) for j in kept}


def test_wrong_input_is_refused():
    with pytest.raises(UsageError, match="cheapest"):
        plan("h100", "llama-70b", aim="best")
    with pytest.raises(UsageError, match="above zero"):
        plan("h100", "llama-70b", tpot_s=0.0)
    with pytest.raises(UsageError, match="--acceptance"):
        plan("h100", "llama-70b", drafts=(0, 3))
    with pytest.raises(NoAnswer, match="does not fit"):
        plan("h100", "deepseek-v3", chips=1)


class TestCommand:
    def test_verdict_table_front(self, tmp_path):
        done = run(
            "plan", "--chip", "h100,wse-3", "--model", "llama-70b", "--ttft", "800 ms", "--speed",
            "40 tok/s", "--on", DAY,
            "--export", str(tmp_path / "f.csv"), "--plot", str(tmp_path / "f.svg"),
        )  # fmt: skip
        assert done.returncode == 0
        for words in ("Best:", "Pareto front", "keep the limits", "tok/s per user"):
            assert words in done.stdout
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
        table = pd.read_csv(tmp_path / "f.csv")
        assert {"chip", "tp", "output_tok_s_user", "per_m_blended"} <= set(table)
        assert (tmp_path / "f.svg").read_text().startswith("<svg")

    def test_an_impossible_limit_has_a_closest_miss_and_exit_code_1(self):
        done = run("plan", "--chip", "h100", "--model", "llama-70b", "--speed", "100000 tok/s")
        assert done.returncode == 1
        assert "closest" in done.stdout
        assert "Traceback" not in done.stderr
        told = json.loads(run("plan", "--chip", "h100", "--model", "llama-70b", "--tpot", "1 us", "--json").stdout)
        assert told["best"] is None
        assert told["missed"][0]["column"] == "tpot_s"

    @pytest.mark.parametrize(
        "extra",
        [["--aim", "x"], ["--ttft", "5"], ["--ttft", "0 s"], ["--speed", "fast"], ["--speed", "-1"],
        ["--cost", "x"],
         ["--power", "3"], ["--chips", "0"], ["--draft", "3"], ["--weights", "fp3"], ["--engine", "x"],
         ["--plot", "a.gif"],
         ["--export", "/missing/a.csv"], ["--export", "a.foo"], ["--isl", "-4"], ["--cost", "3 EUR"],
         ["--model", "llama-8b,llama-70b"]],
    )  # fmt: skip
    def test_bad_input_is_one_sentence(self, extra, tmp_path):
        done = run("plan", "--chip", "h100", "--model", "llama-70b", *extra, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert os.listdir(tmp_path) == []
