"""How chips are joined: the domain of the fast link, the chips of one machine, and the bandwidth between any number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..arrays import Array
    from .chip import Chip

NO_LINK = 16e9
"""Bytes/s of a chip that publishes no link: a PCIe 4.0 card on eight lanes."""
BUS_CARDS = 8
"""Cards that the bus of one machine takes, and chips of a machine where nobody says."""


def box(chip: Chip) -> int:
    """Chips of one machine: as it is sold, or as many cards as its bus takes where cards bring no network.

    >>> from tokcalc.catalog import load_chip
    >>> [box(load_chip(name)) for name in ("h100-sxm", "gb200", "rtx-4090", "tpu-v5e", "gh200", "m4-max")]
    [8, 72, 8, 8, 1, 1]
    """
    sold = chip.chips_per_system or BUS_CARDS
    cards = chip.link("host") is not None and chip.link("scale_out") is None
    return max(sold, BUS_CARDS) if cards else sold


def domain(chip: Chip) -> int:
    """Chips that reach each other over the fastest link: its own domain, or the machine whose bus they share.

    A scale-up link that names no domain joins the machine.

    >>> from tokcalc.catalog import load_chip
    >>> [domain(load_chip(name)) for name in ("h100-sxm", "gb200", "a100-pcie", "l40s", "tpu-v5e", "gh200")]
    [8, 72, 2, 8, 256, 1]
    """
    up = chip.scale_up
    return (up.domain_chips if up else None) or box(chip)


def bandwidth_bytes_s(chip: Chip, chips: Array) -> Array:
    """Bytes/s per direction and chip between that many `chips`: scale-up inside the domain, then the bus, the network.

    What is not published is taken from the host's bus, and that as `NO_LINK`.

    >>> from tokcalc.catalog import load_chip
    >>> (bandwidth_bytes_s(load_chip("h100-sxm"), np.array([2, 8, 16])) / 1e9).tolist()  # NVLink, InfiniBand
    [450.0, 450.0, 50.0]
    >>> (bandwidth_bytes_s(load_chip("a100-pcie"), np.array([2, 4, 16])) / 1e9).tolist()  # a bridge joins two cards
    [300.0, 32.0, 32.0]
    """
    rates, near = {link.level: link.bandwidth_bytes_s for link in chip.links}, domain(chip)
    bus = rates.get("host") or NO_LINK
    inside = rates.get("scale_up") or bus
    if np.max(chips) <= near:  # nearly always
        return inside
    beyond = np.where(np.asarray(chips) <= box(chip), bus, rates.get("scale_out") or bus)
    return np.where(np.asarray(chips) <= near, inside, beyond)
