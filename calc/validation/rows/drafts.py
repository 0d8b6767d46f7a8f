"""How a measured row drafted: the length and yield that its note states, or those of its family.

Constants and their sources in specs/measured/drafting.toml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...catalog.tables import spec_table

_LENGTH = re.compile(r"MTP-(\d)|k=(\d)|(one|two|three|\d+) draft(?:ed)? tokens?", re.IGNORECASE)
_YIELD = re.compile(r"acceptance (\d+\.\d+)(?![\d%])|([\d.]+) tokens/step")
_CHANCE = re.compile(r"(?:acceptance|accepted at) ([\d.]+) ?%|([\d.]+) ?% acceptance")
_WORDS = {"one": 1, "two": 2, "three": 3}


def drafting_table() -> Mapping[str, Any]:
    """specs/measured/drafting.toml."""
    return spec_table("measured", "drafting")


def geometric(chance: float, length: int) -> float:
    """Tokens of a step with g drafted at the chance a each: (1 - a^(g+1)) / (1 - a).

    >>> round(geometric(0.7, 3), 2)
    2.53
    """
    return (1.0 - chance ** (length + 1.0)) / (1.0 - chance) if chance < 1.0 else length + 1.0


def chance_of(mean: float, length: int) -> float:
    """Chance of each drafted token whose steps yield `mean` tokens.

    >>> round(chance_of(2.533, 3), 2)
    0.7
    """
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if geometric(middle, length) < mean else (low, middle)
    return round(0.5 * (low + high), 6)


def noted(note: str) -> tuple[int | None, float | None]:
    """(drafted tokens, tokens that a step yields) as far as a note states them.

    >>> noted("MTP with one draft token, 70% acceptance (1.7 tokens/step)"), noted("MTP-2, acceptance 2.58")
    ((1, 1.7), (2, 2.58))
    """
    found, mean, chance = _LENGTH.search(note), _YIELD.search(note), _CHANCE.search(note)
    length = None
    if found:
        word = next(g for g in found.groups() if g).lower()
        length = _WORDS.get(word) or int(word)
    if mean:
        return length, float(mean[1] or mean[2])
    if chance and length:
        return length, geometric(float(chance[1] or chance[2]) / 100.0, length)
    return length, None


def drafted(note: str, on: bool | None, engine: str, model: str, mtp: bool) -> tuple[int, float, str] | None:
    """(drafted tokens, tokens of a step, in words where they are from); (0, 1, "") for none, None if unknown.

    on: drafting as the row says, None where it is silent; mtp: the model was released with MTP layers.
    """
    if on is False:
        return 0, 1.0, ""
    length, mean = noted(note)
    if on and length and mean:
        return length, mean, "as noted"
    table = drafting_table()
    services = table["services"]
    if engine in services["engines"] and model in services["models"]:
        return (*_family(services, length), "as CloudMatrix drafts")
    if on is None:
        return 0, 1.0, ""
    silent = length is None and "draft" not in note and "speculative" not in note
    if mtp and ("MTP" in note or silent):
        return (*_family(table["mtp"], length), "the yield of DeepSeek's MTP layers")
    return None


def _family(table: Mapping[str, Any], length: int | None) -> tuple[int, float]:
    yields: Sequence[float] = table["yields"]
    count = min(length or table["length"], len(yields))
    return count, yields[count - 1]
