"""The parts of the command line which are pure: option values, texts, the table, the card."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.cli import text, values
from tokcalc.cli.listing import matching, years
from tokcalc.cli.pages import answer as card
from tokcalc.cli.pages.comparison import comparison
from tokcalc.cli.table import Column, Spanning, render
from tokcalc.errors import UsageError
from tokcalc.explore.compare import flatten


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("1000", 1000), ("1k", 1000), ("1.5k", 1500), ("128Ki", 131072), ("1M", 10**6), ("10,000", 10_000)],
)
def test_lengths(written: str, tokens: int) -> None:
    assert values.length("--isl", written) == tokens


@given(st.integers(1, values.LONGEST))
def test_a_whole_number_is_itself(value: int) -> None:
    assert values.length("--isl", str(value)) == values.length("--isl", f"{value:,}") == value


@given(st.text(max_size=12))
def test_any_text_is_a_length_or_refused(written: str) -> None:
    try:
        value = values.length("--isl", written)
    except UsageError:
        return
    assert 1 <= value <= values.LONGEST


def test_concurrency_takes_max() -> None:
    assert values.concurrency("MAX") == "max"
    assert values.concurrency("32") == 32


@pytest.mark.parametrize(
    ("chips", "degrees"),
    [
        (8, {"tp": 8, "pp": None, "dp": None}),
        (8, {"tp": 2, "pp": None, "dp": None}),
        (8, {"tp": 2, "pp": 2, "dp": 2}),
        (None, {"tp": 3, "pp": 5, "dp": None}),
        (8, {"tp": None, "pp": None, "dp": None}),
    ],
)
def test_degrees_that_agree(chips: int | None, degrees: dict[str, int | None]) -> None:
    values.degrees(chips, {**degrees, "ep": None})


@pytest.mark.parametrize("degrees", [{"tp": 3}, {"tp": 16}, {"tp": 2, "pp": 2, "dp": 1}, {"pp": 5, "dp": 1}])
def test_degrees_that_contradict(degrees: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="does not make 8 chips"):
        values.degrees(8, {"tp": None, "pp": None, "dp": None, "ep": None, **degrees})


@given(st.floats(1e-9, 1e14))
def test_a_number_keeps_its_digits(value: float) -> None:
    shown = text.number(value)
    assert "e" not in shown
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_a_dash(value: float | None) -> None:
    assert text.number(value) == "-"


def test_amounts_are_written_as_their_currency_is() -> None:
    assert text.money(5800.4, "KRW") == "5,800 KRW"
    assert text.money(57.4, "USD") == "57.40 USD"
    assert text.money(0.0421, "USD") == "0.0421 USD"


def test_year_filters() -> None:
    assert [year for year in (2021, 2023, 2025) if years("2023-")(year)] == [2023, 2025]
    assert [year for year in (2021, 2023, 2025) if years("-2023")(year)] == [2021, 2023]
    assert [year for year in (2021, 2023, None) if years("2023")(year)] == [2023]


def test_an_exact_word_does_not_also_match_what_contains_it() -> None:
    fits = matching("--kind", "ddr", ["ddr", "gddr", "lpddr"])
    assert [kind for kind in ("ddr", "gddr", "lpddr") if fits(kind)] == ["ddr"]


@given(st.integers(30, 140), st.lists(st.lists(st.text("abc ", max_size=30), min_size=4, max_size=4), max_size=6))
def test_a_table_fits_or_is_down_to_one_column(width: int, rows: list[list[str]]) -> None:
    columns = [Column(title, i) for i, title in enumerate(("first", "second", "third", "fourth"))]
    lines = render(columns, rows, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "fourth" in lines[0]


def test_a_table_says_what_it_left_out() -> None:
    columns = [Column("name", 9, right=False), Column("trifle", 1), Column("weight", 5)]
    table = render(columns, [["x" * 20, "1", "2"], Spanning(("y",), "has no weight")], 30)
    assert table.splitlines()[0].split() == ["name", "weight"]
    assert "Left out to fit 30 columns: trifle" in table.replace("\n", " ")
    assert "y" + " " * 21 + "has no weight" in table


def sample(**changes: Any) -> dict[str, Any]:
    """An answer as the contract has it, for a made-up pair."""

    def band(value: float) -> dict[str, float]:
        return {"value": value, "low": 0.8 * value, "high": 1.25 * value}

    speed = {name: band(100.0) for name in ("output_tok_s_user", "output_tok_s", "output_tok_s_chip")}
    return {
        "chip": "chip-x",
        "model": "model-y",
        "deployment": {"chips": 4, "tp": 4, "pp": 1, "dp": 1, "ep": 1, "weights": "fp8", "kv": "fp8"},
        "workload": {"isl": 1024, "osl": 1024, "concurrency": 1},
        "speed": {**speed, "input_tok_s": band(9e3), "ttft_s": band(0.1), "tpot_s": band(0.01)},
        "cost": {"currency": "USD", "per_hour": 8.0, "per_m_input": 0.5, "per_m_output": 22.2},
        "energy": {"joule_per_output_token": 20.0},
        "memory": {"weights_bytes_per_chip": 2e10, "capacity_bytes": 8e10, "used_share": 0.3},
        "bound_by": "memory bandwidth",
        "bound_share": 0.6,
        "grade": "B",
        "terms": [],
        "sources": ["https://example.org"],
        "notes": [],
        "command": "tokcalc --chip chip-x --model model-y " + "--set memory.hbm.pin_rate='8 Gbit/s' " * 3,
        **changes,
    }  # fmt: skip


def test_the_command_on_a_card_can_be_pasted() -> None:
    import shlex

    lines = card.card(sample()).splitlines()
    command = "\n".join(lines[lines.index("to repeat it") + 1 :])
    assert max(map(len, lines)) <= 80
    assert [word for word in shlex.split(command) if word != "\n"] == shlex.split(sample()["command"])


def test_a_card_without_a_price_says_so() -> None:
    page = card.card(sample(cost={"reason": "no price of chip-x is known"}))
    assert "no price of chip-x is known" in page
    assert "USD" not in page


def test_grade_d_looks_different() -> None:
    page = card.card(sample(grade="D"))
    assert "perhaps" in page.splitlines()[0]
    assert "! GRADE D" in page
    assert "~100 tokens/s" in page
    assert "GRADE" not in card.card(sample())


def test_colour_only_when_asked() -> None:
    assert "\x1b" not in card.card(sample())
    assert "\x1b[1m" in card.card(sample(), colour=True)


def test_a_comparison_gives_each_chip_numbers_or_a_reason() -> None:
    table = comparison([sample(), {"chip": "chip-z", "model": "model-y", "reason": "it does not fit"}])
    assert "chip-z  it does not fit" in table
    assert max(map(len, table.splitlines())) <= 80


def test_flatten_joins_keys_and_texts() -> None:
    flat = flatten({"a": {"b": 1, "c": {"d": 2.0}}, "notes": ["x", "y"], "terms": [{"name": "t"}]})
    assert flat == {"a.b": 1, "a.c.d": 2.0, "notes": "x; y"}
