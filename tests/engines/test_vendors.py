"""Which serving software runs on whose chips, and what is said where a chip has software of its own."""

from __future__ import annotations

import pytest
from tokcalc import estimate
from tokcalc.catalog import list_ids, load_chip
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import default_engine, engine_names, find_engine, runs_on
from tokcalc.engines.resolve import refusal
from tokcalc.errors import UsageError
from tokcalc.explore.plan.search import engines_of
from tokcalc.explore.sweep.sweep import sweep

CONSTANTS = load_constants()


@pytest.mark.parametrize(
    ("chip", "engine", "vendor"),
    [("mi300x", "trtllm", "NVIDIA"), ("rx-7900-xtx", "TRTLLM", "NVIDIA"), ("rngd", "trtllm", "NVIDIA"),
     ("tpu-v6e", "trtllm", "NVIDIA"), ("cerebras", "trtllm", "NVIDIA"), ("h100", "rocm-pytorch", "AMD"),
     ("h100", "rocm", "AMD"), ("m3-max", "exllamav2", "NVIDIA and AMD")],
)  # fmt: skip
def test_software_of_one_vendor_is_refused_elsewhere(chip: str, engine: str, vendor: str) -> None:
    with pytest.raises(UsageError, match=f"runs on {vendor} chips only") as caught:
        estimate(chip, "llama-8b", engine=engine)
    assert "--engine" in str(caught.value)


def test_the_engines_that_a_refusal_names_do_run() -> None:
    chip = load_chip("mi300x")
    text = refusal(CONSTANTS, find_engine(CONSTANTS, "trtllm"), chip)
    offered = text.split("choose ")[1].split(", or leave")[0].split(", ")
    assert set(offered) >= {"vllm", "sglang", "rocm-pytorch"}
    for name in offered:
        assert estimate(chip, "llama-8b", engine=name).output_tok_s > 0


def test_what_nobody_asked_for_is_never_refused() -> None:
    for name in list_ids("chips"):
        chip = load_chip(name)
        planned = () if chip.weights_in_sram else engines_of(chip.vendor)
        for engine in (default_engine(chip), *planned):
            assert not refusal(CONSTANTS, find_engine(CONSTANTS, engine), chip)


def test_every_vendor_named_makes_chips() -> None:
    made = {load_chip(name).vendor for name in list_ids("chips")}
    for name in engine_names(CONSTANTS):
        assert set(CONSTANTS.engines[name].get("vendors", ())) <= made
    assert all(runs_on(CONSTANTS, "vllm", load_chip(name)) for name in ("h100", "mi300x", "tpu-v6e"))


@pytest.mark.parametrize(
    ("chip", "words"), [("rngd", "own software"), ("tpu-v6e", "own software"), ("groq", "changes nothing")]
)
def test_a_chip_with_software_of_its_own_says_what_an_engine_changes(chip: str, words: str) -> None:
    asked, plain = estimate(chip, "llama-8b", engine="vllm"), estimate(chip, "llama-8b")
    assert any(words in note for note in asked["assumptions"])
    assert not any("--engine" in note for note in plain["assumptions"])
    if words == "changes nothing":
        assert asked["speed"] == plain["speed"]


def test_a_grid_of_engines_keeps_those_that_run() -> None:
    table = sweep("mi300x", "llama-3.1-8b", {"engine": ["trtllm", "vllm"], "concurrency": [1, 8]})
    refused = table["reason"].str.contains("NVIDIA chips only")
    assert refused.tolist() == [True, True, False, False]
    assert table.loc[refused, "speed.tpot_s.value"].isna().all()
    assert table.loc[~refused, "speed.tpot_s.value"].notna().all()
