"""What a session is asked for and what it finds: records for `localspec` and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .decoders.shapes import Shape
from .fit import KernelFit
from .kernels.bandwidth import Stream, best
from .kernels.matmul import Product
from .kernels.statistics import Summary
from .machine import Machine
from .predict import EngineConstants, Roofs, Run


@dataclass
class Options:
    """What to measure; empty engines and formats mean all that are installed."""

    quick: bool = False
    engines: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int | None = None
    contexts: tuple[int, ...] = (16, 512)
    prompts: tuple[int, ...] = (128,)
    batches: tuple[int, ...] = (1,)
    gpu_layers: int = 0
    wait_s: float = 0.0
    file: Path | None = None
    file_shape: Shape | None = None
    file_format: str = "fp16"
    visits: int | None = None

    @property
    def passes(self) -> int:
        """Visits of every decoder; the middle one counts."""
        return self.visits or 1

    @property
    def rounds(self) -> int:
        """Visits of every memory kernel and largest product; the fastest one counts."""
        return self.visits or (1 if self.quick else 2)


@dataclass(frozen=True)
class State:
    """How fast memory was read just before and after a visit; begun_s: seconds since the first one."""

    step: str
    begun_s: float
    before_bytes_s: float
    after_bytes_s: float


@dataclass
class Judged:
    """One run of the check: predicted and measured seconds (of a prompt, or of one decode step)."""

    run: Run
    engine: str
    measured: Summary
    predicted_s: float
    power_w: float | None = None

    @property
    def error(self) -> float:
        """predicted / measured - 1."""
        return self.predicted_s / self.measured.median - 1.0

    @property
    def joule_per_token(self) -> float | None:
        """Mean power of the job times the time of a token; None where no counter is readable."""
        r = self.run.request
        tokens = r.tokens if r.kind == "prefill" else r.batch
        return self.power_w * self.measured.median / tokens if self.power_w else None


@dataclass
class Found:
    """All results of a session."""

    machine: Machine
    options: Options
    others: float | None = None
    threads: int = 1
    streams: list[Stream] = field(default_factory=list)
    caches: list[Stream] = field(default_factory=list)
    sweep: list[Stream] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    peak_library: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    kernels: dict[str, KernelFit] = field(default_factory=dict)
    all_reduce: dict[str, Any] = field(default_factory=dict)
    engines: dict[str, EngineConstants] = field(default_factory=dict)
    engine_names: dict[str, str] = field(default_factory=dict)
    probes: list[tuple[str, Run, Summary]] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def roofs(self) -> Roofs:
        """Read bandwidth and best product rates: what the constants are relative to."""
        return Roofs(best(self.streams, "read").best_bytes_s, dict(self.peaks))

    def summaries(self) -> list[Summary]:
        """Every measurement."""
        kernel = [s.seconds for s in self.streams] + [p.seconds for p in self.products]
        return kernel + [s for _, _, s in self.probes] + [j.measured for j in self.judged]
