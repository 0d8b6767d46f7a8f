"""The spec file of this machine, and its samples beside it: written whole or not at all, to the user's spec folder.

The file has the schema of every other chip: peaks and bandwidth are those measured here, the efficiency table is
relative to them. `catalog` reads the file like any other.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from ..catalog.files import builtin_folder, parse_toml, user_folder
from ..catalog.toml import rounded, to_toml, write_toml
from ..errors import UsageError
from ..report.files import whole_file
from .kernels.bandwidth import best
from .machine import Accelerator
from .predict import Run
from .results import Found

ENGINE_ORDER = ("llama.cpp", "torch", "numpy")
"""Whose constants the file's main table takes: the engine that people decode with comes first."""
_CACHES = {"llama.cpp": ("fp16", "q8_0", "q4_0")}
"""Formats of cache that an engine reads with the kernel that was probed in one of them."""
_FAMILIES = {
    "hopper": ("h100", "h200", "h800", "h20", "gh200"),
    "blackwell": ("b200", "b300", "gb200", "rtx 50"),
    "ampere": ("a100", "a10", "rtx 30"),
    "ada": ("l40", "l4", "rtx 40"),
    "cdna3": ("mi300", "mi325"),
    "cdna4": ("mi35",),
    "apple": ("apple",),
    "xe": ("arc",),
}
Table = dict[str, Any]


def check_name(name: str) -> str:
    """The id of the spec, or UsageError for one that no spec can have or that a shipped chip already has."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,59}", name):
        raise UsageError(f"--name '{name}' is no spec name; use lower-case letters, digits, '-', '.' and '+'")
    if (builtin_folder("chips") / f"{name}.toml").exists():
        raise UsageError(f"--name '{name}' is a chip of the catalogue; choose another name, as 'local'")
    return name


def target_folder() -> Path:
    """The user's folder of chips, made if need be; UsageError in one sentence if it can't be written to."""
    folder = user_folder("chips")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        way_out = "set TOKCALC_SPECS to a folder of yours"
        raise UsageError(f"{folder} can't be written to ({error.strerror}); {way_out}") from None
    return folder


def write_spec(found: Found, name: str) -> tuple[Path, Path]:
    """Write NAME.toml and NAME.samples.json to the user's folder; returns both paths."""
    from ..catalog.schema_chip import check_chip

    folder = target_folder()
    spec, samples = folder / f"{name}.toml", folder / f"{name}.samples.json"
    tables = spec_tables(found, name)
    check_chip(parse_toml(to_toml(tables).encode(), str(spec)), str(spec))
    with whole_file(samples) as part:
        part.write_text(json.dumps(samples_of(found), indent=1, allow_nan=False), encoding="utf-8")
    head = f"This machine, measured by `tokcalc bench`; the raw samples stand in {samples.name} beside it.\n"
    write_toml(
        spec, head + "Peaks and bandwidth are the best measured here, the efficiency table is relative to them.", tables
    )
    return spec, samples


def constants_of(found: Found) -> dict[str, float]:
    """Every constant of the machine as a flat table: what two runs are compared by."""
    out = {"bandwidth_bytes_s": found.roofs.bandwidth_bytes_s}
    for kind in ("triad", "copy"):
        out[f"{kind}_bytes_s"] = best(found.streams, kind).best_bytes_s
    out.update({f"cache.{s.kernel}": s.best_bytes_s for s in found.caches})
    out.update({f"peak.{dtype}": rate for dtype, rate in found.peaks.items()})
    for dtype, fit in found.kernels.items():
        out.update({f"kernel.{dtype}.{key}": value for key, value in fit.constants().items()})
    for engine, constants in found.engines.items():
        out.update({f"{engine}.{key}": value for key, value in _flat(constants.efficiency()).items()})
    return out


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    out: dict[str, float] = {}
    for key, value in table.items():
        path = f"{prefix}.{key}" if prefix else key
        out.update(_flat(value, path) if isinstance(value, Mapping) else {path: float(value)})
    return out


def samples_of(found: Found) -> dict[str, Any]:
    """Raw samples and results as plain JSON."""
    errors = {n: {"median_error": c.median_error, "worst_error": c.worst_error} for n, c in found.engines.items()}
    return {
        "date": date.today().isoformat(),
        "machine": asdict(found.machine),
        "quick": found.options.quick,
        "threads": found.threads,
        "others_cores": found.others,
        "seconds": found.took_s,
        "constants": constants_of(found),
        "streams": [s.to_dict() for s in (*found.streams, *found.caches, *found.sweep)],
        "products": [p.to_dict() for p in found.products],
        "left_out": found.left_out,
        "all_reduce": found.all_reduce,
        "probes": [{"engine": n, **_run(r), "seconds": s.to_dict()} for n, r, s in found.probes],
        "engines": {n: {"description": found.engine_names[n], **error} for n, error in errors.items()},
        "checks": [
            {"engine": j.engine, **_run(j.run), "predicted_s": j.predicted_s, "seconds": j.measured.to_dict()}
            for j in found.judged
        ],
        "visits": [asdict(s) for s in found.states],
        "notes": found.notes,
    }


def _run(run: Run) -> dict[str, Any]:
    """Shape, formats and request of a run in plain words."""
    request = {key: getattr(run.request, key) for key in ("kind", "tokens", "past", "context", "batch")}
    return {"model": run.shape.name, "weights": run.weights, "kv": run.kv, **request}


def spec_tables(found: Found, name: str) -> Table:
    """The chip file as nested tables."""
    m, today = found.machine, date.today()
    gpu = _accelerator(found)
    title = gpu.name if gpu else f"{m.cpu} ({m.cores} cores)"
    tier = "dram" if gpu else "ddr"
    machine = "local-gpu" if gpu else "arm" if any(word in m.system for word in ("arm64", "aarch64")) else "x86"
    own = (family for family, words in _FAMILIES.items() if any(word in title.lower() for word in words))
    memory: Table = {}
    last = found.caches[-1] if found.caches else None
    if last is not None and last.kernel == "read L3":
        size = f"{next(c.size_bytes for c in m.caches if c.level == 3) / 1e6:.6g} MB"
        memory["l3"] = {"type": "SRAM", "label": "L3", "capacity": size, "bandwidth": _rate(last.best_bytes_s, "B/s")}
    memory[tier] = {
        "type": "device memory" if gpu else "DRAM, read by all cores",
        "capacity": f"{(gpu.memory_bytes if gpu else m.memory_bytes) / 1e9:.6g} GB",
        "bandwidth": _rate(found.roofs.bandwidth_bytes_s, "B/s"),
    }
    tables: Table = {
        "id": name,
        "name": f"{title}, measured here",
        "vendor": gpu.kind if gpu else m.vendor or "unknown",
        "aliases": [],
        "kind": "gpu" if gpu else "cpu",
        "family": next(own, machine),
        "year": today.year,
        "status": "shipping",
        "unit": "one device" if gpu else "this machine",
        "weights_in": tier,
        "peak_dense": {
            dtype: _rate(rate, "OP/s" if dtype.startswith("int") else "FLOP/s") for dtype, rate in found.peaks.items()
        },
        "memory": memory,
        "efficiency": _efficiency(found),
        "about": {"notes": [" ".join(note.split()) for note in _notes(found)]},
        "grades": {"default": "C"},
    }
    if fit := found.all_reduce.get("fit"):
        rate, chips = _rate(fit["bandwidth_bytes_s"], "B/s"), found.all_reduce["ranks"]
        tables["links"] = {"scale_up": {"name": "measured all-reduce", "per_direction": rate, "domain_chips": chips}}
    note = f"measured here with tokcalc bench: {'; '.join(found.engine_names.values()) or m.blas}"
    tables["sources"] = [{"date": today, "grade": "C", "note": note}]
    return tables


def _rate(value: float, unit: str) -> str:
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.5g} {prefix}{unit}"
    return f"{value:.5g} {unit}"


def _accelerator(found: Found) -> Accelerator | None:
    kind, _, index = found.options.device.partition(":")
    if kind == "cpu":
        return None
    return next((a for a in found.machine.accelerators if a.index == int(index or 0)), None)


def _notes(found: Found) -> list[str]:
    stream = best(found.streams, "read")
    out = [f"Bandwidth: {stream.kernel} of {stream.array_bytes / 1e6:.0f} MB arrays on {stream.threads} threads."]
    out += [f"Peak {dtype}: {library}." for dtype, library in found.peak_library.items()]
    out += [f"Left out: {key}: {reason}." for key, reason in found.left_out.items()]
    return out + [n if n.endswith(".") else n + "." for n in found.notes]


def _efficiency(found: Found) -> dict[str, Table]:
    """The main engine's constants; formats that it does not run come from the other engines, else from the kernels."""
    tables: dict[str, Table] = {}
    for engine in reversed([e for e in ENGINE_ORDER if e in found.engines]):
        own = found.engines[engine].efficiency()
        for kind in ("attention_decode", "attention_prefill"):
            own[kind] |= dict.fromkeys(_CACHES.get(engine, ()), own[kind]["any"])
        by_format = ("kernel", "attention_decode", "attention_prefill")
        tables = {**tables, **own, **{k: {**tables.get(k, {}), **own[k]} for k in by_format}}
    kernel = tables.setdefault("kernel", {})
    for dtype, fit in found.kernels.items():
        kernel.setdefault(dtype, fit.constants())
    short: dict[str, Table] = _each(tables, lambda value: rounded(value, 5))
    return short


def _each(table: Any, change: Callable[[float], float]) -> Any:
    """Nested tables with every number changed."""
    return {key: _each(v, change) for key, v in table.items()} if isinstance(table, dict) else change(table)
