"""A rent that a buyer can repeat: it moves with data alone, is of one tier of providers, and says how old it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.catalog import load_chip
from tokcalc.errors import NoAnswer
from tokcalc.money import rents
from tokcalc.money.groups import rows_of
from tokcalc.money.hour import Terms, chip_hour
from tokcalc.money.pricebook import median, rows
from tokcalc.money.rents import TERMS, TIERS, class_range, rental

FIRST, DAYS = date(2024, 12, 1), 3 * 366
POPULAR = (
    "h100-sxm",
    "h100-pcie",
    "h200-sxm",
    "b200-sxm",
    "b300-sxm",
    "gb200",
    "a100-sxm",
    "mi300x",
    "l40s",
    "rtx-4090",
    "tpu-v6e",
    "trainium1",
)


def data_days(chip: str) -> set[date]:
    """Days on which an offer of the chip becomes known, or is first known to hold no more."""
    found = rows_of("rental", chip)
    ends = {date.fromisoformat(row["until"]) + timedelta(1) for row in found if row["until"]}
    return {date.fromisoformat(row["date"]) for row in found} | ends


def value(chip: str, day: date, terms: str | None = None) -> float | None:
    try:
        price = rental(chip, day, terms=terms)
    except NoAnswer:
        return None
    return None if price is None else price.value


@pytest.mark.parametrize("chip", POPULAR)
def test_a_rent_moves_on_no_day_without_a_datum(chip: str) -> None:
    known, terms = data_days(chip), "on-demand"  # what the default is, without what stands beside it
    days = [FIRST + timedelta(n) for n in range(DAYS)]
    values = [value(chip, day, terms) for day in days]
    assert values[-1] == value(chip, days[-1])
    moved = {day for day, before, now in zip(days[1:], values, values[1:], strict=False) if now != before}
    assert moved <= known
    assert moved, "three years without any news would prove nothing"


def test_reserved_and_spot_rents_and_other_tiers_move_with_data_alone_too() -> None:
    known = data_days("h200-sxm")
    for terms in (*TERMS[1:], *TIERS[1:]):
        quiet = [FIRST + timedelta(n) for n in range(0, DAYS, 5) if FIRST + timedelta(n + 1) not in known]
        assert all(value("h200-sxm", day, terms) == value("h200-sxm", day + timedelta(1), terms) for day in quiet)


def test_a_borrowed_range_moves_with_the_data_of_its_class() -> None:
    known = set().union(*(data_days(row["chip"]) for row in rows("groups") if row["class"] == "hopper"))
    quiet = [day for n in range(0, DAYS, 9) if (day := FIRST + timedelta(n)) + timedelta(1) not in known]
    for day in quiet:
        now, later = class_range("h20", day), class_range("h20", day + timedelta(1))
        assert now is not None
        assert later is not None
        assert (now.value, now.low, now.high) == (later.value, later.low, later.high)


OFFERS = st.lists(
    st.tuples(
        st.sampled_from(["Lambda", "Nebius", "RunPod", "Crusoe", "Vast.ai", "AWS", "neocloud rate cards"]),
        st.sampled_from(["on-demand", "on-demand", "marketplace", "spot"]),
        st.integers(0, 1000),
        st.floats(0.5, 20.0),
    ),
    min_size=1,
    max_size=14,
)


def row(provider: str, amount: float, **more: str) -> dict[str, str]:
    """A row of the file of rents: an offer of today, on demand, anywhere."""
    plain = {
        "chip": "mine",
        "terms": "on-demand",
        "currency": "USD",
        "region": "global",
        "basis": "offer",
        "grade": "B",
    }
    empty = dict.fromkeys(("n", "until", "flags", "source", "note"), "")
    return empty | plain | {"date": FIRST.isoformat(), "provider": provider, "value": str(amount)} | more


@contextmanager
def file_of(made: list[dict[str, str]]) -> Iterator[None]:
    """These rows stand in the file of rents, and no others."""
    caches = (rents._rents_of, rents._rental, rents._beside)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rents, "rows_of", lambda kind, chip: made)
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize(("providers", "basis"), [(4, "median"), (5, "offers")])
def test_five_providers_are_plenty(providers: int, basis: str) -> None:
    """Offers of the chip itself go first from five voices on; four are outweighed by a median that speaks for six."""
    offers = [row(f"cloud {n}", 2.0) for n in range(providers)]
    with file_of([*offers, row("neocloud rate cards", 3.0, basis="median", n="6")]):
        price = rental("mine", FIRST)
    assert price is not None
    assert price.basis == basis


def test_one_provider_of_a_form_factor_speaks_only_where_no_two_do() -> None:
    """A PCIe card: one offer of it, two of a form that is not stated; without these the one is the rent."""
    exact = row("cloud 0", 2.0, chip="h100-pcie")
    with file_of([exact, row("cloud 1", 3.0, chip="h100"), row("cloud 2", 4.0, chip="h100")]):
        three = rental("h100-pcie", FIRST)
    with file_of([exact]):
        alone = rental("h100-pcie", FIRST)
    assert three is not None
    assert alone is not None
    assert (three.value, three.n_offers) == (3.0, 3)
    assert (alone.value, alone.n_offers) == (2.0, 1)


@settings(max_examples=60, deadline=None)
@given(OFFERS, st.integers(0, 2000))
def test_whatever_is_offered(offers: list[tuple[str, str, int, float]], after: int) -> None:
    """Any offers of any ages: between two data the rent stands still, and lies between the cheapest and the dearest."""
    published = {"basis": "median", "n": "4"}
    made = [
        row(
            who,
            amount,
            terms=how,
            date=(FIRST + timedelta(n)).isoformat(),
            **(published if who.startswith("neo") else {}),
        )
        for who, how, n, amount in offers
    ]
    with file_of(made):
        day = FIRST + timedelta(after)
        now, later = value("mine", day), value("mine", day + timedelta(1))
        if (day + timedelta(1)).isoformat() not in {row["date"] for row in made}:
            assert now == later
        if now is not None:
            assert min(o[3] for o in offers) <= now * (1 + 1e-9)
            assert now <= max(o[3] for o in offers) * (1 + 1e-9)


def test_the_h100_stands_still_in_november_2026() -> None:
    """Offers of August used to leave a window of 92 days on 24 November: 3.99 became 4.50 without a datum."""
    before, after = rental("h100-sxm", "2026-11-23"), rental("h100-sxm", "2026-11-24")
    assert before is not None
    assert after is not None
    assert before.value == after.value == pytest.approx(3.89, abs=0.01)
    assert (after.n_offers, after.tier) == (8, "neocloud")
    assert (after.age_days, after.oldest_days) == (50, 93)


def test_the_default_is_the_neoclouds_price_as_others_publish_it() -> None:
    """Published medians of neocloud rate cards, 2026-09: H100 3.85, H200 4.47, B200 6.79."""
    for chip, published in (("h100-sxm", 3.85), ("h200-sxm", 4.47), ("b200-sxm", 6.79)):
        price = rental(chip, "2026-10-15")
        assert price is not None
        assert (price.tier, price.basis) == ("neocloud", "offers")
        assert price.value == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(
    ("chip", "tier", "published"),
    [("h200-sxm", "hyperscaler", 10.3), ("b300-sxm", "hyperscaler", 16.4), ("b300-sxm", "neocloud", 7.89)],
)
def test_tiers_give_what_an_index_publishes_for_them(chip: str, tier: str, published: float) -> None:
    assert value(chip, date(2026, 10, 15), tier) == pytest.approx(published)
    said = [r for r in rows_of("rental", chip) if "subset" in r["flags"] and r["note"] == f"{tier} median"]
    assert [float(r["value"]) for r in said] == [published]


def test_other_tiers_and_terms_stand_beside() -> None:
    price = rental("h100-sxm", "2026-10-15")
    assert price is not None
    beside = price.beside
    assert set(beside) == {*TIERS, *TERMS[1:]}
    assert beside["neocloud"] == price.value
    assert beside["hyperscaler"] > 2 * price.value > 2 * beside["marketplace"]
    assert beside["spot"] < beside["reserved"] < price.value
    for name, found in beside.items():
        assert found == value("h100-sxm", date(2026, 10, 15), name)
    assert value("h100-sxm", date(2026, 10, 15), "on-demand") == price.value


def test_a_chip_that_only_hyperscalers_let_has_their_price_and_says_so() -> None:
    price = rental("tpu-v6e", "2026-10-15")
    assert price is not None
    assert price.tier == "hyperscaler"
    assert price.mark == "old, 1 offer"
    with pytest.raises(NoAnswer, match="No neocloud rent"):
        rental("tpu-v6e", "2026-10-15", terms="neocloud")


def test_form_factors_that_are_not_the_main_one_take_no_median_of_the_main_one() -> None:
    """The rate cards' 3.85 is of H100s mostly SXM; two neoclouds let the PCIe card, an index knows four NVLs."""
    pcie, nvl = rental("h100-pcie", "2026-10-15"), rental("h100-nvl", "2026-10-15")
    assert pcie is not None
    assert nvl is not None
    assert (pcie.value, pcie.n_offers, pcie.tier) == (pytest.approx((2.5 + 3.29) / 2), 2, "neocloud")
    assert (nvl.value, nvl.n_offers, nvl.tier) == (2.93, 4, "mixed")


def test_what_the_flags_leave_out_is_no_price_at_all() -> None:
    """GB200 at 4.54 USD was a promotion: before the first plain offer the chip was let by reservation alone."""
    early = rental("gb200", "2026-06-01")
    assert early is not None
    assert early.terms == "reserved"
    with pytest.raises(NoAnswer, match="the first is of 2026-09-20"):
        rental("gb200", "2026-06-01", terms="on-demand")


def test_every_provider_has_a_tier_with_a_source() -> None:
    table, sources = {row["provider"]: row for row in rows("providers")}, {row["source"] for row in rows("sources")}
    assert all(row["tier"] in (*TIERS, "mixed") and row["source"] in sources for row in table.values())
    assert all(row["grade"] in tuple("ABCD") and row["note"] for row in table.values())
    assert {row["provider"] for row in rows("rental") if row["basis"] in ("offer", "median")} <= set(table)


def test_old_and_lone_prices_are_marked() -> None:
    fresh, lone, old = rental("h100-sxm", "2026-10-15"), rental("gb200", "2026-10-15"), rental("h100-sxm", "2027-10-15")
    assert fresh is not None
    assert lone is not None
    assert old is not None
    assert [price.mark for price in (fresh, lone, old)] == ["", "1 offer", "old"]
    assert old.value == fresh.value


def test_the_answers_record_has_tier_age_number_and_what_stands_beside() -> None:
    record = chip_hour(load_chip("h100"), Terms(on="2026-10-15"), 1000, 1275).price
    assert (record["tier"], record["n"], record["age_days"], record["mark"]) == ("neocloud", 8, 10, "")
    assert record["terms"] == "neocloud on-demand, offers"
    assert record["beside"]["hyperscaler"] > record["beside"]["reserved"]
    assert "rates" not in record


@pytest.mark.parametrize("terms", [Terms(), Terms(own={}), Terms(rent="2 EUR/h")])
def test_exchange_rates_come_with_their_date(terms: Terms) -> None:
    asked = Terms(terms.rent, terms.own, on="2026-10-15", currency="KRW").checked()
    record = chip_hour(load_chip("h100"), asked, 1000, 1275).price
    won = next(rate for rate in record["rates"] if rate["currency"] == "KRW")
    assert f"converted at {won['per_usd']:,.6g} KRW a dollar, the rate of {won['date']}" in record["note"]
    given = Terms(terms.rent, terms.own, on="2026-10-15", currency="KRW", fx="KRW=1400,EUR=0.9").checked()
    assert "converted" not in chip_hour(load_chip("h100"), given, 1000, 1275).price.get("note", "")


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.01, 1)), min_size=1, max_size=9))
def test_a_weighted_median_follows_its_weights_without_jumps(voices: list[tuple[float, float]]) -> None:
    values, weights = [v for v, _ in voices], [w for _, w in voices]
    found = median(values, weights)
    assert min(values) <= found * (1 + 1e-9)
    assert found <= max(values) * (1 + 1e-9)
    assert median(values, [1.0] * len(values)) == pytest.approx(median(values))
    nearly = median(values, [weights[0] * 1.0001, *weights[1:]])
    assert nearly == pytest.approx(found, abs=0.02 * (max(values) - min(values)) + 1e-9)


def test_a_borrowed_rent_is_the_middle_of_its_class() -> None:
    found = class_range("h20", "2026-10-15")
    assert found is not None
    lent = [rental(chip, "2026-10-15") for chip in found.borrowed_from]
    values = sorted(price.value for price in lent if price is not None)
    assert len(values) == 4
    assert found.value == pytest.approx((values[1] + values[2]) / 2)
    assert (found.low, found.high) == (values[0], values[3])
