"""Prompts on SRAM pipelines: matrices and attention, after cached tokens and over windows."""

import numpy as np
import pytest
from tokcalc.answers.estimate import estimate
from tokcalc.catalog import load_chip, load_model
from tokcalc.engines import pipelines
from tokcalc.physics import pipeline as sram
from tokcalc.physics.operators import causal_pairs, component_formats
from tokcalc.serving import piped_loop
from tokcalc.serving.piped_loop import Piped
from tokcalc.serving.workload import Load


def _pipe(chip: str, model: str, weights: str, isl: float):
    device, network = load_chip(chip), load_model(model)
    fmt = component_formats(network, weights, "bf16")
    return device, network, fmt, sram.place(device, network, fmt, 1.0, isl)


def _attention_s(chip: str, model: str, weights: str, fresh: float, cached: float = 0.0) -> float:
    device, network, fmt, pipe = _pipe(chip, model, weights, fresh + cached)
    whole = sram.prompt_work_s(device, network, fmt, pipe, fresh, cached=cached)
    return float(whole - fresh * sram.prompt_rate_s(device, network, fmt, pipe))


def test_attention_of_128000_tokens_by_hand():
    _, _, _, pipe = _pipe("groq", "llama-3.3-70b", "int8", 128_100.0)
    flop = 4 * 64 * 128 * 80 * 128_000 * 128_001 / 2
    assert flop == pytest.approx(2.15e16, rel=2e-3)
    device, network, fmt, _ = _pipe("groq", "llama-3.3-70b", "int8", 128_100.0)
    share = pipelines.constants_for(device)[0]["prompt_peak_share"]
    by_hand = flop / (float(pipe.chips) * 188e12 * share)
    work = float(sram.prompt_work_s(device, network, fmt, pipe, 128_000.0))
    matrices = 128_000.0 * float(sram.prompt_rate_s(device, network, fmt, pipe))
    assert work - matrices == pytest.approx(by_hand, rel=1e-6)


def test_no_long_prompt_beats_the_dense_peak():
    answer = estimate("groq", "llama-3.3-70b", isl=128_000, osl=100).to_dict()
    chips, network = answer["deployment"]["chips"], load_model("llama-3.3-70b")
    attention = 4 * 64 * 128 * 80 * 128_000 * 64_000 / (chips * 188e12)
    matrices = 2 * network.params_active_no_embed * 128_000 / (chips * 750e12)
    assert answer["speed"]["ttft_s"]["value"] > attention + matrices


def test_attention_of_long_prompts_grows_with_the_square():
    device, network, fmt, pipe = _pipe("wse-3", "llama-3.1-70b", "bf16", 131_072.0)
    rate = float(sram.prompt_rate_s(device, network, fmt, pipe))
    lengths = np.array([16_384.0, 32_768.0, 65_536.0])
    attention = sram.prompt_work_s(device, network, fmt, pipe, lengths) - lengths * rate
    assert attention[1:] / attention[:-1] == pytest.approx([4.0, 4.0], rel=1e-3)


def test_fresh_tokens_attend_to_the_cached_ones():
    whole = _attention_s("groq", "llama-3.3-70b", "int8", 100_000.0)
    rest = _attention_s("groq", "llama-3.3-70b", "int8", 10_000.0, 90_000.0)
    share = causal_pairs(90_000.0, 10_000.0) / causal_pairs(0.0, 100_000.0)
    assert share == pytest.approx(0.19, abs=0.001)  # 1 - .9 squared, where .1 of the matrices' work is left
    assert rest / whole == pytest.approx(share, rel=1e-6)


def test_a_prompt_that_is_all_cached_costs_nothing():
    device, network, fmt, pipe = _pipe("groq", "llama-3.3-70b", "int8", 8192.0)
    assert float(sram.prompt_work_s(device, network, fmt, pipe, 0.0, cached=8192.0)) == 0.0


def test_windows_cap_what_a_token_sees():
    """gpt-oss alternates layers of full attention with windows of 128 tokens: long prompts cost about half."""
    device, network, fmt, pipe = _pipe("groq", "gpt-oss-120b", "mxfp4", 65_536.0)
    full = sum(g.count * 4.0 * g.attention.heads * g.attention.head_dim for g in network.groups)
    peak = float(pipe.chips) * 188e12 * pipelines.constants_for(device)[0]["prompt_peak_share"]
    unbounded = full * causal_pairs(0.0, 65_536.0) / peak
    rate = float(sram.prompt_rate_s(device, network, fmt, pipe))
    attention = float(sram.prompt_work_s(device, network, fmt, pipe, 65_536.0)) - 65_536.0 * rate
    assert attention / unbounded == pytest.approx(0.5, abs=0.01)


def test_grids_of_lengths_and_cached_shares_equal_single_cases():
    device, network, fmt, _ = _pipe("wse-3", "llama-3.1-8b", "bf16", 1024.0)
    lengths, shares = np.array([[1024.0], [65_536.0]]), np.array([[0.0, 0.5, 0.9]])
    grid = piped_loop.closed_loop(Piped(device, network, fmt), Load(lengths, 256.0, 4.0, shares))
    for i, isl in enumerate(lengths[:, 0]):
        for j, share in enumerate(shares[0]):
            alone = piped_loop.closed_loop(Piped(device, network, fmt), Load(float(isl), 256.0, 4.0, float(share)))
            assert grid.ttft_s[i, j] == pytest.approx(float(alone.ttft_s), rel=1e-12)
            assert grid.tpot_s[i, j] == pytest.approx(float(alone.tpot_s), rel=1e-12)


def test_a_token_is_handed_on_between_chips():
    device, network, fmt, _ = _pipe("wse-3", "llama-3.1-8b", "bf16", 1024.0)
    hop = pipelines.constants_for(device)[0]["hop_us"] * 1e-6
    for chips in (1.0, 4.0):
        assert float(sram.place(device, network, fmt, 1.0, 1024.0, chips=chips).hop_s) == pytest.approx(
            hop * (chips - 1)
        )


def test_layers_that_route_take_longer_by_their_routing():
    """Of 36 layers with experts over LPUs, which have no span to cross: layer and routing each, whatever the bytes."""
    table = pipelines.constants_for(load_chip("groq"))[0]
    assert table["span_us"] == 0.0
    routed, dense = (_pipe("groq", name, "int8", 1024.0)[3].layer_s for name in ("gpt-oss-120b", "llama-3.1-8b"))
    assert float(dense) == pytest.approx(table["layer_us"] * 1e-6)
    assert float(routed - dense) == pytest.approx(table["moe_us"] * 1e-6)
