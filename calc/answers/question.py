"""One question as a record, and the body of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..trust.bands import ANCHORED, band

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model
    from ..money.hour import Terms
    from ..serving.chooser import Limits
    from ..serving.workload import Served


@dataclass(frozen=True, eq=False, repr=False)
class Question:
    """What was asked, checked: tokens, load, money; `notes` gathers what the reader must know."""

    isl: int
    osl: int
    concurrency: int | str | None  # None: as a service runs
    cache_hit: float
    draft: int
    acceptance: float
    rent: str | None
    currency: str
    on: str | None
    price: str | None
    utilisation: float
    software_date: str | None
    fx: str | None = None
    grid: str | None = None
    own: Mapping[str, float] | None = None
    region: str = "US"
    rate: float | None = None
    notes: tuple[str, ...] = ()
    limits: Limits | None = None  # that every user is to get; None: what a service promises

    def money_terms(self) -> Terms:
        """How money is asked for, as the hour's price wants it."""
        from ..money.hour import Terms

        return Terms(self.rent, self.own, self.price, self.on, self.currency, self.fx, self.region)

    def with_note(self, note: str) -> Question:
        """The same question with one more note."""
        return replace(self, notes=(*self.notes, note))


@dataclass(frozen=True, eq=False, repr=False)
class Body:
    """Physics of an answer, whichever kind of machine gave it. served: its state, in plain numbers."""

    deployment: Mapping[str, Any]
    served: Served
    memory: Mapping[str, Any]
    terms: tuple[Mapping[str, Any], ...]
    bound_by: str
    bound_share: float
    scope: str
    assumptions: tuple[str, ...]
    placement: tuple[Mapping[str, Any], ...] = ()
    percentiles: tuple[float, float, float] | None = None  # p50, p90, p99 of the TTFT
    anchored: bool = False  # this very combination was measured
    in_use: float = 1.0  # share of the time in which requests are in flight

    @property
    def bands(self) -> str:
        """Table of bands that its speed and its money have: `anchored`, or "" for the general one."""
        return ANCHORED if self.anchored else ""


@dataclass(frozen=True, eq=False, repr=False)
class Subject:
    """What an answer is about, and how far it is to be trusted."""

    chip: Chip
    model: Model
    grade: str

    def banded(self, value: float, quantity: str, body: Body) -> dict[str, float]:
        """A value with its 80 % band."""
        low, high = band(value, quantity, self.grade, body.bands or self.chip.id, self.model.is_moe)
        return {"value": value, "low": float(low), "high": float(high)}
