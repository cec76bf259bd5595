"""Factors that are functions of several parameters, with their derivatives.

An expression is written as ROOT writes formulas: ``@0``, ``@1`` ... or names for the parameters, ``+ - * / ^``,
parentheses, and the functions exp, log, log10, sqrt, pow, abs, min, max, sin, cos, tan, with or without ``TMath::``.
Values and derivatives come from one pass of second-order forward differentiation.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest

Floats = NDArray[np.float64]

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
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
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class _Jet:
    """A value with its first and second derivatives: shapes (batch,), (n, batch), (n, n, batch)."""

    value: Floats
    first: Floats
    second: Floats

    def through(self, value: Floats, slope: Floats, bend: Floats) -> _Jet:
        """Apply a function whose value and derivatives at this value are given."""
        outer = self.first[:, None] * self.first[None, :]
        return _Jet(value, slope * self.first, slope * self.second + bend * outer)

    def __add__(self, other: _Jet) -> _Jet:
        return _Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __neg__(self) -> _Jet:
        return _Jet(-self.value, -self.first, -self.second)

    def __pos__(self) -> _Jet:
        return self

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


_BINARY: dict[str, Callable[[_Jet, _Jet], _Jet]] = {
    "pow": operator.pow,
    "min": lambda first, second: _choose(first, second, first.value <= second.value),
    "max": lambda first, second: _choose(first, second, ~(first.value <= second.value)),
}


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
        if not self.parameters:
            msg = f"the formula {self.text[:80]!r} has no parameters; write its value instead."
            raise ConfigError(msg)
        try:
            self(np.ones((len(self.parameters), 1)))  # which reads all of it
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            msg = f"the formula {self.text[:80]!r} can't be read."
            raise ConfigError(msg) from error

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
        return ast.parse(text if len(text) < _LONGEST else "", mode="eval").body

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
        result: _Jet
        match node:
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                result = _OPERATORS[type(op)](self._evaluate(left, jets), self._evaluate(right, jets))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                result = _OPERATORS[type(op)](self._evaluate(operand, jets))
            case ast.Constant(value=int() | float() as value):
                like = jets[0]
                result = _Jet(np.full_like(like.value, value), np.zeros_like(like.first), np.zeros_like(like.second))
            case ast.Name(id=name):
                result = jets[self._place(name)]
            case ast.Call(func=ast.Name(id=name), args=[one], keywords=[]) if name in _ELEMENTARY:
                result = _apply(name, self._evaluate(one, jets))
            case ast.Call(func=ast.Name(id=name), args=[one, other], keywords=[]) if name in _BINARY:
                result = _BINARY[name](self._evaluate(one, jets), self._evaluate(other, jets))
            case _:
                msg = f"the formula {self.text[:80]!r} holds {ast.unparse(node)[:40]!r}, which can't be read."
                raise ConfigError(msg)
        return result


def _plain_name(found: re.Match[str]) -> str:
    return {"power": "pow", "fabs": "abs"}.get(found[1].lower(), found[1].lower())
