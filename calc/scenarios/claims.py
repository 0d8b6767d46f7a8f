"""Public claims recomputed: a TOML file holds a question, inputs, claims with their tolerance; here they are judged.

The form of a file is described in specs/scenarios/README.md.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import SpecError, TokcalcError, UnknownName, UsageError
from .arithmetic import evaluate

HOLDS, OFF, ANSWER, NONE = "holds", "off", "answer", "no answer"
_KEYS = ("title", "question", "on", "source", "inputs", "steps", "claim")
_CLAIM = ("name", "compute", "decides", "unit", "claimed", "tolerance")  # the first three are needed


@dataclass(frozen=True)
class Claim:
    """One claim. claimed: a number, a range (low, high), or None where the file only asks."""

    name: str
    compute: str
    unit: str
    claimed: float | tuple[float, float] | None
    tolerance: float
    decides: str


@dataclass(frozen=True)
class Scenario:
    """A question with its source, inputs, steps in order, claims; `on` is the day of its prices."""

    id: str
    title: str
    question: str
    on: str | None
    source: Mapping[str, str]
    inputs: Mapping[str, float]
    steps: Mapping[str, str]
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Judged:
    """A claim with its recomputed value, its verdict, and value over claim (None without one)."""

    claim: Claim
    value: float | None
    verdict: str
    ratio: float | None
    reason: str = ""


def scenario_ids() -> list[str]:
    """Names of the shipped scenarios, in alphabetical order."""
    folder = files("tokcalc.specs") / "scenarios"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by name or unique beginning, or a file by its path; UnknownName, SpecError."""
    path = Path(name)
    if name.endswith(".toml") or "/" in name:
        try:
            return parse_scenario(path.read_text(encoding="utf-8"), path.stem)
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"Scenario {name} cannot be read: {getattr(error, 'strerror', error)}.") from error
    known = scenario_ids()
    match = [k for k in known if k == name.lower()] or [k for k in known if k.startswith(name.lower())]
    if len(match) != 1:
        import difflib

        near = match or difflib.get_close_matches(name.lower(), known, 3, 0.4) or known
        raise UnknownName(f'No scenario "{name}"; there are {", ".join(near)}, or give a .toml file.')
    text = (files("tokcalc.specs") / "scenarios" / f"{match[0]}.toml").read_text(encoding="utf-8")
    return parse_scenario(text, match[0])


def parse_scenario(text: str, name: str) -> Scenario:
    """The text of a scenario file; SpecError names the key that is missing or wrong."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"Scenario {name} is not TOML: {error}.") from error
    unknown = sorted(set(raw) - set(_KEYS))
    if unknown:
        raise SpecError(f"Scenario {name} has the unknown key {unknown[0]}; keys are {', '.join(sorted(_KEYS))}.")
    missing = [key for key in ("title", "question", "claim") if not raw.get(key)]
    if missing or not isinstance(raw["claim"], list):
        raise SpecError(f"Scenario {name} lacks {missing[0] if missing else '[[claim]]'}.")
    inputs = raw.get("inputs", {})
    for key, value in inputs.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpecError(f"Scenario {name}: the input {key} is not a number.")
    for key, value in raw.get("steps", {}).items():
        if not isinstance(value, str):
            raise SpecError(f"Scenario {name}: the step {key} is not an expression in quotes.")
    return Scenario(
        id=name,
        title=str(raw["title"]),
        question=str(raw["question"]),
        on=str(raw["on"]) if "on" in raw else None,
        source={key: str(value) for key, value in raw.get("source", {}).items()},
        inputs=inputs,
        steps=raw.get("steps", {}),
        claims=tuple(_claim(item, name) for item in raw["claim"]),
    )


def _claim(item: Any, name: str) -> Claim:
    if not isinstance(item, dict) or set(item) - set(_CLAIM) or not set(_CLAIM[:3]) <= set(item):
        raise SpecError(
            f"Scenario {name}: a claim needs name, compute and decides, and may have unit, claimed, tolerance."
        )
    claimed, tolerance = item.get("claimed"), float(item.get("tolerance", 0.0))
    if isinstance(claimed, list):
        if len(claimed) != 2 or not claimed[0] <= claimed[1]:
            raise SpecError(f'Scenario {name}: the claim "{item["name"]}" needs a number or [low, high].')
        claimed = (float(claimed[0]), float(claimed[1]))
    if tolerance < 0:
        raise SpecError(f'Scenario {name}: the tolerance of "{item["name"]}" is below zero.')
    return Claim(
        name=str(item["name"]),
        compute=str(item["compute"]),
        unit=str(item.get("unit", "")),
        claimed=claimed if claimed is None or isinstance(claimed, tuple) else float(claimed),
        tolerance=tolerance,
        decides=str(item["decides"]),
    )


def judge(scenario: Scenario, changes: Mapping[str, float] | None = None) -> tuple[Judged, ...]:
    """Every claim recomputed. changes: inputs set by the user; UsageError for one that the scenario lacks.

    A claim that the program has no answer for (a price that is missing, a model that does not fit) keeps
    its reason.
    """
    from .functions import functions

    unknown = sorted(set(changes or {}) - set(scenario.inputs))
    if unknown:
        known = ", ".join(scenario.inputs) or "none"
        raise UsageError(f"Scenario {scenario.id} has no input {unknown[0]}; its inputs are {known}.")
    callables = functions(scenario.on)
    names: dict[str, Any] = {**scenario.inputs, **(changes or {})}
    failed: dict[str, str] = {}
    for step, text in scenario.steps.items():
        worked = _worked(text, names, callables, failed)
        if isinstance(worked, str):
            failed[step] = worked
        else:
            names[step] = worked
    return tuple(_judged(claim, _worked(claim.compute, names, callables, failed)) for claim in scenario.claims)


def _worked(
    text: str, names: Mapping[str, Any], callables: Mapping[str, Any], failed: Mapping[str, str]
) -> float | str:
    """The value of an expression, or the reason why it has none: its own, or that of a step that it needs."""
    try:
        return evaluate(text, names, callables)
    except UsageError:
        lost = next((reason for step, reason in failed.items() if step in text), None)
        if lost is None:
            raise
        return lost
    except TokcalcError as error:
        return str(error)


def _judged(claim: Claim, value: float | str) -> Judged:
    if isinstance(value, str):
        return Judged(claim, None, NONE, None, value)
    if claim.claimed is None:
        return Judged(claim, value, ANSWER, None)
    if isinstance(claim.claimed, tuple):
        low, high = claim.claimed
        inside = low * (1 - claim.tolerance) <= value <= high * (1 + claim.tolerance)
        nearest = min(max(value, low), high)
        return Judged(claim, value, HOLDS if inside else OFF, value / nearest if nearest else None)
    ratio = value / claim.claimed if claim.claimed else None
    holds = abs(value - claim.claimed) <= claim.tolerance * abs(claim.claimed) + 1e-12
    return Judged(claim, value, HOLDS if holds else OFF, ratio)
