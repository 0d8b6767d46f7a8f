"""`tokcalc calibrate`: fit the constants to measured rows, judge them on groups left out, write them when asked."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import UsageError
from ..table import Column, render
from ..text import width

if TYPE_CHECKING:
    import pandas as pd

    from ...calibration.gpus import Fit

LEAVE_OUT = ("group", "chip", "model")
_SHOWN = 12
_ERRORS = ("median_ape", "p90_ape", "bias", "in_sample_median")


def calibrate(
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="FILE", help="Measured rows (CSV); repeat it.")
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Rows of many hands: dense models at half weight, full mixtures at a tenth."),
    ] = None,
    chip: Annotated[str | None, typer.Option(metavar="NAME", help="Only rows of this chip.")] = None,
    engine: Annotated[str | None, typer.Option(metavar="NAME", help="Only rows of this engine.")] = None,
    leave_out: Annotated[
        str, typer.Option(metavar="KEY", help="What is left out together: group, chip or model.")
    ] = "group",
    folds: Annotated[int, typer.Option(metavar="N", help="Folds of whole groups; 0 leaves each group out alone.")] = 10,
    suspects: Annotated[
        str | None, typer.Option(metavar="CSV", help="Rows kept out of the fit: pattern,reason. Default: packaged.")
    ] = None,
    write: Annotated[
        str | None, typer.Option(metavar="TOML", help="Write the constants to this file; else nothing is touched.")
    ] = None,
    residuals: Annotated[
        str | None, typer.Option(metavar="CSV", help="Write every row with its error left out and in sample.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fit kernel and engine constants to measured rows by robust least squares with priors.

    Errors are of rows whose whole group the fit did not see; in-sample errors stand beside them.
    """
    from ...calibration import gpus as fitting
    from ...validation.judge import write_text
    from ...validation.measured import packaged_paths, read_rows, read_suspects, suspect_reasons

    if leave_out not in LEAVE_OUT:
        raise UsageError(f"--leave-out {leave_out} is unknown; choose one of {', '.join(LEAVE_OUT)}")
    if folds < 0 or folds == 1:
        raise UsageError(f"--folds {folds} leaves nothing to fit or judge; give 0 or at least 2")
    rows = read_rows(data or packaged_paths())
    if beside:
        rows = _joined(rows, read_rows(beside))
    rows = _filtered(rows, chip, engine)
    suspect = suspect_reasons(rows, read_suspects(suspects)) != ""
    if suspect.any():
        print(f"{int(suspect.sum())} suspicious rows stay out of the fit and of this table", file=sys.stderr)
    found = fitting.fit(rows[~suspect], by=leave_out, folds=folds, progress=_progress)
    table = found.table()
    if json_:
        json.dump(_report(found, table), sys.stdout, indent=2)
        print()
    else:
        _print(found, table, leave_out)
    if residuals:
        import numpy as np

        out = found.problem.table.assign(
            error_left_out=np.expm1(found.left_out), error_in_sample=np.expm1(found.in_sample)
        )
        write_text(residuals, out.to_csv(index=False))
        print(f"wrote {residuals}", file=sys.stderr)
    if write:
        text = "# Constants fitted by `tokcalc calibrate`, laid over the starts in this folder; not for hands.\n\n"
        write_text(write, text + fitting.to_toml(fitting.resolved(found)))
        print(f"wrote {write}", file=sys.stderr)


# Weights of rows that come from many hands and old software, beside one careful series: dense models, and mixtures
# where a machine is full. Chosen by groups left out: mixtures of the published tables at half weight would halve their
# own error at full load and raise that of the series by a seventh (its 90th percentile by a third).
_DENSE_SHARE, _MIXTURE_SHARE = 0.5, 0.1
_FULL = ("max-load", "mlperf-offline")


def _joined(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Both tables, of the second dense models and mixtures at full load: at low load mixtures show the floors of
    expert kernels, and those of old engines are other kernels.
    """
    import numpy as np
    import pandas as pd

    from ...catalog import load_model
    from ...errors import TokcalcError
    from ...validation.rows.inputs import note_max_batch

    def is_dense(name: str) -> bool:
        try:
            return not load_model(name).is_moe
        except TokcalcError:
            return False

    # limits are told from all runs of a group, also from those that don't take part
    rows, more = (table.assign(most=note_max_batch(table)) for table in (rows, more))
    known = {name: is_dense(str(name)) for name in more["model"].unique()}
    dense = more["model"].map(known).astype(bool)
    more = more.assign(share=np.where(dense, _DENSE_SHARE, _MIXTURE_SHARE))[dense | more["regime"].isin(_FULL)]
    return pd.concat([rows.assign(share=1.0), more], ignore_index=True)


def _filtered(rows: pd.DataFrame, chip: str | None, engine: str | None) -> pd.DataFrame:
    from ...catalog import find_id

    if chip:
        wanted = find_id("chips", chip)
        rows = rows[[_id(name) == wanted for name in rows["chip"]]]
    if engine:
        rows = rows[rows["engine"].str.lower() == engine.lower()]
    return rows.reset_index(drop=True)


def _id(name: str) -> str | None:
    from ...catalog import find_id
    from ...errors import TokcalcError

    try:
        return find_id("chips", name)
    except TokcalcError:
        return None


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        filled = 30 * done // of
        print(
            f"\rfolds [{'#' * filled}{'.' * (30 - filled)}] {done}/{of}", end="" if done < of else "\n", file=sys.stderr
        )


def _report(found: Fit, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "rows": len(found.problem.rows), "groups": int(found.problem.table["group"].nunique()),
        "fingerprint": found.fingerprint, "errors": table.to_dict(orient="records"),
        "on_bound": list(found.on_bound), "unidentified": list(found.unidentified),
    }  # fmt: skip


def _print(found: Fit, table: pd.DataFrame, leave_out: str) -> None:
    from ...calibration.gpus import anchored_table

    columns = [
        Column("regime", 9, False), Column("metric", 8, False), Column("rows", 5), Column("median %", 7),
        Column("p90 %", 6), Column("bias %", 3), Column("in-sample %", 4),
    ]  # fmt: skip
    lines = [
        (r["regime"], r["metric"], f"{r['n']:,}", *(f"{100 * r[name]:.1f}" for name in _ERRORS))
        for r in table.to_dict(orient="records")
    ]
    print(f"error of rows whose whole {leave_out} was left out of the fit")
    print(render(columns, lines, width()))
    print(
        f"{len(found.problem.rows):,} rows of {found.problem.table['group'].nunique()} groups, data {found.fingerprint}"
    )
    for name, n, median, p90 in anchored_table(found):
        print(
            f"anchored to the other rows of their own combination, in fifths: {name} {n:,} rows, "
            f"median {100 * median:.1f} %, p90 {100 * p90:.1f} %"
        )
    for title, names in (("on a bound", found.on_bound), ("not identified by the data", found.unidentified)):
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        print(f"{title}: {'; '.join(names[:_SHOWN]) or 'none'}{more}")
