"""A refusal of a load or of a latency limit names a way out, and the way works."""

from __future__ import annotations

import re

import pytest
from tokcalc import estimate
from tokcalc.cli.shell import run
from tokcalc.errors import NoAnswer, UsageError
from tokcalc.explore.full_load import loaded


@pytest.mark.parametrize("chip", ["h100", "groq"])
def test_a_first_token_that_cannot_be_so_soon_asks_for_a_longer_wait(chip: str) -> None:
    with pytest.raises(NoAnswer, match="longer --max-ttft") as caught:
        loaded(chip, "llama-70b", ttft=0.001)
    text = str(caught.value)
    assert "--chips" not in text
    assert "--min-speed" not in text
    least = re.search(r"it takes ([\d.]+) s at the least", text)
    assert least is not None
    soon = 1.01 * float(least[1])
    assert loaded(chip, "llama-70b", ttft=soon).ttft_s <= soon
    with pytest.raises(NoAnswer):
        loaded(chip, "llama-70b", ttft=0.98 * float(least[1]))


def test_a_speed_that_no_load_reaches_asks_for_a_lower_one() -> None:
    for ttft in (None, 0.001, 100.0):
        with pytest.raises(NoAnswer, match="lower --min-speed") as caught:
            loaded("h100", "llama-70b", speed=5000.0, ttft=ttft)
        reached = re.search(r"a request gets ([\d.]+) tokens/s", str(caught.value))
        assert reached is not None
    slower = loaded("h100", "llama-70b", speed=0.99 * float(reached[1]))
    assert slower["speed"]["output_tok_s_user"]["value"] >= 0.99 * float(reached[1])


@pytest.mark.parametrize("rate", [1e9, 0.0, -2.0, float("nan")])
def test_a_rate_out_of_bounds_names_both(rate: float) -> None:
    with pytest.raises(UsageError, match="above 0, at most 100,000,000"):
        estimate("h100", "llama-8b", rate=rate)


@pytest.mark.parametrize("concurrency", ["1", "4", "max"])
def test_a_rate_and_a_number_in_flight_are_two_loads(concurrency: str, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--chip", "h100", "--model", "llama-8b"]
    assert run([*base, "--rate", "1", "--concurrency", concurrency]) == 2
    said = capsys.readouterr().err
    assert "--rate" in said
    assert "--concurrency" in said
    for load in (["--rate", "1"], ["--concurrency", concurrency]):
        assert run([*base, *load]) == 0
    if concurrency != "1":
        with pytest.raises(UsageError, match="two loads"):
            estimate("h100", "llama-8b", rate=1.0, concurrency=int(concurrency) if concurrency.isdigit() else "max")
