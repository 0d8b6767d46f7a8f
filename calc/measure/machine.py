"""What this machine is: processor, caches, memory, BLAS, graphics processors.

Each detector fails to "unknown", never aloud. Uses psutil, py-cpuinfo, threadpoolctl, NVML and PyTorch where they are
installed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .load import available_cores, psutil_or_none

ASSUMED_LLC = 32 << 20
"""Last-level cache where the system does not tell; probes take arrays four times as large."""
_SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm", "sve")
_VENDORS = ("AMD", "Intel", "Apple", "NVIDIA", "Qualcomm", "Ampere")


@dataclass(frozen=True)
class Cache:
    """One level of data cache: bytes of one instance as the first core sees it."""

    level: int
    size_bytes: int


@dataclass(frozen=True)
class Accelerator:
    """One device that PyTorch drives: kind cuda, rocm, mps or xpu."""

    kind: str
    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """What was found; empty or 0 where it could not be known."""

    cpu: str
    vendor: str
    cores: int
    frequency_hz: float
    features: tuple[str, ...]
    caches: tuple[Cache, ...]
    memory_bytes: int
    system: str
    blas: str
    accelerators: tuple[Accelerator, ...]

    @property
    def llc_bytes(self) -> int:
        """The largest cache, or an assumed 32 MiB."""
        return max((c.size_bytes for c in self.caches), default=ASSUMED_LLC)


def identify(with_torch: bool = True) -> Machine:
    """Look at the machine; about a second, most of it the processor's name."""
    info = _cpuinfo()
    cpu = str(info.get("brand_raw") or platform.processor() or platform.machine() or "unknown processor")
    maker = str(info.get("vendor_id_raw", ""))
    named = next((vendor for vendor in _VENDORS if vendor.lower() in cpu.lower()), "unknown")
    largest = str(info.get("l3_cache_size") or info.get("l2_cache_size") or 0)
    told = (Cache(3, int(largest)),) if largest.isdigit() and int(largest) else ()
    return Machine(
        cpu,
        vendor={"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}.get(maker, maker or named),
        cores=available_cores(),
        frequency_hz=float(info.get("hz_actual", (0,))[0] or info.get("hz_advertised", (0,))[0]),
        features=tuple(flag for flag in _FLAGS if flag in info.get("flags", ())),
        caches=_caches() or told,
        memory_bytes=memory_bytes(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}",
        blas=blas_name(),
        accelerators=_accelerators() if with_torch else (),
    )


def _cpuinfo() -> dict[str, Any]:
    try:
        import cpuinfo

        return dict(cpuinfo.get_cpu_info())
    except Exception:  # it starts processes and reads what it likes; nothing of that matters here
        return {}


def _caches() -> tuple[Cache, ...]:
    """Data and unified caches of the first core, from sysfs (Linux) or sysctl (macOS)."""
    found: dict[int, int] = {}
    for folder in sorted(_SYSFS.glob("index*")):
        with suppress(OSError, ValueError):
            if (folder / "type").read_text().strip() != "Instruction":
                text = (folder / "size").read_text().strip()
                size = int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
                found[int((folder / "level").read_text())] = size
    if not found and sys.platform == "darwin":
        for level, key in ((1, "hw.l1dcachesize"), (2, "hw.perflevel0.l2cachesize")):
            with suppress(OSError, ValueError, subprocess.SubprocessError):
                out = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, timeout=5, check=True)
                found[level] = int(out.stdout)
    return tuple(Cache(level, size) for level, size in sorted(found.items()))


def memory_bytes() -> int:
    """Installed memory in bytes, or a container's limit where that is smaller; 0 if it can't be known."""
    psutil = psutil_or_none()
    try:
        total = psutil.virtual_memory().total if psutil else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return 0
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            total = min(total, int(Path(limit).read_text()))
    return int(total)


def free_memory_bytes() -> int:
    """Memory that can be had without swapping; the installed memory where it can't be known."""
    psutil = psutil_or_none()
    return int(psutil.virtual_memory().available) if psutil else memory_bytes()


def blas_name() -> str:
    """Library behind NumPy's matrix product, with version: "OpenBLAS 0.3.31 (SkylakeX)"."""
    import numpy as np

    with suppress(ImportError):
        from threadpoolctl import threadpool_info

        np.dot(np.ones((2, 2)), np.ones((2, 2)))  # loads the library
        for pool in threadpool_info():
            if pool.get("user_api") == "blas":
                core = f" ({pool['architecture']})" if pool.get("architecture") else ""
                return f"{pool['internal_api']} {pool.get('version') or ''}".strip() + core
    try:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError, ValueError):
        return "unknown BLAS"


def limit_blas(threads: int) -> Callable[[], None]:
    """Keep NumPy's BLAS to that many threads (needs threadpoolctl); returns what lifts the limit."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return lambda: None
    limits = threadpool_limits(threads, user_api="blas")
    lift: Callable[[], None] = limits.unregister
    return lift


def torch_or_none() -> Any:
    """The torch module, or None where it is not installed or does not load."""
    try:
        import torch
    except (ImportError, OSError):
        return None
    return torch


def need_torch() -> Any:
    """The torch module; UsageError with the way to get it where it is not installed."""
    torch = torch_or_none()
    if torch is None:
        raise UsageError("PyTorch is not installed; `pip install tokcalc[torch]`, or leave torch out of --engine")
    return torch


def synchronise(device: str) -> None:
    """Block until the device has done what PyTorch queued on it."""
    getattr(need_torch(), device.partition(":")[0]).synchronize()


def _accelerators() -> tuple[Accelerator, ...]:
    torch = torch_or_none()
    if torch is None:
        return ()
    out: list[Accelerator] = []
    with suppress(RuntimeError, AttributeError, OSError):
        driver = torch.cuda if torch.cuda.is_available() else getattr(torch, "xpu", None)
        if driver is not None and driver.is_available():
            kind = "xpu" if driver is not torch.cuda else "rocm" if getattr(torch.version, "hip", None) else "cuda"
            for i in range(driver.device_count()):
                p = driver.get_device_properties(i)
                out.append(Accelerator(kind, i, str(p.name), int(p.total_memory)))
        elif torch.backends.mps.is_available():
            limit = int(getattr(torch.mps, "recommended_max_memory", lambda: 0)())
            out.append(Accelerator("mps", 0, "Apple GPU", limit or memory_bytes()))
    return tuple(out)
