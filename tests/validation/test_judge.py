"""Errors of predictions against measured rows: worked examples, the contract's files, the gate, the plot."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.errors import NoAnswer, SpecError, UsageError
from tokcalc.report.plots.judged import save_plot
from tokcalc.validation.causes import worst
from tokcalc.validation.gate import failures, read_expected, write_expected
from tokcalc.validation.judge import PREDICTED, as_json, judge, skipped, summarise, validate_rows, write_predictions
from tokcalc.validation.measured import COLUMNS, METRICS, packaged_paths, packaged_rows, read_rows, read_table

from ..commands import run

SERVING = next(path for path in packaged_paths() if path.name == "serving.csv")


def measured(*values: float, **columns: object) -> pd.DataFrame:
    """Rows of one setup with the given measured values; columns may be lists."""
    base: dict[str, object] = dict.fromkeys(COLUMNS, "")
    base |= {"chip": "h100-sxm", "model": "llama-3.1-8b", "regime": "decode-b1", "metric": "tpot_ms"}
    base |= dict.fromkeys(("tp", "pp", "dp", "chips", "isl", "osl", "concurrency"), 1.0)
    base |= {"ep": math.nan, "spec_decode": 0.0, "weights": "fp8", "kv": "fp8", "max_load": False, "suspect": ""}
    base |= {"id": [f"r/{i}" for i in range(len(values))], "family": "hopper"}
    return pd.DataFrame(base | {"value": list(values)} | columns, index=range(len(values)))


def predicted(*values: float, width: float = 0.0, **columns: object) -> pd.DataFrame:
    numbers = np.array(values, dtype=float)
    low, high = numbers * (1 - width), numbers * (1 + width)
    return pd.DataFrame({"predicted": numbers, "low": low, "high": high, "grade": "A", "bound_by": "memory"} | columns)


def test_errors_of_a_worked_example() -> None:
    # ratios 0.9, 1.1, 1.2, 2.0: errors 0.1, 0.1, 0.2, 1.0
    judged = judge(measured(10, 10, 10, 10), predicted(9, 11, 12, 20, width=0.15))
    line = summarise(judged).iloc[0]
    assert line["n"] == line["predicted"] == 4
    assert line["median_ape"] == pytest.approx(0.15)
    assert line["p90_ape"] == pytest.approx(0.2 + 0.7 * 0.8)
    assert line["bias"] == pytest.approx(math.sqrt(1.1 * 1.2) - 1)
    # bands 7.65..10.35, 9.35..12.65, 10.2..13.8, 17..23: 10 lies in the first two
    assert line["in_band"] == 0.5


def test_a_row_without_a_prediction_counts_but_has_no_error() -> None:
    judged = judge(measured(10, 10, 10), predicted(11, math.nan, 0, reason=["", "no such format", ""]))
    line = summarise(judged).iloc[0]
    assert (line["n"], line["predicted"]) == (3, 1)
    assert line["median_ape"] == pytest.approx(0.1)
    assert list(judged["reason"]) == ["", "no such format", "the model gave no prediction"]
    assert skipped(judged) == [("no such format", 1), ("the model gave no prediction", 1)]


def test_summary_by_keys() -> None:
    rows = measured(10, 10, 10, regime=["serving", "serving", "energy"])
    table = summarise(judge(rows, predicted(10, 12, 5)), ["regime", "chip"])
    assert list(table["regime"]) == ["energy", "serving"]
    assert list(table["n"]) == [1, 2]
    assert list(table["median_ape"]) == pytest.approx([0.5, 0.1])


def test_an_unknown_key_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"'colour'.*chip, model, regime"):
        summarise(judge(measured(1), predicted(1)), ["colour"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0.1, 10)), min_size=1, max_size=30))
def test_errors_do_not_depend_on_the_unit(pairs: list[tuple[float, float]]) -> None:
    values = [value for value, _ in pairs]
    answers = [value * ratio for value, ratio in pairs]
    one = summarise(judge(measured(*values), predicted(*answers))).iloc[0]
    thousand = summarise(judge(measured(*(1000 * v for v in values)), predicted(*(1000 * a for a in answers)))).iloc[0]
    for key in ("median_ape", "p90_ape", "bias"):
        assert one[key] == pytest.approx(thousand[key], rel=1e-6, abs=1e-9)
    assert one["median_ape"] <= one["p90_ape"] + 1e-12


def test_a_perfect_model_has_no_error_no_bias_and_every_value_in_band() -> None:
    line = summarise(judge(measured(3, 5, 8), predicted(3, 5, 8))).iloc[0]
    assert (line["median_ape"], line["p90_ape"], line["bias"], line["in_band"]) == (0, 0, 0, 1)


def test_the_json_of_the_contract() -> None:
    judged = judge(measured(10, 10, chip=["h100-sxm", "rngd"]), predicted(11, math.nan))
    answer = json.loads(json.dumps(as_json(judged, ["chip"]), allow_nan=False))
    assert (answer["rows"], answer["predicted"], answer["skipped"]) == (2, 1, 1)
    first, second = answer["summary"]
    assert first["by"] == {"chip": "h100-sxm"}
    assert first["median_ape"] == pytest.approx(0.1)
    assert second == {"by": {"chip": "rngd"}, "n": 1, "predicted": 0} | dict.fromkeys(
        ("median_ape", "p90_ape", "bias", "in_band")
    )


def test_suspects_are_left_out_in_a_second_summary() -> None:
    rows = measured(10, 10, suspect=["", "exponent lost"])
    answer = as_json(judge(rows, predicted(11, 1000)))
    assert answer["summary"][0]["n"] == 2
    assert answer["suspects"]["rows"] == 1
    assert answer["suspects"]["summary_without"][0]["median_ape"] == pytest.approx(0.1)


def test_predictions_keep_every_row_in_its_place(tmp_path: Path) -> None:
    data = tmp_path / "in.csv"
    cells = "h100-sxm,1,llama-3.1-8b,,,,,,,,,128,128,max,max-load,output_tok_s"
    data.write_text(",".join(COLUMNS) + f'\nb,{cells},100,0,g,,u,first\na,{cells},200.0,0,g,,u,"se,cond"\n')
    raw, rows = read_table([data])
    judged = judge(rows, predicted(110, math.nan, reason=["", "no, none"]))
    out = tmp_path / "out.csv"
    write_predictions(raw, judged, out)
    with out.open(newline="") as handle:
        first, second = csv.DictReader(handle)
    assert list(first) == [*COLUMNS, *PREDICTED]
    assert (first["id"], first["concurrency"], first["ratio"]) == ("b", "max", "1.1")
    assert (second["value"], second["note"]) == ("200.0", "se,cond")
    assert (second["predicted"], second["reason"]) == ("", "no, none")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    raw, judged = measured(1)[["id"]], judge(measured(1), predicted(1))
    with pytest.raises(UsageError, match="cannot write"):
        write_predictions(raw, judged, tmp_path / "none" / "out.csv")


def test_the_worst_rows_come_first_by_log_ratio() -> None:
    table = worst(judge(measured(10, 10, 10, 10), predicted(10, 4, 20, math.nan)), 2)
    assert list(table["id"]) == ["r/1", "r/2"]


def test_likely_causes() -> None:
    rows = measured(
        *[10] * 6,
        group=["g", "g", "g", "", "", ""],
        kv=["fp8"] * 5 + [""],
        max_load=[False] * 5 + [True],
        isl=[1, 1, 1, math.nan, 1, 1],
        metric=["tpot_ms"] * 4 + ["ttft_ms", "output_tok_s"],
        regime=["serving"] * 6,
        note=[""] * 4 + ["queueing", ""],
    )
    table = worst(judge(rows, predicted(20, 20.5, 21, 14, 3, 13)), 6).set_index("id")
    assert "constant of this group" in table.loc["r/0", "cause"]
    assert "length unknown" in table.loc["r/3", "cause"]
    assert "queue" in table.loc["r/4", "cause"]
    assert "KV format unknown" in table.loc["r/5", "cause"]


def test_the_same_setup_in_two_versions_points_at_software_age() -> None:
    rows = measured(10, 20, engine="vllm", version=["0.5", "0.10"])
    causes = worst(judge(rows, predicted(15, 15)), 2)["cause"]
    assert causes.str.contains("software age").all()


def test_the_gate_holds_for_its_own_rows_and_fails_when_one_family_worsens(tmp_path: Path) -> None:
    rows = measured(10, 10, 10, family=["hopper", "hopper", "wse"])
    path = tmp_path / "expected.toml"
    write_expected(judge(rows, predicted(11, 11, 12)), path)
    expected = read_expected(path)
    assert expected["hopper"] == {"median_ape": 0.1, "rows": 2, "predicted": 2}
    assert failures(judge(rows, predicted(11, 11, 12)), expected) == []
    assert failures(judge(rows, predicted(10.9, 11.09, 12.19)), expected) == []
    assert failures(judge(rows, predicted(11.2, 11.2, 12)), expected) == [
        "hopper: median error 12.0%, 10.0% at the last release"
    ]


def test_the_gate_fails_when_a_hard_row_is_no_longer_predicted(tmp_path: Path) -> None:
    rows = measured(10, 10)
    path = tmp_path / "expected.toml"
    write_expected(judge(rows, predicted(11, 30)), path)
    found = failures(judge(rows, predicted(11, math.nan)), read_expected(path))
    assert found == ["hopper: 1 rows predicted, 2 before"]


@pytest.mark.parametrize("text", ["[hopper", "hopper = 3", '[hopper]\nmedian_ape = "good"', "[hopper]\nrows = -1"])
def test_a_broken_expectation_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"expected\.toml"):
        read_expected(path)


@pytest.mark.parametrize("ending", ["svg", "png", "html"])
def test_the_plot_is_one_file_that_needs_no_network(tmp_path: Path, ending: str) -> None:
    rows = measured(10, 20, 5, family=["hopper", "wse", "hopper"], metric=["tpot_ms", "e2e_s", "output_tok_s"])
    path = tmp_path / f"plot.{ending}"
    save_plot(judge(rows, predicted(11, 18, 9)), METRICS, path)
    content = path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending == "svg":
        text = content.decode()
        assert "measured time (ms)" in text
        assert "predicted speed (tokens/s)" in text
        assert "hopper" in text
    if ending == "html":
        assert b'<script src="http' not in content


def test_a_plot_of_another_kind_or_of_nothing_is_refused(tmp_path: Path) -> None:
    judged = judge(measured(10), predicted(math.nan))
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.html"):
        save_plot(judged, METRICS, tmp_path / "plot.gif")
    with pytest.raises(NoAnswer, match="nothing to plot"):
        save_plot(judged, METRICS, tmp_path / "plot.svg")


def double(rows: pd.DataFrame) -> pd.DataFrame:
    """A closed predictor: twice the measured value, band a factor of 3 wide on each side."""
    value = rows["value"] * 2
    return pd.DataFrame(
        {"predicted": value, "low": value / 3, "high": value * 3, "grade": "A", "bound_by": "memory", "reason": ""}
    )


def test_unknown_chips_and_models_are_skipped_with_a_reason() -> None:
    rows = measured(1, 1, 1, chip=["h100-sxm", "abacus", "h100-sxm"], model=["llama-3.1-8b", "llama-3.1-8b", "oracle"])
    judged = validate_rows(rows, double)
    assert list(judged["predicted"].notna()) == [True, False, False]
    assert "chip 'abacus' is unknown" in judged.loc[1, "reason"]
    assert "model 'oracle' is unknown" in judged.loc[2, "reason"]
    assert judged.loc[1, "family"] == "unknown"


def test_every_packaged_point_is_judged() -> None:
    rows = packaged_rows()
    judged = validate_rows(rows, double)
    assert list(judged["id"]) == list(rows["id"])
    line = summarise(judged).iloc[0]
    assert line["predicted"] == len(rows)
    assert line["median_ape"] == pytest.approx(1)
    assert line["in_band"] == 1


def test_the_command_prints_tables_and_writes_the_files_of_the_contract(tmp_path: Path) -> None:
    out, summary = tmp_path / "out.csv", tmp_path / "out.json"
    done = run("validate", "--by", "chip,regime", "--predictions", out, "--json", summary)
    assert done.returncode == 0, done.stderr
    for title in ("Error by chip, regime", "Worst 10 rows"):
        assert title in done.stdout
    answer = json.loads(summary.read_text())
    assert answer["rows"] >= 150
    assert answer["predicted"] + answer["skipped"] == answer["rows"]
    assert set(answer["summary"][0]["by"]) == {"chip", "regime"}
    assert len(out.read_text().splitlines()) == answer["rows"] + 1


def test_tables_are_by_chip_regime_and_metric_where_nobody_says() -> None:
    shown = run("validate", "--data", packaged_paths()[0]).stdout
    for title in ("Error by chip", "Error by regime", "Error by metric"):
        assert title in shown


def test_the_command_with_json_to_stdout_prints_nothing_else() -> None:
    done = run("validate", "--data", packaged_paths()[0], "--json", "-")
    assert json.loads(done.stdout)["rows"] == len(read_rows(packaged_paths()[:1]))


def test_prices_are_recomputed_four_ways() -> None:
    ways, data = ("arithmetic", "our hour", "our speed", "both ours"), SERVING.with_name("energy-price.csv")
    done = run("validate", "--prices", "--data", data)
    assert done.returncode == 0, done.stderr
    for way in ways:
        assert f"{way}: median error" in done.stdout
    listed = json.loads(run("validate", "--prices", "--data", data, "--json", "-").stdout)
    assert all(set(item["found"]) == set(ways) for item in listed)
    assert run("validate", "--prices", "--data", SERVING).returncode == 1  # no price among them


def test_the_command_refuses_bad_input_with_exit_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"\x00\xff")
    wrong: list[list[str | Path]] = [["--data", bad], ["--by", "colour"], ["--by", ""], ["--worst", "-1"]]
    for arguments in (*wrong, ["--plot", "x.gif"], ["--prices", "--by", "chip"]):
        done = run("validate", *arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
