"""Power and energy of an answer: bounds, sums, boundaries, CO2; the fit finds what made its data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc import estimate
from tokcalc.calibration.power import Case, Fit, fit
from tokcalc.catalog import load_chip
from tokcalc.errors import NoAnswer, UnknownName, UsageError
from tokcalc.money.hour import Terms, chip_hour, own_hour
from tokcalc.money.purchases import class_purchase, purchase
from tokcalc.physics.power import PowerShares, load_shares, power_share, rated_watts, system_ratio, system_watts


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_power_rises_with_work_and_stays_below_the_rated(busy: float, compute: float, more: float) -> None:
    here, there = float(power_share(busy, compute)), float(power_share(busy, min(1.0, compute + more)))
    shares = load_shares()
    assert shares.idle < shares.awake <= here <= there <= shares.ceiling


def test_the_fit_names_its_rows_and_errors() -> None:
    import tomllib
    from importlib.resources import files

    table = tomllib.loads((files("tokcalc.specs") / "fitted" / "power.toml").read_text(encoding="utf-8"))["power"]
    assert table["fit"]["rows"] >= 80
    assert table["fit"]["median_error"] <= 0.20
    assert table["fit"]["p90_error"] <= 0.45


def test_a_fit_finds_the_shares_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    cases = [
        Case(f"group {n % 5}", "h100-sxm", 0.5 + 0.2 * busy + 0.8 * compute, busy, compute, 1.0)
        for n, (busy, compute) in enumerate(zip(rng.uniform(0, 1, 50), rng.uniform(0, 0.3, 50), strict=True))
    ]
    found = fit(cases)
    assert found.shares == pytest.approx((0.5, 0.2, 0.8), abs=1e-6)
    assert found.median_error == pytest.approx(0, abs=1e-6)
    assert (found.rows, found.groups) == (50, 5)


def test_a_fit_is_written_into_the_file_and_read_back() -> None:
    import tomllib

    from tokcalc.catalog.tables import joined, laid_over
    from tokcalc.catalog.toml import to_toml

    done = Fit((0.5, 0.1, 0.9), 12, 3, ("h100-sxm",), 0.11, 0.22, 0.3, 0.4)
    starts = laid_over("power", "power", fitted=False)
    table = joined(tomllib.loads(to_toml(done.tables()))["power"], starts)
    assert table["share"] == {"awake": 0.5, "kernels": 0.1, "compute": 0.9, "ceiling": 1.0}
    assert (table["fit"]["rows"], table["fit"]["p90_error"]) == (12, 0.22)
    assert table["assumed"] == starts["assumed"]


@pytest.mark.parametrize("chip", ["h100", "b200", "mi300x", "cerebras", "groq", "rngd"])
def test_joules_times_tokens_are_watts(chip: str) -> None:
    answer = estimate(chip, "llama-70b", concurrency=16, cache_hit=0.3)
    energy, speed = answer["energy"], answer["speed"]
    spent = sum(energy[f"joule_per_{side}_token"] * speed[f"{side}_tok_s"]["value"] for side in ("input", "output"))
    assert spent == pytest.approx(energy["power_w"], rel=1e-6)
    assert energy["joule_per_output_token_low"] <= energy["joule_per_output_token"]
    assert energy["joule_per_output_token"] <= energy["joule_per_output_token_high"]
    assert energy["all_in_joule_per_output_token"] >= energy["joule_per_output_token"]
    rated = rated_watts(load_chip(chip))
    assert rated is not None
    assert energy["power_w"] <= rated[0] * answer["deployment"]["chips"] * (1 + 1e-9)


def test_all_in_joins_machine_site_and_idle_hours() -> None:
    """An H100 server rates 10.2 kW for 5.6 kW of chips; at a PUE of 1.2 the meter counts 2.186 times that."""
    answer = estimate("h100", "llama-70b", concurrency=32, own={"pue": 1.2})
    energy = answer["energy"]
    ratio = energy["all_in_joule_per_output_token"] / energy["joule_per_output_token"]
    assert ratio == pytest.approx(10.2 / 5.6 * 1.2)
    idle = estimate("h100", "llama-70b", concurrency=32, own={"pue": 1.2}, utilisation=0.5)["energy"]
    assert idle["all_in_joule_per_output_token"] > energy["all_in_joule_per_output_token"]
    assert idle["system_power_w"] < energy["system_power_w"]


def test_a_system_draws_less_with_chips_that_do() -> None:
    """10.2 kW of 8 x 700 W; with 300 W a chip the rest, 575 W a chip, stays: 875 W."""
    less = load_chip("h100", {"power.tdp": "300 W"})
    assert system_watts(load_chip("h100")) == pytest.approx(1275)
    assert system_watts(less) == pytest.approx(875)
    assert less.grades["power.tdp"] == "D"
    assert system_watts(load_chip("h100", {"power.tdp": "300 W", "power.system_power": "8 kW"})) == pytest.approx(1000)
    assert system_watts(load_chip("cerebras", {"power.tdp": "15 kW"})) == pytest.approx(15_000)
    usual = estimate("h100", "llama-70b", concurrency=32, own={})
    frugal = estimate("h100", "llama-70b", concurrency=32, own={}, overrides={"power.tdp": "300 W"})
    assert frugal["energy"]["kwh_per_m_output"] == pytest.approx(usual["energy"]["kwh_per_m_output"] * 875 / 1275)
    assert frugal["cost"]["per_hour"] < usual["cost"]["per_hour"]


@pytest.mark.parametrize("utilisation", [1.0, 0.4])
@pytest.mark.parametrize("watts", [100.0, 1500.0])
def test_a_given_power_drives_the_bill_and_the_energy(watts: float, utilisation: float) -> None:
    own = {"power_w": watts, "electricity": 0.10, "pue": 1.2}
    answer = estimate("h100", "llama-70b", concurrency=32, own=own, utilisation=utilisation)
    energy, speed, chips = answer["energy"], answer["speed"], answer["deployment"]["chips"]
    tokens = (speed[f"{side}_tok_s"]["value"] * utilisation * 3600 / 1e6 for side in ("input", "output"))
    drawn = sum(count * energy[f"kwh_per_m_{side}"] for count, side in zip(tokens, ("input", "output"), strict=True))
    assert drawn == pytest.approx(chips * watts / 1000 * 1.2)
    assert energy["system_power_w"] == pytest.approx(chips * watts)
    free = estimate("h100", "llama-70b", concurrency=32, own={**own, "electricity": 0.0}, utilisation=utilisation)
    assert answer["cost"]["per_hour"] - free["cost"]["per_hour"] == pytest.approx(0.10 * drawn)
    assert "as given" in energy["all_in"]
    assert ("less than the" in energy["all_in"]) == (watts == 100.0)


def test_a_system_without_a_chip_figure_is_its_own_boundary() -> None:
    """CloudMatrix 384: 559 kW for 384 packages, nothing for one of them."""
    chip = load_chip("ascend-910c")
    assert rated_watts(chip) == (pytest.approx(559e3 / 384), "system")
    assert system_ratio(chip) == (1.0, False)
    assert system_watts(chip) == pytest.approx(559e3 / 384)


def test_grids() -> None:
    words = {"concurrency": 32}
    korea = estimate("h100", "llama-70b", grid="KR", **words)["energy"]
    number = estimate("h100", "llama-70b", grid=f"{korea['grid_kg_per_kwh']} kg/kWh", **words)["energy"]
    assert number["co2_kg_per_m_output"] == pytest.approx(korea["co2_kg_per_m_output"])
    with pytest.raises(UnknownName, match="regions are"):
        estimate("h100", "llama-70b", grid="atlantis")
    with pytest.raises(UsageError, match="grid factor"):
        estimate("h100", "llama-70b", grid="-1")


def test_three_ways_to_price_an_hour() -> None:
    chip = load_chip("h100")
    given = chip_hour(chip, Terms(rent="730.5 USD/month"), 1000, 1275)
    assert (given.way, given.value) == ("given", pytest.approx(1.0))
    rented = chip_hour(chip, Terms(on="2026-10-15"), 1000, 1275)
    assert rented.way == "rental"
    assert rented.low <= rented.value <= rented.high
    owned = chip_hour(chip, Terms(own={}, on="2026-10-15"), 1000, 1275)
    assert owned.way == "ownership"
    assert sum(money for _, money in owned.parts) == pytest.approx(owned.value)
    assert owned.low <= owned.value <= owned.high


def test_a_market_after_the_terms() -> None:
    chip = load_chip("h100")
    day = "2026-10-15"
    home = chip_hour(chip, Terms(price="reserved", on=day), 1000, 1275)
    china = chip_hour(chip, Terms(price="reserved@CN", on=day), 1000, 1275)
    assert china.value != home.value
    with pytest.raises(NoAnswer, match="regions with one are"):
        chip_hour(chip, Terms(price="@atlantis", on="2026-10-15"), 1000, 1275)


def test_a_chip_without_a_price_borrows_from_its_class_and_says_so() -> None:
    assert purchase("h800-sxm", "2026-10-15") is None
    borrowed = class_purchase("h800-sxm", "2026-10-15")
    assert borrowed is not None
    assert (borrowed.grade, borrowed.basis) == ("D", "class")
    assert "h100-sxm" in borrowed.borrowed_from
    assert borrowed.low <= borrowed.value <= borrowed.high
    chip = load_chip("h800")
    assert own_hour(chip, Terms(on="2026-10-15"), 1000, 1275) is None
    hour = own_hour(chip, Terms(on="2026-10-15"), 1000, 1275, borrow=True)
    assert hour is not None
    assert "range of" in hour.price["note"]
    assert class_purchase("no-such-chip") is None


def test_an_owners_rates_hold_before_they_were_first_noted() -> None:
    hour = chip_hour(load_chip("cerebras"), Terms(own={}, on="2025-06-01"), 23000, 23000)
    assert "the first known" in hour.price["note"]


def test_power_is_the_sum_of_its_shares() -> None:
    # .5 awake, .2 for kernels half of the time, .8 for a tenth of the peak
    shares = PowerShares(awake=0.5, kernels=0.2, compute=0.8, ceiling=0.75, idle=0.1, host_ratio=1.5)
    assert float(power_share(0.5, 0.1, shares)) == pytest.approx(0.5 + 0.1 + 0.08)
    assert float(power_share(1.0, 0.5, shares)) == 0.75
