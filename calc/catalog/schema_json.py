"""JSON Schema of the spec files, for editors and other programs; the same models that check the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UnknownName
from .files import KINDS


def json_schema(kind: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a chip, model or memory file."""
    if kind == "chips":
        from .schema_chip import ChipTable as Table
    elif kind == "memory":
        from .schema_memory import MemoryFile as Table  # type: ignore[assignment]
    elif kind == "models":
        from .schema_model import ModelTable as Table  # type: ignore[import-not-found,assignment,unused-ignore]
    else:
        raise UnknownName(f"'{kind}' is no kind of spec; known are {', '.join(KINDS)}")
    schema: dict[str, Any] = Table.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schemas(folder: Path) -> list[Path]:
    """Write every kind's schema as KIND.json into a folder; the paths written."""
    written = []
    for kind in KINDS:
        try:
            schema = json_schema(kind)
        except ImportError:
            continue
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        written.append(path)
    return written
