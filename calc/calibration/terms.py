"""The terms of many blocks as flat arrays, so that a change of constants re-times thousands of rows at once.

Each entry is one operator of one row: count x (kernels t0 + [(x/eta_m)^p + (y/eta_c)^p]^(1/p)), with x and y the
ideal seconds of `step.ideal_terms`; a collective has no floor, its link time as x and its latency as y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Values
from ..engines.constants import Constants, format_chain
from ..physics.roofline import smooth_max
from ..physics.step import Term, ideal_terms
from .parameters import Space

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..hardware.chip import Chip
    from ..physics.operators import Operator

Places = NDArray[np.intp]
_PLACES = 5  # deviations that one constant has at most
_RANKS = ((1.5, 2.83, 0), (2.83, 5.66, 1), (5.66, np.inf, 2))  # ranks nearest to 2, 4, 8 and more
_KNEE = (0.4, 6.0)
_H = 1e-4


@dataclass(frozen=True, eq=False)
class Machine:
    """What the operators of a block run on: a chip with its starts, under an engine of some age."""

    chip: Chip
    constants: Constants
    engine: Engine


class Flat:
    """Entries of all rows; `seconds(z)` sums them by row, `slopes(z)` gives d seconds / d z for each parameter."""

    def __init__(self, size: int, space: Space) -> None:
        """size: number of rows that the sums have; space: where deviations have their places."""
        self.size = size
        self.space = space
        self._parts: list[tuple[Values | Places, ...]] = []

    def add(self, ops: Sequence[Operator], machine: Machine, rows: Places) -> None:
        """Append the operators of a block whose cases stand at `rows`."""
        for term in ideal_terms(ops, machine.chip):
            if term.collective:
                self._collective(term, machine, rows)
            else:
                self._kernel(term, machine, rows)

    def _kernel(self, term: Term, machine: Machine, rows: Places) -> None:
        chip, engine, space = machine.chip, machine.engine, self.space
        table, scope, _ = machine.constants.find(term.kind, chip, format_chain(term.format, term.roof))
        own = chip.id if scope == chip.id else chip.family
        space.starts[(term.kind, term.format, own)] = {**table, "family": chip.family}
        t0 = table["t0_s"] if "t0_s" in table else table["t0_us"] * 1e-6
        places = space.kernel(term.kind, term.format, chip.family, engine.name, own)
        starts = (max(t0, 1e-12), table["eta_m"], table["eta_c"], table["p"])
        floors = term.kernels * (engine.expert_floor if term.kind == "moe" else 1.0)
        self._append(rows, (term.count, floors, term.x_s, term.y_s), starts, tuple(places.values()))

    def _collective(self, term: Term, machine: Machine, rows: Places) -> None:
        ranks = np.broadcast_to(np.asarray(term.ranks, dtype=float), rows.shape)
        link = np.broadcast_to(np.asarray(term.x_s, dtype=float), rows.shape)
        for low, high, place in _RANKS:
            at = (ranks > low) & (ranks <= high)
            if not at.any():
                continue
            table, scope = machine.constants.collective_table(term.kind, machine.chip, float(ranks[at].max()))
            places = self.space.collective(term.kind, scope, place)
            # latency as y / eta_c with y = 1 s and eta_c = 1 / alpha, so what raises alpha lowers eta_c
            starts = (1.0, table["eta_b"][place], 1e6 / table["alpha_us"][place], table["q"][place])
            deviations = ((), places["eta_b"], tuple(-i for i in places["alpha"]), places["q"])
            self._append(rows[at], (term.count, 0.0, link[at], 1.0), starts, deviations)

    def _append(
        self,
        rows: Places,
        ideal: tuple[Array, Array, Array, Array],
        starts: tuple[float, ...],
        places: tuple[tuple[int, ...], ...],
    ) -> None:
        """Entries of a term. ideal: count, kernels, x, y; starts, places (negative: inverse): t0, eta_m, eta_c, p."""
        n = len(rows)
        index = np.zeros((4, _PLACES), dtype=int)
        sign = np.ones((4, _PLACES))
        for line, found in enumerate(places):
            index[line, : len(found)] = np.abs(found)
            sign[line, : len(found)] = np.where(np.asarray(found) < 0, -1.0, 1.0)
        wide = [np.broadcast_to(np.asarray(value, dtype=float), (n,)) for value in ideal]
        logs = np.tile(np.log(starts)[:, None], (1, n))
        self._parts.append((rows, *wide, logs, *(np.tile(of[:, :, None], (1, 1, n)) for of in (index, sign))))

    def freeze(self) -> Flat:
        """Join the parts; call once before `seconds`."""
        joined = [np.concatenate(part, axis=-1) for part in zip(*self._parts, strict=True)]
        self.row, self.count, self.kernels, self.x, self.y, self.logs, self.index, self.sign = joined
        self._parts = []
        used = (int(j) for j in np.unique(self.index) if j)
        self.users = {j: np.flatnonzero((self.index == j).any(axis=(0, 1))) for j in used}
        return self

    def _entries(self, z: Values, at: slice | Places = slice(None)) -> Values:
        values = self.logs[:, at] + (z[self.index[:, :, at]] * self.sign[:, :, at]).sum(axis=1)
        t0, eta_m, eta_c = np.exp(values[0]), np.exp(values[1]), np.exp(values[2])
        knee = np.clip(np.exp(values[3]), *_KNEE)
        busy = smooth_max(self.x[at] / eta_m, self.y[at] / eta_c, knee)
        out: Values = self.count[at] * (self.kernels[at] * t0 + busy)
        return out

    def seconds(self, z: Values) -> Values:
        """Sum of a row's entries; also keeps them for `slopes`."""
        self.now = self._entries(z)
        return self._by_row(self.now)

    def _by_row(self, values: Values, at: slice | Places = slice(None)) -> Values:
        total: Values = np.bincount(self.row[at], weights=values, minlength=self.size).astype(float)
        return total

    def slopes(self, z: Values) -> dict[int, Values]:
        """d seconds / d z_j by row for each parameter that any entry uses; call after `seconds(z)`."""
        found = {}
        for j, at in self.users.items():
            moved = z.copy()
            moved[j] += _H
            change = (self._entries(moved, at) - self.now[at]) / _H
            found[j] = self._by_row(change, at)
        return found
