"""Evidence of a chip is what was written about it, and its absence is said."""

from __future__ import annotations

import pandas as pd
import pytest
from tokcalc import estimate
from tokcalc.answers.setting import key_of, setting
from tokcalc.catalog import list_ids, load_chip
from tokcalc.engines.constants import load_constants
from tokcalc.serving.pools import Job, decode, prefill
from tokcalc.trust.bands import band_factor, has_own
from tokcalc.trust.evidence import evidence, measured_mixture
from tokcalc.trust.grades import answer_grade, grade_reason
from tokcalc.validation.evidence import evidence_of


def test_unmeasured_chips_say_so() -> None:
    found = evidence("ascend-970")
    assert found["rows"] == 0
    assert "no published measurement" in found["text"]


def test_what_is_written_is_what_was_judged() -> None:
    judged = pd.DataFrame(
        {
            "chip": ["a", "a", "a", "b"], "model": ["m", "m", "n", "m"], "regime": ["serving"] * 4,
            "group": ["g", "g", "h", "g"], "value": [10.0, 10.0, 10.0, 5.0],
            "predicted": [11.0, 9.0, 12.0, float("nan")],
            "low": [8.0, 8.0, 11.0, 1.0], "high": [12.0, 12.0, 14.0, 2.0],
        }
    )  # fmt: skip
    table = evidence_of(judged, held_out=True)
    assert set(table) == {"a"}
    assert table["a"]["rows"] == 3
    assert table["a"]["points"] == 2
    assert table["a"]["error"] == pytest.approx(0.1)
    assert table["a"]["in_band"] == pytest.approx(0.67)
    assert table["a"]["held_out"] is True


def test_every_chip_of_the_shipped_table_has_a_sentence() -> None:
    measured = [found for found in map(evidence, list_ids("chips")) if found["rows"]]
    assert len(measured) > 40
    for found in measured:
        assert "median error" in found["text"]


# ------------------------------------------------------------------ mixtures
DENSE_ONLY = ("rngd", "trainium2", "inferentia2", "wormhole-n150", "m3-max")
WITH_MIXTURES = ("ascend-910c", "wse-3", "groq-lpu-v1", "tpu-v7", "sn40l", "m3-ultra", "wormhole-n300", "arc-pro-b60")


@pytest.mark.parametrize("chip", DENSE_ONLY)
def test_mixtures_on_chips_of_dense_measurements_are_no_better_than_b(chip: str) -> None:
    device, constants = load_chip(chip), load_constants()
    assert has_own(chip)
    assert not measured_mixture(chip)
    assert answer_grade(device, constants, chip, moe=True) >= "B"
    if answer_grade(device, constants, chip, moe=True) == "B":
        assert "no mixture was measured on it" in grade_reason(device, constants, chip, moe=True)
    assert "mixture" not in grade_reason(device, constants, chip)
    for quantity in ("tpot", "ttft", "throughput"):
        for grade in "AB":
            of_mixtures = band_factor(quantity, grade, chip, moe=True)
            assert of_mixtures >= band_factor(quantity, grade, chip)
            assert of_mixtures >= band_factor(quantity, grade, moe=True)


@pytest.mark.parametrize("chip", WITH_MIXTURES)
def test_chips_on_which_mixtures_were_measured_keep_their_grade_and_bands(chip: str) -> None:
    device, constants = load_chip(chip), load_constants()
    assert measured_mixture(chip)
    assert answer_grade(device, constants, chip, moe=True) == answer_grade(device, constants, chip)
    for quantity in ("tpot", "ttft", "throughput"):
        assert band_factor(quantity, "A", chip, moe=True) == band_factor(quantity, "A", chip)


def test_gpus_have_no_bands_of_one_chip() -> None:
    device, constants = load_chip("h100-sxm"), load_constants()
    assert answer_grade(device, constants, "h100-sxm", moe=True) == "A"


def test_commands_agree_on_a_mixture_that_was_not_measured() -> None:
    alone = estimate("rngd", "deepseek-r1", concurrency=64).to_dict()
    tpot = alone["speed"]["tpot_s"]
    assert alone["grade"] == setting(key_of({"chip": "rngd", "model": "deepseek-r1"})).grade == "B"
    assert tpot["high"] / tpot["value"] == pytest.approx(band_factor("tpot", "B", moe=True))
    chip, model = load_chip("rngd"), setting(key_of({"chip": "rngd", "model": "deepseek-r1"})).model
    assert prefill(Job(chip, model, 1024)).grade == "B"
    assert decode(Job(chip, model, 1024, 1024)).grade == "B"
    dense = estimate("rngd", "llama-8b", concurrency=64).to_dict()
    assert dense["grade"] == "A"


def test_money_has_the_band_of_the_throughput() -> None:
    answer = estimate("rngd", "deepseek-r1", rent="2 USD/h").to_dict()
    speed, cost = answer["speed"]["output_tok_s"], answer["cost"]
    assert cost["per_m_output_high"] / cost["per_m_output"] == pytest.approx(speed["value"] / speed["low"])


def test_a_chip_with_another_link_is_at_best_c() -> None:
    # A as it is built, or by its constants alone; D where its memory is another
    constants = load_constants()
    grades = {
        path: answer_grade(load_chip("h100-sxm", {path: value}), constants, "h100-sxm")
        for path, value in (("links.scale_up.per_direction", "900 GB/s"), ("memory.hbm.capacity", "96 GB"))
    }
    assert answer_grade(load_chip("h100-sxm"), constants, "h100-sxm") == "A"
    assert grades == {"links.scale_up.per_direction": "C", "memory.hbm.capacity": "D"}
