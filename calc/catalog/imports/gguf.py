"""The header of a .gguf file: metadata and tensor list, read with bounds, and the model spec they describe.

Files come from anywhere, so every count and length is held against what is left of the file before anything
is read or kept; weights are never touched. Format: GGUF versions 2 and 3, ggml's docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import SpecError
from ..tables import spec_table
from .hugging_face import spec_from_hf

MAX_ENTRIES = 65_536  # metadata keys; released files have below a hundred
MAX_TENSORS = 1_048_576
KEPT_ARRAY = 65_536  # longer arrays (vocabularies) are skipped and only counted
MAX_TEXT = 1_048_576
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS = {kind: struct.Struct(f"<{code}") for kind, code in _CODES.items()}
_TEXT, _ARRAY = 8, 9


@dataclass(frozen=True)
class Tensor:
    """One entry of the tensor list; dims: innermost first, as ggml writes them; type: ggml's number."""

    name: str
    dims: tuple[int, ...]
    type: int

    @property
    def elements(self) -> int:
        """Product of the dimensions."""
        return math.prod(self.dims)


@dataclass
class Header:
    """What stands before the weights. `lengths`: entries of every array, kept or skipped."""

    metadata: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)


class _Reader:
    def __init__(self, handle: BinaryIO, size: int, where: str) -> None:
        self._handle, self._left, self.where = handle, size, where

    def fail(self, reason: str) -> SpecError:
        return SpecError(f"{self.where}: {reason}, so it is no whole GGUF file; get it again")

    def take(self, count: int) -> bytes:
        self.demand(count)
        data = self._handle.read(count)
        if len(data) != count:
            raise self.fail("it ends inside its header")
        self._left -= count
        return data

    def demand(self, count: int) -> None:
        if count > self._left:
            raise self.fail("its header claims more bytes than the file holds")

    def scalar(self, kind: int) -> Any:
        form = _SCALARS[kind]
        return form.unpack(self.take(form.size))[0]

    def count(self) -> int:
        return int(self.scalar(10))

    def text(self) -> str:
        length = self.count()
        self.demand(length)
        if length > MAX_TEXT:
            self.skip(length)
            return ""
        return self.take(length).decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        self.demand(count)
        self._handle.seek(count, 1)
        self._left -= count

    def array(self) -> tuple[list[Any] | None, int]:
        kind, length = int(self.scalar(4)), self.count()
        if kind == _TEXT:
            self.demand(8 * length)
            for _ in range(length):
                self.skip(self.count())
            return None, length
        if kind not in _SCALARS:
            raise self.fail(f"an array of unknown type {kind} stands in its header")
        form = _SCALARS[kind]
        if length > KEPT_ARRAY:
            self.skip(form.size * length)
            return None, length
        return [value for (value,) in form.iter_unpack(self.take(form.size * length))], length


def read_header(path: Path) -> Header:
    """Metadata and tensor list of a .gguf file. Raises SpecError for a header that is not whole and sane."""
    try:
        with path.open("rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(0)
            return _parse(_Reader(handle, size, path.name))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None


def _parse(reader: _Reader) -> Header:
    if reader.take(4) != b"GGUF":
        raise SpecError(f"{reader.where}: does not begin with the mark of a GGUF file")
    version = int(reader.scalar(4))
    if version not in (2, 3):
        raise SpecError(f"{reader.where}: GGUF version {version} is unknown; convert it again")
    tensors, entries = reader.count(), reader.count()
    if entries > MAX_ENTRIES or tensors > MAX_TENSORS:
        raise reader.fail(f"it claims {entries} keys and {tensors} tensors")
    reader.demand(entries * 13 + tensors * 24)  # the least that so many entries take
    header = Header()
    for _ in range(entries):
        key, kind = reader.text(), int(reader.scalar(4))
        if kind == _TEXT:
            header.metadata[key] = reader.text()
        elif kind == _ARRAY:
            values, header.lengths[key] = reader.array()
            if values is not None:
                header.metadata[key] = values
        elif kind in _SCALARS:
            header.metadata[key] = reader.scalar(kind)
        else:
            raise reader.fail(f"the value of {key[:60]!r} has unknown type {kind}")
    for _ in range(tensors):
        name, rank = reader.text(), int(reader.scalar(4))
        if not 0 <= rank <= 4:
            raise reader.fail(f"a tensor has {rank} dimensions")
        dims = tuple(reader.count() for _ in range(rank))
        header.tensors.append(Tensor(name, dims, int(reader.scalar(4))))
        reader.skip(8)
    return header


# --------------------------------------------------------------- to a spec
def config_from_gguf(header: Header, where: str) -> dict[str, Any]:
    """The header in the words of a config.json, for `hugging_face.spec_from_hf`."""
    data = header.metadata
    arch = data.get("general.architecture")
    if not isinstance(arch, str) or not arch:
        raise SpecError(f"{where}: the header has no 'general.architecture', so the model is unknown")
    table = spec_table("imports", "gguf")
    config: dict[str, Any] = {"model_type": table["architectures"].get(arch, arch.replace("-", "_"))}
    for key, name in table["keys"].items():
        value = data.get(f"{arch}.{key}")
        if isinstance(value, list):
            if len(set(value)) > 1:
                raise SpecError(f"{where}: {f'{arch[:40]}.{key}'!r} differs between layers; write a spec")
            value = value[0] if value else None
        if value is not None:
            config[name] = value
    if "linear_num_value_heads" in config:
        _delta_net(config, data.get(f"{arch}.ssm.inner_size"), where)
    elif f"{arch}.ssm.state_size" in data:
        raise SpecError(f"{where}: {arch[:40]!r} has state-space layers, which cannot be read; write a spec")
    if "kv_lora_rank" in config:
        rope = data.get(f"{arch}.rope.dimension_count")
        width = data.get(f"{arch}.attention.key_length_mla") or config.get("head_dim")
        config["qk_rope_head_dim"] = rope
        if isinstance(rope, int) and isinstance(width, int):
            config["qk_nope_head_dim"] = width - rope
        value_width = data.get(f"{arch}.attention.value_length_mla")
        config["v_head_dim"] = value_width or data.get(f"{arch}.attention.value_length")
    predicted = config.get("num_nextn_predict_layers")
    if isinstance(predicted, int) and predicted and isinstance(config.get("num_hidden_layers"), int):
        config["num_hidden_layers"] -= predicted  # GGUF counts prediction layers as blocks
    if config["model_type"] == "llama4":
        config["attention_chunk_size"] = 8192  # llama.cpp fixes the chunk in code
    pattern = data.get(f"{arch}.attention.sliding_window_pattern")
    if isinstance(pattern, list):
        config["layer_types"] = ["sliding_attention" if local else "full_attention" for local in pattern]
    elif pattern is not None:
        config["sliding_window_pattern"] = pattern
    _from_tensors(config, header, arch)
    return config


def _delta_net(config: dict[str, Any], inner: Any, where: str) -> None:
    heads = config["linear_num_value_heads"]
    if not isinstance(inner, int) or not isinstance(heads, int) or heads < 1 or inner % heads:
        raise SpecError(f"{where}: 'ssm.inner_size' is no multiple of 'ssm.time_step_rank'")
    config["linear_value_head_dim"] = inner // heads


def _is_split(header: Header) -> bool:
    parts = header.metadata.get("split.count")
    return isinstance(parts, int) and parts > 1


def _from_tensors(config: dict[str, Any], header: Header, arch: str) -> None:
    names = {t.name: t for t in header.tensors}
    table = names.get("token_embd.weight")
    vocab = header.metadata.get(f"{arch}.vocab_size") or header.lengths.get("tokenizer.ggml.tokens")
    config["vocab_size"] = table.dims[1] if table is not None and len(table.dims) == 2 else vocab
    if names and not _is_split(header):
        config["tie_word_embeddings"] = "output.weight" not in names
        config["attention_bias"] = "blk.0.attn_q.bias" in names or "blk.0.attn_qkv.bias" in names


def spec_from_gguf(header: Header, where: str) -> dict[str, Any]:
    """Raw spec tables of a header; the tensor list gives the exact weight count and the bits per weight."""
    raw = spec_from_hf(config_from_gguf(header, where), where)
    name, file_type = header.metadata.get("general.name"), header.metadata.get("general.file_type")
    table = spec_table("imports", "gguf")
    bits = dict(table["tensor_types"].values())
    known = [t for t in header.tensors if len(t.dims) > 1 and t.name.startswith("blk.") and t.type in bits]
    elements = sum(t.elements for t in known)
    weights: dict[str, Any] = {}
    if elements:
        weights["bits_per_weight"] = min(64.0, sum(t.elements * bits[t.type] for t in known) / elements)
    told = next((fmt for fmt, numbers in table["file_types"].items() if file_type in numbers), None)
    weights["native_format"] = told or _nearest_format(weights.get("bits_per_weight", 16.0))
    total = sum(t.elements for t in header.tensors)
    if 0 < total < 1e18 and not _is_split(header):
        raw["published"] = {"total": float(total), "source": "tensor list of the file"}
    sources = [{"grade": raw["grade"], "covers": "shapes", "note": "header of the .gguf file"}]
    return {**raw, "name": name if isinstance(name, str) else "", "weights": weights, "sources": sources}


def _nearest_format(bits: float) -> str:
    """Format of a whole file with about so many bits per weight.

    >>> _nearest_format(4.9)
    'q4_k_m'
    """
    names = spec_table("imports", "gguf")["nearest"]
    return min(names, key=lambda name: abs(names[name] - bits))
