"""Plots of answers with Altair: each function takes rows (dictionaries or a DataFrame) and returns a chart.

Every plot is at most 720 pixels wide, has units on its axes, colours that colour-blind readers can tell
apart, and names its lines and points where they are. `save` writes .svg, .png, .pdf or a self-contained
.html, all offline. Altair is imported when the first chart is made.
"""

from __future__ import annotations

from .bars import stacked_terms
from .fronts import cost_speed, front, pareto, pareto_pair
from .lines import growth, memory_generations, speed_against
from .roofline import roofline
from .save import check, endings, save

__all__ = [
    "check",
    "cost_speed",
    "endings",
    "front",
    "growth",
    "memory_generations",
    "pareto",
    "pareto_pair",
    "roofline",
    "save",
    "speed_against",
    "stacked_terms",
]
