"""The command line: `tokcalc --chip X --model Y` and its subcommands, one small file per command."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `tokcalc` script: run the command line and leave with its exit code."""
    question = sys.argv[1:2] and sys.argv[1].startswith("--")
    if question:
        import gc

        gc.disable()  # one answer makes little garbage, and looking for it costs a tenth of the time
    try:
        from .shell import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the imports run
        code = 130
    if question:
        _leave_at_once(code)
    sys.exit(code)


def _leave_at_once(code: int) -> None:
    """End the process without taking every module apart, once all output is out; else return."""
    import os

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code)
