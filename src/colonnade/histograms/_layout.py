"""Where the bins of each histogram, region and variation lie in a set's block of memory: the same for all chunks."""

from __future__ import annotations

__all__ = ["Layout", "Place"]

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from colonnade.errors import ConfigError
from colonnade.histograms.declaration import Histogram


@dataclass(frozen=True, slots=True)
class Place:
    """Where one histogram lies.

    Attributes
    ----------
    histogram
        Its declaration.
    regions
        Those of the analysis that it has.
    start
        Its first bin.
    shape
        Regions, bins along each axis (flow included), variations.
    """

    histogram: Histogram
    regions: tuple[str, ...]
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of bins, in all regions and variations."""
        return math.prod(self.shape)


class Layout:
    """The histograms of a set and their places.

    Layouts are compared by their declarations, regions and variations. A process has one of each, as thousands of
    results have the same.

    Raises
    ------
    ConfigError
        If a histogram is declared twice, or for a region that there is not.
    """

    def __init__(self, declared: tuple[Histogram, ...], regions: tuple[str, ...], variations: tuple[str, ...]) -> None:
        names = [histogram.name for histogram in declared]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"the histogram {twice!r} is declared twice; give each its own name."
            raise ConfigError(msg)
        self.declared, self.regions, self.variations = declared, regions, variations
        self.places: dict[str, Place] = {}
        self.size = 0
        for histogram in declared:
            own = histogram.regions_among(regions)
            extents = (rule.size + rule.under + rule.over for rule in histogram.rules)
            place = Place(histogram, own, self.size, (len(own), *extents, len(variations)))
            self.places[histogram.name] = place
            self.size += place.size

    @staticmethod
    def of(declared: Sequence[Histogram], regions: Sequence[str], variations: Sequence[str]) -> Layout:
        """Return the layout of a set, made once."""
        return _known(tuple(declared), tuple(regions), tuple(variations))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout):
            return NotImplemented
        mine = self.variations, self.regions, self.declared
        return self is other or mine == (other.variations, other.regions, other.declared)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Layout.of, (self.declared, self.regions, self.variations)


_known = functools.lru_cache(maxsize=64)(Layout)
