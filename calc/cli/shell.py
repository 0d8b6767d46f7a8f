"""The shell round every command: lazy subcommands, and failures as one sentence with an exit code.

Exit codes: 0 done, 1 no answer (or an internal error), 2 wrong usage or bad input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import TokcalcError, UsageError
from .convert import lighten
from .options import flat

_HELP = {
    "chips": "List the chips, with peak, memory and year.",
    "models": "List the models, with parameters and KV bytes per token.",
    "memory": "List the memory generations, with width, rate and bandwidth.",
    "mixed": "Mix chips: prompts on one, generation on another.",
    "draft": "Choose the draft length of speculative decoding.",
    "show": "Print one chip, model or memory generation, with its sources.",
    "compare": "Compare chips, models, formats, workloads in a table.",
    "plan": "Find the best deployment of a model under limits.",
    "sweep": "Evaluate any grid of questions, streamed to a file.",
    "roofline": "Draw chips' roofs with a model's operators.",
    "atlas": "Draw the fronts of every chip with every model.",
    "cost": "Break a million tokens down to purchase, power and rent.",
    "fleet": "Size machines for users, a budget or a power limit.",
    "margin": "Set list prices of tokens beside what they cost here.",
    "sensitivity": "Rank the inputs that matter most for cost or speed.",
    "scenario": "Recompute the public claims of the debate.",
    "bench": "Measure this machine and write it as the chip local.",
    "calibrate": "Fit the constants to measured rows, groups left out.",
    "validate": "Judge the model on measured rows: its error by chip and metric.",
}
COMMANDS = {name: (f"tokcalc.cli.commands.{name}:{name}", line) for name, line in _HELP.items()}
"""Name -> (module:function, one line of help); the module is imported when its command runs, not before."""

_TELLING = {"--prefill-chip": "mixed", "--decode-chip": "mixed", "--share": "mixed"}
"""Options that tell which command is meant where none is named."""


def _typer(**settings: Any) -> typer.Typer:
    """A typer without rich, which would double the start-up time."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, **settings)


class LazyGroup(TyperGroup):
    """A command group which imports a command's module only when that command runs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        target, line = COMMANDS[cmd_name]
        module, function = target.split(":")
        run_command = flat(getattr(import_module(module), function))
        shell = _typer()
        shell.command(name=cmd_name, short_help=line)(run_command)
        return lighten(typer.main.get_command(shell), run_command)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            raise UsageError(unknown_command(args[0]))
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options by their titles, then the commands."""
        sections: dict[str, list[Any]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = getattr(parameter, "rich_help_panel", None) or "Output"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=24)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


_LONGEST_WORD = 300
"""A path may be long; a megabyte of input need not come back."""


def unknown_command(name: str) -> str:
    """One sentence for a word which is no command: the nearest commands, or how to ask a question."""
    near = _nearest(name, COMMANDS, most=3, cutoff=0.5)
    if near:
        return f"unknown command '{name}': did you mean {near}?"
    return (
        f"unknown command '{name}': commands are {', '.join(COMMANDS)}; "
        "a question is asked with --chip NAME --model NAME"
    )


def sentence(error: BaseException) -> str:
    """The error's message as one printable line."""
    words = (word if len(word) <= _LONGEST_WORD else f"{word[:60]}..." for word in str(error).split())
    text = " ".join(words)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def usage_sentence(error: Any) -> str:
    """One sentence for an error of the option parser, with the nearest names where an option is unknown."""
    option = getattr(error, "option_name", None)
    if option is not None and hasattr(error, "possibilities"):
        return f"unknown option {option}: {_nearest_option(option, error)}"
    return sentence(Exception(error.format_message())).rstrip(".")


def _nearest_option(option: str, error: Any) -> str:
    context = getattr(error, "ctx", None)
    names: Iterable[str] = () if context is None else (o for p in context.command.params for o in p.opts)
    near = _nearest(option, names, most=2, cutoff=0.6)
    path = "tokcalc" if context is None else context.command_path
    return f"did you mean {near}?" if near else f"`{path} --help` lists the options"


def _nearest(word: str, known: Iterable[str], most: int, cutoff: float) -> str:
    from difflib import get_close_matches

    return " or ".join(get_close_matches(word, list(known), n=most, cutoff=cutoff))


def build() -> Any:
    """The whole command line as a click-style command."""
    from .commands.answer import answer

    app = _typer(cls=LazyGroup, invoke_without_command=True)
    question = flat(answer)
    app.callback()(question)
    return lighten(typer.main.get_command(app), question)


def run(arguments: list[str]) -> int:
    """Run the command line, print any failure as one sentence to stderr, return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        group = build()
        with group.make_context("tokcalc", _with_command(arguments)) as context:
            group.invoke(context)
        _flush()
        return 0
    except typer.Exit as leave:
        return _leave(leave.exit_code)
    except TokcalcError as error:
        return _fail(sentence(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        _discard_stdout()
        return 0
    except Exception as error:
        return _unexpected(error)


def _with_command(arguments: list[str]) -> list[str]:
    """The words of the command line, with the command that an option of its own tells where none is named."""
    if arguments and arguments[0].startswith("-"):
        for word in arguments:
            command = _TELLING.get(word.partition("=")[0])
            if command:
                return [command, *arguments]
    return list(arguments)


def _unexpected(error: Exception) -> int:
    if hasattr(error, "format_message"):  # click's own errors, whichever click it is
        return _fail(usage_sentence(error), 2)
    if os.environ.get("TOKCALC_DEBUG"):
        import traceback

        traceback.print_exc()
        return 1
    if isinstance(error, OSError):
        _discard_stdout()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(sentence(Exception(f"cannot read or write: {where}{error.strerror or error}")), 1)
    kind = f"{type(error).__name__}: {sentence(error)[:200]}"
    return _fail(f"internal error ({kind}), please report it with the command; TOKCALC_DEBUG=1 shows where", 1)


def _fail(message: str, code: int) -> int:
    print(f"tokcalc: {message}", file=sys.stderr)
    return _leave(code)


def _leave(code: int) -> int:
    try:
        _flush()
    except OSError:
        _discard_stdout()
    return code


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_stdout() -> None:
    """Send what is left to nowhere, else the interpreter complains of the closed pipe as it ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
