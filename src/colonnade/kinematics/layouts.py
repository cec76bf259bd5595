"""Walking through awkward's layouts to flat buffers, and what awkward and vector have no public name for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import loops

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


Integers = npt.NDArray[np.int64]
Missing = npt.NDArray[np.bool_] | None


def to_numpy(buffer: Any) -> npt.NDArray[Any]:
    """Return a buffer as NumPy, reading it if it is virtual."""
    if not isinstance(buffer, np.ndarray):
        buffer = getattr(buffer, "data", buffer)
        if hasattr(buffer, "materialize"):
            buffer = buffer.materialize()
    values = np.asarray(buffer)
    if not values.flags.writeable and values.base is not None:
        values = values.view()
        with contextlib.suppress(ValueError):  # loops are compiled once, for buffers that can be written to
            values.flags.writeable = True
    return values


def read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the same numbers as an array that can't be written to: what layouts are built of.

    Arrays share their columns, so whoever gets at the memory of one must not change the others.
    """
    shown = values.view()
    shown.flags.writeable = False
    return shown


def buffer(content: Any, index: Integers | None) -> tuple[npt.NDArray[Any], Integers | None]:
    """Step through the indexed layers of a column to its buffer."""
    while content.is_indexed and not content.is_option:
        step = to_numpy(content.index)
        index = step if index is None else step.take(index, mode="clip")
        content = content.content
    if content.is_unknown:
        return np.zeros(0), index
    if not content.is_numpy or content.purelist_depth > 1:
        msg = f"a column of type {ak.Array(content).type.content} is not one number an object."
        raise ConfigError(msg)
    return to_numpy(content.data), index


def look(layout: Any) -> tuple[Any, int, Integers | None, Integers | None, Missing]:
    """Walk from the top of a layout to its records or numbers.

    Returns
    -------
    tuple
        The layout of the records or numbers; how many entries there are; the offsets of the lists, None with one entry
        an event; the places of the entries, None if they are the first ones; which are missing, None if none is.

    Raises
    ------
    ConfigError
        If it is neither flat nor jagged once.
    """
    index: Integers | None = None
    missing: Missing = None
    offsets: Integers | None = None
    size = layout.length
    while True:
        if layout.parameter("__array__") in ("string", "bytestring", "char", "byte"):
            msg = "expected an array of vectors or numbers, not of texts."
            raise ConfigError(msg)
        if layout.is_unknown:
            layout = layout.to_NumpyArray(np.float64)
        if layout.is_indexed or layout.is_option:
            layout, index, missing = _through_index(layout, index, missing)
        elif layout.is_numpy and layout.purelist_depth > 1:
            layout = layout.to_RegularArray()
        elif layout.is_list:
            if offsets is not None:
                msg = "expected one list of objects an event, but the lists are nested deeper."
                raise ConfigError(msg)
            offsets, index = _through_list(layout, index, missing, size)
            size, missing, layout = int(offsets[-1]), None, layout.content
        elif layout.is_record or layout.is_numpy:
            return layout, size, offsets, index, missing
        else:
            msg = f"expected an array of vectors or numbers, not of type {ak.Array(layout).type.content}."
            raise ConfigError(msg)


def _through_index(layout: Any, index: Integers | None, missing: Missing) -> tuple[Any, Integers | None, Missing]:
    """Step through an indexed or option layer."""
    option = layout.is_option
    if option:
        layout = layout.to_IndexedOptionArray64()
    step = to_numpy(layout.index).astype(np.int64, copy=False)
    if index is not None:
        step = step.take(index, mode="clip") if len(step) else np.full(len(index), -1)
        if missing is not None:
            step = np.where(missing, -1, step)
    if option or missing is not None:
        lacking = step < 0
        missing = lacking if lacking.any() else None
    return layout.content, step, missing


def _through_list(
    layout: Any, index: Integers | None, missing: Missing, events: int
) -> tuple[Integers, Integers | None]:
    """Step through a list layer; return offsets and the index of the entries (None: the first ones)."""
    if index is None and hasattr(layout, "offsets"):
        whole = to_numpy(layout.offsets).astype(np.int64, copy=False)[: events + 1]
        if whole[0] == 0:
            return whole, None
        return whole - whole[0], np.arange(whole[0], whole[-1])
    starts = to_numpy(layout.starts).astype(np.int64, copy=False)
    stops = to_numpy(layout.stops).astype(np.int64, copy=False)
    places = np.arange(events) if index is None else index
    offsets, inner = loops.gather_lists(starts, stops, places if missing is None else np.where(missing, -1, places))
    return offsets, inner
