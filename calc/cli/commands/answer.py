"""`tokcalc --chip X --model Y`: the main question, one answer card or a comparison table.

Its annotations are objects, not texts: typer would evaluate texts three times over.
"""

from functools import partial
from typing import Annotated, Any

import typer

from ...errors import UsageError
from .. import options

_Text = str | None
_question, _workload, _deployment, _money, _what_if, _output = (
    partial(typer.Option, rich_help_panel=title)
    for title in ("Question", "Workload", "Deployment", "Money", "What if", "Output")
)


def _version(wanted: bool) -> None:
    if wanted:
        from ...version import __version__

        print(f"tokcalc {__version__}")
        raise typer.Exit()


def answer(
    context: typer.Context,
    chip: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Chips: id, alias, prefix or file.")] = None,
    model: Annotated[_Text, _question(metavar="NAME[,NAME]", help="Models, likewise.")] = None,
    isl: Annotated[str, _workload(metavar="TOKENS", help="Input length: 1000, 8k, 128Ki.")] = "1024",
    osl: Annotated[str, _workload(metavar="TOKENS", help="Output length.")] = "1024",
    concurrency: Annotated[str, _workload(metavar="N|max", help="Requests in flight, or all that fit.")] = "1",
    rate: Annotated[
        float | None, _workload(metavar="N", help="Requests per second that arrive on their own (open loop).")
    ] = None,
    weights: Annotated[_Text, _deployment(metavar="TYPE", help="Data type of the weights: bf16, fp8, ...")] = None,
    kv: Annotated[_Text, _deployment(metavar="TYPE", help="Data type of the KV cache.")] = None,
    chips: Annotated[int | None, _deployment(metavar="N", help="Number of chips; else the fewest sensible.")] = None,
    tp: Annotated[int | None, _deployment(metavar="N", help="Tensor-parallel degree.")] = None,
    pp: Annotated[int | None, _deployment(metavar="N", help="Pipeline-parallel degree.")] = None,
    dp: Annotated[int | None, _deployment(metavar="N", help="Data-parallel degree.")] = None,
    ep: Annotated[int | None, _deployment(metavar="N", help="Expert-parallel degree.")] = None,
    engine: Annotated[_Text, _deployment(metavar="NAME", help="Serving engine: vllm, sglang, ...")] = None,
    cache_hit: Annotated[float, _workload(metavar="SHARE", help="Share of the input found in cache.")] = 0.0,
    draft: Annotated[_Text, _workload(metavar="N|best", help="Tokens drafted per step, or the fastest number.")] = None,
    acceptance: Annotated[float | None, _workload(metavar="SHARE", help="Chance that one is accepted.")] = None,
    stream: Annotated[
        bool, _deployment("--stream", help="Stream weights from beside wafers too few to hold them.")
    ] = False,
    software_date: Annotated[_Text, _deployment(metavar="DATE", help="Software generation of that day.")] = None,
    rent: Annotated[_Text, _money(metavar="PRICE", help='Your price per chip: "2.5 USD/h".')] = None,
    price: Annotated[_Text, _money(metavar="TERMS", help="on-demand, reserved, spot or a provider.")] = None,
    on: Annotated[_Text, _money("--on", metavar="DATE", help="Prices as of YYYY-MM-DD.")] = None,
    currency: Annotated[str, _money(metavar="CODE", help="Currency of the answer.")] = "USD",
    fx: Annotated[_Text, _money(metavar="RATES", help="Your rates per dollar: KRW=1400,EUR=0.9.")] = None,
    own: Annotated[bool, _money("--own", help="Price the hour by owning the chip, not by renting.")] = False,
    grid: Annotated[_Text, _money(metavar="REGION|KG", help="Grid for CO2: KR, US, 0.43 kg/kWh.")] = None,
    utilisation: Annotated[float, _money(metavar="SHARE", help="Share of the paid hours in use.")] = 1.0,
    memory: Annotated[_Text, _what_if(metavar="NAME", help="Swap the memory generation: hbm4, ...")] = None,
    set_: Annotated[list[str] | None, _what_if("--set", metavar="PATH=VALUE", help="Override a field.")] = None,
    explain: Annotated[bool, _output("--explain", help="Print the table of terms.")] = False,
    json_: Annotated[bool, _output("--json", help="Print the answer as JSON.")] = False,
    export: Annotated[
        list[str] | None,
        _output(metavar="FILE", help="Also write .csv .json .md .tex .html .xlsx .parquet; repeatable."),
    ] = None,
    version: Annotated[bool, _output("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    """What a chip gives and costs for running a language model.

    tokcalc --chip cerebras --model llama-70b answers the main question;
    several chips or models, separated by commas, give a comparison.
    """
    if context.invoked_subcommand is not None:
        _refuse_stray_options(context)
        return
    if chip is None and model is None:
        if _given(context):
            raise UsageError("--chip and --model are missing, as in tokcalc --chip cerebras --model llama-70b")
        print(context.get_help())
        return
    chip_names = options.names("--chip", chip, "h800", "chips")
    model_names = options.names("--model", model, "llama-70b", "models")
    parallel = {"tp": tp, "pp": pp, "dp": dp, "ep": ep}
    for name, value in {"chips": chips, **parallel}.items():
        if value is not None:
            options.length(f"--{name}", str(value), options.MOST_CHIPS)
    options.degrees(chips, parallel)
    if acceptance is not None:
        options.share("--acceptance", acceptance, 0.0, 1.0)
    if rate is not None and "concurrency" in _given(context):
        raise UsageError("--rate lets requests arrive on their own, --concurrency keeps a number in flight; give one")
    question: dict[str, Any] = {
        "isl": options.length("--isl", isl),
        "osl": options.length("--osl", osl),
        "concurrency": options.concurrency(concurrency),
        "rate": rate,
        "weights": weights,
        "kv": kv,
        "chips": chips,
        **parallel,
        "engine": engine,
        "rent": rent,
        "currency": currency.strip().upper(),
        "fx": fx,
        "own": {} if own else None,
        "grid": grid,
        "on": options.date("--on", on),
        "price": price,
        "cache_hit": options.share("--cache-hit", cache_hit, 0.0, 1.0),
        "draft": options.draft(draft),
        "acceptance": acceptance,
        "stream": stream,
        "software_date": options.date("--software-date", software_date),
        "utilisation": options.share("--utilisation", utilisation, 0.0, 1.0, open_low=True),
        "overrides": options.assignments(set_ or []) or None,
        "memory": memory,
    }
    from ..ask import ask

    raise typer.Exit(ask(chip_names, model_names, question, explain=explain, json_=json_, exports=export or []))


def _given(context: typer.Context) -> list[str]:
    return [
        name.strip("_").replace("_", "-")
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]


def _refuse_stray_options(context: typer.Context) -> None:
    stray = _given(context)
    if stray:
        word = context.invoked_subcommand
        raise UsageError(f"--{stray[0]} stands before the command {word}; write the options of {word} after it")
