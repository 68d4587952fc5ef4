"""Arithmetic without `eval`: walks the syntax tree of an expression, with limits."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from chat.tools.base import ToolError

_MOST_CHARS = 500
_MOST_BITS = 4_000  # of a number, so that a power takes little time
_MOST_DIGITS = 400


def _round(value: Any, digits: Any = 0) -> Any:
    """Like `round`, which takes hours for -1,000,000,000 digits."""
    if not isinstance(digits, int) or abs(digits) > _MOST_DIGITS:
        raise ToolError(f"A number is rounded to at most {_MOST_DIGITS} digits.")
    return round(value, digits) if digits else round(value)


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan")},
    **{name: getattr(math, name) for name in ("asin", "acos", "atan", "floor", "ceil", "radians", "degrees")},
    "abs": abs,
    "round": _round,
    "min": min,
    "max": max,
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}


def calculator(expression: str) -> str:
    """Calculates an arithmetic expression exactly, such as "(17 * 23 + 4) / 7" or "sqrt(2) ** 3". It knows
    + - * / // % **, brackets, pi, e, and sqrt, exp, log, log2, log10, sin, cos, tan, asin, acos, atan, floor,
    ceil, abs, round, min, max, radians, degrees."""
    if len(expression) > _MOST_CHARS:
        raise ToolError(f"The expression has more than {_MOST_CHARS} characters.")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        result = _value(tree.body)
        return repr(result)
    except ToolError:
        raise
    except ZeroDivisionError:
        raise ToolError("Division by zero.") from None
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ToolError(f"This cannot be calculated: {error}.") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            a, b = _value(left), _value(right)
            if isinstance(op, ast.Pow):
                _check_power(a, b)
            return _bounded(_BINARY[type(op)](a, b))
        case ast.Call(ast.Name(name), arguments, []) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*map(_value, arguments)))
    raise ToolError("Only numbers, + - * / // % **, brackets and the listed functions can be calculated.")


def _check_power(base: Any, exponent: Any) -> None:
    if not (isinstance(base, int) and isinstance(exponent, int)):
        return
    if max(1, base.bit_length()) * exponent > _MOST_BITS:
        raise ToolError("The result is too large.")


def _bounded(value: Any) -> Any:
    if isinstance(value, complex):
        raise ToolError("The result is not a real number.")
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise ToolError("The result is too large.")
    return value
