"""What tokens cost that travel to experts on other chips: copies, bytes and seconds of one pass.

Inside one switched domain a token goes once to every chip that holds one of its experts. Beyond it, prompts
go once to every node and are copied there; generation, which cannot wait, goes once to every expert over the
network. Constants and their sources: specs/engines/wide.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..catalog.tables import spec_table
from ..hardware.links import bandwidth_bytes_s, domain
from .roofline import smooth_max

if TYPE_CHECKING:
    from ..engines.constants import Constants
    from ..hardware.chip import Chip
    from ..models.model import Model


def wide_table() -> Mapping[str, Any]:
    """The constants of wide expert parallelism, specs/engines/wide.toml."""
    return spec_table("engines", "wide")


def visited(places: float, top_k: int) -> float:
    """Places that at least one of a token's experts is in, its own included: n (1 - (1 - 1/n)^k).

    >>> [round(visited(places, 8), 1) for places in (4, 2, 160)]  # nodes, chips of a pair, chips of a system
    [3.6, 2.0, 7.8]
    """
    return places * (1.0 - (1.0 - 1.0 / places) ** top_k)


def imbalance(model: Model, ranks: float) -> float:
    """Time of the fullest of n `ranks` over the mean one: 1 + s sqrt(2 ln n n / E), extreme of n sums of E/n experts.

    >>> from tokcalc.catalog import load_model
    >>> [round(imbalance(load_model("deepseek-v3"), ranks), 2) for ranks in (1, 2, 32)]  # the last two are measured
    [1.0, 1.02, 1.18]
    """
    experts = max((group.ffn.experts for group in model.groups), default=0)
    if ranks <= 1 or not experts:
        return 1.0
    spread = wide_table()["imbalance"]["spread"]
    return float(1.0 + spread * np.sqrt(2.0 * np.log(ranks) * min(ranks, experts) / experts))


def exchange_s(chip: Chip, model: Model, chips: float, tokens: Array, constants: Constants, *, phase: str) -> Array:
    """Seconds in which `tokens` tokens of each of `chips` chips go to their experts and back, all layers.

    tokens: a number or array of cases; phase: "prefill" or "decode".
    Per routed layer (alpha^q + (v / (eta B))^q)^(1/q), v = copies x hidden x
    (dispatch + combine) bytes; beyond one domain the inner link's copies run at the same time.

    >>> from tokcalc.catalog import load_chip, load_model
    >>> from tokcalc.engines.constants import load_constants
    >>> model, chip = load_model("deepseek-v3"), load_chip("h800-sxm")
    >>> whole = exchange_s(chip, model, 32.0, 16384.0, load_constants(), phase="prefill")
    >>> f"{whole / 58 * 1e3:.0f} ms a layer"  # 16,384 tokens x 3.6 nodes x 7,168 x 3.03 bytes at 45 GB/s
    '29 ms a layer'
    """
    table = wide_table()
    message = table["message"]["dispatch_bytes"] + table["message"]["combine_bytes"]
    joined = min(chips, float(domain(chip)))
    inner, outer = bandwidth_bytes_s(chip, joined), bandwidth_bytes_s(chip, chips)
    alpha, eta, q = (float(v) for v in constants.collective("all_to_all", chip, joined))
    total: Array = 0.0
    for group in model.groups:
        if group.ffn.kind != "moe" or chips <= 1:
            continue
        top_k, each = group.ffn.top_k, tokens * model.hidden * message
        away = each * visited(chips, top_k) * (chips - 1.0) / chips
        inside = smooth_max(alpha, away / (eta * inner), q)
        if chips > joined:
            net = table["network"][phase]
            if phase == "prefill":
                nodes = chips / joined
                sent = each * min(visited(nodes, top_k), _limited(model, top_k))
            else:
                sent, inside = each * top_k, 0.0
            wire = smooth_max(net["alpha_us"] * 1e-6, sent / (net["eta_b"] * outer), net["q"])
            inside = smooth_max(inside, wire, table["phase"]["overlap"])
        total = total + group.count * inside
    return total


def _limited(model: Model, top_k: int) -> float:
    """Nodes visited where routing is limited to a few groups of them; no limit: infinite."""
    groups = wide_table()["groups"].get(model.id)
    return visited(groups, top_k) if groups else np.inf


def wide_ranks(model: Model, chips: float, least: float) -> float:
    """Chips that experts are spread over where a row gives a share of them: E over the experts of a chip.

    >>> from tokcalc.catalog import load_model
    >>> wide_ranks(load_model("deepseek-v3"), 1.0, 16.0), wide_ranks(load_model("deepseek-v3"), 32.0, 16.0)
    (128.0, 32.0)
    """
    if chips >= least:
        return chips
    experts = max(group.ffn.experts for group in model.groups)
    return max(least, float(round(experts / wide_table()["phase"]["experts_per_chip"])))


def fills_memory(note: str) -> bool:
    """True where a row's remarks say that the batch was as large as memory allows."""
    return re.search(r"fills? (?:the )?memory", note) is not None


def wide_batch_words(metric: str, note: str) -> str:
    """What is taken for a phase of wide expert parallelism whose batch is not printed."""
    if metric in ("input_tok_s", "ttft_ms"):
        return "a full pass of prompts"
    if fills_memory(note):
        return "the largest batch that memory holds"
    return f"the largest batch within {wide_table()['phase']['limit_ms']:g} ms a token"
