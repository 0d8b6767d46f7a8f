"""The command line: `tokcalc --chip X --model Y` and its subcommands, one small file per command."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `tokcalc` script: run the command line and leave with its exit code."""
    from .shell import run

    sys.exit(run(sys.argv[1:]))
