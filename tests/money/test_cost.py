"""What a token costs: worked examples by hand, identities, and what no change of inputs may do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.errors import UsageError
from tokcalc.money.cost import (
    bill,
    blend,
    cached_input,
    gross_margin,
    income,
    input_output,
    markup,
    per_million,
    waterfall,
)
from tokcalc.money.energy import co2_per_million, electricity_per_hour, idle_overhead, kwh_per_million, power_at
from tokcalc.money.ownership import Ownership, capital_per_hour, default_ownership, depreciation_per_hour
from tokcalc.money.pricebook import Price


def owned_price(*words: Any, **given: Any) -> Price | None:
    found = default_ownership(*words, **given)
    return None if found is None else found.price()


money = st.floats(0, 1e6)
above_zero = st.floats(1e-3, 1e6)
part = st.floats(0, 1)
used = st.floats(0.01, 1)


# Worked examples by hand


def test_rental() -> None:
    assert per_million(2.0, 1000.0) == pytest.approx(2e6 / 3.6e6)
    assert per_million(8 * 2.5, 2500.0, 0.5) == pytest.approx(4.4444, abs=1e-4)


def test_ownership_without_capital_cost() -> None:
    # 31,250 USD over 5 years; 1.275 kW x 1.15 x 0.10 USD/kWh; 1.275 kW x 180 USD a month of 730.5 hours.
    own = Ownership(purchase=31_250.0, life_years=5.0, power_w=1275.0, pue=1.15, electricity=0.10, colo_kw_month=180.0)
    parts = dict(own.parts())
    assert parts["chip and host"] == pytest.approx(31_250 / 43_830)
    assert parts["electricity"] == pytest.approx(0.146625)
    assert parts["space"] == pytest.approx(1.275 * 180 / 730.5)
    assert parts["cost of capital"] == pytest.approx(0, abs=1e-12)
    assert parts["network"] == parts["staff"] == 0
    assert own.per_hour() == pytest.approx(0.712982 + 0.146625 + 0.314168, abs=1e-5)


def test_ownership_with_capital_cost_network_residual_and_staff() -> None:
    # A fifth of 10,000 is left after 4 years at 10 %: annuity 8000 / 3.169865 + 0.1 x 2000 = 2723.77 a year.
    own = Ownership(purchase=10_000.0, life_years=4.0, residual_share=0.2, cost_of_capital=0.10, staff_share=0.03)
    parts = dict(own.parts())
    assert parts["chip and host"] * 8766 == pytest.approx(2000)
    assert parts["cost of capital"] * 8766 == pytest.approx(723.77, abs=0.01)
    assert parts["staff"] * 8766 == pytest.approx(300)
    assert capital_per_hour(10_000, 4, 0.10, 0.2, "average") * 8766 == pytest.approx(0.1 * 12_000 / 2)
    networked = dict(Ownership(purchase=9_000.0, life_years=3.0, network_share=0.1).parts())
    assert networked["network"] * 8766 == pytest.approx(1000 / 3), "a tenth of 10,000 in all"


def test_split_blend_and_cache() -> None:
    assert input_output(36.0, 10_000.0, 1_000.0, 0.25) == pytest.approx((0.25, 7.5))
    assert blend(0.55, 2.19, 3.0) == pytest.approx(0.96)
    assert cached_input(0.25, 0.5, 0.1) == pytest.approx((0.454545, 0.0454545), abs=1e-6)
    assert cached_input(0.25, 0.5) == (0.5, 0.0)


def test_energy_by_hand() -> None:
    assert power_at(0.5, 100.0, 700.0) == 400
    assert kwh_per_million(3.6) == pytest.approx(1)
    assert co2_per_million(3.6, 0.43) == pytest.approx(0.43)
    assert electricity_per_hour(1275.0, 1.15, 0.10) == pytest.approx(0.146625)
    assert idle_overhead(100.0, 700.0, 0.5) == pytest.approx(400 / 350)
    assert idle_overhead(100.0, 700.0, 1.0) == 1


# DeepSeek's day, as its operator published it


def test_deepseek_day() -> None:
    cost = 226.75 * 8 * 2.0 * 24.0
    earned = income(608e9, 168e9, 0.55, 2.19, hit_share=0.563, per_m_cached=0.14)
    assert earned == pytest.approx(562_027, rel=1e-3)
    assert markup(562_027, 87_072) == pytest.approx(5.45, abs=0.01)
    assert markup(earned, cost) == pytest.approx(5.45, rel=0.01)
    assert gross_margin(562_027, 87_072) == pytest.approx(0.845, abs=1e-3)
    assert per_million(cost / 24, 168e9 / 86_400) == pytest.approx(0.5183, abs=1e-4)


# Identities


@given(money, above_zero, used)
def test_cost_times_tokens_is_the_bill(price: float, rate: float, utilisation: float) -> None:
    tokens_in_an_hour = 3600 * rate * utilisation
    assert bill(per_million(price, rate, utilisation), tokens_in_an_hour) == pytest.approx(price)


@given(money, above_zero, above_zero, part, used)
def test_input_and_output_make_the_bill(
    price: float, into: float, out: float, prefill: float, utilisation: float
) -> None:
    of_input, of_output = input_output(price, into, out, prefill, utilisation)
    hour = 3600 * utilisation
    assert bill(of_input, into * hour) + bill(of_output, out * hour) == pytest.approx(price)


@given(money, st.floats(0, 0.99), part)
def test_cached_and_uncached_average_to_the_whole(price: float, hits: float, relative: float) -> None:
    fresh, cached = cached_input(price, hits, relative)
    assert (1 - hits) * fresh + hits * cached == pytest.approx(price)
    assert cached <= fresh + 1e-9


@given(st.lists(money, min_size=1, max_size=6), above_zero, used)
def test_a_waterfall_ends_where_it_must(parts: list[float], rate: float, utilisation: float) -> None:
    steps = waterfall([(f"part {n}", value) for n, value in enumerate(parts)], rate, utilisation)
    assert steps[-1].name == "total"
    assert steps[-1].per_million == pytest.approx(per_million(sum(parts), rate, utilisation))
    assert sum(s.per_million for s in steps[:-1]) == pytest.approx(steps[-1].per_million)
    assert sum(s.per_hour for s in steps[:-1]) == pytest.approx(steps[-1].per_hour)


@given(st.floats(0, 1e6), st.floats(0.5, 20))
def test_money_for_nothing_makes_capital_free(purchase: float, life: float) -> None:
    assert capital_per_hour(purchase, life, 0.0) == pytest.approx(0, abs=1e-9)
    tiny, average = (capital_per_hour(purchase, life, 1e-9), capital_per_hour(purchase, life, 1e-9, method="average"))
    assert tiny == pytest.approx(0, abs=1e-6 * (1 + purchase))
    assert average == pytest.approx(0, abs=1e-6 * (1 + purchase))


def test_an_annuity_returns_the_price() -> None:
    yearly = (depreciation_per_hour(10_000, 4, 0.2) + capital_per_hour(10_000, 4, 0.1, 0.2)) * 8766
    present = sum(yearly / 1.1**year for year in range(1, 5)) + 2_000 / 1.1**4
    assert present == pytest.approx(10_000)


# What no change may do

OWN: dict[str, Any] = {
    "purchase": st.floats(1, 1e6),
    "life_years": st.floats(0.5, 15),
    "residual_share": st.floats(0, 1),
    "cost_of_capital": st.floats(0, 0.5),
    "power_w": st.floats(0, 3e4),
    "pue": st.floats(1, 3),
    "electricity": st.floats(0, 2),
    "colo_kw_month": st.floats(0, 1000),
    "network_share": st.floats(0, 0.5),
    "staff_share": st.floats(0, 0.2),
    "method": st.sampled_from(["annuity", "average"]),
}


@given(st.fixed_dictionaries(OWN), st.floats(0, 2), above_zero)
def test_dearer_power_never_makes_a_cheaper_token(inputs: dict[str, Any], more: float, rate: float) -> None:
    cheap = per_million(Ownership(**inputs).per_hour(), rate)
    dear = per_million(Ownership(**{**inputs, "electricity": inputs["electricity"] + more}).per_hour(), rate)
    assert dear >= cheap


@given(st.fixed_dictionaries(OWN), st.floats(0.1, 1), above_zero)
def test_a_shorter_life_never_makes_a_cheaper_token(inputs: dict[str, Any], factor: float, rate: float) -> None:
    long = per_million(Ownership(**inputs).per_hour(), rate)
    short = per_million(Ownership(**{**inputs, "life_years": inputs["life_years"] * factor}).per_hour(), rate)
    assert short >= long * (1 - 1e-9)


@pytest.mark.parametrize("name", ["purchase", "pue", "power_w", "colo_kw_month", "staff_share", "cost_of_capital"])
@given(st.fixed_dictionaries(OWN), st.floats(1, 1.5))
def test_more_of_any_cost_is_no_saving(name: str, inputs: dict[str, Any], factor: float) -> None:
    more = Ownership(**{**inputs, name: inputs[name] * factor}).per_hour()
    assert more >= Ownership(**inputs).per_hour() * (1 - 1e-9)


@given(money, above_zero, used, used)
def test_less_use_never_makes_a_cheaper_token(price: float, rate: float, one: float, other: float) -> None:
    assert per_million(price, rate, min(one, other)) >= per_million(price, rate, max(one, other))


# Arrays of cases


def test_arrays_give_what_floats_give() -> None:
    prices, rates = np.array([1.0, 2.0, 4.0]), np.array([100.0, 1000.0, 5000.0])
    assert per_million(prices, rates).tolist() == [per_million(p, r) for p, r in zip(prices, rates, strict=True)]
    lives = np.array([3.0, 4.0, 6.0])
    own = Ownership(purchase=10_000.0, life_years=lives, cost_of_capital=np.array([0.0, 0.05, 0.1]))
    singles = [
        Ownership(purchase=10_000.0, life_years=life, cost_of_capital=rate).per_hour()
        for life, rate in ((3.0, 0.0), (4.0, 0.05), (6.0, 0.1))
    ]
    assert own.per_hour() == pytest.approx(singles)
    assert power_at(np.array([0.0, 0.5, 1.0]), 100.0, 700.0).tolist() == [100, 400, 700]


# Bad input: a sentence each

BAD = [
    (lambda: per_million(2.0, 100.0, 1.2), "Utilisation must be above 0 and at most 1, not 1.2."),
    (lambda: per_million(2.0, 100.0, 0.0), "Utilisation"),
    (lambda: per_million(-1.0, 100.0), "price per hour"),
    (lambda: per_million(math.nan, 100.0), "price per hour"),
    (lambda: per_million(2.0, 0.0), "Tokens per second"),
    (lambda: per_million(2.0, math.inf), "Tokens per second"),
    (lambda: per_million(2.0, np.array([100.0, -5.0])), "not -5"),
    (lambda: input_output(1.0, 1.0, 1.0, 1.5), "share of prefill"),
    (lambda: cached_input(1.0, 1.0, 0.0), "All input is cached"),
    (lambda: blend(1.0, 2.0, -1.0), "Input tokens per output token"),
    (lambda: blend(-1.0, 2.0), "price of input"),
    (lambda: income(1.0, 1.0, 1.0, 1.0, hit_share=1.1), "cached input"),
    (lambda: markup(1.0, 0.0), "Cost"),
    (lambda: gross_margin(0.0, 1.0), "Revenue"),
    (lambda: Ownership(purchase=1.0, life_years=0.0).per_hour(), "The life must be a number above zero, not 0."),
    (lambda: Ownership(purchase=-1.0, life_years=5.0).per_hour(), "purchase price"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, pue=-1.2).per_hour(), "PUE must be at least 1, not -1.2."),
    (lambda: Ownership(purchase=1.0, life_years=5.0, pue=math.nan).per_hour(), "PUE"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, residual_share=2.0).per_hour(), "residual"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, cost_of_capital=-0.1).per_hour(), "cost of capital"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, network_share=1.0).per_hour(), "network share"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, power_w=-1.0).per_hour(), "Power"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, electricity=-1.0).per_hour(), "electricity"),
    (lambda: Ownership(purchase=1.0, life_years=5.0, method="magic").per_hour(), "annuity or average"),
    (lambda: power_at(0.5, 800.0, 700.0), "Idle power is above"),
    (lambda: co2_per_million(1.0, -0.1), "grid factor"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_a_sentence(call: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    message = str(caught.value)
    assert words in message
    assert message.endswith(".")
    assert "\n" not in message


# Defaults from the dated prices


def test_default_ownership_names_its_prices() -> None:
    found = default_ownership("h100-sxm", 1275.0, "2026-11-01")
    assert found is not None
    assert found.inputs.purchase == pytest.approx(31_250)
    assert set(found.prices) >= {"purchase", "electricity", "pue", "colo_kw_month", "life_years", "cost_of_capital"}
    card = default_ownership("groq-lpu-v1", 300.0, "2026-11-01")
    assert card is not None
    assert card.inputs.purchase == pytest.approx(20_000 * 1.26)
    assert any("bare card" in note for note in card.notes)
    rack = default_ownership("gb200", 1800.0, "2026-11-01")
    assert rack is not None
    assert rack.inputs.network_share == 0
    assert default_ownership("sn40l", 1000.0, "2026-11-01") is None


def test_an_owned_hour_in_won() -> None:
    usd = owned_price("wse-3", 23_000.0, "2026-11-01")
    krw = owned_price("wse-3", 23_000.0, "2026-11-01", "KRW")
    assert usd is not None
    assert krw is not None
    assert krw.value == pytest.approx(usd.value * 1529.4619)
    cheaper = owned_price("wse-3", 23_000.0, "2026-11-01", life_years=10.0)
    assert cheaper is not None
    assert cheaper.value < usd.value


DAY = "2026-11-01"


def test_a_given_purchase_price_leaves_the_other_inputs_their_ends() -> None:
    """31,000 USD over 3 to 6 years is no certain hour: the dear end has the short life and the dear site."""
    given = owned_price("h100-sxm", 1275.0, DAY, purchase=31_000.0)
    listed = owned_price("h100-sxm", 1275.0, DAY)
    found = default_ownership("h100-sxm", 1275.0, DAY, purchase=31_000.0)
    assert given is not None
    assert listed is not None
    assert found is not None
    life = found.prices["life_years"]
    short, cheap = ({**vars(found.inputs), "life_years": years} for years in (life.low, life.high))
    assert given.high > Ownership(**short).per_hour() > given.value
    assert given.low < Ownership(**cheap).per_hour()
    assert given.high / given.low == pytest.approx(listed.high / listed.low, rel=0.02), "31,250 USD has one quote"


@pytest.mark.parametrize("name", ["life_years", "electricity", "pue", "colo_kw_month", "network_share"])
def test_an_input_that_is_given_narrows_the_hour(name: str) -> None:
    whole, found = owned_price("h100-sxm", 1275.0, DAY), default_ownership("h100-sxm", 1275.0, DAY)
    assert whole is not None
    assert found is not None
    fixed = owned_price("h100-sxm", 1275.0, DAY, **{name: getattr(found.inputs, name)})
    assert fixed is not None
    assert fixed.value == pytest.approx(whole.value)
    assert fixed.high - fixed.low < whole.high - whole.low


def test_an_owned_hour_has_the_grade_of_its_worst_input() -> None:
    bought = owned_price("h100-sxm", 1275.0, DAY, purchase=31_000.0)
    assert bought is not None
    assert bought.grade == "D", "the cost of capital is a lone default"
    assert "worst input: cost of capital" in bought.note
    assert "purchase as given" in bought.note
    better = owned_price("h100-sxm", 1275.0, DAY, purchase=31_000.0, cost_of_capital=0.1)
    assert better is not None
    assert better.grade == "C"
    own = {"purchase": 31_000.0, "cost_of_capital": 0.1, "life_years": 5.0, "network_share": 0.1, "pue": 1.2,
           "electricity": 0.1, "colo_kw_month": 150.0}  # fmt: skip
    mine = owned_price("h100-sxm", 1275.0, DAY, **own)
    assert mine is not None
    assert (mine.grade, mine.low, mine.high) == ("A", pytest.approx(mine.value), pytest.approx(mine.value))


@given(st.fixed_dictionaries({"purchase": st.floats(1e3, 1e5), "electricity": st.floats(0.01, 1.0)}))
def test_the_ends_of_an_hour_enclose_it(own: dict[str, float]) -> None:
    found = default_ownership("h100-sxm", 1275.0, DAY, **own)
    assert found is not None
    low, high = found.ends()
    assert low <= found.inputs.per_hour() <= high
