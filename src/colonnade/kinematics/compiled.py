"""How loops are compiled: once a machine, kept in numba's cache, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop over flat buffers when it is first called.

    The machine code is kept beside the source, or in the user's cache where that can't be written;
    ``NUMBA_CACHE_DIR`` puts it elsewhere.

    Divisions by zero give infinities, as in NumPy, and are no errors.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made: Callable[P, R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the installation nor the home is writable: compile in each process
        made = numba.njit(**options)(function)
    return made
