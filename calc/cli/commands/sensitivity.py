"""`tokcalc sensitivity`: the ten inputs that matter most for a token's cost or speed, as table and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...catalog import load_chip, load_model
from ...errors import UsageError
from ...explore.full_load import load_lines, loaded
from ...explore.sensitivity import METRICS, Swing, metric_of, tornado
from ...report.plots.tornado import tornado as draw
from .. import money as m
from .. import options as o
from .. import text
from ..output import Drawn
from ..table import Column, item, tabulate

Row = Mapping[str, Any]


class Of(o.Pair):
    """Which figure of which machine."""

    of: str = o.option("cost", "cost, blended, speed or throughput.", "FIGURE")
    top: int = o.option(10, "How many inputs to show.", "N")
    utilisation: float = o.UTILISATION


def sensitivity(ask: Of, load: m.Load, hour: o.Hour, out: Drawn) -> None:
    """The inputs that matter most, each from its low to its high end.

    tokcalc sensitivity --chip h100 --model llama-70b --own
    tokcalc sensitivity --chip h100 --model llama-70b --of speed
    """
    chips, models, of = ask.chips(), ask.models(), ask.of
    if len(chips) > 1 or len(models) > 1:
        raise UsageError("sensitivity takes one chip and one model; ask once for each")
    if not 1 <= ask.top <= 50:
        raise UsageError(f"--top {ask.top} is outside 1 to 50")
    if of not in METRICS:
        raise UsageError(f"--of {of!r} is not a figure of the answer; choose {', '.join(METRICS)}")
    out.check()
    terms = m.terms_of(hour, m.owned(hour))
    question = load.question(terms, ask.utilisation)
    device, network = load_chip(chips[0]), load_model(models[0])
    answer = loaded(device, network, **load.limit(), **question).to_dict()
    rows = [row_of(swing) for swing in tornado(device, network, answer, question, terms, of, ask.top)]
    base, name = metric_of(answer, of), METRICS[of][0]
    unit = "tokens/s" if of in ("speed", "throughput") else terms.currency

    def page(width: int) -> list[str]:
        head = f"{load_lines(answer)}. {name}: {_figure(base)} {unit}."
        return [*text.wrap(head, width), "", *_page(rows, base, unit, width)]

    def chart() -> Any:
        ends = ("low", "high")
        shown = [{"name": r["input"], **r, **{f"{end}_text": _figure(r[end]) for end in ends}} for r in rows]
        return draw(shown, base, title=f"{name}: {device.id} with {network.id}", x_title=f"{name} ({unit})")

    out.write(rows)
    out.draw(chart)
    out.show({"chip": device.id, "model": network.id, "of": of, "unit": unit, "base": base, "inputs": rows}, page)


def row_of(swing: Swing) -> dict[str, Any]:
    """One input with its ends and what they make of the figure."""
    of = swing.input
    ends = {"now": of.base, "low": of.low, "high": of.high, "at_low": swing.at_low, "at_high": swing.at_high}
    return {"input": of.name, "unit": of.unit, **ends, "swing": swing.size, "why": of.why}


def _figure(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return text.number(value) if isinstance(value, float) else str(value)


_COLUMNS = (
    Column("input", 20, False, item("input")),
    Column("now", 19, cell=item("now", _figure)),
    Column("low", 18, cell=item("low", _figure)),
    Column("high", 17, cell=item("high", _figure)),
    Column("at low", 16, cell=item("at_low", _figure)),
    Column("at high", 15, cell=item("at_high", _figure)),
    Column("swing", 14, cell=item("swing", "{:.0%}".format)),
)


def _page(rows: Sequence[Row], base: float, unit: str, width: int) -> list[str]:
    """The table of inputs, then the bars about the value now, then where the ends come from."""
    lines = [tabulate(_COLUMNS, rows, width), "", *_bars(rows, base, unit, width), "", "where the ends come from"]
    for row in rows:
        lines += text.wrap(str(row["why"]), width, f"  {row['input']}: ", "    ")
    return lines


def _bars(rows: Sequence[Row], base: float, unit: str, width: int) -> list[str]:
    """A tornado of text: to the left what lowers the figure, to the right what raises it; < low, > high."""
    left = min(max((len(str(row["input"])) for row in rows), default=0), 38)
    room = max(20, width - left - 2)
    ends = [value for row in rows for value in (row["at_low"], row["at_high"])] + [base]
    lowest, highest = min(ends), max(ends)
    span = (highest - lowest) or 1.0

    def place(value: float) -> int:
        return round((value - lowest) / span * (room - 1))

    middle, lines = place(base), []
    for row in rows:
        line = [" "] * room
        for end, mark in ((row["at_low"], "<"), (row["at_high"], ">")):
            first, last = sorted((place(end), middle))
            line[first : last + 1] = mark * (last - first + 1)
        line[middle] = "|"
        lines.append(f"{str(row['input'])[:left]:<{left}}  {''.join(line).rstrip()}")
    scale = f"{_figure(lowest)} to {_figure(highest)} {unit}, | is {_figure(base)}"
    return [*lines, *text.wrap(f"{scale}; < the input's low end, > its high end", width, " " * (left + 2))]
