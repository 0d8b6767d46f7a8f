"""Published costs per million tokens against this program's: `python -m tokcalc.money_check DATA.csv`.

Each row of metric usd_per_m_output or usd_per_m_total is recomputed four ways, so that one can see where an
error comes from: the arithmetic (their hour, their throughput), the hour (ours, owned), the speed (ours, on
the best layout at their speed of a user), and both. Stands after `price_rows`; nothing else uses it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..errors import TokcalcError
from ..money.cost import per_million

_SPEED = re.compile(r"\bat (\S+) tok/s(?:/| per )user")
_RATE = re.compile(r"about ([\d.]+) tok/s/GPU")
WAYS = ("arithmetic", "our hour", "our speed", "both ours")


@dataclass(frozen=True)
class Checked:
    """One published cost (USD per million) and what it is by each way; None where a way has no answer."""

    id: str
    chip: str
    model: str
    published: float
    found: Mapping[str, float | None]
    reason: str = ""  # why a way has no answer, else the layout behind our speed


def check(paths: Sequence[str]) -> list[Checked]:
    """The priced rows of the files, recomputed. Raises SpecError for a file that cannot be read."""
    from ..engines.constants import load_constants
    from .measured import read_rows
    from .rows.cases import gather

    rows = read_rows(paths).reset_index(drop=True)
    known = [dict(row) for _, row in rows.iterrows()]
    rates = {}
    for row in known:
        speed = _SPEED.search(_text(row["note"]))
        if row["metric"] == "total_tok_s" and row["regime"] == "price" and speed:
            rates[_key(row, speed[1])] = float(row["value"]) / (_number(row["chips"]) or 1.0)
    priced = [i for i, row in enumerate(known) if str(row["metric"]).startswith("usd_per_m")]
    constants = load_constants()
    found = gather(rows.iloc[priced], constants)
    out: dict[int, Checked] = {}
    for block in found.blocks:
        points: dict[Any, Any] = {}
        for i, at in enumerate(block.index):
            out[int(at)] = _checked(known[priced[at]], rates, block, i, constants, points)
    for at, reason in found.reasons.items():
        out.setdefault(at, _nothing(known[priced[at]], reason))
    return [out[at] for at in sorted(out)]


def _nothing(row: Mapping[str, Any], reason: str) -> Checked:
    ways: dict[str, float | None] = dict.fromkeys(WAYS)
    return Checked(str(row["id"]), str(row["chip"]), str(row["model"]), float(row["value"]), ways, reason)


def _checked(
    row: Mapping[str, Any], rates: Mapping[tuple[Any, ...], float], block: Any, i: int, constants: Any,
    points: dict[Any, Any],
) -> Checked:  # fmt: skip
    from .frontier import usd_per_hour
    from .prices import found_of, point_of, stated_hour

    note, value = _text(row["note"]), float(row["value"])
    speed, rate = _SPEED.search(note), _RATE.search(note)
    measured = rates.get(_key(row, speed[1])) if speed else (float(rate[1]) if rate else None)
    theirs = stated_hour(note)
    if theirs is None and measured is not None:
        theirs = value * 3600 * measured / 1e6  # the hour that their cost and their throughput imply
    empty = _nothing(row, "")
    found: dict[str, float | None] = dict(empty.found)
    reason = ""
    ours = None
    try:
        ours = usd_per_hour(block.chip, _day(_text(row["date"])))
    except TokcalcError as error:
        reason = str(error)
    point, layout = point_of(block, i), found_of(block, i, constants, points)
    made = layout.rate
    if row["metric"] == "usd_per_m_output":
        made *= point.osl / (point.isl + point.osl)
    for way, hour, tokens in (
        ("arithmetic", theirs, measured), ("our hour", ours, measured), ("our speed", theirs, made),
        ("both ours", ours, made),
    ):  # fmt: skip
        if hour is not None and tokens is not None and tokens == tokens:
            found[way] = float(per_million(hour, tokens))
    if made != made:
        reason = f"no layout that is tried gives one user {point.user:g} tokens per second"
    return Checked(empty.id, empty.chip, empty.model, value, found, reason or layout.words)


def _key(row: Mapping[str, Any], speed: str) -> tuple[Any, ...]:
    return (row["chip"], row["model"], _number(row["isl"]), speed, row["source"])


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if number != number else number


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _day(text: str) -> str | None:
    return None if not text else {4: f"{text}-07-01", 7: f"{text}-01"}.get(len(text), text)


def errors(found: Sequence[Checked], way: str) -> list[float]:
    """|recomputed / published - 1| of the rows that have an answer by this way."""
    values = [(item.found[way], item.published) for item in found]
    return [abs(value / published - 1) for value, published in values if value is not None]


def main(paths: Sequence[str]) -> int:
    """Prints every row, then median error and number of rows by each way."""
    found = check(paths)
    for item in found:
        shown = " ".join(f"{way} {v:.3g}" if v is not None else f"{way} -" for way, v in item.found.items())
        print(f"{item.id:10} {item.chip:12} {item.model:14} published {item.published:.3g}: {shown} {item.reason}")
    for way in WAYS:
        found_errors = errors(found, way)
        if found_errors:
            print(f"{way}: median error {median(found_errors):.1%} over {len(found_errors)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
