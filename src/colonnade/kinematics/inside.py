"""What awkward and vector have no public name for; if a version changes it test_awkward_contract.py says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import awkward as ak

#: Where an array keeps its layout.
LAYOUT = "_layout"
# what awkward's constructor sets beside layout, behavior and attrs
_EMPTY = {"_cpp_type": None, "_numbaview": None, "_generator": None, "_lookup": None}


def bare(kind: type[ak.Array], behavior: Any, attrs: Any, **state: Any) -> ak.Array:
    """Return an array without a layout, which its class has to make when `LAYOUT` is asked for."""
    array: ak.Array = object.__new__(kind)
    vars(array).update(_EMPTY, _behavior=behavior, _attrs=attrs, **state)
    return array


def change_class(array: ak.Array, kind: type[ak.Array]) -> None:
    """Make an array one of another class, as awkward does itself when its behavior changes."""
    array.__class__ = kind


def run_original(function: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Do what a function of awkward does with arrays that have no `__awkward_function__`."""
    running = function.__wrapped__(*arguments, **options)  # type: ignore[attr-defined]  # of its decorator
    next(running)
    try:
        next(running)
    except StopIteration as ended:
        return ended.value


def of_held_fields(array: ak.Array, arguments: Sequence[Any]) -> Any:
    """Have vector make its result of the fields that an array's layout has, whatever the array says of its fields."""
    held = ak.Array(array.layout)
    return type(held)._wrap_result(held, *arguments)  # noqa: SLF001 - it has no other name
