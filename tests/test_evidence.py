"""Evidence of a chip is what was written about it, and its absence is said."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pytest
from tokcalc.evidence import evidence, known_chips, write_evidence


def test_unmeasured_chips_say_so() -> None:
    found = evidence("ascend-970")
    assert found["rows"] == 0
    assert "no published measurement" in found["text"]


def test_what_is_written_is_what_was_judged(tmp_path: Path) -> None:
    judged = pd.DataFrame(
        {
            "chip": ["a", "a", "a", "b"], "model": ["m", "m", "n", "m"], "regime": ["serving"] * 4,
            "group": ["g", "g", "h", "g"], "value": [10.0, 10.0, 10.0, 5.0],
            "predicted": [11.0, 9.0, 12.0, float("nan")],
            "low": [8.0, 8.0, 11.0, 1.0], "high": [12.0, 12.0, 14.0, 2.0],
        }
    )  # fmt: skip
    path = tmp_path / "evidence.toml"
    write_evidence(judged, path, held_out=True)
    table = tomllib.loads(path.read_text())
    assert set(table) == {"a"}
    assert table["a"]["rows"] == 3
    assert table["a"]["points"] == 2
    assert table["a"]["error"] == pytest.approx(0.1)
    assert table["a"]["in_band"] == pytest.approx(0.67)
    assert table["a"]["held_out"] is True


def test_every_chip_of_the_shipped_table_has_a_sentence() -> None:
    for chip in known_chips():
        assert "median error" in evidence(chip)["text"]
