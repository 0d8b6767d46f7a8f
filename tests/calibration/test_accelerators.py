"""Facts about the fit of accelerators: priors of what is free, models left out, what is written."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from tokcalc.calibration.accelerators import class_means, fit, fit_all, left_out_rows, report, resolved
from tokcalc.calibration.targets import Target, fitted_tables, moves, overlaid, targets
from tokcalc.catalog import list_ids
from tokcalc.catalog.tables import joined
from tokcalc.catalog.toml import to_toml
from tokcalc.engines.constants import load_constants
from tokcalc.errors import SpecError, UsageError

SHIPPED = tomllib.loads((resources.files("tokcalc.specs") / "fitted" / "accelerators.toml").read_text(encoding="utf-8"))
FREE = ("gemm.any.eta_m", "stack.layer_us")
CENTRE, WIDTH, MOST = np.array([0.8, 5.0]), np.array([0.1, 0.7]), np.array([1.0, np.inf])
TOY = Target("toy", ("sn40l",), ("sn40l",), FREE, CENTRE, WIDTH, MOST, False)


def rows(speeds: dict[str, float]) -> pd.DataFrame:
    """Single streams of dense models on a rack of SN40L, as measured rows are typed."""
    n = len(speeds)
    wide = {name: np.full(n, np.nan) for name in ("tp", "pp", "dp", "ep", "isl", "osl", "spec_decode")}
    texts = dict.fromkeys(("kv", "engine", "version", "date", "source", "note"), "")
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)], "chip": "sn40l", "chips": 16.0, "model": list(speeds), "weights": "bf16",
            "concurrency": 1.0, "max_load": False, "regime": "decode-b1", "metric": "output_tok_s_user",
            "value": list(speeds.values()), "group": list(speeds), **wide, **texts,
        }
    )  # fmt: skip


def test_every_free_constant_has_a_prior_and_every_chip_a_name() -> None:
    known = set(list_ids("chips"))
    for target in targets():
        assert len(target.centre) == len(target.free)
        assert np.all(target.centre > 0)
        assert np.all(target.width > 0)
        assert set(target.chips) <= known


def test_shipped_constants_say_what_they_were_fitted_to() -> None:
    for target in targets():
        record = SHIPPED["fit"][target.name]
        assert record["rows"] > 0
        assert set(record["chips"]) == set(record["left_out"]) <= set(target.chips)


def test_what_ships_is_every_free_constant_and_nothing_else() -> None:
    found = {"kernels": set(), "sram": set()}
    for target in targets():
        values = dict.fromkeys(target.free, 1.0)
        found["sram" if target.piped else "kernels"] |= leaves(fitted_tables(target, values))
    known = load_constants(fitted=False).tables
    for name, members in moves()["class"].items():
        found["kernels"] |= leaves(class_means(known, name, members))
    assert leaves(SHIPPED["kernels"]) == found["kernels"]
    assert leaves(SHIPPED["sram"]) == found["sram"]


def leaves(table: dict, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Keys of all numbers."""
    parts = (leaves(v, (*path, k)) if isinstance(v, dict) else {(*path, k)} for k, v in table.items())
    return set().union(*parts)


def test_trial_constants_replace_only_their_scope() -> None:
    before = load_constants()
    after = overlaid(before, TOY, {"gemm.any.eta_m": 0.5, "stack.layer_us": 7.0})
    assert after.tables["gemm"]["sn40l"]["any"]["eta_m"] == 0.5
    assert after.tables["stack"]["sn40l"]["layer_us"] == 7.0
    assert after.tables["gemm"]["rngd"] == before.tables["gemm"]["rngd"]
    assert before.tables["gemm"]["sn40l"]["any"]["eta_m"] != 0.5


def test_heavy_tails_give_a_row_up_that_is_far_off() -> None:
    fair = {"llama-3.1-8b": 500.0, "llama-3.1-70b": 60.0, "qwen3-32b": 125.0, "mistral-7b-v0.3": 530.0}
    wrong = fair | {"qwen3-8b": 120.0}
    away = []
    for heavy in (False, True):
        target = replace(TOY, heavy_tails=heavy)
        clean, mixed = fit(rows(fair), target), fit(rows(wrong), target)
        assert clean is not None
        assert mixed is not None
        away.append(np.abs(mixed.in_sample[: len(fair)] - clean.in_sample).max())
    assert away[1] < 0.5 * away[0]


def test_a_model_is_predicted_without_its_own_rows() -> None:
    honest = {"llama-3-8b": 900.0, "llama-2-7b": 900.0, "llama-3.1-8b": 900.0}
    wild = {**honest, "llama-3.1-8b": 300.0}
    first, second = fit(rows(honest), TOY), fit(rows(wild), TOY)
    assert first is not None
    assert second is not None
    shown = [left_out_rows([j]).set_index("model").loc["llama-3.1-8b", "predicted"] for j in (first, second)]
    assert shown[0] == pytest.approx(shown[1], rel=0.02)  # its own value does not matter
    table = report([second])
    assert table["rows"].tolist() == [3]
    assert table["models"].tolist() == [3]


def test_a_class_is_the_geometric_mean_of_its_members() -> None:
    known = joined(SHIPPED["kernels"], load_constants(fitted=False).tables)
    for name, members in moves()["class"].items():
        for kind, by in class_means(known, name, members).items():
            assert SHIPPED["kernels"][kind][name] == by[name]


def test_one_stack_is_fitted_alone_and_the_others_stay_as_shipped() -> None:
    found, _ = fit_all(rows({"llama-3.1-8b": 900.0, "llama-3.1-70b": 150.0, "qwen3-32b": 300.0}), "sn40l")
    assert [judged.target.name for judged in found] == ["sn40l"]
    made = tomllib.loads(to_toml(resolved(found)))
    assert made["fit"]["sn40l"]["rows"] == 3
    assert made["kernels"]["gemm"]["sn40l"]["any"] != SHIPPED["kernels"]["gemm"]["sn40l"]["any"]
    assert made["kernels"]["gemm"]["rngd"] == SHIPPED["kernels"]["gemm"]["rngd"]
    assert made["sram"] == SHIPPED["sram"]
    with pytest.raises(UsageError, match="none of these rows"):
        fit_all(rows({"llama-3.1-8b": 900.0}), "rngd")


def test_a_constant_that_two_tables_share_has_one_start(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"scopes": ["rngd", "apple"], "chips": ["rngd"], "free": ["gemm.any.eta_m"]}
    monkeypatch.setattr("tokcalc.calibration.targets.moves", lambda: {**moves(), "fit": {"odd": entry}})
    with pytest.raises(SpecError, match=r"needs one start in specs/engines, which has 0\.8, 0\.85"):
        targets()
