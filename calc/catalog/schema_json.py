"""JSON Schema of the spec files, for editors and other programs; the same models that check the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UnknownName
from .files import KINDS

if TYPE_CHECKING:
    from pydantic import BaseModel


def json_schema(kind: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a chip, model or memory file."""
    if kind not in KINDS:
        raise UnknownName(f"'{kind}' is no kind of spec; known are {', '.join(KINDS)}")
    schema: dict[str, Any] = _table(kind).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _table(kind: str) -> type[BaseModel]:
    """The pydantic model of a whole file."""
    if kind == "chips":
        from .schema_chip import ChipTable

        return ChipTable
    if kind == "memory":
        from .schema_memory import MemoryFile

        return MemoryFile
    from .schema_model import ModelTable

    return ModelTable


def write_schemas(folder: Path) -> list[Path]:
    """Write every kind's schema as KIND.json into a folder; the paths written."""
    written = []
    for kind in KINDS:
        schema = json_schema(kind)
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        written.append(path)
    return written
