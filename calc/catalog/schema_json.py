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
    from .schema_chip import ChipTable
    from .schema_memory import MemoryFile
    from .schema_model import ModelTable

    if kind not in KINDS:
        raise UnknownName(f"'{kind}' is no kind of spec; known are {', '.join(KINDS)}")
    tables: dict[str, type[BaseModel]] = {"chips": ChipTable, "memory": MemoryFile, "models": ModelTable}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **tables[kind].model_json_schema()}


def write_schemas(folder: Path) -> list[Path]:
    """Write every kind's schema as KIND.json into a folder; the paths written."""
    written = [folder / f"{kind}.json" for kind in KINDS]
    for path in written:
        text = json.dumps(json_schema(path.stem), indent=1, sort_keys=True) + "\n"
        path.write_text(text, encoding="utf-8")
    return written
