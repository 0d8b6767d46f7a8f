"""The command line: `tokcalc --chip X --model Y` and its subcommands, one small file per command."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `tokcalc` script: run the command line and leave with its exit code."""
    try:
        from .shell import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the imports run
        code = 130
    sys.exit(code)
