"""Memory generations side by side: what a stack reads and holds of a model, at which energy and price.

One stack is judged by its bandwidth alone: tokens/s are a ceiling, 80 % of bytes per second over bytes per
token. `on_chip` asks the whole model instead, with a chip whose stacks are swapped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import TokcalcError, UsageError
from ..physics.operators import Formats, component_formats
from ..physics.pipeline import stored_bytes

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..hardware.memory import MemoryGeneration
    from ..models.model import Model

READ_SHARE = 0.8  # of a stack's bandwidth that large reads reach: the eta_m of measured products
SECONDS_PER_YEAR = 8766 * 3600
LIFE_YEARS = 5.0


def bytes_per_token(model: Model, fmt: Formats, context: float) -> float:
    """Bytes that one token of one request reads: active weights, output head, cache of `context` tokens.

    Worked: Llama-3.1-8B, 16 bit, 2,048 tokens: 15.0 GB of weights + 0.27 GB of cache.
    """
    total = (model.head_params or model.embedding_params) * fmt.head.bytes
    for group in model.groups:
        ffn = group.ffn
        layer = group.attention.params * fmt.attention.bytes + ffn.dense_params * fmt.ffn.bytes
        layer += min(ffn.top_k, ffn.experts) * ffn.expert_params * fmt.experts.bytes
        total += group.count * (layer + (group.norm_params + ffn.router_params) * 2.0)
    return float(total + model.kv_bytes(context, fmt.kv.bytes))


def compare_generations(
    generations: Sequence[MemoryGeneration],
    model: Model,
    weights: str,
    *,
    context: float = 2048.0,
    life_years: float = LIFE_YEARS,
) -> list[dict[str, Any]]:
    """A row per generation: bandwidth, capacity, tokens/s of one stack, stacks that hold the model, and
    what a token costs.

    stacks = ceil((weights + cache) / capacity); tokens/s per stack = .8 bandwidth / bytes per token;
    joules per token = bits read x energy per bit; money per million tokens = price of the stacks over
    `life_years` of reading without pause. Energy, price: low and high of what is published, None if nothing
    is.
    """
    fmt = component_formats(model, weights, "bf16")
    read = bytes_per_token(model, fmt, context)
    held = stored_bytes(model, fmt) + float(model.kv_bytes(context, fmt.kv.bytes))
    rows = []
    for g in generations:
        stacks = math.ceil(held / g.capacity_bytes)
        each = READ_SHARE * g.bandwidth_bytes_s / read
        row: dict[str, Any] = {
            "memory": g.id,
            "name": g.name,
            "year": g.year,
            "status": g.status,
            "scope": g.scope,
            "bandwidth_bytes_s": g.bandwidth_bytes_s,
            "capacity_bytes": g.capacity_bytes,
            "reads_per_s": g.bandwidth_bytes_s / g.capacity_bytes,
            "output_tok_s_stack": each,
            "stacks_to_hold": stacks,
            "output_tok_s": each * stacks,
            "grade": g.grade,
        }
        for end, index in (("low", 0), ("high", 1)):
            energy, price = g.energy_j_per_bit, g.price_usd_per_gb
            row[f"joule_per_token_{end}"] = read * 8.0 * energy[index] if energy else None
            row[f"usd_{end}"] = price[index] * g.capacity_bytes / 1e9 * stacks if price else None
            lifetime = life_years * SECONDS_PER_YEAR * each * stacks
            row[f"usd_per_m_{end}"] = row[f"usd_{end}"] * 1e6 / lifetime if price else None
        rows.append(row)
    return rows


def on_chip(chip: str, model: str, names: Sequence[str], **workload: Any) -> list[dict[str, Any]]:
    """The answer of a chip with one memory generation after another: rows for a table or
    `memory_generations`.

    The first row is the chip as it is. Raises UsageError for a chip without stacks; a generation that cannot
    answer has its reason.
    """
    from ..answers.estimate import estimate
    from ..catalog import load_chip

    device = load_chip(chip)
    check_swappable(device)
    own = device.main_memory.generation or device.main_memory.type.lower()
    rows = []
    for name in [None, *[n for n in names if n != own]]:
        label = own if name is None else name
        row: dict[str, Any] = {"chip": device.id, "memory": label, "own": name is None}
        try:
            answer = estimate(chip, model, memory=name, **workload).to_dict()
        except TokcalcError as error:
            rows.append({**row, "reason": str(error)})
            continue
        speed, money = answer["speed"], answer["cost"]
        swapped = load_chip(chip, memory=name) if name else device
        rows.append(
            {
                **row,
                "chips": answer["deployment"]["chips"],
                "bandwidth_bytes_s": swapped.bandwidth_bytes_s,
                "capacity_bytes": swapped.memory_bytes,
                "output_tok_s_user": speed["output_tok_s_user"]["value"],
                "low": speed["output_tok_s_user"]["low"],
                "high": speed["output_tok_s_user"]["high"],
                "output_tok_s": speed["output_tok_s"]["value"],
                "ttft_s": speed["ttft_s"]["value"],
                "per_m_output": money.get("per_m_output"),
                "currency": money.get("currency"),
                "joule_per_output_token": answer["energy"].get("joule_per_output_token"),
                "grade": answer["grade"],
                "bound_by": answer["bound_by"],
            }
        )
    return rows


def check_swappable(chip: Chip) -> None:
    """UsageError for chips whose memory has no stacks to swap."""
    level = chip.main_memory
    if level.stacks is None or level.is_sram:
        raise UsageError(
            f"{chip.name} keeps weights in {level.type}, which has no stacks to swap; change its size "
            f'instead with --set memory.{level.name}.capacity="..." or memory.{level.name}.bandwidth="..."'
        )
