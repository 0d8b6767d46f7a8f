"""How runs are taken, as compositions of seconds: one function per regime, arrays over cases, no physics.

The only composition from seconds to metrics: given the kernel seconds of one decode step and of one prompt, each regime
says what a service or a benchmark of its kind shows. The answer, grids, `predict` and the fits share these.

`soft` is an engine; in a fit its fields are arrays over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, Mask
from ..physics.roofline import smooth_max

if TYPE_CHECKING:
    from ..engines.engine import Engine

Metrics = dict[str, Array]
MS = 1e3
BUSIEST = 0.98  # share of the time that prompts take beyond which a mean wait says nothing


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """Rows of one regime. isl, osl: tokens; batch: requests in flight; running: those that memory lets run
    at once.

    pp, dp: degrees; together: prompts that share a pass, inf where they join steps; passes: chunks of one prompt;
    poll: steps until a busy engine looks for new requests; accepted: tokens that one step yields (drafting);
    replicas: alike, side by side; front: 1 where a first token of a prompt alone or of an open loop came through a
    server, 0 from a library;
    sampling_s: of each running sequence and step, where tokens are drawn in a slow way.
    """

    isl: Array
    osl: Array
    batch: Array
    running: Array
    pp: Array = 1.0
    dp: Array = 1.0
    together: Array = 1.0
    passes: Array = 1.0
    poll: Array = 0.0
    accepted: Array = 1.0
    replicas: Array = 1.0
    front: Array = 0.0
    sampling_s: Array = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Seconds:
    """Kernel seconds without host work: a decode step of `running`, a prompt alone, a prompt's share of a full pass."""

    decode: Array
    alone: Array
    batched: Array


@dataclass(frozen=True, eq=False, repr=False)
class Parts:
    """What every regime is made of, in seconds: step without prompts, prompt alone, prompt among others."""

    step: Array
    alone: Array
    prompt: Array


def parts(case: Case, seconds: Seconds, soft: Engine) -> Parts:
    """Kernels with their host work: step = f D + stages x c + b/dp s, prompt = m (f P + chunks x h).

    f: engine factor, m: its prompt factor; each further pipeline stage in use adds its share of bubbles. On
    stacks whose host runs ahead, kernels and host join as a smooth
    maximum. Worked: D 8 ms, f 1, c 1 ms, s 10 us, b 32: 9.32 ms.
    """
    overlap = soft.overlap
    host = soft.step_s * case.pp + soft.layer_s + (soft.sequence_s + case.sampling_s) * case.running / case.dp
    stages = np.minimum(case.pp, np.maximum(case.running / case.dp, 1.0))
    bubbles = 1.0 + soft.stage_loss * (stages - 1.0)
    step = bubbles * smooth_max(soft.factor * seconds.decode, host, overlap) / case.accepted
    chunks = soft.prefill_step_s * case.passes
    alone = soft.prompt_factor * smooth_max(soft.factor * seconds.alone, chunks, overlap)
    prompt = soft.prompt_factor * smooth_max(soft.factor * seconds.batched, chunks / case.together, overlap)
    return Parts(step, alone, prompt)


def tpot_of(p: Parts, case: Case, soft: Engine) -> Array:
    """TPOT among others: step + g (running - 1)/OSL x prompt; each of the others brings one prompt in OSL
    tokens.

    Worked: step 10 ms, prompt 50 ms, 33 running, OSL 800, g 1.2: 12.4 ms.
    """
    return p.step + soft.interference * np.maximum(case.running - 1.0, 0.0) / case.osl * p.prompt


def streamed(tpot: Array, case: Case, soft: Engine) -> Array:
    """TPOT through the front end, whose one process a rank sends the tokens of its running requests: max(TPOT, b/dp s).

    Worked: 1,024 running, s 45 us: at least 46.1 ms, 22,200 tokens per second.
    """
    return np.maximum(tpot, soft.stream_s * case.running / case.dp)


def ttft_of(p: Parts, case: Case, soft: Engine) -> Array:
    """Mean TTFT of requests that all run: front + P1 + (n + poll + n_dp [dp > 1]) step + k (b - 1) PM.

    n: steps from arrival to the first answer; k: share of the other prompts standing before one's own. A measured
    combination brings a factor of its own. Worked: front 10 ms, P1 50 ms, n 2.5, step 10 ms, k .055, 33 running, PM 40
    ms: 155.4 ms.
    """
    steps = soft.ttft_steps + case.poll + soft.dp_steps * (np.asarray(case.dp) > 1)
    standing = soft.queue_share * np.maximum(case.running - 1.0, 0.0) * p.prompt
    return soft.ttft_factor * (soft.frontend_s + p.alone + steps * p.step * case.accepted + standing)


@dataclass(frozen=True, eq=False, repr=False)
class Steady:
    """A closed loop whose requests all run: seconds a token and to the first one, requests per second."""

    tpot: Array
    ttft: Array
    rate: Array


def steady(p: Parts, case: Case, soft: Engine) -> Steady:
    """What `running` requests give that follow each other."""
    tpot = streamed(tpot_of(p, case, soft), case, soft)
    ttft = sustained_ttft(ttft_of(p, case, soft), p.prompt, case.running, case.osl, tpot)
    return Steady(tpot, ttft, closed_rate(case.running, ttft, case.osl, tpot))


def busy_share(p: Parts, s: Steady, case: Case, soft: Engine) -> Array:
    """Share of the time in kernels and messages: all but the host's work of a step. Worked: 1 of 10 ms: .9."""
    host = soft.step_s * case.pp + soft.layer_s + (soft.sequence_s + case.sampling_s) * case.running / case.dp
    return 1.0 - host / (s.tpot + p.step * (case.accepted - 1.0))


def closed_rate(running: Array, ttft: Array, osl: Array, tpot: Array) -> Array:
    """Requests per second of a closed loop: running/(TTFT + (OSL - 1) TPOT), Little's law.

    >>> f"{closed_rate(32, 0.150, 800, 0.012):.2f} requests/s"
    '3.29 requests/s'
    """
    return running / (ttft + (osl - 1.0) * tpot)


def queue_s(asked: Array, running: Array, rate: Array) -> Array:
    """What requests beyond the running ones wait for their turn: (b - running)/rate.

    So that in flight = rate x (TTFT + (OSL - 1) TPOT) behind a full pool too. Worked: 64 in flight, 32 running, 3.29
    requests/s: 9.7 s.
    """
    return np.maximum(asked - running, 0.0) / rate


def _speed(tpot: Array, rate: Array, case: Case, ttft: Array, **more: Array) -> Metrics:
    """Metrics by their names in measured rows, from TPOT, requests per second of a replica and TTFT."""
    rate = rate * case.replicas
    return {
        "tpot_ms": tpot * MS,
        "output_tok_s_user": 1.0 / tpot,
        "output_tok_s": rate * case.osl,
        "input_tok_s": rate * case.isl,
        "total_tok_s": rate * (case.isl + case.osl),
        "ttft_ms": ttft * MS,
        "e2e_s": ttft + np.maximum(case.osl - 1.0, 0.0) * tpot,
        **more,
    }


def prefill_alone(case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """One prompt on an idle machine: TTFT = P1, after the front end of a server if there is one, input rate = ISL/P1.

    Worked: 1,000 tokens in 50 ms: 20,000 tok/s; through a server that takes 5 ms, TTFT 55 ms.
    """
    p = parts(case, seconds, soft)
    return _speed(p.step, 1.0 / p.alone, case, case.front * soft.frontend_s + p.alone)


def decode(case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """Generation only, b streams in step: TPOT = step, rate = b/step. b 8, step 10 ms: 800 tok/s, 100 each."""
    p = parts(case, seconds, soft)
    step = streamed(p.step, case, soft)
    return _speed(step, case.running / (case.osl * step), case, p.alone)


def static_batch(case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """A batch from prompt to end: E2E = b PM + OSL step, output rate = b OSL/E2E; beyond memory in turns of
    `running`.

    Worked: b 8, PM 50 ms, OSL 100, step 10 ms: 1.4 s, 571 output tok/s; input rate of the prompt phase 8
    ISL/0.4 s.
    """
    p = parts(case, seconds, soft)
    turns = np.maximum(case.batch / case.running, 1.0)
    prompts = np.where(case.running > 1, case.running * p.prompt, p.alone)
    one = prompts + (case.osl - 1.0) * p.step
    whole = turns * one
    found = _speed(p.step, case.batch / whole, case, prompts)
    return found | {"e2e_s": whole, "input_tok_s": case.running * case.isl / prompts * case.replicas}


def serving(case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """A benchmark's closed loop: what waits for memory is in TTFT and not in the rate.

    Worked: 32 running, TTFT 150 ms, TPOT 12 ms, OSL 800: 3.29 requests/s, 2,629 output tok/s.
    """
    p = parts(case, seconds, soft)
    s = steady(p, case, soft)
    ttft = s.ttft + ramped_queue_s(p, s, case, soft)
    return _speed(s.tpot, s.rate, case, ttft, output_tok_s_user=s.rate * case.osl / case.running)


def ramped_queue_s(p: Parts, s: Steady, case: Case, soft: Engine) -> Array:
    """Mean wait for memory in a finite benchmark, whose queue is only as long as its law asks once it has filled.

    w of a running request's life, and k of the prompts of those that wait; joined steps (one launch, `together` inf)
    wait as long as Little's law says. Worked: w .5, OSL 800, TPOT 12 ms, 64 in flight, 32 running, k PM 2 ms: 4.86 s.
    """
    more = np.maximum(case.batch - case.running, 0.0)
    prompts = soft.ttft_factor * soft.queue_share * p.prompt
    ramp = more * (prompts + soft.queue_time * case.osl * s.tpot / case.running)
    return np.where(np.isinf(case.together), queue_s(case.batch, case.running, s.rate), ramp)


def prompt_share(prompt: Array, step: Array, running: Array, osl: Array) -> Array:
    """Share of working time that prompts take: P / (P + OSL step / running), of one request's two phases.

    Never 0 or 1, so that neither input nor output is ever free. Worked: P 50 ms, step 10 ms, 32 running, OSL 800: 1/6.
    """
    return prompt / (prompt + np.asarray(osl) * step / running)


def sustained_ttft(ttft: Array, prompt: Array, running: Array, osl: Array, tpot: Array) -> Array:
    """TTFT that a closed loop can sustain: prompts alone never take more than all of the time.

    rate x prompt <= 1 with Little's law gives TTFT >= running x prompt - (OSL - 1) TPOT; only short outputs reach it.
    Worked: 200 running, prompt 30 ms, OSL 1: at least 6 s.
    """
    return np.maximum(ttft, running * prompt - np.maximum(np.asarray(osl) - 1.0, 0.0) * tpot)


def mean_wait_s(service_s: Array, load: Array) -> Array:
    """Mean wait of an M/D/1 queue: rho S / (2 (1 - rho)). Worked: S 50 ms, rho .5: 25 ms."""
    return load * service_s / (2.0 * (1.0 - load))


def open_loop(case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """Offered rate: b = rate x TPOT of output tokens are decoding, so output rate = b/TPOT (b below 1: idle
    at times).

    TTFT: as alone, and the wait rho S/(2 (1 - rho)) of prompts that arrive at random (M/D/1, S = PM). Through a
    server its front end and steps come on top. A library (front 0) meets the middle of a step with the chance
    1 - exp(-b) that one is running, and hands the token out a step later; ranks of data-parallel attention take
    prompts together, so the first of dp waits for (dp - 1)/2 more on average, at most the engine's patience.

    Worked: 20 streams at 25 ms: 800 tok/s. A b above what memory holds is saturated (`saturated`). A library's
    prompt of 12 ms beside 20 steps of 8 ms: 12 + 1.5 x 8 = 24 ms.
    """
    p = parts(case, seconds, soft)
    tpot = tpot_of(p, case, soft)
    rate = case.batch / (case.osl * tpot)
    wait = mean_wait_s(p.prompt, np.minimum(rate * p.prompt, BUSIEST))
    others = 0.5 * (np.asarray(case.dp) - 1.0) * case.osl / np.maximum(case.batch, 1e-9)
    met = 1.0 - 0.5 * np.expm1(-np.asarray(case.batch)) + np.minimum(others, soft.dp_steps)
    steps = soft.ttft_steps + soft.dp_steps * (np.asarray(case.dp) > 1)
    around = np.where(np.asarray(case.front) > 0, soft.frontend_s + steps * p.step, met * tpot)
    return _speed(tpot, rate, case, p.alone + around + wait)


def saturated(case: Case) -> Mask:
    """True where more streams would have to run than memory holds: the offered rate is not sustained."""
    return np.asarray(case.batch) > np.asarray(case.running)


def max_load(case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """Everything queued at once: running = what memory holds, a slot turns over in PM + OSL TPOT.

    TPOT = step + (running - 1)/OSL PM: no prompt finds the machine idle, so each costs the others its own time.
    A burst that fits at once is prefilled first: a mean request waits for half of the prompts only while it
    decodes. TTFT: half of the prompts stand before one's own, and half of the rounds that memory cuts the
    queue into. Worked: 256 running, PM 50 ms, OSL 128, step 20 ms: TPOT 119.6 ms, 15.4 s a slot, 2,133
    output tok/s, most of it prompts.
    """
    p = parts(case, seconds, soft)
    tpot = p.step + np.maximum(case.running - 1.0, 0.0) / case.osl * p.prompt
    life = p.prompt + case.osl * tpot
    rounds = 0.5 * np.maximum(case.batch / case.running - 1.0, 0.0) * life
    ttft = soft.frontend_s + p.alone + 0.5 * (case.running - 1.0) * p.prompt + rounds
    burst = np.asarray(case.batch) <= np.asarray(case.running)
    shown = np.where(burst, p.step + 0.5 * (tpot - p.step), tpot)
    return _speed(tpot, case.running / life, case, ttft, tpot_ms=shown * MS, output_tok_s_user=1.0 / shown)


REGIMES: dict[str, Callable[[Case, Seconds, Engine], Metrics]] = {
    "prefill-b1": prefill_alone,
    "decode-b1": decode,
    "decode-batch": decode,
    "static-batch": static_batch,
    "serving": serving,
    "energy": serving,
    "price": serving,
    "open-loop": open_loop,
    "max-load": max_load,
    "mlperf-offline": max_load,
    "mlperf-server": open_loop,
}


def metrics(regime: str, case: Case, seconds: Seconds, soft: Engine) -> Metrics:
    """Metrics of rows of one regime, keyed as in measured rows (ms, s, tokens per second of all replicas)."""
    return REGIMES[regime](case, seconds, soft)
