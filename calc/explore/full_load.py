"""The load at which a machine earns its keep: that of a service, which the answer itself chooses.

A lone request makes absurdly dear tokens; nobody serves that way. Cost, margin, fleet and scenarios therefore tell the
answer at the load of its service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..answers.answer import Answer
from ..answers.estimate import estimate

if TYPE_CHECKING:
    from ..hardware.chip import Chip
    from ..models.model import Model

_CUT = ("tp", "pp", "dp", "ep")


def loaded(
    chip: str | Chip, model: str | Model, *, speed: float | None = None, ttft: float | None = None, **question: Any
) -> Answer:
    """The answer at the load of a service that promises `speed` tokens/s a user and a first token within `ttft` s.

    None: what a service on this kind of chip promises. question: keywords of `estimate`; a concurrency or degrees that
    are given are kept. NoAnswer says how fast the machine is when a limit that was given cannot be kept.
    """
    if question.get("concurrency") is not None:
        return estimate(chip, model, **question)
    asked = {k: v for k, v in question.items() if k != "concurrency"}
    found = estimate(chip, model, min_speed=speed, max_ttft=ttft, **asked)
    plan, service = found["deployment"], found["service"]
    piped = plan["pp"] == plan["chips"] and plan["engine"] is None and plan["tp"] == 1
    degrees = {"chips": plan["chips"]} if piped else {name: plan[name] for name in _CUT}
    same = {name: plan[name] for name in ("weights", "kv")}
    at_load = estimate(chip, model, **{**asked, **same, **degrees, "concurrency": service["concurrency"]})
    return Answer({**at_load.to_dict(), "service": service, "command": found["command"]})


def limit_text(services: Mapping[str, Any] | None) -> str:
    """What is promised at a load, in words, to stand beside every figure that depends on it; None: a load as asked."""
    if services is None:
        return "requests in flight as asked"
    if not services["kept"]:
        return "the largest load that fits: none gives what a service promises"
    first = f" and the first token within {services['max_ttft_s']:g} s"
    return f"the largest load that gives each user at least {services['min_tok_s_user']:g} tokens/s{first}"


def limits_text(answers: list[Mapping[str, Any]]) -> str:
    """The same of several answers, which may promise different things."""
    texts = {limit_text(a.get("service")): a["chip"] for a in answers if "speed" in a}
    if len(texts) <= 1:
        return next(iter(texts), "no answer")
    return "; ".join(f"{chip}: {words}" for words, chip in texts.items())


def load_lines(answer: Mapping[str, Any]) -> str:
    """One sentence: the machine, its load, and what set it."""
    plan, work = answer["deployment"], answer["workload"]
    degrees = " ".join(f"{k}{plan[k]}" for k in ("tp", "pp", "dp", "ep") if (plan.get(k) or 1) != 1)
    shown = f" ({degrees})" if degrees else ""
    user = answer["speed"]["output_tok_s_user"]["value"]
    return (
        f"{plan['chips']:,} x {answer['chip_name']}{shown}, weights {plan['weights']}, "
        f"{work['concurrency']:,} requests in flight of {work['isl']:,} + {work['osl']:,} tokens, "
        f"{user:,.3g} tokens/s per user ({limit_text(answer.get('service'))})"
    )
