"""Formulas of payload files: arithmetic and nothing else, compiled once. Pure."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence

import msgspec

MAX_LENGTH = 200
_BINARY: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type, Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
}
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., float]]] = {
    "pow": (2, 2, math.pow),
    "log": (1, 1, math.log),
    "min": (2, 9, min),
    "max": (2, 9, max),
}


class Scope(msgspec.Struct, frozen=True):
    """What a formula may speak of: the sensor's 16-bit words and named numbers."""

    words: Sequence[int]
    names: Mapping[str, float]


Formula = Callable[[Scope], float]


def compile_formula(text: str) -> Formula:
    """The function that `text` stands for.

    Raises:
        ValueError: it is no arithmetic of the kind that configs/payloads/decentlab.toml describes.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a formula has at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as exc:
        raise ValueError(f"not a formula: {text}") from exc
    return _compile(tree.body)


def evaluate(formula: Formula, scope: Scope) -> float | None:
    """The number; None where the words have none (a division by 0, a logarithm of a negative number)."""
    try:
        value = formula(scope)
    except (ArithmeticError, ValueError):
        return None
    return value if math.isfinite(value) else None


def names_in(text: str) -> set[str]:
    """The named numbers that a formula needs."""
    nodes = list(ast.walk(ast.parse(text, mode="eval")))
    called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
    indexed = {id(n.value) for n in nodes if isinstance(n, ast.Subscript)}
    return {
        n.id
        for n in nodes
        if isinstance(n, ast.Name) and id(n) not in called and id(n) not in indexed
    }


def _compile(node: ast.expr) -> Formula:
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number):
            return lambda _: number
        case ast.Name(id=name):
            return lambda scope: scope.names[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand)
            return lambda scope: -inner(scope)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _two(_BINARY[type(op)], left, right)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return _two(_COMPARE[type(op)], left, right)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            when, then, other = _compile(test), _compile(body), _compile(orelse)
            return lambda scope: then(scope) if when(scope) else other(scope)
        case ast.Subscript(value=ast.Name(id="x"), slice=at):
            index = _compile(at)
            return lambda scope: _word(scope, index(scope))
        case ast.Call(func=ast.Name(id="long"), args=[at], keywords=[]):
            index = _compile(at)
            return lambda scope: _word(scope, index(scope)) + 65536 * _word(scope, index(scope) + 1)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            least, most, function = _FUNCTIONS[name]
            if least <= len(args) <= most:
                inners = [_compile(a) for a in args]
                return lambda scope: function(*(i(scope) for i in inners))
    raise ValueError(f"not part of a formula: {ast.unparse(node)}")


def _two(function: Callable[[float, float], float], left: ast.expr, right: ast.expr) -> Formula:
    one, other = _compile(left), _compile(right)
    return lambda scope: function(one(scope), other(scope))


def _word(scope: Scope, index: float) -> int:
    if index != int(index) or not 0 <= index < len(scope.words):
        raise ValueError(f"there is no word {index:g}")
    return scope.words[int(index)]
