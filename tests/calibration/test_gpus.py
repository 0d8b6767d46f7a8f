"""Fitting: known constants come back, bounds and priors hold, what is fitted is what is used, the command."""

from __future__ import annotations

import copy
import csv
import json
import tomllib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tokcalc.calibration.gpus import Fit, fingerprint, fit, resolved, with_rows_beside
from tokcalc.calibration.parameters import Space, priors, rules
from tokcalc.calibration.problem import build, predict, solve
from tokcalc.catalog import load_chip
from tokcalc.catalog.tables import joined
from tokcalc.catalog.toml import to_toml
from tokcalc.engines.constants import Constants, load_constants
from tokcalc.errors import UsageError
from tokcalc.validation.measured import COLUMNS, packaged_paths, read_rows
from tokcalc.validation.predict import predict_rows

from ..commands import run

SPECS = Path(str(packaged_paths()[0])).parents[1]


def start() -> Constants:
    return load_constants(fitted=False)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """48 closed-loop setups without values: two chips, three models, TPOT, TTFT and rate."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    setups = (
        ("h100-sxm", "llama-3.3-70b", "fp8", 4), ("h100-sxm", "llama-3.1-8b", "bf16", 1),
        ("h100-sxm", "qwen3-235b-a22b", "fp8", 8), ("b200-sxm", "llama-3.3-70b", "fp8", 2),
    )  # fmt: skip
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS, restval="")
        out.writeheader()
        for chip, model, weights, tp in setups:
            for batch in (1, 4, 16, 64):
                for metric in ("tpot_ms", "ttft_ms", "output_tok_s"):
                    out.writerow(
                        {
                            "id": f"{chip}-{model}-{batch}-{metric}", "chip": chip, "chips": tp, "model": model,
                            "weights": weights, "kv": "fp8" if weights == "fp8" else "bf16", "engine": "vllm", "tp": tp,
                            "pp": 1, "dp": 1, "ep": 1, "isl": 1000, "osl": 500, "concurrency": batch, "spec_decode": 0,
                            "regime": "serving", "metric": metric, "value": 1.0, "group": f"{chip}-{model}",
                            "source": "https://example.org", "date": "2026-01-01",
                        }
                    )  # fmt: skip
    return read_rows([path])


@lru_cache(maxsize=1)
def truth() -> Constants:
    """The starts with longer floors on Hopper and a slower host of vLLM: what the synthetic rows are made with."""
    base = start()
    tables, engines = copy.deepcopy(dict(base.tables)), copy.deepcopy(dict(base.engines))
    for name in tables["gemm"]["hopper"]:
        tables["gemm"]["hopper"][name]["t0_us"] *= 1.5
    engines["vllm"]["step_us"] = engines["vllm"].get("step_us", engines["any"]["step_us"]) * 1.6
    return Constants(tables, engines)


@pytest.fixture(scope="module")
def synthetic(rows: pd.DataFrame) -> pd.DataFrame:
    made = predict_rows(rows, truth())
    assert (made["reason"] == "").all()
    return rows.assign(value=made["predicted"])


@pytest.fixture(scope="module")
def fitted(synthetic: pd.DataFrame) -> Fit:
    return fit(synthetic, folds=2, constants=start())


def errors(found: Fit, z: np.ndarray) -> np.ndarray:
    return np.abs(predict(found.problem, z) - found.problem.log_value)


def test_the_problem_predicts_what_an_answer_predicts(rows: pd.DataFrame) -> None:
    # without deviations the fit's own arithmetic is that of `predict`, row by row
    problem = build(rows, start())
    assert len(problem.rows) == len(rows)
    usual = predict_rows(rows, start())["predicted"].to_numpy()[problem.rows]
    own = np.exp(predict(problem, np.zeros(len(problem.space.widths))))
    assert own == pytest.approx(usual, rel=1e-9)


def test_known_constants_come_back(fitted: Fit) -> None:
    before, after = errors(fitted, np.zeros_like(fitted.z)), errors(fitted, fitted.z)
    assert np.median(before) > 0.04
    assert np.median(after) < 0.4 * np.median(before)
    host = fitted.z[fitted.problem.space.index["step_us.engine", "vllm"]]
    floor = fitted.z[fitted.problem.space.index["t0.family", "hopper"]]
    assert host > 0  # both were raised, and the sum of the two is what a step shows
    assert floor > 0


def test_data_that_the_starts_made_leave_them_alone(rows: pd.DataFrame) -> None:
    made = rows.assign(value=predict_rows(rows, start())["predicted"])
    problem = build(made, start())
    assert np.abs(solve(problem, np.ones(len(problem.rows)))).max() < 1e-6


def test_deviations_stay_within_their_reach(synthetic: pd.DataFrame) -> None:
    # a world ten times slower is no reason to leave the physical range
    found = fit(synthetic.assign(value=synthetic["value"] * 10.0), folds=2, constants=start())
    width = found.problem.space.widths
    assert np.all(np.abs(found.z) <= rules().reach * width + 1e-12)
    assert found.z[0] == 0.0
    assert found.on_bound


def test_deviations_of_groups_are_not_part_of_a_prediction(fitted: Fit) -> None:
    problem = fitted.problem
    own = ~problem.shared
    assert own.sum() > 0
    moved = np.where(own, fitted.z + 1.0, fitted.z)
    assert predict(problem, moved) == pytest.approx(predict(problem, fitted.z), abs=1e-12)
    assert predict(problem, moved, groups=True) != pytest.approx(predict(problem, fitted.z, groups=True))
    names = [key[0] for key in problem.space.index]
    assert {names[i] for i in np.flatnonzero(own)} == {"group.rate", "group.ttft"}


def test_left_out_errors_are_those_of_a_fit_that_saw_nothing_of_the_group(fitted: Fit, synthetic: pd.DataFrame) -> None:
    # changed values of a group do not move its own prediction
    groups = synthetic["group"].to_numpy()
    one = groups == groups[0]
    changed = synthetic.assign(value=np.where(one, synthetic["value"] * 3.0, synthetic["value"]))
    count = len(set(groups))
    alone = fit(synthetic, folds=count, constants=start())
    other = fit(changed, folds=count, constants=start())
    at = (alone.problem.table["group"] == groups[0]).to_numpy()
    # both start from a fit of all rows, so a tolerance of its last steps remains
    assert other.left_out[at] + np.log(3.0) == pytest.approx(alone.left_out[at], abs=0.05)


def test_progress_counts_the_folds(synthetic: pd.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    fit(synthetic, folds=3, constants=start(), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_folds_hold_whole_values_of_the_key(synthetic: pd.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    fit(synthetic, by="chip", constants=start(), progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (2, 2)  # two chips, each left out on its own


def test_too_few_rows_are_refused(synthetic: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="rows can be fitted"):
        fit(synthetic.head(10), folds=2, constants=start())


def test_a_fingerprint_tells_data_apart(synthetic: pd.DataFrame) -> None:
    assert fingerprint(synthetic) == fingerprint(synthetic.copy())
    assert fingerprint(synthetic) != fingerprint(synthetic.assign(value=synthetic["value"] * 1.0001))
    assert fingerprint(synthetic) != fingerprint(synthetic.head(20))


def test_the_table_counts_every_row_once(fitted: Fit) -> None:
    table = fitted.table()
    assert table["n"].sum() == len(fitted.problem.rows)
    assert set(table["metric"]) == {"tpot_ms", "ttft_ms", "output_tok_s"}
    assert (table["p90_ape"] >= table["median_ape"]).all()
    assert fitted.table(("chip",))["n"].tolist() == [12, 36]


# ------------------------------------------------------------------ what is fitted is what is used
def overlay(found: Fit) -> Constants:
    """The constants as `load_constants` would have them with the fit written out and read back."""
    base, read = start(), tomllib.loads(to_toml(resolved(found, start())))
    tables = joined({**read["kernels"], "fit": read["fit"]}, base.tables)
    return Constants(tables, joined(read["engines"], base.engines))


def test_a_fit_reads_back_as_it_was_written(fitted: Fit) -> None:
    plain = resolved(fitted, start())
    assert json.loads(json.dumps(tomllib.loads(to_toml(plain)))) == json.loads(json.dumps(plain))
    record = plain["fit"]["gpus"]
    assert record["rows"] == len(fitted.problem.rows)
    assert record["fingerprint"] == fitted.fingerprint
    assert record["chips"] == ["b200-sxm", "h100-sxm"]


def test_predictions_with_the_written_constants_are_those_of_the_fit(fitted: Fit, synthetic: pd.DataFrame) -> None:
    used = predict_rows(synthetic, overlay(fitted))["predicted"].to_numpy()[fitted.problem.rows]
    assert used == pytest.approx(np.exp(predict(fitted.problem, fitted.z)), rel=0.01)
    assert overlay(fitted).fitted_chips >= {"b200-sxm", "h100-sxm"}


@pytest.fixture(scope="module")
def of_packaged() -> tuple[pd.DataFrame, Fit]:
    table = read_rows(packaged_paths())
    return table, fit(table, folds=2, constants=start())


def away(table: pd.DataFrame, found: Fit) -> np.ndarray:
    used = predict_rows(table, overlay(found))["predicted"].to_numpy()[found.problem.rows]
    gone: np.ndarray = np.abs(used / np.exp(predict(found.problem, found.z)) - 1.0)
    return gone


def test_data_centre_chips_are_used_as_fitted_on_the_packaged_points(of_packaged: tuple[pd.DataFrame, Fit]) -> None:
    table, found = of_packaged
    families = [load_chip(c).family for c in found.problem.table["chip"]]
    plain = np.isin(families, ("ampere", "hopper", "blackwell", "cdna3"))
    one_stage = (found.problem.case.pp == 1) & plain
    assert one_stage.sum() > 20
    assert np.median(away(table, found)[one_stage]) < 0.01


def test_every_packaged_point_is_used_as_fitted(of_packaged: tuple[pd.DataFrame, Fit]) -> None:
    assert np.max(away(*of_packaged)) < 0.01


# ------------------------------------------------------------------ pieces
def test_each_deviation_has_one_place_and_a_prior() -> None:
    space = Space()
    first = space.kernel("gemm", "fp8", "hopper")
    assert space.kernel("gemm", "fp8", "hopper") == first
    other = space.kernel("gemm", "fp8", "ada")
    assert first["t0"][1] == other["t0"][1]  # what a kind in a format has in common
    assert first["t0"][0] != other["t0"][0]
    assert len(space.widths) == len(space.index)
    assert space.widths[0] == 0.0
    assert all(width > 0 for width in priors().values())


def test_toml_keeps_numbers_texts_and_lists() -> None:
    values = {
        "a": {"b": {"x": 1.5e-07, "n": 3, "t": True, "s": 'a "quoted" \\ text', "l": [1.0, 2.5], "e": []}},
        "odd key.with dots": {"y": 1.0},
        "z": 2.0,
    }
    assert tomllib.loads(to_toml(values)) == values


# ------------------------------------------------------------------ the command
@pytest.fixture(scope="module")
def data(synthetic: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The synthetic rows as a measured file."""
    path = tmp_path_factory.mktemp("data") / "synthetic.csv"
    synthetic[list(COLUMNS)].to_csv(path, index=False)
    return str(path)


def stamps() -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in (SPECS / "measured").iterdir()} | {
        str(p): p.stat().st_mtime_ns for p in (SPECS / "fitted").iterdir()
    }


def test_the_command_prints_a_table_and_touches_nothing(data: str, tmp_path: Path) -> None:
    before = stamps()
    done = run("calibrate", "--data", data, "--folds", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "serving" in done.stdout
    assert "in-sample" in done.stdout
    assert "on a bound" in done.stdout
    assert "not identified" in done.stdout
    assert not list(tmp_path.iterdir())
    assert stamps() == before
    assert "[###" not in done.stderr  # no bar where nobody watches


def test_the_command_writes_a_whole_file(data: str, tmp_path: Path) -> None:
    target, each = tmp_path / "mine.toml", tmp_path / "residuals.csv"
    done = run("calibrate", "--data", data, "--folds", "2", "--json", "--write", str(target), "--residuals", str(each))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = tomllib.loads(target.read_text())
    assert report["rows"] == found["fit"]["gpus"]["rows"] == 48
    assert report["fingerprint"] == found["fit"]["gpus"]["fingerprint"]
    assert {"kernels", "engines", "fit"} <= set(found)
    assert "hopper" in found["kernels"]["gemm"]
    assert len(pd.read_csv(each)) == 48
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.toml", "residuals.csv"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--chip", "no-such-chip"), "no-such-chip"),
        (("--chip", "b200-sxm"), "rows can be fitted"),
        pytest.param(("--engine", "no-such-engine"), "rows can be fitted"),
        pytest.param(("--data", str(SPECS / "measured" / "wide-ep.csv"), "--chip", "rngd"), "rows can be fitted"),
        (("--folds", "1"), "--folds 1"),
        (("--folds", "-2"), "--folds -2"),
        (("--leave-out", "colour"), "colour"),
        (("--data", "/no/such/file.csv"), "/no/such/file.csv"),
        (("--suspects", "/no/such/list.csv"), "/no/such/list.csv"),
        (("--what", "watts"), "--what watts"),
        (("--what", "power", "--chip", "h100"), "--chip"),
        (("--what", "bands", "--residuals", "r.csv"), "--residuals"),
        (("--what", "accelerators", "--folds", "3"), "--folds"),
        (("--what", "accelerators"), "none of these rows"),
        (("--what", "power"), "0 groups"),
    ],
)
def test_bad_input_is_one_sentence(words: tuple[str, ...], part: str, data: str) -> None:
    done = run("calibrate", *(() if "--data" in words else ("--data", data)), *words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    last = done.stderr.strip().splitlines()[-1]
    assert part in last
    assert "Traceback" not in done.stderr


def test_a_target_that_cannot_be_written_is_one_sentence(data: str, tmp_path: Path) -> None:
    done = run("calibrate", "--data", data, "--folds", "2", "--write", str(tmp_path / "no" / "such" / "folder.toml"))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_rows_beside_a_series_weigh_less_and_mixtures_only_where_a_machine_is_full(synthetic: pd.DataFrame) -> None:
    full = synthetic.assign(regime="max-load")
    both = with_rows_beside(synthetic, pd.concat([synthetic, full], ignore_index=True))
    more = both.iloc[len(synthetic) :]
    mixture = more["model"] == "qwen3-235b-a22b"
    assert (both["share"].iloc[: len(synthetic)] == 1.0).all()
    assert set(more.loc[~mixture, "share"]) == {0.5}
    assert set(more.loc[mixture, "share"]) == {0.1}
    assert set(more.loc[mixture, "regime"]) == {"max-load"}
    heavy, light = build(synthetic, start()), build(synthetic.assign(share=0.5), start())
    assert light.weight == pytest.approx(0.5 * heavy.weight)
