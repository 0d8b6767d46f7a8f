"""Text with units <-> plain SI floats, at the edges of the program only; inside, every number is SI.

Bytes are decimal (1 GB = 1e9 B) or binary (1 GiB = 2^30 B), never mixed; a multiply-add is two operations.
Common spellings are read from a table; anything else ("0.8 kilobyte per millisecond") goes to pint, which is
imported only then.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .errors import UsageError


@dataclass(frozen=True)
class _Kind:
    """A kind of quantity: what a person calls it, an example, pint's unit of it, and sizes in SI of its units.

    whole: units that take no prefix.
    """

    label: str
    example: str
    pint_unit: str
    units: dict[str, float]
    whole: dict[str, float] = field(default_factory=dict)


def _each(names: str, size: float) -> dict[str, float]:
    return dict.fromkeys(names.split(), size)


_BITS = _each("b bit bits", 0.125)
_BYTES = _each("B byte bytes", 1.0)
_RATES = {f"{unit}{per}": size for unit, size in (_BYTES | _BITS).items() for per in ("/s", "/sec", "/second")}
_COMPUTE = _each("FLOP/s FLOPs/s OP/s OPs/s op/s ops/s flop/s FLOPS OPS flops", 1.0)
_CLOCK = _each("min minute minutes", 60.0) | _each("h hour hours", 3600.0) | _each("d day days", 86400.0)
_ENERGY = _each("J joule joules", 1.0) | {"Wh": 3600.0}
_KINDS = {
    "bandwidth": _Kind("a bandwidth", "'3.35 TB/s'", "byte/second", _RATES | {"Bps": 1.0, "bps": 0.125}),
    "capacity": _Kind("a capacity", "'80 GB'", "byte", _BYTES | _each("bit bits", 0.125)),
    "compute": _Kind("a compute rate", "'989.4 TFLOP/s'", "operation/second", _COMPUTE),
    "bitrate": _Kind("a bit rate per pin", "'5.2 Gbit/s'", "bit/second", _each("bit/s bits/s b/s bps T/s", 1.0)),
    "power": _Kind("a power", "'700 W'", "watt", _each("W watt watts", 1.0)),
    "time": _Kind("a time", "'25 ms'", "second", _each("s sec second seconds", 1.0), whole=_CLOCK),
    "energy": _Kind("an energy", "'2.5 kWh'", "joule", _ENERGY),
    "tokens": _Kind("a number of tokens", "'4096' or '128k'", "token", {"": 1.0} | _each("token tokens tok", 1.0)),
}
_SMALL = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9}
_LARGE = {"E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_PREFIX = {"": 1.0, "K": 1e3} | _LARGE | _SMALL | _BINARY
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


def parse(value: str | float, kind: str) -> float:
    """SI value of a text such as "3.35 TB/s": B/s, B, op/s, bit/s, W, s, J or tokens, by `kind`.

    A plain number is taken to be SI already; a text needs its unit, except tokens. Raises UsageError when the text is
    no number, the unit is of another kind, or the value is negative or not finite.

    >>> parse("3.35 TB/s", "bandwidth"), parse("400 Gbit/s", "bandwidth"), parse("25 ms", "time")
    (3350000000000.0, 50000000000.0, 0.025)
    >>> parse("1k", "tokens"), parse("128Ki", "tokens"), parse("0.8 kilobyte per millisecond", "bandwidth")
    (1000.0, 131072.0, 800000.0)
    """
    if kind not in _KINDS:
        raise UsageError(f"'{kind}' is no kind of quantity; known are {', '.join(_KINDS)}")
    label, example = _KINDS[kind].label, _KINDS[kind].example
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
    label, example = _KINDS[kind].label, _KINDS[kind].example
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
    for other, meant in _KINDS.items():
        if other != kind and other != "tokens" and _scale(unit, other) is not None:
            raise UsageError(f"{_shown(text)} is {meant.label}, not {label}; write for example {example}")
    return _parse_with_pint(text, number, match[2], kind)


@cache
def _scale(unit: str, kind: str) -> float | None:
    """SI size of a common unit of that kind, None if the table does not hold it."""
    if unit in _KINDS[kind].whole:
        return _KINDS[kind].whole[unit]
    for base, size in _KINDS[kind].units.items():
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
    label, example = _KINDS[kind].label, _KINDS[kind].example
    # no digits but small powers: pint would spend minutes on a unit such as s^9999999
    if len(unit) > 60 or not re.fullmatch(r"(?:[^\W\d_]|[µμ/*.^()\s-]|(?<!\d)[1-3](?!\d))*", unit):
        raise UsageError(f"{_shown(text)} is not {label}; write for example {example}")
    try:
        quantity = registry().Quantity(number, registry().parse_units(re.sub(r"\bper\b", "/", unit)))
    except Exception:  # pint raises many kinds, some outside its own family
        raise UsageError(f"{_shown(text)} has an unknown unit '{unit}'; {label} looks like {example}") from None
    try:
        return float(quantity.to(_KINDS[kind].pint_unit).magnitude)
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
    """`value` in SI with the decimal prefix a person would write.

    >>> si(3.35e12, "B/s"), si(999.96, "W"), si(2.5e-5, "s")
    ('3.35 TB/s', '1 kW', '25 µs')
    """
    if not math.isfinite(value):
        return f"{value} {unit}"
    if value == 0:
        return f"0 {unit}"
    for prefix, factor in (*_LARGE.items(), ("", 1.0), *((p, _SMALL[p]) for p in "mµn")):
        if abs(value) >= factor * (1 - 0.5 * 10.0**-digits):
            return f"{_digits(value / factor, digits)} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def duration(seconds: float, digits: int = 3) -> str:
    """A time as a person writes it.

    >>> [duration(seconds) for seconds in (8.5e-7, 0.0123, 4.2, 210.0, 7560.0, 1.04e6)]
    ['850 ns', '12.3 ms', '4.2 s', '3.5 min', '2.1 h', '12 d']
    """
    if not math.isfinite(seconds) or abs(seconds) < 60:
        return si(seconds, "s", digits)
    whole = {"d": 86400.0, "h": 3600.0}
    name = next((name for name, size in whole.items() if abs(seconds) >= 2 * size), "min")
    return f"{_digits(seconds / whole.get(name, 60.0), digits)} {name}"


_NO_DECIMALS = {"KRW", "JPY", "VND", "CLP", "IDR"}


def money(currency: str, amount: float) -> str:
    """An amount with its currency code; small ones keep three digits, as prices per million tokens get that small.

    >>> money("USD", 1234.567), money("KRW", 1234.4), money("USD", 0.04213)
    ('1,234.57 USD', '1,234 KRW', '0.0421 USD')
    """
    if not math.isfinite(amount):
        return f"{amount} {currency}"
    whole = currency in _NO_DECIMALS
    if amount and abs(amount) < (1 if whole else 0.1):
        return f"{_digits(amount, 3)} {currency}"
    return f"{amount:,.{0 if whole else 2}f} {currency}"
