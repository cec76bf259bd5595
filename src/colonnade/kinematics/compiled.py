"""How loops are compiled: once a machine, kept in numba's cache, without the interpreter's lock."""

from __future__ import annotations

__all__ = ["compiled"]

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop over flat buffers.

    Divisions by zero give infinities, as in NumPy, and are no errors.
    """
    made: Callable[P, R] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return made
