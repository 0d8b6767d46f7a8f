"""Mixed systems: integers that match, caches that take their time, loads that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokcalc.answers.mixed import mixed_answer
from tokcalc.catalog import load_chip, load_model
from tokcalc.errors import DoesNotFit, NoAnswer, UsageError
from tokcalc.explore.shared_load import parse_owned, share_load
from tokcalc.serving import pools
from tokcalc.serving.pools import DECODE_BUSY, PREFILL_BUSY, Job, Mixed, link_bytes_s, rate_match, transfer_s
from tokcalc.trust.bands import band_factor

MODEL = load_model("llama-3.1-70b")


def jobs(model, first, second, *, isl, osl, prefill_chips=None, decode_chips=None, weights=None, **writes):
    return (
        Job(first, model, isl, chips=prefill_chips, weights=weights),
        Job(second, model, isl, osl, chips=decode_chips, weights=weights, **writes),
    )


def mixed(model, first, second, *, draft=0, **asked) -> Mixed:
    if draft != "best":
        asked["draft"] = draft
    return pools.mixed(*jobs(model, first, second, **asked), best_draft=draft == "best")


def test_one_prefill_replica_feeds_three() -> None:
    assert rate_match((3.0, 1.0), (1.0, 1.0)) == (1, 3)


@given(
    st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0.5, 50), st.floats(0.5, 50)
)  # fmt: skip
def test_no_other_integers_are_cheaper(rp: float, rd: float, cp: float, cd: float) -> None:
    def cost(x: int, y: int) -> float:
        return (x * cp + y * cd) / min(PREFILL_BUSY * x * rp, DECODE_BUSY * y * rd)

    x, y = rate_match((rp, rd), (cp, cd), 12)
    assert cost(x, y) <= min(cost(i, j) for i in range(1, 13) for j in range(1, 13)) * 1.0201


def test_the_slower_link_sets_the_transfer() -> None:
    assert transfer_s(1e9, 100e9, 50e9) == transfer_s(1e9, 50e9, 100e9) == pytest.approx(0.02)
    assert link_bytes_s(load_chip("h800"), 8) == pytest.approx(
        8 * load_chip("h800").link("scale_out").bandwidth_bytes_s
    )


def test_longer_prompts_move_more_cache_and_wait_longer() -> None:
    pair = [mixed(MODEL, load_chip("h800"), load_chip("rngd"), isl=n, osl=512, decode_chips=8) for n in (512, 4096)]
    assert pair[1].together.kv_bytes == pytest.approx(8 * pair[0].together.kv_bytes)
    assert pair[1].together.ttft_s > pair[0].together.ttft_s
    assert pair[1].prefill_replicas / pair[1].decode_replicas >= pair[0].prefill_replicas / pair[0].decode_replicas


def test_decode_alone_is_faster_than_decode_with_prompts() -> None:
    from tokcalc import estimate

    m = mixed(MODEL, load_chip("h100-sxm"), load_chip("h100-sxm"), isl=4096, osl=512, batch=32, decode_chips=8)
    both = estimate("h100-sxm", "llama-3.1-70b", isl=4096, osl=512, concurrency=32, chips=8, tp=8)
    assert m.decode.seconds < both.tpot_s


def test_the_worse_grade_counts() -> None:
    assert mixed(MODEL, load_chip("h800"), load_chip("groq-3-lpu"), isl=1024, osl=1024).grade == "D"


def test_too_few_chips_are_named_with_enough() -> None:
    with pytest.raises(DoesNotFit, match="give --decode-chips"):
        mixed(MODEL, load_chip("h800"), load_chip("groq"), isl=1024, osl=1024, decode_chips=10)


def test_shares_sum_to_one_within_the_limit() -> None:
    parts, left_out = share_load({"h800": 8, "rngd": 8}, "llama-3.1-8b", max_tpot_s=0.05)
    assert sum(part.share for part in parts) == pytest.approx(1.0)
    assert all(part.tpot_s <= 0.05 for part in parts)
    assert not left_out


def test_a_limit_that_nobody_keeps_says_so() -> None:
    with pytest.raises(NoAnswer, match="allow a longer --max-tpot"):
        share_load({"rngd": 8}, "llama-3.1-8b", max_tpot_s=0.0001)
    with pytest.raises(UsageError, match="CHIP=NUMBER"):
        parse_owned(["h800"])


def test_the_best_draft_makes_at_least_as_many_tokens_as_none() -> None:
    model, chip = load_model("deepseek-v3"), load_chip("h800")
    plain, one, best = (
        mixed(model, chip, chip, isl=2048, osl=1024, prefill_chips=32, decode_chips=144, draft=draft,
              acceptance=0.8 if draft else 0.0, max_tpot_s=0.03)
        for draft in (0, 1, "best")
    )  # fmt: skip
    assert best.decode.requests_per_s >= max(plain.decode.requests_per_s, one.decode.requests_per_s)
    assert best.draft >= 1
    assert best.decode.seconds <= 0.03


def test_eight_chips_of_a_rack_spread_experts_where_that_makes_more_tokens() -> None:
    # vLLM on GB200: 10.1k output tokens/s a chip of eight decoding, memory full
    chip, model = load_chip("gb200"), load_model("deepseek-v3")
    found = mixed(model, chip, chip, isl=2000, osl=2000, prefill_chips=4, decode_chips=8, weights="nvfp4")
    assert found.decode.requests_per_s * 2000 / 8 == pytest.approx(10_100, rel=0.2)


def test_a_time_per_token_is_kept_on_few_chips() -> None:
    chip = load_chip("h100-sxm")
    found = mixed(MODEL, chip, chip, isl=1024, osl=512, decode_chips=4, max_tpot_s=0.02)
    assert found.decode.seconds <= 0.02
    assert found.decode.batch > 1


def _factors(first: str, second: str, model: str = "llama-3.1-8b") -> dict[str, float]:
    network = load_model(model)
    reads, writes = jobs(network, load_chip(first), load_chip(second), isl=1024, osl=1024)
    speed = mixed_answer(pools.mixed(reads, writes), writes, "USD")["speed"]
    banded = {name: item for name, item in speed.items() if isinstance(item, dict)}
    for item in banded.values():
        assert item["value"] / item["low"] == pytest.approx(item["high"] / item["value"])
    return {name: item["high"] / item["value"] for name, item in banded.items()}


def test_both_pools_of_one_chip_have_its_bands() -> None:
    found = _factors("rngd", "rngd")
    assert found["ttft_s"] == pytest.approx(band_factor("ttft", "A", "rngd"))
    assert found["tpot_s"] == found["output_tok_s_user"] == pytest.approx(band_factor("tpot", "A", "rngd"))
    assert found["output_tok_s"] == found["input_tok_s"] == pytest.approx(band_factor("throughput", "A", "rngd"))
    assert found["ttft_s"] > band_factor("ttft", "A")  # a measured GPU's is narrower


@pytest.mark.parametrize(("first", "second"), [("h100-sxm", "rngd"), ("rngd", "h100-sxm")])
def test_bands_follow_the_chip_that_does_the_phase(first: str, second: str) -> None:
    found = _factors(first, second)
    assert found["ttft_s"] == pytest.approx(band_factor("ttft", "A", first))
    assert found["tpot_s"] == pytest.approx(band_factor("tpot", "A", second))
    wider = max(band_factor("throughput", "A", chip) for chip in (first, second))
    assert found["output_tok_s"] == found["input_tok_s"] == pytest.approx(wider)


def test_a_mixture_on_a_chip_of_dense_measurements_widens_its_phase() -> None:
    found = _factors("h100-sxm", "rngd", "gpt-oss-120b")
    assert found["tpot_s"] == pytest.approx(band_factor("tpot", "B", "rngd", moe=True))
    assert found["tpot_s"] > band_factor("tpot", "B", "rngd")
