"""The units in which an analysis gives its observables, as its histograms declare them."""

from __future__ import annotations

__all__ = ["declared_units"]

from collections.abc import Iterable

from colonnade.histograms import Histogram


def declared_units(histograms: Iterable[Histogram]) -> dict[str, str]:
    """Give the unit of each observable that a histogram shows; '' is a pure number.

    Examples
    --------
    >>> from hist.axis import Regular
    >>> declared_units([Histogram("mll", Regular(60, 0, 600), label="mass", unit="GeV")])
    {'mll': 'GeV'}
    """
    units: dict[str, str] = {}
    for histogram in histograms:
        for name, unit in zip(histogram.observables, histogram.units, strict=True):
            units.setdefault(name, unit)
    return units
