"""What may be fitted of accelerators, wafers and LPUs, from which priors, and predictions with trial constants.

Read from specs/engines/stack_fit.toml. Stands after `predict`, whose seconds it uses, before `stack_fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..catalog.tables import shipped_table
from ..engines.constants import Constants

if TYPE_CHECKING:
    from ..validation.rows.cases import Block

Array = np.ndarray


@dataclass(frozen=True)
class Target:
    """One fit: its tables' scopes, the chips that judge it, free paths with centre and width of their priors.

    heavy_tails: whether single rows may be far off, so that the fit gives them up (`stack_fit`).
    """

    name: str
    scopes: tuple[str, ...]
    chips: tuple[str, ...]
    free: tuple[str, ...]
    centre: Array
    width: Array
    most: Array
    piped: bool
    heavy_tails: bool = False

    def values(self, z: Array) -> dict[str, float]:
        """Constants by path at deviations z (in prior widths)."""
        found = np.minimum(self.centre * np.exp(self.width * z), self.most)
        return dict(zip(self.free, found.tolist(), strict=True))


def targets() -> list[Target]:
    """The fits that specs/engines/stack_fit.toml describes."""
    spec = shipped_table("engines", "stack_fit.toml") or {}
    found = []
    for name, entry in spec["fit"].items():
        priors = {**spec["prior"], **entry.get("prior", {})}
        lines = [priors[p] if p in priors else priors[_short(p)] for p in entry["free"]]
        most = [1.0 if p.rsplit(".", 1)[-1].startswith("eta") else np.inf for p in entry["free"]]
        found.append(
            Target(
                name, tuple(entry["scopes"]), tuple(entry["chips"]), tuple(entry["free"]),
                np.array([line[0] for line in lines]), np.array([line[1] for line in lines]), np.array(most),
                bool(entry.get("piped", False)), bool(entry.get("heavy_tails", False)),
            )
        )  # fmt: skip
    return found


def _short(path: str) -> str:
    """kind.key of a path, as priors are written: "gemm.any+fp8.eta_m" gives "gemm.eta_m"."""
    parts = path.split(".")
    return f"{parts[0].split('+')[0]}.{parts[-1]}"


def overlaid(constants: Constants, target: Target, values: Mapping[str, float]) -> Constants:
    """The constants with those of the target's scopes replaced."""
    tables = dict(constants.tables)
    for path, value in values.items():
        parts = path.split(".")
        for kind in parts[0].split("+"):
            for scope in target.scopes:
                by_scope = dict(tables.get(kind, {}))
                by_scope[scope] = _set(by_scope.get(scope, {}), parts[1:], value)
                tables[kind] = by_scope
    return replace(constants, tables=tables)


def _set(table: Mapping[str, Any], path: Sequence[str], value: float) -> dict[str, Any]:
    out = dict(table)
    if len(path) == 1:
        out[path[0]] = [value] * 3 if isinstance(table.get(path[0]), list) else value
        return out
    for name in path[0].split("+"):
        if name in out:
            out[name] = _set(out[name], path[1:], value)
    return out


def _piped_set(table: Mapping[str, Any], path: Sequence[str], value: float) -> dict[str, Any]:
    out = dict(table)
    if path[0] == "generation":
        releases = [dict(g) for g in table["generation"]]
        releases[int(path[1])][path[2]] = value
        out["generation"] = releases
    else:
        out[path[0]] = value
    return out


def predicted(blocks: Sequence[Block], size: int, constants: Constants, target: Target, z: Array) -> Array:
    """Predictions of all rows at deviations z; NaN where there is none."""
    from ..engines.engine import find_engine
    from ..engines.resolve import engine_for
    from ..validation.predict import _block_values

    values = target.values(z)
    out = np.full(size, np.nan)
    if not target.piped:
        constants = overlaid(constants, target, values)
    for block in blocks:
        if target.piped:
            table = dict((shipped_table("engines", "sram.toml") or {})[target.scopes[0]])
            for path, value in values.items():
                table = _piped_set(table, path.split("."), value)
            chip = replace(block.chip, efficiency={**block.chip.efficiency, "sram": table})
            block = replace(block, chip=chip)
        else:
            plain = find_engine(constants, None if block.engine.name == "any" else block.engine.name)
            engine = engine_for(constants, plain, block.chip, block.model, block.weights)
            block = replace(block, engine=engine)
        out[block.index] = _block_values(block, constants)[0]
    return out
