"""Facts about the fit of accelerators: priors of what is free, models left out, what is written."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tokcalc.calibration.accelerators import fit, left_out_rows, report
from tokcalc.calibration.targets import Target, overlaid, targets
from tokcalc.calibration.toml import find, set_class, set_number, set_record, tables
from tokcalc.catalog import list_ids
from tokcalc.engines.constants import load_constants
from tokcalc.errors import UsageError

ENGINES = Path(str(resources.files("tokcalc.specs"))) / "engines"
FREE = ("gemm.any.eta_m", "stack.layer_us")
CENTRE, WIDTH, MOST = np.array([0.8, 5.0]), np.array([0.1, 0.7]), np.array([1.0, np.inf])
TOY = Target("toy", ("sn40l",), ("sn40l",), FREE, CENTRE, WIDTH, MOST, False)
FILE = """[gemm.x]
any = { t0_us = 0.0, eta_m = 0.5, p = 2.0 }
[stack.x]
step_us = 10   # host
fit = { rows = 0 }

# next
"""


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
    stacks = tomllib.loads((ENGINES / "accelerators.toml").read_text(encoding="utf-8"))["stack"]
    pipes = tomllib.loads((ENGINES / "sram.toml").read_text(encoding="utf-8"))
    for target in targets():
        for scope in target.scopes:
            record = (pipes if target.piped else stacks)[scope]["fit"]
            assert record["rows"] > 0
            assert set(record["left_out"]) <= set(target.chips)


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


def test_numbers_are_replaced_and_comments_stay() -> None:
    pieces = tables(FILE)
    set_number(find(pieces, "[gemm.x]"), ("any", "eta_m"), 0.712345)
    set_number(find(pieces, "[stack.x]"), ("step_us",), 1234.5)
    set_record(pieces, "stack.x", ["rows = 3", ""])
    text = "\n".join("\n".join(piece) for piece in pieces)
    assert "# host" in text
    assert "# next" in text
    found = tomllib.loads(text)
    assert found["gemm"]["x"]["any"] == {"t0_us": 0.0, "eta_m": 0.712, "p": 2.0}
    assert found["stack"]["x"]["step_us"] == 1234
    assert found["stack"]["x"]["fit"]["rows"] == 3
    with pytest.raises(UsageError, match="no table"):
        find(pieces, "[stack.y]")


def test_a_class_is_the_geometric_mean_of_its_members() -> None:
    pieces = tables("[stack.a]\nlayer_us = 10\n[stack.b]\nlayer_us = 1000\n[stack.npu]\nlayer_us = 5\n")
    set_class(pieces, "npu", ["a", "b"])
    assert tomllib.loads("\n".join("\n".join(p) for p in pieces))["stack"]["npu"]["layer_us"] == pytest.approx(100)
