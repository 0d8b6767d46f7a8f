"""The terms of many blocks as flat arrays, so that a change of constants re-times thousands of rows at once.

Each entry is one operator of one row: count x (kernels t0 + [(x/eta_m)^p + (y/eta_c)^p]^(1/p)), with x and y the
ideal seconds of `step.ideal_terms`; a collective has no floor, its link time as x and its latency as y. Used by
`calibrate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engines.constants import Constants, format_chain
from ..physics.roofline import smooth_max
from ..physics.step import Term, ideal_terms
from .parameters import Space

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..physics.operators import Operator

Array = np.ndarray
_PLACES = 5  # deviations that one constant has at most
_RANKS = ((1.5, 2.83, 0), (2.83, 5.66, 1), (5.66, np.inf, 2))  # ranks nearest to 2, 4, 8 and more
_KNEE = (0.4, 6.0)
_H = 1e-4


class Flat:
    """Entries of all rows; `seconds(z)` sums them by row, `slopes(z)` gives d seconds / d z for each parameter."""

    def __init__(self, size: int) -> None:
        """size: number of rows that the sums have."""
        self.size = size
        self._parts: list[tuple[Array, ...]] = []

    def add(
        self,
        ops: Sequence[Operator],
        chip: Chip,
        constants: Constants,
        rows: Array,
        space: Space,
        engine: str | None = None,
        expert_floor: float = 1.0,
    ) -> None:
        """Append the operators of a block whose cases stand at `rows`, run by that engine of that age."""
        for term in ideal_terms(ops, chip):
            if term.collective:
                self._collective(term, chip, constants, rows, space)
            else:
                floor = expert_floor if term.kind == "moe" else 1.0
                self._kernel(term, chip, constants, rows, space, engine, floor)

    def _kernel(
        self, term: Term, chip: Chip, constants: Constants, rows: Array, space: Space, engine: str | None,
        floor: float,
    ) -> None:  # fmt: skip
        table, scope, _ = constants.find(term.kind, chip, format_chain(term.format, term.roof))
        own = chip.id if scope == chip.id else chip.family
        space.starts[(term.kind, term.format, own)] = {**table, "family": chip.family}
        t0 = table["t0_s"] if "t0_s" in table else table["t0_us"] * 1e-6
        places = space.kernel(term.kind, term.format, chip.family, engine, own)
        logs = np.log([max(t0, 1e-12), table["eta_m"], table["eta_c"], table["p"]])
        self._append(rows, term.count, term.kernels * floor, term.x_s, term.y_s, logs,
                     (places["t0"], places["eta_m"], places["eta_c"], places["p"]))  # fmt: skip

    def _collective(self, term: Term, chip: Chip, constants: Constants, rows: Array, space: Space) -> None:
        table, scope = constants.collective_table(term.kind, chip)
        ranks = np.broadcast_to(np.asarray(term.ranks, dtype=float), rows.shape)
        link = np.broadcast_to(np.asarray(term.x_s, dtype=float), rows.shape)
        for low, high, place in _RANKS:
            at = (ranks > low) & (ranks <= high)
            if not at.any():
                continue
            places = space.collective(term.kind, scope, place)
            # latency as y / eta_c with y = 1 s and eta_c = 1 / alpha
            alpha = table["alpha_us"][place] * 1e-6
            logs = np.array([0.0, np.log(table["eta_b"][place]), -np.log(alpha), np.log(table["q"][place])])
            self._append(rows[at], term.count, 0.0, link[at], 1.0, logs,
                         ((), places["eta_b"], tuple(-i for i in places["alpha"]), places["q"]))  # fmt: skip

    def _append(self, rows: Array, count: Any, kernels: Any, x: Any, y: Any, logs: Array, places: Any) -> None:
        n = len(rows)
        index = np.zeros((4, _PLACES), dtype=int)
        sign = np.ones((4, _PLACES))
        for line, found in enumerate(places):
            index[line, : len(found)] = np.abs(found)
            sign[line, : len(found)] = np.where(np.asarray(found) < 0, -1.0, 1.0)

        def wide(value: Any) -> Array:
            return np.broadcast_to(np.asarray(value, dtype=float), (n,))

        self._parts.append(
            (rows, wide(count), wide(kernels), wide(x), wide(y), np.tile(logs[:, None], (1, n)),
             np.tile(index[:, :, None], (1, 1, n)), np.tile(sign[:, :, None], (1, 1, n)))
        )  # fmt: skip

    def freeze(self) -> Flat:
        """Join the parts; call once before `seconds`."""
        joined = [np.concatenate(part, axis=-1) for part in zip(*self._parts, strict=True)]
        self.row, self.count, self.kernels, self.x, self.y, self.logs, self.index, self.sign = joined
        self._parts = []
        self.users: dict[int, Array] = {}
        for j in np.unique(self.index):
            if j:
                self.users[int(j)] = np.flatnonzero((self.index == j).any(axis=(0, 1)))
        return self

    def _entries(self, z: Array, at: Any = slice(None)) -> Array:
        values = self.logs[:, at] + (z[self.index[:, :, at]] * self.sign[:, :, at]).sum(axis=1)
        t0, eta_m, eta_c = np.exp(values[0]), np.exp(values[1]), np.exp(values[2])
        knee = np.clip(np.exp(values[3]), *_KNEE)
        busy = smooth_max(self.x[at] / eta_m, self.y[at] / eta_c, knee)
        out: Array = self.count[at] * (self.kernels[at] * t0 + busy)
        return out

    def seconds(self, z: Array) -> Array:
        """Sum of a row's entries; also keeps them for `slopes`."""
        self.now = self._entries(z)
        return np.bincount(self.row, weights=self.now, minlength=self.size)

    def slopes(self, z: Array) -> dict[int, Array]:
        """d seconds / d z_j by row for each parameter that any entry uses; call after `seconds(z)`."""
        found = {}
        for j, at in self.users.items():
            moved = z.copy()
            moved[j] += _H
            change = (self._entries(moved, at) - self.now[at]) / _H
            found[j] = np.bincount(self.row[at], weights=change, minlength=self.size)
        return found
