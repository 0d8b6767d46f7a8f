"""Text of an option -> str, int or float; here, since recent versions of typer import pydantic for it."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import UsageError

_KINDS: dict[Any, str] = {str: "a text", int: "a whole number", float: "a number", bool: "yes or no"}


def lighten(command: Any, function: Callable[..., Any]) -> Any:
    """Give the parameters of a click-style command plain conversions by the annotations of its function.

    Covers bool, str, int, float, lists of them ([] if absent), and "or None"; leaves the rest to typer.
    Returns the command.
    """
    hints = get_type_hints(function)
    for parameter in command.params:
        kind, many = _plain(hints.get(parameter.name))
        if kind in _KINDS:
            parameter.process_value = _processor(parameter, kind, many)
    helper = command.get_help_option(command.context_class(command))
    helper.process_value = _processor(helper, bool, False)
    return command


def _plain(hint: Any) -> tuple[Any, bool]:
    """(type, is a list) of an annotation, "or None" aside; the type as it is where it is no plain one."""
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        hint = members[0] if len(members) == 1 else None
    if get_origin(hint) is list:
        return get_args(hint)[0], True
    return hint, False


def _processor(parameter: Any, kind: Any, many: bool) -> Callable[[Any, Any], Any]:
    label = max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.name.upper()

    def process(context: Any, value: Any) -> Any:
        value = check(context, value)
        return parameter.callback(context, parameter, value) if parameter.callback else value

    def check(context: Any, value: Any) -> Any:
        if value is None or value == ():
            if parameter.required and not context.resilient_parsing:
                raise UsageError(f"{label} is missing; `{context.command_path} --help` explains it")
            return [] if many else None
        if many:
            return [convert(label, kind, item) for item in value]
        return convert(label, kind, value)

    return process


def convert(label: str, kind: Any, value: Any) -> Any:
    """The value as `kind` (str, int, float, bool); refuses other text, and NaN, in one sentence."""
    try:
        converted = kind(value)
    except (ValueError, OverflowError):
        raise UsageError(f"{label} {value!r} is not {_KINDS[kind]}") from None
    if kind is float and math.isnan(converted):
        raise UsageError(f"{label} {value!r} is not {_KINDS[kind]}")
    return converted
