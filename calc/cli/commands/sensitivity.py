"""`tokcalc sensitivity`: the ten inputs that matter most for a token's cost or speed, as table and bars."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ...errors import UsageError
from .. import money_options as m
from .. import options, text
from ..table import Column, render


def sensitivity(
    chip: m.Chips = None, model: m.Models = None,
    of: Annotated[str, typer.Option(metavar="FIGURE", help="cost, blended, speed or throughput.")] = "cost",
    top: Annotated[int, typer.Option(metavar="N", help="How many inputs to show.")] = 10,
    isl: m.Isl = None, osl: m.Osl = None, concurrency: m.Concurrency = None, min_speed: m.MinSpeed = None,
    max_ttft: m.MaxTtft = None, cache_hit: m.CacheHit = 0.0, weights: m.Weights = None,
    chips: m.Number = None,
    engine: m.Engine = None, rent: m.Rent = None, own: m.Own = False, price: m.PriceTerms = None,
    on: m.On = None,
    currency: m.Currency = "USD", fx: m.Fx = None, utilisation: m.Utilisation = 1.0, plot: m.Plot = None,
    json_: m.Json = False, export: m.Export = None,
) -> None:  # fmt: skip
    """The inputs that matter most, each from its low to its high end.

    tokcalc sensitivity --chip h100 --model llama-70b --own
    tokcalc sensitivity --chip h100 --model llama-70b --of speed
    """
    chip_names = options.names("--chip", chip, "h100", "chips")
    model_names = options.names("--model", model, "llama-70b", "models")
    if len(chip_names) > 1 or len(model_names) > 1:
        raise UsageError("sensitivity takes one chip and one model; ask once for each")
    if not 1 <= top <= 50:
        raise UsageError(f"--top {top} is outside 1 to 50")
    on = options.date("--on", on)
    from ...catalog import load_chip, load_model
    from ...explore.full_load import MIN_SPEED, load_lines, loaded
    from ...explore.sensitivity import METRICS, metric_of, tornado
    from ...money.hour import Terms

    if of not in METRICS:
        raise UsageError(f"--of {of!r} is not a figure of the answer; choose {', '.join(METRICS)}")
    for path in export or []:
        from ...report import check

        check(path)
    if plot:
        from ...report.plots import check as check_plot

        check_plot(plot)
    inputs: dict[str, float] | None = {} if own else None
    terms = Terms(rent, inputs, price, on, currency, fx).checked()
    question = m.workload(isl, osl, concurrency, cache_hit, weights, chips, engine, utilisation) | {
        "rent": rent, "price": price, "on": on, "currency": terms.currency, "fx": fx, "own": inputs,
    }  # fmt: skip
    device, network = load_chip(chip_names[0]), load_model(model_names[0])
    limit = (MIN_SPEED if min_speed is None else min_speed, max_ttft)
    answer = loaded(device, network, speed=limit[0], ttft=limit[1], **question).to_dict()
    swings = tornado(device, network, answer, question, terms, of, top)
    base = metric_of(answer, of)
    rows = [_row(swing) for swing in swings]
    unit = "tokens/s" if of in ("speed", "throughput") else terms.currency
    if json_:
        import json

        found = {"chip": device.id, "model": network.id, "of": of, "unit": unit, "base": base, "inputs": rows}
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        print()
    else:
        head = f"{load_lines(answer, *m.shown_limit(concurrency, *limit))}. {METRICS[of][0]}: {_figure(base)} {unit}."
        print("\n".join([*text.wrap(head, text.width()), "", *page(rows, base, unit, text.width())]))
    if export:
        from ...report import write

        for path in export:
            write(rows, path)
            print(f"wrote {path}", file=sys.stderr)
    if plot:
        from ...report.plots import save
        from ...report.plots.tornado import tornado as draw

        shown = [
            {"name": r["input"], **r, "low_text": _figure(r["low"]), "high_text": _figure(r["high"])} for r in rows
        ]
        title = f"{METRICS[of][0]}: {device.id} with {network.id}"
        save(draw(shown, base, title=title, x_title=f"{METRICS[of][0]} ({unit})"), plot)
        print(f"wrote {plot}", file=sys.stderr)


def _row(swing: Any) -> dict[str, Any]:
    item = swing.input
    return {
        "input": item.name, "unit": item.unit, "now": item.base, "low": item.low, "high": item.high,
        "at_low": swing.at_low, "at_high": swing.at_high, "swing": swing.size, "why": item.why,
    }  # fmt: skip


def _figure(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return text.number(value) if isinstance(value, float) else str(value)


def page(rows: Sequence[Mapping[str, Any]], base: float, unit: str, width: int) -> list[str]:
    """The table of inputs, then the bars about the value now, then where the ends come from."""
    cells = [
        [row["input"], _figure(row["now"]), _figure(row["low"]),
         _figure(row["high"]), _figure(row["at_low"]), _figure(row["at_high"]), f"{row['swing']:.0%}"]
        for row in rows
    ]  # fmt: skip
    titles = ("input", "now", "low", "high", "at low", "at high", "swing")
    lines = [render([Column(t, 20 - i, right=i > 0) for i, t in enumerate(titles)], cells, width), ""]
    lines += bars(rows, base, unit, width)
    lines += ["", "where the ends come from"]
    for row in rows:
        lines += text.wrap(str(row["why"]), width, f"  {row['input']}: ", "    ")
    return lines


def bars(rows: Sequence[Mapping[str, Any]], base: float, unit: str, width: int) -> list[str]:
    """A tornado of text: to the left what lowers the figure, to the right what raises it; < low, > high."""
    left = min(max((len(str(row["input"])) for row in rows), default=0), 38)
    room = max(20, width - left - 2)
    values = [v for row in rows for v in (row["at_low"], row["at_high"])] + [base]
    lowest, highest = min(values), max(values)
    span = (highest - lowest) or 1.0

    def place(value: float) -> int:
        share: float = (value - lowest) / span
        return round(share * (room - 1))

    middle = place(base)
    lines = []
    for row in rows:
        line = [" "] * room
        for end, mark in ((row["at_low"], "<"), (row["at_high"], ">")):
            there = place(end)
            for i in range(min(there, middle), max(there, middle) + 1):
                line[i] = mark
        line[middle] = "|"
        lines.append(f"{str(row['input'])[:left]:<{left}}  {''.join(line).rstrip()}")
    span_text = f"{_figure(lowest)} to {_figure(highest)} {unit}, | is {_figure(base)}"
    scale = f"{span_text}; < the input's low end, > its high end"
    return [*lines, *text.wrap(scale, width, " " * (left + 2))]
