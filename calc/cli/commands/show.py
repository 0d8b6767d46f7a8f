"""`tokcalc show NAME`: one chip, model or memory generation with derived quantities, sources and doubts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

import typer

from ... import catalog
from ...catalog import find_id, list_ids, load_chip, load_model
from ...catalog.index import load_index, normal_name
from ...errors import SpecError, UnknownName, UsageError
from .. import options as o
from .. import text
from ..output import print_json
from ..pages import show as pages

KINDS = {"chip": "chips", "model": "models", "memory": "memory"}


class Which(o.WhatIf):
    """What is shown, and how."""

    name: str = typer.Argument(metavar="NAME", help="Id, alias, unique prefix, or a file.")
    kind: o.Text = o.option(None, "chip, model or memory.", "KIND")
    json_: bool = o.option(False, "Print JSON.")


def show(which: Which) -> None:
    """Print one chip, model or memory generation, with its sources."""
    found = kind_of(which.name, which.kind)
    thing = _load(found, which.name, which)
    if which.json_:
        content = {"what": found, **asdict(thing), "derived": pages.PAGES[found].derived(thing)}
        content.pop("path", None)
        print_json(content, lambda value: dict(value) if isinstance(value, Mapping) else str(value))
    else:
        print("\n".join(pages.PAGES[found].lines(thing, text.width())))


def kind_of(name: str, kind: str | None = None) -> str:
    """The kind of thing that a name stands for: chip, model or memory.

    Raises UsageError if it stands for several kinds, UnknownName with the nearest names if for none.
    """
    if kind is not None:
        if kind.lower() not in KINDS:
            raise UsageError(f"--kind '{kind}' is not one of {', '.join(KINDS)}")
        return kind.lower()
    if "/" in name or name.lower().endswith((".toml", ".json", ".gguf")):
        return _kind_of_file(name)
    exact = [candidate for candidate, folder in KINDS.items() if normal_name(name) in load_index(folder)["names"]]
    found: dict[str, str] = {}
    several: list[str] = []
    for candidate in exact or KINDS:
        try:
            found[candidate] = find_id(KINDS[candidate], name)
        except UnknownName as error:
            if " could be " in str(error):
                several.append(candidate)
    if len(found) == 1 and not several:
        return next(iter(found))
    if not found and not several:
        raise _nothing(name)
    if not found and len(several) == 1:
        find_id(KINDS[several[0]], name)  # raises with the candidates
    meanings = [f"the {candidate} {identity}" for candidate, identity in found.items()]
    meanings += [f"one of several {KINDS[candidate]}" for candidate in several]
    kinds = " or --kind ".join(found or KINDS)
    raise UnknownName(f"'{name}' could be {' or '.join(meanings)}; write more of the name, or --kind {kinds}")


def _nothing(name: str) -> UnknownName:
    """The nearest names of all kinds."""
    known = [identity for folder in KINDS.values() for identity in list_ids(folder)]
    near = get_close_matches(name.lower(), known, n=4, cutoff=0.5)
    hint = f"nearest are {', '.join(near)}" if near else "`tokcalc chips`, `models` and `memory` list all"
    return UnknownName(f"no chip, model or memory generation is called '{name}'; {hint}")


def _kind_of_file(path: str) -> str:
    if path.lower().endswith((".json", ".gguf")):
        return "model"
    try:
        load_model(path)
    except SpecError as error:
        try:
            load_chip(path)
        except SpecError as other:
            both = "" if str(other) == str(error) else " (say --kind model if it is meant as a model)"
            raise SpecError(f"{other}{both}") from None
        return "chip"
    return "model"


def _load(kind: str, name: str, what_if: o.WhatIf) -> Any:
    asked = what_if.keywords()
    if kind == "chip":
        return catalog.load_chip(name, **asked)
    if any(value is not None for value in asked.values()):
        option = "--memory swaps the memory" if asked["memory"] is not None else "--set changes a field"
        raise UsageError(f"{option} of a chip, and '{name}' is a {kind}; leave it out")
    return catalog.load_model(name) if kind == "model" else catalog.load_memory(name)
