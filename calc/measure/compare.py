"""Two runs of the same machine side by side: which constants agree within 5 %, and why others may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOLERANCE = 0.05
_FITTED = ("t0_s", "overhead_s", "sequence_s", "row_s", "eta_c", "eta_m", ".p")


@dataclass(frozen=True)
class Change:
    """One constant in both runs."""

    name: str
    old: float
    new: float

    @property
    def ratio(self) -> float:
        """new / old; 1 where both are 0."""
        return self.new / self.old if self.old else (1.0 if not self.new else float("inf"))

    @property
    def agrees(self) -> bool:
        """Whether the two lie within 5 % of each other."""
        return abs(self.ratio - 1.0) <= TOLERANCE or abs(1.0 / max(self.ratio, 1e-12) - 1.0) <= TOLERANCE

    @property
    def fitted(self) -> bool:
        """True for a coefficient of a fit, False for a rate measured directly."""
        return self.name.endswith(_FITTED)

    def __str__(self) -> str:
        return f"{self.name} {self.ratio - 1:+.0%}"


def compare_constants(old: Mapping[str, float], new: Mapping[str, float]) -> list[Change]:
    """Every constant that both runs have."""
    return [Change(name, float(old[name]), float(new[name])) for name in new if name in old]


def sentence(changes: list[Change], date: str) -> str:
    """What a person should know of them, in a few sentences."""
    if not changes:
        return ""
    off = [c for c in changes if not c.agrees]
    rates = sorted((c for c in off if not c.fitted), key=lambda c: -abs(c.ratio - 1))
    fitted = ", ".join(str(c) for c in off if c.fitted)
    text = f"Against the run of {date}: {len(changes) - len(off)} of {len(changes)} constants agree within 5 %."
    if rates:
        worst = ", ".join(map(str, rates[:4]))
        text += f" Measured rates that differ: {worst}; the machine changed (load, clock)."
    if fitted:
        text += (
            f" Fitted constants that differ: {fitted[:400]}; floors, shares and knees of one formula trade against "
            "each other, so judge them by the times that they predict together."
        )
    return text
