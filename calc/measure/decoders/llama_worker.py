"""The process that llama.cpp runs in: a job (a file and requests) on stdin, a line of JSON per answer on stdout.

A process of its own, because the library prints, keeps threads spinning and may end the process on a bad
file. Run by `llamacpp` as `python -m tokcalc.measure.decoders.llama_worker`; nothing else imports it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..load import QUIET_CORES, Watch, settle

FIRST_TOKEN, TOKENS = 10, 200
ROUND_S = 0.06


def main() -> int:
    """Serve one job; exit code 3 with a line of JSON that says why, where the file can't be loaded."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import xllamacpp

    try:
        server = xllamacpp.Server(_parameters(xllamacpp, job))
    except RuntimeError as error:
        print(json.dumps({"error": str(error)}), file=answers)
        return 3
    print(json.dumps({"loaded": True, "system": xllamacpp.get_system_info()}), file=answers)
    for request in job["requests"]:
        print(json.dumps(_serve(server, request)), file=answers)
    answers.flush()
    os._exit(0)  # the server's threads don't all end by themselves


def _end_with_parent() -> None:
    """The parent holds stdin open; when it is gone, whatever ended it, so is this process."""
    sys.stdin.read()
    os._exit(4)


def _parameters(xllamacpp: Any, job: dict[str, Any]) -> Any:
    p = xllamacpp.CommonParams()
    p.model.path = job["path"]
    p.n_ctx = job["context"] * job["slots"]
    p.n_parallel = job["slots"]
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = job["threads"]
    p.n_gpu_layers = job["gpu_layers"]
    p.n_batch, p.n_ubatch = 2048, 512
    p.warmup = True
    p.verbosity = 0
    for name in ("cache_ram_mib", "n_ctx_checkpoints"):  # prompt copies in memory would be timed with the work
        if hasattr(p, name):
            setattr(p, name, 0)
    if hasattr(p, "kv_unified"):
        p.kv_unified = False
    return p


def _complete(server: Any, slot: int, prompt: int, new: int, keep: bool) -> dict[str, Any]:
    request = {
        "prompt": [FIRST_TOKEN + (7 * i + 31 * slot) % TOKENS for i in range(prompt)],
        "n_predict": new,
        "temperature": 0,
        "samplers": ["top_k"],
        "top_k": 1,
        "ignore_eos": True,
        "cache_prompt": keep,
        "id_slot": slot,
    }
    answer = server.handle_completions(request)
    answer = json.loads(answer) if isinstance(answer, str | bytes) else answer
    if "timings" not in answer:
        return {"error": str(answer)[:300]}
    return dict(answer["timings"])


def _serve(server: Any, request: dict[str, Any]) -> dict[str, Any]:
    """One measurement: {"seconds": [...], "others": [...]}; each sample with the cores others used meanwhile.

    prefill: seconds for `tokens` new tokens after `past`; decode: seconds per token of `batch` sequences at `context`.
    """
    seconds: list[float] = []
    others: list[float | None] = []
    quiet = 0
    slots = range(request.get("batch", 1))
    past = request.get("past", 0)

    def decode(slot: int) -> dict[str, Any]:
        return _complete(server, slot, request["context"], request["new"], True)

    def sample(pool: ThreadPoolExecutor) -> float:
        if request["kind"] == "decode":
            done = list(pool.map(decode, slots))
            return float(sum(d["predicted_ms"] / max(1, d["predicted_n"] - 1) for d in done) / len(done) * 1e-3)
        done = [_complete(server, 0, past + request["tokens"], 1, bool(past))]
        return float(done[0]["prompt_ms"] * request["tokens"] / max(1, done[0]["prompt_n"]) * 1e-3)

    with ThreadPoolExecutor(len(slots)) as pool:
        if request["kind"] == "decode":
            fill = [_complete(server, s, request["context"], 1, True) for s in slots]
            bad = next((f for f in fill if "error" in f), None)
            if bad:
                return bad
        for _ in range(request["most"]):
            if past:
                _complete(server, 0, past, 1, True)
            settle(request["patience_s"])
            watch, start, taken = Watch.start(), time.perf_counter(), 0
            # busy time is counted in steps of 10 ms: judge several steps together
            while not taken or (time.perf_counter() - start < ROUND_S and not past):
                seconds.append(sample(pool))
                taken += 1
            others += [watch.others()] * taken
            quiet += taken * ((others[-1] or 0.0) <= QUIET_CORES)
            if quiet >= request["least"]:
                break
    return {"seconds": seconds, "others": others}


if __name__ == "__main__":
    sys.exit(main())
