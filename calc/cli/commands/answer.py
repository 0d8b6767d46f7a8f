"""`tokcalc --chip X --model Y`: the main question, one answer card or a comparison table.

Its annotations are objects, as those of `options` are.
"""

from collections.abc import Sequence
from typing import Any

import typer

from ...errors import UsageError
from .. import options as o
from .. import values
from ..output import Output


def _version(wanted: bool) -> None:
    if wanted:
        from ...version import __version__

        print(f"tokcalc {__version__}")
        raise typer.Exit()


class Workload(o.Lengths):
    """What is asked of the machine."""

    concurrency: o.Text = o.workload(None, "Requests in flight, or all that fit; else as a service runs.", "N|max")
    min_speed: o.Real = o.MIN_SPEED
    max_ttft: o.Real = o.MAX_TTFT
    rate: o.Real = o.workload(None, "Requests per second that arrive on their own (open loop).", "N")
    cache_hit: float = o.CACHE_HIT
    draft: o.Text = o.DRAFT
    acceptance: o.Real = o.ACCEPTANCE


class Deployment(o.Cut):
    """How the model is put on chips."""

    weights: o.Text = o.WEIGHTS
    kv: o.Text = o.KV
    engine: o.Text = o.ENGINE
    stream: bool = o.deployment(False, "Stream weights from beside wafers too few to hold them.")
    software_date: o.Text = o.deployment(None, "Software generation of that day.", "DATE")


class Money(o.Hour):
    """How the answer is priced."""

    grid: o.Text = o.GRID
    utilisation: float = o.UTILISATION


class Shown(Output):
    """How the answer is shown."""

    explain: bool = o.output(False, "Print the table of terms.")
    version: bool = o.output(False, "Version.", callback=_version, is_eager=True)


def answer(
    context: typer.Context,
    pair: o.Pair,
    work: Workload,
    deployment: Deployment,
    money: Money,
    what_if: o.WhatIf,
    out: Shown,
) -> None:
    """What a chip gives and costs for running a language model.

    tokcalc --chip cerebras --model llama-70b answers the main question;
    several chips or models, separated by commas, give a comparison.
    """
    given = [
        name.strip("_").replace("_", "-")
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    word = context.invoked_subcommand
    if word is not None:
        if given:
            raise UsageError(f"--{given[0]} stands before the command {word}; write the options of {word} after it")
        return
    if pair.chip is None and pair.model is None:
        if given:
            raise UsageError("--chip and --model are missing, as in tokcalc --chip cerebras --model llama-70b")
        print(context.get_help())
        return
    chips, models = pair.chips("h800"), pair.models()
    if work.rate is not None and work.concurrency is not None:
        raise UsageError("--rate lets requests arrive on their own, --concurrency keeps a number in flight; give one")
    answers = _answers(chips, models, _question(work, deployment, money) | what_if.keywords(), out)
    if out.export:
        from ...explore.compare import flatten

        out.write([flatten(one) for one in answers])
    out.show(answers if len(answers) > 1 else answers[0], lambda width: _page(answers, out.explain, width))
    raise typer.Exit(0 if any("speed" in one for one in answers) else 1)


def _question(work: Workload, deployment: Deployment, money: Money) -> dict[str, Any]:
    """Keywords of `estimate`, each checked by its own option."""
    cut = {name: getattr(deployment, name) for name in ("chips", "tp", "pp", "dp", "ep")}
    for name, value in cut.items():
        values.number_of(f"--{name}", value)
    values.degrees(deployment.chips, {name: value for name, value in cut.items() if name != "chips"})
    if work.acceptance is not None:
        values.share("--acceptance", work.acceptance)
    return {
        **work.tokens(),
        "concurrency": None if work.concurrency is None else values.concurrency(work.concurrency),
        "min_speed": work.min_speed,
        "max_ttft": work.max_ttft,
        "rate": work.rate,
        "weights": deployment.weights,
        "kv": deployment.kv,
        **cut,
        "engine": deployment.engine,
        **money.keywords(),
        "fx": money.fx,
        "own": {} if money.own else None,
        "grid": money.grid,
        "cache_hit": values.share("--cache-hit", work.cache_hit),
        "draft": values.draft(work.draft),
        "acceptance": work.acceptance,
        "stream": deployment.stream,
        "software_date": values.date("--software-date", deployment.software_date),
        "utilisation": values.share("--utilisation", money.utilisation, open_low=True),
    }


def _answers(chips: list[str], models: list[str], question: dict[str, Any], out: Output) -> list[dict[str, Any]]:
    """The answer of every chip with every model; a lone pair without one raises its reason, others keep it."""
    out.check()
    if len(chips) == len(models) == 1:
        from ...answers.estimate import estimate

        return [estimate(chips[0], models[0], **question).to_dict()]
    from ...explore.compare import answers

    return answers(chips, models, **question)


def _page(answers: Sequence[dict[str, Any]], explain: bool, width: int) -> list[str]:
    from ..pages import answer as card
    from ..text import wants_colour

    if len(answers) == 1:
        parts = [card.card(answers[0], width, wants_colour())]
    else:
        from ..pages.comparison import comparison

        parts = [comparison(answers, width)]
    if explain:
        parts += [card.explanation(one, width) for one in answers if one.get("terms")]
    return ["\n\n".join(parts)]
