"""The header of a .gguf file: metadata and tensor list, read with bounds, and the model spec they describe.

Files come from anywhere, so every count and length is held against what is left of the file before anything
is read or kept; weights are never touched. Format: GGUF versions 2 and 3, ggml's docs/gguf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import SpecError

MAX_ENTRIES = 65_536  # metadata keys; released files have below a hundred
MAX_TENSORS = 1_048_576
KEPT_ARRAY = 65_536  # longer arrays (vocabularies) are skipped and only counted
MAX_TEXT = 1_048_576
_SCALARS = {
    0: ("<B", 1), 1: ("<b", 1), 2: ("<H", 2), 3: ("<h", 2), 4: ("<I", 4), 5: ("<i", 4),
    6: ("<f", 4), 7: ("<?", 1), 10: ("<Q", 8), 11: ("<q", 8), 12: ("<d", 8),
}  # fmt: skip
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
        total = 1
        for dim in self.dims:
            total *= dim
        return total


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
        form, size = _SCALARS[kind]
        return struct.unpack(form, self.take(size))[0]

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
        form, size = _SCALARS[kind]
        self.demand(size * length)
        if length > KEPT_ARRAY:
            self.skip(size * length)
            return None, length
        data = self.take(size * length)
        return [value for (value,) in struct.iter_unpack(form, data)], length


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
_MODEL_TYPES = {  # llama.cpp's architecture -> Hugging Face model type, where they differ
    "command-r": "cohere", "deepseek2": "deepseek_v3", "exaone-moe": "exaone_moe", "glm4moe": "glm4_moe",
    "gpt-oss": "gpt_oss", "hunyuan-moe": "hunyuan_moe", "minimax-m2": "minimax_m2", "qwen2moe": "qwen2_moe",
    "qwen35": "qwen3_5", "qwen35moe": "qwen3_5_moe", "qwen3moe": "qwen3_moe", "qwen3next": "qwen3_next",
}  # fmt: skip
_KEYS = {  # GGUF key after the architecture -> config.json key
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim", "attention.kv_lora_rank": "kv_lora_rank",
    "attention.q_lora_rank": "q_lora_rank", "attention.sliding_window": "sliding_window",
    "block_count": "num_hidden_layers", "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size", "expert_count": "num_experts",
    "expert_feed_forward_length": "moe_intermediate_size", "expert_shared_count": "n_shared_experts",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_used_count": "num_experts_per_tok", "feed_forward_length": "intermediate_size",
    "leading_dense_block_count": "first_k_dense_replace", "nextn_predict_layers": "num_nextn_predict_layers",
    "ssm.conv_kernel": "linear_conv_kernel_dim", "ssm.group_count": "linear_num_key_heads",
    "ssm.state_size": "linear_key_head_dim", "ssm.time_step_rank": "linear_num_value_heads",
}  # fmt: skip
_FILE_TYPES = {
    0: "fp32", 1: "fp16", 2: "q4_0", 7: "q8_0", 10: "q2_k", 11: "q3_k_m", 12: "q3_k_m", 13: "q3_k_m",
    14: "q4_k_m", 15: "q4_k_m", 16: "q5_k_m", 17: "q5_k_m", 18: "q6_k", 32: "bf16", 38: "mxfp4",
}  # fmt: skip
_BITS = {  # ggml tensor type -> bits per element, block scales included
    0: 32.0, 1: 16.0, 2: 4.5, 3: 5.0, 6: 5.5, 7: 6.0, 8: 8.5, 10: 2.625, 11: 3.4375, 12: 4.5, 13: 5.5,
    14: 6.5625, 16: 2.0625, 17: 2.3125, 18: 3.0625, 19: 1.5625, 20: 4.5, 21: 3.4375, 22: 2.5625, 23: 4.25,
    29: 1.75, 30: 16.0, 39: 4.25,
}  # fmt: skip


def config_from_gguf(header: Header, where: str) -> dict[str, Any]:
    """The header in the words of a config.json, for `hf_config.spec_from_hf`."""
    data = header.metadata
    arch = data.get("general.architecture")
    if not isinstance(arch, str) or not arch:
        raise SpecError(f"{where}: the header has no 'general.architecture', so the model is unknown")
    config: dict[str, Any] = {"model_type": _MODEL_TYPES.get(arch, arch.replace("-", "_"))}
    for key, name in _KEYS.items():
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
        value = data.get(f"{arch}.attention.value_length_mla") or data.get(f"{arch}.attention.value_length")
        config["v_head_dim"] = value
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
    from .hugging_face import spec_from_hf

    raw = spec_from_hf(config_from_gguf(header, where), where)
    name = header.metadata.get("general.name")
    raw["name"] = name if isinstance(name, str) else ""
    matrices = [t for t in header.tensors if len(t.dims) > 1 and t.name.startswith("blk.")]
    known = [t for t in matrices if t.type in _BITS]
    elements = sum(t.elements for t in known)
    weights: dict[str, Any] = {}
    if elements:
        weights["bits_per_weight"] = min(64.0, sum(t.elements * _BITS[t.type] for t in known) / elements)
    told = _FILE_TYPES.get(_file_type(header))
    weights["native_format"] = told or _nearest_format(weights.get("bits_per_weight", 16.0))
    raw["weights"] = weights
    total = sum(t.elements for t in header.tensors)
    if 0 < total < 1e18 and not _is_split(header):
        raw["published"] = {"total": float(total), "source": "tensor list of the file"}
    raw["sources"] = [{"grade": raw["grade"], "covers": "shapes", "note": "header of the .gguf file"}]
    return raw


def _file_type(header: Header) -> int:
    value = header.metadata.get("general.file_type")
    return value if isinstance(value, int) else -1


def _nearest_format(bits: float) -> str:
    names: Mapping[str, float] = {
        "fp32": 32.0, "fp16": 16.0, "q8_0": 8.5, "q6_k": 6.5625, "q5_k_m": 5.69, "q4_k_m": 4.85,
        "mxfp4": 4.25, "q3_k_m": 3.91, "q2_k": 3.35,
    }  # fmt: skip
    return min(names, key=lambda name: abs(names[name] - bits))
