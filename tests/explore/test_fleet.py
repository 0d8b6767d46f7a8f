"""Fleets: arithmetic of whole units by hand, invariants, growth, and `tokcalc fleet` as a user runs it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.catalog import load_chip
from tokcalc.cli.shell import run
from tokcalc.cli.values import count
from tokcalc.errors import NoAnswer, UsageError
from tokcalc.explore.fleet import (
    Unit,
    demand_of,
    demand_of_users,
    fleet,
    for_budget,
    for_demand,
    for_power,
    for_systems,
    unit_of,
)
from tokcalc.explore.growth import grow
from tokcalc.money.hour import Terms, chip_hour
from tokcalc.physics.power import load_shares


def unit(**changes: object) -> Unit:
    """Eight chips that make 10,000 output tokens/s for 250,000 USD, 8 kW rated, at a PUE of 1.25."""
    values: dict = {
        "systems": 1, "chips": 8, "replicas": 2, "output_tok_s": 10_000.0, "input_tok_s": 10_000.0,
        "prefill_share": 0.25,
        "rated_w": 8000.0, "loaded_w": 6000.0, "awake_w": 5000.0, "pue": 1.25, "currency": "USD",
        "upfront": {"machines": 250_000.0, "network": 25_000.0}, "hourly": {"space": 1.0, "staff": 0.5},
        "energy_price": 0.10, "wear": 6.0, "way": "ownership", "grade": "B",
    }  # fmt: skip
    return Unit(**(values | changes))


def test_a_demand_by_hand() -> None:
    """5 G tokens a day at twice the average: 115,741 tokens/s in the busiest hour, 12 units of 10,000."""
    demand = demand_of(5e9, 1000, 500, 2.0)
    assert demand.peak_output_tok_s == pytest.approx(5e9 * 2 / 86400)
    assert demand.input_per_day == 1e10
    found = for_demand(unit(), demand)
    assert (found.units, found.chips, found.systems) == (12, 96, 12)
    assert found.upfront == 12 * 275_000
    assert found.it_mw == pytest.approx(0.096)
    assert found.site_mw == pytest.approx(0.120)
    assert found.spare == pytest.approx(12 * 10_000 / demand.peak_output_tok_s - 1)
    load = 5e9 / (12 * 10_000 * 86400)
    power_kw = 12 * (5 + load * 1)
    assert found.yearly["electricity"] == pytest.approx(power_kw * 0.10 * 8766)
    assert found.yearly["wear and capital"] == pytest.approx(12 * 6 * 8766)
    assert found.yearly["space"] == pytest.approx(12 * 8766)


def test_users_and_their_habits() -> None:
    assert demand_of_users(1e6, 2, 5, 1024, 512, 1.0).output_per_day == 5.12e9


def test_the_year_is_paid_by_its_tokens() -> None:
    found = for_demand(unit(), demand_of(5e9, 512, 512, 2.0))
    into, out, blended = found.per_million()
    paid = (into * found.served_input_per_day + out * found.served_output_per_day) * 365.25 / 1e6
    assert paid == pytest.approx(found.yearly_total)
    assert into < blended < out


def test_a_rack_holds_systems_by_power() -> None:
    assert fleet(unit(), 11, 1.0, rack_kw=40).racks == 3
    assert fleet(unit(rated_w=120_000.0), 3, 1.0, rack_kw=40).racks == 3
    assert fleet(unit(rated_w=559_000.0), 2, 1.0, rack_kw=40).racks == 8


def test_budget_and_power_buy_whole_units() -> None:
    assert for_budget(unit(), 1_000_000, 2.0).units == 3
    assert for_power(unit(), 40e6, 2.0).units == 4000
    assert for_systems(unit(systems=4), 11, 2.0).units == 2
    one = for_budget(unit(), 1_000_000, 2.0, running_years=5).units
    assert one < 3
    with pytest.raises(NoAnswer, match="buys no system"):
        for_budget(unit(), 100_000, 2.0)
    with pytest.raises(NoAnswer, match="feed no system"):
        for_power(unit(), 5_000, 2.0)
    with pytest.raises(NoAnswer, match="too few"):
        for_systems(unit(systems=4), 3, 2.0)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e6, 1e14), st.floats(1.0, 10.0), st.floats(0.0, 1.0))
def test_the_fleet_always_holds_the_peak(tokens: float, peak: float, reserve: float) -> None:
    demand = demand_of(tokens, 1024, 512, peak)
    found = for_demand(unit(), demand, reserve)
    assert found.unit.output_tok_s * found.units >= demand.peak_output_tok_s * (1 + reserve) * (1 - 1e-6)
    assert found.served_output_per_day == tokens
    assert found.units == 1 or (found.units - 1) * 10_000 < demand.peak_output_tok_s * (1 + reserve) * (1 + 1e-6)
    assert sum(found.yearly.values()) == pytest.approx(found.yearly_total)


@settings(max_examples=60, deadline=None)
@given(st.floats(3e5, 1e12), st.floats(3e5, 1e12))
def test_more_money_never_buys_less(a: float, b: float) -> None:
    low, high = (for_budget(unit(), money, 2.0) for money in sorted((a, b)))
    assert low.units <= high.units
    assert high.upfront <= max(a, b) * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 1.0), st.floats(0.0, 0.5))
def test_dearer_power_never_makes_cheaper_tokens(first: float, more: float) -> None:
    demand = demand_of(5e9, 512, 512, 2.0)
    cheap, dear = (for_demand(unit(energy_price=price), demand).per_million()[1] for price in (first, first + more))
    assert cheap <= dear


def test_growth_by_hand() -> None:
    """Demand doubles, machines fall by a quarter: 12, 24, 47 units at 1, .75 and .5625 of the price."""
    table = grow(unit(), demand_of(5e9, 512, 512, 2.0), 2026, 3, 2.0, 0.25)
    assert [row.units for row in table] == [12, 24, 47]
    assert [row.bought for row in table] == [12, 12, 23]
    assert table[1].spent == pytest.approx(12 * 275_000 * 0.75)
    assert table[2].spent == pytest.approx(23 * 275_000 * 0.5625)
    assert table[2].per_m_output < table[1].per_m_output < table[0].per_m_output


def test_shrinking_demand_buys_nothing_and_keeps_what_stands() -> None:
    table = grow(unit(), demand_of(5e9, 512, 512, 2.0), 2026, 3, 0.5, 0.0)
    assert [row.bought for row in table] == [12, 0, 0]
    assert table[2].per_m_output > table[0].per_m_output


def test_bad_growth_is_refused() -> None:
    demand = demand_of(1e9, 512, 512, 2.0)
    for words in ((2026, 3, -1.0, 0.2), (2026, 3, 2.0, 1.5), (2026, 0, 2.0, 0.2)):
        with pytest.raises(UsageError):
            grow(unit(), demand, *words)


@pytest.mark.parametrize(("words", "value"), [("5e9", 5e9), ("168 billion", 168e9), ("10M", 1e7), ("1,000", 1e3)])
def test_counts_in_words(words: str, value: float) -> None:
    assert count("--users", words) == pytest.approx(value)


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["fleet", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


BASE = ("--chip", "b200", "--model", "deepseek-r1", "--on", "2026-10-15")


def test_chips_side_by_side_serve_the_same_users(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(
        capsys, "--chip", "h200,b200,h20", "--model", "deepseek-r1", "--users", "10M", "--json",
        "--on", "2026-10-15", "--min-speed", "8",
    )  # fmt: skip
    fleets = json.loads(out)
    assert code == 0
    assert {f["output_tokens_per_day"] for f in fleets} == {51.2e9}
    for f in fleets:
        assert f["capacity_output_tokens_per_day"] >= f["output_tokens_per_day"]
        assert f["site_mw"] >= f["it_mw"]
        assert f["output_tok_s_user"] >= 8


def test_two_trillion_won(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, *BASE, "--budget", "2 trillion KRW", "--currency", "KRW", "--build", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["currency"] == "KRW"
    assert 0.99 * 2e12 < found["upfront"] <= 2e12
    parts = ("upfront_machines", "upfront_network", "upfront_buildings")
    assert sum(found[name] for name in parts) == pytest.approx(found["upfront"])


def test_budget_and_reverse_agree(capsys: pytest.CaptureFixture[str]) -> None:
    bought = json.loads(ask(capsys, *BASE, "--budget", "100 million USD", "--json")[1])
    stands = json.loads(ask(capsys, *BASE, "--systems", str(bought["systems"]), "--json")[1])
    assert stands["output_tokens_per_day"] == pytest.approx(bought["output_tokens_per_day"])
    needed = json.loads(
        ask(capsys, *BASE, "--demand", str(bought["output_tokens_per_day"]), "--reserve", "0", "--json")[1]
    )
    assert needed["systems"] == bought["systems"]


def test_rented_machines_cost_nothing_up_front(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ask(capsys, *BASE, "--demand", "1e9", "--rent", "4 USD/h", "--json")
    found = json.loads(out)
    assert (code, found["upfront"], found["way"]) == (0, 0, "given")
    assert found["per_year"] == pytest.approx(found["chips"] * 4 * 8766)


def test_growth_as_table_file_and_plot(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    pytest.importorskip("vl_convert")
    table, plot = tmp_path / "years.csv", tmp_path / "years.svg"
    code, out, _ = ask(capsys, *BASE, "--users", "1M", "--years", "4", "--export", str(table), "--plot", str(plot))
    assert code == 0
    assert "2029" in out
    assert len(table.read_text(encoding="utf-8").splitlines()) == 5
    assert plot.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ((), 2, "give one of"),
        (("--users", "1M", "--power", "1 MW"), 2, "contradict"),
        (("--budget", "3000 USD"), 1, "buys no system"),
        (("--budget", "3000"), 1, "buys no system"),
        (("--budget", "lots"), 2, "not an amount of money"),
        (("--budget", "3 million GBP"), 2, "known currencies are"),
        (("--power", "1 kW"), 1, "feed no system"),
        (("--power", "-3 MW"), 2, "negative"),
        (("--users", "-5"), 2, "not a number"),
        (("--users", "many"), 2, "not a number"),
        (("--users", "1M", "--peak-factor", "0.5"), 2, "must be from 1"),
        (("--users", "1M", "--sessions", "0"), 2, "Sessions a day"),
        (("--demand", "1e9", "--sessions", "2"), 2, "belong to --users"),
        (("--demand", "1e9", "--pue", "-1"), 2, "PUE must be at least 1"),
        (("--demand", "1e9", "--reserve", "-1"), 2, "The reserve"),
        (("--demand", "1e9", "--years", "50", "--growth", "1e9"), 2, "at most 100"),
        (("--demand", "1e9", "--capital", "8"), 2, "cost of capital must be between 0 and 1"),
        (("--budget", "1e9 USD", "--running-years", "inf"), 2, "--running-years"),
        (("--demand", "1e9", "--network", "1"), 2, "network share must be below 1"),
        (("--demand", "1e9", "--rent", "2 USD/h", "--life", "4"), 2, "leave one out"),
        (("--power", "1 MW", "--years", "3"), 2, "grows a demand"),
        (("--demand", "1e9", "--plot", "x.svg"), 2, "give --years"),
        (("--demand", "1e9", "--on", "2015-01-01"), 1, "the first is of"),
    ],
)
def test_bad_input_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, sentence: str
) -> None:
    base = BASE[:4] if "--on" in words else BASE
    got, out, err = ask(capsys, *base, *words)
    assert (got, out) == (code, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert math.isfinite(code)


RENTED = {"upfront": {}, "hourly": {"rent": 10.0}, "energy_price": 0.0, "wear": 0.0, "way": "rent"}


def test_a_rented_fleet_is_paid_for_a_year_at_least() -> None:
    """10 USD an hour are 87,660 USD a year."""
    assert for_budget(unit(**RENTED), 300_000, 2.0).units == 3
    assert for_budget(unit(**RENTED), 300_000, 2.0, running_years=2).units == 1


def test_rents_fall_as_new_machines_do() -> None:
    demand = demand_of(5e9, 1000, 500, 2.0)
    years = grow(unit(**RENTED), demand, 2026, 3, growth=1.0, price_decline=0.3)
    assert [year.running for year in years] == pytest.approx([12 * 87_660 * 0.7**n for n in range(3)])


def test_an_idle_fleet_stays_awake() -> None:
    chip, terms = load_chip("h100"), Terms(own={}, on="2026-10-15")
    found = unit_of(
        estimate(chip, "llama-70b", concurrency=64, own={}, on="2026-10-15"), chip, chip_hour(chip, terms, 1000, 1275)
    )
    assert found.awake_w == pytest.approx(load_shares().awake * found.rated_w)
    assert found.awake_w < found.loaded_w < found.rated_w
