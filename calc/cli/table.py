"""Rows of texts -> a table for a terminal: drops the least important columns until it fits, says which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .text import paragraphs, wrap

_GAP = "  "
_REASON_WIDTH = 24
_AS_BUILT = "; all else, prices too, as"
MOST_NOTES = 3


@dataclass(frozen=True)
class Column:
    """One column: its title, its importance (the least is dropped first) and whether it holds numbers.

    cell: what of a record stands in it, where `tabulate` draws the table.
    """

    title: str
    importance: int = 0
    right: bool = True
    cell: Callable[[Any], str] = str


@dataclass(frozen=True)
class Spanning:
    """A row whose first cells are followed by one text across the rest, as "does not fit because ..."."""

    cells: tuple[str, ...]
    text: str


Row = Sequence[str] | Spanning


def render(columns: Sequence[Column], rows: Sequence[Row], width: int = 80) -> str:
    """The table in lines of at most `width` columns; a last line names the columns that were dropped.

    A Spanning row's cells belong to the first columns; of those that were dropped it shows none.
    """
    kept = list(range(len(columns)))
    while len(kept) > 1 and _total(columns, rows, kept) > width:
        kept.remove(min(kept, key=lambda i: (columns[i].importance, i)))
    widths = {i: _width(columns, rows, i) for i in kept}
    lines = [_line(columns, {i: columns[i].title for i in kept}, widths)]
    lines.append(_GAP.join("-" * widths[i] for i in kept))
    for row in rows:
        if isinstance(row, Spanning):
            own = {i: row.cells[i] for i in kept if i < len(row.cells)}
            head = _line(columns, own, {i: widths[i] for i in own}, False)
            lines += wrap(row.text, max(width, len(head) + _REASON_WIDTH), head + _GAP)
        else:
            lines.append(_line(columns, {i: row[i] for i in kept}, widths))
    dropped = [columns[i].title for i in range(len(columns)) if i not in kept]
    if dropped:
        note = f"Left out to fit {width} columns: {', '.join(dropped)} (--json and --export have every column)."
        lines += wrap(note, width)
    return "\n".join(lines)


def tabulate(columns: Sequence[Column], records: Iterable[Any], width: int = 80) -> str:
    """The table of records by the cells of their columns; a Spanning among them stays as it is."""
    rows = [one if isinstance(one, Spanning) else [column.cell(one) for column in columns] for one in records]
    return render(columns, rows, width)


def item(key: str, write: Callable[[Any], str] = str) -> Callable[[Any], str]:
    """A cell: the value under a key of a record, written; None where the record has no such key."""
    return lambda record: write(record.get(key))


def what_ifs(notes: Iterable[str]) -> list[str]:
    """The what-ifs of a table's chips, a sentence each (`Chip.what_if_note`); one for chips asked alike.

    More than MOST_NOTES are only counted.
    """
    found: dict[str, list[str]] = {}
    for note in dict.fromkeys(note for note in notes if note):
        found.setdefault(note.partition(_AS_BUILT)[0], []).append(note)
    if len(found) > MOST_NOTES:
        return [f"what-if: {len(found)} of them, told by --json{_AS_BUILT} the chips are built"]
    return [n[0] if len(n) == 1 else f"{asked}{_AS_BUILT} the chips are built" for asked, n in found.items()]


def noted(notes: Iterable[str], width: int) -> list[str]:
    """The what-ifs in lines, with an empty one behind them where there are any."""
    lines = paragraphs(what_ifs(notes), width)
    return [*lines, ""] if lines else []


def short_what_ifs(notes: Iterable[str]) -> str:
    """The same for the title of a chart: "what-if: memory=hbm4"; "" where there is none."""
    return ", ".join(note.partition(_AS_BUILT)[0] for note in what_ifs(notes))


def _width(columns: Sequence[Column], rows: Sequence[Row], i: int) -> int:
    return max([len(columns[i].title), *(len(cell) for row in rows for cell in [_cell(row, i)])])


def _cell(row: Row, i: int) -> str:
    cells = row.cells if isinstance(row, Spanning) else row
    return cells[i] if i < len(cells) else ""


def _total(columns: Sequence[Column], rows: Sequence[Row], kept: list[int]) -> int:
    return sum(_width(columns, rows, i) for i in kept) + len(_GAP) * (len(kept) - 1)


def _line(columns: Sequence[Column], cells: dict[int, str], widths: dict[int, int], strip: bool = True) -> str:
    parts = [cells[i].rjust(widths[i]) if columns[i].right else cells[i].ljust(widths[i]) for i in widths if i in cells]
    line = _GAP.join(parts)
    return line.rstrip() if strip else line
