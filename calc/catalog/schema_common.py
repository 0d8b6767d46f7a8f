"""What every spec file has in common: quantities with units, sources, grades, and one-sentence errors.

The schema modules import pydantic; they are loaded only when a file is not in the cache.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from ..errors import SpecError, UsageError
from ..units import parse, si

Grade = Literal["A", "B", "C", "D"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=60)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=1, le=10_000_000, strict=True)]
Year = Annotated[int, Field(ge=1990, le=2040, strict=True)]
Status = Literal["shipping", "announced", "roadmap"]
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


class About(Strict):
    """Remarks a reader of the figures must know."""

    notes: list[Text] = []


Grades = dict[str, Grade]
Sources = Annotated[list[SourceTable], Field(min_length=1)]


def origin(raw: dict[str, Any], sources: Sources) -> dict[str, Any]:
    """Grades ("" for the default), sources and notes of a valid file's table.

    ValueError for a name given twice, a missing default, a grade of no field.
    """
    names = [raw["id"], *raw.get("aliases", ())]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise ValueError(f"aliases holds '{name}' twice (the id counts); remove one")
    grades = dict(sorted(raw["grades"].items()))
    default = grades.pop("default", None)
    if default is None:
        raise ValueError("grades.default is missing; expected A, B, C or D")
    if raw["status"] != "shipping" and default != "D":
        raise ValueError(f"grades.default is {default}, but a part that is {raw['status']} has grade D")
    for path in raw["grades"]:
        if path in grades and not _has_path(raw, path):
            raise ValueError(f"grades names '{path}', which is no field of this file")
    return {
        "grades": {"": default, **grades},
        "sources": [source.model_dump(mode="json") for source in sources],
        "notes": raw.get("about", {}).get("notes", []),
    }


def _has_path(table: object, path: str) -> bool:
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
        first, rest = problems[0], len(problems) - 1
        more = f" (and {rest} more)" if rest else ""
        more += "; specs/README.md lists what a spec needs" if rest and first["type"] == "missing" else ""
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
