"""What `tokcalc bench` prints: the machine, its constants, and predicted against measured decoding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import text
from ..table import Column, render

if TYPE_CHECKING:
    from ...measure.results import Found, Judged


def row(judged: Judged) -> dict[str, Any]:
    """One run of the check as a flat record; speeds in tokens per second."""
    r, s, batch = judged.run.request, judged.measured, judged.run.request.batch
    tokens = r.tokens if r.kind == "prefill" else batch
    return {
        "engine": judged.engine,
        "model": judged.run.shape.name,
        "weights": judged.run.weights,
        "phase": r.kind,
        "tokens": r.tokens or None,
        "context": r.context if r.kind == "decode" else None,
        "batch": batch,
        "measured_tok_s": tokens / s.median,
        "low_tok_s": tokens / s.high,
        "high_tok_s": tokens / s.low,
        "predicted_tok_s": tokens / judged.predicted_s,
        "error": 1.0 / (1.0 + judged.error) - 1.0,
        "measured_s": s.median,
        "predicted_s": judged.predicted_s,
        "disturbed": s.disturbed,
        "joule_per_token": judged.joule_per_token,
    }


def report(
    found: Found, rows: list[dict[str, Any]], before: dict[str, Any] | None, spec: Path, samples: Path, name: str
) -> list[str]:
    """Lines for a terminal; before: the constants of the last run of the same name, if there is one."""
    from ...measure.kernels.bandwidth import best

    m, width = found.machine, text.width()
    lines = [f"{m.cpu}, {m.cores} cores, {m.memory_bytes / 1e9:.1f} GB, {m.blas}"]
    lines += [f"{a.name}, {a.memory_bytes / 1e9:.1f} GB ({a.kind}:{a.index})" for a in m.accelerators]
    read, triad = best(found.streams, "read"), best(found.streams, "triad")
    lines += [
        "",
        f"Memory     read {_gb(read.best_bytes_s)}, triad {_gb(triad.best_bytes_s)}, "
        f"copy {_gb(best(found.streams, 'copy').best_bytes_s)}",
    ]
    if found.caches:
        lines.append("Caches     " + ", ".join(f"{s.kernel[5:]} {_gb(s.best_bytes_s)}" for s in found.caches))
    if found.sweep:
        lines.append("Threads    " + ", ".join(f"{s.threads}: {_gb(s.best_bytes_s)}" for s in found.sweep))
    lines.append("Products   " + ", ".join(f"{d} {_gflops(r)}" for d, r in found.peaks.items()))
    columns = [Column("format", 9, right=False), Column("from", 5, right=False), Column("floor", 6)]
    columns += [Column("eta_m", 8), Column("eta_c", 8), Column("p", 7), Column("row", 5), Column("error", 4)]
    table = []
    for dtype, fit in found.kernels.items():
        table.append([dtype, "kernels", text.seconds(fit.t0_s), *_four(fit), "", f"{fit.median_error:.0%}"])
    for engine, constants in found.engines.items():
        for fmt, c in constants.kernel.items():
            cells = [text.seconds(c["t0_s"]), *(f"{c[k]:.2f}" for k in ("eta_m", "eta_c", "p"))]
            cells.append(text.seconds(c["row_s"]) if c.get("row_s") else "")
            table.append([fmt, engine, *cells, f"{constants.median_error:.0%}"])
    lines += ["", "Constants", render(columns, table, width)]
    if rows:
        lines += ["", "Predicted against measured (predictions from the probes, not from these runs)"]
        lines += [_check_table(rows, width), "", *_summary(rows)]
    lines += _changes(found, before)
    for note in found.notes:
        lines += ["", *text.wrap(note, width, "Note: ")]
    lines += ["", f"Spec     {spec}", f"Samples  {samples}", f"Took     {text.seconds(found.took_s)}"]
    lines += ["", f"Try: tokcalc --chip {name} --model llama-3.2-1b --weights q8_0"]
    return lines


def _check_table(rows: list[dict[str, Any]], width: int) -> str:
    columns = [Column("engine", 8, right=False), Column("model", 7, right=False), Column("weights", 9, right=False)]
    columns += [Column("phase", 9, right=False), Column("tokens", 8), Column("batch", 3), Column("measured tok/s", 9)]
    columns += [Column("predicted", 9), Column("error", 9)]
    cells = [
        [
            row["engine"],
            row["model"],
            row["weights"],
            row["phase"],
            str(row["tokens"] or row["context"]),
            str(row["batch"]),
            text.number(row["measured_tok_s"]) + ("*" if row["disturbed"] else ""),
            text.number(row["predicted_tok_s"]),
            f"{row['error']:+.0%}",
        ]
        for row in rows
    ]
    tail = "\n* measured while other programs used the machine" if any(r["disturbed"] for r in rows) else ""
    return render(columns, cells, width) + tail


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    from statistics import median

    out = []
    for engine in dict.fromkeys(r["engine"] for r in rows):
        for phase in ("decode", "prefill"):
            errors = [abs(r["error"]) for r in rows if r["engine"] == engine and r["phase"] == phase]
            if errors:
                runs = f"{len(errors)} run{'s' if len(errors) > 1 else ''}"
                out.append(
                    f"{engine:10s} {phase:8s} median error {median(errors):.1%}, worst {max(errors):.0%} ({runs})"
                )
    return out


def _changes(found: Found, before: dict[str, Any] | None) -> list[str]:
    """How the constants compare with the last run of the same name and length."""
    from ...measure.compare import compare_constants, sentence
    from ...measure.localspec import constants_of

    if before is None or before["quick"] != found.options.quick:
        return []
    return [
        "",
        *text.wrap(sentence(compare_constants(before["constants"], constants_of(found)), before["date"]), text.width()),
    ]


def _four(fit: Any) -> list[str]:
    return [f"{fit.eta_m:.2f}", f"{fit.eta_c:.2f}", f"{fit.p:.2f}"]


def _gb(value: float) -> str:
    return f"{text.number(value / 1e9)} GB/s"


def _gflops(value: float) -> str:
    return f"{text.number(value / 1e12)} TOP/s" if value >= 1e12 else f"{text.number(value / 1e9)} GOP/s"
