"""The answer as a record, and its JSON contract."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..engines.constants import load_constants
from ..trust.evidence import evidence
from ..trust.grades import grade_reason
from .money import energy, money
from .question import Body, Question, Subject

if TYPE_CHECKING:
    from .service import Service


@dataclass(frozen=True)
class Answer:
    """An answer as a dictionary with the stable keys of the JSON contract; `pint` quantities by `quantity`."""

    data: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """A copy of the answer: plain numbers, texts, lists."""
        return deepcopy(dict(self.data))

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    @property
    def tpot_s(self) -> float:
        """Seconds per output token after the first."""
        return float(self.data["speed"]["tpot_s"]["value"])

    @property
    def ttft_s(self) -> float:
        """Mean seconds to the first token."""
        return float(self.data["speed"]["ttft_s"]["value"])

    @property
    def output_tok_s(self) -> float:
        """Output tokens per second of the whole system."""
        return float(self.data["speed"]["output_tok_s"]["value"])

    @property
    def grade(self) -> str:
        """A to D."""
        return str(self.data["grade"])

    def quantity(self, path: str) -> Any:
        """A dotted key as a pint quantity: `answer.quantity("speed.tpot_s.value")` is in seconds."""
        from ..units import registry

        value: Any = self.data
        for key in path.split("."):
            value = value[key]
        names = [name for name in path.split(".") if name not in ("value", "low", "high")]
        last = names[-1].removesuffix("_per_chip").removesuffix("_user").removesuffix("_chip")
        unit = next((u for end, u in (("_tok_s", "1/s"), ("_bytes", "byte"), ("_s", "s")) if last.endswith(end)), "")
        return float(value) * registry()(unit or "dimensionless")


def speed_of(subject: Subject, body: Body) -> dict[str, Any]:
    """The speeds of a body with their bands."""
    s, chips = body.served, body.deployment["chips"]
    ttft = subject.banded(float(s.ttft_s), "ttft", body)
    if body.percentiles:
        ttft |= dict(zip(("p50", "p90", "p99"), body.percentiles, strict=True))
    output = float(s.output_tok_s)
    return {
        "output_tok_s_user": subject.banded(1.0 / float(s.tpot_s), "tpot", body),
        "output_tok_s": subject.banded(output, "throughput", body),
        "output_tok_s_chip": subject.banded(output / chips, "throughput", body),
        "input_tok_s": subject.banded(float(s.input_tok_s), "throughput", body),
        "ttft_s": ttft,
        "tpot_s": subject.banded(float(s.tpot_s), "tpot", body),
    }


def assemble(
    subject: Subject, body: Body, ask: Question, command: str, *, service: tuple[Service | None, Body | None]
) -> dict[str, Any]:
    """The answer dictionary of the JSON contract.

    service: how a service would run the model, and the body at its load: money, energy and memory are then of that
    load, and `service` holds its speeds. `speed` is of the load that was asked for, one request alone if none was.
    """
    chip, model, grade, s = subject.chip, subject.model, subject.grade, body.served
    kept, loaded = service
    paid = loaded or body
    watts = energy(subject, paid, ask)
    reason = grade_reason(chip, load_constants(), body.scope, model.is_moe)
    return {
        "chip": chip.id,
        "model": model.id,
        "chip_name": chip.name,
        "model_name": model.name,
        "deployment": dict(body.deployment),
        "workload": {
            "isl": ask.isl,
            "osl": ask.osl,
            "concurrency": float(s.concurrency) if ask.rate else int(s.concurrency),
            "cache_hit": ask.cache_hit,
            "draft": ask.draft,
            "acceptance": ask.acceptance,
            "utilisation": ask.utilisation,
        },
        "speed": speed_of(subject, body),
        **({"service": service_record(subject, kept, loaded)} if kept and loaded else {}),
        "cost": money(subject, paid, ask, watts),
        "energy": watts,
        "memory": dict(paid.memory),
        "bound_by": body.bound_by,
        "bound_share": body.bound_share,
        "grade": grade,
        "band": {"note": f"80 % of measurements fall inside low..high; grade {grade}: {reason}", "reason": reason},
        "terms": [dict(t) for t in body.terms],
        "sources": [{"url": s.url, "date": s.date, "grade": s.grade, "covers": s.covers} for s in chip.sources],
        "notes": list(chip.notes[:2]) if grade == "D" else [],
        "assumptions": list(paid.assumptions),
        "placement": [dict(p) for p in body.placement],
        "evidence": evidence(chip.id, chip.what_if),
        "command": command,
    }


def service_record(subject: Subject, service: Service, body: Body) -> dict[str, Any]:
    """The load of a service: what it promises, what it keeps in flight, and its speeds."""
    return {
        "min_tok_s_user": 1.0 / service.limits.tpot_s,
        "max_ttft_s": service.limits.ttft_s,
        "kept": service.kept,
        "concurrency": service.concurrency,
        "speed": speed_of(subject, body),
    }
