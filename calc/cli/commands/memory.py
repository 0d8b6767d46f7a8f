"""`tokcalc memory`: generations of memory listed, compared for a model, or put into a chip one after
another.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ...errors import UsageError
from .. import listing, options, text
from ..table import Column, render


def memory(
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="hbm, gddr, lpddr, ddr.")] = None,
    year: Annotated[str | None, typer.Option(metavar="YEAR", help="2024, 2023-2025, 2024- or -2022.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Compare them for this model.")] = None,
    chip: Annotated[str | None, typer.Option(metavar="NAME", help="Put each into this chip, stack for stack.")] = None,
    weights: Annotated[str | None, typer.Option(metavar="FORMAT", help="Format of the weights.")] = None,
    context: Annotated[str, typer.Option(metavar="N", help="Tokens in the cache.")] = "2048",
    concurrency: Annotated[str, typer.Option(metavar="N|max", help="With --chip: requests in flight.")] = "1",
    chips: Annotated[int | None, typer.Option(metavar="N", help="With --chip: this many; default: the fewest.")] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Plot speed by generation (.svg .png .pdf .html).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Also write a file.")] = None,
) -> None:
    """List the memory generations; with --model compare them, with --chip put each into a chip."""
    from ...catalog import load_memory

    if chip is not None and model is None:
        raise UsageError("--chip needs --model, as in tokcalc memory --chip h800 --model llama-70b")
    if plot is not None and model is None:
        raise UsageError("--plot needs --model, as in tokcalc memory --model llama-70b --plot memory.svg")
    for path in export or []:
        from ...report import check

        check(path)
    if plot is not None:
        from ...report.plots.save import check as check_plot

        check_plot(plot)
    generations = _chosen(listing.read_all("memory", load_memory), kind, year)
    if model is None:
        listing.show([_row(g) for g in generations], _COLUMNS, json_, export or [])
        return
    tokens = options.length("--context", context)
    if chip is None:
        rows, columns, y = _compared(generations, model, weights, tokens), _COMPARED, "output_tok_s_stack"
    else:
        rows = _on_chip(generations, chip, model, weights, tokens, options.concurrency(concurrency), chips)
        columns, y = _ON_CHIP, "output_tok_s_user"
    _show(rows, columns, json_, export or [])
    if plot is not None:
        _plot(rows, y, chip, model, plot)


def _chosen(generations: list[Any], kind: str | None, year: str | None) -> list[Any]:
    kind_fits = listing.matching("--kind", kind, (_kind(g) for g in generations))
    year_fits = listing.years(year)
    kept = [g for g in generations if kind_fits(_kind(g)) and year_fits(g.year)]
    return sorted(kept, key=lambda g: (_kind(g), g.year, g.id))


def _kind(generation: Any) -> str:
    return next((k for k in ("lpddr", "gddr", "hbm", "ddr") if generation.id.startswith(k)), str(generation.id))


def _row(generation: Any) -> listing.Row:
    energy = generation.energy_j_per_bit
    return {
        "id": generation.id,
        "name": generation.name,
        "kind": _kind(generation),
        "year": generation.year,
        "status": generation.status,
        "scope": generation.scope,
        "bus_bits": generation.bus_bits,
        "pin_rate_bit_s": generation.pin_rate_bit_s,
        "bandwidth_bytes_s": generation.bandwidth_bytes_s,
        "capacity_bytes": generation.capacity_bytes,
        "energy_low_j_per_bit": energy[0] if energy else None,
        "energy_high_j_per_bit": energy[1] if energy else None,
        "grade": generation.grade,
        "aliases": "; ".join(generation.aliases),
    }


def _compared(generations: list[Any], model: str, weights: str | None, context: int) -> list[dict[str, Any]]:
    from ...catalog import load_model
    from ...explore.memory_generations import compare_generations

    network = load_model(model)
    rows = compare_generations(generations, network, weights or network.native_format, context=float(context))
    return [{"model": network.id, "weights": weights or network.native_format, **row} for row in rows]


def _on_chip(
    generations: list[Any], chip: str, model: str, weights: str | None, context: int, concurrency: int | str,
    chips: int | None,
) -> list[dict[str, Any]]:  # fmt: skip
    from ...catalog import load_chip
    from ...explore.memory_generations import on_chip

    family = _kind_of(load_chip(chip).main_memory)
    names = [g.id for g in generations if _kind(g) == family]
    return on_chip(
        chip, model, names, weights=weights, isl=max(1, context // 2), osl=max(1, context // 2),
        concurrency=concurrency, chips=chips,
    )  # fmt: skip


def _kind_of(level: Any) -> str:
    known = (level.generation or level.type).lower()
    return next((k for k in ("lpddr", "gddr", "hbm", "ddr") if known.startswith(k)), known)


def _show(rows: list[dict[str, Any]], columns: tuple[listing.Shown, ...], json_: bool, export: list[str]) -> None:
    import json

    for path in export:
        from ...report import write

        write(rows, path)
        print(f"wrote {path}", file=sys.stderr)
    if json_:
        json.dump(rows, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
        return
    shown = [row for row in rows if "reason" not in row]
    cells = [[_cell(row, key, write_cell) for _, key, write_cell in columns] for row in shown]
    print(render([column for column, _, _ in columns], cells, text.width()))
    for row in rows:
        if "reason" in row:
            print(f"tokcalc: {row['memory']}: {row['reason']}", file=sys.stderr)


def _plot(rows: list[dict[str, Any]], y: str, chip: str | None, model: str, path: str) -> None:
    from ...report.plots.lines import memory_generations
    from ...report.plots.save import save

    drawn = [
        {"chip": row.get("chip") or "one stack or device", **row}
        for row in sorted(rows, key=lambda row: row.get("bandwidth_bytes_s", 0.0))
        if row.get(y) is not None
    ]
    title = f"{model} on {chip} with other memory" if chip else f"{model} read from one stack"
    save(memory_generations(drawn, y=y, title=title), path)
    print(f"wrote {path}", file=sys.stderr)


_SPEEDS = ("output_tok_s_user", "low", "high", "output_tok_s", "output_tok_s_stack")


def _cell(row: dict[str, Any], key: str, write_cell: Any) -> str:
    """A cell; speeds of grade D are marked as rough and have two digits."""
    if row.get("grade") == "D" and key in _SPEEDS:
        return f"~{text.number(row[key], 2)}"
    return str(write_cell(row.get(key)))


def _pair(low: float | None, digits: int = 2) -> str:
    return "-" if low is None else text.number(low, digits)


_COLUMNS: tuple[listing.Shown, ...] = (
    (Column("id", 100, right=False), "id", str),
    (Column("year", 75), "year", str),
    (Column("status", 60, right=False), "status", str),
    (Column("scope", 70, right=False), "scope", str),
    (Column("bits", 80), "bus_bits", lambda v: "-" if v is None else f"{v:,}"),
    (Column("pin rate", 85), "pin_rate_bit_s", lambda v: text.rate(v, "bit/s")),
    (Column("bandwidth", 95), "bandwidth_bytes_s", lambda v: text.rate(v, "B/s")),
    (Column("capacity", 90), "capacity_bytes", text.size),
    (Column("grade", 50, right=False), "grade", str),
)
_COMPARED: tuple[listing.Shown, ...] = (
    (Column("memory", 100, right=False), "memory", str),
    (Column("year", 55), "year", str),
    (Column("per", 60, right=False), "scope", str),
    (Column("bandwidth", 85), "bandwidth_bytes_s", lambda v: text.rate(v, "B/s")),
    (Column("capacity", 80), "capacity_bytes", text.size),
    (Column("tok/s each", 95), "output_tok_s_stack", text.number),
    (Column("to hold it", 90), "stacks_to_hold", lambda v: f"{v:,}"),
    (Column("tok/s of all", 82), "output_tok_s", text.number),
    (Column("J/token from", 75), "joule_per_token_low", _pair),
    (Column("to", 74), "joule_per_token_high", _pair),
    (Column("USD/M token from", 65), "usd_per_m_low", _pair),
    (Column("to", 64), "usd_per_m_high", _pair),
    (Column("grade", 92, right=False), "grade", str),
)
_ON_CHIP: tuple[listing.Shown, ...] = (
    (Column("memory", 100, right=False), "memory", str),
    (Column("bandwidth", 85), "bandwidth_bytes_s", lambda v: text.rate(v, "B/s")),
    (Column("capacity", 80), "capacity_bytes", text.size),
    (Column("chips", 90), "chips", str),
    (Column("tok/s/user", 95), "output_tok_s_user", text.number),
    (Column("from", 70), "low", text.number),
    (Column("to", 69), "high", text.number),
    (Column("tok/s", 75), "output_tok_s", text.number),
    (Column("J/token", 60), "joule_per_output_token", _pair),
    (Column("bound by", 50, right=False), "bound_by", str),
    (Column("grade", 92, right=False), "grade", str),
)
