"""Facts about the bands of accelerators: quantiles of residuals of models left out, other stacks as a few rows."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from tokcalc import estimate
from tokcalc.calibration.bands import by_chip, by_regime, factor, quantity, residuals, rules, unseen, weighted_quantile
from tokcalc.calibration.targets import targets
from tokcalc.catalog.toml import to_toml
from tokcalc.trust.bands import band_factor, has_own

FILE = files("tokcalc.specs") / "fitted" / "bands.toml"
SHIPPED = tomllib.loads(FILE.read_text(encoding="utf-8"))["bands"]["chips"]


def rows(**away: list[float]) -> pd.DataFrame:
    """Residuals of time per token by stack, each of a model of its own."""
    parts = [
        pd.DataFrame({"fit": fit, "chip": f"{fit}-chip", "model": [f"m{i}" for i in range(len(values))],
                      "quantity": "tpot", "away": values})
        for fit, values in away.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_a_quantile_of_equal_weights_lies_between_neighbours() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.ones(3)
    assert weighted_quantile(values, weights, 0.5) == 2.0
    assert weighted_quantile(values, weights, 1 / 6) == pytest.approx(1.0)
    assert weighted_quantile(values, np.array([10.0, 1.0, 1.0]), 0.5) > 2.5


def test_few_rows_take_the_width_of_the_others_and_many_their_own() -> None:
    wide = [0.5] * 40
    few, many = rows(a=[0.01], b=wide), rows(a=[0.01] * 200, b=wide)
    assert factor(few, "a-chip", "a", "tpot") == pytest.approx(np.exp(0.5), rel=0.01)
    assert factor(many, "a-chip", "a", "tpot") == pytest.approx(np.exp(0.01), rel=0.01)
    nobody = factor(many, "c-chip", "c", "tpot")  # a stack without rows
    assert nobody > factor(many, "a-chip", "a", "tpot")
    assert np.isnan(factor(few, "a-chip", "a", "ttft"))
    assert rules()["chips"]["others"] > 0


def test_a_chip_with_rows_of_its_own_stands_on_them_more_than_on_its_siblings() -> None:
    both = pd.concat([rows(a=[0.3] * 20), rows(a=[0.05] * 40).assign(chip="twin")], ignore_index=True)
    assert factor(both, "a-chip", "a", "tpot") == pytest.approx(np.exp(0.3), rel=0.01)
    assert factor(both, "twin", "a", "tpot") == pytest.approx(np.exp(0.05), rel=0.01)
    assert rules()["chips"]["sibling"] < 1


def test_a_row_is_judged_by_a_band_that_did_not_see_its_model() -> None:
    calm = [0.1] * 20
    judged = rows(a=[*calm, 2.0], b=calm)
    found = unseen(judged)
    assert found[20] == pytest.approx(np.exp(0.1))  # its own 2.0 does not widen it
    assert factor(judged, "a-chip", "a", "tpot") >= found[20]


def test_the_file_reads_back() -> None:
    judged = rows(a=[0.1, 0.2, 0.3], b=[0.2] * 4)
    bands = by_chip(judged, {"a-chip": (3, 2 / 3), "b-chip": (4, 1.0)})
    found = tomllib.loads(to_toml(bands))
    assert set(found) == {"a-chip", "b-chip"}
    assert (found["a-chip"]["rows"], found["a-chip"]["held"]) == (3, 0.67)
    assert found["a-chip"]["tpot"]["A"] >= factor(judged, "a-chip", "a", "tpot")


def of_gpus(n: int, **columns: object) -> pd.DataFrame:
    """Residuals of a regime of GPUs with a spread of a fifth, ten rows a group."""
    ratio = np.exp(np.random.default_rng(0).normal(0, 0.2, n))
    base = {"regime": "serving", "metric": "tpot_ms", "grade": "A", "moe": False, "ratio": ratio}
    return pd.DataFrame(base | {"group": [f"g{i // 10}" for i in range(n)]} | columns)


def test_a_band_holds_the_share_that_it_is_made_for() -> None:
    judged = of_gpus(2000)
    found = by_regime(judged)["tpot"]["A"]  # closed loops give the table without a regime
    inside = (1 / found <= judged["ratio"]) & (judged["ratio"] <= found)
    assert inside.mean() == pytest.approx(0.8, abs=0.02)


def test_regimes_and_mixtures_have_tables_of_their_own_where_enough_rows_judge() -> None:
    found = by_regime(
        pd.concat(
            [
                of_gpus(200, regime="max-load", metric="output_tok_s"),
                of_gpus(200, regime="max-load", metric="output_tok_s", moe=True),
                of_gpus(200, moe=True),
                of_gpus(10, regime="static-batch", metric="e2e_s"),  # too few
                of_gpus(200, regime="open-loop", group="one hand"),
            ]
        )
    )
    assert {name: sorted(table) for name, table in found.items()} == {
        "max-load": ["throughput"], "max-load-moe": ["throughput"], "moe": ["tpot"],
    }  # fmt: skip


def test_a_weaker_grade_is_never_narrower_than_what_a_better_one_measured() -> None:
    wide = of_gpus(2000)
    found = by_regime(wide.assign(ratio=np.exp(4.0 * np.log(wide["ratio"]))))["tpot"]
    assert found["A"] == found["B"] == found["C"] > band_factor("tpot", "C")


def test_metrics_have_the_quantity_of_their_answer() -> None:
    assert [quantity(m) for m in ("tpot_ms", "output_tok_s_user", "ttft_ms", "output_tok_s", "e2e_s")] == [
        "tpot", "tpot", "ttft", "throughput", "throughput",
    ]  # fmt: skip
    part = pd.DataFrame({"chip": ["x"], "model": ["m"], "metric": ["ttft_ms"]})
    assert residuals([("f", part, np.array([-0.3]))]).to_dict("records") == [
        {"fit": "f", "chip": "x", "model": "m", "quantity": "ttft", "away": 0.3}
    ]


def test_every_fitted_chip_has_bands_of_its_own() -> None:
    fitted = {chip for target in targets() for chip in target.chips}
    assert set(SHIPPED) == fitted
    for chip in fitted:
        assert has_own(chip)
        assert all(1.0 < SHIPPED[chip][of]["A"] < 4.0 for of in ("tpot", "ttft", "throughput"))
    assert not has_own("h100-sxm")


def test_an_answer_states_its_chips_band() -> None:
    speed = estimate("rngd", "llama-8b").to_dict()["speed"]["tpot_s"]
    assert speed["high"] / speed["value"] == pytest.approx(SHIPPED["rngd"]["tpot"]["A"], rel=1e-6)
    assert band_factor("tpot", "D", "rngd") == band_factor("tpot", "D")  # announced chips keep the general one
    assert band_factor("energy", "A", "rngd") == band_factor("energy", "A")
