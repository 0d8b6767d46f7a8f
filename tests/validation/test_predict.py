"""Measured rows through the model: every row answered or reasoned, and what is assumed said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tokcalc.validation.measured import COLUMNS, packaged_rows
from tokcalc.validation.predict import predict_rows


def rows(*given):
    """Rows of a measured table from dictionaries, typed as `read_rows` types them."""
    frame = pd.DataFrame([{**dict.fromkeys(COLUMNS, ""), **row} for row in given])
    for name in ("chips", "tp", "pp", "dp", "ep", "isl", "osl", "concurrency", "value", "spec_decode"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float)
    frame["max_load"] = [bool(row.get("max_load")) for row in given]
    return frame


BASE = {
    "chip": "h100-sxm", "model": "llama-3.1-70b", "chips": 4, "tp": 4, "pp": 1, "dp": 1, "weights": "fp8",
    "engine": "vllm", "isl": 1000, "osl": 500, "concurrency": 16, "regime": "serving", "metric": "tpot_ms",
    "value": 20,
}  # fmt: skip


def test_every_shipped_point_has_a_prediction_or_a_reason():
    points = packaged_rows()
    found = predict_rows(points)
    assert list(found.index) == list(points.index)
    predicted = found["predicted"].notna()
    assert (found.loc[predicted, "predicted"] > 0).all()
    assert (found.loc[predicted, "low"] < found.loc[predicted, "predicted"]).all()
    assert (found.loc[predicted, "predicted"] < found.loc[predicted, "high"]).all()
    assert found.loc[predicted, "grade"].isin(list("ABCD")).all()
    assert (found.loc[~predicted, "reason"] != "").all()
    assert (found.loc[predicted, "reason"] == "").all()
    assert predicted.mean() > 0.85


def test_any_index_is_kept():
    frame = rows(BASE, {**BASE, "metric": "ttft_ms"}).set_axis([7, 3])
    assert list(predict_rows(frame).index) == [7, 3]


def test_metrics_of_one_run_agree():
    found = predict_rows(
        rows(*({**BASE, "metric": m} for m in ("tpot_ms", "ttft_ms", "output_tok_s", "total_tok_s", "e2e_s")))
    )["predicted"].to_numpy()
    tpot, ttft, out, total, e2e = found
    assert e2e == pytest.approx(ttft / 1e3 + 499 * tpot / 1e3)
    assert out == pytest.approx(16 * 500 / e2e)
    assert total == pytest.approx(3 * out)


def test_missing_inputs_are_named():
    found = predict_rows(rows({**BASE, "isl": "", "weights": "", "metric": "output_tok_s"}))
    assert "isl" in found["assumed"][0]
    assert "weights" in found["assumed"][0]
    assert np.isfinite(found["predicted"][0])


def test_the_first_token_of_an_unknown_prompt_is_refused():
    found = predict_rows(rows({**BASE, "isl": "", "metric": "ttft_ms"}))
    assert found["predicted"].isna().all()
    assert "length" in found["reason"][0]


def test_drafting_needs_its_acceptance():
    unknown, noted = {**BASE, "spec_decode": 1}, {**BASE, "spec_decode": 1, "note": "MTP-2, acceptance 2.58"}
    found = predict_rows(rows(unknown, noted, BASE))
    assert "acceptance" in found["reason"][0]
    assert found["predicted"][1] < found["predicted"][2]


def test_test_sets_bring_their_lengths():
    row = {**BASE, "model": "gpt-j-6b", "regime": "mlperf-offline", "metric": "output_tok_s", "isl": "", "max_load": True,  # noqa: E501
           "chips": 8, "tp": "", "pp": "", "dp": "", "concurrency": ""}  # fmt: skip
    found = predict_rows(rows(row, {**row, "chips": 4}))
    assert "beams" in found["assumed"][0]
    assert found["predicted"][0] == pytest.approx(2 * found["predicted"][1])  # replicas alike, side by side


def test_layer_splits_do_not_speed_up_one_stream():
    row = {**BASE, "chip": "rtx-4090", "engine": "llama.cpp", "model": "llama-3-70b", "weights": "q4_k_m", "tp": "",
           "pp": "", "isl": 0, "osl": 128, "concurrency": 1, "regime": "decode-b1", "metric": "output_tok_s_user"}  # fmt: skip  # noqa: E501
    two, four = predict_rows(rows({**row, "chips": 2}, {**row, "chips": 4}))["predicted"]
    assert four <= two * 1.01


def test_a_model_that_barely_fits_runs():
    row = {**BASE, "chip": "b200-sxm", "model": "deepseek-v3", "chips": 4, "tp": 4}
    assert np.isfinite(predict_rows(rows(row))["predicted"][0])


def test_a_price_is_that_of_an_owned_hour_or_says_that_there_is_none():
    price = {**BASE, "regime": "price", "metric": "usd_per_m_output", "concurrency": "", "date": "2026-06-01"}
    stated = {**price, "note": "at $2.00/GPU-h"}
    found = predict_rows(rows(price, stated, {**stated, "note": "at $4.00/GPU-h"}, {**price, "date": "2020-01-01"}))
    assert found["predicted"][2] == pytest.approx(2 * found["predicted"][1])
    assert found["predicted"][0] > 0
    assert "best layout" in found["assumed"][0]
    assert "purchase price" in found["reason"][3]


def test_a_faster_user_costs_rate_and_money():
    row = {**BASE, "chip": "b200-sxm", "model": "gpt-oss-120b", "weights": "mxfp4", "regime": "price", "chips": 1,
           "tp": "", "isl": 1024, "osl": 1024, "concurrency": "", "metric": "total_tok_s", "date": "2026-01-01"}  # fmt: skip  # noqa: E501
    notes = ("operating point 50 tok/s/user", "operating point 100 tok/s/user", "operating point 99999 tok/s/user")
    rates = predict_rows(rows(*({**row, "note": n} for n in notes)))
    assert rates["predicted"][0] > rates["predicted"][1]
    assert "99999" in rates["reason"][2]
    costs = predict_rows(rows(*({**row, "metric": "usd_per_m_total", "note": n} for n in notes[:2])))["predicted"]
    assert costs[0] < costs[1]
    assert costs[0] * rates["predicted"][0] == pytest.approx(costs[1] * rates["predicted"][1])
