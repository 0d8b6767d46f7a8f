"""What all plots share: colours, fonts, sizes, axis titles, and reading columns out of rows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import UsageError
from ..export import need
from ..rows import plain, records

# A page is about 700 pixels wide; the plot gives way to the axis on its left and the labels on its right.
PAGE, WIDTH, HEIGHT, LEFT = 720, 520, 360, 76
FONT_SIZE = 12
FONT = "Noto Sans, Segoe UI, Helvetica, Arial, Noto Sans CJK KR, Malgun Gothic, Apple SD Gothic Neo, sans-serif"
INK, GREY, GRID = "#222222", "#777777", "#e6e6e6"

# Okabe and Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/ ; yellow is last because it
# is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# The same hues dark enough for text on white (contrast of 4.5 or more, WCAG 2.1).
TEXT_COLOURS = ("#0072B2", "#B54F00", "#00795A", "#A8447B", "#8F6300", "#1F78A8", "#000000", "#746C00")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])

TITLES = {
    "output_tok_s_user": "speed per user (tok/s)",
    "output_tok_s_chip": "throughput per chip (tok/s)",
    "output_tok_s": "throughput (tok/s)",
    "input_tok_s": "prefill throughput (tok/s)",
    "ttft_s": "time to first token (s)",
    "tpot_s": "time per output token (s)",
    "batch": "batch (sequences in a step)",
    "concurrency": "requests in flight",
    "context": "context (tokens)",
    "isl": "input length (tokens)",
    "osl": "output length (tokens)",
    "per_m_output": "cost per million output tokens ({currency})",
    "per_m_input": "cost per million input tokens ({currency})",
    "per_m_blended": "cost per million tokens, input and output ({currency})",
    "memory": "memory generation",
    "year": "year",
    "date": "date",
    "chips": "chips",
}


def altair() -> Any:
    """The Altair module; UsageError with the extra to install when it is missing."""
    return need("altair", "plotting", "plot")


def title_of(key: str, currency: str = "USD") -> str:
    """The axis title of a field: its known title with the unit, else its name."""
    name = _short(key)
    return TITLES.get(name, name.replace("_", " ")).format(currency=currency)


def colour_scale(names: Sequence[str]) -> Any:
    """A colour for each name, by its place."""
    return altair().Scale(domain=list(names), range=[COLOURS[place % len(COLOURS)] for place in range(len(names))])


def text_colour(name: str, names: Sequence[str]) -> str:
    """The tone for text about a name: the dark one of its hue, grey for a name outside the list."""
    return TEXT_COLOURS[list(names).index(name) % len(TEXT_COLOURS)] if name in names else "#5f5f5f"


def dash_scale(names: Sequence[str]) -> Any:
    """A dash pattern for each name: solid until the colours begin again."""
    steps = [DASHES[place // len(COLOURS) % len(DASHES)] for place in range(len(names))]
    return altair().Scale(domain=list(names), range=steps)


def data(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows as inline data of a chart."""
    return altair().Data(values=[dict(row) for row in rows])


def _short(key: str) -> str:
    parts = key.split(".")
    return parts[-2] if len(parts) > 1 and parts[-1] == "value" else parts[-1]


def find(rows: Sequence[Mapping[str, Any]], name: str, *, needed: bool = True) -> str | None:
    """The key of column `name`: or of a dotted key that ends in it (`speed.tpot_s`, `speed.tpot_s.value`).

    Raises UsageError when it is needed and missing.
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    if name in keys:
        return name
    ending = [key for key in keys if key.endswith("." + name) or key.endswith(f".{name}.value")]
    if ending:
        return ending[0]
    if needed:
        near = difflib.get_close_matches(name, keys, n=3, cutoff=0.4) or list(keys)[:8]
        raise UsageError(f"cannot plot: no column {name!r} in these rows; nearest: {', '.join(near) or 'none'}.")
    return None


def read(
    rows: Any, numbers: Sequence[str], texts: Sequence[str] = (), optional: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Rows reduced to the named columns, under these names, without those in which a number is missing.

    numbers: needed and finite. texts: missing ones become "". optional: missing ones become None.
    Raises UsageError for a missing number column, or when no row is left.
    """
    found = records(rows)
    if not found:
        raise UsageError("cannot plot: there are no rows.")
    keys = {name: find(found, name) for name in numbers}
    keys |= {name: find(found, name, needed=False) for name in (*texts, *optional)}
    kept = []
    for row in found:
        values = {name: plain(row.get(key)) if key else None for name, key in keys.items()}
        if all(finite(values[name]) for name in numbers):
            values |= {name: "" if values[name] is None else str(values[name]) for name in texts}
            kept.append(values)
    if not kept:
        raise UsageError(f"cannot plot: no row has a number in {' and '.join(numbers)}.")
    return kept


def finite(value: Any) -> bool:
    """True for a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def finish(chart: Any, title: str | None, subtitle: str | None = None) -> Any:
    """The chart with its title and the common looks."""
    if title:
        params = {"text": title, "anchor": "start", "frame": "group", "fontSize": 14, "fontWeight": 600, "offset": 10}
        if subtitle:
            params |= {"subtitle": subtitle, "subtitleColor": GREY, "subtitleFontSize": FONT_SIZE}
        chart = chart.properties(title=altair().TitleParams(**params), description=title)
    sizes = {"labelFontSize": FONT_SIZE, "titleFontSize": FONT_SIZE, "titleFontWeight": "normal"}
    inks = {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": GREY, "tickColor": GREY}
    return (
        chart.configure(font=FONT, background="white", padding=12)
        .configure_view(stroke=None)
        .configure_axis(**sizes, **inks, titlePadding=8, labelLimit=240)
        .configure_header(labelFontSize=FONT_SIZE, labelColor=INK, titleColor=INK)
        .configure_text(fontSize=FONT_SIZE - 1)
    )
