"""Where an answer goes: JSON or a page on stdout, tables and plots in files, each file told on stderr.

The options of it are declared here as a group, so that every command names, checks and writes its files alike.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import text
from .options import Group, Text, Texts, output

Rows = Sequence[Mapping[str, Any]]


class Output(Group):
    """JSON instead of a page; files besides."""

    json_: bool = output(False, "Print JSON.")
    export: Texts = output(None, "Also write .csv .json .md .tex .html .xlsx .parquet; repeatable.", "FILE")

    def check(self) -> None:
        """Refuse a file that cannot be written: before the work, not after it."""
        for path in self.export or []:
            from ..report import check

            check(path)

    def write(self, rows: Rows, **table: Any) -> None:
        """The rows to each file; table: keywords of `report.write`."""
        for path in self.export or []:
            from ..report import write

            write(rows, path, **table)
            tell(f"wrote {path}")

    def show(self, answer: object, page: Callable[[int], Iterable[str]]) -> None:
        """JSON where it is asked for, else the page in lines of a width."""
        if self.json_:
            print_json(answer)
        else:
            print("\n".join(page(text.width())))


class Drawn(Output):
    """A plot besides."""

    plot: Text = output(None, "Also draw .svg, .png, .pdf or .html.", "FILE")

    def check(self) -> None:
        super().check()
        self.check_plot()

    def check_plot(self) -> None:
        if self.plot is not None:
            from ..report.plots import check

            check(self.plot)

    def draw(self, chart: Callable[[], Any]) -> None:
        """The chart to its file, where one is asked for."""
        if self.plot is not None:
            from ..report.plots import save

            save(chart(), self.plot)
            tell(f"wrote {self.plot}")


def tell(line: str) -> None:
    """A line on stderr: what happened besides the answer."""
    print(line, file=sys.stderr)


def print_json(answer: object, default: Callable[[Any], Any] | None = None) -> None:
    """The answer as JSON for people and programs; default: what becomes of a value that JSON has no form for."""
    import json

    json.dump(answer, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False, default=default)
    print()
