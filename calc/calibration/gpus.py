"""Fit the constants of kernels and engines to measured rows, judge them on whole groups left out, write them.

Starts and priors are the hand-set tables of specs/engines; the result is one file, specs/engines/fitted.toml, which
`constants` lays over them. Stands after `fit_problem`, before the command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engines.constants import Constants, load_constants
from ..errors import UsageError
from .anchors import anchored_errors, anchors
from .parameters import REACH
from .problem import Problem, build, predict, solve

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
_IDENTIFIED = 0.9  # posterior over prior width above which the data say nothing of a parameter
_LEAST_ROWS = 20


@dataclass(frozen=True)
class Fit:
    """A fitted problem: parameters, log errors of every row in sample and left out, and what the fit can't say.

    shared: in-sample errors of the shared constants, without the deviations of groups.
    """

    problem: Problem
    z: Array
    in_sample: Array
    left_out: Array
    shared: Array
    on_bound: tuple[str, ...]
    unidentified: tuple[str, ...]
    fingerprint: str
    folds: int

    def table(self, by: tuple[str, ...] = ("regime", "metric")) -> pd.DataFrame:
        """n, median and 90th percentile of |predicted/measured - 1| left out and in sample, bias left out, by keys."""
        import pandas as pd

        rows = self.problem.table.assign(_out=self.left_out, _in=self.in_sample)
        lines = []
        for values, part in rows.groupby(list(by), sort=True):
            out, inside = np.abs(np.expm1(part["_out"])), np.abs(np.expm1(part["_in"]))
            lines.append(
                dict(zip(by, values, strict=True))
                | {"n": len(part), "median_ape": float(np.median(out)), "p90_ape": float(np.quantile(out, 0.9)),
                   "bias": float(np.expm1(np.median(part["_out"]))), "in_sample_median": float(np.median(inside))}
            )  # fmt: skip
        return pd.DataFrame(lines)


def fit(
    rows: pd.DataFrame, *, by: str = "group", folds: int = 0, constants: Constants | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:  # fmt: skip
    """Fit all rows, then every fold of whole groups left out.

    by: column whose values are left out together (group, chip, model); folds: 0 leaves each value out on its own.
    Raises UsageError where fewer than 20 rows can be fitted.
    """
    constants = constants or load_constants(fitted=False)
    problem = build(rows, constants) if len(rows) else None
    if problem is None or len(problem.rows) < _LEAST_ROWS:
        raise UsageError(
            f"only {len(problem.rows) if problem else 0} rows can be fitted, fewer than {_LEAST_ROWS}; "
            "give more data with --data or drop a filter"
        )
    z = solve(problem, np.ones(len(problem.rows)))
    in_sample = predict(problem, z, groups=True) - problem.log_value
    left_out = cross_validate(problem, z, by, folds, progress)
    names = [_label(key) for key in problem.space.index]
    width = problem.space.widths
    bound = [n for n, v, w in zip(names, z, width, strict=True) if w > 0 and abs(v) > 0.98 * REACH * w]
    return Fit(
        problem, z, in_sample, left_out, predict(problem, z) - problem.log_value, tuple(bound),
        tuple(_unidentified(problem, z, names)), fingerprint(rows), folds,
    )  # fmt: skip


def cross_validate(
    problem: Problem, z: Array, by: str = "group", folds: int = 0, progress: Callable[[int, int], None] | None = None
) -> Array:
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


def _unidentified(problem: Problem, z: Array, names: list[str]) -> list[str]:
    from .problem import _jacobian

    width = problem.space.widths
    free = np.flatnonzero(width > 0)
    slope = _jacobian(problem, z, problem.weight, free)
    spread = np.sqrt(np.diag(np.linalg.inv(slope.T @ slope)))
    return [
        names[j] for j, s in zip(free, spread, strict=True)
        if s > _IDENTIFIED * width[j] and not names[j].startswith("group.")
    ]  # fmt: skip


def _label(key: tuple[Any, ...]) -> str:
    return " ".join(str(part) for part in key)


def fingerprint(rows: pd.DataFrame) -> str:
    """Short digest of the rows' ids and values: which data a fit saw."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in zip(rows["id"], rows["value"], strict=True):
        digest.update(f"{name}={value};".encode())
    return digest.hexdigest()


def resolved(fitted: Fit, constants: Constants | None = None) -> dict[str, Any]:
    """The constants that the fit stands for, in the structure of fitted.toml: start x deviations."""
    constants = constants or load_constants(fitted=False)
    problem, z = fitted.problem, fitted.z
    space = problem.space

    def total(found: tuple[int, ...]) -> float:
        return float(sum(z[i] for i in found))

    out: dict[str, Any] = {"kernels": {}, "engines": {}}
    from ..validation.rows.cases import _chip

    chips = {c: _chip(c) for c in sorted(set(problem.table["chip"]))}
    for (kind, fmt, scope), table in space.starts.items():
        places = space.kernel(kind, fmt, table["family"], None, scope)
        t0 = table["t0_us"] if "t0_us" in table else table["t0_s"] * 1e6
        values = {
            "t0_us": t0 * np.exp(total(places["t0"])),
            "eta_m": table["eta_m"] * np.exp(total(places["eta_m"])),
            "eta_c": table["eta_c"] * np.exp(total(places["eta_c"])),
            "p": float(np.clip(table["p"] * np.exp(total(places["p"])), 0.4, 6.0)),
        }
        out["kernels"].setdefault(kind, {}).setdefault(scope, {})[fmt] = _rounded(values)
    for _, kind, scope in [k for k in space.index if k[0] == "alpha.scope"]:
        table = constants.tables[kind][scope]
        lines: dict[str, list[float]] = {"alpha_us": [], "eta_b": [], "q": []}
        for place in range(3):
            for name, value in (("alpha_us", table["alpha_us"]), ("eta_b", table["eta_b"]), ("q", table["q"])):
                key = "alpha" if name == "alpha_us" else name
                found = _known(space.index, kind, scope, place, key)
                lines[name].append(float(f"{value[place] * np.exp(total(found)):.4g}"))
        out["kernels"].setdefault(kind, {})[scope] = lines
    out["engines"] = _engines(fitted)
    measured = anchors(problem, fitted.shared)
    if measured:
        out["anchors"] = measured
    out["fit"] = _record(fitted, sorted(chips))
    return out


def _known(index: Mapping[tuple[Any, ...], int], kind: str, scope: str, place: int, name: str) -> tuple[int, ...]:
    """Deviations of a collective that exist, without making new ones."""
    keys = [(f"{name}.scope", kind, scope), (f"{name}.own", kind, scope, place)]
    return tuple(index[k] for k in keys if k in index)


def _roof(fmt: str, chip: Any) -> str:
    from ..hardware.formats import find_format, roof

    return roof(find_format(fmt), chip.peak_ops_s)[0]


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in values.items()}


_ENGINE_FIELDS = {
    "factor.engine": "factor", "step.engine": "step", "sequence.engine": "sequence",
    "prefill_step.engine": "prefill_step",
    "interference.engine": "interference", "frontend.engine": "frontend", "ttft_steps.engine": "ttft_steps",
    "queue_share.engine": "queue_share",
}  # fmt: skip

_KERNELS = {
    "t0.engine_moe": "moe.t0", "t0.engine_format": "moe.t0",
    "t0.engine_attention": "attention_decode.t0", "eta_m.engine_attention": "attention_decode.eta_m",
}  # fmt: skip


def _engines(fitted: Fit) -> dict[str, Any]:
    """Multipliers on the engines' start values, by engine; by engine and family; of prompts by kind and weights."""
    out: dict[str, Any] = {}
    for key, i in fitted.problem.space.index.items():
        value = float(f"{np.exp(fitted.z[i]):.4g}")
        name = str(key[0])
        if name in _ENGINE_FIELDS:
            out.setdefault(key[1], {})[_ENGINE_FIELDS[name]] = value
        elif name in _KERNELS:
            place = out.setdefault(key[1], {}).setdefault(key[2], {}).setdefault("kernels", {})
            place[".".join((_KERNELS[name], *key[3:]))] = value
        elif name in ("factor.engine_family", "step.engine_family"):
            out.setdefault(key[1], {}).setdefault(key[2], {})[name.split(".")[0]] = value
        elif name == "prompt.engine":
            out.setdefault(key[1], {})["prompt_moe" if key[2] else "prompt_dense"] = value
        elif name == "prompt.family":
            out.setdefault("prompt", {}).setdefault("family", {})[key[1]] = value
        elif name == "prompt.weights":
            out.setdefault("prompt", {}).setdefault("moe" if key[1] else "dense", {})[key[2]] = value
    return out


def _record(fitted: Fit, chips: list[str]) -> dict[str, Any]:
    from datetime import date

    errors = fitted.table()
    record: dict[str, Any] = {
        "date": date.today().isoformat(), "rows": len(fitted.problem.rows),
        "groups": int(fitted.problem.table["group"].nunique()), "fingerprint": fitted.fingerprint, "chips": chips,
        "on_bound": list(fitted.on_bound), "unidentified": len(fitted.unidentified),
        "left_out": {
            f"{r['regime']} {r['metric']}": {
                "n": r["n"], "median": round(r["median_ape"], 4), "p90": round(r["p90_ape"], 4)
            }
            for r in errors.to_dict(orient="records")
        },
    }  # fmt: skip
    held = {name: {"n": n, "median": round(m, 4), "p90": round(p, 4)} for name, n, m, p in anchored_table(fitted)}
    return record | ({"anchored": held} if held else {})


def anchored_table(fitted: Fit) -> list[tuple[str, int, float, float]]:
    """(quantity, n, median, 90th percentile) of |predicted/measured - 1| of rows anchored by the rest of their
    combination.
    """
    away = np.abs(np.expm1(anchored_errors(fitted.problem, fitted.shared)))
    metric = fitted.problem.table["metric"].to_numpy(dtype=str)
    lines = []
    for name in ("tpot_ms", "ttft_ms"):
        found = away[(metric == name) & np.isfinite(away)]
        if len(found):
            lines.append((f"serving {name}", len(found), float(np.median(found)), float(np.quantile(found, 0.9))))
    return lines


def to_toml(values: Mapping[str, Any], path: str = "") -> str:
    """TOML of nested tables of numbers, texts, booleans and flat lists (the standard library only reads it)."""
    plain = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    lines = [f"[{path}]"] if path and plain else []
    lines += [f"{_key(k)} = {_literal(v)}" for k, v in plain.items()]
    text = "\n".join(lines) + ("\n\n" if lines else "")
    for key, value in values.items():
        if isinstance(value, Mapping):
            text += to_toml(value, f"{path}.{_key(key)}" if path else _key(key))
    return text


def _key(name: Any) -> str:
    import re

    return str(name) if re.fullmatch(r"[A-Za-z0-9_-]+", str(name)) else '"' + str(name).replace('"', "'") + '"'


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
