"""Text with units <-> plain SI floats, at the edges of the program only; inside, every number is SI.

Bytes are decimal (1 GB = 1e9 B) or binary (1 GiB = 2^30 B), never mixed; a multiply-add is two operations.
Common spellings are read from a table; anything else ("0.8 kilobyte per millisecond") goes to pint, which is
imported only then.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from .errors import UsageError

# kind -> (what a person calls it, examples, the base units it is made of with their size in SI)
_BITS = {"b": 0.125, "bit": 0.125, "bits": 0.125}
_BYTES = {"B": 1.0, "byte": 1.0, "bytes": 1.0}
_OPS = {"FLOP": 1.0, "FLOPs": 1.0, "OP": 1.0, "OPs": 1.0, "op": 1.0, "ops": 1.0, "flop": 1.0}
_KINDS: dict[str, tuple[str, str, dict[str, float]]] = {
    "bandwidth": (
        "a bandwidth",
        "'3.35 TB/s'",
        {f"{unit}{per}": size for unit, size in (_BYTES | _BITS).items() for per in ("/s", "/sec", "/second")}
        | {"Bps": 1.0, "bps": 0.125},
    ),
    "capacity": ("a capacity", "'80 GB'", _BYTES | {"bit": 0.125, "bits": 0.125}),
    "compute": (
        "a compute rate",
        "'989.4 TFLOP/s'",
        {f"{unit}/s": size for unit, size in _OPS.items()} | {"FLOPS": 1.0, "OPS": 1.0, "flops": 1.0, "FLOPs/s": 1.0},
    ),
    "bitrate": (
        "a bit rate per pin",
        "'5.2 Gbit/s'",
        {"bit/s": 1.0, "bits/s": 1.0, "b/s": 1.0, "bps": 1.0, "T/s": 1.0},
    ),
    "power": ("a power", "'700 W'", {"W": 1.0, "watt": 1.0, "watts": 1.0}),
    "time": ("a time", "'25 ms'", {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0}),
    "energy": ("an energy", "'2.5 kWh'", {"J": 1.0, "joule": 1.0, "joules": 1.0, "Wh": 3600.0}),
    "tokens": ("a number of tokens", "'4096' or '128k'", {"": 1.0, "token": 1.0, "tokens": 1.0, "tok": 1.0}),
}
_WHOLE = {  # units that take no prefix
    "time": {
        "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
        "d": 86400.0, "day": 86400.0, "days": 86400.0,
    },
}  # fmt: skip
_PREFIX = {
    "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip
_SMALL = {"m", "u", "µ", "μ", "n"}
_NUMBER = r"[+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TEXT = re.compile(rf"\s*({_NUMBER})\s*(.*?)\s*", re.DOTALL)

# What pint knows, and nothing else: its own registry would take a byte and a flop for pure numbers.
_PINT = """
kilo- = 1e3 = k-
mega- = 1e6 = M-
giga- = 1e9 = G-
tera- = 1e12 = T-
peta- = 1e15 = P-
exa- = 1e18 = E-
milli- = 1e-3 = m-
micro- = 1e-6 = µ- = μ- = u-
nano- = 1e-9 = n-
kibi- = 2**10 = Ki-
mebi- = 2**20 = Mi-
gibi- = 2**30 = Gi-
tebi- = 2**40 = Ti-
second = [time] = s = sec
minute = 60 * second = min
hour = 60 * minute = h
day = 24 * hour = d
month = 730.5 * hour
year = 8766 * hour
byte = [information] = B
bit = byte / 8
operation = [operation] = op = FLOP = flop = OP
FLOPS = operation / second = OPS = flops
joule = [energy] = J
watt = joule / second = W
watthour = 3600 * joule = Wh
token = [token] = tok
"""
_PINT_UNIT = {
    "bandwidth": "byte/second", "capacity": "byte", "compute": "operation/second", "bitrate": "bit/second",
    "power": "watt", "time": "second", "energy": "joule", "tokens": "token",
}  # fmt: skip


def parse(value: str | float, kind: str) -> float:
    """SI value of a text such as "3.35 TB/s": B/s, B, op/s, bit/s, W, s, J or tokens, by `kind`.

    A plain number is taken to be SI already; a text needs its unit, except tokens ("1k" = 1000,
    "128Ki" = 131072). Raises UsageError when the text is no number, the unit is of another kind, or the value
    is negative or not finite.
    """
    if kind not in _KINDS:
        raise UsageError(f"'{kind}' is no kind of quantity; known are {', '.join(_KINDS)}")
    label, example, _ = _KINDS[kind]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"{_shown(value)} is not {label}; write for example {example}")
    if isinstance(value, str):
        number = _parse_text(value, kind)
    else:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"{_shown(value)} is not a finite number; {label} looks like {example}")
    if number < 0:
        raise UsageError(f"{_shown(value)} is negative; {label} looks like {example}")
    return number


def _parse_text(text: str, kind: str) -> float:
    label, example, _ = _KINDS[kind]
    match = _TEXT.fullmatch(text)
    if not match:
        raise UsageError(f"{_shown(text)} is not {label}; write for example {example}")
    try:
        number = float(match[1].replace(",", "").replace("_", ""))
    except ValueError:
        raise UsageError(f"{_shown(text)} is not {label}; write for example {example}") from None
    unit = match[2].replace(" ", "")
    scale = _scale(unit, kind)
    if scale is not None:
        return number * scale
    if not unit:
        raise UsageError(f"{_shown(text)} has no unit; {label} looks like {example}")
    if unit[0] in _SMALL and kind not in ("power", "time", "energy") and _scale("M" + unit[1:], kind) is not None:
        raise UsageError(f"{_shown(text)} has the unit {unit}, a small fraction; did you mean M{unit[1:]}?")
    if kind == "capacity" and re.fullmatch(r"[kKMGTP]i?b", unit):
        raise UsageError(f"{_shown(text)} is ambiguous; write {unit[:-1]}B for bytes or {unit[:-1]}bit for bits")
    for other, (other_label, _, _) in _KINDS.items():
        if other != kind and other != "tokens" and _scale(unit, other) is not None:
            raise UsageError(f"{_shown(text)} is {other_label}, not {label}; write for example {example}")
    return _parse_with_pint(text, number, match[2], kind)


@cache
def _scale(unit: str, kind: str) -> float | None:
    """SI size of a common unit of that kind, None if the table does not hold it."""
    if unit in _WHOLE.get(kind, {}):
        return _WHOLE[kind][unit]
    for base, size in _KINDS[kind][2].items():
        if unit.endswith(base):
            prefix = unit[: len(unit) - len(base)]
            if prefix in _PREFIX and (prefix not in _SMALL or kind in ("power", "time", "energy")):
                return size * _PREFIX[prefix]
    return None


@cache
def registry() -> Any:
    """The pint registry of the program: time, bytes, operations, energy and tokens as separate dimensions."""
    import pint

    ureg: Any = pint.UnitRegistry(None)
    ureg.load_definitions(_PINT.strip().splitlines())
    return ureg


def _parse_with_pint(text: str, number: float, unit: str, kind: str) -> float:
    label, example, _ = _KINDS[kind]
    # no digits but small powers: pint would spend minutes on a unit such as s^9999999
    if len(unit) > 60 or not re.fullmatch(r"(?:[^\W\d_]|[µμ/*.^()\s-]|(?<!\d)[1-3](?!\d))*", unit):
        raise UsageError(f"{_shown(text)} is not {label}; write for example {example}")
    try:
        quantity = registry().Quantity(number, registry().parse_units(re.sub(r"\bper\b", "/", unit)))
    except Exception:  # pint raises many kinds, some outside its own family
        raise UsageError(f"{_shown(text)} has an unknown unit '{unit}'; {label} looks like {example}") from None
    try:
        return float(quantity.to(_PINT_UNIT[kind]).magnitude)
    except Exception:
        raise UsageError(f"{_shown(text)} is not {label}; write for example {example}") from None


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"'{text[:60]}...'" if len(text) > 60 else f"'{text}'"


def _digits(value: float, digits: int) -> str:
    """`value` with that many significant digits, no exponent, no trailing zeros."""
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{round(value, digits - 1 - math.floor(math.log10(abs(value)))):.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def si(value: float, unit: str, digits: int = 4) -> str:
    """`value` in SI with the decimal prefix a person would write: si(3.35e12, "B/s") -> "3.35 TB/s"."""
    if not math.isfinite(value):
        return f"{value} {unit}"
    magnitude = abs(value)
    for factor, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if magnitude >= factor * (1 - 0.5 * 10.0**-digits):
            return f"{_digits(value / factor, digits)} {prefix}{unit}"
    if magnitude == 0 or magnitude >= 1 - 0.5 * 10.0**-digits:
        return f"{_digits(value, digits)} {unit}"
    for factor, prefix in ((1e-3, "m"), (1e-6, "µ"), (1e-9, "n")):
        if magnitude >= factor * (1 - 0.5 * 10.0**-digits):
            return f"{_digits(value / factor, digits)} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def duration(seconds: float, digits: int = 3) -> str:
    """A time as a person writes it: "850 ns", "12.3 ms", "4.2 s", "3.5 min", "2.1 h", "12 d"."""
    if not math.isfinite(seconds) or abs(seconds) < 60:
        return si(seconds, "s", digits)
    for size, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if abs(seconds) >= 2 * size or size == 60.0:
            return f"{_digits(seconds / size, digits)} {name}"
    raise AssertionError("unreachable")


_NO_DECIMALS = {"KRW", "JPY", "VND", "CLP", "IDR"}


def money(currency: str, amount: float) -> str:
    """An amount with its currency code: "1.23 USD", and without decimals "1,234 KRW".

    Small amounts keep three significant digits ("0.0421 USD"), as prices per million tokens get that small.
    """
    if not math.isfinite(amount):
        return f"{amount} {currency}"
    whole = currency in _NO_DECIMALS
    if amount and abs(amount) < (1 if whole else 0.1):
        return f"{_digits(amount, 3)} {currency}"
    return f"{amount:,.{0 if whole else 2}f} {currency}"
