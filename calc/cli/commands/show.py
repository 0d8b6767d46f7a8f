"""`tokcalc show NAME`: one chip, model or memory generation with derived quantities, sources and doubts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ...errors import UnknownName, UsageError
from .. import text

KINDS = {"chip": "chips", "model": "models", "memory": "memory"}


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Id, alias, unique prefix, or a file.")],
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="chip, model or memory.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="NAME", help="Swap a chip's memory: hbm4.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print one chip, model or memory generation, with its sources."""
    from ..options import assignments

    found = kind_of(name, kind)
    overrides = assignments(set_ or [])
    thing = _load(found, name, overrides, memory)
    if json_:
        _print_json(found, thing)
        return
    from ..pages import show as show_text

    print("\n".join(getattr(show_text, f"{found}_lines")(thing, text.width())))


def kind_of(name: str, kind: str | None = None) -> str:
    """ "chip", "model" or "memory": what the name stands for.

    Raises UsageError if it stands for several kinds, UnknownName with the nearest names if for none.
    """
    from ...catalog import find_id
    from ...catalog.index import load_index, normal_name

    if kind is not None:
        if kind.lower() not in KINDS:
            raise UsageError(f"--kind '{kind}' is not one of {', '.join(KINDS)}")
        return kind.lower()
    if _is_path(name):
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
    raise UnknownName(f"'{name}' could be {' or '.join(meanings)}; write more of the name, or --kind {_either(found)}")


def _either(found: dict[str, str]) -> str:
    return " or --kind ".join(found or KINDS)


def _nothing(name: str) -> UnknownName:
    """The nearest names of all kinds."""
    from difflib import get_close_matches

    from ...catalog import list_ids

    known = [identity for folder in KINDS.values() for identity in list_ids(folder)]
    near = get_close_matches(name.lower(), known, n=4, cutoff=0.5)
    hint = f"nearest are {', '.join(near)}" if near else "`tokcalc chips`, `models` and `memory` list all"
    return UnknownName(f"no chip, model or memory generation is called '{name}'; {hint}")


def _is_path(name: str) -> bool:
    return "/" in name or name.lower().endswith((".toml", ".json", ".gguf"))


def _kind_of_file(path: str) -> str:
    if path.lower().endswith((".json", ".gguf")):
        return "model"
    from ...catalog import load_chip, load_model
    from ...errors import SpecError

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


def _load(kind: str, name: str, overrides: dict[str, str], memory: str | None) -> Any:
    from ... import catalog

    if kind == "chip":
        return catalog.load_chip(name, overrides=overrides or None, memory=memory)
    if memory is not None or overrides:
        option = "--memory swaps the memory" if memory is not None else "--set changes a field"
        raise UsageError(f"{option} of a chip, and '{name}' is a {kind}; leave it out")
    return catalog.load_model(name) if kind == "model" else catalog.load_memory(name)


def _print_json(kind: str, thing: Any) -> None:
    import json
    import sys
    from collections.abc import Mapping
    from dataclasses import asdict

    from ..pages import show as show_text

    def plain(value: Any) -> Any:
        return dict(value) if isinstance(value, Mapping) else str(value)

    content = {"what": kind, **asdict(thing), "derived": getattr(show_text, f"{kind}_derived")(thing)}
    content.pop("path", None)
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=plain)
    print()
