"""What a user sees of compare and roofline: tables that fit, ratios, filters, files, plots, one-sentence
refusals.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from tokcalc import compare, load_chip
from tokcalc.cli.shell import run as ask
from tokcalc.cli.table import Column, Spanning, render, what_ifs
from tokcalc.errors import UsageError
from tokcalc.explore.compare import filtered, ordered, relative

from ..commands import run

DAY = "2026-07-01"


def test_a_reason_stands_beside_the_columns_that_are_left():
    columns = [Column("chip", 9, right=False), Column("model", 1, right=False), Column("speed", 5)]
    rows = [["h100", "llama-3.3-70b", "12.5"], Spanning(("wse-3", "llama-3.3-70b"), "has no room")]
    lines = render(columns, rows, 24).splitlines()
    assert lines[0].split() == ["chip", "speed"]
    assert lines[3].split() == ["wse-3", "has", "no", "room"]


def test_what_ifs_of_several_chips_are_one_sentence():
    notes = [load_chip(name, memory="hbm4").what_if_note for name in ("h100", "h200", "h100")]
    assert what_ifs(notes[:1]) == notes[:1]
    assert what_ifs(["", *notes]) == ["what-if: memory=hbm4; all else, prices too, as the chips are built"]
    many = [load_chip("h100", {"memory.hbm.stacks": n}).what_if_note for n in (4, 6, 7, 8)]
    assert what_ifs(many)[0].startswith("what-if: 4 of them")
    assert what_ifs(["", ""]) == []


HBM4 = "what-if: memory=hbm4; all else, prices too, as NVIDIA H100 SXM5 80GB is built"
ONE_CHIP = ("--chip", "h100", "--model", "llama-8b", "--memory", "hbm4")


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("compare", *ONE_CHIP), lambda shown: shown[0]["assumptions"]),
        (("sweep", *ONE_CHIP), lambda shown: [shown[0]["what_if"]]),
        (("sweep", *ONE_CHIP, "--columns", "tpot_s"), lambda shown: [shown[0]["what_if"]]),
        (("plan", *ONE_CHIP, "--chips", "1", "--aggregated"), lambda shown: shown["what_if"]),
        (("plan", *ONE_CHIP, "--chips", "1", "--aggregated"), lambda shown: [shown["best"]["what_if"]]),
        (("roofline", *ONE_CHIP), lambda shown: [*shown["what_if"], shown["operators"][0]["what_if"]]),
    ],
)  # fmt: skip
def test_every_table_of_a_what_if_says_so(words, kept, capsys):
    assert ask([*words, "--json"]) == 0
    assert HBM4 in kept(json.loads(capsys.readouterr().out))
    assert ask(list(words)) == 0
    assert HBM4 in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("words", [("sweep", *ONE_CHIP), ("roofline", *ONE_CHIP), ("compare", *ONE_CHIP)])
def test_every_file_of_a_what_if_says_so(words, tmp_path):
    path = tmp_path / "rows.csv"
    assert ask([*words, "--export", str(path)]) == 0
    assert HBM4 in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["compare", "sweep", "roofline"])
def test_tables_of_chips_as_they_are_built_say_nothing_of_what_ifs(command, capsys):
    assert ask([command, "--chip", "h100", "--model", "llama-8b", "--json"]) == 0
    shown = capsys.readouterr().out
    assert "what-if" not in shown


@pytest.mark.parametrize(
    "words",
    [("sweep", *ONE_CHIP, "--grid", "concurrency=1,4"), ("plan", *ONE_CHIP, "--chips", "1", "--aggregated"),
     ("roofline", *ONE_CHIP)],
)  # fmt: skip
def test_every_chart_of_a_what_if_says_so(words, tmp_path):
    path = tmp_path / "chart.svg"
    assert ask([*words, "--plot", str(path)]) == 0
    assert "what-if: memory=hbm4" in path.read_text(encoding="utf-8")


def test_a_shipped_chip_beside_a_copy_of_it_is_no_what_if(tmp_path, capsys):
    shipped = Path(load_chip("h100-sxm").path).read_text(encoding="utf-8")
    copy = tmp_path / "h100-sxm.toml"
    copy.write_text(shipped.replace('bandwidth = "3.35 TB/s"', 'bandwidth = "3.4 TB/s"'), encoding="utf-8")
    assert ask(["roofline", "--chip", f"h100,{copy}", "--dtype", "bf16", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["roofs"]
    assert "what_if" not in first
    assert str(copy) in second["what_if"]


def test_figures_of_grade_d_are_told_in_two_digits(capsys):
    assert ask(["compare", *ONE_CHIP, "--columns", "chip,output_tok_s_user,grade", "--on", DAY]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("h100-sxm"))
    digits = row.split()[1].removeprefix("~").replace(",", "")
    assert row.split()[1].startswith("~")
    assert float(digits) == float(f"{float(digits):.2g}")
    assert "~ marks figures of grade D, in two digits." in shown
    assert ask(["compare", "--chip", "h100", "--model", "llama-8b", "--on", DAY]) == 0
    assert "~" not in capsys.readouterr().out


def test_compare_takes_lists_of_any_option():
    table = compare("h100,b200", "llama-8b,llama-70b", isl=[1000, 8000], weights=["bf16", "fp8"], on=DAY)
    assert len(table) == 2 * 2 * 2 * 2
    assert list(table["chip"].unique()) == ["h100-sxm", "b200-sxm"]
    assert (table["workload.isl"].head(2) == [1000, 1000]).all()


def test_ratios_of_the_baseline_are_one():
    rows = [{**row, "asked": 0} for row in compare("h100,b200", "llama-8b", on=DAY).to_dict("records")]
    for row in rows:
        row.pop("reason", None)
    against = relative(rows, "h100-sxm")
    assert against[0]["relative.user_speed"] == 1.0
    assert against[0]["relative.cost"] == 1.0
    speed = "speed.output_tok_s_user.value"
    assert against[1]["relative.user_speed"] == pytest.approx(rows[1][speed] / rows[0][speed])


def test_sorting_and_filtering():
    rows = [{"chip": "a", "speed.tpot_s.value": 2.0, "grade": "A"}, {"chip": "b", "speed.tpot_s.value": 1.0,
    "grade": "C"},
            {"chip": "c", "reason": "no"}]  # fmt: skip
    assert [row["chip"] for row in ordered(rows, "tpot_s")] == ["b", "a", "c"]
    assert [row["chip"] for row in ordered(rows, "-tpot_s")] == ["a", "b", "c"]
    assert [row["chip"] for row in filtered(rows, "tpot_s<=1.5")] == ["b"]
    assert [row["chip"] for row in filtered(rows, "grade<=B")] == ["a"]
    assert [row["chip"] for row in filtered(rows, "chip=a,c")] == ["a", "c"]
    with pytest.raises(UsageError, match="tpot_s"):
        filtered(rows, "tpots>1")
    with pytest.raises(UsageError, match="not a number"):
        filtered(rows, "tpot_s>fast")


class TestCompare:
    def test_a_table_in_80_columns_with_baseline(self):
        done = run("compare", "--chip", "b200,wse-3", "--model", "llama-70b", "--isl", "1k,8k", "--baseline", "h100")
        assert done.returncode == 0, done.stderr
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
        assert "h100-sxm" in done.stdout
        assert "times" in done.stdout
        assert "left out to fit 80" in done.stdout

    def test_a_case_without_an_answer_has_its_reason(self):
        done = run("compare", "--chip", "h100,b200", "--model", "deepseek-v3", "--chips", "1,16")
        assert done.returncode == 0
        assert "does not fit" in done.stdout
        none = run("compare", "--chip", "h100,b200", "--model", "deepseek-v3", "--chips", "1")
        assert none.returncode == 1

    @pytest.mark.parametrize("ending", ["csv", "json", "md", "tex", "html", "xlsx", "parquet"])
    def test_every_ending(self, ending, tmp_path):
        path = tmp_path / f"t.{ending}"
        done = run("compare", "--chip", "h100,b200", "--model", "llama-8b", "--export", str(path), "--on", DAY)
        assert done.returncode == 0, done.stderr
        readers = {"csv": pd.read_csv, "json": pd.read_json, "xlsx": pd.read_excel, "parquet": pd.read_parquet}
        if ending in readers:
            assert len(readers[ending](path)) == 2
        else:
            assert "h100-sxm" in path.read_text()

    @pytest.mark.parametrize(
        ("kind", "extra"),
        [("terms", []), ("batch", ["--concurrency", "1,8,64"]), ("context", ["--isl", "1k,8k"]),
         ("cost", ["--concurrency", "1,8,64"]), ("pareto", ["--concurrency", "1,8,64"])],
    )  # fmt: skip
    def test_every_kind_of_plot(self, kind, extra, tmp_path):
        path = tmp_path / "p.svg"
        done = run(
            "compare", "--chip", "h100,b200", "--model", "llama-70b", *extra, "--plot", str(path), "--plot-kind", kind
        )
        assert done.returncode == 0, done.stderr
        assert path.read_text().startswith("<svg")

    def test_json_of_chosen_columns(self):
        done = run("compare", "--chip", "h100,b200", "--model", "llama-8b", "--columns", "chip,tpot_s", "--json")
        assert [sorted(row) for row in json.loads(done.stdout)] == [["chip", "speed.tpot_s.value"]] * 2

    @pytest.mark.parametrize(
        "extra",
        [["--columns", "foo"], ["--sort", "foo"], ["--filter", "foo"], ["--filter", "foo>1"],
        ["--plot-kind", "pie"],
         ["--isl", "1k,,8k"], ["--weights", "fp3"], ["--chips", "0"], ["--baseline", "nochip"], ["--export",
         "a.foo"],
         ["--export", "/missing/a.csv"], ["--plot", "a.gif"], ["--chip", "nochip"], ["--concurrency", "0"],
         ["--plot-kind", "batch", "--plot", "a.svg"]],
    )  # fmt: skip
    def test_bad_input_is_one_sentence(self, extra, tmp_path):
        done = run("compare", "--chip", "h100", "--model", "llama-8b", *extra, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
        assert os.listdir(tmp_path) == []


class TestRoofline:
    def test_points_stay_under_their_roofs(self):
        found = json.loads(run("roofline", "--chip", "h100,b200", "--model", "llama-70b", "--json").stdout)
        peaks = {(roof["chip"], roof["dtype"]): roof for roof in found["roofs"]}
        assert found["operators"]
        for point in found["operators"]:
            roof = peaks[point["chip"], point["dtype"]]
            assert point["ops_s"] <= roof["peak_ops_s"]
            assert point["ops_s"] <= point["intensity"] * roof["bandwidth_bytes_s"] * (1 + 1e-9)

    def test_the_ridge_is_peak_over_bandwidth(self):
        found = json.loads(run("roofline", "--chip", "h100", "--json").stdout)
        chip = load_chip("h100")
        bf16 = next(roof for roof in found["roofs"] if roof["dtype"] == "bf16")
        assert bf16["ridge"] == pytest.approx(chip.peak_ops_s["bf16"] / chip.bandwidth_bytes_s)

    def test_text_fits_and_files_are_written(self, tmp_path):
        done = run("roofline", "--chip", "h100", "--model", "llama-70b", "--tp", "4", "--plot", "r.svg",
        "--export", "r.csv",
                   cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
        assert sorted(os.listdir(tmp_path)) == ["r.csv", "r.svg"]

    @pytest.mark.parametrize(
        "extra", [["--dtype", "fp3"], ["--batch", "0"], ["--batch", "1,"], ["--plot", "r.gif"], ["--tp", "0"]]
    )
    def test_bad_input_is_one_sentence(self, extra, tmp_path):
        done = run("roofline", "--chip", "h100", "--model", "llama-8b", *extra, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.strip().splitlines()) == 1
