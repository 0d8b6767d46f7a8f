"""Parameters of the fit of GPUs: logarithms with a start, a prior width and bounds, shared by name.

A constant is its start value times deviations that belong to all kernels of a kind, to a number format, to a chip
family and to their combination; each deviation is pulled to 1 by its own prior, so that what one family shows also
serves the next. What may move, and how far, stands in specs/calibration/gpus.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Values
from ..catalog.tables import spec_table

Key = tuple[object, ...]
Places = dict[str, tuple[int, ...]]
Classes = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Rules:
    """`[fit]` of specs/calibration/gpus.toml, which says what each is."""

    reach: float
    spread: float
    spread_ttft: float
    group_rows: float
    group_power: float
    least_rows: int
    identified: float


def moves() -> Mapping[str, Any]:
    """specs/calibration/gpus.toml: what may move, how far, and which rows move it."""
    return spec_table("calibration", "gpus")


@lru_cache(maxsize=1)
def rules() -> Rules:
    """How rows weigh and how far parameters may go."""
    return Rules(**moves()["fit"])


@lru_cache(maxsize=1)
def priors() -> Mapping[str, float]:
    """Prior width of each class of deviations by name, CONSTANT.LABELS: "t0.family", "step_us.engine", "group.rate"."""
    tables = {**moves()["kernels"], **moves()["engines"], "group": moves()["groups"]}
    return {f"{name}.{labels}": width for name, widths in tables.items() for labels, width in widths.items()}


@lru_cache(maxsize=1)
def engine_deviations() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Field of `Engine` -> classes of its deviations, each as (class, labels of its key...).

    >>> engine_deviations()["step_s"]
    (('step_us.engine', 'engine'), ('step_us.engine_family', 'engine', 'family'))
    """
    named = {re.sub("_[um]s$", "_s", name): name for name in moves()["engines"]}
    found = {of: tuple((f"{name}.{k}", *k.split("_")) for k in moves()["engines"][name]) for of, name in named.items()}
    found["prompt_factor"] = found.pop("prompt")
    return found


# constant of a kernel -> labels of its deviations, those of `own` standing for kind, format and scope
_KERNEL: Classes = {
    "t0": ("family", "kind_format", "own"),
    "eta_m": ("kind", "kind_format", "family", "own"),
    "eta_c": ("kind", "kind_format", "family", "own"),
    "p": ("kind", "kind_format"),
}
_EXPERTS: Classes = {"t0": ("family", "moe_format", "own_moe")}
_OF_ENGINE: Mapping[str, Classes] = {
    "moe": {"t0": ("engine_moe", "engine_format")},
    "attention_decode": {"t0": ("engine_attention",), "eta_m": ("engine_attention",)},
}


@dataclass
class Space:
    """Log parameters by key; index 0 is a constant zero that fills unused places."""

    index: dict[Key, int] = field(default_factory=lambda: {("zero",): 0})
    width: list[float] = field(default_factory=lambda: [0.0])
    starts: dict[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)  # of kind, format, scope

    def get(self, prior: str, *key: object) -> int:
        """Index of the deviation of that prior class and key, made at its first use; its start is log 1 = 0."""
        full = (prior, *key)
        if full not in self.index:
            self.index[full] = len(self.width)
            self.width.append(priors()[prior])
        return self.index[full]

    @property
    def widths(self) -> Values:
        """Prior widths of all parameters; 0 for the constant."""
        return np.array(self.width)

    def kernel(self, kind: str, fmt: str, family: str, engine: str | None = None, scope: str | None = None) -> Places:
        """Indices of the deviations of one kernel class: floor and shares (of some kernels by engine too), knee.

        scope: a chip's id where the chip has a table of its own, which then has deviations of its own; else the family.
        """
        own = (kind, fmt, scope or family)
        keys: dict[str, tuple[object, ...]] = {
            "family": (family,),
            "kind": (kind,),
            "kind_format": (kind, fmt),
            "own": own,
            "moe_format": (fmt,),
            "own_moe": own,
            "engine_moe": (engine, family),
            "engine_format": (engine, family, fmt),
            "engine_attention": (engine, family),
        }
        classes: Classes = _KERNEL | (_EXPERTS if kind == "moe" else {})
        more: Classes = _OF_ENGINE.get(kind, {}) if engine is not None else {}
        return {
            constant: tuple(self.get(f"{constant}.{of}", *keys[of]) for of in (*labels, *more.get(constant, ())))
            for constant, labels in classes.items()
        }

    def collective(self, kind: str, scope: str, place: int) -> Places:
        """Indices of the deviations of a collective: latency, share of the link, knee; place 0, 1, 2 for 2, 4, 8."""
        return {
            constant: tuple(
                self.get(f"{constant}.{of}", kind, scope, *((place,) if of == "own" else ()))
                for of in moves()["kernels"][constant]
            )
            for constant in ("alpha", "eta_b", "q")
        }
