"""The best deployment of a model under limits: searched, ranked, with runners-up, losers counted, Pareto
front.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import NoAnswer, UsageError
from ...serving.drafting import check_draft
from . import choice
from .choice import AIMS, Limits
from .pools import pool_candidates
from .search import BATCHES, MOST_CHIPS, MOST_PIPED, NUMBERS, POOLS, Candidates, join, search, settings_for

if TYPE_CHECKING:
    import pandas as pd

    from ...physics.parallel import Plan

RUNNERS = 5
REFINED = 8  # deployments whose batch is searched number by number
_WHOLE = ("isl", "osl", "chips", "tp", "pp", "dp", "ep", "draft", "concurrency", "largest_batch")
_LAST_STEP = 512  # batches tried between two of the grid


@dataclass(frozen=True)
class Planned:
    """What a search found.

    `best` is None where no deployment keeps the limits; then `miss` says how close one came. rows: flat
    dictionaries with the keys of NUMBERS, and chip, model, weights, kv, engine, replicas, label. lost:
    (reason, cases). front: rows that no other beats, by rising speed per user; `within` marks the limits.
    what_if: a sentence for each chip that was asked otherwise than it is built; its rows carry it too.
    """

    model: str
    aim: str
    limits: Limits
    workload: Mapping[str, float]
    currency: str
    cases: int
    good: int
    best: dict[str, Any] | None
    runners_up: list[dict[str, Any]]
    lost: list[tuple[str, int]]
    front: list[dict[str, Any]]
    miss: dict[str, Any] | None = None
    missed: list[tuple[str, str, float, float]] = field(default_factory=list)
    what_if: list[str] = field(default_factory=list)
    found: Candidates | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "aim": self.aim,
            "what_if": self.what_if,
            "limits": {k: v for k, v in vars(self.limits).items() if v is not None},
            "workload": dict(self.workload),
            "currency": self.currency,
            "cases": self.cases,
            "within": self.good,
            "best": self.best,
            "runners_up": self.runners_up,
            "lost": [{"reason": r, "cases": n} for r, n in self.lost],
            "front": self.front,
            "closest_miss": self.miss,
            "missed": [{"reason": w, "column": c, "value": v, "limit": m} for w, c, v, m in self.missed],
        }

    def frame(self) -> pd.DataFrame:
        """The front as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.front)


def plan(
    chip: str | Iterable[str],
    model: str,
    *,
    aim: str = "cheapest",
    ttft_s: float | None = None,
    tpot_s: float | None = None,
    per_m: float | None = None,
    power_w: float | None = None,
    chips: int | None = None,
    isl: float = 1024,
    osl: float = 1024,
    weights: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    batches: Sequence[float] | None = None,
    cuts: Sequence[Plan] | None = None,
    drafts: Sequence[float] = (0.0,),
    acceptance: float = 0.0,
    cache_hit: float = 0.0,
    utilisation: float = 1.0,
    disaggregated: bool = True,
    **options: Any,
) -> Planned:
    """The deployment that serves an aim best under limits, of all cuts, formats, engines, batches, draft
    lengths.

    aim: cheapest (money per million tokens of the mix), fastest (speed per user), tokens-per-watt,
    tokens-per-chip. ttft_s, tpot_s: longest seconds; per_m: highest money per million tokens, input and
    output as they come; power_w: watts of the chips; chips: how many there are (replicas fill them).
    weights: formats to try, ["any"] for all that the chip multiplies in; default the released one and 8
    bit. batches, cuts: search only these. disaggregated: try pools of prefill and decode too. options: kv,
    memory, rent, own, price, on, currency, overrides. Raises UsageError for wrong input, NoAnswer where
    nothing fits.
    """
    names = [name.strip() for name in chip.split(",")] if isinstance(chip, str) else list(chip)
    limits = Limits(ttft_s, tpot_s, per_m, power_w, chips)
    _check(aim, limits, isl, osl, cache_hit, acceptance, drafts)
    workload = {"isl": float(isl), "osl": float(osl), "cache_hit": cache_hit, "utilisation": utilisation}

    def look(s: Any, at: Sequence[float], which: Sequence[Plan] | None) -> Candidates:
        return search(
            s,
            lengths=[(float(isl), float(osl))],
            batches=at,
            cuts=which,
            most_chips=_most(s, chips),
            cached=cache_hit,
            drafts=drafts,
            acceptance=acceptance,
            utilisation=utilisation,
        )

    settings = settings_for(names, model, options, weights, engines)
    if any(drafts):
        for s in settings:
            check_draft(s.chip, s.model, s.constants, "ngram")
    parts = [look(s, batches or BATCHES, cuts) for s in settings]
    if disaggregated and cuts is None and batches is None:
        pools = pool_candidates(
            settings,
            isl=float(isl),
            osl=float(osl),
            most_chips=chips or MOST_CHIPS,
            cached=cache_hit,
            utilisation=utilisation,
        )
        parts += [] if pools is None else [pools]
    found = join(parts)
    cases = len(found)
    lost = choice.losses(found, limits, aim)
    good = int(choice.within(found, limits).sum())
    grid = found
    if batches is None:
        found = _refined(found, limits, aim, look)
    inside = choice.within(found, limits)
    order = choice.ranked(found, inside, aim)
    notes = list(dict.fromkeys(s.chip.what_if_note for s in settings if s.chip.what_if_note))
    title, currency = settings[0].model.id, str(options.get("currency") or "USD")
    kept = choice.within(grid, limits)
    front = [_row(grid, place, limits, bool(kept[place])) for place in choice.fronts(grid, grid.fits)]
    if not order.size:
        miss = choice.closest(found, limits)
        if miss is None:
            raise NoAnswer(_nothing(settings, chips, title))
        if not miss[1]:
            raise NoAnswer(_unpriced(aim, names))
        row = _row(found, miss[0], limits, False)
        return Planned(
            title, aim, limits, workload, currency, cases, good, None, [], lost, front, row, miss[1], notes, grid
        )
    first = choice.distinct(found, order, RUNNERS + 1)
    rows = [_row(found, place, limits, True) for place in first]
    return Planned(
        title, aim, limits, workload, currency, cases, good, rows[0], rows[1:], lost, front, what_if=notes, found=grid
    )


def _refined(found: Candidates, limits: Limits, aim: str, look: Any) -> Candidates:
    """The same with every batch between the neighbours of the best ones, also of those that just miss a
    limit.
    """
    from ...physics.parallel import Plan

    parts = [found]
    order = choice.ranked(found, choice.within(found, limits), aim)
    kept = choice.distinct(found, order, REFINED)
    grid = np.array(BATCHES, dtype=float)
    for place in kept:
        if found["prefill"][place] >= 0:
            continue
        s = found.settings[found.where[place]]
        batch = found["concurrency"][place]
        low = grid[grid < batch].max(initial=1.0)
        high = grid[grid > batch].min(initial=batch + 1)
        between = np.unique(np.linspace(low, high, min(int(high - low) + 1, _LAST_STEP)).round())
        cut = Plan(*(float(found[name][place]) for name in ("tp", "pp", "dp", "ep")))
        parts.append(look(s, between.tolist(), None if s.chip.weights_in_sram else [cut]))
    return join(parts)


def _row(found: Candidates, place: int, limits: Limits, inside: bool) -> dict[str, Any]:
    """One case as a flat dictionary."""
    s = found.settings[found.where[place]]
    numbers: dict[str, Any] = {name: float(found[name][place]) for name in NUMBERS}
    numbers = {name: None if np.isnan(value) else value for name, value in numbers.items()}
    numbers |= {name: int(numbers[name]) for name in _WHOLE if numbers[name] is not None}
    replicas = 1 if limits.chips is None else max(1, limits.chips // numbers["chips"])
    if limits.power_w is not None and numbers["power_w"]:
        replicas = max(1, min(replicas, int(limits.power_w // numbers["power_w"])))
    engine = None if s.engine.name == "any" or s.chip.weights_in_sram else s.engine.name
    pools = found["prefill"][place] >= 0
    first = found.settings[int(found["prefill"][place])] if pools else None
    numbers |= {name: int(found[name][place]) for name in POOLS[1:]}
    named = choice.chip_name(found, place)
    asked = dict.fromkeys(x.chip.what_if_note for x in (first, s) if x and x.chip.what_if_note)
    return {
        "chip": named,
        "model": s.model.id,
        "weights": s.weights,
        "kv": s.kv,
        "engine": None if pools else engine,
        "grade": max(s.grade, first.grade) if first else s.grade,
        **numbers,
        "replicas": replicas,
        "within": inside,
        "label": pool_label(numbers) if pools else label(numbers, s.chip.weights_in_sram),
        **({"what_if": "; ".join(asked)} if asked else {}),
    }


def label(row: Mapping[str, Any], piped: bool) -> str:
    """A deployment in a few letters: "TP4 DP2 EP8 b64"; "16 chips b64" where layers are piped."""
    if piped:
        return f"{row['chips']} chips b{row['concurrency']}"
    degrees = " ".join(f"{n.upper()}{row[n]}" for n in ("tp", "pp", "dp", "ep") if row[n] > 1 or n == "tp")
    draft = f" draft {row['draft']}" if row.get("draft") else ""
    return f"{degrees} b{row['concurrency']}{draft}"


def pool_label(row: Mapping[str, Any]) -> str:
    """Pools of prefill and decode: "2x4 prefill, 3x8 decode b192", replicas x chips of one."""
    first = f"{row['prefill_replicas']}x{row['prefill_chips']} prefill"
    return f"{first}, {row['decode_replicas']}x{row['decode_chips']} decode b{row['concurrency']}"


def _check(
    aim: str, limits: Limits, isl: float, osl: float, cached: float, acceptance: float, drafts: Sequence[float]
) -> None:
    if aim not in AIMS:
        raise UsageError(f"no aim '{aim}'; choose one of {', '.join(AIMS)}")
    for _, column, most in limits.checks():
        if not most > 0:
            raise UsageError(f"the limit of {column} is {most:g}; give a number above zero")
    for name, value in (("isl", isl), ("osl", osl)):
        if not value >= 1:
            raise UsageError(f"--{name} {value:g} is not a number of tokens; give at least 1")
    for name, value in (("cache-hit", cached), ("acceptance", acceptance)):
        if not 0 <= value <= 1:
            raise UsageError(f"--{name} {value:g} is not a share; give a number from 0 to 1")
    if any(drafts) and not acceptance:
        raise UsageError("--draft needs --acceptance, the chance that a drafted token is accepted, such as 0.7")


def _most(s: Any, chips: int | None) -> int:
    """Chips of one replica at most: what there is, else a large system of its kind."""
    if chips is not None:
        return min(chips, MOST_PIPED)
    return MOST_PIPED if s.chip.weights_in_sram else MOST_CHIPS


def _nothing(settings: Sequence[Any], chips: int | None, model: str) -> str:
    names = ", ".join(dict.fromkeys(s.chip.name for s in settings))
    most = max(_most(s, chips) for s in settings)
    return f"{model} does not fit {most} x {names} in any format searched; allow more --chips or narrower --weights"


def _unpriced(aim: str, names: Sequence[str]) -> str:
    if aim == "cheapest":
        return f'no price of {", ".join(names)} is known; give one with --rent "2.5 USD/h", or another --aim'
    return f"{', '.join(names)} publish no power figure; choose another --aim"
