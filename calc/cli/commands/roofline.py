"""`tokcalc roofline`: memory and compute roofs of chips, and where a model's operators stand under them."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import NoAnswer, UsageError
from .. import options, text
from ..table import Column, render, short_what_ifs, what_ifs

if TYPE_CHECKING:
    from ...hardware.chip import Chip

_Text = str | None
_question, _deployment, _output = (
    partial(typer.Option, rich_help_panel=title) for title in ("Question", "Deployment", "Output")
)
MOST_CHIPS, MOST_BATCHES = 6, 12
MOST_OPERATORS = 2  # of each chip in a plot of several
WANTED = ("bf16", "fp8", "fp16", "int8", "fp32")


def roofline(
    chip: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Chips whose roofs are drawn.")] = None,
    model: Annotated[_Text, _question(metavar="NAME", help="Model whose operators are points.")] = None,
    batch: Annotated[str, _question(metavar="N[,N]", help="Sequences in a decode step: 1,16,256.")] = "1,16,256",
    context: Annotated[str, _question(metavar="TOKENS", help="Tokens cached by a sequence.")] = "2048",
    prefill: Annotated[bool, _question("--prefill", help="A prompt of --context tokens instead.")] = False,
    weights: Annotated[_Text, _deployment(metavar="TYPE", help="Data type of the weights.")] = None,
    kv: Annotated[_Text, _deployment(metavar="TYPE", help="Data type of the KV cache.")] = None,
    tp: Annotated[int, _deployment(metavar="N", help="Tensor-parallel degree.")] = 1,
    dtype: Annotated[_Text, _deployment(metavar="TYPES", help="Roofs to draw: bf16,fp8; else those in use.")] = None,
    memory: Annotated[_Text, _deployment(metavar="NAME", help="Swap the memory generation: hbm4, ...")] = None,
    set_: Annotated[
        list[str] | None, _deployment("--set", metavar="PATH=VALUE", help="Override a field of the chips.")
    ] = None,
    plot: Annotated[_Text, _output(metavar="FILE", help="Roofline: .svg .png .html .pdf.")] = None,
    json_: Annotated[bool, _output("--json", help="Print roofs and operators as JSON.")] = False,
    export: Annotated[list[str] | None, _output(metavar="FILE", help="Also write the operators.")] = None,
) -> None:
    """Draw the roofline of one or several chips with the operators of a model as points.

    tokcalc roofline --chip h100,b200 --model llama-70b --batch 1,16,256 --plot roofline.svg
    """
    from ...catalog import load_chip, load_model
    from ...physics.parallel import check_heads, rank_cores

    for path in export or []:
        from ...report import check

        check(path)
    if plot is not None:
        from ...report.plots import check as check_plot

        check_plot(plot)
    names = options.names("--chip", chip, "h100", "chips")
    if len(names) > MOST_CHIPS:
        raise UsageError(f"{len(names)} chips are too many for one roofline; name at most {MOST_CHIPS}")
    overrides = options.assignments(set_ or []) or None
    chips = [load_chip(name, overrides, memory) for name in names]
    for one in chips:
        if not one.bandwidth_bytes_s:
            raise NoAnswer(f"no memory bandwidth of {one.name} is published, so it has no roofline; give it with --set")
    batches = [options.length("--batch", word) for word in batch.split(",")]
    if len(batches) > MOST_BATCHES:
        raise UsageError(f"{len(batches)} batches are too many for one roofline; give at most {MOST_BATCHES}")
    tokens = options.length("--context", context)
    points: list[dict[str, Any]] = []
    if model is not None:
        network = load_model(options.names("--model", model, "llama-70b", "models")[0])
        for one in chips:
            check_heads(network, tp, rank_cores(one))
            made = _operators(
                one, network, weights, kv, options.length("--tp", str(tp), 1024), batches, tokens, prefill
            )
            points += [row | _asked(one) for row in made]
    roofs = [roof | _asked(one) for one in chips for roof in _roofs(one, dtype, points)]
    notes = [one.what_if_note for one in chips if one.what_if_note]
    if export:
        from ...report import write

        for path in export:
            write(points or roofs, path, title="roofline", units={"intensity": "FLOP/B", "flops": "FLOP", "bytes": "B"})
            print(f"wrote {path}", file=sys.stderr)
    if plot is not None:
        from ...report.plots import roofline as draw
        from ...report.plots import save

        what = "prompt" if prefill else "decode"
        title = (
            None if model is None else f"{network.name}, {what}, {tokens:,} tokens of context" + f", TP{tp}" * (tp > 1)
        )
        drawn, note = (points, None) if len(chips) == 1 else _longest(points)
        subtitle = "; ".join(said for said in (short_what_ifs(notes), note) if said) or None
        save(draw(roofs, drawn, title=title, subtitle=subtitle), plot)
        print(f"wrote {plot}", file=sys.stderr)
    if json_:
        shown = {"what_if": notes, "roofs": roofs, "operators": points}
        json.dump(shown, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    else:
        lines = [line for note in what_ifs(notes) for line in text.wrap(note, text.width())]
        print("\n".join([*lines, *([""] if lines else []), *_report(roofs, points, text.width())]))


def _asked(chip: Chip) -> dict[str, str]:
    """What a row says of a chip that was asked otherwise than it is built."""
    return {"what_if": chip.what_if_note} if chip.what_if_note else {}


def _roofs(chip: Chip, asked: _Text, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The roofs asked for, else those that the operators stand under, else the common ones of the chip."""
    used = {point["dtype"] for point in points if point["chip"] == chip.id}
    if asked is not None:
        names = [word.strip().lower() for word in asked.split(",")]
        missing = [name for name in names if name not in chip.peak_ops_s]
        if missing:
            raise UsageError(f"{chip.name} has no {missing[0]} peak; there are {', '.join(chip.peak_ops_s)}")
    else:
        names = [name for name in chip.peak_ops_s if name in used]
        names = names or [name for name in WANTED if name in chip.peak_ops_s][:2] or list(chip.peak_ops_s)[:1]
    return [
        {
            "chip": chip.id,
            "dtype": name,
            "peak_ops_s": chip.peak_ops_s[name],
            "bandwidth_bytes_s": chip.bandwidth_bytes_s,
            "ridge": chip.peak_ops_s[name] / (chip.bandwidth_bytes_s or 1.0),
        }
        for name in names
    ]


def _operators(
    chip: Chip, model: Any, weights: _Text, kv: _Text, tp: int, batches: list[int], tokens: int, prefill: bool
) -> list[dict[str, Any]]:
    """Operators of one pass at each batch, layers summed: FLOPs, bytes, seconds with and without floors."""
    from ...engines.constants import load_constants
    from ...engines.engine import find_engine
    from ...physics.operators import component_formats
    from ...physics.parallel import Plan
    from ...physics.passes import decode_operators, prompt_operators
    from ...physics.step import ideal_terms, term_time
    from ...serving.precision import choose_formats

    constants = load_constants()
    weights, kv, _ = choose_formats(chip, model, find_engine(constants, None), weights, kv)
    fmt, plan = component_formats(model, weights, kv), Plan(tp, 1, 1, 1)
    made: list[dict[str, Any]] = []
    for size in batches:
        if prefill:
            listed = prompt_operators(model, plan, fmt, float(size), float(tokens))
        else:
            listed = decode_operators(model, plan, fmt, float(size), float(tokens))
        rows: dict[str, dict[str, Any]] = {}
        for op, term in zip(listed, ideal_terms(listed, chip), strict=True):
            if term.collective or not float(op.flops) > 0:
                continue
            row = rows.setdefault(
                op.name,
                {"chip": chip.id, "operator": op.name, "batch": size, "dtype": term.roof, "flops": 0.0,
                "bytes": 0.0,
                 "seconds": 0.0},
            )  # fmt: skip
            row["flops"] += float(op.count) * float(op.flops)
            row["bytes"] += float(op.count) * float(op.bytes)
            row["seconds"] += float(term_time(term, chip, constants))
        for row in rows.values():
            row["intensity"] = row["flops"] / row["bytes"]
            row["ops_s"] = row["flops"] / row["seconds"]
        made += rows.values()
    return made


def _longest(points: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str | None]:
    """The operators that take most of the time, few enough to be told apart on the roofs of several chips."""
    totals: dict[str, float] = {}
    for point in points:
        totals[point["operator"]] = totals.get(point["operator"], 0.0) + point["seconds"]
    kept = sorted(totals, key=lambda name: -totals[name])[:MOST_OPERATORS]
    note = f"the {len(kept)} operators that take most of the time" if len(kept) < len(totals) else None
    return [point for point in points if point["operator"] in kept], note


def _report(roofs: list[dict[str, Any]], points: list[dict[str, Any]], width: int) -> list[str]:
    columns = [Column("chip", 100, right=False), Column("type", 90, right=False), Column("peak", 80)]
    columns += [Column("bandwidth", 70), Column("ridge FLOP/B", 60)]
    cells = [
        (r["chip"], r["dtype"], text.ops(r["peak_ops_s"], r["dtype"]), text.rate(r["bandwidth_bytes_s"],
        "B/s"),
         text.number(r["ridge"]))
        for r in roofs
    ]  # fmt: skip
    lines = [render(columns, cells, width)]
    if points:
        columns = [
            Column("chip", 60, right=False), Column("operator", 100, right=False), Column("batch", 95),
            Column("FLOP/B", 90), Column("rate", 85), Column("of roof", 80), Column("time", 75),
            Column("under", 65, right=False),
        ]  # fmt: skip
        by = {(r["chip"], r["dtype"]): r for r in roofs}
        drawn = []
        for p in points:
            roof = by.get((p["chip"], p["dtype"])) or next(r for r in roofs if r["chip"] == p["chip"])
            ceiling = min(roof["peak_ops_s"], p["intensity"] * roof["bandwidth_bytes_s"])
            under = "compute" if p["intensity"] > roof["ridge"] else "memory"
            drawn.append(
                (p["chip"], p["operator"], f"{p['batch']:,}", text.number(p["intensity"]),
                 text.ops(p["ops_s"], p["dtype"]), f"{100 * p['ops_s'] / ceiling:.0f} %",
                 text.seconds(p["seconds"]), under)
            )  # fmt: skip
        lines += ["", render(columns, drawn, width), "", *_small(roofs, points, width)]
    return lines


def _small(roofs: list[dict[str, Any]], points: list[dict[str, Any]], width: int) -> list[str]:
    """Operators and the roof of the first chip in the terminal."""
    from ...report.terminal_plot import scatter

    roof = roofs[0]
    own = [(p["intensity"], p["ops_s"] / 1e12) for p in points if p["chip"] == roof["chip"]]
    low, high = min(x for x, _ in own) / 2, max(max(x for x, _ in own), roof["ridge"]) * 3
    steps = [low * (high / low) ** (i / 60) for i in range(61)]
    line = [(x, min(roof["peak_ops_s"], x * roof["bandwidth_bytes_s"]) / 1e12) for x in steps]
    series = {f"roof of {roof['chip']}, {roof['dtype']}": line, "operators": own}
    return scatter(
        series, width=min(width, 76), height=14, log_x=True, log_y=True, x_title="FLOP/byte", y_title="TFLOP/s"
    ).splitlines()
