"""Energy that a stretch of work took, from RAPL counters (processor packages) or NVML (NVIDIA boards), where readable.

Neither needs root where the system allows reading; where it does not, there is simply no energy figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")


class Meter:
    """Joules between `start()` and `joules()`; source says which counter, empty if none is readable."""

    def __init__(self, gpu: bool = False) -> None:
        self._rapl = [] if gpu else _packages()
        self._nvml = _board() if gpu else None
        self.source = "RAPL" if self._rapl else "NVML" if self._nvml else ""
        self._before: list[float] = []
        self._wall = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._before = self._read()
        self._wall = time.perf_counter()

    def joules(self) -> float | None:
        """Joules since `start()`, counter wrap-around of RAPL repaired; None without a counter."""
        if not self.source or not self._before:
            return None
        now = self._read()
        if len(now) != len(self._before):
            return None
        wraps = [wrap for _, wrap in self._rapl] or [0.0] * len(now)
        spans = zip(self._before, now, wraps, strict=True)
        total = sum(b - a + (wrap if b < a else 0.0) for a, b, wrap in spans)
        return total if total > 0 else None

    def watts(self) -> float | None:
        """Mean power since `start()`; None without a counter."""
        joules = self.joules()
        wall = time.perf_counter() - self._wall
        return joules / wall if joules is not None and wall > 0 else None

    def _read(self) -> list[float]:
        with suppress(OSError, ValueError, RuntimeError):
            if self._rapl:
                return [float(path.read_text()) * 1e-6 for path, _ in self._rapl]
            if self._nvml:
                return [self._nvml() * 1e-3]
        return []


def _packages() -> list[tuple[Path, float]]:
    """Readable package counters with their wrap-around in joules; cores and DRAM inside a package are not added."""
    out = []
    for folder in sorted(_POWERCAP.glob("*-rapl:*")):
        with suppress(OSError, ValueError):
            if folder.name.count(":") == 1 and (folder / "name").read_text().startswith("package"):
                float((folder / "energy_uj").read_text())
                out.append((folder / "energy_uj", float((folder / "max_energy_range_uj").read_text()) * 1e-6))
    return out


def _board() -> Callable[[], float] | None:
    """A function that reads the first board's energy counter in millijoules, or None."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except Exception:  # NVML raises its own family of errors, and none of them matters here
        return None
