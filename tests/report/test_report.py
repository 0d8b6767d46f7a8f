"""Tables on paper: each format read back by a library that reads it, and files whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokcalc.errors import TokcalcError, UsageError
from tokcalc.report import check, endings, render, write
from tokcalc.report.files import whole_file
from tokcalc.report.rows import as_table, number_text, unit_of
from tokcalc.report.terminal import display_width, layout, short_number
from tokcalc.report.terminal_plot import bars, scatter

ROWS = [
    {"chip": "h100-sxm", "output_tok_s_user": 98.125, "batch": 64, "tpot_s": 0.0101875, "fits": True},
    {"chip": "퓨리오사 rngd", "output_tok_s_user": math.nan, "batch": 1, "tpot_s": None, "fits": False},
]
NASTY = ["a|b", "50% & $3_#{}~^\\", '<b>"x"</b>', "=1+1", "+cmd", "-cmd", "@sum", "[x]", "*y*", "two\nlines", "``--''"]
AWKWARD = [{"text": text, "n": place} for place, text in enumerate(NASTY)]


class Cells(HTMLParser):
    """The rows of the table in a page, as text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def markdown_cells(text: str) -> list[list[str]]:
    """The cells of a GitHub table: split at bars that no backslash guards, then unescaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    split = [re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in row] for row in split]


@pytest.mark.parametrize("given_rows", [ROWS, pd.DataFrame(ROWS)], ids=["list", "frame"])
def test_csv_is_read_back_by_pandas(tmp_path: Path, given_rows: object) -> None:
    write(given_rows, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv")
    assert list(frame.columns) == list(ROWS[0])
    assert frame["output_tok_s_user"][0] == 98.125
    assert frame["output_tok_s_user"].isna().tolist() == [False, True]
    assert frame["chip"][1] == "퓨리오사 rngd"


@pytest.mark.parametrize("given_rows", [ROWS, pd.DataFrame(ROWS)], ids=["list", "frame"])
def test_json_is_a_list_of_objects_with_null_for_nan(tmp_path: Path, given_rows: object) -> None:
    write(given_rows, tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found == [ROWS[0], {**ROWS[1], "output_tok_s_user": None}]
    assert len(pd.read_json(tmp_path / "a.json")) == 2


def test_json_keeps_containers_and_has_no_infinity() -> None:
    assert json.loads(render([{"terms": [{"s": math.inf}], "n": np.int64(3)}], "json")) == [
        {"terms": [{"s": None}], "n": 3}
    ]
    assert json.loads(render([], "json")) == []


@pytest.mark.parametrize("given_rows", [ROWS, pd.DataFrame(ROWS)], ids=["list", "frame"])
def test_parquet_keeps_types_and_units(tmp_path: Path, given_rows: object) -> None:
    write(given_rows, tmp_path / "a.parquet", title="two chips")
    found = pq.read_table(tmp_path / "a.parquet")
    assert [str(field.type) for field in found.schema] == ["string", "double", "int64", "double", "bool"]
    assert found.schema.field("tpot_s").metadata == {b"unit": b"s"}
    assert found.schema.metadata[b"title"] == b"two chips"
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert frame["chip"].tolist() == [row["chip"] for row in ROWS]
    assert math.isnan(frame["output_tok_s_user"][1])


def test_parquet_takes_mixed_columns(tmp_path: Path) -> None:
    mixed = [{"a": 1, "b": "x", "c": 2**70, "d": None}, {"a": 2.5, "b": 3, "c": 1, "d": None}]
    write(mixed, tmp_path / "a.parquet")
    found = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert found == {"a": [1.0, 2.5], "b": ["x", "3"], "c": [float(2**70), 1.0], "d": [None, None]}


@pytest.mark.parametrize("given_rows", [ROWS, pd.DataFrame(ROWS)], ids=["list", "frame"])
def test_excel_has_typed_cells_units_and_a_frozen_header(tmp_path: Path, given_rows: object) -> None:
    write(given_rows, tmp_path / "a.xlsx", title="chips: two/three?")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    assert sheet.freeze_panes == "A2"
    assert sheet.title == "chips  two three"
    header = [cell.value for cell in sheet[1]]
    assert header == ["chip", "output_tok_s_user (tok/s/user)", "batch", "tpot_s (s)", "fits"]
    assert [cell.value for cell in sheet[2]] == list(ROWS[0].values())
    assert [cell.data_type for cell in sheet[2]] == ["s", "n", "n", "n", "b"]
    assert sheet["B3"].value is None
    assert sheet["D3"].value is None


def test_excel_takes_dates_infinities_and_what_a_cell_cannot_hold(tmp_path: Path) -> None:
    rows = [
        {"day": date(2026, 1, 2), "at": datetime(2026, 1, 2, 3, 4), "x": math.inf, "t": "bad\x00\x1b" + "y" * 40000}
    ]
    write(rows, tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    assert sheet["A2"].value == datetime(2026, 1, 2)
    assert sheet["B2"].value == datetime(2026, 1, 2, 3, 4)
    assert sheet["C2"].value == "inf"
    assert sheet["D2"].value.startswith("bad\ufffd\ufffdyyy")


def test_spreadsheets_run_no_text_as_a_formula(tmp_path: Path) -> None:
    rows = [{"t": "=1+1"}, {"t": "+1+cmd"}, {"t": "-2+3"}, {"t": "@SUM(A1)"}, {"t": "\t=1"}, {"t": -5}, {"t": "-5"}]
    write(rows, tmp_path / "a.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "a.xlsx").active
    cells = [sheet.cell(row, 1) for row in range(2, 9)]
    assert [cell.data_type for cell in cells] == ["s", "s", "s", "s", "s", "n", "s"]
    assert [cell.value for cell in cells] == [row["t"] for row in rows]
    assert all(cell.quotePrefix for cell in cells[:4])
    shown = [row[0] for row in csv.reader(io.StringIO(render(rows, "csv")))][1:]
    assert shown == ["'=1+1", "'+1+cmd", "'-2+3", "'@SUM(A1)", "'\t=1", "-5", "-5"]


def test_excel_refuses_more_rows_than_a_sheet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1,048,576 rows.*\.parquet"):
        write(pd.DataFrame({"a": np.zeros(1_048_576)}), tmp_path / "a.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_html_is_self_contained_and_escaped(tmp_path: Path) -> None:
    rows = [*AWKWARD, {"text": "https://example.org/a?b=1&c=2", "n": 1}, {"text": "javascript:alert(1)", "n": 2}]
    write(rows, tmp_path / "a.html", title="a <title>", units={"n": "%"})
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    found = Cells(page).rows
    assert found[0] == ["text", "n (%)"]
    assert [row[0] for row in found[1:]] == [row["text"] for row in rows]
    assert "<b>" not in page
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == ["https://example.org/a?b=1&amp;c=2"]


def test_html_is_read_by_pandas() -> None:
    pytest.importorskip("lxml")
    frame = pd.read_html(io.StringIO(render(ROWS, "html")))[0]
    assert frame["output_tok_s_user (tok/s/user)"][0] == 98.125
    assert frame["tpot_s (s)"].isna().tolist() == [False, True]


def test_markdown_shows_text_as_it_is() -> None:
    found = markdown_cells(render(AWKWARD, "md"))
    assert found[0] == ["text", "n"]
    assert found[1] == ["---", "---:"]
    assert [row[0] for row in found[2:]] == [text.replace("\n", "<br>") for text in NASTY]


def test_markdown_is_a_table_for_a_markdown_reader() -> None:
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    found = Cells(reader.render(render(AWKWARD, "md"))).rows
    assert [row[0] for row in found[1:]] == [text.replace("\n", "") for text in NASTY]


def test_latex_is_a_booktabs_table_without_live_marks() -> None:
    text = render([*AWKWARD, {"text": "x", "n": -1.5e-7}], "tex", title="90% of cases", units={"n": "%"})
    assert [mark in text for mark in ("\\toprule", "\\midrule", "\\bottomrule", "\\caption{90\\% of cases}")] == [
        True
    ] * 4
    assert "\\begin{tabular}{lr}" in text
    assert "$-1.5 \\times 10^{-7}$" in text
    assert "n (\\%)" in text
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert all(len(re.findall(r"(?<!\\)&", line)) == 1 for line in rows)
    assert r"{}[x] & 7 \\" in rows
    assert r"50\% \& \$3\_\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{} & 1 \\" in rows
    body = text.split("\n", 1)[1]
    assert not re.search(r"(?<!\\)[%#_]", body)


def test_columns_are_chosen_ordered_and_named() -> None:
    text = render(ROWS, "md", columns={"tpot_s": "TPOT", "chip": "chip"}, units={"tpot_s": "s"})
    assert markdown_cells(text)[0] == ["TPOT (s)", "chip"]
    assert render(ROWS, "csv", columns=["batch"]) == "batch\n64\n1\n"
    with pytest.raises(UsageError, match=r"'tpot'.*tpot_s"):
        render(ROWS, "csv", columns=["tpot"])


def test_a_table_without_rows_keeps_its_header(tmp_path: Path) -> None:
    for ending in endings():
        write([], tmp_path / f"a{ending}", columns=["chip", "tpot_s"])
        write([], tmp_path / f"b{ending}")
    assert (tmp_path / "a.csv").read_text() == "chip,tpot_s\n"
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


def test_units_are_read_off_the_end_of_a_key() -> None:
    assert unit_of("speed.output_tok_s_user.value") == "tok/s/user"
    assert unit_of("ttft_s") == "s"
    assert unit_of("bandwidth_bytes_s") == "B/s"
    assert unit_of("energy.joule_per_output_token") == "J/tok"
    assert unit_of("chips") is None


def test_frame_units_and_index_are_used() -> None:
    frame = pd.DataFrame({"price": [1.0]}, index=pd.Index(["h100"], name="chip"))
    frame.attrs["units"] = {"price": "USD/h"}
    assert [column.heading for column in as_table(frame).columns] == ["chip", "price (USD/h)"]


def test_missing_values_of_every_library_are_empty() -> None:
    missing = [None, math.nan, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]
    assert as_table([{"a": value} for value in missing]).columns[0].values == [None] * len(missing)


@given(st.lists(st.text(), min_size=1, max_size=5), st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=60)
def test_any_text_and_number_survives_the_data_formats(texts: list[str], number: float) -> None:
    rows = [{"t": text, "x": number} for text in texts]
    assert json.loads(render(rows, "json")) == rows
    found = list(csv.DictReader(io.StringIO(render(rows, "csv"), newline="")))
    feeds = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    assert [row["t"].removeprefix("'") for row in found] == [text.removeprefix("'") for text in feeds]
    assert all(float(row["x"]) == number for row in found)
    assert len(Cells(render(rows, "html")).rows) == len(rows) + 1


def test_numbers_for_people_keep_six_digits() -> None:
    assert [number_text(value) for value in (3, 0.125, 1234567.8, 1e-9, 3.0)] == ["3", "0.125", "1234568", "1e-09", "3"]


# ---------------------------------------------------------------- files


def test_an_unknown_ending_lists_the_known(tmp_path: Path) -> None:
    for name in ("a.xyz", "a", "a.csv.gz"):
        with pytest.raises(UsageError, match=r"\.csv \.json \.md \.tex \.html \.xlsx \.parquet"):
            write(ROWS, tmp_path / name)
    with pytest.raises(UsageError, match="known: csv json md"):
        render(ROWS, "xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("x")
    for name, reason in [
        ("missing/a.csv", "does not exist"),
        ("folder.csv", "is a folder"),
        ("file/a.csv", "not a folder|Not a directory|does not exist"),
        ("a" * 300 + ".csv", "too long"),
        ("nul\0.csv", "null"),
    ]:
        with pytest.raises(TokcalcError, match=reason) as caught:
            write(ROWS, tmp_path / name)
        assert caught.value.exit_code == 2
        assert str(caught.value).count("\n") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="no permission"):
            write(ROWS, tmp_path / "a.csv")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("ending", endings())
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, ending: str) -> None:
    """A limit on file size stands in for the full disk: the system refuses the write in the same way."""
    target = tmp_path / f"a{ending}"
    target.write_text("old")
    script = (
        "import resource, signal, sys\n"
        "import random\n"
        "from tokcalc.report import check, write\n"
        "from tokcalc.errors import TokcalcError\n"
        "check(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n"
        "    write([{'a': random.random()} for _ in range(4000)], sys.argv[1])\n"
        "except TokcalcError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=False)
    assert "the disk is full" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole_file(tmp_path / "a.csv") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write(ROWS, link)
    assert link.is_symlink()
    assert target.read_text().startswith("chip,")
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_missing_library_names_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['openpyxl'] = None\n"
        "from tokcalc.report import write\n"
        "try:\n    write([], sys.argv[1])\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.xlsx")], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("UsageError")
    assert "pip install tokcalc[export]" in done.stdout


def test_check_gives_the_ending_and_touches_nothing(tmp_path: Path) -> None:
    assert check(tmp_path / "A.PARQUET") == ".parquet"
    assert list(tmp_path.iterdir()) == []


def test_text_formats_load_no_heavy_library() -> None:
    script = (
        "import sys; from tokcalc.report import render; from tokcalc.report.terminal import layout\n"
        "rows = [{'a': 1}]; layout(rows); [render(rows, f) for f in ('csv', 'json', 'md', 'tex', 'html')]\n"
        "print([m for m in ('pandas', 'altair', 'openpyxl', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- terminal


def test_a_terminal_table_drops_the_least_important_columns_and_says_so() -> None:
    rows = [{"chip": "h100-sxm", "note": "x" * 30, "speed": 98.125, "cost": 1.5, "source": "y" * 30}]
    drawn = layout(rows, width=60, priority=["chip", "speed", "cost"])
    assert all(len(line) <= 60 for line in [*drawn.text.splitlines(), drawn.note])
    assert "source" in drawn.note
    assert "1 column left out" in drawn.note
    assert layout(rows, width=200).note == ""


def test_numbers_stand_on_the_right_and_wide_characters_count_twice() -> None:
    text = layout(ROWS, ["chip", "output_tok_s_user", "batch"]).text
    lines = text.splitlines()[-2:]
    assert len({display_width(line) for line in text.splitlines()[-3:]}) == 1
    assert lines[0].endswith("64")
    assert lines[1].endswith(" 1")
    assert display_width("퓨리오사") == 8
    assert display_width("e\u0301") == 1
    assert display_width("\u1112\u1161\u11ab") == 2


@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.text(max_size=30) | st.floats() | st.none()), max_size=4),
    st.integers(1, 100),
)
@settings(deadline=None, max_examples=100)
def test_no_terminal_line_is_wider_than_asked(rows: list[dict[str, object]], width: int) -> None:
    drawn = layout(rows, width=width)
    assert all(display_width(line) <= width for line in drawn.text.split("\n"))


def test_text_cannot_move_the_cursor() -> None:
    text = layout([{"a": "red\x1b[31m\nnext\r", "b": 1}]).text
    assert "\x1b" not in text
    assert "\r" not in text
    assert len(text.splitlines()) == 3


def test_short_numbers_have_three_digits() -> None:
    shown = [short_number(value) for value in (1234.5, 98.125, 0.0101875, 3, 1e-7, math.inf, 0.0)]
    assert shown == ["1,234", "98.1", "0.0102", "3", "1e-07", "inf", "0"]


def test_small_plots_fit_and_follow_the_values() -> None:
    drawn = bars([("퓨리오사", 50.0), ("h100", 100.0), ("x", None)], unit="tok/s", width=40)
    lengths = [line.count("█") for line in drawn.splitlines()]
    assert lengths[1] // 2 == lengths[0] == 10
    assert lengths[2] == 0
    assert max(display_width(line) for line in drawn.splitlines()) <= 40
    curve = {"a": [(float(x), 1 / x) for x in range(1, 50)], "b": [(1.0, math.nan)]}
    for plain in (False, True):
        plot = scatter(curve, ("batch", ""), width=50, height=8, log=True, plain=plain)
        assert max(display_width(line) for line in plot.splitlines()) <= 50
        assert "batch" in plot
    assert scatter({"a": []}) == "(no points)"
