"""Pools of prefill and decode in a plan: the arithmetic of `disagg.mixed`, limits kept, chosen where they
win.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from tokcalc import load_chip, load_model
from tokcalc.answers.setting import key_of, setting
from tokcalc.explore.plan.plan import plan
from tokcalc.explore.plan.pools import MOST_REPLICAS, pool_candidates
from tokcalc.serving.pools import Job, mixed

DAY = "2026-07-01"


@pytest.mark.parametrize("pair", [("h100-sxm", "h100-sxm"), ("h800-sxm", "wse-3"), ("b200-sxm", "h200-sxm")])
def test_a_pool_of_the_same_replicas_is_the_mixed_system(pair):
    model = load_model("llama-3.3-70b")
    settings = [setting(key_of({"chip": chip, "model": model.id, "on": DAY})) for chip in dict.fromkeys(pair)]
    found = pool_candidates(settings, isl=4000.0, osl=500.0, most_chips=4096)
    asked = mixed(Job(load_chip(pair[0]), model, 4000), Job(load_chip(pair[1]), model, 4000, 500, batch=16.0))
    if max(asked.prefill_replicas, asked.decode_replicas) > MOST_REPLICAS:
        pytest.skip("more replicas than a plan searches")
    same = (
        (found["prefill"] == 0)
        & (found.where == len(settings) - 1)
        & (found["prefill_replicas"] == asked.prefill_replicas)
        & (found["decode_replicas"] == asked.decode_replicas)
        & (found["decode_chips"] == asked.decode.chips)
        & (found["concurrency"] == 16 * asked.decode_replicas)
    )
    assert same.any()
    place = int(np.flatnonzero(same)[0])
    assert found["ttft_s"][place] == pytest.approx(asked.together.ttft_s, rel=1e-9)
    assert found["tpot_s"][place] == pytest.approx(asked.decode.seconds, rel=1e-9)
    assert found["output_tok_s"][place] == pytest.approx(asked.together.requests_per_s * 500, rel=1e-9)


def test_money_of_both_pools_is_the_bill():
    settings = [setting(key_of({"chip": "h100", "model": "llama-3.1-8b", "on": DAY}))]
    found = pool_candidates(settings, isl=2000.0, osl=500.0, most_chips=16)
    bill = found["per_m_input"] * found["input_tok_s"] + found["per_m_output"] * found["output_tok_s"]
    np.testing.assert_allclose(bill * 3600 / 1e6, found["per_hour"], rtol=1e-12)
    assert found["chips"].max() <= 16


def test_pools_never_worsen_a_plan_and_keep_limits():
    asked = {"isl": 8000, "osl": 500, "tpot_s": 0.02, "ttft_s": 2.0, "chips": 16, "on": DAY}
    alone = plan("h100", "llama-3.3-70b", disaggregated=False, **asked)
    both = plan("h100", "llama-3.3-70b", **asked)
    assert both.best["per_m_blended"] <= alone.best["per_m_blended"] * (1 + 1e-12)
    for row in [both.best, *both.runners_up]:
        assert row["tpot_s"] <= 0.02
        assert row["ttft_s"] <= 2.0
        assert row["chips"] <= 16
    assert all(math.isfinite(row["output_tok_s_user"]) for row in both.front)
    assert both.cases > alone.cases
