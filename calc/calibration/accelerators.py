"""Fits the constants of accelerators, wafers and LPUs: `python -m tokcalc.stack_fit DATA.csv... [--write]`.

Prints each chip's rows and errors, in sample and with the judged model left out of the fit; `--only=NAME` takes one
fit, `--predictions=OUT.csv` writes the left-out predictions with bands that did not see their model either
(`evidence.write_evidence` reads them), `--write` puts constants and bands into their files. The twin of `calibrate`,
which fits GPUs; stands after `stack_problem` and `stack_bands`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..catalog.tables import shipped_table
from ..engines.constants import load_constants
from .targets import Target, predicted, targets

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
_REACH = 4.0  # bounds lie this many prior widths from the centre
_SIGMA, _SIGMA_TTFT = 0.08, 0.15  # spread of a measurement round a perfect model, as a log
_MODEL_ROWS = 8.0  # rows of a model on a chip beyond which they share their weight
_SKIPPED = ("energy", "price")


@dataclass(frozen=True)
class Judged:
    """Rows of one fit with logs of predicted over measured: in sample and with their model left out."""

    target: Target
    table: pd.DataFrame
    in_sample: Array
    left_out: Array
    factor: Array  # of each row's 80 % band, from other models where there are any (`with_bands`)
    values: Mapping[str, float]


def fit(rows: pd.DataFrame, target: Target, tick: Callable[[str], None] | None = None) -> Judged | None:
    """The fit of all usable rows of a target's chips, and each model predicted without its own rows.

    rows: typed measured rows; None where no row can be predicted.
    """
    from ..validation.rows.cases import gather

    part = rows[rows["chip"].isin(target.chips) & ~rows["regime"].isin(_SKIPPED)].reset_index(drop=True)
    if part.empty:
        return None
    constants = load_constants()
    blocks = gather(part, constants).blocks

    def predict(z: Array) -> Array:
        return predicted(blocks, len(part), constants, target, z)

    good = np.isfinite(predict(np.zeros(len(target.free))))
    log_value = np.log(part["value"].to_numpy(dtype=float))
    shared = part.groupby(["chip", "model"])["value"].transform("size").to_numpy(dtype=float)
    sigma = np.where(part["metric"] == "ttft_ms", _SIGMA_TTFT, _SIGMA)
    weight = np.sqrt(np.minimum(1.0, _MODEL_ROWS / shared)) / sigma
    waits = part["metric"].eq("ttft_ms") & part["regime"].isin(["max-load", "mlperf-offline", "wide-ep"])
    # a full machine whose layout nobody prints is judged, but its layout is not read out of its rate
    layout = part["regime"].eq("max-load") & part["tp"].isna() & part["chips"].fillna(2.0).gt(1.0)
    weight = np.where(good & ~waits & ~layout, weight, 0.0)

    z = _solve(predict, log_value, weight, target)
    inside = np.log(predict(z)) - log_value
    outside = np.full(len(part), np.nan)
    for model in sorted(set(part.loc[good, "model"])):
        held = (part["model"] == model).to_numpy()
        own = _solve(predict, log_value, np.where(held, 0.0, weight), target, z)
        outside[held] = (np.log(predict(own)) - log_value)[held]
        if tick:
            tick(f"{target.name}: {model} left out")
    return Judged(target, part, inside, outside, _band_factors(part), target.values(z))


def _band_factors(rows: pd.DataFrame) -> Array:
    from ..validation.predict import predict_rows

    shown = predict_rows(rows)
    found: Array = (shown["high"] / shown["predicted"]).to_numpy(dtype=float)
    return found


def with_bands(found: Sequence[Judged]) -> tuple[list[Judged], pd.DataFrame]:
    """The fits with each row's band from the other models' residuals, and those residuals (`stack_bands`)."""
    from .bands import residuals, unseen

    rows = residuals([(j.target.name, j.table, j.left_out) for j in found])
    good = np.isfinite(rows["away"].to_numpy(dtype=float))
    factors = np.concatenate([j.factor for j in found])
    own = unseen(rows[good])
    factors[good] = np.where(np.isfinite(own), own, factors[good])
    ends = np.cumsum([len(j.table) for j in found])[:-1]
    parts = np.split(factors, ends)
    return [replace(j, factor=part) for j, part in zip(found, parts, strict=True)], rows[good]


def unfitted(rows: pd.DataFrame, seen: Sequence[str]) -> Judged | None:
    """Accelerators that no fit touches, predicted with what they borrow; nothing of theirs is in the constants."""
    from ..catalog import load_chip
    from ..errors import TokcalcError
    from ..validation.predict import predict_rows

    def other(name: str) -> bool:
        try:
            return load_chip(name).kind != "gpu"
        except TokcalcError:
            return False

    known = {name: other(name) for name in set(rows["chip"]) - set(seen)}
    part = rows[rows["chip"].map(known).fillna(False).astype(bool)].reset_index(drop=True)
    part = part[~part["regime"].isin(_SKIPPED)].reset_index(drop=True)
    if part.empty:
        return None
    away = np.log(predict_rows(part)["predicted"].to_numpy(dtype=float) / part["value"].to_numpy(dtype=float))
    nobody = Target("none", (), tuple(sorted(set(part["chip"]))), (), np.zeros(0), np.zeros(0), np.zeros(0), False)
    return Judged(nobody, part, away, away, _band_factors(part), {})


def _solve(
    predict: Callable[[Array], Array], log_value: Array, weight: Array, target: Target, start: Array | None = None
) -> Array:
    """Deviations that minimise soft residuals and the prior, by bounded least squares.

    Losses of a residual r in spreads: absolute, 2 (sqrt(1 + r^2) - 1); with heavy tails Cauchy's, log(1 + r^2), which a
    row far off hardly moves. Worked: r 5 (a third off) pulls .98 as hard as a large one, and .38.
    """
    from scipy.optimize import least_squares

    used, count = weight > 0, len(target.free)

    def residual(z: Array) -> Array:
        away = (np.log(predict(z)[used]) - log_value[used]) * weight[used]
        loss = np.log1p(away**2) if target.heavy_tails else 2.0 * (np.sqrt(1.0 + away**2) - 1.0)
        return np.concatenate([np.sign(away) * np.sqrt(loss), z])

    first = np.zeros(count) if start is None else np.clip(start, -_REACH + 0.01, _REACH - 0.01)
    found = least_squares(
        residual, first, bounds=(-_REACH, _REACH), max_nfev=25, ftol=1e-3, xtol=1e-3, diff_step=np.full(count, 1e-3)
    )
    return np.asarray(found.x)


def report(found: Sequence[Judged]) -> pd.DataFrame:
    """By chip: rows, models, median error in sample and left out; 90th percentile, bias, share in band left out."""
    import pandas as pd

    lines = []
    for judged in found:
        table = judged.table.assign(_in=judged.in_sample, _out=judged.left_out, _band=np.log(judged.factor))
        for chip, part in table.groupby("chip", sort=True):
            part = part[np.isfinite(part["_out"])]
            if part.empty:
                continue
            inside, outside = np.abs(np.expm1(part["_in"])), np.abs(np.expm1(part["_out"]))
            lines.append(
                {"fit": judged.target.name, "chip": chip, "rows": len(part), "models": part["model"].nunique(),
                 "in_sample": float(inside.median()), "left_out": float(outside.median()),
                 "p90": float(outside.quantile(0.9)), "bias": float(np.expm1(part["_out"].median())),
                 "in_band": float((part["_out"].abs() <= part["_band"]).mean())}
            )  # fmt: skip
    return pd.DataFrame(lines)


def write(found: Sequence[Judged], folder: Path, residuals: pd.DataFrame | None = None) -> None:
    """Write every fit's constants and record into accelerators.toml and sram.toml of that folder.

    residuals: as `with_bands` gives them; bands are written where they are of all fits.
    """
    from .bands import table, text
    from .toml import find, record, set_class, set_number, set_record, tables

    errors = report(found)
    if residuals is not None and len(found) == len(targets()):
        held = {str(e["chip"]): (int(e["rows"]), float(e["in_band"])) for e in errors.to_dict("records")}
        (folder / "stack_bands.toml").write_text(text(table(residuals), held), encoding="utf-8")
    for name, piped in (("accelerators.toml", False), ("sram.toml", True)):
        path = folder / name
        pieces = tables(path.read_text(encoding="utf-8"))
        for judged in (j for j in found if j.target.piped == piped):
            for scope in judged.target.scopes:
                for key, value in judged.values.items():
                    parts = key.split(".")
                    if piped and parts[0] == "generation":
                        set_number(find(pieces, f"[[{scope}.generation]]", int(parts[1])), parts[2:], value)
                    elif piped:
                        set_number(find(pieces, f"[{scope}]"), parts, value)
                    else:
                        _write_kernel(pieces, parts, scope, value)
                mine = errors[errors["fit"] == judged.target.name]
                lines = record(
                    int(mine["rows"].sum()), int(judged.table.loc[np.isfinite(judged.left_out), "model"].nunique()),
                    dict(zip(mine["chip"], mine["in_sample"], strict=True)),
                    dict(zip(mine["chip"], mine["left_out"], strict=True)),
                )  # fmt: skip
                set_record(pieces, scope if piped else f"stack.{scope}", lines)
        if not piped:
            for chips, members in ((shipped_table("engines", "stack_fit.toml") or {}).get("class", {})).items():
                set_class(pieces, chips, members)
        path.write_text("\n".join("\n".join(piece) for piece in pieces), encoding="utf-8")


def _write_kernel(pieces: list[list[str]], parts: Sequence[str], scope: str, value: float) -> None:
    from .toml import find, set_number

    for kind in parts[0].split("+"):
        header = f"[{kind}.{scope}]"
        if not any(piece and piece[0].strip() == header for piece in pieces):
            continue
        table = find(pieces, header)
        if len(parts) == 2:
            set_number(table, parts[1:], value)
            continue
        for name in parts[1].split("+"):
            if any(line.startswith(f"{name} = ") for line in table):
                set_number(table, (name, parts[2]), value)


def left_out_rows(found: Sequence[Judged]) -> pd.DataFrame:
    """Every row with its prediction by a fit that saw nothing of its model, and the band round it."""
    import pandas as pd

    parts = []
    for judged in found:
        values = judged.table["value"].to_numpy(dtype=float) * np.exp(judged.left_out)
        bands = {"predicted": values, "low": values / judged.factor, "high": values * judged.factor}
        parts.append(judged.table.assign(**bands))
    return pd.concat(parts, ignore_index=True)


def main(arguments: Sequence[str]) -> int:
    """Fit, print the table by chip and write what is asked for."""
    from ..validation.measured import packaged_paths, read_rows, read_suspects, suspect_reasons

    names = [a.split("=", 1)[1] for a in arguments if a.startswith("--only=")]
    paths = [a for a in arguments if not a.startswith("--")] or packaged_paths()
    rows = read_rows(paths)
    rows = rows[suspect_reasons(rows, read_suspects(None)) == ""].reset_index(drop=True)
    found = []
    for target in targets():
        if names and target.name not in names:
            continue
        judged = fit(rows, target, lambda text: print(text, file=sys.stderr))
        if judged is not None:
            found.append(judged)
    found, residuals = with_bands(found) if found else (found, None)
    rest = None if names else unfitted(rows, [chip for judged in found for chip in judged.target.chips])
    print(report([*found, rest] if rest else found).round(3).to_string(index=False))
    for judged in found:
        print(judged.target.name, {k: float(f"{v:.3g}") for k, v in judged.values.items()})
    for option in arguments:
        if option.startswith("--predictions="):
            left_out_rows(found).to_csv(option.split("=", 1)[1], index=False)
    if "--write" in arguments:
        write(found, Path(str(resources.files("tokcalc.specs"))) / "engines", residuals)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
