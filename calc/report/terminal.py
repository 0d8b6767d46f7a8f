"""Plain text tables that fit the terminal: the least important columns go first, and the table says which.

No colour and no borders, so that the text can be piped, pasted and compared.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .rows import Column, Columns, as_table, cell_text, is_number

GAP = 2
NARROWEST = 8


@dataclass(frozen=True)
class Layout:
    """A drawn table: `text` without a final line feed, the labels `dropped`, and the `note` on them."""

    text: str
    dropped: list[str]
    note: str


def layout(
    rows: Any,
    columns: Columns | None = None,
    width: int = 80,
    *,
    priority: Sequence[str] = (),
    rough: Collection[tuple[int, str]] = (),
) -> Layout:
    """A table of at most `width` display columns.

    columns: keys in the order shown, or a mapping of key to label; a label may be set on several lines at
    its spaces.
    priority: keys, most important first; the others follow in the order shown. The last ones are dropped
    until the rest fits, and the most important column is cut with an ellipsis when even that one is too
    wide.
    rough: (row, key) of numbers of which little is known: two digits behind a "~", not three.
    Raises UsageError for an unknown column.
    """
    made = as_table(rows, columns)
    blocks = [_block(column, {row for row, key in rough if key == column.key}) for column in made.columns]
    keys = [column.key for column in made.columns]
    ranked = [key for key in dict.fromkeys(priority) if key in keys]
    ranked += [key for key in keys if key not in ranked]
    kept: set[str] = set()
    used = -GAP
    for key in ranked:
        need = blocks[keys.index(key)].width + GAP
        if kept and used + need > width:
            break
        kept.add(key)
        used += need
    shown = [block for key, block in zip(keys, blocks, strict=True) if key in kept]
    if len(shown) == 1 and shown[0].width > width:
        shown = [shown[0].cut(max(width, 1))]
    dropped = [column.label for column in made.columns if column.key not in kept]
    note = ""
    if dropped:
        noun = "column" if len(dropped) == 1 else "columns"
        note = "\n".join(wrap(f"({len(dropped)} {noun} left out to fit {width}: {', '.join(dropped)})", width))
    return Layout(_join(shown, made.length), dropped, note)


@dataclass(frozen=True)
class _Block:
    """One column as text: header lines, cells, and whether they stand on the right."""

    header: list[str]
    cells: list[str]
    right: bool

    @property
    def width(self) -> int:
        return max((display_width(text) for text in (*self.header, *self.cells)), default=0)

    def cut(self, width: int) -> _Block:
        return _Block([cut(text, width) for text in self.header], [cut(text, width) for text in self.cells], self.right)


def _block(column: Column, rough: Collection[int]) -> _Block:
    cells = [_cell(value, place in rough) for place, value in enumerate(column.values)]
    widest = max((display_width(text) for text in cells), default=0)
    header = wrap(clean(column.label), max(widest, NARROWEST))
    return _Block([*header, *([clean(column.unit)] if column.unit else [])], cells, column.numeric)


def _cell(value: Any, rough: bool) -> str:
    if value is None:
        return "-"
    if is_number(value):
        return rough_number(value) if rough else short_number(value)
    return clean(cell_text(value))


def _join(blocks: list[_Block], length: int) -> str:
    if not blocks:
        return ""
    depth = max(len(block.header) for block in blocks)
    headers = [[""] * (depth - len(block.header)) + block.header for block in blocks]
    lines = [[header[place] for header in headers] for place in range(depth)]
    lines.append(["-" * block.width for block in blocks])
    lines += [[block.cells[row] for block in blocks] for row in range(length)]
    return "\n".join(
        (" " * GAP).join(pad(text, block.width, block.right) for text, block in zip(line, blocks, strict=True)).rstrip()
        for line in lines
    )


def short_number(value: int | float) -> str:
    """A number to three significant digits, integers and thousands whole: 1,234  12.3  0.0456  1.2e-07."""
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        return f"{value:.3g}"
    digits = max(0, 2 - math.floor(math.log10(size)))
    return f"{value:,.{digits}f}"


def rough_number(value: int | float) -> str:
    """A number to two significant digits behind a "~": ~1,200  ~12  ~0.046."""
    if not math.isfinite(value) or not 1e-4 <= abs(value) < 1e15:
        return "~" + (f"{value:.2g}" if math.isfinite(value) else short_number(value))
    rounded = float(f"{value:.2g}")
    return f"~{rounded:,.{max(0, 1 - math.floor(math.log10(abs(rounded))))}f}"


def clean(text: str) -> str:
    """Text on one line, composed (NFC), without signs that would move the cursor or colour the screen."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(" " if sign in "\t\r\n" else sign for sign in composed if sign in "\t\r\n" or not _control(sign))


def _control(sign: str) -> bool:
    return (
        unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
        or sign in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def display_width(text: str) -> int:
    """Columns that text takes in a terminal: two for a wide (CJK) character, none for a combining one.

    Source: Unicode Standard Annex 11, East Asian Width.
    """
    return len(text) if text.isascii() else sum(_width(sign) for sign in text)


def _width(sign: str) -> int:
    if unicodedata.category(sign) in ("Mn", "Me", "Cf") or "\u1160" <= sign <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in ("W", "F") else 1


def cut(text: str, width: int) -> str:
    """Text of at most `width` columns, ended by an ellipsis where something is missing."""
    if display_width(text) <= width:
        return text
    kept, used = "", 0
    for sign in text:
        used += _width(sign)
        if used > width - 1:
            break
        kept += sign
    return kept + "…"


def pad(text: str, width: int, right: bool = False) -> str:
    """Text filled with spaces to `width` columns, on the left when `right`."""
    fill = " " * (width - display_width(text))
    return fill + text if right else text + fill


def wrap(text: str, width: int) -> list[str]:
    """Text in lines of at most `width` columns, broken at spaces; a longer word keeps a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and display_width(lines[-1]) + 1 + display_width(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines or [""]
