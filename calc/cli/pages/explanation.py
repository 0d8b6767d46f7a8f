"""The table of terms under a card: where the time of a token goes. Pure text."""

from __future__ import annotations

from collections.abc import Mapping

from .. import text
from . import answer as card


def explanation(answer: card.Answer, width: int = 80) -> str:
    """The table of terms: seconds, share of the time, formula and inputs of each, in the answer's order."""
    head = f"terms of {card.name(answer, 'chip')} with {card.name(answer, 'model')}"
    lines = [head, f"  {'seconds':>10}  {'share':>6}  term"]
    for term in answer.get("terms") or []:
        share = term.get("share")
        shown = f"{share:6.1%}" if isinstance(share, int | float) else f"{'':6}"
        lines += text.wrap(str(term["name"]), width, f"  {text.seconds(term.get('seconds')):>10}  {shown}  ")
        if term.get("formula"):
            lines += text.wrap(f"= {term['formula']}", width, " " * 22)
        if term.get("inputs"):
            lines += text.wrap(f"with {_inputs(term['inputs'])}", width, " " * 22)
    return "\n".join(lines)


def _inputs(inputs: object) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(f"{key} {_input(value)}" for key, value in inputs.items())
    return str(inputs)


def _input(value: object) -> str:
    if isinstance(value, float):
        return text.number(value, 4) if 1e-4 <= abs(value) < 1e9 or value == 0 else f"{value:.3e}"
    return str(value)
