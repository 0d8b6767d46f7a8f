"""Probes on a GPU against PyTorch's own best: bf16 matrix product and copy, timed with device events.

    python bench/hardware/torch_best.py [cuda:0]

Ends with a sentence where PyTorch sees no such device.
"""

from __future__ import annotations

import sys

from tokcalc.measure.kernels.backends import TorchBackend
from tokcalc.measure.kernels.bandwidth import best, streams
from tokcalc.measure.kernels.matmul import peak
from tokcalc.measure.machine import torch_or_none


def compare(device: str = "cuda:0") -> dict[str, float]:
    """Best rates by device events and by the probes: op/s of a bf16 product, bytes/s of a copy."""
    torch = torch_or_none()
    product = 0.0
    for side in (4096, 6144, 8192, 12288):
        x, w = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
        product = max(product, 2.0 * side**3 / _best_seconds(lambda x=x, w=w: torch.mm(x, w)))
    a, b = (torch.ones(1 << 28, device=device) for _ in range(2))
    copy = 2.0 * a.nbytes / _best_seconds(lambda: a.copy_(b))
    backend = TorchBackend(device)
    ours = peak(backend, "bf16", quick=False).best_ops_s
    return {
        "torch_product": product,
        "probe_product": ours,
        "torch_copy": copy,
        "probe_copy": best(streams(backend, 1 << 30), "copy").best_bytes_s,
    }


def _best_seconds(run) -> float:  # type: ignore[no-untyped-def]
    torch = torch_or_none()
    fastest = float("inf")
    for _ in range(30):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        run()
        after.record()
        torch.cuda.synchronize()
        fastest = min(fastest, before.elapsed_time(after) * 1e-3)
    return fastest


if __name__ == "__main__":
    torch = torch_or_none()
    if torch is None or not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA or ROCm device here; nothing was measured")
    for key, value in compare(*sys.argv[1:2]).items():
        print(f"{key:15s} {value:.4g}")
