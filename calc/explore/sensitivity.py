"""What each input is worth: one at a time from its low to its high, the rest as it stands.

Before: an answer at a sensible load (`loading.loaded`). After: `tokcalc sensitivity`. The ends of an input
are the price's own range, the grade of the chip's figure, or the range of specs/prices/planning.toml; `why`
says which. The deployment and the requests in flight stay fixed, so that one thing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..answers.estimate import estimate
from ..catalog.tables import planning
from ..engines.constants import Constants, load_constants
from ..errors import NoAnswer, TokcalcError, UsageError
from ..money.hour import Hour, Terms, chip_hour

if TYPE_CHECKING:
    from ..hardware.chip import Chip

METRICS = {
    "cost": ("cost per million output tokens", ("cost", "per_m_output")),
    "blended": ("cost per million tokens, blended", ("cost", "per_m_blended")),
    "speed": ("tokens/s per user", ("speed", "output_tok_s_user", "value")),
    "throughput": ("output tokens/s per chip", ("speed", "output_tok_s_chip", "value")),
}
Case = dict[str, Any]
_LATENCIES = ("layer_us", "moe_us", "span_us")


@dataclass(frozen=True)
class Input:
    """One input: its value now and at both ends, why there, and the keywords of `estimate` that set it."""

    name: str
    unit: str
    base: float | str
    low: float | str
    high: float | str
    why: str
    case: Callable[[Any], Case]


@dataclass(frozen=True)
class Swing:
    """What an input does to a metric: the metric at the input's low and high end, and its value now."""

    input: Input
    at_low: float
    at_high: float
    base: float

    @property
    def size(self) -> float:
        """The span of the metric over the input's range, relative to its value now."""
        values = (self.at_low, self.at_high, self.base)
        return (max(values) - min(values)) / self.base if self.base else 0.0


def metric_of(answer: Mapping[str, Any], metric: str) -> float:
    """The metric of an answer; NoAnswer with the reason where it has none."""
    value: Any = answer
    for key in METRICS[metric][1]:
        value = value.get(key)
        if value is None:
            raise NoAnswer(str((answer.get("cost") or {}).get("reason") or f"the answer has no {metric}"))
    return float(value)


def tornado(
    chip: Chip,
    model: Any,
    answer: Mapping[str, Any],
    question: Mapping[str, Any],
    terms: Terms,
    metric: str = "cost",
    most: int = 10,
) -> list[Swing]:
    """The inputs that move the metric most, the largest swing first.

    answer: of `loaded` for the question; question: its keywords. Inputs that move nothing are left out.
    Raises UsageError for an unknown metric, NoAnswer where the answer has no such figure.
    """
    if metric not in METRICS:
        raise UsageError(f'--of "{metric}" is not a figure of the answer; choose {", ".join(METRICS)}.')
    fixed = fixed_question(answer, question)
    base = metric_of(estimate(chip, model, **fixed).to_dict(), metric)
    swings = []
    for item in inputs(chip, answer, fixed, terms):
        ends = [_at(chip, model, fixed, item.case(end), metric) for end in (item.low, item.high)]
        values = [base if end is None else end for end in ends]
        found = Swing(item, values[0], values[1], base)
        if found.size > 1e-6:
            swings.append(found)
    return sorted(swings, key=lambda s: -s.size)[:most]


def _at(chip: Chip, model: Any, fixed: Mapping[str, Any], case: Case, metric: str) -> float | None:
    """The metric with a case applied; None where it has no answer there (a batch that does not fit)."""
    changed = {**fixed, **case}
    try:
        return metric_of(estimate(changed.pop("chip", chip), model, **changed).to_dict(), metric)
    except UsageError:
        raise
    except TokcalcError:
        return None


def fixed_question(answer: Mapping[str, Any], question: Mapping[str, Any]) -> dict[str, Any]:
    """The question with the deployment, formats and requests in flight of its answer."""
    plan = answer["deployment"]
    degrees: dict[str, Any] = {"chips": plan["chips"]}
    if not answer.get("placement"):
        degrees |= {key: plan[key] for key in ("tp", "pp", "dp", "ep")}
    return {
        **question,
        **degrees,
        "weights": plan["weights"],
        "kv": plan["kv"],
        "concurrency": answer["workload"]["concurrency"],
    }


def inputs(chip: Chip, answer: Mapping[str, Any], fixed: Mapping[str, Any], terms: Terms) -> list[Input]:
    """Every input with a range: money, load, chip, software."""
    return [
        *_money(chip, answer, fixed, terms),
        *_load(answer, fixed),
        *_hardware(chip, answer),
        *_software(chip, answer),
    ]


def _money(chip: Chip, answer: Mapping[str, Any], fixed: Mapping[str, Any], terms: Terms) -> list[Input]:
    watts, count = answer["energy"], answer["deployment"]["chips"]
    power = [watts[key] / count if key in watts else None for key in ("system_power_w", "system_rated_w")]
    try:
        hour = chip_hour(chip, terms, *power)
    except NoAnswer:
        return []
    least, most = planning()["range"]["utilisation"]
    found = [
        Input(
            "utilisation",
            "share",
            fixed.get("utilisation", 1.0),
            least,
            most,
            "planning.toml: a small service, a batch queue",
            lambda v: {"utilisation": v},
        )
    ]
    if hour.owned is None:
        if hour.high > hour.low:
            code = hour.currency
            why = f"{hour.price['n']} offers of {hour.price['date']}" if hour.way == "rental" else hour.way
            found.append(
                Input(
                    "rent of a chip",
                    f"{code}/h",
                    hour.value,
                    hour.low,
                    hour.high,
                    why,
                    lambda v: {"rent": f"{v!r} {code}/h", "price": None, "own": None},
                )
            )
        return found
    return found + _owned(hour, terms)


def _owned(hour: Hour, terms: Terms) -> list[Input]:
    """The owner's inputs with the ranges of their prices."""
    assert hour.owned is not None
    own, prices, given = hour.owned.inputs, hour.owned.prices, dict(terms.own or {})
    ranges = planning()["range"]
    names = {
        "purchase": ("purchase of a chip with its host", hour.currency),
        "life_years": ("life", "years"),
        "cost_of_capital": ("cost of capital", "a year"),
        "residual_share": ("value left at the end", "share"),
        "electricity": ("electricity", f"{hour.currency}/kWh"),
        "pue": ("PUE", ""),
        "colo_kw_month": ("space", f"{hour.currency}/kW-month"),
        "network_share": ("network", "share"),
    }
    found = []
    for key, (name, unit) in names.items():
        value, price = float(getattr(own, key)), prices.get(key)
        if key in ranges:
            low, high = ranges[key]
            why = "planning.toml"
        elif price is not None and price.value and key not in given:
            low, high = (end * value / price.value for end in (price.low, price.high))
            why = f"range of the prices known, {price.date.isoformat()}, grade {price.grade}"
            if low == high:
                width = planning()["grade_range"][price.grade]
                low, high, why = low * (1 - width), high * (1 + width), f"one price, grade {price.grade}"
        else:
            continue

        def case(v: float, key: str = key) -> Case:
            return {"own": {**given, key: v}, "rent": None, "price": None}

        found.append(Input(name, unit, value, low, high, why, case))
    return found


def _load(answer: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[Input]:
    ranges, work = planning()["range"], answer["workload"]
    found = []
    for key, name, unit in (
        ("concurrency", "requests in flight", ""),
        ("isl", "input length", "tokens"),
        ("osl", "output length", "tokens"),
    ):
        low, high = ranges["batch" if key == "concurrency" else key]
        base = int(work[key])
        ends = (max(1, round(base * low)), max(1, round(base * high)))
        why = f"planning.toml: x {low:g} to x {high:g}"

        def case(v: Any, key: str = key) -> Case:
            return {key: int(v)}

        found.append(Input(name, unit, base, ends[0], ends[1], why, case))
    low, high = ranges["cache_hit"]
    found.append(
        Input(
            "input found in cache",
            "share",
            work["cache_hit"],
            low,
            high,
            "none; DeepSeek's day",
            lambda v: {"cache_hit": v},
        )
    )
    return found


def _hardware(chip: Chip, answer: Mapping[str, Any]) -> list[Input]:
    widths = planning()["grade_range"]
    found = []

    def graded(name: str, unit: str, field: str, value: float, case: Callable[[Any], Case]) -> None:
        grade = chip.grade_of(field) or chip.grade
        width = widths.get(grade, widths["D"])
        why = f"chip file, grade {grade}: +-{width:.0%}"
        found.append(Input(name, unit, value, value * (1 - width), value * (1 + width), why, case))

    level, plan = chip.main_memory, answer["deployment"]
    if level.bandwidth_bytes_s:
        rate = level.bandwidth_bytes_s
        graded(
            "memory bandwidth",
            "TB/s",
            f"memory.{level.name}.bandwidth",
            rate / 1e12,
            lambda v: {"chip": faster(chip, memory=v * 1e12 / rate)},
        )
    from ..hardware.formats import find_format, roof

    name, peak = roof(find_format(plan["weights"]), chip.peak_ops_s)
    graded(
        f"dense peak, {name}",
        "PFLOP/s",
        f"peak_dense.{name}",
        peak / 1e15,
        lambda v: {"chip": faster(chip, compute=v * 1e15 / peak)},
    )
    link = chip.scale_up
    if plan["chips"] > 1 and link is not None and link.bandwidth_bytes_s:
        speed = link.bandwidth_bytes_s
        graded(
            "link between chips",
            "GB/s",
            "links.scale_up",
            speed / 1e9,
            lambda v: {"chip": faster(chip, links=v * 1e9 / speed)},
        )
    if plan["weights"] in ("bf16", "fp16") and "fp8" in chip.peak_ops_s and not chip.weights_in_sram:
        found.append(
            Input(
                "weights",
                "",
                plan["weights"],
                "fp8",
                plan["weights"],
                "the chip's next native format",
                lambda v: {"weights": v},
            )
        )
    return found


def faster(chip: Chip, memory: float = 1.0, compute: float = 1.0, links: float = 1.0) -> Chip:
    """The chip with its main memory's bandwidth, its peaks and its links scaled."""
    main = chip.main_memory
    levels = tuple(
        replace(level, bandwidth_bytes_s=level.bandwidth_bytes_s * memory)
        if level is main and level.bandwidth_bytes_s
        else level
        for level in chip.memory
    )
    peaks = {name: peak * compute for name, peak in chip.peak_ops_s.items()}
    joined = tuple(
        replace(link, bandwidth_bytes_s=link.bandwidth_bytes_s * links) if link.bandwidth_bytes_s else link
        for link in chip.links
    )
    return replace(chip, memory=levels, peak_ops_s=peaks, links=joined)


def _software(chip: Chip, answer: Mapping[str, Any]) -> list[Input]:
    said = answer["speed"]["tpot_s"]
    factor = said["high"] / said["value"]
    why = f"80 % band of grade {answer['grade']}"
    if chip.weights_in_sram:
        from ..catalog import load_model
        from ..engines.pipelines import constants_for, model_day

        day = model_day(chip, load_model(answer["model"]))
        table = {key: value for key, value in constants_for(chip, day)[0].items() if key != "generation"}

        def slower(times: float) -> Case:
            scaled = {key: table[key] * times for key in _LATENCIES if key in table}
            return {"chip": replace(chip, efficiency={**chip.efficiency, "sram": {**table, **scaled}})}

        return [Input("latency of a layer", "x", 1.0, 1 / factor, factor, why, slower)]
    low, high = planning()["range"]["host"]
    return [
        Input(
            "kernels' share of the peaks",
            "x",
            1.0,
            1 / factor,
            factor,
            why,
            lambda v: {"chip": faster(chip, memory=v, compute=v)},
        ),
        Input(
            "host work of the engine",
            "x",
            1.0,
            low,
            high,
            "planning.toml: age of the software",
            lambda v: {"constants": host_scaled(load_constants(), v)},
        ),
    ]


def host_scaled(constants: Constants, times: float) -> Constants:
    """The constants with the host work per step, layer, sequence and prompt of every engine and stack scaled."""
    keys = ("step_us", "layer_us", "sequence_us", "prefill_step_us", "prefill_ms", "prefill_layer_us")

    def scaled(tables: Mapping[str, Any]) -> dict[str, Any]:
        return {name: {k: v * times if k in keys else v for k, v in table.items()} for name, table in tables.items()}

    tables = {**constants.tables, "stack": scaled(constants.tables.get("stack", {}))}
    return replace(constants, engines=scaled(constants.engines), tables=tables)
