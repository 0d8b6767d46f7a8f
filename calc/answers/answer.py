"""The answer as a record, and its JSON contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..engines.constants import load_constants
from ..trust.bands import band
from ..trust.evidence import evidence
from ..trust.grades import grade_reason
from .money import energy, money
from .question import Body, Question

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model


@dataclass(frozen=True)
class Answer:
    """An answer as a dictionary with the stable keys of the JSON contract; `pint` quantities by `quantity`."""

    data: Mapping[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """A copy of the answer: plain numbers, texts, lists."""
        return dict(self.data)

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


def assemble(chip: Chip, model: Model, body: Body, ask: Question, grade: str, command: str) -> dict[str, Any]:
    """The answer dictionary of the JSON contract."""
    s, chips = body.served, body.deployment["chips"]
    watts = energy(chip, model, body, ask, grade)
    reason = grade_reason(chip, load_constants(), body.scope, model.is_moe)

    def banded(value: float, quantity: str) -> dict[str, float]:
        low, high = band(value, quantity, grade, body.bands or chip.id, model.is_moe)
        return {"value": value, "low": float(low), "high": float(high)}

    ttft = banded(float(s.ttft_s), "ttft")
    if body.percentiles:
        ttft |= dict(zip(("p50", "p90", "p99"), body.percentiles, strict=True))
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
        "speed": {
            "output_tok_s_user": banded(1.0 / float(s.tpot_s), "tpot"),
            "output_tok_s": banded(float(s.output_tok_s), "throughput"),
            "output_tok_s_chip": banded(float(s.output_tok_s) / chips, "throughput"),
            "input_tok_s": banded(float(s.input_tok_s), "throughput"),
            "ttft_s": ttft,
            "tpot_s": banded(float(s.tpot_s), "tpot"),
        },
        "cost": money(chip, model, body, ask, watts, grade),
        "energy": watts,
        "memory": dict(body.memory),
        "bound_by": body.bound_by,
        "bound_share": body.bound_share,
        "grade": grade,
        "band": {"note": f"80 % of measurements fall inside low..high; grade {grade}: {reason}", "reason": reason},
        "terms": [dict(t) for t in body.terms],
        "sources": [{"url": s.url, "date": s.date, "grade": s.grade, "covers": s.covers} for s in chip.sources],
        "notes": list(chip.notes[:2]) if grade == "D" else [],
        "assumptions": list(body.assumptions),
        "placement": [dict(p) for p in body.placement],
        "evidence": evidence(chip.id, chip.what_if),
        "command": command,
    }
