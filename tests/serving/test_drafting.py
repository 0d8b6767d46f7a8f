"""Speculative decoding pays at small batch, costs nothing when off, and stops paying when chips are full."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tokcalc import estimate
from tokcalc.catalog import load_chip, load_model
from tokcalc.cli.commands.draft import rows_of
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import find_engine
from tokcalc.errors import DoesNotFit, UsageError
from tokcalc.serving.deployment import Deployment, Wish, choose
from tokcalc.serving.drafting import best, check_draft, lengths, pipe_lengths, stops_paying
from tokcalc.serving.workload import Load
from tokcalc.validation.rows.drafts import chance_of, drafted, noted

CONSTANTS = load_constants()


def deployed(chip: str, model: str, batch: float = 1.0, chips: int | None = None) -> Deployment:
    engine = find_engine(CONSTANTS, None)
    return choose(load_chip(chip), load_model(model), engine, Wish(chips=chips), batch=batch, context=2048.0)


def rows(batch: float, acceptance: float = 0.7, draft: object = "ngram") -> list:
    d = deployed("h100-sxm", "llama-3.3-70b", batch, 8)
    return lengths(d.replica(CONSTANTS), Load(1024.0, 1024.0, batch, 0.0, 0.0, acceptance), draft)  # type: ignore[arg-type]


def test_no_draft_is_the_plain_step() -> None:
    first = rows(1.0)[0]
    assert (first.draft, first.gain, first.draft_s) == (0, 1.0, 0.0)


def test_gain_is_bounded_by_what_is_accepted() -> None:
    for row in rows(1.0, 0.6):
        assert row.gain <= (1 - 0.6 ** (row.draft + 1)) / (1 - 0.6) + 1e-9


def test_nothing_accepted_never_pays() -> None:
    assert best(rows(1.0, 0.0)).draft == 0


def test_large_batches_want_shorter_drafts() -> None:
    chosen = [best(rows(batch)).draft for batch in (1.0, 64.0, 1024.0)]
    assert chosen == sorted(chosen, reverse=True)
    assert best(rows(1.0)).gain > best(rows(1024.0)).gain


def test_a_large_draft_model_costs_more_than_a_small_one() -> None:
    small = rows(1.0, 0.7, load_model("llama-3.2-1b"))
    large = rows(1.0, 0.7, load_model("llama-3.1-8b"))
    assert best(small).gain > best(large).gain
    assert all(a.tpot_s <= b.tpot_s for a, b in zip(small, large, strict=True))


def test_full_pipelines_do_not_pay_for_drafts() -> None:
    chip, model = load_chip("groq"), load_model("llama-3.1-70b")
    load = Load(1024.0, 1024.0, 1.0, 0.0, 0.0, 0.8)
    assert best(pipe_lengths(chip, model, "int8", load)).gain > 2.0
    full = Load(1024.0, 1024.0, 80.0, 0.0, 0.0, 0.8)
    assert best(pipe_lengths(chip, model, "int8", full)).draft == 0


def test_where_it_stops_is_found() -> None:
    chip, model = load_chip("groq"), load_model("llama-3.1-70b")
    stop = stops_paying(
        lambda b: pipe_lengths(chip, model, "int8", Load(1024.0, 1024.0, b, 0.0, 0.0, 0.7)), [1.0, 8.0, 64.0, 80.0]
    )
    assert stop in (64.0, 80.0)


def test_bad_drafts_are_sentences() -> None:
    with pytest.raises(UsageError, match="without MTP layers; draft with"):
        check_draft(load_chip("h800"), load_model("llama-3.3-70b"), CONSTANTS, "mtp")
    with pytest.raises(UsageError, match="leave the draft away"):
        check_draft(load_chip("corsair"), load_model("llama-3.3-70b"), CONSTANTS, "ngram")
    check_draft(load_chip("ascend-910c"), load_model("deepseek-v3"), CONSTANTS, "mtp")


def test_notes_of_measured_rows_name_their_draft() -> None:
    length, mean = noted("suffix speculation k=3, acceptance 27.0%; dtype")
    assert (length, chance_of(mean, 3)) == (3, pytest.approx(0.27))
    assert noted("MTP with one draft token, 70% acceptance (1.7 tokens/step)") == (1, 1.7)
    assert noted("no speculation") == (None, None)


def test_the_best_length_shrinks_with_the_load_and_says_where_it_stops() -> None:
    found = [
        estimate("h100", "llama-70b", chips=8, concurrency=n, draft="best", acceptance=0.6).to_dict() for n in (1, 256)
    ]
    lengths_found = [answer["workload"]["draft"] for answer in found]
    assert lengths_found[0] > lengths_found[1]
    assert any("in flight" in line and "fastest" in line for line in found[0]["assumptions"])
    plain = estimate("h100", "llama-70b", chips=8, concurrency=1, draft=1, acceptance=0.6)
    assert found[0]["speed"]["tpot_s"]["value"] <= plain.tpot_s


def test_a_full_pipeline_drafts_nothing() -> None:
    answer = estimate("groq", "llama-3.1-70b", concurrency=80, draft="best", acceptance=0.6).to_dict()
    assert answer["workload"]["draft"] == 0


def test_streaming_weights_is_for_sram_chips() -> None:
    streamed = estimate("wse-3", "llama-70b", stream=True)
    assert streamed["deployment"]["chips"] == 1
    assert streamed.output_tok_s < estimate("wse-3", "llama-70b").output_tok_s
    assert "--stream" in streamed["command"]
    with pytest.raises(UsageError, match="from memory anyway"):
        estimate("h100", "llama-70b", stream=True)


def test_families_speak_where_a_note_gives_no_acceptance() -> None:
    assert drafted("MTP-3 speculative decoding on a real dataset", True, "trtllm", "deepseek-v3", True)[:2] == (3, 2.82)
    inferred = "speculation inferred: 1.26x faster than the plain run of this setup"
    assert drafted(inferred, True, "sglang", "deepseek-v3", True)[:2] == (1, 1.87)
    assert drafted("96 per NPU", None, "cloudmatrix-infer", "deepseek-v3", True)[:2] == (1, 1.7)
    assert drafted("", None, "vllm", "deepseek-v3", True) == (0, 1.0, "")
    assert drafted("WITH speculative decoding", True, "cerebras", "llama-3.1-70b", False) is None
    assert noted("MTP-2, acceptance 2.58") == (2, 2.58)
    assert chance_of(noted("MTP-2, acceptance 2.58")[1], 2) == pytest.approx(0.853, abs=0.001)


def asked(chip: str, model: str, batches: list[float], isl: int = 1024, chips: int | None = None) -> list[dict]:
    loads = [Load(float(isl), 1024.0, batch, acceptance=0.7) for batch in batches]
    return rows_of(chip, model, "ngram", loads, {"weights": None, "chips": chips})


def test_loads_beyond_the_memory_are_those_that_run() -> None:
    # 16 GB of weights on 48 GB leave room for two caches of 101,024 tokens of 131 kB, 13.2 GB each
    one, two, many = asked("rngd", "llama-8b", [1.0, 2.0, 16.0], 100_000, 1)
    assert (one["running"], two["running"], many["running"]) == (1.0, 2.0, 2.0)
    assert (one["waits"], two["waits"]) == ("", "")
    assert "16 requests in flight, of which 2 fit" in many["waits"]
    same = ("chips", "draft", "tok_s_user", "tok_s_user_plain", "gain", "step_s")
    assert [many[key] for key in same] == [two[key] for key in same]


def test_a_row_says_on_how_many_chips_it_runs() -> None:
    for chip, chips in (("h100", 8), ("wse-3", 6)):
        assert [row["chips"] for row in asked(chip, "llama-70b", [1.0, 16.0], chips=chips)] == [chips, chips]
    few = asked("h100", "llama-70b", [1.0])[0]["chips"]
    assert few == estimate("h100", "llama-70b")["deployment"]["chips"]


def test_chips_that_hold_no_request_are_refused() -> None:
    with pytest.raises(DoesNotFit, match="give --chips 4"):
        asked("wse-3", "llama-70b", [1.0], chips=2)
    with pytest.raises(DoesNotFit):
        asked("h100", "llama-70b", [1.0], chips=1)


@pytest.mark.parametrize("chip", ["h100", "rngd", "wse-3", "ascend-910c"])
def test_one_request_without_a_draft_is_as_fast_as_in_an_answer(chip: str) -> None:
    plain = asked(chip, "llama-3.1-8b", [1.0])[0]["tok_s_user_plain"]
    assert plain == pytest.approx(1.0 / estimate(chip, "llama-3.1-8b").tpot_s)


def test_drafts_that_let_fewer_requests_run_take_turns() -> None:
    # steps shared with prompts: drafted tokens shorten answers in steps, so fewer prompts of 100,000 tokens can pass
    row = asked("rngd", "llama-8b", [16.0], 100_000, 4)[0]
    assert row["running"] < 16.0
    assert "take turns" in row["waits"]
    held = asked("rngd", "llama-8b", [16.0], 100_000, 1)[0]
    assert row["gain"] < held["gain"]


def test_the_figures_of_a_draft_name_their_chips_and_what_they_leave_out() -> None:
    words = ["draft", "--chip", "rngd", "--model", "llama-8b", "--acceptance", "0.7", "--isl", "100k"]
    command = [sys.executable, "-m", "tokcalc", *words, "--batch", "1,16", "--chips", "1"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "chips" in shown.splitlines()[0]
    assert "without the prompts of other requests" in shown
    assert "of which 2 fit" in shown
    rows = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert [(row["batch"], row["running"], row["chips"]) for row in rows] == [(1, 1, 1), (16, 2, 1)]
    assert all("without the prompts of other requests" in row["figures"] for row in rows)


def test_the_best_length_of_a_rate_is_that_of_the_requests_it_keeps_in_flight() -> None:
    found = [
        estimate("h100", "llama-70b", chips=8, rate=rate, draft="best", acceptance=0.6)["workload"]
        for rate in (0.001, 4.0)
    ]
    assert found[0]["draft"] > found[1]["draft"]
    alone = estimate("h100", "llama-70b", chips=8, draft="best", acceptance=0.6)["workload"]
    assert found[0]["draft"] == alone["draft"]


def test_the_best_length_on_given_wafers_is_that_of_the_requests_they_hold() -> None:
    # four wafers hold 25 requests beside 141 GB of weights, far fewer than fill 80 layers
    answer = estimate("wse-3", "llama-70b", chips=4, concurrency=256, draft="best", acceptance=0.7)
    assert answer["workload"]["draft"] == asked("wse-3", "llama-70b", [256.0], chips=4)[0]["draft"] > 0


def test_streamed_weights_verify_any_number_of_tokens_in_the_same_step() -> None:
    answer = estimate("wse-3", "llama-70b", stream=True, concurrency=256, draft="best", acceptance=0.7)
    assert answer["workload"]["draft"] == 8  # the longest that is tried
    assert any("3.20x" in line and "up to 59, all that run" in line for line in answer["assumptions"])
