"""Facts about prompts that repeat: hits in a prefix cache that a row's remarks tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tokcalc.engines.constants import load_constants
from tokcalc.physics.passes import read_context
from tokcalc.validation.rows.cases import gather
from tokcalc.validation.rows.runs import cached_share

NOTE = "independent; prompt 1024, answer 256; prefix cache on; engine limits (prefill batch 1)"


def rows(notes: list[str]) -> pd.DataFrame:
    """Closed loops of Qwen2.5-14B on one RNGD, as measured rows are typed."""
    n = len(notes)
    return pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)], "chip": "rngd", "chips": 1.0, "model": "qwen2.5-14b", "weights": "bf16",
            "kv": "", "engine": "furiosa-llm", "version": "", "tp": 1.0, "pp": 1.0, "dp": 1.0, "ep": np.nan,
            "isl": 1024.0, "osl": 256.0, "concurrency": 128.0, "max_load": False, "regime": "serving",
            "metric": "output_tok_s", "value": 1380.95, "spec_decode": np.nan, "group": "g", "date": "2026",
            "source": "", "note": notes,
        }
    )  # fmt: skip


def test_a_prompt_that_repeats_is_cached_but_for_its_last_token() -> None:
    found = cached_share(rows([NOTE, "prefix cache off, unique random prompts", ""]))
    assert found.tolist() == pytest.approx([1023 / 1024, 0.0, 0.0])


def test_cached_prompts_cost_a_small_pass_and_their_cache_is_held_once() -> None:
    blocks = gather(rows([NOTE, ""]), load_constants()).blocks
    found = {int(i): (b.load.fresh[k], b.limit[k]) for b in blocks for k, i in enumerate(b.index)}
    assert found[0][0] == pytest.approx(1.0)
    assert found[1][0] == 1024.0
    # 128 whole caches of 1,152 tokens, 29 GB, do not fit beside 30 GB of weights on 48 GB
    assert found[1][1] < 128 < found[0][1]


def test_the_running_context_is_still_read_whole() -> None:
    block = gather(rows([NOTE]), load_constants()).blocks[0]
    assert (
        float(read_context(block.engine, block.isl, block.osl)[0]) == 2048.0
    )  # 1,024 to 1,280 tokens in kernels compiled for 2,048
