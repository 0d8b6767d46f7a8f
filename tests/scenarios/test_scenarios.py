"""Scenarios: shipped claims keep running, arithmetic ones hold; files of users; expressions run no Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.cli.shell import run
from tokcalc.errors import SpecError, UsageError
from tokcalc.scenarios.arithmetic import evaluate
from tokcalc.scenarios.claims import judge, load_scenario, parse_scenario, scenario_ids

WANTED = {
    "deepseek-day", "deepseek-v3-training", "le-chat-15-times", "deepseek-tenth-of-openai",
    "llama-groq-cerebras-r1", "brain-reads-5-tokens", "korea-2-trillion", "korea-100-trillion",
    "big-tech-capex", "deepseek-h800", "cloudmatrix",
}  # fmt: skip


def test_every_shipped_scenario_runs() -> None:
    assert set(scenario_ids()) >= WANTED
    for name in scenario_ids():
        found = load_scenario(name)
        claims = judge(found)
        assert found.question
        assert found.source.get("text")
        assert claims
        for item in claims:
            assert item.verdict in ("holds", "off", "answer", "no answer")
            assert item.claim.decides
            assert (item.value is None) == (item.verdict == "no answer")
            assert (item.verdict == "answer") == (item.claim.claimed is None and item.value is not None)


def claims(name: str) -> dict:
    return {item.claim.name: item for item in judge(load_scenario(name))}


def test_deepseeks_day() -> None:
    """Source: DeepSeek open-infra-index, day 6: 87,072 USD, 562,027 USD, 545 %."""
    found = claims("deepseek-day")
    assert found["cost of the day"].value == pytest.approx(226.75 * 8 * 2 * 24) == pytest.approx(87_072)
    assert found["income at R1's list prices"].value == pytest.approx(562_027, rel=0.01)
    assert found["profit over cost"].value == pytest.approx(545, rel=0.01)
    for name in ("cost of the day", "income at R1's list prices", "profit over cost"):
        assert found[name].verdict == "holds"


def test_training_of_deepseek_v3() -> None:
    found = claims("deepseek-v3-training")
    assert found["rent of the final run"].value == pytest.approx(5.576e6)
    assert found["operations needed"].value == pytest.approx(6 * 37e9 * 14.8e12)
    assert found["buying 2,000 H800 for 5.57 million"].verdict == "off"
    assert 30 < found["utilisation that the hours imply, of the dense bf16 peak"].value < 45


def test_reading_speed_and_ratios() -> None:
    assert claims("brain-reads-5-tokens")["reading speed"].value == pytest.approx(238 * 1.33 / 60)
    assert claims("le-chat-15-times")["times faster, as reported"].value == pytest.approx(1100 / 85)
    tenth = claims("deepseek-tenth-of-openai")
    assert tenth["R1 over o1"].value == pytest.approx((3 * 0.55 + 2.19) / (3 * 15 + 60))
    assert tenth["R1 over o1"].verdict == "off"


def test_a_changed_input_changes_the_verdict() -> None:
    found = judge(load_scenario("deepseek-day"), {"rent_per_hour": 1.0})
    assert found[0].value == pytest.approx(87_072 / 2)
    assert found[0].verdict == "off"
    assert found[0].ratio == pytest.approx(0.5)


MINE = """
title = "mine"
question = "how much?"
[inputs]
a = 2
[steps]
b = "a * 3"
[[claim]]
name = "six"
compute = "b"
claimed = [5, 6]
decides = "arithmetic"
[[claim]]
name = "unpriced"
compute = "rent('maia-200')"
decides = "a price"
"""


def test_a_file_of_the_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    assert run(["scenario", str(path), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["verdict"], first["recomputed"]) == ("holds", 6)
    assert second["verdict"] == "no answer"
    assert "maia-200" in second["reason"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("a = 2", "a = 'x'"), "not a number"),
        (("title", "titel"), "unknown key titel"),
        (('"b"', '"c"'), "neither an input nor a step"),
        (('"b"', '"b / 0"'), "cannot be computed"),
        (('"b"', "\"open('x')\""), "known are"),
        (("[5, 6]", "[6, 5]"), "[low, high]"),
        (('question = "how much?"', ""), "lacks question"),
        (('decides = "arithmetic"', ""), "needs name, compute and decides"),
        (("[inputs]", "[inputs"), "not TOML"),
        (("rent('maia-200')", "rent('no such chip')"), "no such chip"),
    ],
)
def test_a_bad_file_gets_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], sentence: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(*change, 1), encoding="utf-8")
    assert run(["scenario", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "a.__class__", "[1, 2]", "lambda: 1", "(1).real", "9**9**9", "'a' * 3", "f(*a)",
     "x := 3",
     "1 if a else 2", "f'{a}'", "1e308 * 10", "a if", "True", "min(**a)", "10 ** 101", "(" * 400 + ")" * 400],
)  # fmt: skip
def test_expressions_run_no_python(text: str) -> None:
    with pytest.raises(UsageError):
        evaluate(text, {"a": 2.0}, {})


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_number_or_a_sentence(text: str) -> None:
    try:
        value = evaluate(text, {"a": 2.0}, {})
    except UsageError:
        return
    assert isinstance(value, float)


def test_arithmetic_as_written() -> None:
    assert evaluate("-a ** 2 + max(3, b) / 2", {"a": 2.0, "b": 8}, {}) == 0
    assert evaluate("2 * (3 + 4)", {}, {}) == 14


def test_a_tolerance_below_zero_is_refused() -> None:
    with pytest.raises(SpecError, match="below zero"):
        parse_scenario(MINE.replace("claimed = [5, 6]", "claimed = 6\ntolerance = -1"), "mine")


def test_all_is_one_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    assert run(["scenario", "--all", "--export", str(target)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for name in WANTED:
        assert name in out
    assert "claims hold" in out
    assert len(target.read_text(encoding="utf-8").splitlines()) > 30


def test_list_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scenario"]) == 0
    assert "deepseek-day" in capsys.readouterr().out
    for words, sentence in (
        (["nope"], "there are"),
        (["deepseek-day", "--all"], "leave out"),
        (["--set", "a=1"], "name it"),
        (["deepseek-day", "--set", "a"], "INPUT=NUMBER"),
        (["deepseek-day", "--set", "nothing=1"], "its inputs are"),
        (["deepseek-day", "--set", "nodes=inf"], "finite"),
        (["./missing.toml"], "cannot be read"),
    ):
        assert run(["scenario", *words]) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        assert sentence in shown.err


@pytest.mark.parametrize("name", ["deepseek-h800", "cloudmatrix"])
def test_wide_expert_parallel_services_are_recomputed(name: str) -> None:
    assert all(item.verdict == "holds" for item in claims(name).values())


def test_deepseeks_nodes_are_those_that_our_speed_needs() -> None:
    found = claims("deepseek-day")["nodes that this program's speed needs"]
    assert found.value == pytest.approx(226.75, rel=0.15)


def test_phases_refuse_options_that_they_do_not_have() -> None:
    from tokcalc.scenarios.functions import functions

    with pytest.raises(UsageError, match="wide expert parallel phase"):
        functions(None)["wide_decode"]("h800", "r1", 144, 4096, isl=3)


def test_wide_deployments_run_the_software_of_the_scenarios_day() -> None:
    from tokcalc.scenarios.functions import functions

    decode = [functions(day)["wide_decode"] for day in ("2025-02-28", None)]
    old, new = (f("h800", "deepseek-r1", 144, 4989, speed=21) for f in decode)
    assert old < 0.97 * new  # expert kernels of 2025 had longer floors
    assert decode[0]("h800", "deepseek-r1", 144, 4989, speed=21, software_date="2026-04-30") == pytest.approx(new)


@pytest.mark.parametrize(("value", "holds"), [(4.4, False), (4.6, True), (5.5, True), (6.5, True), (6.7, False)])
def test_a_claimed_range_is_met_within_its_tolerance_on_both_sides(value: float, holds: bool) -> None:
    text = MINE.replace("claimed = [5, 6]", "claimed = [5, 6]\ntolerance = 0.1").replace(
        'b = "a * 3"', f'b = "{value}"'
    )
    assert judge(parse_scenario(text, "mine"))[0].verdict == ("holds" if holds else "off")
