"""Operator to seconds on a chip: the two formulas that every step time is a sum of.

Pure functions over SI floats or arrays of cases. Stands after `operators` (what must be done) and `constants`
(how well a chip family does it), before `step` (the sum).
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array


def smooth_max(x: Array, y: Array, p: Array) -> Array:
    """(x^p + y^p)^(1/p): between the sum (p = 1) and the larger of the two (p large); x, y >= 0.

    Computed as hi (1 + (lo/hi)^p)^(1/p), which needs two powers instead of three and cannot overflow.
    """
    hi = np.maximum(x, y)
    lo = np.minimum(x, y)
    ratio = lo / np.maximum(hi, 1e-300)
    return hi * (1.0 + ratio**p) ** (1.0 / p)


def kernel_time(
    flops: Array,
    bytes_moved: Array,
    *,
    peak_ops_s: Array,
    bandwidth_bytes_s: Array,
    t0_s: Array,
    eta_m: Array,
    eta_c: Array,
    p: Array,
    kernels: Array = 1.0,
) -> Array:
    """Seconds of kernels that move bytes and do operations: t = n t0 + [(Q/(eta_m BW))^p + (F/(eta_c P))^p]^(1/p).

    flops (F), bytes_moved (Q): totals, float or array of cases, broadcast together; peak_ops_s (P) is a dense peak;
    eta_m, eta_c: shares of bandwidth and peak that large kernels reach; t0_s: floor per launch, `kernels` (n) launches.
    Worked: H100 bf16, 70 MB and 2 GFLOP: 3.5 us + ~[(25.2 us)^2.9 + (2.6 us)^2.9]^(1/2.9) = 28.7 us.
    Source: form and constants, specs/engines/README.md.
    """
    memory = bytes_moved / (eta_m * bandwidth_bytes_s)
    compute = flops / (eta_c * peak_ops_s)
    return kernels * t0_s + smooth_max(memory, compute, p)


def ring_volume(message_bytes: Array, ranks: Array) -> Array:
    """Bytes that a rank sends in a ring all-reduce of a message: v = 2 (n - 1)/n M; 0 for one rank."""
    return 2.0 * (ranks - 1.0) / ranks * message_bytes


def collective_time(volume_bytes: Array, *, alpha_s: Array, bandwidth_bytes_s: Array, q: Array) -> Array:
    """Seconds of one collective: t = [alpha^q + (v/B)^q]^(1/q), a soft knee between latency and bandwidth.

    volume_bytes (v): bytes that a rank sends; alpha_s: latency of an empty one; bandwidth_bytes_s (B) per direction.
    Worked: H100 n = 8, 1 MiB message: v = 1.835 MB, alpha 4.6 us, B 474 GB/s, q .54: 15.2 us.
    Source: fits of public all-reduce timings, specs/engines/README.md.
    """
    return smooth_max(alpha_s, volume_bytes / bandwidth_bytes_s, q)
