"""The answers of any stretch of a sweep's rows: rectangle by rectangle through `closed_loop`, as columns of
plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ...answers.money import paid_watts
from ...answers.service import promised
from ...answers.setting import Key, Setting, key_of, setting
from ...catalog import load_chip
from ...engines.resolve import refusal as engine_refusal
from ...errors import DoesNotFit, TokcalcError, UsageError
from ...money.cost import blend, input_output
from ...physics.parallel import Plan
from ...serving.chooser import choose, cuts
from ...serving.closed_loop import evaluate
from ...serving.cuts import Cuts, asked_cuts
from ...serving.deployment import Wish
from ...serving.piped_loop import Piped
from ...serving.power import Watts, watts
from ...serving.replica import Replica
from ...serving.workload import Load, Served
from ...trust.bands import ANCHORED, band_factor
from .axes import DEGREES, Axis
from .cases import DEFAULTS, LOADS, SPEEDS, Columns, Question, Words, boxes, join

NO_ROOM = "weights and one request do not fit the chips' memory"


def stretch(question: Question, first: int, last: int) -> Columns:
    """Columns of the rows first..last (last excluded)."""
    parts = [_box(question, where) for where in boxes(question.shape, first, last)]
    return {name: join([part[name] for part in parts]) for name in question.columns}


def check(question: Question) -> None:
    """Load every name of the grid once, so that a wrong one is refused before the work.

    Raises what loading raises.
    """
    named = [axis for axis in question.ordered if not axis.numeric]
    first = {axis.name: axis.texts()[0] for axis in named}
    setting(key_of({**question.fixed, **first}))
    for axis in named:
        for word in axis.texts()[1:]:
            setting(key_of({**question.fixed, **first, axis.name: word}))


def names_digest(question: Question) -> str:
    """All chips and models of the grid as text, for telling whether old parts still hold."""
    named = [axis for axis in question.ordered if not axis.numeric]
    first = {axis.name: axis.texts()[0] for axis in named}
    keys = [key_of({**question.fixed, **first})]
    keys += [key_of({**question.fixed, **first, axis.name: word}) for axis in named for word in axis.texts()]
    return "\n".join(f"{setting(key).chip!r} {setting(key).model!r}" for key in keys)


@lru_cache(maxsize=512)
def _cuts(key: Key, degrees: tuple[tuple[float | None, ...], ...]) -> Cuts:
    s = setting(key)
    return asked_cuts(s.chip, s.model, s.engine, s.weights, s.kv, dict(zip(DEGREES, degrees, strict=True)))


@lru_cache(maxsize=512)
def _no_draft(key: Key) -> str:
    """Why nothing can be said of drafts on a setting's chip, once for all of its cases; "" where something can."""
    from ...serving.drafting import check_draft

    s = setting(key)
    try:
        check_draft(s.chip, s.model, s.constants, "ngram")
    except UsageError as error:
        return str(error)
    return ""


def _box(question: Question, where: tuple[slice, ...]) -> Columns:
    """Columns of one rectangle of the grid; one over several names is computed name by name."""
    axes = question.ordered
    for k, axis in enumerate(axes):
        part = where[k]
        if not axis.numeric and part.stop - part.start > 1:
            single = (slice(i, i + 1) for i in range(part.start, part.stop))
            parts = [_box(question, (*where[:k], one, *where[k + 1 :])) for one in single]
            return {name: join([p[name] for p in parts]) for name in question.columns}
    names = {a.name: a.texts()[w.start] for a, w in zip(axes, where, strict=True) if not a.numeric}
    numeric = [(a, w) for a, w in zip(axes, where, strict=True) if a.numeric]
    return _Rectangle(question, key_of({**question.fixed, **names}), numeric).columns()


class _Rectangle:
    """One call of the core: a setting, and a stretch of each numeric axis along a dimension of its own."""

    def __init__(self, question: Question, key: Key, axes: Sequence[tuple[Axis, slice]]) -> None:
        self.question, self.key, self.axes = question, key, axes
        self.shape = tuple(w.stop - w.start for _, w in axes)
        self.setting = setting(key)
        self.given = dict(key)

    def along(self, name: str) -> Any:
        """Values of an input, shaped along its dimension; a number where it does not vary."""
        for k, (axis, where) in enumerate(self.axes):
            if axis.name == name:
                shape = [1] * len(self.axes)
                shape[k] = -1
                return axis.numbers(where.start, where.stop).reshape(shape)
        value = self.given.get(name)
        value = DEFAULTS[name] if value is None else value
        return math.inf if value == "max" else float(value)

    def cuts(self, load: Load) -> tuple[Plan, Any, Any]:
        """(plan, chips of a pipe or None, reasons) shaped like the rectangle, for a load in numbers."""
        varied = {axis.name: (axis, where, k) for k, (axis, where) in enumerate(self.axes) if axis.name in DEGREES}
        fixed = {name: self.given.get(name) for name in DEGREES}
        if all(fixed[name] is None and name not in varied for name in ("tp", "pp", "dp", "ep")):
            return self.chosen(load)
        degrees = tuple(
            tuple(varied[name][0].numbers().tolist()) if name in varied else (fixed[name],) for name in DEGREES
        )
        found = _cuts(self.key, degrees)
        where = tuple(varied[name][1] if name in varied else slice(0, 1) for name in DEGREES)
        found = found.at(where)
        kept = [name for name in DEGREES if name in varied]
        order = sorted(range(len(kept)), key=lambda i: varied[kept[i]][2])
        shape = [1] * len(self.axes)
        for name in kept:
            shape[varied[name][2]] = varied[name][1].stop - varied[name][1].start

        def fit(array: Any) -> Any:
            squeezed = array.reshape([n for n, name in zip(array.shape, DEGREES, strict=True) if name in varied])
            return squeezed.transpose(order).reshape(shape) if kept else squeezed.item()

        p = found.plan
        pipe = None if np.isnan(found.wanted).any() else fit(found.wanted)
        return Plan(fit(p.tp), fit(p.pp), fit(p.dp), fit(p.ep)), pipe, fit(found.reason)

    def chosen(self, load: Load) -> tuple[Plan, Any, Any]:
        """The cuts of the chooser for each case, of the chips that were asked for; a what-if's as it is built."""
        s = self.setting
        built = load_chip(s.chip.id) if s.chip.what_if else s.chip
        counts = np.asarray(self.along("chips") if self.given_or_varied("chips") else np.nan, dtype=float)
        reason: Any
        plan, piped, reason = _chosen(s, built, load, counts.ravel()[0])
        if counts.size > 1:
            cases = [_chosen(s, built, load, count) for count in counts.ravel()]
            at = [np.broadcast_to(counts == count, self.shape) for count in counts.ravel()]

            def joined(values: Sequence[Any]) -> Any:
                return np.select(at, [np.broadcast_to(np.asarray(v), self.shape) for v in values])

            plan = Plan(*(joined([case[0].degrees[i] for case in cases]) for i in range(4)))
            piped = None if cases[0][1] is None else joined([case[1] for case in cases])
            reason = np.select(at, [np.full(self.shape, case[2], dtype=object) for case in cases], "")
        return plan, piped, reason

    def given_or_varied(self, name: str) -> bool:
        """Whether an input was asked for."""
        return self.given.get(name) is not None or any(axis.name == name for axis, _ in self.axes)

    def columns(self) -> Columns:
        """The columns asked for, flat in row order."""
        s = self.setting
        inputs = {name: self.along(name) for name in LOADS}
        asked = inputs["concurrency"]
        load = Load(inputs["isl"], inputs["osl"], asked, inputs["cache_hit"], inputs["draft"], inputs["acceptance"])
        plan, wanted, reason = self.cuts(replace(load, concurrency=np.where(np.isinf(asked), 1.0, asked)))
        reason = engine_refusal(s.constants, s.engine, s.chip) or reason
        machine = s.machine(plan, wanted)
        found = evaluate(machine, load)
        if refusal := _no_draft(self.key):  # as a single question is refused
            reason = np.where(np.asarray(inputs["draft"]) > 0, np.array(refusal, dtype=object), reason)
        invalid = np.asarray(reason, dtype=object) != ""
        bad = np.broadcast_to(~np.asarray(found.fits) | invalid, self.shape)
        cells = _figures(s, machine, found, inputs)
        cells["reason"] = lambda: _reasons(reason, bad, self.shape)
        cells |= {"chip": lambda: _word(s.chip.id), "model": lambda: _word(s.model.id)}
        out: Columns = {}
        for name in self.question.columns:
            value = cells[name]() if name in cells else _word(self._text(name))
            if isinstance(value, Words):
                codes = np.broadcast_to(value.codes, self.shape).ravel()
                out[name] = Words(codes, value.words)
            elif value is None:
                out[name] = np.full(bad.size, np.nan)
            else:
                column = np.array(np.broadcast_to(value, self.shape), dtype=float).ravel()
                if not name.startswith(("workload.", "deployment.")):
                    column[bad.ravel()] = np.nan
                elif name.startswith("deployment.") and invalid.any():
                    column[np.broadcast_to(invalid, self.shape).ravel()] = np.nan
                out[name] = column
        return out

    def _text(self, name: str) -> str:
        s = self.setting
        engine = "" if s.chip.weights_in_sram or s.engine.name == "any" else s.engine.name
        known = {"weights": s.weights, "kv": s.kv, "engine": engine, "grade": s.grade, "what_if": s.chip.what_if_note}
        last = name.split(".")[-1]
        return known[last] if last in known and name not in self.given else str(self.given.get(name, ""))


def _chosen(s: Setting, built: Any, load: Load, count: float) -> tuple[Plan, Any, str]:
    """(cut, chips of a pipe or None, reason) of a setting with that many chips, any where NaN."""
    wish = Wish(s.weights, s.kv, None if np.isnan(count) else int(count))
    software, limits = (s.engine, s.constants), promised(built)
    try:
        if s.chip.weights_in_sram:
            return Plan(1, 1, 1, 1), choose(built, s.model, software, wish, load, limits=limits).plan.pp, ""
        return cuts(built, s.model, software, wish, load, limits=limits), None, ""
    except DoesNotFit:
        return Plan(1, 1, 1, 1), None if not s.chip.weights_in_sram else 1.0, ""  # the core finds what does not fit
    except TokcalcError as error:
        return Plan(1, 1, 1, 1), None, str(error)


def _word(text: str) -> Words:
    return Words(np.zeros((), dtype=np.int32), (text,))


def _reasons(reason: Any, bad: np.ndarray, shape: tuple[int, ...]) -> Words:
    texts = np.broadcast_to(np.asarray(reason, dtype=object), shape)
    words = ("", NO_ROOM, *sorted({str(t) for t in np.unique(texts.astype(str)) if t}))
    codes = bad.astype(np.int32)
    for place, word in enumerate(words[2:], start=2):
        codes = np.where(texts == word, np.int32(place), codes)
    return Words(codes, words)


def _figures(
    s: Setting, machine: Replica | Piped, found: Served, inputs: Mapping[str, Any]
) -> dict[str, Callable[[], Any]]:
    """How each numeric column is computed; only those asked for are."""
    sram = s.chip.weights_in_sram
    speeds: dict[str, Callable[[], Any]] = {
        "output_tok_s_user": lambda: 1.0 / found.tpot_s,
        "output_tok_s": lambda: found.output_tok_s,
        "output_tok_s_chip": lambda: found.output_tok_s / found.chips,
        "input_tok_s": lambda: found.input_tok_s,
        "ttft_s": lambda: found.ttft_s,
        "tpot_s": lambda: found.tpot_s,
    }
    cells: dict[str, Callable[[], Any]] = {f"speed.{name}.value": how for name, how in speeds.items()}
    plan = machine.plan if isinstance(machine, Replica) else Plan()
    measured = isinstance(machine, Replica) and machine.engine.anchor_rows > 0  # this very combination
    bands = ANCHORED if measured else s.chip.id
    for name, how in speeds.items():
        factor = band_factor(SPEEDS[name], s.grade, bands, s.model.is_moe)
        cells[f"speed.{name}.low"] = lambda how=how, factor=factor: how() / factor  # type: ignore[misc]
        cells[f"speed.{name}.high"] = lambda how=how, factor=factor: how() * factor  # type: ignore[misc]
    cells |= {
        "deployment.chips": lambda: found.chips,
        "deployment.tp": lambda: 1.0 if sram else plan.tp,
        "deployment.pp": lambda: found.chips if sram else plan.pp,
        "deployment.dp": lambda: 1.0 if sram else plan.dp,
        "deployment.ep": lambda: 1.0 if sram else plan.ep,
        "memory.used_share": lambda: found.used_share,
        "memory.largest_batch": lambda: found.largest_batch,
    }
    cells |= {f"workload.{name}": lambda name=name: inputs[name] for name in LOADS}  # type: ignore[misc]
    cells["workload.concurrency"] = lambda: found.concurrency

    @cache
    def drawn() -> Watts | None:
        return watts(s.chip, s.model, s.weights, found, cached_share=inputs["cache_hit"])

    return cells | _money(s, found, inputs, drawn) | _energy(drawn)


def _money(
    s: Setting, found: Served, inputs: Mapping[str, Any], drawn: Callable[[], Watts | None]
) -> dict[str, Callable[[], Any]]:
    price = s.price
    if price is None:
        return dict.fromkeys(
            ("cost.per_hour", "cost.per_m_input", "cost.per_m_output", "cost.per_m_blended"), lambda: None
        )

    @cache
    def hour() -> Any:
        w = drawn() if price.per_watt else None
        paid = paid_watts(s.chip, w, inputs["utilisation"]) if w else 0.0
        return price.fixed * found.chips + price.per_watt * paid

    @cache
    def split() -> tuple[Any, Any]:
        return input_output(hour(), found.input_tok_s, found.output_tok_s, found.prefill_share, inputs["utilisation"])

    return {
        "cost.per_hour": hour,
        "cost.per_m_input": lambda: split()[0],
        "cost.per_m_output": lambda: split()[1],
        "cost.per_m_blended": lambda: blend(*split(), inputs["isl"] / inputs["osl"]),
    }


def _energy(drawn: Callable[[], Watts | None]) -> dict[str, Callable[[], Any]]:
    def of(name: str) -> Callable[[], Any]:
        return lambda: getattr(drawn(), name, None)

    return {"energy.power_w": of("chips_w"), "energy.joule_per_output_token": of("joule_per_output_token")}
