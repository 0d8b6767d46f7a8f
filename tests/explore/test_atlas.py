"""The atlas: rows are deployments that no other beats, equal to single answers, the same however it is
computed.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from tokcalc import estimate
from tokcalc.errors import NoAnswer, UnknownName
from tokcalc.explore.atlas import LENGTHS, atlas, catalogue_fronts, standing, write_atlas
from tokcalc.explore.plan.plan import plan

from ..commands import run

CHIPS, MODELS, DAY = ["h100", "mi300x", "wse-3", "l40s"], ["llama-3.1-8b", "gpt-oss-120b"], "2026-07-01"


@pytest.fixture(scope="module")
def drawn():
    return atlas(CHIPS, MODELS, on=DAY, jobs=1)


def test_rows_are_answers_of_single_questions(drawn):
    frame = pd.DataFrame(drawn.columns)
    for _, row in frame.sample(25, random_state=1).iterrows():
        degrees = {} if row["chip"] == "wse-3" else {n: int(row[n]) for n in ("tp", "pp", "dp", "ep")}
        answer = estimate(
            row["chip"], row["model"], isl=int(row["isl"]), osl=int(row["osl"]),
            concurrency=int(row["concurrency"]),
            weights=row["weights"], kv=row["kv"], on=DAY, **degrees,
        ).to_dict()  # fmt: skip
        assert row["tpot_s"] == pytest.approx(answer["speed"]["tpot_s"]["value"], rel=1e-9)
        assert row["output_tok_s"] == pytest.approx(answer["speed"]["output_tok_s"]["value"], rel=1e-9)
        assert row["per_m_blended"] == pytest.approx(answer["cost"]["per_m_blended"], rel=1e-9)


def test_no_row_is_beaten_on_both_counts_by_its_own_chip(drawn):
    frame = pd.DataFrame(drawn.columns)
    for _, part in frame.groupby(["chip", "model", "isl", "osl"]):
        speed, rate, cost = (part[n].to_numpy() for n in ("output_tok_s_user", "output_tok_s_chip", "per_m_blended"))
        for i in range(len(part)):
            faster = (speed >= speed[i]) & (rate > rate[i])
            cheaper = (speed >= speed[i]) & (cost < cost[i])
            assert not faster.any() or not cheaper.any()


def test_the_front_holds_the_best_of_a_plan(drawn):
    frame = pd.DataFrame(drawn.columns)
    own = frame[(frame["chip"] == "h100-sxm") & (frame["model"] == "llama-3.1-8b") & (frame["isl"] == LENGTHS[0][0])]
    own = own[own["osl"] == LENGTHS[0][1]]
    best = plan("h100", "llama-3.1-8b", aim="tokens-per-chip", isl=1024, osl=1024, engines=[None], on=DAY).best
    assert own["output_tok_s_chip"].max() <= best["output_tok_s_chip"]
    assert own["output_tok_s_chip"].max() >= 0.97 * best["output_tok_s_chip"]


def test_flags_mark_what_no_chip_beats(drawn):
    frame = pd.DataFrame(drawn.columns)
    for _, part in frame.groupby(["model", "isl", "osl"]):
        marked = part[part["front_throughput"]]
        assert part["output_tok_s_chip"].max() in set(marked["output_tok_s_chip"])
        assert part["output_tok_s_user"].max() in set(marked["output_tok_s_user"])
    again = catalogue_fronts(drawn.columns)
    assert np.array_equal(again["front_cost"], drawn.columns["front_cost"])
    assert {row["chip"] for row in standing(drawn)} <= set(frame["chip"])


def test_processes_draw_the_same(drawn, tmp_path):
    other = atlas(CHIPS, MODELS, on=DAY, jobs=2)
    assert other.cases == drawn.cases
    write_atlas(drawn, tmp_path / "one.parquet")
    write_atlas(other, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    frame = pd.read_parquet(tmp_path / "one.parquet")
    assert len(frame) == len(drawn)
    assert frame["tp"].dtype == np.int64


def test_wrong_names_and_empty_catalogues():
    with pytest.raises(UnknownName):
        atlas(["no-such-chip"], MODELS)
    with pytest.raises(NoAnswer):
        atlas(["rtx-3060"], ["deepseek-v3"], jobs=1, lengths=[(65536.0, 1024.0)])


def test_the_command(tmp_path):
    done = run(
        "atlas", "--chip", "h100,wse-3", "--model", "llama-8b", "--lengths", "1k/1k", "--export", "a.parquet",
        "--plot", "a.svg", "--on", DAY, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "evaluated" in done.stdout
    assert sorted(os.listdir(tmp_path)) == ["a.parquet", "a.svg"]
    bad = run("atlas", "--lengths", "1k")
    assert bad.returncode == 2
    assert len(bad.stderr.strip().splitlines()) == 1
