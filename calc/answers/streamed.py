"""The parts of an answer: speed, memory, what binds, assumptions; each a dictionary (money: answer_money).

Two bodies (served by HBM-like memory, or piped through SRAM) fill the same fields. Used by `estimate` alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..serving.closed_loop import evaluate
from ..serving.kernels import case_of
from ..serving.open_loop import arrivals, closed_percentiles
from ..serving.regimes import Parts, tpot_of
from ..serving.workload import Load
from .notes import engine_notes, term_inputs, waiting_note
from .question import Body, Question

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..serving.deployment import Deployment


_BOUND = {
    "gemm": "weights streamed from memory",
    "moe": "expert weights streamed from memory",
    "attention_decode": "KV cache streamed from memory",
    "mla_decode": "KV cache streamed from memory",
    "linear_decode": "attention state streamed from memory",
    "all_reduce": "messages between chips",
    "all_to_all": "messages between chips",
    "elementwise": "element-wise kernels",
}


def served_answer(deployment: Deployment, constants: Constants, ask: Question) -> Body:
    """Steady state of a deployment whose weights stream from HBM, GDDR, LPDDR or DDR."""
    d, r = deployment, deployment.replica(constants)
    engine, memory = r.engine, r.memory(float(ask.isl + ask.osl))
    if float(memory.batch) < 1.0 and d.memory is not None:  # sized for software that keeps less memory free
        memory = d.memory
    load = Load(float(ask.isl), float(ask.osl), 1.0, ask.cache_hit, float(ask.draft), ask.acceptance)
    taken = float(r.software_limit(load))
    limit = float(min(memory.batch, taken // 1.0))
    batch = limit if ask.concurrency == "max" else float(ask.concurrency or 1)
    offered = None
    if ask.rate is not None:
        offered = arrivals(r, load, ask.rate, limit)
        batch = offered.batch
        ask = ask.with_note(offered.note)
    load = replace(load, concurrency=max(batch, 1.0))  # between requests the machine idles
    s = evaluate(r, load)
    if offered:
        out, read = offered.rate * ask.osl, offered.rate * ask.isl
        s = replace(s, concurrency=batch, ttft_s=offered.ttft_s, output_tok_s=out, input_tok_s=read)
    step, running = float(s.step_s), float(s.running)
    decode = s.decode
    assert decode is not None
    kernel = [
        (n, float(np.ravel(t)[0]) * engine.factor, k)
        for n, t, k in zip(decode.names, decode.terms_s, decode.bound, strict=True)
    ]
    inputs = term_inputs(s.operators, d.chip, r.constants)
    host = float(r.host_s(running))
    inputs["engine: host work per step"] = {
        "per step us": engine.host_s(float(d.plan.pp)) * 1e6,
        "per sequence us": engine.sequence_s * 1e6,
    }
    inputs["prompts of other requests"] = {"g": engine.interference, "b": running, "prompt ms": float(s.prompt_s) * 1e3}
    inputs["engine: front end that sends tokens"] = {"per token us": engine.stream_s * 1e6}
    case = case_of(r, load, running)
    prompts = float(tpot_of(Parts(step, s.alone_s, s.prompt_s), case, engine)) - step
    rows = _merge(kernel)
    rows += [("engine: host work per step", host, "host"), ("prompts of other requests", prompts, "prefill")]
    rows.append(("engine: front end that sends tokens", float(s.tpot_s) - step - prompts, "sending"))
    total = sum(r[1] for r in rows)
    terms = tuple(
        {"name": n, "seconds": t, "share": t / total, "formula": _FORMULA.get(k, ""), "inputs": inputs.get(n, {})}
        for n, t, k in sorted(rows, key=lambda r: -r[1])
        if t > 1e-9 * total
    )
    bound_by, share = _bound(rows, total)
    scope = constants.scope(d.chip, d.weights)
    if running < batch:
        ask = ask.with_note(waiting_note(batch, running, taken))
    # more run at once while they grow, in a pool that is full
    cache = min(running, float(memory.batch)) / float(d.plan.dp) * float(memory.kv_bytes_per_sequence)
    wait = float(s.queue_s) - engine.ttft_steps * step
    percentiles = closed_percentiles(float(s.ttft_s), max(0.0, wait))
    if offered:
        percentiles = offered.percentiles
    return Body(
        deployment={
            "chips": d.chips,
            "tp": int(d.plan.tp),
            "pp": int(d.plan.pp),
            "dp": int(d.plan.dp),
            "ep": int(d.plan.ep),
            "weights": d.weights,
            "kv": d.kv,
            "engine": None if engine.name == "any" else engine.name,
        },
        served=s,
        memory={
            "weights_bytes_per_chip": float(memory.weights_bytes),
            "kv_bytes_per_chip": cache,
            "workspace_bytes_per_chip": float(memory.workspace_bytes),
            "capacity_bytes": float(memory.capacity_bytes),
            "used_share": float(s.used_share),
            "largest_batch": limit,
        },
        terms=terms,
        bound_by=bound_by,
        bound_share=share,
        scope=scope,
        assumptions=(
            *d.assumed,
            *_loop(ask),
            *engine_notes(d.chip, d.model, engine, constants, ask.software_date or "", d.plan),
            *ask.notes,
        ),
        percentiles=percentiles,
        anchored=engine.anchor_rows > 0,
        in_use=offered.in_use if offered else 1.0,
    )


_FORMULA = {
    "gemm": "n t0 + [(Q/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p)",
    "moe": "n t0 + [(Q/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p), Q from E (1 - (1 - k/E)^T) experts",
    "attention_decode": "t0 + [(KV/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p)",
    "mla_decode": "t0 + [(latent/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p)",
    "linear_decode": "t0 + [(state/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p)",
    "all_reduce": "[alpha^q + (2 (n-1)/n M / B)^q]^(1/q)",
    "all_to_all": "[alpha^q + (v/B)^q]^(1/q)",
    "elementwise": "t0 + Q/(eta_m BW)",
    "host": "constant per step + term per sequence",
    "prefill": "g (b - 1)/OSL x prompt service",
    "sending": "what one process a rank takes for the tokens of all its requests, beyond the rest",
    "latency": "layers x latency per layer",
    "hop": "(stages - 1) x hop latency",
    "matrix": "active weights / SRAM bandwidth of a stage",
}


def _merge(rows: list[tuple[str, float, str]]) -> list[tuple[str, float, str]]:
    """Terms of the same name in several layer groups as one."""
    merged: dict[str, tuple[float, str]] = {}
    for name, seconds, kind in rows:
        merged[name] = (merged.get(name, (0.0, kind))[0] + seconds, kind)
    return [(name, seconds, kind) for name, (seconds, kind) in merged.items()]


def _bound(rows: list[tuple[str, float, str]], total: float) -> tuple[str, float]:
    groups: dict[str, float] = {}
    for _, seconds, kind in rows:
        name = _BOUND.get(kind, {"prefill": "prompts of other requests"}.get(kind, "host work of the engine"))
        groups[name] = groups.get(name, 0.0) + seconds
    name = max(groups, key=lambda k: groups[k])
    return name, groups[name] / total


def _loop(ask: Question) -> tuple[str, ...]:
    if ask.rate is not None:
        return ()
    return (
        f"closed loop: {ask.concurrency} request{'s' if ask.concurrency != 1 else ''} in flight, "
        f"{ask.isl} tokens in and {ask.osl} out",
    )
