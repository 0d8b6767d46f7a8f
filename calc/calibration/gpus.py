"""Fit the constants of kernels and engines to measured rows of GPUs, judge them on whole groups left out.

Starts are the hand-set tables of specs/engines, priors those of specs/calibration/gpus.toml; the result is one file,
specs/fitted/gpus.toml, which `engines.constants` lays over the starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..arrays import Values
from ..catalog import load_model
from ..catalog.toml import rounded
from ..engines.constants import Constants, load_constants
from ..errors import UsageError
from ..validation.judge import errors_of
from ..validation.rows.inputs import known, note_max_batch
from .anchors import anchored_errors, anchors
from .parameters import moves, rules
from .problem import Problem, build, jacobian, predict, solve

if TYPE_CHECKING:
    from .terms import Places

Progress = Callable[[int, int], None]
HEAD = """\
Constants of GPUs and serving engines, laid over the starts of kernels.toml, families.toml and engines.toml.
Written by `tokcalc calibrate --what gpus --write FILE`; not for hands. [fit.gpus] records the rows, and the errors of
those whose whole group was left out; [anchors]: factors of measured combinations over the shared constants."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted problem: parameters, log errors of every row in sample and left out, and what the fit can't say.

    shared: in-sample errors of the shared constants, without the deviations of groups.
    """

    problem: Problem
    z: Values
    in_sample: Values
    left_out: Values
    shared: Values
    on_bound: tuple[str, ...]
    unidentified: tuple[str, ...]
    fingerprint: str
    folds: int

    def table(self, by: tuple[str, ...] = ("regime", "metric")) -> pd.DataFrame:
        """n, median and 90th percentile of |predicted/measured - 1| left out and in sample, bias left out, by keys."""
        rows = self.problem.table.assign(_out=self.left_out, _in=self.in_sample)
        lines = []
        for values, part in rows.groupby(list(by), sort=True):
            inside = errors_of(np.exp(part["_in"]))["median_ape"]
            keys = dict(zip(by, values, strict=True))
            lines.append({**keys, "n": len(part), **errors_of(np.exp(part["_out"])), "in_sample_median": inside})
        return pd.DataFrame(lines)

    def anchored(self) -> list[tuple[str, int, float, float]]:
        """(quantity, n, median, 90th percentile) of the errors of rows anchored by the rest of their combination."""
        away = anchored_errors(self.problem, self.shared)
        metric = self.problem.table["metric"].to_numpy(dtype=str)
        lines = []
        for name in ("tpot_ms", "ttft_ms"):
            found = away[(metric == name) & np.isfinite(away)]
            if len(found):
                errors = errors_of(np.exp(found))
                lines.append((f"serving {name}", len(found), errors["median_ape"], errors["p90_ape"]))
        return lines


def fit(
    rows: pd.DataFrame,
    *,
    by: str = "group",
    folds: int = 0,
    constants: Constants | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit all rows, then every fold of whole groups left out.

    by: column whose values are left out together (group, chip, model); folds: 0 leaves each value out on its own.
    Raises UsageError where fewer than 20 rows can be fitted.
    """
    constants = constants or load_constants(fitted=False)
    problem = build(rows, constants) if len(rows) else None
    count, least = len(problem.rows) if problem else 0, rules().least_rows
    if problem is None or count < least:
        raise UsageError(
            f"only {count} rows can be fitted, fewer than {least}; give more data with --data or drop a filter"
        )
    z = solve(problem, np.ones(count))
    in_sample = predict(problem, z, groups=True) - problem.log_value
    left_out = cross_validate(problem, z, by, folds, progress)
    names = [" ".join(map(str, key)) for key in problem.space.index]
    width = problem.space.widths
    bound = [n for n, v, w in zip(names, z, width, strict=True) if w > 0 and abs(v) > 0.98 * rules().reach * w]
    shared = predict(problem, z) - problem.log_value
    unknown = _unidentified(problem, z, names)
    return Fit(problem, z, in_sample, left_out, shared, tuple(bound), unknown, fingerprint(rows), folds)


def cross_validate(
    problem: Problem, z: Values, by: str = "group", folds: int = 0, progress: Progress | None = None
) -> Values:
    """Log errors of each row predicted by a fit that saw nothing of its group; folds are filled in a fixed order."""
    labels = problem.table[by].to_numpy(dtype=str)
    values = np.unique(labels)
    count = len(values) if folds <= 0 else min(folds, len(values))
    order = np.random.default_rng(0).permutation(len(values))
    fold_of = {value: int(place) % count for value, place in zip(values, order, strict=True)}
    fold = np.array([fold_of[label] for label in labels])
    warm = np.where(problem.shared, z, 0.0)
    error = np.zeros(len(labels))
    for k in range(count):
        held = fold == k
        point = solve(problem, (~held).astype(float), warm, steps=5)
        error[held] = (predict(problem, point) - problem.log_value)[held]
        if progress:
            progress(k + 1, count)
    return error


def _unidentified(problem: Problem, z: Values, names: list[str]) -> tuple[str, ...]:
    """Parameters whose posterior is hardly narrower than their prior: the data say nothing of them."""
    width = problem.space.widths
    free: Places = np.flatnonzero(width > 0)
    slope = jacobian(problem, z, problem.weight, free)
    posterior = np.sqrt(np.diag(np.linalg.inv(slope.T @ slope)))
    wide = free[posterior > rules().identified * width[free]]
    return tuple(names[j] for j in wide if not names[j].startswith("group."))


def fingerprint(rows: pd.DataFrame) -> str:
    """Short digest of the rows' ids and values: which data a fit saw."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in zip(rows["id"], rows["value"], strict=True):
        digest.update(f"{name}={value};".encode())
    return digest.hexdigest()


def with_rows_beside(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Both tables, the second one's rows at the weights of `[beside]`; of its mixtures, those at full load."""
    rule = moves()["beside"]
    # limits are told from all runs of a group, also from those that don't take part
    rows, more = (table.assign(most=note_max_batch(table)) for table in (rows, more))
    models = {name: known(load_model, name) for name in more["model"].unique()}
    is_dense = {name: model is not None and not model.is_moe for name, model in models.items()}
    dense = more["model"].map(is_dense).astype(bool)
    more = more.assign(share=np.where(dense, rule["dense"], rule["mixture"]))[dense | more["regime"].isin(rule["full"])]
    return pd.concat([rows.assign(share=1.0), more], ignore_index=True)


def resolved(fitted: Fit, constants: Constants | None = None) -> dict[str, Any]:
    """The constants that the fit stands for, as the tables of gpus.toml: start x deviations."""
    constants = constants or load_constants(fitted=False)
    out: dict[str, Any] = {"kernels": _kernels(fitted, constants), "engines": _engines(fitted, constants)}
    if measured := anchors(fitted.problem, fitted.shared):
        out["anchors"] = measured
    return out | {"fit": {"gpus": _record(fitted)}}


def _kernels(fitted: Fit, constants: Constants) -> dict[str, Any]:
    """Kernels by kind, scope and format, and collectives by kind and scope."""
    space, z = fitted.problem.space, fitted.z
    out: dict[str, Any] = {}
    for kind, fmt, scope in sorted(space.starts):
        table = space.starts[kind, fmt, scope]
        places = space.kernel(kind, fmt, table["family"], None, scope)
        t0 = table["t0_us"] if "t0_us" in table else table["t0_s"] * 1e6
        starts = {"t0_us": t0, "eta_m": table["eta_m"], "eta_c": table["eta_c"], "p": table["p"]}
        moved = [float(np.exp(sum(z[i] for i in found))) for found in places.values()]
        values = {name: start * times for (name, start), times in zip(starts.items(), moved, strict=True)}
        values["p"] = float(np.clip(values["p"], 0.4, 6.0))
        out.setdefault(kind, {}).setdefault(scope, {})[fmt] = {k: rounded(v) for k, v in values.items()}
    for kind, scope in sorted((str(k[1]), str(k[2])) for k in space.index if k[0] == "alpha.scope"):
        table = constants.tables[kind][scope]

        def moved_by(name: str, place: int, kind: str = kind, scope: str = scope) -> float:
            """Deviations of a collective that exist, without making new ones."""
            keys = ((f"{name}.scope", kind, scope), (f"{name}.own", kind, scope, place))
            return float(np.exp(sum(z[space.index[k]] for k in keys if k in space.index)))

        out.setdefault(kind, {})[scope] = {
            name: [rounded(table[name][place] * moved_by(name.removesuffix("_us"), place)) for place in range(3)]
            for name in ("alpha_us", "eta_b", "q")
        }
    return dict(sorted(out.items()))


# deviation of an engine's own kernels -> what it scales; a deviation by format adds the format
_OWN_KERNELS = {
    "t0.engine_moe": "moe.t0",
    "t0.engine_format": "moe.t0",
    "t0.engine_attention": "attention_decode.t0",
    "eta_m.engine_attention": "attention_decode.eta_m",
}


def _engines(fitted: Fit, constants: Constants) -> dict[str, Any]:
    """Fields of engines; multipliers by engine and chip family under `by`; prompts by family, kind and weights."""
    out: dict[str, Any] = {}
    for key, i in fitted.problem.space.index.items():
        name, *labels = map(str, key)
        constant, _, of = name.partition(".")
        times = float(np.exp(fitted.z[i]))
        if name in _OWN_KERNELS:
            own = out.setdefault(labels[0], {}).setdefault("by", {}).setdefault(labels[1], {})
            own.setdefault("kernels", {})[".".join((_OWN_KERNELS[name], *labels[2:]))] = rounded(times)
        elif constant not in moves()["engines"]:
            continue
        elif of == "engine_family":
            own = out.setdefault(labels[0], {}).setdefault("by", {}).setdefault(labels[1], {})
            own[constant.removesuffix("_us")] = rounded(times)
        elif of in ("family", "moe_weights"):  # of prompts, whatever the engine
            part = "family" if of == "family" else _kind(key[1])
            start = constants.engines["prompt"].get(part, {}).get(labels[-1], 1.0)
            out.setdefault("prompt", {}).setdefault(part, {})[labels[-1]] = rounded(start * times)
        else:
            field = f"prompt_{_kind(key[2])}" if of == "engine_moe" else constant
            start = {**constants.engines["any"], **constants.engines.get(labels[0], {})}[field]
            out.setdefault(labels[0], {})[field] = rounded(start * times)
    return dict(sorted(out.items()))


def _kind(is_moe: object) -> str:
    return "moe" if is_moe else "dense"


def _record(fitted: Fit) -> dict[str, Any]:
    def line(n: int, median: float, p90: float) -> dict[str, float]:
        return {"n": n, "median": round(median, 4), "p90": round(p90, 4)}

    table = fitted.problem.table
    errors = fitted.table().to_dict(orient="records")
    record: dict[str, Any] = {
        "date": date.today().isoformat(),
        "rows": len(fitted.problem.rows),
        "groups": int(table["group"].nunique()),
        "fingerprint": fitted.fingerprint,
        "chips": sorted(set(table["chip"])),
        "on_bound": list(fitted.on_bound),
        "unidentified": len(fitted.unidentified),
        "left_out": {f"{r['regime']} {r['metric']}": line(r["n"], r["median_ape"], r["p90_ape"]) for r in errors},
    }
    held = {name: line(n, median, p90) for name, n, median, p90 in fitted.anchored()}
    return record | ({"anchored": held} if held else {})
