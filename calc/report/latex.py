"""LaTeX: a booktabs tabular, in a table with a caption when there is a title."""

from __future__ import annotations

import math
import re
from typing import Any

from .rows import Table, cell_text, is_number

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}
# Two hyphens in a row would set as a dash, and a cell that opens with [ or * would be read as an argument
# of \\.
LIGATURE = re.compile(r"-(?=-)|`(?=`)|'(?=')")


def text(table: Table) -> str:
    """The table as LaTeX text for the body of a document that loads booktabs."""
    shape = "".join("r" if column.numeric else "l" for column in table.columns) or "l"
    lines = ["% needs \\usepackage{booktabs}"]
    if table.title:
        lines += ["\\begin{table}", "\\centering", f"\\caption{{{escape(table.title)}}}"]
    lines += [f"\\begin{{tabular}}{{{shape}}}", "\\toprule"]
    if table.columns:
        lines += [_line([escape(column.heading) for column in table.columns]), "\\midrule"]
        lines += [_line([_cell(value) for value in row]) for row in table.rows()]
    lines += ["\\bottomrule", "\\end{tabular}"]
    if table.title:
        lines.append("\\end{table}")
    return "\n".join(lines) + "\n"


def escape(value: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    one_line = " ".join("".join(sign if sign.isprintable() else " " for sign in value).split())
    joined = LIGATURE.sub(lambda found: found.group() + "\0", one_line)
    return "".join(SPECIAL.get(sign, sign) for sign in joined).replace("\0", "{}")


def _cell(value: Any) -> str:
    shown = cell_text(value)
    if not is_number(value):
        return escape(shown)
    if isinstance(value, float) and math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    mantissa, _, exponent = shown.partition("e")
    if exponent:
        return rf"${mantissa} \times 10^{{{int(exponent)}}}$"
    return f"${shown}$" if shown.startswith("-") else shown


def _line(cells: list[str]) -> str:
    first = "{}" + cells[0] if cells[0].startswith(("[", "*")) else cells[0]
    return " & ".join([first, *cells[1:]]) + r" \\"
