"""What `tokcalc bench` prints: the machine, its constants, and predicted against measured decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import text
from ..table import Column, item, tabulate

if TYPE_CHECKING:
    from ...measure.results import Found, Judged

Row = Mapping[str, Any]


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


def report(found: Found, rows: Sequence[Row], before: Row | None, width: int) -> list[str]:
    """Lines for a terminal; before: the last run of the same name, if there is one."""
    from ...measure.kernels.bandwidth import best

    m = found.machine
    lines = [f"{m.cpu}, {m.cores} cores, {m.memory_bytes / 1e9:.1f} GB, {m.blas}"]
    lines += [f"{a.name}, {a.memory_bytes / 1e9:.1f} GB ({a.kind}:{a.index})" for a in m.accelerators]
    speeds = (f"{kernel} {_gb(best(found.streams, kernel).best_bytes_s)}" for kernel in ("read", "triad", "copy"))
    lines += ["", f"Memory     {', '.join(speeds)}"]
    if found.caches:
        lines.append("Caches     " + ", ".join(f"{s.kernel[5:]} {_gb(s.best_bytes_s)}" for s in found.caches))
    if found.sweep:
        lines.append("Threads    " + ", ".join(f"{s.threads}: {_gb(s.best_bytes_s)}" for s in found.sweep))
    lines.append("Products   " + ", ".join(f"{d} {_gops(r)}" for d, r in found.peaks.items()))
    fits: list[Row] = [
        {"format": dtype, "from": "kernels", "error": fit.median_error}
        | {key: getattr(fit, key) for key in ("t0_s", "eta_m", "eta_c", "p")}
        for dtype, fit in found.kernels.items()
    ]
    for engine, constants in found.engines.items():
        for name, fitted in constants.kernel.items():
            fits.append({**fitted, "format": name, "from": engine, "error": constants.median_error})
    lines += ["", "Constants", tabulate(_CONSTANTS, fits, width)]
    if rows:
        lines += ["", "Predicted against measured (predictions from the probes, not from these runs)"]
        lines.append(tabulate(_CHECK, rows, width))
        if any(row["disturbed"] for row in rows):
            lines.append("* measured while other programs used the machine")
        lines += ["", *_summary(rows)]
    lines += _changes(found, before, width)
    for note in found.notes:
        lines += ["", *text.wrap(note, width, "Note: ")]
    return lines


_CONSTANTS = (
    Column("format", 9, False, item("format")),
    Column("from", 5, False, item("from")),
    Column("floor", 6, cell=item("t0_s", text.seconds)),
    Column("eta_m", 8, cell=item("eta_m", "{:.2f}".format)),
    Column("eta_c", 8, cell=item("eta_c", "{:.2f}".format)),
    Column("p", 7, cell=item("p", "{:.2f}".format)),
    Column("row", 5, cell=item("row_s", lambda value: text.seconds(value) if value else "")),
    Column("error", 4, cell=item("error", "{:.0%}".format)),
)
_CHECK = (
    Column("engine", 8, False, item("engine")),
    Column("model", 7, False, item("model")),
    Column("weights", 9, False, item("weights")),
    Column("phase", 9, False, item("phase")),
    Column("tokens", 8, cell=lambda row: str(row["tokens"] or row["context"])),
    Column("batch", 3, cell=item("batch")),
    Column(
        "measured tok/s", 9, cell=lambda row: text.number(row["measured_tok_s"]) + ("*" if row["disturbed"] else "")
    ),
    Column("predicted", 9, cell=item("predicted_tok_s", text.number)),
    Column("error", 9, cell=item("error", "{:+.0%}".format)),
)


def _summary(rows: Sequence[Row]) -> list[str]:
    from statistics import median

    out = []
    for engine in dict.fromkeys(r["engine"] for r in rows):
        for phase in ("decode", "prefill"):
            errors = [abs(r["error"]) for r in rows if r["engine"] == engine and r["phase"] == phase]
            if errors:
                runs = f"{len(errors)} run{'s' if len(errors) > 1 else ''}"
                said = f"median error {median(errors):.1%}, worst {max(errors):.0%} ({runs})"
                out.append(f"{engine:10s} {phase:8s} {said}")
    return out


def _changes(found: Found, before: Row | None, width: int) -> list[str]:
    """How the constants compare with the last run of the same name and length."""
    from ...measure.compare import compare_constants, sentence
    from ...measure.localspec import constants_of

    if before is None or before["quick"] != found.options.quick:
        return []
    changed = compare_constants(before["constants"], constants_of(found))
    return ["", *text.wrap(sentence(changed, before["date"]), width)]


def _gb(value: float) -> str:
    return f"{text.number(value / 1e9)} GB/s"


def _gops(value: float) -> str:
    return f"{text.number(value / 1e12)} TOP/s" if value >= 1e12 else f"{text.number(value / 1e9)} GOP/s"
