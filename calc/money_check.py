"""Published costs per million tokens against this program's: `python -m tokcalc.money_check DATA.csv`.

Each row of metric usd_per_m_output or usd_per_m_total is recomputed four ways, so that one can see where an
error comes from: the arithmetic (their hour, their throughput), the hour (ours, owned), the speed (ours, at
their latency limit), and both. Stands after `loading` and `hourly`; nothing else uses it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .cost import per_million
from .errors import TokcalcError

_SPEED = re.compile(r"at ([\d.]+) tok/s/user")
_PRICE = re.compile(r"\$([\d.]+)/\w*-?h")
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
    reason: str = ""


def check(paths: Sequence[str]) -> list[Checked]:
    """The priced rows of the files, recomputed. Raises SpecError for a file that cannot be read."""
    from .measured import read_rows

    rows: list[dict[str, Any]] = [dict(row) for _, row in read_rows(paths).iterrows()]
    rates = {}
    for row in rows:
        speed = _SPEED.search(_text(row["note"]))
        if row["metric"] == "total_tok_s" and row["regime"] == "price" and speed:
            rates[_key(row, speed[1])] = float(row["value"]) / (_number(row["chips"]) or 1.0)
    priced = [row for row in rows if str(row["metric"]).startswith("usd_per_m")]
    return [_checked(row, rates) for row in priced]


def _checked(row: Mapping[str, Any], rates: Mapping[tuple[Any, ...], float]) -> Checked:
    note, value = _text(row["note"]), float(row["value"])
    speed, price, rate = _SPEED.search(note), _PRICE.search(note), _RATE.search(note)
    measured = rates.get(_key(row, speed[1])) if speed else (float(rate[1]) if rate else None)
    theirs = float(price[1]) if price else None
    if theirs is None and measured is not None:
        theirs = value * 3600 * measured / 1e6  # the hour that their cost and their throughput imply
    found: dict[str, float | None] = dict.fromkeys(WAYS)
    reason = ""
    if theirs is not None and measured is not None:
        found["arithmetic"] = float(per_million(theirs, measured))
    try:
        ours, _ = _ours(row, None, fast=False)
        if measured is not None and ours is not None:
            found["our hour"] = float(per_million(ours, measured))
        ours, answer = _ours(row, float(speed[1]) if speed else None)
        made = answer["speed"]["output_tok_s"]["value"] / answer["deployment"]["chips"]
        if row["metric"] == "usd_per_m_total":
            made += answer["speed"]["input_tok_s"]["value"] / answer["deployment"]["chips"]
        if theirs is not None:
            found["our speed"] = float(per_million(theirs, made))
        if ours is not None:
            found["both ours"] = float(per_million(ours, made))
    except TokcalcError as error:
        reason = str(error)
    return Checked(str(row["id"]), str(row["chip"]), str(row["model"]), value, found, reason)


def _ours(
    row: Mapping[str, Any], speed: float | None, fast: bool = True
) -> tuple[float | None, Mapping[str, Any]]:
    """(USD of an owned chip-hour, the loaded answer) at the row's latency limit, lengths and format."""
    from .loading import MIN_SPEED, loaded

    question: dict[str, Any] = {
        "isl": int(_number(row["isl"]) or 1024), "osl": int(_number(row["osl"]) or 1024),
        "weights": _text(row["weights"]) or None, "own": {}, "on": _day(_text(row["date"])),
    }  # fmt: skip
    limit = (speed or MIN_SPEED) if fast else 1.0
    answer = loaded(str(row["chip"]), str(row["model"]), speed=limit, **question).to_dict()
    hour = answer["cost"].get("per_hour")
    return (hour / answer["deployment"]["chips"] if hour else None), answer


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
        print(
            f"{item.id:10} {item.chip:12} {item.model:14} published {item.published:.3g}: {shown} "
            f"{item.reason}"
        )
    for way in WAYS:
        found_errors = errors(found, way)
        if found_errors:
            print(f"{way}: median error {median(found_errors):.1%} over {len(found_errors)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
