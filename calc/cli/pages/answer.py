"""One answer dictionary -> text for a person: the card, verdict first, and the table of its terms. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .. import text

GRADES = {
    "A": "constants fitted to measurements of this chip",
    "B": "constants borrowed from the chip's family",
    "C": "constants borrowed from the chip's class",
    "D": "data sheets or roadmaps, no measurement behind them",
}
_LABEL = 14
_VALUE = 22
_SOURCES_SHOWN = 6

Answer = Mapping[str, Any]
Line = tuple[str, str, str]
"""Label, value, and what qualifies the value (its band, its parts)."""


def card(answer: Answer, width: int = 80, colour: bool = False) -> str:
    """The card of one answer, in lines of at most `width` columns."""
    lines = _verdict(answer, width, colour)
    for block in (_speed(answer), [*_money(answer), *_energy(answer)], _limit(answer), _sureness(answer)):
        lines += ["", *(line for row in block for line in _row(row, width))]
    for title in ("assumptions", "notes", "sources"):
        lines += _list(title, answer.get(title) or [], width, colour)
    if answer.get("command"):
        lines += ["", text.paint("to repeat it", "bold", colour), *_command(str(answer["command"]), width)]
    return "\n".join(lines)


def _row(row: Line, width: int) -> list[str]:
    label, value, extra = row
    lead = f"{label:<{_LABEL}}"
    if extra and len(value) < _VALUE:
        lead, value = f"{lead}{value:<{_VALUE}}", extra
    elif extra:
        value = f"{value}, {extra}"
    return text.wrap(value, width, lead, " " * _LABEL)


def _command(command: str, width: int) -> list[str]:
    """The command in lines a shell can still read: broken between words, with a backslash."""
    lines, line = [], " "
    for word in map(shlex.quote, shlex.split(command)):
        if len(line) + len(word) + 3 > width and line.strip():
            lines.append(line + " \\")
            line = "   "
        line += " " + word
    return [*lines, line]


def _verdict(answer: Answer, width: int, colour: bool) -> list[str]:
    tentative = answer.get("grade") == "D"
    cost, chips = answer.get("cost") or {}, (answer.get("deployment") or {}).get("chips", 1)
    machine, verb = name(answer, "chip"), "runs"
    if chips != 1:
        machine, verb = f"{chips} x {machine}", "run"
    speed = f"{'perhaps ' if tentative else ''}{_number(answer['speed']['output_tok_s_user']['value'], answer)}"
    service = answer.get("service")
    whose = "for one request alone" if service else "per user"
    line = f"{machine} {verb} {name(answer, 'model')} at {speed} tokens/s {whose}"
    if cost.get("per_m_output") is not None:
        line += f", at {_amount(cost['per_m_output'], answer)} per million output tokens"
        if service:  # what the money is told at
            user = _number(service["speed"]["output_tok_s_user"]["value"], answer)
            line += f" where {_plain(service['concurrency'])} requests at once get {user} tokens/s each"
    lines = [text.paint(part, "bold", colour) for part in text.wrap(f"{line}.", width)]
    if tentative:
        warning = (
            "GRADE D: no measurement stands behind this pair of chip and model in these data types; the "
            "figures rest on data sheets or roadmaps, in two digits. Compare, do not plan with them."
        )
        lines += [text.paint(part, "yellow", colour) for part in text.wrap(warning, width, "! ", "! ")]
    return lines + text.wrap(_workload(answer), width)


def name(answer: Answer, kind: str) -> str:
    """The full name of the chip or model where the answer has one, else its id."""
    return str(answer.get(f"{kind}_name") or answer[kind])


def _workload(answer: Answer) -> str:
    work, deployment = answer.get("workload") or {}, answer.get("deployment") or {}
    in_flight = work.get("concurrency")
    requests = "1 request in flight" if in_flight == 1 else f"{_plain(in_flight)} requests in flight"
    parts = [
        f"{work.get('isl'):,} tokens in, {work.get('osl'):,} out",
        "" if in_flight is None or answer.get("service") else requests,
        f"weights {deployment.get('weights')}, KV cache {deployment.get('kv')}",
        ", ".join(f"{d} {deployment[d]}" for d in ("tp", "pp", "dp", "ep") if (deployment.get(d) or 1) != 1),
        f"engine {deployment['engine']}" if deployment.get("engine") else "",
        f"{work['cache_hit']:.0%} of the input cached" if work.get("cache_hit") else "",
        f"{work['draft']} tokens drafted" if work.get("draft") else "",
    ]
    return "; ".join(part for part in parts if part) + "."


def _plain(value: object) -> str:
    if isinstance(value, float) and not value.is_integer():
        return text.number(value)
    return text.whole(value) if isinstance(value, int | float) else str(value)


def _number(value: float | None, answer: Answer) -> str:
    return text.number(value, 2 if answer.get("grade") == "D" else 3)


def _amount(value: float | None, answer: Answer) -> str:
    """An amount in the answer's currency; two digits where nothing better is known."""
    if value is not None and answer.get("grade") == "D":
        value = float(f"{value:.2g}")
    return text.money(value, str((answer.get("cost") or {}).get("currency")))


def _speed(answer: Answer) -> list[Line]:
    service = answer.get("service")
    if not service:
        return _speeds(answer["speed"], answer)
    alone = [row for row in _speeds(answer["speed"], answer) if row[0] in ("per user", "first token")]
    said = f"{_plain(service['min_tok_s_user'])} tokens/s a user and a first token within {service['max_ttft_s']:g} s"
    kept = f"the most that keep {said}" if service["kept"] else f"all that fit; no load keeps {said}"
    return [
        ("one request", "alone on the machine", ""),
        *_under(alone),
        ("a service", f"{_plain(service['concurrency'])} requests in flight: {kept}", ""),
        *_under(_speeds(service["speed"], answer)),
    ]


def _under(rows: list[Line]) -> list[Line]:
    """Lines below a heading of their own."""
    return [(f"  {label.removeprefix('whole ')}", value, extra) for label, value, extra in rows]


def _speeds(speed: Answer, answer: Answer) -> list[Line]:
    ttft = speed.get("ttft_s") or {}
    digits = 2 if answer.get("grade") == "D" else 3

    def band(label: str, key: str, unit: str = "") -> Line:
        item, show = speed.get(key) or {}, text.number if unit else text.seconds
        if item.get("value") is None:
            return label, "-", ""
        low, high = (item.get(end) for end in ("low", "high"))
        ends = "" if low is None or high is None else f"{show(low, digits)} to {show(high, digits)}"
        return label, f"{'~' if digits == 2 else ''}{show(item['value'], digits)}{unit}", ends

    rows = [
        band("per user", "output_tok_s_user", " tokens/s"),
        band("per chip", "output_tok_s_chip", " tokens/s"),
        band("whole system", "output_tok_s", " tokens/s out"),
        band("", "input_tok_s", " tokens/s in"),
        band("per token", "tpot_s"),
        band("first token", "ttft_s"),
    ]
    spread = [f"{p} {text.seconds(ttft[p])}" for p in ("p50", "p90", "p99") if ttft.get(p) is not None]
    if spread and ttft.get("p99") != ttft.get("p50"):
        rows.append(("", ", ".join(spread), ""))
    return rows


def _money(answer: Answer) -> list[Line]:
    cost = answer.get("cost") or {}
    if cost.get("per_m_output") is None:
        return [("cost", str(cost.get("reason") or "no price is known; give one with --rent"), "")]

    def amount(key: str) -> str:
        return _amount(cost.get(key), answer)

    parts = []
    if cost.get("per_m_output_low") is not None:
        parts.append(f"{amount('per_m_output_low')} to {amount('per_m_output_high')}")
    named = (("input", "per_m_input"), ("blended", "per_m_blended"))
    parts += [f"{amount(key)} {label}" for label, key in named if cost.get(key) is not None]
    low, high = amount("per_hour_low"), amount("per_hour_high")
    band = f", {low} to {high}" if low != high else ""
    rows = [
        ("1M tokens", f"{amount('per_m_output')} output", ", ".join(parts)),
        ("an hour", amount("per_hour"), f"the whole system{band}"),
    ]
    price = cost.get("price") or {}
    if price:
        rows.append(("price used", _price(price), ""))
        rows += [("", source, "") for source in str(price.get("source") or "").split("; ") if source]
    return rows


def _price(price: Answer) -> str:
    terms = [term.strip() for term in str(price.get("terms") or "").split(",")]
    parts = [
        f"of {price['date']}" if price.get("date") else "",
        *(term for term in terms if term != "offers"),
        f"{price['n']} offers" if (price.get("n") or 0) > 1 else "",
        f"grade {price['grade']}" if price.get("grade") else "",
        str(price.get("note") or ""),
    ]
    return ", ".join(dict.fromkeys(part for part in parts if part))


def _energy(answer: Answer) -> list[Line]:
    energy = answer.get("energy") or {}

    def number(key: str, unit: str) -> str:
        return f"{_number(energy[key], answer)} {unit}" if isinstance(energy.get(key), int | float) else ""

    kinds = (("output", "an output token"), ("input", "an input token"), ("", "any token"))
    joules = (number("_".join(p for p in ("joule_per", kind, "token") if p), f"J {label}") for kind, label in kinds)
    shown = ", ".join(part for part in joules if part) or str(energy.get("reason") or "")
    rows = [("energy", shown, "")] if shown else []
    if whole := number("kwh_per_m_output", "kWh a million output tokens"):
        gas = number("co2_kg_per_m_output", "kg CO2")
        gas = f", {gas} ({energy['grid']})" if gas else ""
        rows.append(("all-in", f"{whole}{gas}, {energy['all_in']}", ""))
    return rows


def _limit(answer: Answer) -> list[Line]:
    """What bounds the speed, how full the memory is, and which layers lie where."""
    share, memory = answer.get("bound_share"), answer.get("memory") or {}
    timed = f", {share:.0%} of the time" if isinstance(share, int | float) else ""
    rows = [("bound by", f"{answer.get('bound_by') or '-'}{timed}", "")]
    kinds = (("weights", "weights"), ("KV cache", "kv"), ("workspace", "workspace"))
    sizes = ((label, memory.get(f"{kind}_bytes_per_chip")) for label, kind in kinds)
    parts = ", ".join(f"{label} {text.size(size)}" for label, size in sizes if size)
    used, capacity = memory.get("used_share"), memory.get("capacity_bytes")
    if used is not None:
        rows.append(("memory", f"{used:.0%}" + (f" of {text.size(capacity)} a chip" if capacity else ""), parts))
    elif parts:
        rows.append(("memory", parts, ""))
    lines = [_placed(item) for item in answer.get("placement") or []]
    if len(lines) > 6:
        lines = [*lines[:3], f"... {len(lines) - 5} more ...", *lines[-2:]]
    return rows + [("" if place else "layers", line, "") for place, line in enumerate(lines)]


def _placed(item: object) -> str:
    if isinstance(item, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in item.items())
    return str(item)


def _sureness(answer: Answer) -> list[Line]:
    grade, band = str(answer.get("grade") or "-"), answer.get("band") or {}
    rows = [
        ("grade", f"{grade}: {band.get('reason') or GRADES.get(grade, 'unknown')}", ""),
        ("rests on", str((answer.get("evidence") or {}).get("text") or ""), ""),
        ("band", str(band.get("note") or "").partition("; grade")[0], ""),
    ]
    return [row for row in rows if row[1]]


def _list(title: str, items: Sequence[Any], width: int, colour: bool) -> list[str]:
    if not items:
        return []
    lines = ["", text.paint(title, "bold", colour)]
    shown = items[:_SOURCES_SHOWN] if title == "sources" else items
    for item in shown:
        lines += text.wrap(_source(item), width, "  - ", "    ")
    if len(shown) < len(items):
        lines.append(f"  - and {len(items) - len(shown)} more; --json has them all")
    return lines


def _source(item: object) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    parts = [str(item.get(key) or "") for key in ("covers", "url", "date", "note")]
    grade = f"grade {item['grade']}" if item.get("grade") else ""
    return ", ".join(part for part in (*parts, grade) if part)


def explanation(answer: Answer, width: int = 80) -> str:
    """The table of terms: seconds, share of the time, formula and inputs of each, in the answer's order."""
    head = f"terms of {name(answer, 'chip')} with {name(answer, 'model')}"
    lines = [head, f"  {'seconds':>10}  {'share':>6}  term"]
    for term in answer.get("terms") or []:
        share = term.get("share")
        shown = f"{share:6.1%}" if isinstance(share, int | float) else f"{'':6}"
        lines += text.wrap(str(term["name"]), width, f"  {text.seconds(term.get('seconds')):>10}  {shown}  ")
        if term.get("formula"):
            lines += text.wrap(f"= {term['formula']}", width, " " * 22)
        if term.get("inputs"):
            lines += text.wrap(f"with {_inputs(term['inputs'])}", width, " " * 22)
    return "\n".join(lines)


def _inputs(inputs: object) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(f"{key} {_input(value)}" for key, value in inputs.items())
    return str(inputs)


def _input(value: object) -> str:
    if isinstance(value, float):
        return text.number(value, 4) if 1e-4 <= abs(value) < 1e9 or value == 0 else f"{value:.3e}"
    return str(value)
