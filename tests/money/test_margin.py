"""Margins of list prices over cost: DeepSeek's own arithmetic, identities, `tokcalc margin` whole."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.cli.shell import run
from tokcalc.money.list_prices import ApiPrice, api_price
from tokcalc.money.margin import margin


def price(into: float, out: float, cached: float | None = None) -> ApiPrice:
    return ApiPrice("m", "p", "standard", into, out, cached, "USD", date(2025, 2, 28), "A", False, "", "")


def test_deepseeks_day_as_a_margin() -> None:
    """608 B in, 56.3 % cached, 168 B out for 87,072 USD: 545 % over cost, 84.5 % of revenue.

    Source: DeepSeek open-infra-index, day 6, 2025-02.
    """
    r1 = api_price("deepseek-r1", "DeepSeek", "2025-02-28", tier="standard")
    cost = {"per_m_input": 0.0, "per_m_output": 87_072 / 168e3}
    found = margin(r1, cost, 608 / 168, 0.563)
    assert found.markup == pytest.approx(5.45, rel=0.01)
    assert found.margin == pytest.approx(0.845, rel=0.01)


@settings(max_examples=80, deadline=None)
@given(st.floats(0, 100), st.floats(0.01, 100), st.floats(0, 50), st.floats(0.01, 50), st.floats(0, 40))
def test_margin_and_markup_tell_the_same(into: float, out: float, ci: float, co: float, ratio: float) -> None:
    found = margin(price(into, out), {"per_m_input": ci, "per_m_output": co}, ratio, 0.0)
    assert found.revenue == pytest.approx(into * ratio + out)
    assert found.cost == pytest.approx(ci * ratio + co)
    assert found.margin == pytest.approx(1 - found.break_even)
    assert (1 + found.markup) * found.break_even == pytest.approx(1)


def test_cached_input_earns_its_own_price() -> None:
    cost = {"per_m_input": 0.1, "per_m_output": 1.0}
    assert margin(price(1.0, 2.0, 0.1), cost, 2.0, 0.5).revenue == pytest.approx(1.0 + 0.1 + 2.0)
    assert margin(price(1.0, 2.0), cost, 2.0, 0.5).revenue == pytest.approx(4.0)


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["margin", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_every_seller_on_every_chip(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, "--model", "deepseek-r1", "--on", "2026-10-15", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"DeepSeek", "Together"} <= {row["provider"] for row in found["prices"]}
    for row in found["prices"]:
        assert len(row["margins"]) == len(found["costs"]) == 3
        for figures in row["margins"].values():
            assert figures["margin"] == pytest.approx(1 - figures["cost"] / row["revenue"])


def test_text_fits_the_terminal_and_names_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, "--model", "llama-70b", "--chip", "cerebras,groq,h100")
    assert code == 0
    assert "at least 20" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


def test_a_price_of_your_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", "qwen3-32b", "--chip", "h100", "--rent", "2 USD/h", "--input-price", "1 USD")
    code, out, _ = ask(capsys, *words, "--output-price", "3 USD", "--isl", "2000", "--osl", "1000", "--json")
    assert code == 0
    assert json.loads(out)["prices"][0]["revenue"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--model", "deepseek-r1", "--on", "2020-01-01"), 1, "the first is of 2025-02-01"),
        (("--model", "deepseek-r1", "--provider", "nobody"), 2, "sellers are"),
        (("--model", "deepseek-r1", "--input-price", "1"), 2, "give both"),
        (("--model", "deepseek-r1", "--currency", "GBP"), 2, "known currencies are"),
        (("--model", "deepseek-r1", "--cache-hit", "1.4"), 2, "out of range"),
        (("--model", "qwen3-0.6b"), 2, "--input-price and --output-price"),
        (("--model", "deepseek-r1", "--input-price", "-1 USD", "--output-price", "1 USD"), 2, "below zero"),
    ],
)
def test_bad_input_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, sentence: str
) -> None:
    got, out, err = ask(capsys, *words)
    assert (got, out) == (code, "")
    assert sentence in err
    assert err.count("\n") == 1
