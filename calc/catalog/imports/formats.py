"""The number format of a checkpoint, out of the dtype and quantization_config of a config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .config import Config

_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8"}


def weight_table(c: Config) -> dict[str, Any]:
    """Table weights: the number format that the checkpoint is stored in."""
    dtype = c.get("dtype")
    plain = _DTYPES.get(str(dtype).removeprefix("torch."), "bf16")
    quant = c.get("quantization_config")
    bulk = _quantized(quant) if isinstance(quant, dict) else ""
    tables_in = plain if plain != "fp8" else "bf16"
    table: dict[str, Any] = {"native_format": bulk or plain, "table_format": tables_in}
    if bulk and isinstance(quant, dict):
        table["rest_format"] = _rest_format(quant, bulk, plain)
    if c.get("expert_dtype") == "fp4" and bulk != "nvfp4":  # DeepSeek-V4 beside its quantization_config
        table |= {"native_format": "mxfp4", "rest_format": bulk or plain}
    return table


def _rest_format(quant: Mapping[str, Any], bulk: str, plain: str) -> str:
    """Format of attention and shared layers: the bulk's, unless the export names another or none."""
    layers = quant.get("quantized_layers")
    if isinstance(layers, dict):
        named = {_algorithm(v) for k, v in layers.items() if "attn" in str(k)} - {""}
        return min(named) if named else (bulk if quant.get("quant_method") != "fp8" else "fp8")
    skipped = quant.get("modules_to_not_convert") or quant.get("ignore") or quant.get("exclude_modules")
    names = skipped if isinstance(skipped, list) else []
    left_out = any(re.search(r"attn(\*|\.\*|\.[qo]_proj|$)", str(name)) for name in names)
    return plain if left_out or bulk == "mxfp4" else bulk


def _algorithm(entry: Any) -> str:
    algo = str(entry.get("quant_algo") or "").upper() if isinstance(entry, dict) else ""
    return "nvfp4" if "NVFP4" in algo else "fp8" if "FP8" in algo else ""


def _quantized(quant: Mapping[str, Any]) -> str:
    method = str(quant.get("quant_method") or "").lower()
    algo = str(quant.get("quant_algo") or "").upper()
    layers = quant.get("quantized_layers")
    if isinstance(layers, dict):  # ModelOpt's mixed precision: the FFN holds most of the weights
        ffn = [_algorithm(v) for k, v in layers.items() if "mlp" in str(k) or "experts" in str(k)]
        if any(ffn):
            return max(set(ffn) - {""}, key=ffn.count)
    if "NVFP4" in algo or str(quant.get("moe_quant_algo") or "").upper() == "NVFP4":
        return "nvfp4"
    if algo == "FP8" or method in ("fp8", "fbgemm_fp8"):
        return "fp8"
    if method == "mxfp4":
        return "mxfp4"
    if method == "bitsandbytes":
        return "int4" if quant.get("load_in_4bit") or quant.get("_load_in_4bit") else "int8"
    bits, floating = quant.get("bits"), False
    groups = quant.get("config_groups")
    if isinstance(groups, dict):
        for group in groups.values():
            weights = group.get("weights") if isinstance(group, dict) else None
            if isinstance(weights, dict):
                bits, floating = weights.get("num_bits"), weights.get("type") == "float"
                break
    if bits == 8:
        return "fp8" if floating else "int8"
    if bits == 4:
        return "nvfp4" if floating else "int4"
    return ""
