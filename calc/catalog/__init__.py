"""The spec catalog: find, read, check and cache the TOML files of chips, models and memory generations.

Between the files in `specs/` (and the user's own folder) and the dataclasses of `hardware` and `models`.
"""

from __future__ import annotations

from .index import find_id, list_ids
from .load import load_memory, spec_word
from .remembered import load_chip, load_model
from .schema_json import json_schema

__all__ = ["find_id", "json_schema", "list_ids", "load_chip", "load_memory", "load_model", "spec_word"]
