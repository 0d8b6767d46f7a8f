"""How far constants and answers are to be trusted: grades A to D and their reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engines.constants import Constants
from .bands import unseen_mixture

if TYPE_CHECKING:
    from ..hardware.chip import Chip


GRADE_MEANING = {
    "A": "constants fitted to this chip",
    "B": "constants of the chip's family",
    "C": "constants of its class of chips",
    "D": "no measurement of its class, or a target of its vendor",
}


def constants_grade(chip: Chip, constants: Constants, scope: str) -> str:
    """Grade of constants found at `scope`: A the chip's own, B its family's, C its kind's, D anyone's.

    >>> from tokcalc.catalog import load_chip
    >>> chip = load_chip("h100-sxm")
    >>> [constants_grade(chip, Constants({}), scope) for scope in ("h100-sxm", "hopper", "gpu", "any")]
    ['A', 'B', 'C', 'D']
    >>> constants_grade(chip, Constants({"fit": {"gpus": {"chips": ["h100-sxm"]}}}), "hopper")  # fitted there
    'A'
    """
    if scope == chip.id:
        return "A"
    if scope == chip.family:
        return "A" if chip.id in constants.fitted_chips else "B"
    return "C" if scope == chip.kind else "D"


def answer_grade(chip: Chip, constants: Constants, scope: str, moe: bool = False) -> str:
    """Grade of an answer: the worse of the constants' and, for roadmap chips and unconfirmed figures, the chip's.

    What-ifs of the chip itself are D (`Chip.rebuilt`), those of links and host memory at best C. moe: of a mixture of
    experts, which is at best B where the chip's constants were fitted to dense models alone.

    >>> from tokcalc.catalog import load_chip
    >>> asked = ({}, {"links.scale_up.per_direction": "200 GB/s"}, {"memory.hbm.capacity": "96 GB"})
    >>> [answer_grade(load_chip("h100-sxm", overrides), Constants({}), "h100-sxm") for overrides in asked]
    ['A', 'C', 'D']
    """
    grade = constants_grade(chip, constants, scope)
    if unseen_mixture(chip.id, moe):
        grade = max(grade, "B")
    if chip.status in ("roadmap", "announced") or chip.grade == "D":
        return "D"
    if chip.what_if:
        return max(grade, "C")
    return max(grade, "B" if chip.grade == "C" else "A")


def grade_reason(chip: Chip, constants: Constants, scope: str, moe: bool = False) -> str:
    """Why an answer has its grade, as half a sentence: what its constants rest on, and the chip's weaker figure.

    A chip's own fit is B where a figure that every estimate uses comes from a weak source.
    """
    own, answer = constants_grade(chip, constants, scope), answer_grade(chip, constants, scope, moe)
    basis = GRADE_MEANING[own]
    if chip.what_if:
        if {"kind", "family"} & set(chip.changes):
            basis = f"constants of {scope}"
        elif own == "A":
            basis = f"{basis} as it is built"
        return f"{_asked(chip)}, of which nothing is measured; {basis}"
    if answer == "B" and unseen_mixture(chip.id, moe):
        return f"{basis}, but no mixture was measured on it"
    if answer == own:
        return basis
    if chip.status in ("roadmap", "announced"):
        return f"{chip.status}, so its figures are targets of {chip.vendor}; {basis}"
    weak = _weakest(chip)
    said = "is unconfirmed" if answer == "D" else "comes from a weak source"
    return f"{basis}, but its {weak} {said}"


def _asked(chip: Chip) -> str:
    """What a what-if is: options of a question, or a file that differs from the one shipped under its id."""
    own = chip.overridden[:1] and chip.overridden[0].startswith("file=")
    return "a file of your own that differs from the shipped chip of that id" if own else "a what-if"


def _weakest(chip: Chip) -> str:
    """Name of the figure that gives the chip its grade: dense rate, memory size or bandwidth."""
    main = f"memory.{chip.weights_in}"
    names = {"memory size": f"{main}.capacity", "memory bandwidth": f"{main}.bandwidth"}
    return next((name for name, path in names.items() if chip.grade_of(path) == chip.grade), "dense rate")
