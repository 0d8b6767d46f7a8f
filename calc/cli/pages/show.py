"""The pages of `tokcalc show`: a chip, a model or a memory generation as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import text

if TYPE_CHECKING:
    from ...hardware.chip import Chip, Link, MemoryLevel
    from ...hardware.memory import MemoryGeneration
    from ...models.model import Attention, FeedForward, Model

_LABEL = 14
_CONTEXTS = (1024, 8192, 131072)
Row = tuple[str, str]
_GAP: Row = ("", "")


def chip_lines(chip: Chip, width: int) -> list[str]:
    """The page of a chip."""
    lines = _title(chip, [chip.kind, str(chip.year), chip.status, f"grade {chip.grade}"], width)
    system = f"{chip.chips_per_system} per system" if chip.chips_per_system else ""
    about = (chip.unit, chip.form_factor, chip.process_node, system)
    lines += text.wrap("; ".join(part for part in about if part) + ".", width)
    main = " (weights and KV cache)"
    rows: list[Row] = [_GAP]
    rows += [(f"memory {m.name}", _memory(m) + (main if m.name == chip.weights_in else "")) for m in chip.memory]
    if chip.host_memory:
        host = chip.host_memory
        speed = f", {text.rate(host.bandwidth_bytes_s, 'B/s')}" if host.bandwidth_bytes_s else ""
        rows.append(("host memory", f"{text.size(host.capacity_bytes, 4)} {host.type}{speed}"))
    rows.append(_GAP)
    ridge = chip_derived(chip)["ridge_point_ops_per_byte"]
    for dtype, peak in chip.peak_ops_s.items():
        headline = chip.headline_ops_s.get(dtype)
        extra = f"; the vendor's headline says {text.ops(headline, dtype)}" if headline else ""
        point = f", ridge point {text.number(ridge[dtype])} op/B" if dtype in ridge else ""
        rows.append((f"peak {dtype}", f"{text.ops(peak, dtype, 4)} dense{point}{extra}"))
    rows += [_GAP, *((link.level.replace("_", "-"), _link(link)) for link in chip.links), ("power", _power(chip))]
    efficiency = ", ".join(f"{key} {text.number(value)}" for key, value in chip.efficiency.items())
    lines += _rows([*rows, ("efficiency", efficiency)], width)
    return lines + _foot(chip, chip.notes, _weak(chip), width)


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
    tied = ", tied embedding" if model.tied else ""
    context = f"context {model.max_context:,}; " if model.max_context else ""
    shape = f"{model.layers} layers, width {model.hidden:,}, vocabulary {model.vocab:,}{tied}; {context}"
    lines += text.wrap(f"{shape}released as {model.native_format}.", width)
    total = f"{text.count(model.params_total, 4)}, {text.count(model.params_active, 4)} active per token"
    if model.published_params:
        gap = model.params_total / model.published_params - 1
        total += f"; published {text.count(model.published_params, 4)} ({gap:+.2%})"
    rows: list[Row] = [_GAP, ("parameters", total)]
    for part, count in model.params_by_part.items():
        if count:
            share = f"{count / model.params_total:.1%}"
            rows.append(("", f"{part.replace('_', ' '):<12}{text.count(count, 4):>9}  {share:>6}"))
    if model.mtp_params:
        rows.append(("", f"and {text.count(model.mtp_params)} for {model.mtp_layers} draft layer(s)"))
    layers = [(f"{g.count} x layer", f"{_attention(g.attention)}; {_ffn(g.ffn)}") for g in model.groups]
    rows += [_GAP, *layers, _GAP]
    for label, number_bytes in (("16 bit", 2.0), ("8 bit", 1.0)):
        token = text.size(model.kv_bytes_per_token(number_bytes), 4)
        at = [f"{text.size(float(model.kv_bytes(n, number_bytes)))} at {n:,}" for n in _CONTEXTS]
        rows.append((f"KV {label}", f"{token} per token; {', '.join(at)} tokens"))
    if model.state_bytes:
        rows.append(("state", f"{text.size(model.state_bytes)} per sequence, whatever its length"))
    notes = [*model.notes, *([model.published_note] if model.published_note else [])]
    return lines + _rows(rows, width) + _foot(model, notes, model.unverified, width)


def model_derived(model: Model) -> dict[str, Any]:
    """Parameters by part, and bytes of KV cache per token."""
    return {
        **{name: getattr(model, name) for name in ("params_total", "params_active", "params_by_part")},
        "kv_bytes_per_token_16_bit": model.kv_bytes_per_token(2.0),
        "kv_bytes_per_token_8_bit": model.kv_bytes_per_token(1.0),
        "kv_bytes_16_bit": {str(n): model.kv_bytes(n, 2.0) for n in _CONTEXTS},
        "state_bytes": model.state_bytes,
    }


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
    rows: list[Row] = [_GAP]
    per = f"per {memory.scope}"
    if memory.bus_bits:
        channels = f" in {memory.channels} channels" if memory.channels else ""
        rows.append(("interface", f"{memory.bus_bits:,} bit{channels} {per}"))
    pins = memory.pin_rate_range_bit_s
    pin = f" ({_range(pins, 'bit/s')})" if pins else ""
    span = _range(memory.bandwidth_range_bytes_s, "B/s")
    options = memory.capacity_options_bytes
    of = f" (of {', '.join(map(text.size, options))})" if len(options) > 1 else ""
    rows += [
        ("pin rate", text.rate(memory.pin_rate_bit_s, "bit/s") + pin),
        ("bandwidth", f"{text.rate(memory.bandwidth_bytes_s, 'B/s')} {per} ({span})"),
        ("capacity", f"{text.size(memory.capacity_bytes)} {per}{of}"),
    ]
    if memory.stack_heights:
        rows.append(("stacked", f"{', '.join(map(str, memory.stack_heights))} high"))
    whole = memory_derived(memory)["seconds_to_read_all"]
    rows.append(("read it all", f"{text.seconds(whole)} at full bandwidth"))
    if memory.energy_j_per_bit:
        rows.append(("energy", _range(memory.energy_j_per_bit, "J/bit")))
    if memory.price_usd_per_gb:
        low, high = memory.price_usd_per_gb
        rows.append(("price", f"{low:g} to {high:g} USD per GB, {memory.price_date}"))
    weak = ", ".join(field or "every other field" for field, grade in memory.grades.items() if grade == "D")
    lines = _title(memory, [str(memory.year), memory.status, f"grade {memory.grade}"], width)
    return lines + _rows(rows, width) + _foot(memory, memory.notes, [f"grade D: {weak}"] if weak else [], width)


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


def _rows(rows: Iterable[Row], width: int) -> list[str]:
    """Labelled values, those without a value left out."""
    lines = []
    for label, value in rows:
        if value or not label:
            head = f"{label:<{_LABEL}}" if len(label) < _LABEL else f"{label} "
            lines += text.wrap(value, width, head, " " * _LABEL) if value else [""]
    return lines


def _foot(thing: Chip | Model | MemoryGeneration, notes: Iterable[str], doubts: Iterable[str], width: int) -> list[str]:
    """What the notes say, what nobody has confirmed, and where it comes from."""
    sources = [
        ", ".join(part for part in (s.url or "no page", str(s.date), f"grade {s.grade}", s.covers, s.note) if part)
        for s in thing.sources
    ]
    lines = []
    for title, items in (("notes", notes), ("unconfirmed", doubts), ("sources", sources)):
        under = [line for item in items for line in text.wrap(item, width, "  - ", "    ")]
        lines += ["", title, *under] if under else []
    return lines


class Page(NamedTuple):
    """How a kind of thing is shown: its lines, and what is derived from it."""

    lines: Callable[[Any, int], list[str]]
    derived: Callable[[Any], dict[str, Any]]


PAGES = {
    "chip": Page(chip_lines, chip_derived),
    "model": Page(model_lines, model_derived),
    "memory": Page(memory_lines, memory_derived),
}
