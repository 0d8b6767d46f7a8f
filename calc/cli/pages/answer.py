"""One answer dictionary -> text for a person: the card, verdict first, and the table of its terms. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
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
    for block in (
        _speed(answer),
        [*_money(answer), *_energy(answer)],
        [*_limit(answer), *_memory(answer), *_placement(answer)],
        _sureness(answer),
    ):
        if block:
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
    speed = answer["speed"]["output_tok_s_user"]
    cost = answer.get("cost") or {}
    money = (
        f", at {_amount(cost['per_m_output'], answer)} per million output tokens"
        if cost.get("per_m_output") is not None
        else ""
    )
    alone = " for one request alone" if answer.get("service") else " per user"
    line = (
        f"{machine(answer)} {_verb(answer)} {name(answer, 'model')} at {'perhaps ' if tentative else ''}"
        f"{_number(speed['value'], answer)} tokens/s{alone}{money}{_serving(answer)}."
    )
    lines = [text.paint(part, "bold", colour) for part in text.wrap(line, width)]
    if tentative:
        warning = (
            "GRADE D: no measurement stands behind this pair of chip and model in these data types; the "
            "figures rest on data sheets or roadmaps, in two digits. Compare, do not plan with them."
        )
        lines += [text.paint(part, "yellow", colour) for part in text.wrap(warning, width, "! ", "! ")]
    return lines + text.wrap(_workload(answer), width)


def _serving(answer: Answer) -> str:
    """What the money of the headline is told at."""
    service = answer.get("service")
    if not service:
        return ""
    user = _number(service["speed"]["output_tok_s_user"]["value"], answer)
    return f" where {_plain(service['concurrency'])} requests at once get {user} tokens/s each"


def _verb(answer: Answer) -> str:
    return "runs" if (answer.get("deployment") or {}).get("chips", 1) == 1 else "run"


def machine(answer: Answer) -> str:
    """ "4 x wse-3": the chips of the deployment."""
    chips = (answer.get("deployment") or {}).get("chips", 1)
    return name(answer, "chip") if chips == 1 else f"{chips} x {name(answer, 'chip')}"


def name(answer: Answer, kind: str) -> str:
    """The full name of the chip or model where the answer has one, else its id."""
    return str(answer.get(f"{kind}_name") or answer[kind])


def _workload(answer: Answer) -> str:
    work, deployment = answer.get("workload") or {}, answer.get("deployment") or {}
    degrees = [f"{d} {deployment[d]}" for d in ("tp", "pp", "dp", "ep") if (deployment.get(d) or 1) != 1]
    parts = [
        f"{work.get('isl'):,} tokens in, {work.get('osl'):,} out",
        "" if answer.get("service") else _requests(work.get("concurrency")),
        f"weights {deployment.get('weights')}, KV cache {deployment.get('kv')}",
        ", ".join(degrees),
        f"engine {deployment['engine']}" if deployment.get("engine") else "",
        f"{work['cache_hit']:.0%} of the input cached" if work.get("cache_hit") else "",
        f"{work['draft']} tokens drafted" if work.get("draft") else "",
    ]
    return "; ".join(part for part in parts if part) + "."


def _requests(concurrency: object) -> str:
    if concurrency is None:
        return ""
    return "1 request in flight" if concurrency == 1 else f"{_plain(concurrency)} requests in flight"


def _plain(value: object) -> str:
    if isinstance(value, float) and not value.is_integer():
        return text.number(value)
    return text.whole(value) if isinstance(value, int | float) else str(value)


def _number(value: float | None, answer: Answer) -> str:
    return text.number(value, 2 if answer.get("grade") == "D" else 3)


def _band(label: str, item: Mapping[str, Any] | None, show: Any, unit: str, answer: Answer) -> Line:
    if not item or item.get("value") is None:
        return label, "-", ""
    digits = 2 if answer.get("grade") == "D" else 3
    value = f"{'~' if digits == 2 else ''}{show(item['value'], digits)}{unit}"
    if item.get("low") is None or item.get("high") is None:
        return label, value, ""
    return label, value, f"{show(item['low'], digits)} to {show(item['high'], digits)}"


def _speed(answer: Answer) -> list[Line]:
    service = answer.get("service")
    if not service:
        return _speeds(answer["speed"], answer)
    alone = answer["speed"]
    rows = [
        ("one request", "alone on the machine", ""),
        _band("  per user", alone.get("output_tok_s_user"), text.number, " tokens/s", answer),
        _band("  first token", alone.get("ttft_s"), text.seconds, "", answer),
        ("a service", f"{_plain(service['concurrency'])} requests in flight: {_promise(service)}", ""),
    ]
    served = _speeds(service["speed"], answer)
    return rows + [(f"  {label.removeprefix('whole ')}", value, extra) for label, value, extra in served]


def _promise(service: Mapping[str, Any]) -> str:
    said = f"{_plain(service['min_tok_s_user'])} tokens/s a user and a first token within {service['max_ttft_s']:g} s"
    return f"the most that keep {said}" if service["kept"] else f"all that fit; no load keeps {said}"


def _speeds(speed: Mapping[str, Any], answer: Answer) -> list[Line]:
    ttft = speed.get("ttft_s") or {}
    rows = [
        _band("per user", speed.get("output_tok_s_user"), text.number, " tokens/s", answer),
        _band("per chip", speed.get("output_tok_s_chip"), text.number, " tokens/s", answer),
        _band("whole system", speed.get("output_tok_s"), text.number, " tokens/s out", answer),
        _band("", speed.get("input_tok_s"), text.number, " tokens/s in", answer),
        _band("per token", speed.get("tpot_s"), text.seconds, "", answer),
        _band("first token", ttft, text.seconds, "", answer),
    ]
    spread = [f"{p} {text.seconds(ttft[p])}" for p in ("p50", "p90", "p99") if ttft.get(p) is not None]
    if spread and ttft.get("p99") != ttft.get("p50"):
        rows.append(("", ", ".join(spread), ""))
    return rows


def _amount(value: float | None, answer: Answer) -> str:
    """An amount in the answer's currency; two digits where nothing better is known."""
    if value is not None and answer.get("grade") == "D":
        value = float(f"{value:.2g}")
    return text.money(value, str((answer.get("cost") or {}).get("currency")))


def _money(answer: Answer) -> list[Line]:
    cost = answer.get("cost") or {}
    if cost.get("per_m_output") is None:
        return [("cost", str(cost.get("reason") or "no price is known; give one with --rent"), "")]
    parts = [
        f"{_amount(cost[key], answer)} {label}"
        for label, key in (("input", "per_m_input"), ("blended", "per_m_blended"))
        if cost.get(key) is not None
    ]
    if cost.get("per_m_output_low") is not None:
        ends = (_amount(cost[f"per_m_output_{end}"], answer) for end in ("low", "high"))
        parts.insert(0, " to ".join(ends))
    rows = [("1M tokens", f"{_amount(cost['per_m_output'], answer)} output", ", ".join(parts))]
    low, high = (_amount(cost.get(key), answer) for key in ("per_hour_low", "per_hour_high"))
    band = f", {low} to {high}" if low != high else ""
    rows.append(("an hour", _amount(cost.get("per_hour"), answer), f"the whole system{band}"))
    price = cost.get("price") or {}
    if price:
        rows.append(("price used", _price(price), ""))
        rows += [("", source, "") for source in str(price.get("source") or "").split("; ") if source]
    return rows


def _price(price: Mapping[str, Any]) -> str:
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
    labels = {
        "joule_per_output_token": "an output token",
        "joule_per_input_token": "an input token",
        "joule_per_token": "any token",
    }
    parts = [
        f"{_number(energy[key], answer)} J {label}"
        for key, label in labels.items()
        if isinstance(energy.get(key), int | float)
    ]
    shown = ", ".join(parts) or str(energy.get("reason") or "")
    rows = [("energy", shown, "")] if shown else []
    if isinstance(energy.get("kwh_per_m_output"), int | float):
        co2 = energy.get("co2_kg_per_m_output")
        gas = f", {_number(co2, answer)} kg CO2 ({energy['grid']})" if isinstance(co2, int | float) else ""
        whole = f"{_number(energy['kwh_per_m_output'], answer)} kWh a million output tokens{gas}"
        rows.append(("all-in", f"{whole}, {energy['all_in']}", ""))
    return rows


def _memory(answer: Answer) -> list[Line]:
    memory = answer.get("memory") or {}
    parts = [
        f"{label} {text.size(memory[key])}"
        for label, key in (
            ("weights", "weights_bytes_per_chip"),
            ("KV cache", "kv_bytes_per_chip"),
            ("workspace", "workspace_bytes_per_chip"),
        )
        if memory.get(key)
    ]
    used, capacity = memory.get("used_share"), memory.get("capacity_bytes")
    share = f"{used:.0%}" + (f" of {text.size(capacity)} a chip" if capacity else "") if used is not None else ""
    return [("memory", share or ", ".join(parts), ", ".join(parts) if share else "")] if parts or share else []


def _placement(answer: Answer) -> list[Line]:
    lines = [_placed(item) for item in answer.get("placement") or []]
    if len(lines) > 6:
        lines = [*lines[:3], f"... {len(lines) - 5} more ...", *lines[-2:]]
    return [("layers" if i == 0 else "", line, "") for i, line in enumerate(lines)]


def _placed(item: object) -> str:
    if isinstance(item, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in item.items())
    return str(item)


def _limit(answer: Answer) -> list[Line]:
    share = answer.get("bound_share")
    bound = str(answer.get("bound_by") or "-")
    return [("bound by", bound + (f", {share:.0%} of the time" if isinstance(share, int | float) else ""), "")]


def _sureness(answer: Answer) -> list[Line]:
    grade = str(answer.get("grade") or "-")
    reason = (answer.get("band") or {}).get("reason") or GRADES.get(grade, "unknown")
    rows = [("grade", f"{grade}: {reason}", "")]
    shown = (answer.get("evidence") or {}).get("text")
    rows += [("rests on", str(shown), "")] if shown else []
    note = str((answer.get("band") or {}).get("note") or "").partition("; grade")[0]
    return [*rows, ("band", note, "")] if note else rows


def _list(title: str, items: list[Any], width: int, colour: bool) -> list[str]:
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
