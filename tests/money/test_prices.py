"""Prices of a day: what the files say, what the written rules make of them, and how they refuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from tokcalc.catalog import load_chip
from tokcalc.errors import NoAnswer, SpecError, UnknownName, UsageError
from tokcalc.money.amounts import (
    Money,
    convert,
    currencies,
    exchange_rate,
    format_money,
    fx,
    parse_fx,
    parse_money,
    parse_rent,
)
from tokcalc.money.hour import Terms, chip_hour
from tokcalc.money.list_prices import api_models, api_price, api_prices
from tokcalc.money.pricebook import common_grade, median, offer, rows
from tokcalc.money.purchases import purchase
from tokcalc.money.rents import class_range, rental
from tokcalc.money.sites import co2, colo, electricity, finance, pue

DAY = date(2026, 11, 1)
KINDS = ("rental", "purchase", "api", "electricity", "pue", "colo", "co2", "memory", "finance", "fx")


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_a_date_a_number_a_grade_and_a_known_source(kind: str) -> None:
    sources = {row["source"] for row in rows("sources")}
    for row in rows(kind):
        assert date.fromisoformat(row["date"]) <= DAY, row
        assert row["grade"] in tuple("ABCD"), row
        assert row["source"] in sources, row
        values = [row["value"]] if "value" in row else [row["input"], row["output"], row["cached_input"]]
        assert any(values), row
        assert all(float(value) > 0 for value in values if value), row
        if row.get("until"):
            assert row["until"] >= row["date"], row


def test_the_history_is_kept_whole() -> None:
    prices = sum(len(rows(kind)) for kind in KINDS if kind != "api")
    api = sum(bool(row[column]) for row in rows("api") for column in ("input", "output", "cached_input"))
    assert prices + api >= 1178


def test_rents_are_between_a_tenth_of_a_dollar_and_twenty() -> None:
    for row in rows("rental"):
        usd = convert(float(row["value"]), row["currency"], "USD", DAY)
        assert 0.1 < usd < 20, row


def test_h100_in_october_2026_is_the_median_of_eight_neoclouds() -> None:
    price = rental("h100-sxm", "2026-10-07")
    assert price is not None
    assert (price.low, price.high, price.n_offers) == (3.2, 6.16, 8)
    assert price.value == pytest.approx(3.89, abs=0.01)
    assert price.date == date(2026, 10, 5)
    assert price.basis == "offers"
    assert not price.stale
    assert len(set(price.providers)) == price.n_offers
    assert all(source.startswith("http") for source in price.sources)


def test_rents_fell_to_2025_and_rose_again() -> None:
    over_time = [rental("h100-sxm", day) for day in ("2024-02-01", "2025-10-31", "2026-10-07")]
    first, low, last = (price.value for price in over_time if price is not None)
    assert first > low < last


def test_an_answer_never_uses_a_price_of_later() -> None:
    for day in ("2023-06-01", "2024-06-01", "2025-06-01", "2026-06-01"):
        price = rental("h100-sxm", day)
        assert price is not None
        assert price.date.isoformat() <= day


def test_outliers_promotions_and_floors_stay_out_of_the_median() -> None:
    amd = rental("mi300x", "2026-10-07")
    rack = rental("gb200", "2026-10-07")
    assert amd is not None
    assert amd.low > 1.0, "the 0.50 USD listing is a placeholder"
    assert rack is not None
    assert rack.value == 10.5, "4.54 USD was a promotion"


def test_form_factors_are_not_mixed_when_each_has_offers() -> None:
    sxm, pcie = rental("h100-sxm", DAY), rental("h100-pcie", DAY)
    assert sxm is not None
    assert pcie is not None
    assert pcie.value < sxm.value
    assert "form factor" not in sxm.note
    mixed = rental("h100-sxm", "2024-05-15")
    assert mixed is not None
    assert mixed.basis == "median"
    assert "form factor" in mixed.note


def test_terms_and_providers() -> None:
    on_demand, spot = rental("h100-sxm", DAY), rental("h100-sxm", DAY, terms="spot")
    reserved, nebius = rental("h100-sxm", DAY, terms="reserved"), rental("h100-sxm", DAY, terms="nebius")
    assert on_demand is not None
    assert spot is not None
    assert spot.value < on_demand.value
    assert reserved is not None
    assert reserved.value < on_demand.value
    assert nebius is not None
    assert nebius.value == nebius.low == nebius.high == 4.5
    assert nebius.n_offers == 1
    with pytest.raises(UnknownName, match="Nebius"):
        rental("h100-sxm", DAY, terms="nebios")


def test_a_chip_that_is_only_reserved_says_so() -> None:
    price = rental("trainium2", "2026-02-01")
    assert price is not None
    assert price.terms == "reserved"
    with pytest.raises(NoAnswer, match="reserved"):
        rental("trainium2", "2026-02-01", terms="spot")


def test_chinese_node_rents_are_monthly() -> None:
    price = rental("h100-sxm", "2025-03-31", "CNY", region="CN")
    assert price is not None
    assert price.value == pytest.approx(75_000 / 8 / 730, rel=1e-3)
    world = rental("h100-sxm", "2025-03-31")
    assert world is not None
    assert "China" not in " ".join(world.providers)


def test_the_h800_has_only_its_operators_assumption() -> None:
    price = rental("h800-sxm", "2025-03-01")
    assert price is not None
    assert (price.value, price.basis) == (2.0, "assumption")
    assert not price.warnings()
    later = rental("h800-sxm", DAY)
    assert later is not None
    assert later.stale
    assert "more than a year" in later.warnings()[0]


def test_refusals_are_sentences() -> None:
    with pytest.raises(NoAnswer, match="the first is of 2023"):
        rental("h100-sxm", "2020-01-01")
    with pytest.raises(UnknownName, match="KRW"):
        rental("h100-sxm", DAY, "XYZ")
    with pytest.raises(NoAnswer, match="regions with one are"):
        rental("l40s", DAY, region="KR")
    with pytest.raises(UsageError, match="not a date"):
        rental("h100-sxm", "last week")


def test_a_chip_without_a_price_borrows_openly_or_has_none() -> None:
    h20 = class_range("h20", DAY)
    assert h20 is not None
    assert h20.basis == "class"
    assert h20.grade == "D"
    assert "h100-sxm" in h20.borrowed_from
    assert any("h100-sxm" in warning for warning in h20.warnings())
    assert h20.low <= h20.value <= h20.high
    assert rental("h20", DAY) is class_range("wse-3", DAY) is None
    assert class_range("my-chip", DAY) is None
    assert class_range("my-chip", DAY, family="hopper") is not None


def test_a_chip_without_a_rent_is_priced_by_owning_it() -> None:
    wafer = chip_hour(load_chip("wse-3"), Terms(on=DAY.isoformat()), 23_000, 23_000)
    assert wafer.way == "ownership"
    assert wafer.low < wafer.value < wafer.high
    assert chip_hour(load_chip("h100-sxm"), Terms(on=DAY.isoformat()), 1_275, 1_275).way == "rental"


def test_every_price_lies_in_its_range() -> None:
    for row in rows("groups"):
        for terms in (None, "spot", "reserved"):
            try:
                price = rental(row["chip"], DAY, terms=terms)
            except NoAnswer:
                continue
            if price is not None:
                assert price.low <= price.value <= price.high


def test_a_price_in_won_is_the_dollar_price_times_the_rate() -> None:
    usd, krw = rental("h100-sxm", DAY), rental("h100-sxm", DAY, "KRW")
    assert usd is not None
    assert krw is not None
    assert krw.value == pytest.approx(usd.value * fx("KRW", DAY))
    own = rental("h100-sxm", DAY, "KRW", rates={"KRW": 1000.0})
    assert own is not None
    assert own.value == pytest.approx(usd.value * 1000)


def test_purchase_divides_systems_and_marks_defaults() -> None:
    rack, node = purchase("gb200", DAY), purchase("h100-sxm", "2024-12-01")
    assert rack is not None
    assert rack.value == pytest.approx(3_000_000 / 72)
    assert rack.terms == "system"
    assert node is not None
    assert node.value == pytest.approx((310_000 + 300_000) / 2 / 8)
    default = purchase("h100-sxm", DAY)
    assert default is not None
    assert (default.basis, default.grade) == ("assumption", "D")
    wafer = purchase("wse-3", DAY)
    assert wafer is not None
    assert (wafer.low, wafer.value, wafer.high) == (2e6, 2.5e6, 3e6)
    assert purchase("sn40l", DAY) is None
    with pytest.raises(UsageError, match="system or card"):
        purchase("h100-sxm", DAY, item="rack")


def test_cloudmatrix_in_dollars_and_yuan_agree() -> None:
    price = purchase("ascend-910c", "2025-05-01", "CNY")
    assert price is not None
    assert price.value * 384 == pytest.approx(60e6, rel=0.02)


def test_deepseek_r1_list_prices() -> None:
    price = api_price("r1", on="2025-03-01")
    assert (price.provider, price.input, price.output, price.cached_input) == ("DeepSeek", 0.55, 2.19, 0.14)
    assert price.grade == "A"
    others = api_prices("deepseek-r1", "2025-12-31")
    assert [p.output for p in others] == sorted(p.output for p in others)
    assert {"Together", "Fireworks", "SambaNova"} <= {p.provider for p in others}


def test_contradicting_lists_are_decided_and_shown() -> None:
    price = api_price("deepseek-v4-pro", on=DAY)
    assert (price.input, price.output) == (0.435, 0.87)
    assert "1.74/3.48" in price.note
    assert price.grade >= "C"
    before = api_price("deepseek-v4-pro", on="2026-05-20")
    assert (before.input, before.output) == (1.74, 3.48)


def test_a_promotion_ends_on_its_day() -> None:
    assert api_price("deepseek-v3", on="2025-02-07").output == 0.28
    assert api_price("deepseek-v3", on="2025-02-08").output == 1.1


def test_api_names() -> None:
    assert "llama-3.3-70b" in api_models()
    assert api_price("llama-3.3-70b", "cerebras", DAY).output == 1.2
    with pytest.raises(UnknownName, match="deepseek-v3"):
        api_price("deepseek-v33")
    with pytest.raises(UnknownName, match="sellers are"):
        api_price("gpt-4o", "groq", DAY)
    with pytest.raises(NoAnswer, match="the first is of"):
        api_price("deepseek-r1", on="2024-01-01")


def test_sites() -> None:
    korea = electricity("KR", "2025-01-01", "KRW")
    assert korea.value == 182.7
    assert electricity("us-va", DAY).value == 0.1301
    assert electricity("CN", DAY).value > electricity("CN", DAY, tariff="data-centre").value * 0.9
    assert 1.0 < pue(on=DAY).low <= pue(on=DAY).value <= pue(on=DAY).high
    assert pue("google", DAY).value == 1.1
    assert colo(DAY).value == 188.66
    assert co2("FR", DAY).value < co2("KR", DAY).value < co2("CN", DAY).value
    life = finance("life_years", DAY)
    assert (life.low, life.value) == (3, 6)
    with pytest.raises(UnknownName, match="regions are"):
        electricity("Atlantis")
    with pytest.raises(UnknownName, match="operators"):
        pue("Atlantis", DAY)
    with pytest.raises(NoAnswer):
        colo("2010-01-01")


def test_exchange_rates_prefer_the_closest_honest_one() -> None:
    assert fx("KRW", "2026-11-01") == 1529.4619
    assert exchange_rate("KRW", "2025-05-01").date == date(2025, 3, 1), "the year's high is no usual rate"
    assert exchange_rate("KRW", "2024-03-01").basis == "year"
    assert fx("won", DAY, {"KRW": 1400.0}) == 1400
    assert exchange_rate("KRW", "2028-01-01").stale
    with pytest.raises(NoAnswer, match="--fx"):
        fx("KRW", "2019-01-01")
    with pytest.raises(UnknownName, match="yen and for yuan"):
        fx("¥", DAY)


@pytest.mark.parametrize("code", ["USD", "KRW", "CNY", "EUR", "JPY", "AED"])
def test_there_and_back_again(code: str) -> None:
    assert code in currencies()
    assert convert(convert(1234.5, "USD", code, DAY), code, "USD", DAY) == pytest.approx(1234.5)


def test_money_in_another_currency() -> None:
    assert Money(2, "USD").to("KRW", fx={"KRW": 1450}) == Money(2900, "KRW")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234.5, "USD", "$1,234.50"),
        (2900.4, "KRW", "₩2,900"),
        (0, "KRW", "₩0"),
        (1e6, "JPY", "¥1,000,000"),
        (8.2, "CNY", "CN¥8.20"),
        (-3, "EUR", "-€3.00"),
        (0.00123, "USD", "$0.00123"),
        (0.5, "USD", "$0.50"),
        (5, "CHF", "CHF 5.00"),
    ],
)
def test_amounts_are_written_as_their_currency_is(amount: float, currency: str, text: str) -> None:
    assert format_money(amount, currency) == text


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("2 trillion KRW", 2e12, "KRW"),
        ("$3,000", 3000, "USD"),
        ("1.5bn USD", 1.5e9, "USD"),
        ("40 million won", 4e7, "KRW"),
        ("1e6 yuan", 1e6, "CNY"),
        ("250000", 250000, "EUR"),
    ],
)
def test_budgets_in_words(text: str, amount: float, currency: str) -> None:
    assert parse_money(text, "EUR") == Money(amount, currency)


@pytest.mark.parametrize("text", ["", "much", "3", "3 4 USD", "5 USD EUR", "1 bitcoin", "nan USD", "1e400 USD"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_money(text)


def test_rents_in_words() -> None:
    assert parse_rent("2.5 USD/h") == Money(2.5, "USD")
    assert parse_rent("$2.5 per hour") == Money(2.5, "USD")
    assert parse_rent("1461 USD/month") == Money(2, "USD")
    assert parse_rent("2900 won/h") == Money(2900, "KRW")
    assert parse_rent("3", "EUR") == Money(3, "EUR")
    for text in ("-1 USD/h", "2 USD/parsec", "USD/h"):
        with pytest.raises(UsageError):
            parse_rent(text)


def test_rates_of_the_user() -> None:
    assert parse_fx("KRW=1400, EUR=0.86") == {"KRW": 1400, "EUR": 0.86}
    for text in ("KRW", "KRW=x", "KRW=-1", "KRW=0", "KRW=nan"):
        with pytest.raises(UsageError):
            parse_fx(text)


def test_median() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5


def test_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokcalc.money import pricebook

    (tmp_path / "rental.csv").write_text("chip,provider\nmine,me\n", encoding="utf-8")
    (tmp_path / "groups.csv").write_text("chip,series,class\nmine,,own\n", encoding="utf-8")
    monkeypatch.setenv("TOKCALC_PRICES", str(tmp_path))
    pricebook.folder.cache_clear()
    pricebook.rows.cache_clear()
    try:
        assert rows("groups")[0]["class"] == "own"
        with pytest.raises(SpecError, match="lacks the columns terms"):
            rows("rental")
        with pytest.raises(SpecError, match="cannot be read"):
            rows("fx")
    finally:
        pricebook.folder.cache_clear()
        pricebook.rows.cache_clear()


def test_a_number_that_is_none_is_named() -> None:
    from tokcalc.money.pricebook import offer

    with pytest.raises(SpecError, match="needs a number"):
        offer({"value": "two dollars", "date": "2026-01-01"})


@pytest.mark.parametrize(("grades", "common"), [("A", "C"), ("AA", "C"), ("AAA", "A"), ("AABB", "B"), ("ABC", "B")])
def test_a_price_is_as_good_as_its_middle_offer_and_of_few_offers_a_weak_one(grades: str, common: str) -> None:
    one = offer(rows("rental")[0])
    assert common_grade([replace(one, grade=grade) for grade in grades]) == common


def test_grey_markets_set_no_price() -> None:
    """A server of B300s was offered in China for a million dollars, in 2024 one of H100s for 2.7 million CNY."""
    grey = [row for row in rows("purchase") if "grey-market" in row["flags"]]
    assert {row["chip"] for row in grey} == {"b300-sxm", "h100-sxm"}
    for row in grey:
        try:
            price = purchase(row["chip"], DAY, row["currency"], region="CN")
        except NoAnswer:
            continue
        assert price is None or float(row["value"]) / int(row["chips"]) not in (price.low, price.high)
        assert price is None or row["provider"] not in price.providers


def test_offices_bill_data_centres_in_the_united_states_and_industry_elsewhere() -> None:
    assert electricity("US", DAY).terms == electricity("US-VA", DAY).terms == "commercial"
    assert electricity("KR", DAY).terms == electricity("DE", DAY).terms == "industrial"
