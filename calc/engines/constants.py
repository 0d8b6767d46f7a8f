"""Constants of kernels and engines, found by scope: the chip's own, its family's, its kind's, anyone's.

Values live in specs/engines, over them what was fitted in specs/fitted, and in a chip file's `[efficiency]` table; each
answer learns from which scope its constants came (grade A own fit, B family, C class, D nothing but defaults).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..catalog.tables import joined, laid_over, spec_table
from ..hardware.formats import find_format, roof
from ..hardware.links import box, domain

if TYPE_CHECKING:
    from ..hardware.chip import Chip

_US = 1e-6


@dataclass(frozen=True, repr=False)
class Kernel:
    """Constants of one kernel class: floor seconds, shares of bandwidth and peak, knee.

    row_s: seconds per row of the weights, where a processor's kernels start each row anew (0 elsewhere);
    block: tokens of cache that an engine shares among threads as a whole (0: evenly).
    """

    t0_s: Array
    eta_m: Array
    eta_c: Array
    p: Array
    row_s: float = 0.0
    block: float = 0.0


def scopes(chip: Chip) -> tuple[str, ...]:
    """Where a chip's constants are looked for, nearest first."""
    return (chip.id, chip.family, chip.kind, "any")


def format_chain(name: str, roof: str) -> tuple[str, ...]:
    """Formats whose constants may stand for this one: itself, the roof it computes at, any."""
    same = {"fp16": "bf16", "fp8_block": "fp8", "int8": "fp8", "mxfp4": "nvfp4", "fp4": "nvfp4"}
    stored = "int4" if name.startswith(("q", "exl2")) else same.get(name, name)  # weights that kernels expand
    chain = [name, stored, roof, same.get(roof, roof), "any"]
    return tuple(dict.fromkeys(chain))


def _most(chip: Chip, roof_name: str) -> float:
    """Largest share of a roof that a chip can reach: 1, or more where it also adds up in half precision (GeForce)."""
    half = {"bf16": "fp16_acc16", "fp16": "fp16_acc16", "fp8": "fp8_acc16"}.get(roof_name, "")
    peak = chip.peak_ops_s.get(roof_name, 0.0)
    return max(1.0, chip.peak_ops_s.get(half, 0.0) / peak) if peak else 1.0


@dataclass(frozen=True, repr=False)
class Constants:
    """All tables: `kernels[kind][scope][format]`, `collectives[kind][scope]`, `engines[name]`."""

    tables: Mapping[str, Any]
    engines: Mapping[str, Any] = field(default_factory=dict)
    anchors: Mapping[str, Any] = field(default_factory=dict)  # of measured combinations; see `engine.anchor_key`
    scale: Mapping[str, float] = field(default_factory=dict)  # of the engine at hand: its kernels over the family's

    @property
    def fitted_chips(self) -> frozenset[str]:
        """Ids of the chips whose own measurements went into the fit."""
        return frozenset(chip for record in self.tables.get("fit", {}).values() for chip in record["chips"])

    def find(self, kind: str, chip: Chip, formats: tuple[str, ...] = ("any",)) -> tuple[Mapping[str, Any], str, str]:
        """(table, scope, format) of the nearest scope that has constants of this kind; any scope has a last resort.

        What a chip's own table leaves out is its family's: `[efficiency.kernel.bf16] eta_m = .8` keeps the floor.
        """
        own = chip.efficiency.get("kernel" if kind == "gemm" else kind, {})
        for name in formats:
            if name in own:
                return _completed(own[name], lambda: self._shared(kind, chip, formats)[0]), chip.id, name
        return self._shared(kind, chip, formats)

    def _shared(self, kind: str, chip: Chip, formats: tuple[str, ...]) -> tuple[Mapping[str, Any], str, str]:
        table = self.tables[kind]
        for scope in scopes(chip):
            for name in formats:
                found = table.get(scope, {}).get(name)
                if found is not None:
                    return found, scope, name
        raise KeyError(kind)

    def scope(self, chip: Chip, weights: str) -> str:
        """Where the constants of this chip's matrix products in these weights come from: its id, family, kind, any."""
        fmt = find_format(weights)
        return self.find("gemm", chip, format_chain(fmt.name, roof(fmt, chip.peak_ops_s)[0]))[1]

    def kernel(self, kind: str, chip: Chip, name: str, roof: str) -> Kernel:
        """Constants of a kernel class on a chip in a format."""
        t = self.find(kind, chip, format_chain(name, roof))[0]
        t0 = t["t0_s"] if "t0_s" in t else t["t0_us"] * _US
        of = self.scale
        t0 = t0 * of.get(f"{kind}.t0", 1.0) * of.get(f"{kind}.t0.{name}", 1.0)
        eta_m = t["eta_m"] * of.get(f"{kind}.eta_m", 1.0)
        own = float(t.get("row_s", 0.0)), float(t.get("block", 0.0))
        return Kernel(t0, eta_m, min(t["eta_c"], _most(chip, roof)), t["p"], *own)

    def tuned(self, kernels: Iterable[tuple[str, float]]) -> Constants:
        """The same constants with what an engine changes in them (`Engine.kernels`): floors of expert and attention
        kernels, the share of bandwidth of attention.
        """
        found = dict(kernels)
        return self if found == self.scale else replace(self, scale=found)

    def collective(self, kind: str, chip: Chip, ranks: Array) -> tuple[Array, Array, Array]:
        """(alpha_s, eta_b, q) for that many ranks, interpolated in log2 between the fitted 2, 4 and 8.

        Beyond the domain of their fast link ranks meet over the bus, and beyond one machine over the network, whose
        start is that of the communication library (specs/engines/physics.toml).

        >>> from tokcalc.catalog import load_chip
        >>> chip, ranks = load_chip("h100-sxm"), np.array([8.0, 16.0, 32.0])
        >>> start_s = load_constants(fitted=False).collective("all_reduce", chip, ranks)[0]
        >>> (start_s * 1e6).round(1).tolist()  # 6.8 + 2 x 7 x 0.6, then 2 x 5 for each doubling
        [4.6, 25.2, 35.2]
        """
        near, most = domain(chip), np.max(ranks)
        alpha, eta, q = _curves(self.collective_table(kind, chip)[0], ranks)
        if most <= near:  # nearly always
            return alpha, eta, q
        ranks, machine = np.asarray(ranks, dtype=float), max(near, box(chip))
        if machine > near:
            bus = _curves(self.collective_table(kind, chip, near + 1)[0], ranks)
            alpha, eta, q = (
                np.where(ranks > near, there, here) for there, here in zip(bus, (alpha, eta, q), strict=True)
            )
        network = spec_table("engines", "physics")["network"].get(kind)
        if network and most > machine:
            library = network["start_us"] + 2.0 * network["hop_us"] * (min(machine, 8) - 1)
            between = 2.0 * network["between_us"] * np.log2(np.maximum(ranks / machine, 1.0))
            inside = np.maximum(alpha, library * _US) if machine > 1 else library * _US  # one chip meets nobody inside
            alpha = np.where(ranks > machine, inside + between * _US, alpha)
        return alpha, eta, q

    def collective_table(self, kind: str, chip: Chip, ranks: float = 1.0) -> tuple[Mapping[str, Any], str]:
        """The table of a collective and its scope; ranks without a fast link between them use the `pcie` one."""
        table = self.tables[kind]
        fast = chip.scale_up and ranks <= domain(chip)
        names = scopes(chip) if fast else (chip.id, chip.family, "pcie", "any")
        for scope in names:
            if scope in table and (fast or table[scope].get("over") != "scale_up"):
                found: Mapping[str, Any] = table[scope]
                return found, scope
        return table["any"], "any"


def _curves(table: Mapping[str, Any], ranks: Array) -> tuple[Array, Array, Array]:
    """(alpha_s, eta_b, q) of a table at `ranks`."""
    position, grid = np.log2(np.maximum(ranks, 2.0)), (1.0, 2.0, 3.0)
    alpha = np.interp(position, grid, table["alpha_us"]) * _US
    return alpha, np.interp(position, grid, table["eta_b"]), np.interp(position, grid, table["q"])


_NEEDED = ("eta_m", "eta_c", "p")


def _completed(own: Mapping[str, Any], shared: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """A kernel's own constants with those that it lacks from the shared ones; a floor is one, in s or in us."""
    floor = bool({"t0_s", "t0_us"} & own.keys())
    if floor and all(key in own for key in _NEEDED):
        return own
    kept = {k: v for k, v in shared().items() if k in _NEEDED or (k in ("t0_s", "t0_us") and not floor)}
    return {**kept, **own}


@lru_cache(maxsize=2)
def load_constants(fitted: bool = True) -> Constants:
    """The shipped constants, read once: hand-set starts, and over them what `calibrate` fitted.

    fitted False: the starts alone, which a fit begins from and is pulled to.
    """
    tables = laid_over("kernels", "families", "kernels", "accelerators", fitted=fitted)
    tables["fit"] = joined(laid_over("fit", fitted=fitted), tables["fit"])
    return Constants(tables, laid_over("engines", "engines", fitted=fitted), laid_over("anchors", fitted=fitted))
