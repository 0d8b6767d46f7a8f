"""Points of published fronts: what limits a layout, what a silent source leaves open, and published money."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.physics.operators import component_formats
from tokcalc.validation.frontier import Point, best_rate
from tokcalc.validation.measured import COLUMNS, read_rows
from tokcalc.validation.predict import predict_rows
from tokcalc.validation.price_check import Checked, check, errors
from tokcalc.validation.prices import stated_hour

MODEL = load_model("deepseek-v3")
FP8 = component_formats(MODEL, "fp8", "bf16")
CONSTANTS = load_constants()
POINT = Point(8192.0, 1024.0, 23.0, 30.0, False, False)


def rate(chip: str, point: Point) -> float:
    return best_rate(load_chip(chip), MODEL, FP8, CONSTANTS, point).rate


def test_thirty_streams_of_a_box_give_what_they_say() -> None:
    # 30 requests at 23 tokens/s on eight chips: at most 30 x 23 x 9 / 8 tokens/s a chip, less the wait for prompts
    found = rate("mi300x", POINT)
    assert 0.8 * 30 * 23 * 9 / 8 < found <= 30 * 23 * 9 / 8


def test_more_requests_never_give_less_and_faster_users_never_more() -> None:
    few, many = rate("b200", POINT), rate("b200", replace(POINT, flight=np.inf))
    assert many >= few
    speeds = [rate("b200", replace(POINT, flight=np.inf, user=u)) for u in (10.0, 20.0, 40.0)]
    assert speeds == sorted(speeds, reverse=True)


def test_a_silent_source_is_met_halfway() -> None:
    plain, drafted = (rate("b200", replace(POINT, flight=np.inf, drafted=d)) for d in (False, True))
    assert drafted > plain
    middle = rate("b200", replace(POINT, flight=np.inf, drafted=None))
    assert middle == pytest.approx((plain * drafted) ** 0.5)


def test_a_speed_that_plain_steps_do_not_reach_was_drafted() -> None:
    fast = replace(POINT, user=150.0, flight=np.inf)
    assert np.isnan(rate("b200", fast))
    assert rate("b200", replace(fast, drafted=None)) == rate("b200", replace(fast, drafted=True))


def test_pools_of_their_own_are_whole_replicas() -> None:
    point = replace(POINT, flight=500.0, pooled=True)
    found = best_rate(load_chip("b200"), MODEL, FP8, CONSTANTS, point)
    assert "reading for" in found.words
    assert found.rate > 0


def test_a_stated_hour_is_used() -> None:
    assert stated_hour("at $2.65/GPU-h, about 6000 tok/s/GPU") == 2.65
    assert stated_hour("authors estimate at $2.3/H200-h") == 2.3
    assert stated_hour("cost at 23 tok/s/user") is None


# chip, model, weights, input tokens, tokens/s of a user, requests in flight, tokens/s a chip, USD per million
# tokens; 1,024 output tokens: pages of https://inferencex.semianalysis.com/compare of 2026
FRONTS = [
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 23, 1088, 5856.9, 0.092),
    ("mi300x", "deepseek-v3", "fp8", 8192, 23, 30, 725.2, 0.429),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 32, 1005, 5515.0, 0.099),
    ("mi300x", "deepseek-v3", "fp8", 8192, 32, 18, 601.1, 0.51),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 42, 557, 5219.6, 0.105),
    ("mi300x", "deepseek-v3", "fp8", 8192, 42, 10, 406.3, 0.75),
    ("mi325x", "deepseek-v3", "fp8", 8192, 25, 33, 854.2, 0.416),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 35, 892, 5397.0, 0.101),
    ("mi325x", "deepseek-v3", "fp8", 8192, 35, 19, 677.5, 0.518),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 44, 467, 5160.2, 0.106),
    ("mi325x", "deepseek-v3", "fp8", 8192, 44, 10, 456.8, 0.769),
    ("b200-sxm", "deepseek-v3", "fp8", 1024, 42, 1577, 4791.6, 0.113),
    ("h100-sxm", "deepseek-v3", "fp8", 1024, 42, 558, 266.3, 1.365),
    ("b200-sxm", "deepseek-v3", "fp8", 1024, 71, 59, 1020.2, 0.544),
    ("h100-sxm", "deepseek-v3", "fp8", 1024, 71, 52, 73.4, 4.864),
    ("b200-sxm", "deepseek-v3", "fp8", 1024, 100, 139, 497.5, 1.088),
    ("h100-sxm", "deepseek-v3", "fp8", 1024, 100, 8, 23.3, 15.692),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 75, 160, 2557.7, 0.226),
    ("gb200", "deepseek-v3", "fp8", 8192, 75, 649, 5789.6, 0.106),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 120, 119, 1110.0, 0.488),
    ("gb200", "deepseek-v3", "fp8", 8192, 120, 333, 3987.5, 0.154),
    ("b200-sxm", "deepseek-v3", "fp8", 8192, 164, 21, 751.2, 0.721),
    ("gb200", "deepseek-v3", "fp8", 8192, 164, 27, 817.8, 0.809),
    ("b200-sxm", "gpt-oss-120b", "mxfp4", 1024, 72, 256, 25319.6, 0.022),
    ("mi325x", "gpt-oss-120b", "mxfp4", 1024, 72, 60, 1998.6, 0.179),
    ("b200-sxm", "gpt-oss-120b", "mxfp4", 1024, 86, 256, 22212.9, 0.024),
    ("mi325x", "gpt-oss-120b", "mxfp4", 1024, 86, 31, 1207.8, 0.295),
    ("b200-sxm", "gpt-oss-120b", "mxfp4", 1024, 100, 250, 20938.8, 0.026),
    ("mi325x", "gpt-oss-120b", "mxfp4", 1024, 100, 17, 834.5, 0.427),
]


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> str:
    table = []
    for n, (chip, model, weights, isl, user, flight, rate_, usd) in enumerate(FRONTS):
        row = dict.fromkeys(COLUMNS, "") | {
            "chip": chip, "model": model, "weights": weights, "isl": isl, "osl": 1024, "regime": "price",
            "group": "page", "date": "2026", "source": "https://inferencex.semianalysis.com",
            "note": f"tokens at {user} tok/s/user; ~{flight}",
        }  # fmt: skip
        table.append(row | {"id": f"r{n}", "metric": "total_tok_s", "value": rate_, "chips": 1})
        table.append(row | {"id": f"p{n}", "metric": "usd_per_m_total", "value": usd})
    path = tmp_path_factory.mktemp("fronts") / "fronts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(COLUMNS))
        writer.writeheader()
        writer.writerows({k: v for k, v in row.items() if k in COLUMNS} for row in table)
    return str(path)


@pytest.fixture(scope="module")
def checked(fronts: str) -> list[Checked]:
    return check(read_rows([fronts]))


def test_published_money_is_met(checked: list[Checked]) -> None:
    assert len(checked) == len(FRONTS)
    for way, limit in (("arithmetic", 0.001), ("our hour", 0.25), ("our speed", 0.32), ("both ours", 0.32)):
        apart = errors(checked, way)
        assert len(apart) == len(FRONTS)
        assert np.median(apart) <= limit, way


def test_rows_of_price_are_predicted_as_they_are_checked(fronts: str, checked: list[Checked]) -> None:
    rows = read_rows([fronts])
    rows = rows[rows["id"].isin(["p4", "p23"])].reset_index(drop=True)
    predicted = dict(zip(rows["id"], predict_rows(rows)["predicted"], strict=True))
    ours = {c.id: c.found["both ours"] for c in checked}
    for name, value in predicted.items():
        assert value == pytest.approx(ours[name])
