"""Operator to seconds on a chip: the two formulas that every step time is a sum of."""

from __future__ import annotations

import numpy as np

from ..arrays import Array


def smooth_max(x: Array, y: Array, p: Array) -> Array:
    """(x^p + y^p)^(1/p): between the sum (p = 1) and the larger of the two (p large); x, y >= 0.

    Computed as hi (1 + (lo/hi)^p)^(1/p), which needs two powers instead of three and cannot overflow.

    >>> float(smooth_max(3.0, 4.0, 1.0)), float(smooth_max(3.0, 4.0, 2.0))
    (7.0, 5.0)
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
    Source: form and constants, specs/engines/README.md.

    >>> h100 = {"peak_ops_s": 989e12, "bandwidth_bytes_s": 3.35e12}
    >>> bf16 = {"t0_s": 3.5e-6, "eta_m": 0.83, "eta_c": 0.79, "p": 2.9}
    >>> f"{kernel_time(2e9, 70e6, **h100, **bf16) * 1e6:.1f} us"  # 3.5 + [25.2^2.9 + 2.6^2.9]^(1/2.9)
    '28.7 us'
    """
    memory = bytes_moved / (eta_m * bandwidth_bytes_s)
    compute = flops / (eta_c * peak_ops_s)
    return kernels * t0_s + smooth_max(memory, compute, p)


def ring_volume(message_bytes: Array, ranks: Array) -> Array:
    """Bytes that a rank sends in a ring all-reduce of a message: v = 2 (n - 1)/n M; 0 for one rank.

    >>> ring_volume(1.0, 1.0), ring_volume(1.0, 8.0)
    (0.0, 1.75)
    """
    return 2.0 * (ranks - 1.0) / ranks * message_bytes


def collective_time(volume_bytes: Array, *, alpha_s: Array, bandwidth_bytes_s: Array, q: Array) -> Array:
    """Seconds of one collective: t = [alpha^q + (v/B)^q]^(1/q), a soft knee between latency and bandwidth.

    volume_bytes (v): bytes that a rank sends; alpha_s: latency of an empty one; bandwidth_bytes_s (B) per direction.
    Source: fits of public all-reduce timings, specs/engines/README.md.

    >>> volume = ring_volume(2.0**20, 8.0)  # 1 MiB on eight H100: 1.835 MB
    >>> f"{collective_time(volume, alpha_s=4.6e-6, bandwidth_bytes_s=474e9, q=0.54) * 1e6:.1f} us"
    '15.3 us'
    """
    return smooth_max(alpha_s, volume_bytes / bandwidth_bytes_s, q)
