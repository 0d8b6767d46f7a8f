"""The answer of a mixed system, with the keys of every other answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..money.cost import per_million
from ..trust.bands import band_factor

if TYPE_CHECKING:
    from ..serving.pools import Job, Mixed, Phase


def mixed_answer(m: Mixed, job: Job, currency: str) -> dict[str, Any]:
    """The mixed system as a dictionary, for JSON, tables and exports. job: what its decode side was asked.

    Bands are of the chips: the prefill chip's for the first token, the decode chip's for the time per token, the wider
    of both for what they make together; all at the worse grade.
    """
    both, rate, tpot = (m.prefill.chip.id, m.decode.chip.id), float(m.together.requests_per_s), m.decode.seconds
    of = {"ttft": both[:1], "tpot": both[1:]}

    def banded(value: float, quantity: str) -> dict[str, float]:
        wider = max(band_factor(quantity, m.grade, chip, job.model.is_moe) for chip in of.get(quantity, both))
        return {"value": value, "low": value / wider, "high": value * wider}

    output, money = rate * job.osl, m.money_per_hour
    return {
        "chip": "+".join(both),
        "model": job.model.id,
        "deployment": {
            "chips": int(m.together.chips),
            "prefill": _side(m.prefill, m.prefill_replicas),
            "decode": _side(m.decode, m.decode_replicas),
        },
        "workload": {
            "isl": job.isl,
            "osl": job.osl,
            "concurrency": round(m.decode.batch * m.decode_replicas),
            "draft": m.draft,
        },
        "speed": {
            "output_tok_s_user": banded(1.0 / tpot, "tpot"),
            "output_tok_s": banded(output, "throughput"),
            "input_tok_s": banded(rate * job.isl, "throughput"),
            "ttft_s": banded(float(m.together.ttft_s), "ttft"),
            "tpot_s": banded(tpot, "tpot"),
            "requests_per_s": rate,
        },
        "transfer": {
            "kv_bytes": m.together.kv_bytes,
            "seconds": m.together.transfer_s,
            "link_bytes_s": min(m.prefill.link_bytes_s, m.decode.link_bytes_s),
        },
        "cost": {
            "currency": currency,
            "per_hour": money,
            "per_m_blended": float(per_million(money, output + rate * job.isl)) if money else None,
            "per_m_output": float(per_million(money, output)) if money else None,
        },
        "grade": m.grade,
    }


def _side(phase: Phase, replicas: int) -> dict[str, Any]:
    return {
        "chip": phase.chip.id,
        "chips": phase.chips,
        "replicas": replicas,
        "weights": phase.weights,
        "kv": phase.kv,
        "batch": phase.batch,
        "requests_per_s": phase.requests_per_s,
        "grade": phase.grade,
    }
