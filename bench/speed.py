"""Full estimates per second on one core, array results against single answers, and peers in the same run.

    python bench/speed.py [--seconds 1.5] [--profile] [--peers]

A full estimate is TPOT, TTFT, throughput, memory fit and cost per million tokens of one case. "grid": axes
of tensor degree, input length, output length and requests in flight, as sweep, plan and atlas ask.
"unrelated": every case with inputs of its own. "one by one": the public `estimate`. Peers that can be
imported are timed on a like question. Thread pools are held to one core; seconds are the processor's.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from tokcalc import estimate
from tokcalc.answers.setting import Setting, key_of, setting
from tokcalc.money.cost import blend, input_output
from tokcalc.physics.parallel import Plan
from tokcalc.serving.closed_loop import evaluate
from tokcalc.serving.replica import Replica
from tokcalc.serving.workload import Load, Served

PAIRS = (("dense", "h100-sxm", "llama-3.3-70b", "fp8"), ("mixture", "h200-sxm", "deepseek-v3", "fp8"))
DAY = "2026-07-01"
CHECKED = 60


def rate(work: Callable[[], int], seconds: float) -> float:
    """Best cases per processor second of repeated calls, so that other programs on the machine count least."""
    work()
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.process_time()
        cases = work()
        best = max(best, cases / max(time.process_time() - start, 1e-9))
    return best


def full(s: Setting, plan: Plan, load: Load) -> tuple[Served, dict[str, np.ndarray]]:
    """Speed, memory fit and money of all cases, in the full shape of the grid."""
    found = evaluate(Replica.of(s.chip, s.model, plan, s.formats, (s.engine, s.constants)), load)
    hour = (s.price.fixed if s.price else 1.0) * found.chips
    of_input, of_output = input_output(hour, found.input_tok_s, found.output_tok_s, found.prefill_share)
    money = {"per_m_output": of_output, "per_m_blended": blend(of_input, of_output, load.isl / load.osl)}
    return found, money


def _counted(s: Setting, plan: Plan, load: Load, cases: int) -> int:
    full(s, plan, load)
    return cases


def _single(chip: str, model: str, weights: str, lengths: Iterator[int]) -> int:
    estimate(chip, model, weights=weights, tp=8, concurrency=8, on=DAY, isl=next(lengths))  # never the same again
    return 1


def grid(s: Setting, count: int) -> tuple[Plan, Load, int]:
    """Tp x isl x osl x requests in flight: 4 x 16 x 4 x `count` cases."""

    def axis(values: Any, place: int) -> np.ndarray:
        return np.asarray(values, dtype=float).reshape([-1 if i == place else 1 for i in range(4)])

    tp = axis([1, 2, 4, 8], 0)
    load = Load(
        axis(np.geomspace(128, 65536, 16).round(), 1), axis([128, 256, 512, 1024], 2),
        axis(np.arange(1, count + 1), 3),
    )  # fmt: skip
    return Plan(tp, 1, 1, tp if s.model.is_moe else 1), load, 4 * 16 * 4 * count


def unrelated(s: Setting, count: int) -> tuple[Plan, Load, int]:
    """`count` cases with random inputs of their own."""
    rng = np.random.default_rng(0)
    tp = 2.0 ** rng.integers(0, 4, count)
    load = Load(
        np.round(np.exp(rng.uniform(np.log(128), np.log(65536), count))), rng.integers(128, 1025,
        count).astype(float),
        rng.integers(1, 513, count).astype(float),
    )  # fmt: skip
    return Plan(tp, 1, 1, tp if s.model.is_moe else 1), load, count


def largest_difference(s: Setting, chip: str, model: str, weights: str) -> float:
    """Largest relative difference between the array and single answers, over random cases that fit."""
    plan, load, _ = unrelated(s, CHECKED)
    found, money = full(s, plan, load)
    worst = 0.0
    for i in np.flatnonzero(np.broadcast_to(found.fits, (CHECKED,))):
        tp = int(plan.tp[i])
        answer = estimate(
            chip, model, isl=int(load.isl[i]), osl=int(load.osl[i]), concurrency=int(load.concurrency[i]),
            weights=weights, tp=tp, ep=tp if s.model.is_moe else 1, on=DAY,
        ).to_dict()  # fmt: skip
        pairs = [(getattr(found, n)[i], answer["speed"][n]["value"]) for n in ("tpot_s", "ttft_s", "output_tok_s")]
        pairs += [(money[n][i], answer["cost"][n]) for n in money if s.price is not None]
        worst = max(worst, *(abs(a - b) / max(abs(b), 1e-300) for a, b in pairs))
    return float(worst)


def arithmetic(seconds: float) -> dict[str, float]:
    """Nanoseconds per element of NumPy's own operations on arrays that stay in the cache."""
    x = np.random.default_rng(0).uniform(0.1, 1.0, 4096)
    out = np.empty_like(x)
    works = {
        "multiply": lambda: np.multiply(x, x, out=out), "divide": lambda: np.divide(x, 1.7, out=out),
        "exp": lambda: np.exp(x, out=out), "log": lambda: np.log(x, out=out), "power": lambda: np.power(x,
        2.9, out=out),
    }  # fmt: skip

    def timed(work: Callable[[], Any]) -> float:
        def run() -> int:
            for _ in range(50):
                work()
            return 50 * x.size

        return 1e9 / rate(run, seconds)

    return {name: timed(work) for name, work in works.items()}


def peers(seconds: float) -> dict[str, float | str]:
    """Estimates per second of other planners that are installed, or why not.

    Same question as far as they know it.
    """
    return {name: _peer(make, seconds) for name, make in _PEERS.items()}


def _peer(make: Callable[[], Callable[[], Any]], seconds: float) -> float | str:
    import logging

    logging.disable(logging.CRITICAL)
    try:
        work = make()

        def once() -> int:
            work()
            return 1

        return rate(once, seconds)
    except ImportError:
        return "not installed"
    except Exception as error:
        return f"fails: {type(error).__name__}: {str(error).splitlines()[0][:80]}"
    finally:
        logging.disable(logging.NOTSET)


def _aiconfigurator() -> Callable[[], Any]:
    from aiconfigurator.cli.api import cli_estimate

    return lambda: cli_estimate(
        model_path="meta-llama/Meta-Llama-3.1-70B", system_name="h200_sxm", mode="agg", backend_name="vllm",
        isl=1024,
        osl=1024, batch_size=8, tp_size=8,
    )  # fmt: skip


def _llm_flops() -> Callable[[], Any]:
    from llmflops import get_config, throughput

    config = get_config("meta-llama/Llama-2-70b-hf")
    return lambda: throughput(
        config, gpu="H100", precision="fp8", sequence_length=2048, output_tokens=1024, cost_per_hour=3.0, max_batch=64
    )


def _llm_analysis() -> Callable[[], Any]:
    from llm_analysis.analysis import LLMAnalysis
    from llm_analysis.config import (
        ParallelismConfig,
        get_dtype_config_by_name,
        get_gpu_config_by_name,
        get_model_config_by_name,
    )

    analysis = LLMAnalysis(
        get_model_config_by_name("upstage_Llama-2-70b-instruct-v2"), get_gpu_config_by_name("h100-sxm-80gb"),
        get_dtype_config_by_name("w8a8e16"), ParallelismConfig(tp_size=8), flops_efficiency=0.6,
        hbm_memory_efficiency=0.6,
    )  # fmt: skip
    return lambda: analysis.inference(batch_size_per_gpu=8, seq_len=1024, num_tokens_to_generate=1024)


def _genz() -> Callable[[], Any]:
    from GenZ import decode_moddeling, prefill_moddeling

    same = {"model": "meta-llama/Llama-3.1-70B", "batch_size": 8, "system_name": "H100_GPU", "tensor_parallel": 8}

    def work() -> None:
        prefill_moddeling(input_tokens=1024, bits="bf16", **same)
        decode_moddeling(input_tokens=1024, output_tokens=1024, bits="bf16", **same)

    return work


_PEERS = {
    "aiconfigurator (cli_estimate)": _aiconfigurator,
    "llm-analysis (inference)": _llm_analysis,
    "genz-llm (prefill + decode)": _genz,
    "llm-flops (throughput, one formula)": _llm_flops,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=1.5, help="per figure")
    parser.add_argument("--profile", action="store_true", help="where the time of a grid goes")
    parser.add_argument("--peers", action="store_true", help="time other planners too")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    best = 0.0
    for kind, chip, model, weights in PAIRS:
        s = setting(key_of({"chip": chip, "model": model, "weights": weights, "on": DAY}))
        print(f"{kind}: {model} in {weights} on {chip}")
        for name, (plan, load, cases) in {
            "grid of 13,312": grid(s, 52), "grid of 32,768": grid(s, 128), "grid of 131,072": grid(s, 512),
            "unrelated, 16,384": unrelated(s, 16_384),
        }.items():  # fmt: skip
            found = rate(partial(_counted, s, plan, load, cases), options.seconds)
            best = max(best, found) if kind == "dense" else best
            print(f"  {name:22} {found:14,.0f} estimates/s  {1e9 / found:8.1f} ns each")
        one = rate(partial(_single, chip, model, weights, itertools.count(1000)), options.seconds)
        print(f"  {'one by one':22} {one:14,.0f} estimates/s")
        print(f"  largest difference from single answers: {largest_difference(s, chip, model, weights):.1e}")
    print("NumPy on this core, ns per element: " + ", ".join(f"{n} {v:.2f}" for n, v in arithmetic(0.2).items()))
    if options.peers:
        for name, value in peers(options.seconds).items():
            shown = (
                value if isinstance(value, str) else f"{value:12,.1f} estimates/s, 1/{best / value:,.0f} of the grid"
            )
            print(f"  {name:36} {shown}")
    if options.profile:
        profile()


def profile() -> None:
    """Seconds by function of a grid's evaluation, the costliest first."""
    import cProfile
    import pstats

    for _, chip, model, weights in PAIRS:
        s = setting(key_of({"chip": chip, "model": model, "weights": weights, "on": DAY}))
        plan, load, _ = grid(s, 128)
        full(s, plan, load)
        watch = cProfile.Profile()
        watch.enable()
        for _ in range(20):
            full(s, plan, load)
        watch.disable()
        pstats.Stats(watch).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
