"""How much of the machine others use: a sample taken while someone else computes is not this machine's speed.

Stands under `statistics`, which throws such samples away. psutil is optional: without it nothing is known of others and
nothing is thrown away.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

QUIET_CORES = 0.2
"""Cores in use by others up to which a sample counts as undisturbed."""
_wait_s = 0.0


def set_wait(seconds: float) -> None:
    """Let every measurement wait that long for the machine to become quiet; 0: a moment only."""
    global _wait_s
    _wait_s = seconds


def wait_s() -> float:
    """Longest wait for quiet before a measurement, as `set_wait` said."""
    return _wait_s


def psutil_or_none() -> Any:
    """The psutil module, or None where it is not installed."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class Watch:
    """Cores that others kept busy since the watch was made: (all cores' busy time - our own) / wall time."""

    wall: float
    busy: float | None
    own: float

    @classmethod
    def start(cls) -> Watch:
        """A watch from now on."""
        return cls(time.perf_counter(), _busy_seconds(), time.process_time())

    def others(self) -> float | None:
        """Mean number of cores used by other processes (and stolen by a hypervisor); None if it can't be known."""
        now = _busy_seconds()
        wall = time.perf_counter() - self.wall
        if now is None or self.busy is None or wall <= 0:
            return None
        return max(0.0, (now - self.busy - (time.process_time() - self.own)) / wall)


def _busy_seconds() -> float | None:
    psutil = psutil_or_none()
    if psutil is None:
        return None
    t = psutil.cpu_times()
    return sum(getattr(t, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))


def idle_cores(seconds: float = 0.5) -> tuple[int, float | None]:
    """(cores nobody uses, at least 1; mean cores in use by others), watched for that long."""
    cores = available_cores()
    watch = Watch.start()
    time.sleep(seconds)
    others = watch.others()
    if others is None:
        return cores, None
    return max(1, cores - int(others + 0.5)), others


def settle(limit_s: float) -> float:
    """Wait until others leave the cores alone for 60 ms, at most `limit_s` seconds; returns the seconds waited."""
    start = time.perf_counter()
    while time.perf_counter() - start < limit_s:
        watch = Watch.start()
        time.sleep(0.06)
        others = watch.others()
        if others is None or others <= QUIET_CORES:
            break
    return time.perf_counter() - start
