"""`tokcalc roofline`: memory and compute roofs of chips, and where a model's operators stand under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...catalog import load_chip, load_model
from ...engines.constants import load_constants
from ...engines.engine import find_engine
from ...errors import NoAnswer, UsageError
from ...hardware.chip import Chip
from ...models.model import Model
from ...physics.operators import component_formats
from ...physics.parallel import Plan, check_heads, rank_cores
from ...physics.passes import decode_operators, prompt_operators
from ...physics.step import ideal_terms, term_time
from ...report.plots import roofline as draw
from ...report.terminal_plot import scatter
from ...serving.precision import choose_formats
from .. import options as o
from .. import text, values
from ..output import Drawn
from ..table import Column, item, noted, short_what_ifs, tabulate

MOST_CHIPS, MOST_BATCHES = 6, 12
MOST_OPERATORS = 2  # of each chip in a plot of several
WANTED = ("bf16", "fp8", "fp16", "int8", "fp32")
_UNITS = {"intensity": "FLOP/B", "flops": "FLOP", "bytes": "B"}
Row = dict[str, Any]


class Pass(o.Pair):
    """One pass of a model."""

    model: o.Text = o.MODEL
    batch: str = o.question("1,16,256", "Sequences in a decode step: 1,16,256.", "N[,N]")
    context: str = o.question("2048", "Tokens cached by a sequence.", "TOKENS")
    prefill: bool = o.question(False, "A prompt of --context tokens instead.")
    weights: o.Text = o.WEIGHTS
    kv: o.Text = o.KV
    tp: int = o.deployment(1, "Tensor-parallel degree.", "N")
    dtype: o.Text = o.deployment(None, "Roofs to draw: bf16,fp8; else those in use.", "TYPES")


def roofline(ask: Pass, what_if: o.WhatIf, out: Drawn) -> None:
    """Draw the roofline of one or several chips with the operators of a model as points.

    tokcalc roofline --chip h100,b200 --model llama-70b --batch 1,16,256 --plot roofline.svg
    """
    out.check()
    names = ask.chips()
    if len(names) > MOST_CHIPS:
        raise UsageError(f"{len(names)} chips are too many for one roofline; name at most {MOST_CHIPS}")
    chips = [load_chip(name, **what_if.keywords()) for name in names]
    for one in chips:
        if not one.bandwidth_bytes_s:
            raise NoAnswer(f"no memory bandwidth of {one.name} is published, so it has no roofline; give it with --set")
    batches = [values.length("--batch", word) for word in ask.batch.split(",")]
    if len(batches) > MOST_BATCHES:
        raise UsageError(f"{len(batches)} batches are too many for one roofline; give at most {MOST_BATCHES}")
    tokens = values.length("--context", ask.context)
    points: list[Row] = []
    title = None
    if ask.model is not None:
        network = load_model(ask.models()[0])
        what, cut = "prompt" if ask.prefill else "decode", f", TP{ask.tp}" * (ask.tp > 1)
        title = f"{network.name}, {what}, {tokens:,} tokens of context{cut}"
        for one in chips:
            check_heads(network, ask.tp, rank_cores(one))
            values.number_of("--tp", ask.tp, 1024)
            points += [row | _asked(one) for row in _operators(one, network, ask, batches, tokens)]
    roofs = [roof | _asked(one) for one in chips for roof in _roofs(one, ask.dtype, points)]
    notes = [one.what_if_note for one in chips if one.what_if_note]

    def chart() -> Any:
        drawn, note = (points, None) if len(chips) == 1 else _longest(points)
        subtitle = "; ".join(said for said in (short_what_ifs(notes), note) if said) or None
        return draw(roofs, drawn, title=title, subtitle=subtitle)

    out.write(points or roofs, title="roofline", units=_UNITS)
    out.draw(chart)
    found = {"what_if": notes, "roofs": roofs, "operators": points}
    out.show(found, lambda width: [*noted(notes, width), *_page(roofs, points, width)])


def _asked(chip: Chip) -> dict[str, str]:
    """What a row says of a chip that was asked otherwise than it is built."""
    return {"what_if": chip.what_if_note} if chip.what_if_note else {}


def _roofs(chip: Chip, asked: str | None, points: Sequence[Row]) -> list[Row]:
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


def _operators(chip: Chip, model: Model, ask: Pass, batches: Sequence[int], tokens: int) -> list[Row]:
    """Operators of one pass at each batch, layers summed: FLOPs, bytes, seconds with and without floors."""
    constants = load_constants()
    weights, kv, _ = choose_formats(chip, model, find_engine(constants, None), ask.weights, ask.kv)
    fmt, plan = component_formats(model, weights, kv), Plan(ask.tp, 1, 1, 1)
    made: list[Row] = []
    for size in batches:
        listed = (prompt_operators if ask.prefill else decode_operators)(model, plan, fmt, float(size), float(tokens))
        rows: dict[str, Row] = {}
        for op, term in zip(listed, ideal_terms(listed, chip), strict=True):
            if term.collective or not float(op.flops) > 0:
                continue
            named = {"chip": chip.id, "operator": op.name, "batch": size, "dtype": term.roof}
            row = rows.setdefault(op.name, {**named, "flops": 0.0, "bytes": 0.0, "seconds": 0.0})
            row["flops"] += float(op.count) * float(op.flops)
            row["bytes"] += float(op.count) * float(op.bytes)
            row["seconds"] += float(term_time(term, chip, constants))
        for row in rows.values():
            row["intensity"] = row["flops"] / row["bytes"]
            row["ops_s"] = row["flops"] / row["seconds"]
        made += rows.values()
    return made


def _longest(points: Sequence[Row]) -> tuple[list[Row], str | None]:
    """The operators that take most of the time, few enough to be told apart on the roofs of several chips."""
    totals: dict[str, float] = {}
    for point in points:
        totals[point["operator"]] = totals.get(point["operator"], 0.0) + point["seconds"]
    kept = sorted(totals, key=lambda name: -totals[name])[:MOST_OPERATORS]
    note = f"the {len(kept)} operators that take most of the time" if len(kept) < len(totals) else None
    return [point for point in points if point["operator"] in kept], note


_ROOFS = (
    Column("chip", 100, False, item("chip")),
    Column("type", 90, False, item("dtype")),
    Column("peak", 80, cell=lambda r: text.ops(r["peak_ops_s"], r["dtype"])),
    Column("bandwidth", 70, cell=item("bandwidth_bytes_s", lambda v: text.rate(v, "B/s"))),
    Column("ridge FLOP/B", 60, cell=item("ridge", text.number)),
)


def _page(roofs: Sequence[Row], points: Sequence[Row], width: int) -> list[str]:
    """The roofs, the operators, and those of the first chip in a small plot."""
    lines = [tabulate(_ROOFS, roofs, width)]
    if not points:
        return lines

    def roof(point: Row) -> Mapping[str, Any]:
        own = [r for r in roofs if r["chip"] == point["chip"]]
        return next((r for r in reversed(own) if r["dtype"] == point["dtype"]), own[0])

    def reached(point: Row) -> str:
        ceiling = min(roof(point)["peak_ops_s"], point["intensity"] * roof(point)["bandwidth_bytes_s"])
        return f"{100 * point['ops_s'] / ceiling:.0f} %"

    operators = (
        Column("chip", 60, False, item("chip")),
        Column("operator", 100, False, item("operator")),
        Column("batch", 95, cell=item("batch", "{:,}".format)),
        Column("FLOP/B", 90, cell=item("intensity", text.number)),
        Column("rate", 85, cell=lambda p: text.ops(p["ops_s"], p["dtype"])),
        Column("of roof", 80, cell=reached),
        Column("time", 75, cell=item("seconds", text.seconds)),
        Column("under", 65, False, lambda p: "compute" if p["intensity"] > roof(p)["ridge"] else "memory"),
    )
    return [*lines, "", tabulate(operators, points, width), "", *_small(roofs[0], points, width)]


def _small(roof: Row, points: Sequence[Row], width: int) -> list[str]:
    """A roof and the operators of its chip in the terminal."""
    own = [(p["intensity"], p["ops_s"] / 1e12) for p in points if p["chip"] == roof["chip"]]
    low, high = min(x for x, _ in own) / 2, max(max(x for x, _ in own), roof["ridge"]) * 3
    steps = [low * (high / low) ** (i / 60) for i in range(61)]
    line = [(x, min(roof["peak_ops_s"], x * roof["bandwidth_bytes_s"]) / 1e12) for x in steps]
    series = {f"roof of {roof['chip']}, {roof['dtype']}": line, "operators": own}
    return scatter(series, ("FLOP/byte", "TFLOP/s"), width=min(width, 76), height=14, log=True).splitlines()
