"""Names -> spec files: ids, aliases and unique prefixes in any case, shipped and the user's own."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast

from ..errors import SpecError, UnknownName
from . import cache
from .files import KINDS, builtin_folder, parse_toml, read_bytes, user_folder

_SINGULAR = {"chips": "chip", "models": "model", "memory": "memory generation"}
_ENDINGS = {"chips": ".toml", "models": ".toml, .json or .gguf", "memory": ".toml"}


def normal_name(name: str) -> str:
    """A name as it is compared: lower case, words joined by single hyphens."""
    return re.sub(r"-{2,}", "-", re.sub(r"[\s_/()]+", "-", name.strip().lower())).strip("-")


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """(file name, size, time) of the .toml files in a folder, sorted; empty if there is no such folder."""
    found = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".toml") and not entry.name.startswith("."):
                with suppress(OSError):
                    stat = entry.stat()
                    found.append((entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(found)


class Index(TypedDict):
    """Files by id, ids by name (several where files claim one), vendors by id."""

    files: dict[str, str]
    names: dict[str, list[str]]
    vendors: dict[str, str]


def load_index(kind: str) -> Index:
    """The index of one kind of spec, kept in the cache under the listing of both folders (names, sizes, times).

    A file in the user's folder takes the place of a shipped one with the same id. A broken file is listed under its
    file name, so that only asking for it fails.
    """
    if kind not in KINDS:
        raise UnknownName(f"'{kind}' is no kind of spec; known are {', '.join(KINDS)}")
    folders = [builtin_folder(kind), user_folder(kind)]
    listings = [_listing(folder) for folder in folders]
    key = cache.key("index", kind, *(str(folder) for folder in folders), repr(listings))
    kept = cache.get("index", key)
    if kept is not None and kept.keys() == Index.__annotations__.keys():
        return cast("Index", kept)
    index = Index(files={}, names={}, vendors={})
    for folder, listing in zip(folders, listings, strict=True):
        _add(index, [folder / name for name, _, _ in listing])
    cache.put("index", key, {**index})
    return index


def _add(index: Index, paths: list[Path]) -> None:
    """Enter the files of one folder; their names win over those entered before."""
    own: dict[str, set[str]] = {}
    for path in paths:
        stem = normal_name(path.name.removesuffix(".toml"))
        try:
            raw = parse_toml(read_bytes(path), str(path))
        except SpecError:
            raw = {}
        id_ = normal_name(raw["id"]) if isinstance(raw.get("id"), str) else stem
        aliases = raw["aliases"] if isinstance(raw.get("aliases"), list) else []
        index["files"][id_] = str(path)
        index["vendors"][id_] = str(raw.get("vendor", ""))
        for name in {id_, stem, *(normal_name(alias) for alias in aliases if isinstance(alias, str))}:
            own.setdefault(name, set()).add(id_)
    index["names"].update({name: sorted(ids) for name, ids in own.items()})


def list_ids(kind: str) -> list[str]:
    """Ids of every spec of a kind ("chips", "models" or "memory"), shipped and the user's own, sorted."""
    return sorted(load_index(kind)["files"])


def find_id(kind: str, name: str) -> str:
    """Id for a name: exact id or alias, the same with the vendor in front or without hyphens, unique prefix.

    Raises UnknownName with the nearest names, or with the candidates of an ambiguous prefix.
    """
    index = load_index(kind)
    wanted = normal_name(name) if isinstance(name, str) else ""
    singular = _SINGULAR[kind]
    if not wanted:
        raise UnknownName(f"The name of a {singular} is empty; `tokcalc {kind}` lists them")
    names = index["names"]
    for ids in _exact(names, index["vendors"], wanted):
        if len(ids) == 1:
            return ids[0]
        where = " and ".join(index["files"][id_] for id_ in ids)
        raise UnknownName(f"'{name}' names {len(ids)} {singular} files, {where}; use one of the ids {', '.join(ids)}")
    found = {id_ for key, ids in names.items() if key.startswith(wanted) for id_ in ids}
    if len(found) == 1:
        return found.pop()
    if found:
        shown = sorted(found)
        rest = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
        raise UnknownName(f"'{name}' could be {', '.join(shown[:8])}{rest}; write more of the name")
    shown_name = "".join(c if c.isprintable() else "?" for c in name[:60])
    if os.path.isfile(name):
        raise UnknownName(f"'{shown_name}' is a file but no spec: those of {kind} end in {_ENDINGS[kind]}")
    near = _nearest(names, wanted)
    hint = f"did you mean {' or '.join(near)}?" if near else f"`tokcalc {kind}` lists the names"
    raise UnknownName(f"There is no {singular} '{shown_name}'; {hint}")


def _exact(names: dict[str, list[str]], vendors: dict[str, str], wanted: str) -> list[list[str]]:
    """Matches of the whole name, best first: as written, without the vendor, without hyphens."""
    hits = [names[wanted]] if wanted in names else []
    for vendor in {normal_name(vendor) for vendor in vendors.values() if vendor}:
        if wanted.startswith(f"{vendor}-") and wanted.removeprefix(f"{vendor}-") in names:
            ids = names[wanted.removeprefix(f"{vendor}-")]
            hits += [ids] if all(normal_name(vendors.get(id_, "")) == vendor for id_ in ids) else []
    squeezed = wanted.replace("-", "")
    same = {id_ for key, ids in names.items() if key.replace("-", "") == squeezed for id_ in ids}
    return hits + ([sorted(same)] if len(same) == 1 else [])


def _nearest(names: dict[str, list[str]], wanted: str) -> list[str]:
    """Up to three ids whose names resemble the wanted one, or contain it."""
    if len(wanted) > 60:
        return []
    from difflib import get_close_matches

    close = [names[key][0] for key in get_close_matches(wanted, names, n=6, cutoff=0.6)]
    close += [ids[0] for key, ids in sorted(names.items()) if len(wanted) > 2 and wanted in key]
    return list(dict.fromkeys(close))[:3]
