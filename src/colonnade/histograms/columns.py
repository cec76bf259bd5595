"""An observable as flat numbers: its content, its offsets, what is missing."""

from __future__ import annotations

__all__ = ["Column"]

from dataclasses import dataclass, replace
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError


@dataclass(frozen=True)
class Column:
    """One observable of n events.

    Attributes
    ----------
    name
        The observable.
    content
        All values in a row: one an event, or one an object.
    offsets
        Shape (n + 1,): where each event's values start, for a jagged observable; None for a flat one.
    missing
        Which values are missing (None); None if none is.
    """

    name: str
    content: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64] | None = None
    missing: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, values: Any, name: str, events: int) -> Column:
        """Read an array of numbers of one value, or one list of values, for each of `events` events.

        Raises
        ------
        ConfigError
            If the array is not of numbers, is nested deeper, or is of another length.
        """
        if isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray) and values.ndim == 1:
            column = cls(name, values)
        else:
            column = cls._of_layout(values, name)
        if column.content.dtype.kind not in "biuf":
            msg = f"the observable {name!r} holds {column.content.dtype}, not numbers, so it can't be filled."
            raise ConfigError(msg)
        if column.events != events:
            msg = f"the observable {name!r} has {column.events} entries for {events} events."
            raise ConfigError(msg)
        return column

    @classmethod
    def _of_layout(cls, values: Any, name: str) -> Column:
        try:
            layout = ak.to_layout(values, regulararray=True)
            layout = ak.materialize(ak.Array(layout)).layout if layout.is_record is False else layout
        except TypeError as error:
            msg = f"the observable {name!r} is a {type(values).__name__}, not an array."
            raise ConfigError(msg) from error
        if layout.purelist_depth not in (1, 2) or layout.fields or layout.is_union:
            msg = f"the observable {name!r} is of type {ak.Array(layout).type.content}; only numbers and lists of them fill."
            raise ConfigError(msg)
        if layout.purelist_depth == 1:
            content, missing = _numbers(layout)
            return cls(name, content, None, missing)
        if layout.is_option:  # a missing list has no objects
            layout = ak.fill_none(ak.Array(layout), [], axis=0).layout
        packed = ak.from_regular(ak.Array(layout), axis=1).layout.to_ListOffsetArray64(start_at_zero=True)
        offsets = np.asarray(packed.offsets.data, dtype=np.int64)
        content, missing = _numbers(packed.content[: offsets[-1]])
        return cls(name, content, offsets, missing)

    @property
    def events(self) -> int:
        """How many events the column has."""
        return len(self.content) if self.offsets is None else len(self.offsets) - 1

    @staticmethod
    def together(columns: list[Column], histogram: str) -> list[Column]:
        """Give the columns of a histogram of several axes one length: a flat one repeats for each object.

        Raises
        ------
        ConfigError
            If two jagged columns have different numbers of objects in an event.
        """
        jagged = [column for column in columns if column.offsets is not None]
        if not jagged or len(columns) == 1:
            return columns
        offsets = jagged[0].offsets
        for column in jagged[1:]:
            if not np.array_equal(column.offsets, offsets):  # type: ignore[arg-type]  # neither is None
                msg = (
                    f"histogram {histogram!r}: {jagged[0].name!r} and {column.name!r} are jagged with different numbers "
                    "of objects, so they can't be filled against each other."
                )
                raise ConfigError(msg)
        counts = np.diff(offsets)  # type: ignore[arg-type]  # not None
        return [
            column
            if column.offsets is not None
            else replace(
                column,
                content=np.repeat(column.content, counts),
                offsets=offsets,
                missing=None if column.missing is None else np.repeat(column.missing, counts),
            )
            for column in columns
        ]

    def holds_nan_at(self, place: int) -> bool:
        """Tell whether the value at a place is not a number."""
        return self.content.dtype.kind == "f" and bool(np.isnan(self.content[place]))


def _numbers(layout: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Return the values of a flat layout and which of them are missing."""
    flat = ak.to_numpy(ak.Array(layout), allow_missing=True)
    if isinstance(flat, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(flat)
        return flat.filled(0), (missing if missing.any() else None)
    return np.asarray(flat), None
