"""What every kind of file offers once it is open, whatever its format."""

from __future__ import annotations

__all__ = ["Raw", "Reader"]

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Raw:
    """One source column of an entry range, as it is in the file.

    Attributes
    ----------
    offsets
        Where each event's values start and stop in `content`, int64, events + 1 of them; None for one value
        per event.
    content
        The values: a NumPy array, or an awkward layout where they are no plain numbers.
    """

    offsets: npt.NDArray[np.int64] | None
    content: Any


class Reader(Protocol):
    """An open tree."""

    entries: int
    #: The source columns, in the file's order.
    names: tuple[str, ...]
    #: Tells this content from any other.
    identity: str
    size: int

    def form(self, name: str) -> tuple[bool, Any]:
        """Return whether a column is jagged, and the awkward form of its values."""

    def read(self, names: Sequence[str], start: int, stop: int) -> Mapping[str, Raw]:
        """Read columns of an entry range, all in one call."""

    def total(self, name: str) -> float | None:
        """Return the sum of a column of the file's ``Runs`` tree; None where there is none."""
