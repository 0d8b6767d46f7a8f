"""The all-reduce curve of several GPUs: one process per GPU, messages from 1 KiB to 256 MiB, fitted to alpha, B, q.

Runs with NCCL (RCCL) on CUDA and ROCm, and with gloo on processor cores, which is how it is tested without a GPU.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...physics.roofline import ring_volume
from ..fit import fit_collective
from ..machine import torch_or_none

SIZES = tuple(1 << i for i in range(10, 29, 2))


def all_reduce_curve(ranks: int, backend: str = "nccl", sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """{"ranks", "sizes", "seconds", "fit": {alpha_s, bandwidth_bytes_s, q}} of all-reduces over so many ranks."""
    torch = torch_or_none()
    with tempfile.TemporaryDirectory(prefix="tokcalc-") as folder:
        torch.multiprocessing.spawn(_rank, (ranks, backend, sizes, folder), nprocs=ranks)
        seconds = [float(x) for x in (Path(folder) / "seconds.txt").read_text().split()]
    volumes = [float(ring_volume(s, float(ranks))) for s in sizes]
    return {"ranks": ranks, "sizes": list(sizes), "seconds": seconds, "fit": fit_collective(volumes, seconds)}


def _rank(rank: int, ranks: int, backend: str, sizes: tuple[int, ...], folder: str) -> None:
    """One process: it meets the others at a file, and the first one writes the medians down."""
    torch = torch_or_none()
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=ranks)
    on_gpu = backend == "nccl"
    if on_gpu:
        torch.cuda.set_device(rank)
    device = f"cuda:{rank}" if on_gpu else "cpu"
    medians = []
    for size in sizes:
        message = torch.ones(size // 2, dtype=torch.bfloat16, device=device)
        taken = []
        for i in range(25):
            torch.distributed.barrier()
            start = time.perf_counter()
            torch.distributed.all_reduce(message)
            if on_gpu:
                torch.cuda.synchronize()
            if i >= 5:
                taken.append(time.perf_counter() - start)
        medians.append(float(np.median(taken)))
    if rank == 0:
        (Path(folder) / "seconds.txt").write_text(" ".join(map(repr, medians)))
    torch.distributed.destroy_process_group()
