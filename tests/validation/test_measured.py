"""Measured rows: what the reader takes, what it refuses and in which words, and what ships."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tokcalc.catalog import find_id
from tokcalc.errors import SpecError
from tokcalc.validation.measured import (
    COLUMNS,
    METRICS,
    REGIMES,
    packaged_paths,
    packaged_rows,
    read_rows,
    read_suspects,
    read_table,
    suspect_reasons,
)

HEADER = ",".join(COLUMNS)
GOOD = "a/1,h100-sxm,1,gpt-oss-20b,fp8,fp8,trtllm,0.17,1,1,1,,128,128,max,max-load,output_tok_s,264,0,g,,u,n"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def row(**cells: str) -> str:
    base = dict(zip(COLUMNS, GOOD.split(","), strict=True)) | cells
    return ",".join(base[name] for name in COLUMNS)


def test_a_row_is_read_with_its_types(tmp_path: Path) -> None:
    rows = read_rows([write(tmp_path / "a.csv", HEADER, GOOD)])
    assert rows.loc[0, "value"] == 264
    assert rows.loc[0, "max_load"]
    assert math.isnan(rows.loc[0, "concurrency"])
    assert math.isnan(rows.loc[0, "ep"])
    assert rows.loc[0, "weights"] == "fp8"


def test_a_number_of_requests_is_no_maximum_load(tmp_path: Path) -> None:
    rows = read_rows([write(tmp_path / "a.csv", HEADER, row(concurrency="15.57", regime="serving"))])
    assert rows.loc[0, "concurrency"] == 15.57
    assert not rows.loc[0, "max_load"]


def test_unknown_chips_and_models_are_rows_like_others(tmp_path: Path) -> None:
    rows = read_rows([write(tmp_path / "a.csv", HEADER, row(chip="abacus", model="oracle"))])
    assert rows.loc[0, "chip"] == "abacus"


def test_only_the_columns_that_judging_needs_must_be_there(tmp_path: Path) -> None:
    short = "id,chip,model,regime,metric,value"
    rows = read_rows([write(tmp_path / "a.csv", short, "1,h100-sxm,llama-3.1-8b,decode-b1,tpot_ms,7")])
    assert math.isnan(rows.loc[0, "isl"])
    assert rows.loc[0, "engine"] == ""


def test_the_raw_table_keeps_every_input_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER + ",mine", GOOD + ",kept as it is")
    raw, rows = read_table([path])
    assert raw.loc[0, "concurrency"] == "max"
    assert raw.loc[0, "mine"] == "kept as it is"
    assert len(raw) == len(rows)


def test_byte_order_mark_quoted_commas_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(("\ufeff" + HEADER + "\r\n\r\n" + row(note='"one, two"') + "\r\n").encode())
    assert read_rows([path]).loc[0, "note"] == "one, two"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (row(regime="fast"), ["line 2", "'regime'", "'fast'", "decode-b1"]),
        (row(metric="speed"), ["'metric'", "tpot_ms"]),
        (row(value="-3"), ["'value'", "-3", "more than 0"]),
        (row(value="0"), ["'value'", "more than 0"]),
        (row(value="nan"), ["'value'", "not a finite number"]),
        (row(value="1e999"), ["'value'", "not a finite number"]),
        (row(value="fast"), ["'value'", "not a number"]),
        (row(value=""), ["'value'", "empty"]),
        (row(isl="-1"), ["'isl'", "0 or more"]),
        (row(tp="0"), ["'tp'", "more than 0"]),
        (row(concurrency="many"), ["'concurrency'", "not a number"]),
        (row(spec_decode="2"), ["'spec_decode'", "0 (off)"]),
        (row(id=""), ["'id'", "empty"]),
        (GOOD + ",extra", ["line 2", "24 cells", "23"]),
        ("a,b", ["line 2", "2 cells"]),
        (row(note='"open'), ["not valid CSV"]),
        (row(note="x\0y"), ["binary"]),
    ],
)
def test_a_bad_row_is_one_sentence_with_its_place(tmp_path: Path, line: str, words: list[str]) -> None:
    path = write(tmp_path / "bad.csv", HEADER, line)
    with pytest.raises(SpecError) as caught:
        read_rows([path])
    message = str(caught.value)
    assert "bad.csv" in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_the_line_is_that_of_the_file_even_after_a_cell_of_two_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", HEADER, row(note='"one\ntwo"'), row(id="b", value="x"))
    with pytest.raises(SpecError, match="line 4, column 'value'"):
        read_rows([path])


def test_ids_are_unique_over_all_files(tmp_path: Path) -> None:
    one, two = (write(tmp_path / name, HEADER, GOOD) for name in ("one.csv", "two.csv"))
    with pytest.raises(SpecError, match=r"two\.csv, line 2, column 'id': 'a/1' stands already on line 2 of .*one\.csv"):
        read_rows([one, two])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (HEADER.encode(), "no rows"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not UTF-8"),
        (b"id,chip\0\n", "binary"),
        (b"id,chip,model\n1,2,3\n", "no column 'regime'"),
        (b"id,id\n1,2\n", "twice"),
        (b"x" * 200_000, "longer than"),
    ],
)
def test_a_file_that_is_no_table_of_rows(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=words):
        read_rows([path])


def test_missing_folder_and_huge_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        read_rows([tmp_path / "none.csv"])
    with pytest.raises(SpecError, match="not a file"):
        read_rows([tmp_path])
    with (tmp_path / "huge.csv").open("wb") as handle:
        handle.truncate(200_000_001)
    with pytest.raises(SpecError, match="200 MB"):
        read_rows([tmp_path / "huge.csv"])
    with pytest.raises(SpecError, match="--data"):
        read_rows([])


def test_the_packaged_points_are_well_specified_facts() -> None:
    rows = packaged_rows()
    assert len(rows) >= 150
    assert set(rows["regime"]) == set(REGIMES)
    assert set(rows["metric"]) == set(METRICS)
    assert rows["source"].str.match(r"https://[^\s]+$").all()
    assert (rows["note"] != "").all()
    assert (rows["group"] != "").all()
    assert rows["chip"].nunique() >= 60


def test_the_packaged_columns_are_those_of_the_contract() -> None:
    for path in packaged_paths():
        assert path.read_text().splitlines()[0] == HEADER, path.name


def test_one_chip_needs_no_parallel_layout() -> None:
    rows = packaged_rows()
    alone = rows[(rows["chips"] == 1) & (rows["regime"] != "price")]
    assert (alone[["tp", "pp"]].fillna(1) == 1).all(axis=None)


def test_tensor_pipeline_and_data_parallel_make_up_the_chips() -> None:
    rows = packaged_rows()
    whole = rows.dropna(subset=["chips", "tp", "pp", "dp"])
    product = whole["tp"] * whole["pp"] * whole["dp"]
    assert list(whole.loc[product != whole["chips"], "id"]) == []


def test_every_packaged_chip_and_model_is_in_the_catalogue() -> None:
    rows = packaged_rows()
    for chip in rows["chip"].unique():
        assert find_id("chips", chip) == chip
    for model in rows["model"].unique():
        assert find_id("models", model) == model


def test_a_suspect_is_matched_by_id_or_group(tmp_path: Path) -> None:
    rows = read_rows([write(tmp_path / "a.csv", HEADER, GOOD, row(id="b/2", group="h"), row(id="c/3", group="i"))])
    path = write(tmp_path / "s.csv", "pattern,reason", "a/*,exponent lost", "h,another unit")
    assert list(suspect_reasons(rows, read_suspects(path))) == ["exponent lost", "another unit", ""]


def test_the_packaged_suspects_have_reasons() -> None:
    assert all(pattern and reason for pattern, reason in read_suspects())


def test_a_suspects_file_without_a_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="line 2, has an empty"):
        read_suspects(write(tmp_path / "s.csv", "pattern,reason", "a/*,"))
    with pytest.raises(SpecError, match="'reason'"):
        read_suspects(write(tmp_path / "t.csv", "pattern", "a"))
