"""Event weights and their variations, checked when they are added: no weight that is not finite gets through."""

from __future__ import annotations

__all__ = ["CheckedWeights", "finite"]

from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from coffea.analysis_tools import Weights

from colonnade.errors import ConfigError, EventError

Floats = npt.NDArray[np.float64]


class CheckedWeights(Weights):  # type: ignore[misc]  # coffea has no types
    """coffea's Weights, refusing what is not finite and naming it.

    Parameters
    ----------
    size
        Number of events.
    where
        Dataset, file and entries, for messages.
    """

    def __init__(self, size: int, where: str) -> None:
        super().__init__(size)
        self._size = size
        self._where = where

    def add(
        self,
        name: str,
        weight: Any,
        weightUp: Any = None,
        weightDown: Any = None,
        shift: bool = False,  # noqa: N803
    ) -> None:
        """Multiply the weights by one more, with its variations up and down, as coffea does.

        Parameters
        ----------
        name
            The weight's name; its variations are called ``NAME_up`` and ``NAME_down``.
        weight, weightUp, weightDown
            One value an event. With only `weightUp`, down is the inverse ratio.
        shift
            Whether up and down are differences from the nominal weight.

        Raises
        ------
        EventError
            If a value is missing, infinite or not a number.
        ConfigError
            If there is not one value an event, or the name is taken.
        """
        if name in self._names:
            msg = f"the weight {name!r} is added twice; give each its own name."
            raise ConfigError(msg)
        up = None if weightUp is None else self._read(weightUp, f"{name} (up)")
        down = None if weightDown is None else self._read(weightDown, f"{name} (down)")
        super().add(name, self._read(weight, name), up, down, shift)

    def add_multivariation(
        self,
        name: str,
        weight: Any,
        modifierNames: Sequence[str],  # noqa: N803 - coffea's name
        weightsUp: Sequence[Any],  # noqa: N803
        weightsDown: Sequence[Any] | None = None,  # noqa: N803
        shift: bool = False,
    ) -> None:
        """Multiply the weights by one with several sources of uncertainty, ``NAME_SOURCE_up`` and ``_down``.

        Raises
        ------
        EventError
            If a value is missing, infinite or not a number.
        ConfigError
            If there is not one value an event, or the name is taken.
        """
        if name in self._names:
            msg = f"the weight {name!r} is added twice; give each its own name."
            raise ConfigError(msg)
        down = [None] * len(weightsUp) if weightsDown is None else list(weightsDown)
        super().add_multivariation(
            name,
            self._read(weight, name),
            list(modifierNames),
            [self._read(up, f"{name}_{word} (up)") for word, up in zip(modifierNames, weightsUp, strict=True)],
            [
                None if values is None else self._read(values, f"{name}_{word} (down)")
                for word, values in zip(modifierNames, down, strict=True)
            ],
            shift,
        )

    def matrix(self) -> tuple[tuple[str, ...], Floats]:
        """Return the names of all variations, "nominal" first, and the weights, shape (events, variations)."""
        # coffea keeps them in a set, whose order differs from process to process
        modifiers = sorted(
            self.variations,
            key=lambda word: (word.removesuffix("Up").removesuffix("Down"), word[-2:] != "Up"),
        )
        matrix = np.empty((1 + len(modifiers), self._size))
        matrix[0] = self.weight()
        for row, modifier in enumerate(modifiers, 1):
            matrix[row] = self.weight(modifier)
        names = ("nominal", *(_snake(modifier) for modifier in modifiers))
        if not np.isfinite(matrix).all():
            row = int(np.argmin(np.isfinite(matrix).all(axis=1)))
            msg = f"the product of the weights, variation {names[row]}, is not finite {self._where}."
            raise EventError(msg)
        return names, np.ascontiguousarray(matrix.T)

    def _read(self, values: Any, name: str) -> Floats:
        return finite(values, name, self._size, self._where)


def finite(values: Any, name: str, events: int, where: str) -> Floats:
    """Copy a weight into 64-bit numbers, one an event.

    Raises
    ------
    EventError
        If a value is missing, infinite or not a number.
    ConfigError
        If there is not one value an event.
    """
    try:
        read = values if isinstance(values, np.ndarray) else ak.to_numpy(values, allow_missing=True)
    except (TypeError, ValueError) as error:
        msg = f"the weight {name!r} must have one number an event."
        raise ConfigError(msg) from error
    if isinstance(read, np.ma.MaskedArray):
        read = read.astype(np.float64).filled(np.nan)
    if read.shape != (events,) or read.dtype.kind not in "biuf":
        msg = (
            f"the weight {name!r} must have one number for each of {events} events, "
            f"but has shape {read.shape} and type {read.dtype}."
        )
        raise ConfigError(msg)
    weights = np.array(read, dtype=np.float64)
    bad = events - int(np.count_nonzero(np.isfinite(weights)))
    if bad:
        msg = f"the weight {name!r} is missing, infinite or not a number in {bad} of {events} events {where}."
        raise EventError(msg)
    return weights


def _snake(modifier: str) -> str:
    """Return colonnade's name of a variation, NAME_up, for coffea's NAMEUp."""
    for word in ("Up", "Down"):
        if modifier.endswith(word):
            return f"{modifier.removesuffix(word)}_{word.lower()}"
    return modifier
