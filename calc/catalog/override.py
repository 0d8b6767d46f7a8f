"""What-ifs on a chip file before it is checked: fields by dotted path, another memory generation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, get_args

from ..errors import SpecError, UsageError
from ..hardware.chip import MemoryLevel
from ..hardware.memory import MemoryGeneration
from ..units import parse, si

_STACK_KEYS = ("stacks", "bus_bits_per_stack", "pin_rate")
_FREE = ("id", "aliases", "about", "grades", "sources", "efficiency")


def apply_overrides(raw: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Copy of a chip file's table with fields replaced: {"memory.hbm.pin_rate": "8 Gbit/s"}.

    Stacks, width or pin rate scale the datasheet bandwidth in proportion, and stacks the capacity too, unless
    that figure is overridden as well. A bandwidth alone moves the pin rate, a chip's power that of its system.
    Raises SpecError that names the valid paths.
    """
    table = copy.deepcopy(dict(raw))
    paths = {path.strip(): value for path, value in overrides.items()}
    valid = _valid_paths(table)
    grades = dict(table.get("grades", {}))
    for path, value in paths.items():
        known = path.split(".")[:2] if path.startswith("efficiency.") else [path]
        if ".".join(known) not in valid or len(path) >= 100:
            raise SpecError(f"{where} has no field '{path[:80]}' to set; valid are {_shown(path, valid)}")
        *sections, key = path.split(".")
        target = table
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise SpecError(f"{where}: {path} lies below a value, not a table; set {section} itself")
        target[key] = _typed(path, value)
        if sections and sections[0] in ("memory", "peak_dense", "links", "power", "host_memory"):
            grades[path] = "D"  # a what-if has no source
    table["grades"] = grades
    for name in table.get("memory", {}):
        touched = {key for key in table["memory"][name] if f"memory.{name}.{key}" in paths}
        if touched:
            _rescale(table["memory"][name], raw.get("memory", {}).get(name, {}), touched, f"{where}: memory.{name}")
    if "power.tdp" in paths:
        _move_system_power(table["power"], raw.get("power", {}), paths)
    for path, value in paths.items():
        link = table["links"][path.split(".")[1]] if path.startswith("links.") else {}
        if path.endswith(".per_direction"):
            link.pop("both_directions", None)
        elif path.endswith(".both_directions") and path.replace("both_directions", "per_direction") not in paths:
            link["per_direction"] = f"{_number(str(value), 'bandwidth', path) / 2!r} B/s"
    return table


def _move_system_power(power: dict[str, Any], before: Mapping[str, Any], paths: Mapping[str, Any]) -> None:
    """A system's power follows that of its chips: system + chips x (new - old), unless it is set as well.

    >>> h100 = {"tdp": "700 W", "system_power": "10.2 kW", "chips_in_system": 8}
    >>> at_300_w = h100 | {"tdp": "300 W"}
    >>> _move_system_power(at_300_w, h100, {"power.tdp": "300 W"})
    >>> at_300_w["system_power"]
    '7000.0 W'
    """
    known = {"tdp", "system_power", "chips_in_system"} <= before.keys()
    if not known or {"power.system_power", "power.chips_in_system"} & paths.keys():
        return
    new = _number(str(power["tdp"]), "power", "power.tdp")
    old = _number(str(before["tdp"]), "power", "power.tdp")
    system = _number(str(before["system_power"]), "power", "power.system_power")
    power["system_power"] = f"{system + int(before['chips_in_system']) * (new - old)!r} W"


_WHOLE = (".stacks", ".bus_bits_per_stack", ".domain_chips", ".links", "chips_in_system")


def _typed(path: str, value: Any) -> Any:
    """An override as the schema wants it: text of a command line becomes a number where one belongs."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    whole = path.endswith(_WHOLE) or path in ("chips_per_system", "year")
    if whole or path.startswith("efficiency."):
        try:
            return int(text) if whole else float(text)
        except ValueError:
            raise UsageError(f"{path} is '{text}'; expected a {'whole ' * whole}number") from None
    if path.endswith(".shared_with_cpu"):
        return text.lower() in ("true", "1", "yes")
    return text


def _valid_paths(table: Mapping[str, Any]) -> list[str]:
    """Every dotted field that may be set on this file: the schema's keys, for its levels and links."""
    from . import schema_chip as schema

    nested = ("peak_dense", "vendor_headline", "memory", "links", "power", "host_memory")
    paths = [key for key in schema.ChipTable.model_fields if key not in _FREE and key not in nested]
    paths += [f"memory.{name}.{key}" for name in table.get("memory", {}) for key in schema.MemoryTable.model_fields]
    paths += [f"links.{name}.{key}" for name in table.get("links", {}) for key in schema.LinkTable.model_fields]
    paths += [f"power.{key}" for key in schema.PowerTable.model_fields]
    paths += [f"peak_dense.{name}" for name in get_args(schema.Format)]
    paths += [f"efficiency.{name}" for name in schema.EFFICIENCY]
    if "host_memory" in table:
        paths += [f"host_memory.{key}" for key in schema.HostMemoryTable.model_fields]
    return paths


def _shown(path: str, valid: list[str]) -> str:
    """The valid paths nearest to what was written: those of its section if it has one, else the sections."""
    from difflib import get_close_matches

    section = path.partition(".")[0]
    same = [name for name in valid if name.startswith(f"{section}.")]
    close = get_close_matches(path, valid, n=3, cutoff=0.6)
    shown = list(dict.fromkeys([*close, *same]))[:12]
    return ", ".join(shown) if shown else ", ".join(dict.fromkeys(name.split(".")[0] for name in valid))


def _number(text: str, kind: str, path: str) -> float:
    try:
        return parse(text, kind)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _rescale(level: dict[str, Any], before: Mapping[str, Any], touched: set[str], where: str) -> None:
    """Bring bandwidth and capacity of one memory level in line with the fields that were set."""
    if touched & set(_STACK_KEYS):
        missing = [key for key in _STACK_KEYS if key not in level]
        if missing:
            raise SpecError(
                f"{where} has no {missing[0]}: its stack structure is not published; "
                "set its bandwidth and capacity instead"
            )
        if "bandwidth" in before and "bandwidth" not in touched and all(key in before for key in _STACK_KEYS):
            ratio = _product(level, where) / _product(before, where)
            level["bandwidth"] = f"{_number(before['bandwidth'], 'bandwidth', where) * ratio!r} B/s"
        if "stacks" in touched and "stacks" in before:
            for key in ("capacity", "physical_capacity"):
                if key in before and key not in touched:
                    size = _number(before[key], "capacity", where) * int(level["stacks"]) / int(before["stacks"])
                    level[key] = f"{size!r} B"
    elif "bandwidth" in touched and "pin_rate" in before and "bandwidth" in before:
        ratio = _number(level["bandwidth"], "bandwidth", where) / _number(before["bandwidth"], "bandwidth", where)
        level["pin_rate"] = f"{_number(before['pin_rate'], 'bitrate', where) * ratio!r} bit/s"
        level["pin_basis"] = "derived"
    if "capacity" in touched and "physical_capacity" in level and "physical_capacity" not in touched:
        level.pop("physical_capacity")


def _product(level: Mapping[str, Any], where: str) -> float:
    return int(level["stacks"]) * int(level["bus_bits_per_stack"]) * _number(str(level["pin_rate"]), "bitrate", where)


def swap_memory(raw: Mapping[str, Any], generation: MemoryGeneration, where: str) -> dict[str, Any]:
    """Copy of a chip file's table with its main memory replaced by another generation, stack for stack.

    The number of stacks stays; width, pin rate and capacity per stack are the generation's nominal point.
    Between device memories (GDDR, LPDDR, DDR) the bus width stays and is filled with devices of the new kind.
    """
    table = copy.deepcopy(dict(raw))
    name = table.get("weights_in")
    level = table.get("memory", {}).get(name)
    if not isinstance(level, dict):
        return table
    kind = str(level.get("type", "")).upper()
    instead = f"set memory.{name}.bandwidth and memory.{name}.capacity instead"
    if kind.startswith("SRAM"):
        raise SpecError(
            f"{where} holds weights in SRAM and has no memory stacks to swap; "
            f"set memory.{name}.capacity and memory.{name}.bandwidth instead"
        )
    if generation.scope == "chip" or generation.bus_bits is None or generation.pin_rate_bit_s is None:
        raise SpecError(f"{generation.name} has no published stack structure to swap in; {instead}")
    if "stacks" not in level or "bus_bits_per_stack" not in level:
        raise SpecError(
            f"{where} does not publish its memory stacks, so {generation.name} cannot replace them; {instead}"
        )
    stacks, bits = int(level["stacks"]), int(level["bus_bits_per_stack"])
    stacked = kind.startswith("HBM")
    if stacked != (generation.scope == "stack"):
        has = f"{stacks} stacks of {level['type']}" if stacked else f"a {stacks * bits}-bit bus of {level['type']}"
        raise SpecError(f"{where} has {has}, which {generation.name} cannot replace one for one; {instead}")
    units = stacks if stacked else max(stacks * bits // generation.bus_bits, 1)
    new = {
        "type": generation.name,
        "generation": generation.id,
        "stacks": units,
        "bus_bits_per_stack": generation.bus_bits,
        "pin_rate": f"{generation.pin_rate_bit_s!r} bit/s",
        "capacity": f"{units * generation.capacity_bytes!r} B",
        "bandwidth": f"{units * generation.bandwidth_bytes_s!r} B/s",
    }
    kept = {key: level[key] for key in ("shared_with_cpu", "label") if key in level}
    table["memory"][name] = {**new, **kept}
    grades = {path: grade for path, grade in table.get("grades", {}).items() if not path.startswith(f"memory.{name}")}
    table["grades"] = {**grades, f"memory.{name}": "D"}
    return table


def swap_note(level: MemoryLevel, before: MemoryLevel) -> str:
    """The memory that a swap put in place, after the overrides, in a sentence.

    >>> five = MemoryLevel("hbm", "HBM3", "hbm3", 80e9, 3.35e12, stacks=5)
    >>> swap_note(MemoryLevel("hbm", "HBM4", "hbm4", 216e9, 12e12, stacks=6, pin_rate_bit_s=8e9), five)
    'What-if: 6 x HBM4 at 8 Gbit/s and 36 GB each, in place of HBM3.'
    """
    stacks, pin = level.stacks or 1, level.pin_rate_bit_s
    rate = f" at {pin / 1e9:.4g} Gbit/s and" if pin else ","
    each = si(level.capacity_bytes / stacks, "B")
    return f"What-if: {stacks} x {level.type}{rate} {each} each, in place of {before.type}."
