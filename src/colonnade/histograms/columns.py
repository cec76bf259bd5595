"""An observable as flat numbers: its content, its offsets, what is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics.views import view


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
        if isinstance(values, np.ndarray) and values.ndim == 1 and not isinstance(values, np.ma.MaskedArray):
            column = cls(name, values)
        else:
            try:
                seen = view(values)
                column = cls(name, seen.numbers(), seen.offsets, seen.missing)
            except ConfigError as error:
                msg = f"the observable {name!r} can't be filled: {error}"
                raise ConfigError(msg) from error
        if column.content.dtype.kind not in "biuf":
            msg = f"the observable {name!r} holds {column.content.dtype}, not numbers, so it can't be filled."
            raise ConfigError(msg)
        if column.events != events:
            msg = f"the observable {name!r} has {column.events} entries for {events} events."
            raise ConfigError(msg)
        return column

    @property
    def events(self) -> int:
        """How many events the column has."""
        return len(self.content) if self.offsets is None else len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many values each event of a jagged column has."""
        return np.diff(np.asarray(self.offsets))

    def same(self, other: Column) -> bool:
        """Tell whether two columns are equal to the bit; those with missing values are not compared."""
        if self.missing is not None or other.missing is not None or self.content.dtype != other.content.dtype:
            return False
        one, two = (each.content.view(f"u{each.content.itemsize}") for each in (self, other))
        offsets, others = (np.asarray(each.offsets) for each in (self, other))
        return np.array_equal(one, two) and np.array_equal(offsets, others)

    def entries(self, these: slice) -> Column:
        """Return some of the values, as a flat column."""
        missing = None if self.missing is None else self.missing[these]
        return Column(self.name, self.content[these], None, missing)

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
        offsets = np.asarray(jagged[0].offsets)
        for column in jagged[1:]:
            if not np.array_equal(np.asarray(column.offsets), offsets):
                msg = (
                    f"histogram {histogram!r}: {jagged[0].name!r} and {column.name!r} are jagged with different "
                    "numbers of objects, so they can't be filled against each other."
                )
                raise ConfigError(msg)
        counts = np.diff(offsets)
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
