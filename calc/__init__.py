"""What a chip gives and costs for running a language model: speed, first token, money, energy, and how sure.

The public names load on first use, so that `import tokcalc` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import load_chip, load_model
    from .compare import compare
    from .estimate import estimate
    from .planner import plan
    from .sweep import sweep

__version__ = "0.1.0"

_HOME = {
    "compare": "compare",
    "estimate": "estimate",
    "load_chip": "catalog",
    "load_model": "catalog",
    "plan": "planner",
    "sweep": "sweep",
}

__all__ = ["__version__", "compare", "estimate", "load_chip", "load_model", "plan", "sweep"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'tokcalc' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Package(ModuleType):
    """Keeps `tokcalc.estimate` the function: importing the module of that name would otherwise hide it."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOME.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
