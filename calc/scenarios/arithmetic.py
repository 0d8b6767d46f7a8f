"""Arithmetic of scenario files: an expression as text, names that are known, nothing else. No Python is run.

Allowed: numbers, quoted texts, names, + - * / **, brackets, and calls of the functions that are handed in.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UsageError

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_PLAIN: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (min, max, math.sqrt, math.floor, math.ceil, math.log10)
}
_LONGEST = 1000


def evaluate(text: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> float:
    """The value of an expression as a float; UsageError names what is wrong, errors of functions pass on.

    >>> evaluate("nodes * chips * max(rent, 1.5) * 24", {"nodes": 226.75, "chips": 8, "rent": 2}, {})
    87072.0
    """
    if len(text) > _LONGEST:
        raise UsageError(f"an expression of {len(text):,} characters is too long; split it into steps.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UsageError(f'"{text}" is not an expression; write for example nodes * chips * rent * 24.') from None
    try:
        value = _value(tree.body, text, names, {**_PLAIN, **functions})
    except (ZeroDivisionError, OverflowError, ArithmeticError, TypeError, ValueError) as error:
        raise UsageError(f'"{text}" cannot be computed: {error}.') from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f'"{text}" gives {value!r}, which is not a finite number.')
    return float(value)


def _value(node: ast.AST, text: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise UsageError(f'"{text}" uses {node.id}, which is neither an input nor a step before it.')
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand, text, names, functions)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = (_value(side, text, names, functions) for side in (node.left, node.right))
        if isinstance(node.op, ast.Pow) and (abs(right) > 100 or not isinstance(left, int | float)):
            raise UsageError(f'"{text}" has a power that is too large.')
        if isinstance(left, str) or isinstance(right, str):
            raise UsageError(f'"{text}" computes with a text.')
        return _BINARY[type(node.op)](float(left), float(right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id not in functions:
            raise UsageError(f'"{text}" calls {node.func.id}; known are {", ".join(sorted(functions))}.')
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            raise UsageError(f'"{text}" unpacks its arguments, which is not allowed.')
        arguments = [_value(a, text, names, functions) for a in node.args]
        keywords = {str(k.arg): _value(k.value, text, names, functions) for k in node.keywords}
        return functions[node.func.id](*arguments, **keywords)
    raise UsageError(f'"{text}" has more than numbers, names, + - * / ** and calls.')
