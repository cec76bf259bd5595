"""Event weights and their variations, checked when they are added: no weight that is not finite passes."""

from __future__ import annotations

__all__ = ["Weights", "finite"]

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, EventError

Floats = npt.NDArray[np.float64]


class Weights:
    """The product of event weights, with variations up and down: what an analysis's `weights` fills.

    It is used as `coffea.analysis_tools.Weights` is, and gives the same numbers; but a weight that is missing, infinite
    or not a number is an error that names it, variations may be given as functions, which are only called where
    variations are wanted, and the names of variations end in ``_up`` and ``_down``.

    Parameters
    ----------
    size
        Number of events.
    where
        Dataset, file and entries, for messages.
    variations
        Whether variations are wanted; for shifted objects they are not.
    """

    def __init__(self, size: int, where: str = "", *, variations: bool = True) -> None:
        self._size = size
        self._where = where
        self._wanted = variations
        self._total: Floats | None = None  # the product, once there is a weight
        self._ratios: dict[str, Floats] = {}
        self._names: set[str] = set()

    def add(
        self,
        name: str,
        weight: Any,
        weightUp: Any = None,  # noqa: N803 - coffea's names
        weightDown: Any = None,  # noqa: N803
        shift: bool = False,
    ) -> None:
        """Multiply the weights by one more, with its variations.

        Parameters
        ----------
        name
            The weight's name; its variations are called ``NAME_up`` and ``NAME_down``.
        weight, weightUp, weightDown
            One value an event, or for the variations a function without arguments that returns them. With only
            `weightUp`, down is the inverse ratio.
        shift
            Whether up and down are differences from the nominal weight.

        Raises
        ------
        EventError
            If a value is missing, infinite or not a number.
        ConfigError
            If there is not one value an event, or the name is taken.
        """
        nominal = self._multiply(name, weight)
        self._vary(name, nominal, weightUp, weightDown, shift=shift)

    @property
    def variations(self) -> tuple[str, ...]:
        """The names of the variations, in the order in which they were added."""
        return tuple(self._ratios)

    def weight(self, variation: str = "nominal") -> Floats:
        """Return the product of all weights, shape (events,), nominal or varied.

        Raises
        ------
        EventError
            If the product of finite weights is not finite.
        """
        total = np.ones(self._size) if self._total is None else self._total
        if variation != "nominal":
            with np.errstate(over="ignore", invalid="ignore"):
                total = total * self._ratios[variation]
        if not np.isfinite(total).all():
            msg = f"the product of the weights, variation {variation}, is not finite {self._where}."
            raise EventError(msg)
        return total

    def matrix(self) -> tuple[tuple[str, ...], Floats]:
        """Return the names of all variations, "nominal" first, and the weights, shape (events, variations)."""
        names = ("nominal", *self._ratios)
        if len(names) == 1:
            return names, self.weight()[:, np.newaxis]
        matrix = np.empty((self._size, len(names)))
        for column, name in enumerate(names):
            matrix[:, column] = self.weight(name)
        return names, matrix

    def _multiply(self, name: str, weight: Any) -> Floats:
        if name in self._names:
            msg = f"the weight {name!r} is added twice; give each its own name."
            raise ConfigError(msg)
        self._names.add(name)
        nominal = finite(weight, name, self._size, self._where)
        if self._total is None:
            self._total = nominal.copy()  # not the events' own numbers, which nobody is to change
        else:
            with np.errstate(over="ignore"):  # looked for when the product is asked for
                self._total = self._total * nominal
        return nominal

    def _vary(self, name: str, nominal: Floats, up: Any, down: Any, *, shift: bool) -> None:
        if not self._wanted:
            return
        for word, sign, given in (("up", 1.0, up), ("down", -1.0, down)):
            if given is None:
                continue
            values = finite(given() if callable(given) else given, f"{name} ({word})", self._size, self._where)
            values = nominal + sign * values if shift else values
            # an event of weight 0 stays without weight
            self._ratios[f"{name}_{word}"] = np.divide(values, nominal, out=np.ones(self._size), where=nominal != 0.0)
        if up is not None and down is None:
            ratio = self._ratios[f"{name}_up"]
            if not ratio.all():
                msg = f"the weight {name!r} is varied up to 0, so down must be given too {self._where}."
                raise EventError(msg)
            self._ratios[f"{name}_down"] = 1.0 / ratio


def finite(values: Any, name: str, events: int, where: str) -> Floats:
    """Read a weight as 64-bit numbers, one an event.

    Raises
    ------
    EventError
        If a value is missing, infinite or not a number.
    ConfigError
        If there is not one value an event.
    """
    try:
        read: Any = values if isinstance(values, np.ndarray) else ak.to_numpy(values, allow_missing=True)
    except (TypeError, ValueError) as error:
        msg = f"the weight {name!r} must have one number an event."
        raise ConfigError(msg) from error
    if isinstance(read, np.ma.MaskedArray):
        read = np.ma.filled(read.astype(np.float64), np.nan)
    if read.shape != (events,) or read.dtype.kind not in "biuf":
        msg = (
            f"the weight {name!r} must have one number for each of {events} events, "
            f"but has shape {read.shape} and type {read.dtype}."
        )
        raise ConfigError(msg)
    weights: Floats = read.astype(np.float64, copy=False)
    bad = events - int(np.count_nonzero(np.isfinite(weights)))
    if bad:
        msg = f"the weight {name!r} is missing, infinite or not a number in {bad} of {events} events {where}."
        raise EventError(msg)
    return weights
