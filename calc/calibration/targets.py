"""What may be fitted of accelerators, wafers and LPUs, and predictions with trial constants.

Starts are the hand-set tables of specs/engines; what is free, and how far it is pulled back to its start, stands in
specs/calibration/accelerators.toml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Values
from ..catalog.tables import joined, laid_over, spec_table
from ..engines.constants import Constants, load_constants
from ..engines.engine import find_engine
from ..engines.resolve import engine_for
from ..errors import SpecError
from ..validation.predict import predict_block

if TYPE_CHECKING:
    from ..validation.rows.cases import Block

Tables = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Target:
    """One fit: its tables' scopes, the chips that judge it, free paths with centre and width of their priors.

    most: bounds of the constants; piped: whether they are of SRAM machines; heavy_tails: whether single rows may be far
    off, so that the fit gives them up (`accelerators`).
    """

    name: str
    scopes: tuple[str, ...]
    chips: tuple[str, ...]
    free: tuple[str, ...]
    centre: Values
    width: Values
    most: Values
    piped: bool = False
    heavy_tails: bool = False

    def values(self, z: Values) -> dict[str, float]:
        """Constants by path at deviations z (in prior widths)."""
        found = np.minimum(self.centre * np.exp(self.width * z), self.most)
        return dict(zip(self.free, found.tolist(), strict=True))


def moves() -> Tables:
    """specs/calibration/accelerators.toml."""
    return spec_table("calibration", "accelerators")


def targets() -> list[Target]:
    """The fits that specs/calibration/accelerators.toml describes, each from its starts."""
    found = []
    for name, entry in moves()["fit"].items():
        widths = {**moves()["prior"], **entry.get("prior", {})}
        free, piped = tuple(entry["free"]), bool(entry.get("piped", False))
        found.append(
            Target(
                name,
                tuple(entry["scopes"]),
                tuple(entry["chips"]),
                free,
                centre=np.array([_start(path, entry["scopes"], piped) for path in free]),
                width=np.array([widths[p] if p in widths else widths[_short(p)] for p in free]),
                most=np.array([1.0 if p.rsplit(".", 1)[-1].startswith("eta") else np.inf for p in free]),
                piped=piped,
                heavy_tails=bool(entry.get("heavy_tails", False)),
            )
        )
    return found


def _short(path: str) -> str:
    """kind.key of a path, as priors are written.

    >>> _short("gemm.any+fp8.eta_m")
    'gemm.eta_m'
    """
    parts = path.split(".")
    return f"{parts[0].split('+')[0]}.{parts[-1]}"


def _starts(piped: bool) -> Tables:
    return laid_over("sram", "sram", fitted=False) if piped else load_constants(fitted=False).tables


def _places(path: str, scopes: Sequence[str], piped: bool) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys of every table that shares a path's constant, with its start: those that the hand-set files have."""
    first, *rest = [part.split("+") for part in path.split(".")]
    for keys in product(scopes, first, *rest) if piped else product(first, scopes, *rest):
        found: Any = _starts(piped)
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None:
            yield keys, found


def _start(path: str, scopes: Sequence[str], piped: bool) -> float:
    """The one start of a constant; SpecError where no table has it, or two have different ones."""
    found = {value[0] if isinstance(value, list) else value for _, value in _places(path, scopes, piped)}
    if len(found) != 1:
        starts = ", ".join(map(str, sorted(found))) or "none"
        raise SpecError(f"{path} of {', '.join(scopes)} needs one start in specs/engines, which has {starts}; mend it")
    return float(found.pop())


def fitted_tables(target: Target, values: Mapping[str, float]) -> dict[str, Any]:
    """The constants at their places: by kind and scope, of SRAM machines by scope."""
    out: dict[str, Any] = {}
    for path, value in values.items():
        for keys, start in _places(path, target.scopes, target.piped):
            table = out
            for key in keys[:-1]:
                table = table.setdefault(key, {})
            table[keys[-1]] = [value] * 3 if isinstance(start, list) else value
    return out


def overlaid(constants: Constants, target: Target, values: Mapping[str, float]) -> Constants:
    """The constants with those of the target's scopes replaced."""
    return replace(constants, tables=joined(fitted_tables(target, values), constants.tables))


def predicted(blocks: Sequence[Block], size: int, constants: Constants, target: Target, z: Values) -> Values:
    """Predictions of all rows at deviations z; NaN where there is none."""
    values = target.values(z)
    out = np.full(size, np.nan)
    table: Tables = {}
    if target.piped:
        scope = target.scopes[0]
        table = joined(fitted_tables(target, values)[scope], laid_over("sram", "sram")[scope])
    else:
        constants = overlaid(constants, target, values)
    for block in blocks:
        if target.piped:
            block = replace(block, chip=replace(block.chip, efficiency={**block.chip.efficiency, "sram": table}))
        else:
            plain = find_engine(constants, None if block.engine.name == "any" else block.engine.name)
            block = replace(block, engine=engine_for(constants, plain, block.chip, block.model, block.weights))
        out[block.index] = predict_block(block, constants).values
    return out
