"""Names of a package that are loaded when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

__all__ = ["lazy"]

import importlib
from collections.abc import Callable
from typing import Any


def lazy(package: str, **home: tuple[str, ...]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package (PEP 562).

    Parameters
    ----------
    package
        Its name.
    **home
        Module of the package to the names that it offers.

    Examples
    --------
    >>> find = lazy("colonnade", errors=("nearest",))
    >>> find("nearest").__module__
    'colonnade.errors'
    """
    modules = {name: module for module, names in home.items() for name in names}

    def find(name: str) -> Any:
        if name not in modules:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return find
