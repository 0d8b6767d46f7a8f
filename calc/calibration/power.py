"""Fits the shares of calc/power.py to measured joules per token: `python -m tokcalc.power_fit DATA.csv
[--write]`.

Power is energy times measured throughput, which the rows print in their notes, so that the fit does not
lean on the predicted speed. Errors are of groups left out, once with the measured and once with the
predicted throughput.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, Values
from ..physics.power import compute_share, rated_watts

if TYPE_CHECKING:
    pass

_WATTS = re.compile(r"mean ([\d.]+) W|= ([\d.]+) W")


@dataclass(frozen=True)
class Case:
    """One measured row: watts over rated watts, and what the core says of the load at the measured rate."""

    group: str
    chip: str
    share: float
    busy: float
    compute: float
    rate_ratio: float


@dataclass(frozen=True)
class Fit:
    """Shares (awake, kernels, compute), left-out errors; energy errors use the predicted throughput."""

    shares: tuple[float, float, float]
    rows: int
    groups: int
    chips: tuple[str, ...]
    median_error: float
    p90_error: float
    energy_median_error: float
    energy_p90_error: float


def cases(paths: Sequence[str]) -> list[Case]:
    """The rows of metric joule_per_output_token that name their power, as cases of the fit."""
    from ..engines.constants import load_constants
    from ..serving.closed_loop import closed_loop
    from ..validation.measured import read_rows
    from ..validation.predict import predict_rows
    from ..validation.rows.cases import build_blocks

    rows = read_rows(paths)
    rows = rows[rows["metric"] == "joule_per_output_token"].reset_index(drop=True)
    constants, found = load_constants(), []
    speed = rows.assign(regime="serving", metric="output_tok_s")
    rate = predict_rows(speed, constants)["predicted"].to_numpy(dtype=float)
    for block in build_blocks(rows, constants)[0]:
        served = closed_loop(block.replica(constants), replace(block.load, draft=0.0, accepted=None, spread=None))
        rated = rated_watts(block.chip)
        size = len(block.index)

        def each(value: Array, size: int = size) -> Values:
            return np.broadcast_to(np.asarray(value, dtype=float), (size,))

        chips = each(block.plan.chips)
        working = each(served.busy)
        for i, row in enumerate(block.index):
            note = _WATTS.search(str(rows["note"][row]))
            if note is None or rated is None:
                continue
            watts = float(note[1] or note[2])
            measured = watts / float(rows["value"][row])
            ratio = float(rate[row] / measured)
            tokens = measured * (1.0 + float(block.isl[i] / block.osl[i]))
            used = compute_share(block.chip, block.model, block.weights, tokens, chips[i])
            found.append(
                Case(str(rows["group"][row]), block.chip.id, watts / (chips[i] * rated[0]),
                     float(min(1.0, working[i] / ratio)), float(used), ratio)
            )  # fmt: skip
    return found


def fit(found: Sequence[Case]) -> Fit:
    """Least relative squares with shares of at least zero, each group predicted from the others."""
    share = np.array([c.share for c in found])
    table = np.array([[1.0, c.busy, c.compute] for c in found])
    groups = np.array([c.group for c in found])
    ratio = np.array([c.rate_ratio for c in found])
    left_out = np.zeros(len(found))
    for group in sorted(set(groups)):
        here = groups == group
        left_out[here] = np.minimum(1.0, table[here] @ _solve(table[~here], share[~here]))
    power, energy = np.abs(left_out / share - 1), np.abs(left_out / share / ratio - 1)
    whole = _solve(table, share)
    return Fit(
        (float(whole[0]), float(whole[1]), float(whole[2])), len(found), len(set(groups)),
        tuple(sorted({c.chip for c in found})), float(np.median(power)), float(np.quantile(power, 0.9)),
        float(np.median(energy)), float(np.quantile(energy, 0.9)),
    )  # fmt: skip


def _solve(table: Values, share: Values) -> Values:
    from scipy.optimize import nnls

    return nnls(table / share[:, None], np.ones(len(share)))[0]


def rewritten(text: str, done: Fit, day: str) -> str:
    """The text of power.toml with the numbers of a fit in place of its own; comments and assumptions stay."""
    values = {
        "awake": f"{done.shares[0]:.3f}", "kernels": f"{done.shares[1]:.3f}",
        "compute": f"{done.shares[2]:.3f}",
        "rows": str(done.rows), "groups": str(done.groups), "median_error": f"{done.median_error:.3f}",
        "p90_error": f"{done.p90_error:.3f}", "date": f'"{day}"',
    }  # fmt: skip
    for key, value in values.items():
        text = re.sub(rf"(?m)^({key} = )\S+", rf"\g<1>{value}", text)
    return text


def main(paths: Sequence[str]) -> int:
    """Prints the fit and its errors; --write puts it into specs/engines/power.toml."""
    write = "--write" in paths
    done = fit(cases([path for path in paths if path != "--write"]))
    if write:
        from datetime import date
        from importlib.resources import files
        from pathlib import Path

        target = Path(str(files("tokcalc.specs") / "engines" / "power.toml"))
        text = rewritten(target.read_text(encoding="utf-8"), done, date.today().isoformat())
        target.write_text(text, encoding="utf-8")
    print(f"awake = {done.shares[0]:.3f}\nkernels = {done.shares[1]:.3f}\ncompute = {done.shares[2]:.3f}")
    print(f"rows = {done.rows}\ngroups = {done.groups}\nchips = {list(done.chips)}")
    print(f"median_error = {done.median_error:.3f}\np90_error = {done.p90_error:.3f}")
    energy = f"median {done.energy_median_error:.3f}, p90 {done.energy_p90_error:.3f}"
    print(f"# energy with predicted throughput: {energy}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
