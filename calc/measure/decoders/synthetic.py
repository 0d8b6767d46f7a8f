"""Synthetic GGUF files: random weights at the shape of any model, for measuring speed without a download.

Uses the `gguf` package for the container. Values come from a repeated tile: the file has the size and the
layout of a real one and is written in seconds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import NoAnswer, UsageError
from .shapes import Shape

BLOCKS = {"fp32": (1, 4), "fp16": (1, 2), "bf16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
"""Format -> (weights per block, bytes per block), as ggml stores them."""
_FILE_TYPES = {"fp32": 0, "fp16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}
_GGUF_NAMES = {"fp32": "F32", "fp16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
_SPARE_BYTES = 200_000_000
_FIRST_PLAIN = 259  # <unk>, <s>, </s> and 256 bytes come first in the vocabulary


def gguf_package() -> Any:
    """The gguf module; UsageError with the way to get it where it is not installed."""
    try:
        import gguf
    except ImportError:
        raise UsageError(
            "the gguf package is not installed; `pip install tokcalc[llamacpp]`, or leave llama.cpp out of --engine"
        ) from None
    return gguf


def file_bytes(shape: Shape, fmt: str) -> int:
    """Size of the file's tensors in bytes; UsageError for a format or a row length that has no blocks."""
    if fmt not in BLOCKS:
        raise UsageError(f"no synthetic file in format '{fmt}'; choose one of {', '.join(BLOCKS)}")
    block, size = BLOCKS[fmt]
    for name, _, inputs in (*shape.matrices, ("embedding", shape.vocab, shape.hidden)):
        if inputs % block:
            raise UsageError(
                f"{shape.name} can't be stored in {fmt}: the rows of {name} have {inputs} weights, no multiple of "
                f"{block}; use fp16"
            )
    return shape.weights // block * size


def check_room(folder: Path, shape: Shape, fmt: str) -> None:
    """NoAnswer unless a file of that shape and format has room in the folder; UsageError where it has no such form."""
    need = file_bytes(shape, fmt)
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise NoAnswer(f"{folder} can't be used for a synthetic model ({error.strerror}); set TMPDIR") from None
    if free < need + _SPARE_BYTES:
        raise NoAnswer(
            f"no space for a synthetic {shape.name} in {fmt}: it takes {need / 1e9:.2f} GB and {folder} has "
            f"{free / 1e9:.2f} GB free; set TMPDIR to a larger disk or choose a smaller model"
        )


def write_synthetic(path: Path, shape: Shape, fmt: str, max_context: int = 4096) -> Path:
    """Write a GGUF of that shape and format; NoAnswer if there is no room, nothing is left behind on failure."""
    gguf = gguf_package()
    check_room(path.parent, shape, fmt)
    part = path.with_name(path.name + ".part")
    try:
        _write(gguf, part, shape, fmt, max_context)
        part.replace(path)
    except OSError as error:
        raise NoAnswer(f"the synthetic model could not be written to {path.parent} ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(gguf: Any, path: Path, shape: Shape, fmt: str, max_context: int) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    _metadata(gguf, writer, shape, fmt, max_context)
    kind = getattr(gguf.GGMLQuantizationType, _GGUF_NAMES[fmt])
    plain = gguf.GGMLQuantizationType.F32
    block, size = BLOCKS[fmt]
    for name, dims in _tensors(shape):
        bytes_shape = (*dims[:-1], dims[-1] // block * size) if len(dims) > 1 else dims
        dtype = np.dtype(np.uint8) if len(dims) > 1 else np.dtype(np.float32)
        count = int(np.prod(bytes_shape)) * dtype.itemsize
        writer.add_tensor_info(name, bytes_shape, dtype, count, raw_dtype=kind if len(dims) > 1 else plain)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    tile = _tile(fmt)
    for _, dims in _tensors(shape):
        if len(dims) == 1:
            writer.write_tensor_data(np.ones(dims, dtype=np.float32))
        else:
            writer.write_tensor_data(np.resize(tile, int(np.prod(dims)) // block * size))
    writer.close()


def _metadata(gguf: Any, writer: Any, shape: Shape, fmt: str, max_context: int) -> None:
    writer.add_name(f"synthetic {shape.name}")
    writer.add_file_type(_FILE_TYPES[fmt])
    figures = {
        "context_length": max_context,
        "embedding_length": shape.hidden,
        "block_count": shape.layers,
        "feed_forward_length": shape.width,
        "head_count": shape.heads,
        "head_count_kv": shape.kv_heads,
        "key_length": shape.head_dim,
        "value_length": shape.head_dim,
        "rope_dimension_count": shape.head_dim,
        "layer_norm_rms_eps": 1e-5,
        "vocab_size": shape.vocab,
        **({"expert_count": shape.experts, "expert_used_count": shape.top_k} if shape.experts else {}),
    }
    for name, value in figures.items():
        getattr(writer, f"add_{name}")(value)
    plain = max(0, shape.vocab - _FIRST_PLAIN)
    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256)), *(b"t%d" % i for i in range(plain))]
    kinds = gguf.TokenType
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256, *[kinds.NORMAL] * plain]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens[: shape.vocab])
    writer.add_token_scores([0.0] * shape.vocab)
    writer.add_token_types(types[: shape.vocab])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _tensors(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and dimensions, rows first; one dimension means a norm."""
    yield "token_embd.weight", (shape.vocab, shape.hidden)
    yield "output_norm.weight", (shape.hidden,)
    if not shape.tied:
        yield "output.weight", (shape.vocab, shape.hidden)
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
    for i in range(shape.layers):
        yield f"blk.{i}.attn_norm.weight", (shape.hidden,)
        yield f"blk.{i}.ffn_norm.weight", (shape.hidden,)
        if shape.experts:
            yield f"blk.{i}.ffn_gate_inp.weight", (shape.experts, shape.hidden)
        for name, outputs, inputs in shape.matrices:
            if name in names or not shape.experts:
                yield f"blk.{i}.{names.get(name, f'ffn_{name}')}.weight", (outputs, inputs)
            else:
                yield f"blk.{i}.ffn_{name}_exps.weight", (shape.experts, outputs, inputs)


def _tile(fmt: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """About a megabyte of plausible weights: normal values of deviation 0.02, whole blocks."""
    rng, block = np.random.default_rng(0), BLOCKS[fmt][1]
    if fmt in ("fp32", "fp16", "bf16"):
        values = rng.standard_normal(1 << 18, dtype=np.float32) * np.float32(0.02)
        cut = (values.view(np.uint32) >> 16).astype(np.uint16)  # bf16 is the upper half of fp32
        return {"fp32": values, "fp16": values.astype(np.float16), "bf16": cut}[fmt].view(np.uint8)
    data = rng.integers(0, 256, (1 << 15, block), dtype=np.uint8)
    # each block starts with its 16-bit scale; integers of +-128 or +-8 behind it
    scale = np.float16(0.02 / (73.9 if fmt == "q8_0" else 4.6))
    data[:, :2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
    return data.reshape(-1)
