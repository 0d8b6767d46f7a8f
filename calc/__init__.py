"""What a chip gives and costs for running a language model: speed, first token, money, energy, and how sure.

The public names load on first use, so that `import tokcalc` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers.estimate import estimate
    from .catalog import load_chip, load_model
    from .explore.compare import compare
    from .explore.plan.plan import plan
    from .explore.sweep.sweep import sweep

from .version import __version__

_HOME = {
    "compare": "explore.compare",
    "estimate": "answers.estimate",
    "load_chip": "catalog",
    "load_model": "catalog",
    "plan": "explore.plan.plan",
    "sweep": "explore.sweep.sweep",
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
