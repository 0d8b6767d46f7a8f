"""The pages of `tokcalc show`: a chip, a model or a memory generation as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .. import text

if TYPE_CHECKING:
    from ...hardware.chip import Chip, Link, MemoryLevel
    from ...hardware.memory import MemoryGeneration
    from ...models.model import Attention, FeedForward, LayerGroup, Model
    from ...provenance import Source

_LABEL = 14
_CONTEXTS = (1024, 8192, 131072)


def chip_lines(chip: Chip, width: int) -> list[str]:
    """The page of a chip."""
    about = [chip.unit, chip.form_factor, chip.process_node]
    if chip.chips_per_system:
        about.append(f"{chip.chips_per_system} per system")
    lines = _title(chip, [chip.kind, str(chip.year), chip.status, f"grade {chip.grade}"], width)
    lines += text.wrap("; ".join(part for part in about if part) + ".", width)
    lines.append("")
    for level in chip.memory:
        main = " (weights and KV cache)" if level.name == chip.weights_in else ""
        lines += _row(f"memory {level.name}", _memory(level) + main, width)
    if chip.host_memory:
        host = chip.host_memory
        speed = f", {text.rate(host.bandwidth_bytes_s, 'B/s')}" if host.bandwidth_bytes_s else ""
        lines += _row("host memory", f"{text.size(host.capacity_bytes, 4)} {host.type}{speed}", width)
    lines.append("")
    ridge = chip_derived(chip)["ridge_point_ops_per_byte"]
    for dtype, peak in chip.peak_ops_s.items():
        headline = chip.headline_ops_s.get(dtype)
        extra = f"; the vendor's headline says {text.ops(headline, dtype)}" if headline else ""
        point = f", ridge point {text.number(ridge[dtype])} op/B" if dtype in ridge else ""
        lines += _row(f"peak {dtype}", f"{text.ops(peak, dtype, 4)} dense{point}{extra}", width)
    lines.append("")
    for link in chip.links:
        lines += _row(link.level.replace("_", "-"), _link(link), width)
    lines += _row("power", _power(chip), width)
    if chip.efficiency:
        shown = ", ".join(f"{key} {text.number(value)}" for key, value in chip.efficiency.items())
        lines += _row("efficiency", shown, width)
    lines += _bullets("notes", chip.notes, width)
    lines += _bullets("unconfirmed", _weak(chip), width)
    return lines + _sources(chip.sources, width)


def chip_derived(chip: Chip) -> dict[str, Any]:
    """Ridge points (operations per byte of the main memory at which compute becomes the limit) and grade."""
    bandwidth = chip.bandwidth_bytes_s
    ridge = {dtype: peak / bandwidth for dtype, peak in chip.peak_ops_s.items()} if bandwidth else {}
    return {
        "ridge_point_ops_per_byte": ridge,
        "interface_bandwidth_bytes_s": chip.main_memory.interface_bandwidth_bytes_s,
        "grade": chip.grade,
    }


def _memory(level: MemoryLevel) -> str:
    line = f"{text.size(level.capacity_bytes, 4)} {level.type}"
    if level.bandwidth_bytes_s:
        line += f", {text.rate(level.bandwidth_bytes_s, 'B/s')}"
    if level.stacks:
        line += f" from {level.stacks} stack{'s' if level.stacks > 1 else ''}"
        if level.bus_bits_per_stack and level.pin_rate_bit_s:
            line += f" x {level.bus_bits_per_stack:,} bit x {text.rate(level.pin_rate_bit_s, 'bit/s')}"
    interface, data_sheet = level.interface_bandwidth_bytes_s, level.datasheet_bandwidth_bytes_s
    if interface and data_sheet and abs(interface / data_sheet - 1) > 5e-3:
        line += f" (product {text.rate(interface, 'B/s')}, data sheet {text.rate(data_sheet, 'B/s')})"
    return line


def _link(link: Link) -> str:
    line = link.name
    if link.bandwidth_bytes_s:
        line += f", {text.rate(link.bandwidth_bytes_s, 'B/s')} per direction and chip"
    if link.measured_bandwidth_bytes_s:
        line += f" ({text.rate(link.measured_bandwidth_bytes_s, 'B/s')} measured)"
    return line + (f", joins {link.domain_chips:,} chips" if link.domain_chips else "")


def _power(chip: Chip) -> str:
    parts = [
        f"{text.rate(value, 'W', 4)} {label}"
        for value, label in (
            (chip.power.tdp_w, "at most"),
            (chip.power.system_power_per_chip_w, f"with its share of {chip.power.system or 'the system'}"),
        )
        if value
    ]
    return ", ".join(parts) or "not published"


def _weak(chip: Chip) -> list[str]:
    """The fields that nobody has confirmed, and those derived or weakly sourced."""

    def graded(grade: str) -> list[str]:
        return [field or "whatever is not named otherwise" for field, g in chip.grades.items() if g == grade]

    unconfirmed = dict.fromkeys([*chip.unverified, *graded("D")])
    derived = [field for field in graded("C") if field not in unconfirmed]
    lines = [f"unconfirmed (grade D): {', '.join(unconfirmed)}"] if unconfirmed else []
    return lines + ([f"derived or weakly sourced (grade C): {', '.join(derived)}"] if derived else [])


def model_lines(model: Model, width: int) -> list[str]:
    """The page of a model."""
    kind = "mixture of experts" if model.is_moe else "dense"
    facts = [kind, model.release_date, f"shapes grade {model.grade}"]
    lines = _title(model, [fact for fact in facts if fact], width)
    context = f"context {model.max_context:,}" if model.max_context else ""
    shape = [
        f"{model.layers} layers, width {model.hidden:,}, vocabulary {model.vocab:,}"
        + (", tied embedding" if model.tied else ""),
        context,
        f"released as {model.native_format}",
    ]
    lines += [*text.wrap("; ".join(part for part in shape if part) + ".", width), ""]
    total = f"{text.count(model.params_total, 4)}, {text.count(model.params_active, 4)} active per token"
    if model.published_params:
        gap = model.params_total / model.published_params - 1
        total += f"; published {text.count(model.published_params, 4)} ({gap:+.2%})"
    lines += _row("parameters", total, width)
    for part, count in model.params_by_part.items():
        if count:
            share = f"{count / model.params_total:.1%}"
            lines += _row("", f"{part.replace('_', ' '):<12}{text.count(count, 4):>9}  {share:>6}", width)
    if model.mtp_params:
        lines += _row("", f"and {text.count(model.mtp_params)} for {model.mtp_layers} draft layer(s)", width)
    lines.append("")
    for group in model.groups:
        lines += _row(f"{group.count} x layer", _layer(group), width)
    lines.append("")
    for label, number_bytes in (("16 bit", 2.0), ("8 bit", 1.0)):
        token = text.size(model.kv_bytes_per_token(number_bytes), 4)
        at = [f"{text.size(float(model.kv_bytes(n, number_bytes)))} at {n:,}" for n in _CONTEXTS]
        lines += _row(f"KV {label}", f"{token} per token; {', '.join(at)} tokens", width)
    if model.state_bytes:
        lines += _row("state", f"{text.size(model.state_bytes)} per sequence, whatever its length", width)
    lines += _bullets("notes", [*model.notes, *([model.published_note] if model.published_note else [])], width)
    lines += _bullets("unconfirmed", model.unverified, width)
    return lines + _sources(model.sources, width)


def model_derived(model: Model) -> dict[str, Any]:
    """Parameters by part, and bytes of KV cache per token."""
    return {
        "params_total": model.params_total,
        "params_active": model.params_active,
        "params_by_part": model.params_by_part,
        "kv_bytes_per_token_16_bit": model.kv_bytes_per_token(2.0),
        "kv_bytes_per_token_8_bit": model.kv_bytes_per_token(1.0),
        "kv_bytes_16_bit": {str(n): model.kv_bytes(n, 2.0) for n in _CONTEXTS},
        "state_bytes": model.state_bytes,
    }


def _layer(group: LayerGroup) -> str:
    return f"{_attention(group.attention)}; {_ffn(group.ffn)}"


def _attention(attention: Attention) -> str:
    line = f"{attention.kind} attention, {attention.heads} heads x {attention.head_dim}"
    if attention.kind == "mla":
        return line + f", latent {attention.kv_lora_rank} + {attention.rope_dim}"
    if attention.kind != "linear":
        line += f", {attention.kv_heads} KV heads"
    if attention.window:
        line += f", window {attention.window:,}"
    return line + (", K = V" if attention.shared_kv else "")


def _ffn(ffn: FeedForward) -> str:
    if ffn.kind != "moe":
        return f"FFN {ffn.width:,}"
    shared = f" + shared {ffn.width:,}" if ffn.dense_params else ""
    return f"{ffn.experts} experts x {ffn.expert_width:,}, {ffn.top_k} per token{shared}"


def memory_lines(memory: MemoryGeneration, width: int) -> list[str]:
    """The page of a memory generation."""
    lines = [*_title(memory, [str(memory.year), memory.status, f"grade {memory.grade}"], width), ""]
    if memory.bus_bits:
        channels = f" in {memory.channels} channels" if memory.channels else ""
        lines += _row("interface", f"{memory.bus_bits:,} bit{channels} per {memory.scope}", width)
    pin = text.rate(memory.pin_rate_bit_s, "bit/s")
    if memory.pin_rate_range_bit_s:
        pin += f" ({_range(memory.pin_rate_range_bit_s, 'bit/s')})"
    lines += _row("pin rate", pin, width)
    span = _range(memory.bandwidth_range_bytes_s, "B/s")
    lines += _row("bandwidth", f"{text.rate(memory.bandwidth_bytes_s, 'B/s')} per {memory.scope} ({span})", width)
    options = ", ".join(text.size(value) for value in memory.capacity_options_bytes)
    of = f" (of {options})" if len(memory.capacity_options_bytes) > 1 else ""
    lines += _row("capacity", f"{text.size(memory.capacity_bytes)} per {memory.scope}{of}", width)
    if memory.stack_heights:
        lines += _row("stacked", f"{', '.join(map(str, memory.stack_heights))} high", width)
    derived = memory_derived(memory)
    lines += _row("read it all", f"{text.seconds(derived['seconds_to_read_all'])} at full bandwidth", width)
    if memory.energy_j_per_bit:
        lines += _row("energy", f"{_range(memory.energy_j_per_bit, 'J/bit')}", width)
    if memory.price_usd_per_gb:
        low, high = memory.price_usd_per_gb
        lines += _row("price", f"{low:g} to {high:g} USD per GB, {memory.price_date}", width)
    lines += _bullets("notes", memory.notes, width)
    weak = [field or "every other field" for field, grade in memory.grades.items() if grade == "D"]
    lines += _bullets("unconfirmed", [f"grade D: {', '.join(weak)}"] if weak else [], width)
    return lines + _sources(memory.sources, width)


def memory_derived(memory: MemoryGeneration) -> dict[str, Any]:
    """Seconds to read the whole capacity once: the floor of a decode step over a full memory."""
    return {"seconds_to_read_all": memory.capacity_bytes / memory.bandwidth_bytes_s}


def _range(ends: tuple[float, float], unit: str) -> str:
    low, high = (text.rate(end, unit) if end >= 1e-9 else f"{end * 1e12:.3g} p{unit}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _title(thing: Any, facts: list[str], width: int) -> list[str]:
    vendor = [] if not getattr(thing, "vendor", "") or thing.name.startswith(thing.vendor) else [thing.vendor]
    lines = text.wrap(f"{thing.name} ({thing.id}): {', '.join([*vendor, *facts])}", width)
    return lines + (text.wrap(f"Also called {', '.join(thing.aliases)}.", width) if thing.aliases else [])


def _row(label: str, value: str, width: int) -> list[str]:
    return text.wrap(value, width, f"{label:<{_LABEL}}" if len(label) < _LABEL else f"{label} ", " " * _LABEL)


def _bullets(title: str, items: Iterable[str], width: int) -> list[str]:
    lines = [line for item in items for line in text.wrap(item, width, "  - ", "    ")]
    return ["", title, *lines] if lines else []


def _sources(sources: Iterable[Source], width: int) -> list[str]:
    items = []
    for source in sources:
        parts = [source.url or "no page", str(source.date), f"grade {source.grade}", source.covers, source.note]
        items.append(", ".join(part for part in parts if part))
    return _bullets("sources", items, width)
