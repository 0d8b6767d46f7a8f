"""What every spec file has in common: quantities with units, sources, grades, and one-sentence errors.

The schema modules import pydantic; they are loaded only when a file is not in the cache.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from ..errors import SpecError, UsageError
from ..units import parse, si

Grade = Literal["A", "B", "C", "D"]
Status = Literal["shipping", "announced", "roadmap"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=60)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=1, le=10_000_000, strict=True)]
Year = Annotated[int, Field(ge=1990, le=2040, strict=True)]
T = TypeVar("T", bound=BaseModel)

# kind -> (unit shown, smallest and largest value that any product of this century plausibly has)
BOUNDS = {
    "bandwidth": ("B/s", 1e6, 1e18),
    "capacity": ("B", 1e3, 1e17),
    "compute": ("op/s", 1e6, 1e20),
    "bitrate": ("bit/s", 1e8, 5e11),
    "power": ("W", 0.01, 1e8),
}


def _quantity(kind: str, example: str) -> Any:
    unit, low, high = BOUNDS[kind]

    def read(value: object) -> float:
        if not isinstance(value, str):
            raise ValueError(f"has no unit; expected a text such as '{example}'")
        try:
            number = parse(value, kind)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if not low <= number <= high:
            raise ValueError(f"'{value}' is outside {si(low, unit)} to {si(high, unit)}; check the unit")
        return number

    schema = {"type": "string", "title": f"{kind} with unit", "examples": [example]}
    return Annotated[float, BeforeValidator(read), WithJsonSchema(schema)]


Bandwidth = _quantity("bandwidth", "3.35 TB/s")
Capacity = _quantity("capacity", "80 GB")
Compute = _quantity("compute", "989.4 TFLOP/s")
BitRate = _quantity("bitrate", "5.23 Gbit/s")
Watts = _quantity("power", "700 W")


class Strict(BaseModel):
    """Base of all tables: an unknown key is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class SourceTable(Strict):
    """One page or paper, the day it was read or published, and how good it is (A to D)."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=600)] | None = None
    date: datetime.date
    grade: Grade
    covers: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _needs_something_to_open(self) -> SourceTable:
        if self.url is None and not self.note:
            raise ValueError("needs a url, or a note that says what it is")
        if self.url is None and self.grade < "C":
            raise ValueError(f"has no url, so nobody can open it; grade {self.grade} must be C or D")
        return self

    def plain(self) -> dict[str, Any]:
        """The table as JSON, as `calc.chip.Source` takes it."""
        return {"url": self.url, "date": self.date.isoformat(), "grade": self.grade,
                "covers": self.covers, "note": self.note}  # fmt: skip


class About(Strict):
    """Remarks a reader of the figures must know."""

    notes: list[Text] = []


Grades = dict[str, Grade]
Sources = Annotated[list[SourceTable], Field(min_length=1)]


def check_grades(grades: Grades, status: str, has_field: Callable[[str], bool]) -> dict[str, str]:
    """Grades with "" for the default; ValueError for a missing default or an unknown field."""
    if "default" not in grades:
        raise ValueError("grades.default is missing; expected A, B, C or D")
    if status != "shipping" and grades["default"] != "D":
        raise ValueError(f"grades.default is {grades['default']}, but a part that is {status} has grade D")
    for path in grades:
        if path != "default" and not has_field(path):
            raise ValueError(f"grades names '{path}', which is no field of this file")
    return {"": grades["default"], **{path: grade for path, grade in sorted(grades.items()) if path != "default"}}


def check_aliases(id_: str, aliases: list[str]) -> None:
    """ValueError if an alias is given twice or repeats the id."""
    for position, alias in enumerate(aliases):
        if alias == id_ or alias in aliases[:position]:
            raise ValueError(f"aliases holds '{alias}' twice (the id counts); remove one")


def has_path(table: object, path: str) -> bool:
    """True if the dotted path names a key of nested tables."""
    for part in path.split("."):
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


def validated(model: type[T], raw: dict[str, Any], where: str) -> T:
    """The table checked against `model`; SpecError in one sentence: file, key, reason, what was expected."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        if len(problems) > 1 and first["type"] == "missing":
            more += "; specs/README.md lists what a spec needs"
        raise SpecError(f"{where}: {_sentence(dict(first))}{more}") from None


def _sentence(problem: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    kind, context = problem["type"], problem.get("ctx", {})
    shown = _shown(problem.get("input"))
    if kind == "missing":
        return f"{key} is missing"
    if kind == "extra_forbidden":
        return f"{key} is not a known key; see specs/README.md for the keys"
    if kind == "value_error":
        reason = str(context.get("error", problem["msg"]))
        return f"{key} {reason}" if key and not reason.startswith("'") else f"{key}: {reason}" if key else reason
    if kind == "literal_error":
        return f"{key} is {shown}; expected {context['expected']}"
    message = re.sub(r"^Input should be ", "expected ", problem["msg"])
    message = re.sub(r"^(Value|String|List|Dictionary) should ", "expected to ", message)
    return f"{key} is {shown}; {message}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
