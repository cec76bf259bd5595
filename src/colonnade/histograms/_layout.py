"""Where the bins of each histogram, region and variation lie in a set's block of memory: the same for all chunks."""

from __future__ import annotations

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
    variations
        Places, among all variations, of those that it has.
    start
        Its first bin.
    shape
        Regions, bins along each axis (flow included), variations.
    """

    histogram: Histogram
    regions: tuple[str, ...]
    variations: tuple[int, ...]
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of bins, in all regions and variations."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The histograms of a set and their places; a process has one of each, as thousands of results have the same.

    Attributes
    ----------
    declared
        The histograms.
    regions, variations
        All of the analysis, in order.

    Raises
    ------
    ConfigError
        If a histogram is declared twice, or for a region that there is not.
    """

    declared: tuple[Histogram, ...]
    regions: tuple[str, ...]
    variations: tuple[str, ...]

    def __post_init__(self) -> None:
        names = [histogram.name for histogram in self.declared]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"the histogram {twice!r} is declared twice; give each its own name."
            raise ConfigError(msg)

    @staticmethod
    def of(declared: Sequence[Histogram], regions: Sequence[str], variations: Sequence[str]) -> Layout:
        """Return the layout of a set, made once."""
        return _known(tuple(declared), tuple(regions), tuple(variations))

    @functools.cached_property
    def places(self) -> dict[str, Place]:
        """Where each histogram lies, by name."""
        places: dict[str, Place] = {}
        start = 0
        for histogram in self.declared:
            own = histogram.regions_among(self.regions)
            extents = (rule.size + rule.under + rule.over for rule in histogram.rules)
            filled = tuple(i for i, variation in enumerate(self.variations) if histogram.fills(variation))
            place = Place(histogram, own, filled, start, (len(own), *extents, len(filled)))
            places[histogram.name] = place
            start += place.size
        return places

    @functools.cached_property
    def by_variations(self) -> dict[tuple[int, ...], list[Place]]:
        """The places of histograms that have the same variations."""
        groups: dict[tuple[int, ...], list[Place]] = {}
        for place in self.places.values():
            groups.setdefault(place.variations, []).append(place)
        return groups

    @functools.cached_property
    def size(self) -> int:
        """The number of bins of all."""
        return sum(place.size for place in self.places.values())

    def __reduce__(self) -> tuple[object, ...]:
        return Layout.of, (self.declared, self.regions, self.variations)


_known = functools.lru_cache(maxsize=64)(Layout)
