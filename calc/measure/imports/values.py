"""Names and numbers as other tools write them, brought to this program's ids, units and dates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import TokcalcError


def known_id(name: str, kind: str) -> str:
    """The catalogue's id of a name, of its last part (meta-llama/Llama-3.1-8B), or of that without endings;
    else itself.
    """
    from ...catalog import find_id

    short = re.sub(r"\.gguf$", "", name.replace("\\", "/").split("/")[-1], flags=re.I)
    bare = re.sub(r"[-_.](q\d\w*|f16|f32|bf16|fp8|fp16|awq|gptq|int4|int8)$", "", short, flags=re.I)
    plain = re.sub(r"[-_](instruct|chat|it)([-_].*)?$", "", bare, flags=re.I)
    for candidate in dict.fromkeys((name, short, bare, plain)):
        try:
            if candidate:
                return str(find_id(kind, candidate))
        except TokcalcError:
            continue
    return short.lower()


def weights_from(model_type: str) -> str:
    """ "llama 7B Q4_K - Medium" -> q4_k_m."""
    found = re.search(r"\b(MXFP4|I?Q\d\w*|F16|F32|BF16)\b(?: - (Small|Medium|Large))?", model_type)
    if not found:
        return ""
    return found[1].lower() + (f"_{found[2][0].lower()}" if found[2] else "")


def format_id(name: str) -> str:
    """The program's name of a number format; the name itself where it is unknown."""
    from ...hardware.formats import find_format

    try:
        return find_format(name).name if name else ""
    except TokcalcError:
        return name.lower()


def find_key(tree: Any, key: str, depth: int = 0) -> Any:
    """The first non-empty value of a key anywhere in nested tables and lists; None if there is none."""
    if depth > 12:
        return None
    if isinstance(tree, dict):
        if tree.get(key) not in (None, "", [], {}):
            return tree[key]
        children: Sequence[Any] = list(tree.values())
    else:
        children = tree if isinstance(tree, list) else ()
    for child in children:
        found = find_key(child, key, depth + 1)
        if found is not None:
            return found
    return None


def first_name(value: Any) -> str:
    """A model's name out of a text, a list of models, or a table with `items` or `name`."""
    if isinstance(value, dict):
        return first_name(value.get("items") or value.get("name") or "")
    if isinstance(value, list):
        return first_name(value[0]) if value else ""
    return str(value)


def figure(metrics: Mapping[str, Any], *keys: str) -> float | None:
    """The number at a path of nested tables, None without one."""
    found: Any = metrics
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else as_number(found)


def to_ms(unit: str) -> float:
    """Milliseconds per unit."""
    return {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3}.get(unit, 1.0)


def as_number(value: Any) -> float:
    """A float; 0 for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def as_whole(value: Any) -> Any:
    """A rounded number; anything else as it is."""
    return round(value) if isinstance(value, int | float) else value


def stamp_date(stamp: str) -> str:
    """20260131-101500 -> 2026-01-31."""
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}" if re.match(r"\d{8}", stamp) else stamp[:10]


def epoch_date(seconds: Any) -> str:
    """Day of a Unix time in seconds; empty where there is none."""
    from datetime import UTC, datetime

    stamp = as_number(seconds)
    return datetime.fromtimestamp(stamp, UTC).date().isoformat() if 0 < stamp < 1e11 else ""
