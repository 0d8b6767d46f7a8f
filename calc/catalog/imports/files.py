"""A model from what people already have on disk: a Hugging Face config.json or a .gguf file.

Files are untrusted: sizes, depths and types are checked, and whatever is wrong with one ends in a
SpecError of one sentence. The tables that come out pass the same check as a spec file of the catalog.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...errors import SpecError
from ...models.build import build_model
from ...models.model import Model
from ..schema_model import check_model
from .gguf import read_header, spec_from_gguf
from .hugging_face import spec_from_hf

MAX_CONFIG_BYTES = 16 * 2**20  # the largest released configs (quantisation lists) are below 2 MiB


def from_hf_config(path: str | Path) -> Model:
    """Model of a Hugging Face config.json, or of a folder that holds one.

    A hf_quant_config.json beside it (ModelOpt exports) fills in a missing quantization_config. The model is
    named after the file, or after its model_type where the file is just "config.json". Raises SpecError.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "config.json"
    config = _read_json(file)
    beside = file.with_name("hf_quant_config.json")
    if config.get("quantization_config") is None and file.name == "config.json" and beside.is_file():
        quantization = _read_json(beside).get("quantization")
        if isinstance(quantization, dict):
            config["quantization_config"] = quantization
    return model_from_hf(config, file.name, _config_name(file, config), str(file))


def model_from_hf(config: dict[str, Any], where: str, name: str, path: str = "") -> Model:
    """Model of a parsed config.json; where: what messages call the file; name: of the model."""
    raw = {"id": slug(name), "name": printable(name), **spec_from_hf(config, where)}
    return build_model(check_model(raw, where), path)


def from_gguf(path: str | Path) -> Model:
    """Model of a .gguf file; only its header is read. Raises SpecError."""
    file = Path(path)
    raw = spec_from_gguf(read_header(file), file.name)
    raw |= {"id": slug(file.stem), "name": printable(raw["name"]) or printable(file.stem)}
    return build_model(check_model(raw, file.name), str(file))


def slug(name: str) -> str:
    """Id of a name: lower case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:100] or "model"


def printable(name: str) -> str:
    """A name from a file as one short line that a terminal can show."""
    return "".join(ch for ch in name if ch.isprintable())[:200]


def _config_name(file: Path, config: dict[str, Any]) -> str:
    stem = file.stem.removesuffix("_config")
    if stem.lower() != "config":
        return stem.replace("--", "/").rsplit("/", 1)[-1]
    told, kind = config.get("_name_or_path"), config.get("model_type")
    if isinstance(told, str) and told.strip("/."):
        return told.strip("/").rsplit("/", 1)[-1]
    return kind if isinstance(kind, str) and kind else "model"


def _read_json(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            text = handle.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise SpecError(f"{file.name}: more than {MAX_CONFIG_BYTES >> 20} MiB is no model configuration")
        parsed = json.loads(text)
    except OSError as error:
        raise SpecError(f"{file}: cannot be read ({error.strerror or error}); check the path") from None
    except RecursionError:
        raise SpecError(f"{file.name}: nested too deeply for a model configuration") from None
    except ValueError as error:
        raise SpecError(f"{file.name}: not valid JSON ({str(error)[:120]})") from None
    if not isinstance(parsed, dict):
        raise SpecError(f"{file.name}: holds no JSON object, so it is no model configuration")
    return parsed
