"""A cache is advice: whatever stands in its files, every command answers as without one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokcalc.catalog import cache, find_id, list_ids, load_memory
from tokcalc.catalog.files import cache_folder
from tokcalc.catalog.index import load_index
from tokcalc.catalog.load import load_chip, load_model  # not those that remember
from tokcalc.catalog.tables import shipped_table
from tokcalc.errors import UnknownName

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, filled by one load of everything that is kept."""
    monkeypatch.setenv("TOKCALC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOKCALC_SPECS", str(tmp_path / "specs"))
    everything()
    return tmp_path / "cache"


def everything() -> list[Any]:
    """Chip, model, memory generation, names and constants, as commands ask for them."""
    found = [load_chip("h800"), load_chip("h800", {"power.tdp": "500 W"}), load_model("llama-3.1-8b")]
    found += [load_memory("hbm3e"), find_id("chips", "warb"), list_ids("memory"), load_index("models")]
    with pytest.raises(UnknownName, match="did you mean"):
        find_id("models", "lama-70c")
    return [*found, shipped_table("engines", "kernels.toml"), shipped_table("engines", "sram.toml")]


def entries(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.json"))
    assert {path.parent.name for path in files} == {"index", "specs", "tables"}
    return files


def rewrite(folder: Path, change: Callable[[Any], Any]) -> None:
    """Every entry with its value changed, as a person with an editor would."""
    for path in entries(folder):
        entry = json.loads(path.read_bytes())
        path.write_text(json.dumps({**entry, "value": change(entry["value"])}), encoding="utf-8")


def leaves_changed(value: Any, leaf: Any) -> Any:
    if isinstance(value, dict):
        return {key: leaves_changed(item, leaf) for key, item in value.items()}
    if isinstance(value, list):
        return [leaves_changed(item, leaf) for item in value]
    return leaf


@pytest.mark.parametrize("leaf", [None, 0, -1.5, "x", [], {}, True, 1e308])
def test_figures_of_another_kind_are_read_from_the_files_again(kept: Path, leaf: Any) -> None:
    expected = everything()
    rewrite(kept, lambda value: leaves_changed(value, leaf))
    assert everything() == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda value: None,
        lambda value: [],
        lambda value: {},
        lambda value: [value],
        lambda value: dict(list(value.items())[1:]),
        lambda value: {**value, "surplus": 1},
        lambda value: {key: {} for key in value},
        lambda value: dict.fromkeys(value),
        lambda value: {key: [item] for key, item in value.items()},
    ],
)
def test_tables_of_another_shape_are_read_from_the_files_again(kept: Path, change: Callable[[Any], Any]) -> None:
    expected = everything()
    rewrite(kept, change)
    assert everything() == expected


def test_a_plausible_edit_is_no_answer(kept: Path) -> None:
    expected = load_chip("h800")
    for path in entries(kept):
        path.write_bytes(path.read_bytes().replace(b"80000000000.0", b"90000000000.0"))
    assert load_chip("h800") == expected


def test_entries_under_each_others_names_are_not_taken(kept: Path) -> None:
    expected = everything()
    for folder in ("specs", "tables", "index"):
        files = sorted((kept / folder).iterdir())
        texts = [path.read_bytes() for path in files]
        for path, text in zip(files, texts[1:] + texts[:1], strict=True):
            path.write_bytes(text)
    assert everything() == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON, raw=st.binary(max_size=40), at=st.integers(0, 200))
def test_an_entry_with_any_other_text_is_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, raw: bytes, at: int
) -> None:
    monkeypatch.setenv("TOKCALC_CACHE", str(tmp_path))
    kept = {"id": "h800", "memory": [{"bytes": 80e9}], "names": {"h800": ["h800-sxm"]}}
    name = cache.key("chips", "some content")
    cache.put("specs", name, kept)
    assert cache.get("specs", name) == kept
    path = tmp_path / "specs" / f"{name}.json"
    text = path.read_bytes()
    edited = json.dumps({**json.loads(text), "value": value}).encode()
    for damaged in (edited, raw, text[:at], text[:at] + raw + text[at:], text + raw):
        path.write_bytes(damaged)
        assert cache.get("specs", name) == (kept if damaged == text else None)


def test_what_cannot_be_read_or_written_is_made_each_time(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = everything()
    for path in entries(kept):
        path.unlink()
        path.mkdir()
    assert everything() == expected
    assert not list(kept.rglob("*.tmp"))
    for folder in ("~nobody-of-that-name/cache", "/dev/null/cache", f"{tmp_path}/\udcff"):
        monkeypatch.setenv("TOKCALC_CACHE", folder)
        assert load_chip("h800") == expected[0]


def test_damage_is_mended_by_the_next_command(kept: Path) -> None:
    before = {path: path.read_bytes() for path in entries(kept)}
    for path in before:
        path.write_bytes(b"\xff")
    everything()
    assert {path: path.read_bytes() for path in before} == before


def test_the_fingerprint_names_files_that_exist_and_sees_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all((Path(cache.PACKAGE) / name).is_file() for name in cache.CODE)
    assert {"units.py", "hardware/chip.py", "models/model.py", "provenance.py"} <= set(cache.CODE)
    files = [tmp_path / name for name in (*cache.CODE, "catalog/load.py")]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    monkeypatch.setattr(cache, "PACKAGE", str(tmp_path))
    monkeypatch.setattr(cache, "FOLDER", str(tmp_path / "catalog"))
    seen = {cache.code_version.__wrapped__()}
    for path in files:
        os.utime(path, (1, 1))
        seen.add(cache.code_version.__wrapped__())
    assert len(seen) == len(files) + 1


def test_an_entry_is_plain_json_with_its_checksum(kept: Path) -> None:
    for path in entries(kept):
        entry = json.loads(path.read_bytes())
        assert (entry["key"], len(entry["sum"])) == (path.stem, 64)
        assert isinstance(entry["value"], dict)
    assert cache_folder() == kept
