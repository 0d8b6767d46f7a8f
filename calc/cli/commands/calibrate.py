"""`tokcalc calibrate`: fit the constants to measured rows, judge them on rows left out, write them when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import UsageError
from ..table import Column, render
from ..text import width

if TYPE_CHECKING:
    import pandas as pd

    from ...calibration.accelerators import Judged
    from ...calibration.gpus import Fit

LEAVE_OUT = ("group", "chip", "model")
TAKES = {  # what is fitted -> options beside --data, --suspects, --write and --json
    "gpus": ("beside", "chip", "engine", "leave_out", "folds", "residuals"),
    "accelerators": ("chip", "residuals"),
    "power": (),
    "bands": ("beside", "folds"),
    "evidence": ("beside", "folds"),
}
_SHOWN = 12
_ERRORS = ("median_ape", "p90_ape", "bias", "in_sample_median")


def calibrate(
    what: Annotated[
        str, typer.Option(metavar="NAME", help="What is fitted: gpus, accelerators, power, bands or evidence.")
    ] = "gpus",
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="FILE", help="Measured rows (CSV); repeat it.")
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Rows of many hands: dense models at half weight, full mixtures at a tenth."),
    ] = None,
    chip: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only rows of this chip; of accelerators, of its software.")
    ] = None,
    engine: Annotated[str | None, typer.Option(metavar="NAME", help="Only rows of this engine.")] = None,
    leave_out: Annotated[
        str | None, typer.Option(metavar="KEY", help="What is left out together: group (default), chip or model.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="N", help="Folds of whole groups, 10 by default; 0 leaves each out alone.")
    ] = None,
    suspects: Annotated[
        str | None, typer.Option(metavar="CSV", help="Rows kept out of the fit: pattern,reason. Default: packaged.")
    ] = None,
    write: Annotated[
        str | None, typer.Option(metavar="TOML", help="Write what was fitted to this file; else nothing is touched.")
    ] = None,
    residuals: Annotated[
        str | None, typer.Option(metavar="CSV", help="Write every row with its error left out and in sample.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fit constants to measured rows by robust least squares with priors.

    gpus: kernels and engines; accelerators: other chips; power: watts; bands, evidence: what rows that no fit saw show.
    Errors are of rows left out: their whole group, of accelerators their model; in-sample errors stand beside them.
    """
    given = {"beside": beside, "chip": chip, "engine": engine, "leave_out": leave_out, "folds": folds}
    _check(what, {**given, "residuals": residuals})
    if leave_out not in (None, *LEAVE_OUT):
        raise UsageError(f"--leave-out {leave_out} is unknown; choose one of {', '.join(LEAVE_OUT)}")
    if folds is not None and (folds < 0 or folds == 1):
        raise UsageError(f"--folds {folds} leaves nothing to fit or judge; give 0 or at least 2")
    rows, more = _rows(data, beside, suspects)
    parts = 10 if folds is None else folds
    if what == "gpus":
        _gpus(_filtered(_beside(rows, more), chip, engine), (leave_out or "group", parts), (write, residuals), json_)
    elif what == "accelerators":
        _accelerators(rows, chip, (write, residuals), json_)
    elif what == "power":
        _power(rows, write, json_)
    else:
        _unseen(what, (rows, more), parts, write, json_)


def _check(what: str, given: Mapping[str, object]) -> None:
    if what not in TAKES:
        raise UsageError(f"--what {what} is unknown; choose one of {', '.join(TAKES)}")
    for name, value in given.items():
        if value is not None and name not in TAKES[what]:
            raise UsageError(f"--{name.replace('_', '-')} means nothing to --what {what}; leave it out")


def _rows(
    data: list[str] | None, beside: list[str] | None, suspects: str | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows of --data and those of --beside, without suspicious ones."""
    from ...validation.measured import packaged_paths, read_rows, read_suspects, suspect_reasons

    tables = [read_rows(data or packaged_paths()), *([read_rows(beside)] if beside else [])]
    listed = read_suspects(suspects)
    clean = [table[suspect_reasons(table, listed) == ""].reset_index(drop=True) for table in tables]
    out = sum(map(len, tables)) - sum(map(len, clean))
    if out:
        print(f"{out} suspicious rows stay out of the fit and of this table", file=sys.stderr)
    return clean[0], clean[1] if beside else None


def _beside(rows: pd.DataFrame, more: pd.DataFrame | None) -> pd.DataFrame:
    from ...calibration.gpus import with_rows_beside

    return rows if more is None else with_rows_beside(rows, more)


def _filtered(rows: pd.DataFrame, chip: str | None, engine: str | None) -> pd.DataFrame:
    from ...catalog import find_id
    from ...errors import TokcalcError

    def is_wanted(name: str) -> bool:
        try:
            return find_id("chips", name) == wanted
        except TokcalcError:
            return False

    if chip:
        wanted = find_id("chips", chip)
        rows = rows[[is_wanted(name) for name in rows["chip"]]]
    if engine:
        rows = rows[rows["engine"].str.lower() == engine.lower()]
    return rows.reset_index(drop=True)


def _write(path: str | None, head: str, tables: Mapping[str, Any]) -> None:
    from ...catalog.toml import write_toml

    if path:
        write_toml(path, head, tables)
        print(f"wrote {path}", file=sys.stderr)


def _write_residuals(path: str | None, rows: pd.DataFrame) -> None:
    from ...report.files import whole_file

    if path:
        with whole_file(path) as part:
            rows.to_csv(part, index=False)
        print(f"wrote {path}", file=sys.stderr)


def _print_json(report: Any) -> None:
    json.dump(report, sys.stdout, indent=2)
    print()


# ------------------------------------------------------------------ GPUs
def _gpus(rows: pd.DataFrame, left_out: tuple[str, int], files: tuple[str | None, str | None], as_json: bool) -> None:
    import numpy as np

    from ...calibration import gpus
    from ..progress import Line

    line = Line("folds")
    found = gpus.fit(rows, by=left_out[0], folds=left_out[1], progress=line)
    line.close()
    table = found.table()
    if as_json:
        _print_json(
            {
                "rows": len(found.problem.rows),
                "groups": int(found.problem.table["group"].nunique()),
                "fingerprint": found.fingerprint,
                "errors": table.to_dict(orient="records"),
                "on_bound": list(found.on_bound),
                "unidentified": list(found.unidentified),
            }
        )
    else:
        _print(found, table, left_out[0])
    errors = {"error_left_out": np.expm1(found.left_out), "error_in_sample": np.expm1(found.in_sample)}
    _write_residuals(files[1], found.problem.table.assign(**errors))
    if files[0]:
        _write(files[0], gpus.HEAD, gpus.resolved(found))


def _print(found: Fit, table: pd.DataFrame, leave_out: str) -> None:
    columns = [Column("regime", 9, False), Column("metric", 8, False), Column("rows", 5), Column("median %", 7)]
    columns += [Column("p90 %", 6), Column("bias %", 3), Column("in-sample %", 4)]
    lines = [
        (r["regime"], r["metric"], f"{r['n']:,}", *(f"{100 * r[name]:.1f}" for name in _ERRORS))
        for r in table.to_dict(orient="records")
    ]
    print(f"error of rows whose whole {leave_out} was left out of the fit")
    print(render(columns, lines, width()))
    groups = found.problem.table["group"].nunique()
    print(f"{len(found.problem.rows):,} rows of {groups} groups, data {found.fingerprint}")
    for name, n, median, p90 in found.anchored():
        print(
            f"anchored to the other rows of their own combination, in fifths: {name} {n:,} rows, "
            f"median {100 * median:.1f} %, p90 {100 * p90:.1f} %"
        )
    for title, names in (("on a bound", found.on_bound), ("not identified by the data", found.unidentified)):
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        print(f"{title}: {'; '.join(names[:_SHOWN]) or 'none'}{more}")


# ------------------------------------------------------------------ other chips
def _accelerators(rows: pd.DataFrame, chip: str | None, files: tuple[str | None, str | None], as_json: bool) -> None:
    from ...calibration import accelerators
    from ...catalog import find_id

    wanted = find_id("chips", chip) if chip else None
    found, _ = accelerators.fit_all(rows, wanted, _tick)
    seen = [chip for judged in found for chip in judged.target.chips]
    rest = None if wanted else accelerators.unfitted(rows, seen)
    table = accelerators.report([*found, *([rest] if rest else [])])
    if as_json:
        values = {judged.target.name: dict(judged.values) for judged in found}
        _print_json({"errors": table.to_dict(orient="records"), "values": values})
    else:
        _print_accelerators(found, table)
    _write_residuals(files[1], accelerators.left_out_rows(found))
    if files[0]:
        _write(files[0], accelerators.HEAD, accelerators.resolved(found))


def _print_accelerators(found: list[Judged], table: pd.DataFrame) -> None:
    columns = [Column("fit", 1, False), Column("chip", 9, False), Column("rows", 6), Column("models", 5)]
    columns += [Column("in-sample %", 5), Column("left out %", 7), Column("p90 %", 6), Column("bias %", 2)]
    columns.append(Column("in band %", 4))
    shares = ("in_sample", "left_out", "p90", "bias", "in_band")
    lines = [
        (r["fit"], r["chip"], f"{r['rows']:,}", str(r["models"]), *(f"{100 * r[of]:.1f}" for of in shares))
        for r in table.to_dict(orient="records")
    ]
    print("error of rows whose model was left out of the fit")
    print(render(columns, lines, width()))
    for judged in found:
        print(f"{judged.target.name}: {', '.join(f'{path} {value:.3g}' for path, value in judged.values.items())}")


def _tick(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


# ------------------------------------------------------------------ power
def _power(rows: pd.DataFrame, write: str | None, as_json: bool) -> None:
    from dataclasses import asdict

    from ...calibration import power

    done = power.fit(power.cases(rows))
    if as_json:
        _print_json(asdict(done))
    else:
        for name, share in zip(("awake", "kernels", "compute"), done.shares, strict=True):
            print(f"{name:9}{share:.3f}")
        print(f"{done.rows} rows of {done.groups} groups on {', '.join(done.chips)}, each predicted by the others")
        print(f"power at the measured rate  median {done.median_error:.1%}, p90 {done.p90_error:.1%}")
        print(f"energy at the predicted one median {done.energy_median_error:.1%}, p90 {done.energy_p90_error:.1%}")
    _write(write, power.HEAD, done.tables())


# ------------------------------------------------------------------ what no fit had seen
def _unseen(
    what: str, tables: tuple[pd.DataFrame, pd.DataFrame | None], folds: int, write: str | None, as_json: bool
) -> None:
    from ...calibration import bands
    from ...calibration.unseen import unseen
    from ...catalog.toml import to_toml
    from ...validation import evidence

    found = unseen(*tables, folds, _tick)
    head, made = (bands.HEAD, found.bands()) if what == "bands" else (evidence.HEAD, found.evidence())
    if as_json:
        _print_json(made)
    elif not write:
        print(to_toml(made), end="")
    _write(write, head, made)
