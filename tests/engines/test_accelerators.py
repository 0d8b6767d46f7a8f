"""Facts about constants and software stacks of NPUs, TPUs, Apple and Arc."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.catalog import list_ids, load_chip, load_model
from tokcalc.engines.constants import load_constants
from tokcalc.engines.engine import find_engine
from tokcalc.engines.routing import expert_launches
from tokcalc.engines.vendor import engine_for_chip, stack_table
from tokcalc.physics.passes import padded_tokens, read_context
from tokcalc.physics.step import host_joined
from tokcalc.serving.precision import default_weights

CONSTANTS, STARTS = load_constants(), load_constants(fitted=False)
PLAIN = find_engine(STARTS, None)
SPECS = files("tokcalc.specs")
FITTED = tomllib.loads((SPECS / "fitted" / "accelerators.toml").read_text(encoding="utf-8"))
TABLES = tomllib.loads((SPECS / "engines" / "accelerators.toml").read_text(encoding="utf-8"))


def test_shares_are_shares_and_floors_are_not_negative() -> None:
    for kind in ("gemm", "moe", "attention_decode", "attention_prefill"):
        for scope, formats in TABLES[kind].items():
            for name, k in ((n, CONSTANTS.tables[kind][scope][n]) for n in formats):
                assert 0.0 < k["eta_m"] <= 1.0, (kind, scope, name)
                assert 0.0 < k["eta_c"] <= 1.0, (kind, scope, name)
                assert k["t0_us"] >= 0.0


def test_every_fit_says_to_what() -> None:
    for name, record in FITTED["fit"].items():
        assert record["rows"] > 0, name
        assert record["date"].startswith("20")


def test_scopes_are_chips_families_or_kinds() -> None:
    chips = [load_chip(name) for name in list_ids("chips")]
    known = {c.id for c in chips} | {c.family for c in chips} | {c.kind for c in chips}
    assert set(TABLES["stack"]) <= known
    fitted = {chip for record in FITTED["fit"].values() for chip in record["chips"]}
    assert fitted <= {c.id for c in chips}
    assert fitted <= CONSTANTS.fitted_chips


def test_constants_of_gpus_are_not_overridden() -> None:
    folder = files("tokcalc.specs") / "engines"
    kernels = tomllib.loads((folder / "kernels.toml").read_text(encoding="utf-8"))
    families = tomllib.loads((folder / "families.toml").read_text(encoding="utf-8"))
    for scope, formats in kernels["gemm"].items():
        for name, values in formats.items():
            wanted = families["gemm"].get(scope, {}).get(name, values)
            assert STARTS.tables["gemm"][scope][name] == wanted


def test_prefill_of_rngd_is_a_staircase() -> None:
    engine = engine_for_chip(load_chip("rngd"), PLAIN, load_model("qwen3-8b"), CONSTANTS)
    assert padded_tokens(engine, np.array([257.0, 512.0, 1024.0, 1025.0, 1281.0])).tolist() == [
        1024.0, 1024.0, 1024.0, 1024.0 + 1.0, 2048.0,
    ]  # fmt: skip
    assert float(padded_tokens(engine, 64.0)) == 64.0
    assert float(padded_tokens(engine, 1280.0)) == 1024.0 + 256.0


def test_decode_attention_of_rngd_runs_compiled_lengths() -> None:
    # the vendor's presets compile 1,024, 2,048, 4,096 ..
    engine = engine_for_chip(load_chip("rngd"), PLAIN, load_model("qwen3-8b"), CONSTANTS)
    read = read_context(engine, np.array([512.0, 960.0, 1024.0, 200_000.0]), np.array([128.0, 128.0, 256.0, 100.0]))
    assert read.tolist() == pytest.approx([1024.0, 1536.0, 2048.0, 200_050.0])
    assert read_context(PLAIN, 512.0, 128.0) == 512.0 + 64.0


@given(st.integers(1, 200_000), st.integers(1, 8192), st.integers(1, 4096))
def test_compiled_attention_reads_at_least_what_is_cached(isl: int, osl: int, more: int) -> None:
    engine = engine_for_chip(load_chip("rngd"), PLAIN, load_model("qwen3-8b"), CONSTANTS)
    read = float(read_context(engine, float(isl), float(osl)))
    assert read >= (isl + osl / 2.0) * (1 - 1e-9)
    assert float(read_context(engine, float(isl + more), float(osl))) >= read * (1 - 1e-9)


def test_rows_without_a_format_stand_as_the_software_stores_them() -> None:
    llama, deepseek = load_model("llama-3.1-8b"), load_model("deepseek-v3")
    assert default_weights(load_chip("wormhole-n150"), llama) == "fp8"
    assert default_weights(load_chip("groq-lpu-v1"), llama) == "int8"
    assert default_weights(load_chip("h100-sxm"), llama) == "bf16"
    # 671 GB as released fit the 1,024 GB of a rack of 16 sockets, 1,342 GB in 16 bit do not
    assert default_weights(load_chip("sn40l"), deepseek) == "fp8"


@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=20))
def test_padding_never_shrinks_and_never_turns_round(lengths: list[int]) -> None:
    engine = engine_for_chip(load_chip("rngd"), PLAIN, load_model("qwen3-8b"), CONSTANTS)
    ordered = np.sort(np.asarray(lengths, dtype=float))
    padded = np.asarray(padded_tokens(engine, ordered))
    assert np.all(padded >= ordered)
    assert np.all(np.diff(padded) >= 0)


def test_layer_floors_grow_with_the_model() -> None:
    chip = load_chip("rngd")
    small = engine_for_chip(chip, PLAIN, load_model("llama-3.2-1b"), CONSTANTS)
    large = engine_for_chip(chip, PLAIN, load_model("llama-3.3-70b"), CONSTANTS)
    table, scope = stack_table(chip, CONSTANTS)
    assert scope == "rngd"
    assert large.layer_s - small.layer_s == pytest.approx((80 - 16) * table["layer_us"] * 1e-6)


def test_pipeline_stages_share_the_layers() -> None:
    # each stage has a step of its own, every layer is launched once whatever the cut
    engine = engine_for_chip(load_chip("rngd"), PLAIN, load_model("llama-3.3-70b"), CONSTANTS)
    assert engine.layer_s > 0
    assert engine.host_s(4.0) - engine.host_s(1.0) == pytest.approx(3 * engine.step_s)


def test_expert_kernels_of_stacks_have_one_floor_a_layer() -> None:
    chip = load_chip("sn40l")
    for name in ("mixtral-8x7b", "gpt-oss-120b", "deepseek-v3"):  # 8, 128 and 256 experts
        model = load_model(name)
        engine = engine_for_chip(chip, PLAIN, model, CONSTANTS)
        floor = CONSTANTS.tuned(engine.kernels).kernel("moe", chip, "fp8", "bf16").t0_s
        launches = expert_launches(max(group.ffn.experts for group in model.groups))
        assert floor * launches == pytest.approx(CONSTANTS.tables["moe"]["sn40l"]["any"]["t0_us"] * 1e-6)


def test_gpus_keep_their_engine() -> None:
    assert engine_for_chip(load_chip("h100-sxm"), PLAIN, load_model("llama-3.3-70b"), CONSTANTS) is PLAIN
    assert padded_tokens(PLAIN, 300.0) == 300.0


def test_neuron_reads_the_whole_compiled_context() -> None:
    engine = engine_for_chip(load_chip("inferentia2"), PLAIN, load_model("llama-2-7b"), CONSTANTS)
    assert read_context(engine, 128.0, 3968.0) == 4096.0
    assert read_context(PLAIN, 128.0, 3968.0) == 128.0 + 1984.0


def test_a_host_that_launches_ahead_hides_the_shorter_of_the_two() -> None:
    ahead = engine_for_chip(load_chip("ascend-910b2"), PLAIN, load_model("qwen3-32b"), CONSTANTS)
    assert host_joined(PLAIN, 0.02, 0.03) == pytest.approx(0.05)
    assert 0.03 < float(host_joined(ahead, 0.02, 0.03)) < 0.04


def test_npus_without_data_borrow_from_their_class() -> None:
    assert stack_table(load_chip("rebel-quad"), CONSTANTS)[1] == "npu"
    assert CONSTANTS.find("gemm", load_chip("rebel-quad"), ("bf16", "any"))[1] == "npu"
    assert CONSTANTS.find("gemm", load_chip("xeon-8480p"), ("bf16", "any"))[1] == "cpu"
