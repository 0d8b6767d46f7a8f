"""Quantities as people write them: worked conversions, refusals in one sentence, and round trips."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.errors import UsageError
from tokcalc.units import duration, money, parse, si

POSITIVE = st.floats(min_value=1, max_value=9e20, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3.35 TB/s", "bandwidth", 3.35e12),
        ("400 Gbit/s", "bandwidth", 50e9),
        ("21 PB/s", "bandwidth", 21e15),
        ("900GB/s", "bandwidth", 900e9),
        ("80 GB", "capacity", 80e9),
        ("96 GiB", "capacity", 96 * 2**30),
        ("1,024 MB", "capacity", 1.024e9),
        ("989.4 TFLOP/s", "compute", 989.4e12),
        ("989.4 TFLOPS", "compute", 989.4e12),
        ("2 POP/s", "compute", 2e15),
        ("9.2 Gbit/s", "bitrate", 9.2e9),
        ("9.2 Gbps", "bitrate", 9.2e9),
        ("10.2 kW", "power", 10_200),
        ("25 ms", "time", 0.025),
        ("3 µs", "time", 3e-6),
        ("2 h", "time", 7200),
        ("2.5 kWh", "energy", 9e6),
        ("128k", "tokens", 128_000),
        ("128Ki", "tokens", 131_072),
        ("4096 tokens", "tokens", 4096),
    ],
)
def test_common_spellings(text, kind, value):
    assert parse(text, kind) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("0.8 kilobyte per millisecond", "bandwidth", 800e3),
        ("3.35 terabyte/second", "bandwidth", 3.35e12),
        ("60 GB/min", "bandwidth", 1e9),
        ("1 kWh/h", "power", 1000),
        ("2 watt*hour", "energy", 7200),
    ],
)
def test_other_spellings_go_to_pint(text, kind, value):
    assert parse(text, kind) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("unit", ["GB/s", "MB/s", "Gbit/s", "TB/s"])
def test_the_table_agrees_with_pint(unit):
    from tokcalc.units import registry

    assert parse(f"7 {unit}", "bandwidth") == pytest.approx(registry().Quantity(f"7 {unit}").to("B/s").magnitude)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ("80 GB/s", "capacity", "is a bandwidth, not a capacity"),
        ("5 GB/s", "bitrate", "is a bandwidth, not a bit rate"),
        ("700 W", "energy", "is a power, not an energy"),
        ("80", "capacity", "no unit"),
        ("80 Gb", "capacity", "ambiguous"),
        ("700 mB", "capacity", "did you mean MB"),
        ("3 parsec", "time", "unknown unit"),
        ("-3 GB", "capacity", "negative"),
        ("1e999 GB", "capacity", "finite"),
        ("nan GB", "capacity", "is not a capacity"),
        ("", "power", "is not a power"),
        ("GB", "capacity", "is not a capacity"),
        ("3 GB; rm", "capacity", "is not a capacity"),
        ("2 s^99999999", "time", "is not a time"),
        (float("nan"), "power", "finite"),
        (float("inf"), "power", "finite"),
        (-1, "power", "negative"),
        (10**400, "power", "finite"),
        (None, "power", "is not a power"),
        (True, "power", "is not a power"),
    ],
)
def test_refusals_say_what_was_expected(value, kind, said):
    with pytest.raises(UsageError) as caught:
        parse(value, kind)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plain_number_is_si():
    assert parse(80e9, "capacity") == 80e9
    assert parse(0, "power") == 0


@given(POSITIVE)
def test_written_values_read_back(value):
    assert parse(si(value, "B/s", digits=12), "bandwidth") == pytest.approx(value, rel=1e-9)


@given(st.floats(min_value=1e-9, max_value=50, allow_nan=False))
def test_durations_read_back(value):
    assert parse(duration(value, digits=9), "time") == pytest.approx(value, rel=1e-6)


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_usage_error(text):
    for kind in ("bandwidth", "capacity", "time"):
        try:
            value = parse(text, kind)
        except UsageError:
            continue
        assert 0 <= value < math.inf


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.35e12, "B/s", "3.35 TB/s"),
        (80e9, "B", "80 GB"),
        (989.4e12, "FLOP/s", "989.4 TFLOP/s"),
        (999.999e9, "B", "1 TB"),
        (0, "W", "0 W"),
        (2.1e16, "B/s", "21 PB/s"),
        (math.inf, "s", "inf s"),
    ],
)
def test_si(value, unit, text):
    assert si(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12.3 ms"), (8.5e-7, "850 ns"), (4.2, "4.2 s"), (210, "3.5 min"), (7200, "2 h"), (9e5, "10.4 d")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("currency", "amount", "text"),
    [
        ("USD", 1.234, "1.23 USD"),
        ("USD", 0.0421, "0.0421 USD"),
        ("USD", 12345.6, "12,345.60 USD"),
        ("KRW", 1234.5, "1,234 KRW"),
        ("KRW", 0.42, "0.42 KRW"),
        ("EUR", 0, "0.00 EUR"),
    ],
)
def test_money(currency, amount, text):
    assert money(currency, amount) == text
