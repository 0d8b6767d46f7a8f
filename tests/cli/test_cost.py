"""`tokcalc cost` as a user runs it, and the arithmetic behind its lines."""

from __future__ import annotations

import json

import pytest
from tokcalc.cli.shell import run


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    code = run(list(words))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    code, out, err = ask(capsys, "cost", *words, "--json")
    assert code == 0, err
    return json.loads(out)


ONE = ("--chip", "h100", "--model", "llama-70b", "--on", "2026-10-15")


def test_the_waterfall_sums_to_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, *ONE, "--own", "--utilisation", "0.6")
    steps = found["waterfall"]
    assert steps[-1]["step"] == "total"
    assert sum(row["per_m_output"] for row in steps[:-1]) == pytest.approx(steps[-1]["per_m_output"])
    assert steps[-1]["per_m_output"] == pytest.approx(found["cost"]["per_m_output"])
    assert {"chip and host", "cost of capital", "electricity", "idle time"} <= {row["step"] for row in steps}


def test_the_hour_is_paid_by_its_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, *ONE, "--rent", "2.50 USD/h", "--chips", "4", "--utilisation", "0.5")
    money, speed = found["cost"], found["speed"]
    tokens = {side: speed[f"{side}_tok_s"]["value"] * 3600 * 0.5 / 1e6 for side in ("input", "output")}
    paid = tokens["input"] * money["per_m_input"] + tokens["output"] * money["per_m_output"]
    assert money["per_hour"] == pytest.approx(10.0)
    assert paid == pytest.approx(10.0)


def test_ownership_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """31,250 USD over 5 years at no interest: 0.7130 an hour; 1 kW at 1.2 and 0.10: 0.12; the rest 0."""
    found = answer(
        capsys, *ONE, "--purchase", "31250 USD", "--life", "5", "--capital", "0", "--pue", "1.2",
        "--network", "0",
        "--electricity", "0.10 USD", "--colo", "0 USD", "--power-w", "1000",
    )  # fmt: skip
    steps = {row["step"]: row["per_chip_hour"] for row in found["waterfall"]}
    assert steps["chip and host"] == pytest.approx(31250 / (5 * 8766))
    assert steps["electricity"] == pytest.approx(0.12)
    assert steps["total"] == pytest.approx(31250 / (5 * 8766) + 0.12)


@pytest.mark.parametrize(
    ("option", "low", "high"),
    [("--electricity", "0.05 USD", "0.25 USD"), ("--pue", "1.05", "1.6"),
     ("--purchase", "20000 USD", "60000 USD"), ("--capital", "0.03", "0.15")],
)  # fmt: skip
def test_dearer_inputs_never_make_cheaper_tokens(
    capsys: pytest.CaptureFixture[str], option: str, low: str, high: str
) -> None:
    cheap, dear = (answer(capsys, *ONE, "--own", option, value)["cost"]["per_m_output"] for value in (low, high))
    assert cheap < dear


def test_a_longer_life_never_makes_a_dearer_token(capsys: pytest.CaptureFixture[str]) -> None:
    costs = [answer(capsys, *ONE, "--own", "--life", n)["cost"]["per_m_output"] for n in ("2", "4", "8")]
    assert costs == sorted(costs, reverse=True)


def test_the_default_load_keeps_every_user_above_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = (answer(capsys, *ONE, "--min-speed", limit) for limit in ("20", "40"))
    assert slow["speed"]["output_tok_s_user"]["value"] >= 20
    assert fast["speed"]["output_tok_s_user"]["value"] >= 40
    assert slow["workload"]["concurrency"] > 1
    assert slow["cost"]["per_m_output"] <= fast["cost"]["per_m_output"]


def test_a_won_has_no_decimals_and_the_dollar_price_stays(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*ONE, "--rent", "2 USD/h", "--fx", "KRW=1400")
    dollars = answer(capsys, *words)["cost"]["per_m_output"]
    won = answer(capsys, *words, "--currency", "KRW")["cost"]
    assert won["per_m_output"] == pytest.approx(dollars * 1400)
    _, shown, _ = ask(capsys, "cost", *words, "--currency", "KRW")
    assert "2,800 KRW" in shown


def test_grid_gives_co2_by_the_kilowatt_hour(capsys: pytest.CaptureFixture[str]) -> None:
    energy = answer(capsys, *ONE, "--grid", "0.5")["energy"]
    assert energy["co2_kg_per_m_output"] == pytest.approx(0.5 * energy["kwh_per_m_output"])
    assert energy["kwh_per_m_output"] == pytest.approx(energy["all_in_joule_per_output_token"] / 3.6)


def test_cached_input_is_free_of_prefill_and_the_average_stays(capsys: pytest.CaptureFixture[str]) -> None:
    money = answer(capsys, *ONE, "--cache-hit", "0.5")["cost"]
    assert money["per_m_cached_input"] == 0
    assert money["per_m_uncached_input"] * 0.5 == pytest.approx(money["per_m_input"])


def test_the_table_of_the_debate(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    target = tmp_path / "debate.md"
    code, shown, _ = ask(
        capsys, "cost", "--chip", "h800,h100,h20,ascend-910b,ascend-910c,cerebras,groq,rngd,mi300x",
        "--model", "llama-70b,deepseek-r1", "--also", "KRW", "--on", "2026-10-15", "--export", str(target),
    )  # fmt: skip
    assert code == 0
    written = target.read_text(encoding="utf-8")
    for chip in ("h800-sxm", "ascend-910c", "wse-3", "groq-lpu-v1", "rngd", "mi300x"):
        assert chip in shown
        assert chip in written
    assert "KRW/M output" in written
    assert "grade" in written


def test_a_chip_without_an_answer_has_its_reason_beside_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    limit = ("--min-speed", "300", "--on", "2026-10-15")
    code, shown, _ = ask(capsys, "cost", "--chip", "h100,wse-3", "--model", "llama-70b", *limit)
    assert code == 0
    assert shown.startswith("llama-3.3-70b; 1,024 tokens in")
    lines = shown.splitlines()
    assert any(line.startswith("h100-sxm") and "cannot run" in line for line in lines)
    assert any(line.startswith("wse-3") and line.rstrip()[-1] in "ABCD" for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--on", "2019-01-01"), 1, "the first is of"),
        (("--currency", "XYZ"), 2, "known currencies are"),
        (("--own", "--pue", "-1"), 2, "PUE must be at least 1"),
        (("--utilisation", "1.2"), 2, "--utilisation 1.2 is out of range"),
        (("--min-speed", "100000"), 1, "lower --min-speed"),
        (("--min-speed", "-4"), 2, "above zero"),
        (("--own", "--life", "0"), 2, "The life must be"),
        (("--own", "--residual", "1.5"), 2, "residual value must be between 0 and 1"),
        (("--own", "--rent", "2 USD/h"), 2, "leave out --own"),
        (("--rent", "-2 USD/h"), 2, "below zero"),
        (("--purchase", "-5 USD"), 2, "below zero"),
        (("--price", "nobody"), 2, "No provider or price terms"),
        (("--on", "soon"), 2, "write it as YYYY-MM-DD"),
        (("--grid", "atlantis"), 2, "regions are"),
        (("--ratio", "-1"), 2, "Input tokens per output token"),
        (("--also", "ZZZ"), 2, "known currencies are"),
    ],
)
def test_bad_input_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, sentence: str
) -> None:
    given = ("--chip", "h100", "--model", "llama-70b", *words)
    got, out, err = ask(capsys, "cost", *given)
    assert (got, out) == (code, "")
    assert sentence in err
    assert err.count("\n") == 1
