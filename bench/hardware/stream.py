"""Bandwidth probe against STREAM compiled here with gcc -O3 -fopenmp, on the same cores in the same run.

    python bench/hardware/stream.py [rounds]

The two take turns; each side's best counts, as in STREAM. The probe's triad moves the same three streams.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tokcalc.measure.kernels.backends import Backend, NumpyBackend, TorchBackend
from tokcalc.measure.kernels.bandwidth import array_bytes_for, best, streams
from tokcalc.measure.load import available_cores, settle
from tokcalc.measure.machine import free_memory_bytes, identify, torch_or_none


def compile_stream(folder: Path) -> Path:
    """The compiled STREAM; CalledProcessError or FileNotFoundError without gcc."""
    binary = folder / "stream"
    source = Path(__file__).with_name("stream.c")
    subprocess.run(["gcc", "-O3", "-fopenmp", str(source), "-o", str(binary)], check=True)
    return binary


def compare(rounds: int = 5) -> dict[str, float]:
    """Best bytes/s of copy and triad, STREAM's and the probe's, and the probe's share."""
    size = array_bytes_for(identify(with_torch=False).llc_bytes, free_memory_bytes())
    backends: list[Backend] = [NumpyBackend()] + ([TorchBackend()] if torch_or_none() else [])
    theirs, ours = {"copy": 0.0, "triad": 0.0}, {"copy": 0.0, "triad": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        binary = compile_stream(Path(folder))
        for _ in range(rounds):
            settle(30.0)
            out = subprocess.run([binary, str(int(size // 8)), "20"], capture_output=True, text=True, check=True)
            rates = [float(x) for x in out.stdout.split()]
            theirs = {"copy": max(theirs["copy"], rates[0]), "triad": max(theirs["triad"], rates[3])}
            for backend in backends:
                settle(30.0)
                found = streams(backend, size, 0.5)
                for kind in ours:
                    ours[kind] = max(ours[kind], best(found, kind).best_bytes_s)
    result = {f"stream_{k}": v for k, v in theirs.items()} | {f"probe_{k}": v for k, v in ours.items()}
    return result | {f"ratio_{k}": ours[k] / theirs[k] for k in ours}


if __name__ == "__main__":
    found = compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    print(f"{available_cores()} cores")
    for kind in ("copy", "triad"):
        print(
            f"{kind:6s} STREAM {found[f'stream_{kind}'] / 1e9:7.2f} GB/s"
            f"   probe {found[f'probe_{kind}'] / 1e9:7.2f} GB/s"
            f"   {found[f'ratio_{kind}'] - 1:+.1%}"
        )
