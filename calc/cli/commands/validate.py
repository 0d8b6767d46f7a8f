"""`tokcalc validate`: the own error on measured rows, in tables, files and a plot; and the release gate."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import NoAnswer, UsageError
from ..table import Column, render
from ..text import number, width, wrap

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("chip", "regime", "metric")
WORST = 10
MOST_WORST = 100_000


def validate(
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="FILE", help="Measured rows (CSV); repeat it. Default: the packaged points."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="KEYS", help="Sum up by chip,model,regime,metric,engine,group,family,grade."),
    ] = None,
    predictions: Annotated[
        str | None, typer.Option("--predictions", metavar="CSV", help="Write every row with its prediction.")
    ] = None,
    json_out: Annotated[
        str | None, typer.Option("--json", metavar="JSON", help="Write the summary as JSON; - is stdout.")
    ] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Plot predicted against measured (.svg .png .html).")
    ] = None,
    worst: Annotated[int, typer.Option("--worst", metavar="N", help="Show the N worst rows; 0 shows none.")] = WORST,
    suspects: Annotated[
        str | None,
        typer.Option("--suspects", metavar="CSV", help="Suspicious measurements: pattern,reason. Default: packaged."),
    ] = None,
    check: Annotated[
        str | None,
        typer.Option("--check", metavar="TOML", help="Fail when a chip family is worse than this file says."),
    ] = None,
    write_expected: Annotated[
        str | None, typer.Option("--write-expected", metavar="TOML", help="Write the file that --check reads.")
    ] = None,
    prices: Annotated[
        bool, typer.Option("--prices", help="Recompute published costs per million: their hour and speed, ours.")
    ] = False,
) -> None:
    """Judge the model on measured rows: |predicted/measured - 1| by chip, regime and metric, and the worst.

    Without --data the published points that ship with the program are used. Exit 1: nothing could be
    predicted, or --check found a family that has become worse.
    """
    if prices:
        others = {"--by": by, "--predictions": predictions, "--plot": plot, "--suspects": suspects, "--check": check}
        _prices(data, json_out, {**others, "--write-expected": write_expected})
        return
    keys, judged, raw = _judge(data, by, worst, suspects, plot)
    done = int(judged["predicted"].notna().sum())
    if json_out != "-":
        _print_tables(judged, keys, worst)
    _files(raw, judged, keys, predictions, json_out, plot)
    _gate(judged, check, write_expected)
    if not done:
        raise NoAnswer(f"none of the {len(judged)} rows could be predicted; --predictions FILE tells why, row by row")


def _prices(data: Sequence[str] | None, json_out: str | None, others: Mapping[str, object]) -> None:
    from dataclasses import asdict
    from statistics import median

    from ...validation.measured import packaged_paths, read_rows
    from ...validation.price_check import WAYS, check, errors

    for name, value in others.items():
        if value is not None:
            raise UsageError(f"{name} means nothing to --prices; leave one of them out")
    found = check(read_rows(data or packaged_paths()))
    if not found:
        raise NoAnswer("none of these rows is a price; give rows of metric usd_per_m_output or usd_per_m_total")
    if json_out:
        _write_json([asdict(item) for item in found], json_out, "the prices")
    if json_out == "-":
        return
    print("Published USD per million tokens, recomputed: their hour and speed, our hour, our speed, both ours")
    for item in found:
        ways = ", ".join(f"{way} {'-' if value is None else number(value)}" for way, value in item.found.items())
        title = f"{item.id}: {item.chip}, {item.model}, published {number(item.published)}: {ways}"
        print("\n".join([*wrap(title, width(), "  "), *wrap(item.reason, width(), "      ")]))
    for way in WAYS:
        apart = errors(found, way)
        if apart:
            print(f"{way}: median error {median(apart):.1%} over {len(apart)} rows")


def _judge(
    data: Sequence[str] | None, by: str | None, worst: int, suspects: str | None, plot: str | None
) -> tuple[list[str], pd.DataFrame, pd.DataFrame]:
    from ...report.plots.judged import check_ending
    from ...validation.judge import check_by, validate_rows
    from ...validation.measured import packaged_paths, read_suspects, read_table, suspect_reasons

    keys = check_by(by.split(",")) if by is not None else []
    if by is not None and not keys:
        raise UsageError("--by is empty; name one or more of chip, model, regime, metric, engine, group")
    if not 0 <= worst <= MOST_WORST:
        raise UsageError(f"--worst {worst} is out of range: it must be 0 to {MOST_WORST:,}")
    if plot:
        check_ending(plot)
    raw, rows = read_table(data or packaged_paths())
    listed = read_suspects(suspects)
    judged = validate_rows(rows)
    judged["suspect"] = suspect_reasons(rows, listed)
    return keys, judged, raw


def _files(
    raw: pd.DataFrame,
    judged: pd.DataFrame,
    keys: list[str],
    predictions: str | None,
    json_out: str | None,
    plot: str | None,
) -> None:
    from ...validation.judge import as_json, write_predictions

    if predictions:
        write_predictions(raw, judged, predictions)
        _note(f"wrote {len(judged)} rows to {predictions}")
    if json_out:
        _write_json(as_json(judged, keys), json_out, "the summary")
    if plot:
        from ...report.plots.judged import save_plot
        from ...validation.measured import METRICS

        save_plot(judged, METRICS, plot)
        _note(f"wrote the plot to {plot}")


def _write_json(value: object, path: str, what: str) -> None:
    from ...report.files import whole_file

    text = json.dumps(value, indent=2, allow_nan=False)
    if path == "-":
        print(text)
        return
    with whole_file(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
    _note(f"wrote {what} to {path}")


def _gate(judged: pd.DataFrame, check: str | None, write_expected_to: str | None) -> None:
    from ...validation.gate import failures, read_expected, write_expected

    if check:
        found = failures(judged, read_expected(check))
        if found:
            raise NoAnswer(f"the error has become worse than {check} allows: {'; '.join(found)}")
        _note(f"no chip family is worse than {check} allows")
    if write_expected_to:
        write_expected(judged, write_expected_to)
        _note(f"wrote the errors by chip family to {write_expected_to}")


def _print_tables(judged: pd.DataFrame, keys: list[str], worst: int) -> None:
    from ...validation.causes import worst as worst_rows
    from ...validation.judge import skipped

    done = int(judged["predicted"].notna().sum())
    suspicious = int((judged["suspect"] != "").sum())
    lines = [f"{len(judged)} measured rows, {done} predicted, {len(judged) - done} not", ""]
    lines += _summary(judged, [])
    for key in [keys] if keys else [[table] for table in TABLES]:
        lines += ["", *_summary(judged, key)]
    if suspicious:
        lines += ["", *_suspects(judged)]
    if worst and done:
        lines += ["", *_worst(worst_rows(judged, worst))]
    reasons = skipped(judged)
    if reasons:
        lines += ["", "Not predicted:"]
        for reason, count in reasons[:WORST]:
            lines += wrap(reason, width(), f"{count:5d}  ")
        left = sum(count for _, count in reasons[WORST:])
        if left:
            lines.append(f"{left:5d}  other reasons; --predictions FILE has all of them")
    print("\n".join(lines))


def _summary(judged: pd.DataFrame, keys: list[str]) -> list[str]:
    from ...validation.judge import summarise

    clean = judged[judged["suspect"] == ""]
    table = summarise(judged, keys)
    columns = [Column(key, 9, right=False) for key in keys] or [Column("over", 9, right=False)]
    columns += [Column("rows", 6), Column("predicted", 5), Column("median", 8), Column("90 %", 7)]
    columns += [Column("bias", 4), Column("in band", 3)]
    medians: dict[Any, float] = {}
    if len(clean) < len(judged):
        columns.append(Column("clean", 7))
        medians = {_key(line, keys): line["median_ape"] for line in summarise(clean, keys).to_dict("records")}
    rows = []
    for line in table.to_dict("records"):
        cells = [str(line[key]) or "(not stated)" for key in keys] or ["all rows"]
        cells += [f"{line['n']:.0f}", f"{line['predicted']:.0f}", _share(line["median_ape"])]
        cells += [_share(line["p90_ape"]), _share(line["bias"], sign=True), _share(line["in_band"], 0)]
        if medians:
            cells.append(_share(medians.get(_key(line, keys), math.nan)))
        rows.append(cells)
    return [f"Error by {', '.join(keys)}" if keys else "Error", render(columns, rows, width())]


def _suspects(judged: pd.DataFrame) -> list[str]:
    from ...validation.judge import summarise

    marked = judged[judged["suspect"] != ""]
    clean = judged[judged["suspect"] == ""]
    lines = [f"Suspicious measurements: {len(marked)} rows (column clean: median without them)"]
    for reason, count in marked["suspect"].value_counts().items():
        lines += wrap(str(reason), width(), f"{count:5d}  ")
    for title, part in (("with them", judged), ("without them", clean)):
        line = summarise(part).iloc[0]
        lines.append(f"{title:>14}: median {_share(line['median_ape'])}, 90 % {_share(line['p90_ape'])}")
    return lines


def _worst(table: pd.DataFrame) -> list[str]:
    lines = [f"Worst {len(table)} rows (predicted / measured, likely cause)"]
    for row in table.to_dict("records"):
        measured, predicted = number(row["value"]), number(row["predicted"])
        ratio = number(row["ratio"])
        lines += wrap(f"{row['id']}: {row['metric']} {predicted} / {measured} = {ratio}", width(), "  ")
        lines += wrap(row["cause"], width(), "      ")
    return lines


def _key(line: dict[Any, Any], keys: list[str]) -> tuple[Any, ...]:
    return tuple(line[key] for key in keys)


def _share(value: float, places: int = 1, sign: bool = False) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:{'+' if sign else ''}.{places}%}"


def _note(text: str) -> None:
    print(text, file=sys.stderr)
