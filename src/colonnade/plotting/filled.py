"""A filled histogram as plain arrays."""

from __future__ import annotations

__all__ = ["Axis", "Filled", "axis_of"]

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One declared axis of a histogram.

    Attributes
    ----------
    edges : numpy.ndarray
        Shape (n + 1,).
    label, unit : str
        As declared.
    bins : tuple of str
        Names of the bins, where the axis has no scale.
    flow : tuple of bool
        Whether it counts what lies below and above.
    """

    edges: Floats
    label: str
    unit: str
    bins: tuple[str, ...]
    flow: tuple[bool, bool]


@dataclass(frozen=True)
class Filled:
    """A filled histogram as arrays; a `hist.Hist` makes a new view at each look.

    Attributes
    ----------
    regions, variations : tuple of str
        Of the first two axes.
    axes : tuple of Axis
        The declared ones.
    values, variances : numpy.ndarray
        Shape (regions, variations, bins with flow...).
    """

    regions: tuple[str, ...]
    variations: tuple[str, ...]
    axes: tuple[Axis, ...]
    values: Floats
    variances: Floats

    @classmethod
    def of(cls, histogram: Any) -> Filled:
        """Take apart a `hist.Hist` with axes region, variation and one or more declared ones."""
        view = histogram.view(flow=True)
        regions, variations, *declared = histogram.axes
        return cls(
            tuple(regions),
            tuple(variations),
            tuple(axis_of(axis) for axis in declared),
            np.asarray(view.value)[: len(regions), : len(variations)],
            np.asarray(view.variance)[: len(regions), : len(variations)],
        )

    def integral(self) -> Filled:
        """Return the same with all bins, flow included, in one."""
        over = tuple(range(2, self.values.ndim))
        axis = Axis(np.asarray([0.0, 1.0]), "", "", (), (False, False))
        return Filled(
            self.regions, self.variations, (axis,),
            self.values.sum(axis=over)[..., None], self.variances.sum(axis=over)[..., None],
        )  # fmt: skip


def axis_of(axis: Any) -> Axis:
    """Describe a declared axis of hist."""
    text = str(axis.label or axis.name)
    parsed = re.fullmatch(r"(.*?)\s*\[([^\[\]]*)\]", text)
    label, unit = (parsed[1], parsed[2]) if parsed is not None else (text, "")
    flow = (bool(axis.traits.underflow), bool(axis.traits.overflow))
    if axis.traits.continuous:
        return Axis(np.asarray(axis.edges, dtype=float), label, unit, (), flow)
    values = list(axis)
    if len(values) > 1 and all(isinstance(value, int | np.integer) for value in values) and _consecutive(values):
        # counts: a bin of width one around each number
        return Axis(np.arange(len(values) + 1) + values[0] - 0.5, label, unit, (), flow)
    return Axis(np.arange(len(values) + 1.0), label, unit, tuple(str(value) for value in values), flow)


def _consecutive(values: Sequence[int]) -> bool:
    return list(values) == list(range(values[0], values[0] + len(values)))
