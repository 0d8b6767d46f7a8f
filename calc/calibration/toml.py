"""Puts fitted constants back into the TOML files that people read, number by number, comments untouched.

Used by `stack_fit` alone. A file is cut into its tables; a value is replaced in its line, and the record of the fit
beside it says rows, models, date and errors.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date

from ..errors import UsageError

_NUMBER = r"-?\d[\d.eE+-]*"


def tables(text: str) -> list[list[str]]:
    """The lines of a TOML file in pieces, each from its header on; the first has none."""
    pieces: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith("["):
            pieces.append([])
        pieces[-1].append(line)
    return pieces


def find(pieces: Sequence[list[str]], header: str, place: int = 0) -> list[str]:
    """The table of that header, the place-th of several alike; UsageError if there is none."""
    found = [piece for piece in pieces if piece and piece[0].split("#")[0].strip() == header]
    if place >= len(found):
        raise UsageError(f"no table {header} to write a fitted constant into; add it with its start value")
    return found[place]


def set_number(piece: list[str], path: Sequence[str], value: float) -> None:
    """`key = number`, `key = [numbers]` or, with two names, a key of an inline table, replaced in its line."""
    shown = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    shown += "" if "." in shown or value >= 1000 else ".0"
    for i, line in enumerate(piece):
        if not re.match(rf"{re.escape(path[0])}\s*=", line):
            continue
        if len(path) == 2:
            changed, count = re.subn(rf"(\b{path[1]} = ){_NUMBER}", rf"\g<1>{shown}", line)
        elif re.match(rf"{re.escape(path[0])}\s*=\s*\[", line):
            changed, count = re.subn(r"\[.*?\]", f"[{shown}, {shown}, {shown}]", line, count=1)
        else:
            changed, count = re.subn(rf"(=\s*){_NUMBER}", rf"\g<1>{shown}", line, count=1)
        if count:
            piece[i] = changed
            return
    raise UsageError(f"no number {'.'.join(path)} in {piece[0]} to write a fitted constant into; add it")


def record(rows: int, models: int, error: Mapping[str, float], left_out: Mapping[str, float]) -> list[str]:
    """The lines of a `fit` table: what a fit saw and how it did, by chip."""

    def by_chip(values: Mapping[str, float]) -> str:
        return "{ " + ", ".join(f"{chip} = {value:.2g}" for chip, value in values.items()) + " }"

    return [
        f"rows = {rows}", f"models = {models}", f"date = {date.today().isoformat()}",
        f"error = {by_chip(error)}", f"left_out = {by_chip(left_out)}", "",
    ]  # fmt: skip


def set_record(pieces: list[list[str]], header: str, lines: Sequence[str]) -> None:
    """Replace the `fit` of a table, inline or a table of its own, by a table of these lines."""
    name = f"[{header}.fit]"
    for piece in pieces:
        if piece and piece[0].strip() == name:
            rest = next((i for i, line in enumerate(piece) if i and (not line.strip() or line.startswith("#"))), None)
            piece[:] = [name, *lines[:-1], *(piece[rest:] if rest else [""])]
            return
    owner = find(pieces, f"[{header}]")
    for i, line in enumerate(owner):
        if re.match(r"fit\s*=", line):
            owner[i : i + 1] = [name, *lines[:-1]]
            return
    raise UsageError(f"no record of a fit in [{header}]; add fit = {{ rows = 0 }}")


def set_class(pieces: list[list[str]], name: str, members: Sequence[str]) -> None:
    """Constants of a class of chips without measurements: geometric means over its measured members.

    A number of a table [KIND.name] becomes the mean of the members' numbers of the same kind, format and key, where
    at least two of them have a positive one.
    """
    parsed = tomllib.loads("\n".join("\n".join(piece) for piece in pieces))
    for kind, by_scope in parsed.items():
        if not isinstance(by_scope, dict) or not isinstance(by_scope.get(name), dict):
            continue
        own = by_scope[name]
        others = [by_scope[m] for m in members if isinstance(by_scope.get(m), dict)]
        piece = find(pieces, f"[{kind}.{name}]")
        for key, value in own.items():
            if isinstance(value, dict) and key != "fit":
                for part in value:
                    _set_mean(piece, (key, part), [o[key].get(part) for o in others if key in o])
            elif isinstance(value, list) and isinstance(value[0], float):
                _set_mean(piece, (key,), [o[key][0] for o in others if key in o])
            elif key.endswith(("_us", "_ms")):
                _set_mean(piece, (key,), [o.get(key) for o in others])


def _set_mean(piece: list[str], path: Sequence[str], found: Sequence[float | None]) -> None:
    known = [v for v in found if v]
    if len(known) > 1:
        set_number(piece, path, math.exp(sum(map(math.log, known)) / len(known)))
