"""An hour of a chip as a line over watts, and the one split of its money between input and output."""

from __future__ import annotations

import numpy as np
import pytest
from tokcalc.catalog import load_chip
from tokcalc.errors import NoAnswer
from tokcalc.money.cost import input_output, per_million
from tokcalc.money.hour import PriceLine, Terms, chip_hour, price_line

DAY = "2026-10-15"


@pytest.mark.parametrize(
    "terms", [Terms(on=DAY), Terms(on=DAY, own={}), Terms(rent="2 USD/h"), Terms(on=DAY, own={"life_years": 4.0})]
)
def test_the_line_goes_through_the_hours_of_any_load(terms: Terms) -> None:
    chip, rated = load_chip("h100"), 1275.0
    line = price_line(chip, terms, rated)
    watts = np.array([100.0, 640.0, 1275.0])
    hours = [chip_hour(chip, terms, w, rated).value for w in watts]
    assert line.per_hour(1, watts) == pytest.approx(hours)
    assert line.per_hour(8, 8 * watts) == pytest.approx([8 * hour for hour in hours])
    assert (line.per_watt > 0) == (terms.own is not None)


def test_a_chip_without_a_price_has_no_line() -> None:
    with pytest.raises(NoAnswer, match="no price"):
        price_line(load_chip("sn40l"), Terms(on=DAY), 1000.0)


def test_pools_are_split_by_their_money() -> None:
    """A prefill pool of 6 USD an hour and a decode pool of 18: each kind of token pays for its own pool."""
    of_input, of_output = input_output(24.0, 9_000.0, 3_000.0, 6.0 / 24.0, 0.5)
    assert of_input == pytest.approx(per_million(6.0, 9_000.0, 0.5))
    assert of_output == pytest.approx(per_million(18.0, 3_000.0, 0.5))


def test_lines_and_splits_take_arrays() -> None:
    hour = PriceLine(2.0, 1e-4, "ownership", "USD", {}).per_hour(np.array([1, 8]), np.array([0.0, 1e4]))
    cost = input_output(hour, np.array([1e3, 2e3]), np.array([1e3, 1e3]), np.array([0.2, 0.5]))
    tokens = np.array([2e3, 3e3])
    assert cost.blended(np.array([1.0, 2.0])) == pytest.approx(per_million(hour, tokens))
