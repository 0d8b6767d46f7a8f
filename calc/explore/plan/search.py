"""Every deployment worth a look, as arrays: cuts x batches x formats x engines x draft lengths of some
chips.

`choice` picks from its `Candidates`, `atlas` keeps their fronts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...answers.money import paid_watts
from ...answers.setting import Setting, key_of, setting
from ...engines.resolve import check_runs
from ...errors import UsageError
from ...money.cost import blend, input_output
from ...physics.parallel import Plan
from ...serving.closed_loop import evaluate
from ...serving.cuts import search_cuts
from ...serving.power import watts
from ...serving.workload import Load, Served

BATCHES = (1, 2, 3, *(round(step * 2**octave) for octave in range(2, 13) for step in (1.0, 1.25, 1.5, 1.75)))
MOST_CHIPS = 64  # of a replica, where nobody says how many there are
MOST_PIPED = 4096  # the same of SRAM chips, which hold little each
NUMBERS = (
    "isl",
    "osl",
    "chips",
    "tp",
    "pp",
    "dp",
    "ep",
    "draft",
    "concurrency",
    "largest_batch",
    "tpot_s",
    "ttft_s",
    "output_tok_s",
    "input_tok_s",
    "output_tok_s_user",
    "output_tok_s_chip",
    "per_hour",
    "per_m_input",
    "per_m_output",
    "per_m_blended",
    "power_w",
    "tok_per_joule",
    "used_share",
)
POOLS = ("prefill", "prefill_chips", "prefill_replicas", "decode_chips", "decode_replicas")
_ENGINES = {"nvidia": ("vllm", "sglang", "trtllm"), "amd": ("vllm", "sglang")}


@dataclass(frozen=True)
class Candidates:
    """Deployments as columns.

    `where[i]` is the place of case i in `settings` (of its decode pool where prompts have a pool of their
    own, whose setting is then column `prefill`, else -1); fits: in memory with its batch.
    """

    settings: tuple[Setting, ...]
    where: np.ndarray
    fits: np.ndarray
    holds: np.ndarray
    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def take(self, places: np.ndarray) -> Candidates:
        """Some of the cases, in the order of `places`."""
        columns = {name: column[places] for name, column in self.columns.items()}
        return Candidates(self.settings, self.where[places], self.fits[places], self.holds[places], columns)


def join(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of several searches, the settings of each kept apart."""
    settings: list[Setting] = []
    where = []
    for part in parts:
        where.append(part.where + len(settings))
        settings += part.settings
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0].columns}
    shifts = np.cumsum([0, *(len(part.settings) for part in parts[:-1])])
    shift = np.concatenate([np.full(len(p), by, dtype=float) for p, by in zip(parts, shifts, strict=True)])
    columns["prefill"] = np.where(columns["prefill"] >= 0, columns["prefill"] + shift, -1.0)
    return Candidates(
        tuple(settings),
        np.concatenate(where),
        np.concatenate([p.fits for p in parts]),
        np.concatenate([p.holds for p in parts]),
        columns,
    )


def engines_of(vendor: str) -> tuple[str | None, ...]:
    """Serving software that runs on a vendor's chips and has constants; else the general constants."""
    return next((names for start, names in _ENGINES.items() if vendor.lower().startswith(start)), (None,))


def formats_of(chip: str, model: str, options: Mapping[str, Any], wanted: Sequence[str] | None) -> list[str | None]:
    """Weight formats to try: those asked for ("any": every one that the chip multiplies in), else the
    released one and 8 bit where the chip has it and it is narrower.
    """
    from ...hardware.formats import find_format

    native = setting(key_of({**options, "chip": chip, "model": model}))
    peaks = native.chip.peak_ops_s
    if wanted and [word.lower() for word in wanted] != ["any"]:
        return list(wanted)
    ways = [native.weights]
    eight = next((name for name in ("fp8", "int8") if name in peaks), None)
    if eight and find_format(native.weights).bits > 8:
        ways.append(eight)
    if wanted and "fp4" in peaks:
        ways += ["nvfp4", "mxfp4"]
    if wanted:
        ways.append("int4")
    return list(dict.fromkeys(ways))


def settings_for(
    chips: Iterable[str],
    model: str,
    options: Mapping[str, Any],
    weights: Sequence[str] | None,
    engines: Sequence[str | None] | None,
) -> list[Setting]:
    """One setting per chip, weight format and engine; `options`: fixed names and money of a question.

    Engines that do not run on a chip are left out there; UsageError where none of them does.
    """
    found: list[Setting] = []
    for chip in chips:
        for fmt in formats_of(chip, model, options, weights):
            first = setting(key_of({**options, "chip": chip, "model": model, "weights": fmt}))
            own = first.chip.weights_in_sram  # its maker's software, whatever is asked for
            ways: Sequence[str | None] = engines or ((None,) if own else engines_of(first.chip.vendor))
            refused: list[UsageError] = []
            for engine in ways:
                one = setting(key_of({**options, "chip": chip, "model": model, "weights": fmt, "engine": engine}))
                try:
                    check_runs(one.constants, one.engine, one.chip)
                except UsageError as error:
                    refused.append(error)
                    continue
                found.append(first if own else one)
            if refused and len(refused) == len(ways):
                raise refused[0]
    unique = {(s.chip.id, s.chip.path, s.chip.overridden, s.weights, s.kv, s.engine.name): s for s in found}
    return list(unique.values())


def search(
    s: Setting,
    *,
    lengths: Sequence[tuple[float, float]],
    batches: Sequence[float] = BATCHES,
    cuts: Sequence[Plan] | None = None,
    most_chips: int = MOST_CHIPS,
    cached: float = 0.0,
    drafts: Sequence[float] = (0.0,),
    acceptance: float = 0.0,
    utilisation: float = 1.0,
) -> Candidates:
    """All cuts, draft lengths and batches of one setting at each (isl, osl) of `lengths`, in this order."""
    if s.chip.weights_in_sram:
        plans = [Plan(1, 1, 1, 1)]
    else:
        plans = list(cuts) if cuts is not None else search_cuts(s.chip, s.model, most_chips)

    def axis(values: Iterable[Any], place: int) -> np.ndarray:
        return np.array([float(v) for v in values]).reshape([-1 if i == place else 1 for i in range(4)])

    tp, pp, dp, ep = (axis((p.degrees[i] for p in plans), 0) for i in range(4))
    plan = Plan(tp, pp, dp, ep)
    isl, osl = axis((pair[0] for pair in lengths), 1), axis((pair[1] for pair in lengths), 1)
    draft, batch = axis(drafts, 2), axis(batches, 3)
    load = Load(isl, osl, batch, cached, draft, np.where(draft > 0, acceptance, 0.0))
    found = evaluate(s.machine(plan), load)
    shape = (len(plans), isl.size, draft.size, batch.size)
    figures = {
        "isl": isl,
        "osl": osl,
        "chips": found.chips,
        "tp": plan.tp,
        "pp": plan.pp,
        "dp": plan.dp,
        "ep": plan.ep,
        "draft": draft,
        "concurrency": found.concurrency,
        "largest_batch": found.largest_batch,
        "tpot_s": found.tpot_s,
        "ttft_s": found.ttft_s,
        "output_tok_s": found.output_tok_s,
        "input_tok_s": found.input_tok_s,
        "output_tok_s_user": 1.0 / found.tpot_s,
        "output_tok_s_chip": found.output_tok_s / found.chips,
        "used_share": found.used_share,
        **_money(s, found, isl / osl, cached, utilisation),
        **dict.fromkeys(POOLS, 0.0),
        "prefill": -1.0,
    }
    if s.chip.weights_in_sram:
        figures["pp"] = found.chips
    columns = {name: np.broadcast_to(figures[name], shape).ravel() for name in (*NUMBERS, *POOLS)}
    small = columns["chips"] <= most_chips
    holds = np.broadcast_to(found.fits, shape).ravel() & small
    waits = np.broadcast_to(found.running < found.concurrency, shape).ravel()
    return Candidates((s,), np.zeros(holds.size, dtype=np.intp), holds & ~waits, holds, columns)


def _money(s: Setting, found: Served, ratio: Any, cached: float, utilisation: float) -> dict[str, Any]:
    """Power, energy and money columns; NaN where a chip publishes no power or has no price.

    ratio: isl / osl.
    """
    drawn = watts(s.chip, s.model, s.weights, found, cached_share=cached)
    figures: dict[str, Any] = dict.fromkeys(
        ("power_w", "tok_per_joule", "per_hour", "per_m_input", "per_m_output", "per_m_blended"), np.nan
    )
    if drawn is not None:
        figures |= {"power_w": drawn.chips_w, "tok_per_joule": found.output_tok_s / drawn.chips_w}
    if s.price is not None:
        paid = paid_watts(s.chip, drawn, utilisation) if drawn is not None and s.price.per_watt else 0.0
        extra = s.price.per_watt * paid
        hour = s.price.fixed * found.chips + extra
        of_input, of_output = input_output(
            hour, found.input_tok_s, found.output_tok_s, found.prefill_share, utilisation
        )
        blended = blend(of_input, of_output, ratio)
        figures |= {"per_hour": hour, "per_m_input": of_input, "per_m_output": of_output, "per_m_blended": blended}
    return figures
