"""The worked numbers in docstrings are right."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

ROOMS = ("physics", "hardware", "models", "engines", "trust", "serving", "money", "units", "checks", "catalog")
ROOMS += ("catalog.imports", "measure", "measure.kernels", "measure.decoders")


def modules(room: str) -> list[str]:
    """Names of a room's modules, or of the module that it is."""
    name = f"tokcalc.{room}"
    inside = pkgutil.iter_modules(getattr(import_module(name), "__path__", ()))
    return [name, *(f"{name}.{module.name}" for module in inside)]


@pytest.mark.parametrize("name", [name for room in ROOMS for name in modules(room)])
def test_worked_numbers(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.failed == 0


def test_the_physics_is_worked_in_numbers() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in modules("physics") for test in finder.find(import_module(name)) if test.examples]
    assert len(examples) >= 25
