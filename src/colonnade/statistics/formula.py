"""Factors that are functions of several parameters, with their derivatives.

An expression is written as ROOT writes formulas: ``@0``, ``@1`` ... or names for the parameters, ``+ - * / ^``,
parentheses, and the functions exp, log, log10, sqrt, pow, abs, min, max, sin, cos, tan, with or without ``TMath::``.
Values and derivatives come from one pass of second-order forward differentiation.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest

Floats = NDArray[np.float64]

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
# name -> function, first and second derivative
_ELEMENTARY: dict[str, tuple[Callable[[Floats], Floats], ...]] = {
    "exp": (np.exp, np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "log10": (np.log10, lambda x: 1 / (x * math.log(10)), lambda x: -1 / (x**2 * math.log(10))),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), lambda x: -0.25 * x**-1.5),
    "abs": (np.abs, np.sign, np.zeros_like),
    "sin": (np.sin, np.cos, lambda x: -np.sin(x)),
    "cos": (np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)),
    "tan": (np.tan, lambda x: 1 / np.cos(x) ** 2, lambda x: 2 * np.tan(x) / np.cos(x) ** 2),
}
_BINARY = ("pow", "min", "max")
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class _Jet:
    """A value with its first and second derivatives: shapes (batch,), (n, batch), (n, n, batch)."""

    value: Floats
    first: Floats
    second: Floats

    @classmethod
    def constant(cls, value: float, like: _Jet) -> _Jet:
        return cls(np.full_like(like.value, value), np.zeros_like(like.first), np.zeros_like(like.second))

    def through(self, value: Floats, slope: Floats, bend: Floats) -> _Jet:
        """Apply a function whose value and derivatives at this value are given."""
        outer = self.first[:, None] * self.first[None, :]
        return _Jet(value, slope * self.first, slope * self.second + bend * outer)

    def __add__(self, other: _Jet) -> _Jet:
        return _Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __neg__(self) -> _Jet:
        return _Jet(-self.value, -self.first, -self.second)

    def __sub__(self, other: _Jet) -> _Jet:
        return self + (-other)

    def __mul__(self, other: _Jet) -> _Jet:
        cross = self.first[:, None] * other.first[None, :]
        return _Jet(
            self.value * other.value,
            self.value * other.first + other.value * self.first,
            self.value * other.second + other.value * self.second + cross + cross.swapaxes(0, 1),
        )

    def __truediv__(self, other: _Jet) -> _Jet:
        x = other.value
        return self * other.through(1 / x, -1 / x**2, 2 / x**3)

    def __pow__(self, other: _Jet) -> _Jet:
        if not other.first.any():
            power, x = other.value, self.value
            slope = np.where(power == 0, 0.0, power * x ** np.where(power == 0, 1.0, power - 1))
            flat = (power == 0) | (power == 1)
            bend = np.where(flat, 0.0, power * (power - 1) * x ** np.where(flat, 1.0, power - 2))
            return self.through(x**power, slope, bend)
        return _apply("exp", other * _apply("log", self))


def _apply(name: str, jet: _Jet) -> _Jet:
    function, slope, bend = _ELEMENTARY[name]
    return jet.through(function(jet.value), slope(jet.value), bend(jet.value))


def _choose(first: _Jet, second: _Jet, take: NDArray[np.bool_]) -> _Jet:
    parts = zip((first.value, first.first, first.second), (second.value, second.first, second.second), strict=True)
    return _Jet(*(np.where(take, one, other) for one, other in parts))


@dataclass(frozen=True)
class Formula:
    """A factor that is a function of parameters.

    Attributes
    ----------
    text : str
        The expression.
    parameters : tuple of str
        Its parameters, all scalar: ``@0`` is the first.

    Raises
    ------
    ConfigError
        If the expression can't be read, or names a parameter that is not among its own.
    """

    text: str
    parameters: tuple[str, ...]

    def __post_init__(self) -> None:
        self._check(self._tree)

    def substituted(self, others: Mapping[str, Formula]) -> Formula:
        """Return the formula with those parameters that are formulas themselves written out."""
        result = self
        while inner := next((name for name in result.parameters if name in others), None):
            result = result._with(inner, others[inner])
        return result

    def renamed(self, names: Mapping[str, str]) -> Formula:
        """Return the formula of parameters with other names, where they have others."""
        indexed = self._rewritten({name: f"@{index}" for index, name in enumerate(self.parameters)})
        return Formula(indexed, tuple(names.get(name, name) for name in self.parameters))

    def _with(self, inner: str, formula: Formula) -> Formula:
        names = tuple(dict.fromkeys([*(each for each in self.parameters if each != inner), *formula.parameters]))
        place = {name: f"@{index}" for index, name in enumerate(names)}
        theirs = formula._rewritten({name: place[name] for name in formula.parameters})
        mine = {name: place.get(name, f"({theirs})") for name in self.parameters}
        return Formula(self._rewritten(mine), names)

    def _rewritten(self, words: Mapping[str, str]) -> str:
        """Return the expression with its parameters, by index or by name, replaced."""
        names = "|".join(re.escape(name) for name in sorted(self.parameters, key=len, reverse=True))
        pattern = rf"@(\d+)|(?<![\w.])({names})(?!\w)" if names else r"@(\d+)"

        def word(found: re.Match[str]) -> str:
            if found.lastindex == 2:
                return words[found[2]]
            index = int(found[1])
            return words[self.parameters[index]] if index < len(self.parameters) else found[0]

        return re.sub(pattern, word, self.text)

    @cached_property
    def _tree(self) -> ast.expr:
        text = self._rewritten({name: f"_p{index}_" for index, name in enumerate(self.parameters)})
        text = re.sub(r"@(\d+)", r"_p\1_", text)
        text = re.sub(r"\b(?:TMath|std|ROOT::Math)::", "", text)
        text = re.sub(r"\b(Exp|Log|Log10|Sqrt|Abs|Power|Min|Max|Sin|Cos|Tan|fabs)\b", _plain_name, text)
        text = text.replace("Pi()", "3.141592653589793").replace("^", "**").strip()
        try:
            return ast.parse(text if len(text) < _LONGEST else "", mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            msg = f"the formula {self.text[:80]!r} can't be read."
            raise ConfigError(msg) from error

    def _check(self, node: ast.expr) -> None:
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                self._check(left)
                self._check(right)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._check(operand)
            case ast.Constant(value=int() | float()):
                pass
            case ast.Name(id=name):
                self._place(name)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (
                name in _ELEMENTARY and len(arguments) == 1
            ) or (name in _BINARY and len(arguments) == 2):
                for each in arguments:
                    self._check(each)
            case _:
                msg = f"the formula {self.text[:80]!r} holds {ast.unparse(node)[:40]!r}, which can't be read."
                raise ConfigError(msg)

    def _place(self, name: str) -> int:
        found = re.fullmatch(r"_p(\d+)_", name)
        if found and int(found[1]) < len(self.parameters):
            return int(found[1])
        shown = f"@{found[1]}" if found else name
        msg = f"the formula {self.text[:80]!r} has no argument {shown}{nearest(name, self.parameters)}."
        raise ConfigError(msg)

    def __call__(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Evaluate the formula.

        Parameters
        ----------
        values
            The parameters, shape (n, batch).

        Returns
        -------
        value, first, second : numpy.ndarray
            The value (batch,), its first (n, batch) and second derivatives (n, n, batch).
        """
        size, batch = values.shape
        unit = np.broadcast_to(np.eye(size)[:, :, None], (size, size, batch))
        jets = [_Jet(values[index], unit[index], np.zeros((size, size, batch))) for index in range(size)]
        with np.errstate(all="ignore"):
            found = self._evaluate(self._tree, jets)
        return found.value, found.first, found.second

    def _evaluate(self, node: ast.expr, jets: list[_Jet]) -> _Jet:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return _OPERATORS[type(op)](self._evaluate(left, jets), self._evaluate(right, jets))  # type: ignore[no-any-return]
            case ast.UnaryOp(op=op, operand=operand):
                inner = self._evaluate(operand, jets)
                return -inner if isinstance(op, ast.USub) else inner
            case ast.Name(id=name):
                return jets[self._place(name)]
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._called(name, [self._evaluate(each, jets) for each in arguments])
            case ast.Constant(value=value):
                return _Jet.constant(float(value), jets[0])  # type: ignore[arg-type]  # checked at construction
        raise AssertionError(node)

    def _called(self, name: str, arguments: list[_Jet]) -> _Jet:
        if name in _ELEMENTARY:
            return _apply(name, arguments[0])
        first, second = arguments
        if name == "pow":
            return first**second
        smaller = first.value <= second.value
        return _choose(first, second, smaller if name == "min" else ~smaller)


def _plain_name(found: re.Match[str]) -> str:
    return {"power": "pow", "fabs": "abs"}.get(found[1].lower(), found[1].lower())
