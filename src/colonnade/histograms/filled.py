"""Many histograms over regions and variations in one block of memory: filled together, added at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, EventError, nearest
from colonnade.histograms import _kernels
from colonnade.histograms._kernels import Column, accumulate
from colonnade.histograms.declaration import Histogram, Layout, Place, full_axes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class HistogramSet(Mapping[str, hist.Hist]):
    """The filled histograms of a dataset (or a chunk of one), by name.

    A mapping from a histogram's name to a `hist.Hist` with the axes "region", "variation" and the declared ones, and
    Weight storage. All contents live in two arrays, so that a chunk's result costs little to make, to add and to
    send; a `hist.Hist` is built (as a copy) when one is asked for.

    Sets add with ``+`` and ``+=`` where declarations, regions and variations are the same.

    Parameters
    ----------
    declared
        The histograms.
    regions
        All regions of the analysis, in order.
    variations
        All variations, "nominal" first.
    """

    def __init__(self, declared: Sequence[Histogram], regions: Sequence[str], variations: Sequence[str]) -> None:
        self._layout = Layout.of(declared, regions, variations)
        #: contents and their variances
        self._sums: Floats = np.zeros((2, self._layout.size))

    @property
    def regions(self) -> tuple[str, ...]:
        """All regions of the analysis."""
        return self._layout.regions

    @property
    def variations(self) -> tuple[str, ...]:
        """All variations, "nominal" first."""
        return self._layout.variations

    @property
    def declared(self) -> tuple[Histogram, ...]:
        """The declarations."""
        return self._layout.declared

    @property
    def arrays(self) -> tuple[Floats, Floats]:
        """All contents and their variances, one after the other as the declarations say; not copies."""
        return self._sums[0], self._sums[1]

    def __len__(self) -> int:
        return len(self._layout.places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout.places)

    def __contains__(self, name: object) -> bool:
        return name in self._layout.places

    def __getitem__(self, name: str) -> hist.Hist:
        place = self._layout.places[name]
        axes = full_axes(place.histogram, place.regions, [self.variations[i] for i in place.variations])
        filled = hist.Hist(*axes, storage=hist.storage.Weight())
        view = filled.view(flow=True)
        # here the variations run fastest, which is how they are filled; in the Hist they come second
        view.value, view.variance = np.moveaxis(self._block(name), -1, 2)
        return filled

    def __repr__(self) -> str:
        return f"HistogramSet({len(self)} histograms, {len(self.regions)} regions, {len(self.variations)} variations)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HistogramSet):
            return NotImplemented
        return self._layout == other._layout and np.array_equal(self._sums, other._sums, equal_nan=True)

    __hash__ = None  # type: ignore[assignment]  # mutable, so no dictionary key

    def __deepcopy__(self, memo: object) -> HistogramSet:
        return self._with(self._sums.copy())  # layouts never change

    def __add__(self, other: HistogramSet) -> HistogramSet:
        if not isinstance(other, HistogramSet):
            return NotImplemented
        self._require_alike(other)
        return self._with(self._sums + other._sums)

    def __iadd__(self, other: HistogramSet) -> HistogramSet:
        if not isinstance(other, HistogramSet):
            return NotImplemented
        self._require_alike(other)
        self._sums += other._sums
        return self

    def __mul__(self, factor: float) -> HistogramSet:
        """Scale the contents, for instance to a luminosity; variances scale with the square."""
        return self._with(self._sums * np.array([[factor], [factor**2]]))

    __rmul__ = __mul__

    def fill(
        self,
        observables: Mapping[str, Any],
        masks: Mapping[str, Any],
        weights: Floats,
        first: int = 0,
        where: str = "",
    ) -> None:
        """Add events to all histograms, in several variations at once.

        Parameters
        ----------
        observables
            Name to array of length n, flat or jagged, NumPy or awkward. A missing (None) value is not filled.
        masks
            Region to boolean array of length n. A region that is left out is not filled.
        weights
            Shape (n, k): the weights of k neighbouring variations.
        first
            The place of the first of these in `variations`.
        where
            Dataset, file and entries, for messages.

        Raises
        ------
        ConfigError
            If a histogram's observable is not among those given.
        EventError
            If an observable is infinite or not a number in an event that is to be filled.
        """
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        chosen = [np.flatnonzero(np.asarray(masks[name])) if name in masks else _NONE for name in self.regions]
        for histogram in self.declared:
            for name in _names(histogram):
                if name not in observables:
                    known = nearest(name, observables)
                    msg = f"histogram {histogram.name!r} needs the observable {name!r}, which is not produced{known}."
                    raise ConfigError(msg)
        columns: dict[str, Column] = {}
        last = first + weights.shape[1]
        for variations, places in self._layout.by_variations.items():
            given = [i - first for i in variations if first <= i < last]
            if given:
                own = weights if len(given) == weights.shape[1] else np.ascontiguousarray(weights[:, given])
                some = _Filling(chosen, own, variations.index(first + given[0]), len(variations), where)
                self._fill(places, observables, columns, some)

    def _fill(
        self, places: Sequence[Place], observables: Mapping[str, Any], columns: dict[str, Column], some: _Filling
    ) -> None:
        """Fill histograms of the same variations."""
        filled: list[tuple[Place, list[Column]]] = []
        entries = 0
        for place in places:
            if place.regions and all(some.chosen[self.regions.index(name)] is _NONE for name in place.regions):
                continue
            together = self._columns(place.histogram, observables, columns, len(some.weights))
            if place.histogram.weight is not None:
                self._add_weighted(place, together, some)
                continue
            if filled and entries + len(together[0].content) > _TOGETHER:
                self._add(filled, some)
                filled, entries = [], 0
            filled.append((place, together))
            entries += len(together[0].content)
        if filled:
            self._add(filled, some)

    def _add(self, filled: Sequence[tuple[Place, list[Column]]], some: _Filling) -> None:
        """Add events to some histograms, whose columns are given."""
        starts = [0, *itertools.accumulate(len(together[0].content) for _, together in filled)]
        bins = np.zeros(starts[-1], dtype=np.int32)  # half the memory to go through
        table = np.empty((len(filled), 6), dtype=np.int64)
        regions: list[int] = []
        offsets: dict[int, tuple[int, Integers]] = {}  # most jagged observables share theirs
        for row, (place, together), (start, stop) in zip(table, filled, itertools.pairwise(starts), strict=True):
            _number(place.histogram, together, bins[start:stop])
            jagged, own = -1, together[0].offsets
            if own is not None:
                jagged, _ = offsets.setdefault(id(own), (sum(len(each) for _, each in offsets.values()), own))
            last = len(regions) + len(place.regions)
            row[:] = place.start, math.prod(place.shape[1:-1]), len(regions), last, start, jagged
            regions += [self.regions.index(name) for name in place.regions]
        events, count = some.weights.shape
        number, entry = accumulate(
            table,
            np.array(regions, dtype=np.int64),
            bins,
            _joined([each for _, each in offsets.values()]),
            _joined(some.chosen),
            np.cumsum([len(each) for each in some.chosen]),
            some.weights.reshape(-1),
            np.uint64(count),
            np.uint64(some.first),
            *self.arrays,
            np.uint64(some.variations),
            events,
            max(_BLOCK // count, 1),
        )
        if number >= 0:
            place, together = filled[number]
            culprit = next(column for column in together if not np.isfinite(column.content[entry]))
            what = "not a number (NaN)" if np.isnan(culprit.content[entry]) else "infinite"
            msg = f"the observable {culprit.name!r} of histogram {place.histogram.name!r} is {what}"
            raise EventError(f"{msg} {some.where}." if some.where else f"{msg}.")

    def _add_weighted(self, place: Place, together: list[Column], some: _Filling) -> None:
        """Add entries that have weights of their own, as if each were an event."""
        *axes, weight = together
        count = len(weight.content)
        event = np.arange(count) if weight.offsets is None else np.repeat(np.arange(weight.events), weight.counts)
        factor = weight.content.astype(np.float64)
        bad = ~np.isfinite(factor) if weight.missing is None else weight.missing | ~np.isfinite(factor)
        chosen = []
        for name, events in zip(self.regions, some.chosen, strict=True):
            inside = np.zeros(len(some.weights), dtype=bool)
            inside[events] = name in place.regions
            chosen.append(np.flatnonzero(inside[event]))
            wrong = np.count_nonzero(bad[chosen[-1]])
            if wrong:
                msg = (
                    f"the weight {weight.name!r} of histogram {place.histogram.name!r} is missing, infinite or not a "
                    f"number in {wrong} of {len(chosen[-1])} entries of the region {name!r} {some.where}."
                )
                raise EventError(msg)
        # what is expanded to entries is held for so many of them at a time
        step = max((_BLOCK << 6) // some.weights.shape[1], 1)
        for start in range(0, count, step):
            here = slice(start, start + step)
            weights = some.weights[event[here]] * factor[here, np.newaxis]
            inside_here = [places[slice(*np.searchsorted(places, (start, start + step)))] - start for places in chosen]
            flat = [column.entries(here) for column in axes]
            self._add([(place, flat)], replace(some, chosen=inside_here, weights=weights))

    def _columns(
        self, histogram: Histogram, observables: Mapping[str, Any], columns: dict[str, Column], events: int
    ) -> list[Column]:
        """Return the columns of a histogram; `columns` keeps each, as it is looked at once."""
        names = _names(histogram)
        for name in names:
            if name not in columns:
                columns[name] = Column.of(observables[name], name, events)
        flat = all(columns[name].offsets is None for name in histogram.observables)
        if histogram.weight is not None and flat and columns[histogram.weight].offsets is not None:
            msg = f"histogram {histogram.name!r} has one entry an event, but its weight {histogram.weight!r} is jagged."
            raise ConfigError(msg)
        return Column.together([columns[name] for name in names], histogram.name)

    def varied(self, variation: str, other: HistogramSet) -> HistogramSet:
        """Return the same with one more variation: the nominal contents of another set.

        Raises
        ------
        ConfigError
            If there is a variation of this name, or the histograms or the regions differ.
        """
        if variation in self.variations:
            msg = f"the variation {variation!r} comes from an alternative sample and from the analysis; rename one."
            raise ConfigError(msg)
        made = HistogramSet(self.declared, self.regions, [*self.variations, variation])
        made.absorb(self)
        for name, place in made._layout.places.items():
            if place.histogram.fills(variation):  # nominal comes first in all
                made._block(name)[..., -1] = other._block(name)[..., 0]
        return made

    def normalised(self, ratios: Mapping[str, float]) -> HistogramSet:
        """Return the same with some variations divided by numbers; those that are not filled don't count."""
        made: HistogramSet = self._with(self._sums.copy())
        factors = np.array([1 / ratios.get(name, 1.0) for name in self.variations])
        for name, place in self._layout.places.items():
            values, variances = made._block(name)
            values *= factors[list(place.variations)]
            variances *= factors[list(place.variations)] ** 2
        return made

    def absorb(self, part: HistogramSet) -> None:
        """Add a set that may lack some of these variations: it counts there with its nominal contents.

        Raises
        ------
        ConfigError
            If the histograms or the regions differ.
        """
        if part.regions != self.regions or part.declared != self.declared:
            msg = "results with different histograms or regions can't be combined."
            raise ConfigError(msg)
        for name in self:
            known = [part.variations[i] for i in part._layout.places[name].variations]
            own = [self.variations[i] for i in self._layout.places[name].variations]
            places = [known.index(each if each in known else "nominal") for each in own]
            self._block(name)[...] += part._block(name)[..., places]

    def _block(self, name: str) -> Floats:
        """Return contents and variances of a histogram: shape (2, regions, bins along each axis, variations)."""
        place = self._layout.places[name]
        return self._sums[:, place.start : place.start + place.size].reshape(2, *place.shape)

    def _with(self, sums: Floats) -> HistogramSet:
        new = object.__new__(HistogramSet)
        vars(new).update(_layout=self._layout, _sums=sums)
        return new

    def _require_alike(self, other: HistogramSet) -> None:
        if self._layout != other._layout:
            msg = "results with different histograms, regions or variations can't be added; combine() can."
            raise ConfigError(msg)


@dataclass(frozen=True)
class _Filling:
    """What histograms of the same variations are filled with.

    Attributes
    ----------
    chosen
        For each region the places of its events, rising.
    weights
        Shape (events, k).
    first
        The place of the first of these k variations among those of the histograms.
    variations
        How many these have.
    where
        For messages.
    """

    chosen: Sequence[Integers]
    weights: Floats
    first: int
    variations: int
    where: str


_NONE = np.zeros(0, dtype=np.int64)
#: how many weights are worked with at a time: half a megabyte stays in the processor's cache
_BLOCK = 1 << 16
#: how many entries of histograms are filled in turn with a block of weights; each has a bin number of four bytes
_TOGETHER = 1 << 23


def _joined(arrays: Sequence[Integers]) -> Integers:
    """Join arrays, of which there is often one."""
    return arrays[0] if len(arrays) == 1 else np.concatenate([_NONE, *arrays])


def _names(histogram: Histogram) -> tuple[str, ...]:
    """Return the observables that a histogram takes, its weight last."""
    return (*histogram.observables, *(() if histogram.weight is None else (histogram.weight,)))


def _number(histogram: Histogram, together: list[Column], bins: npt.NDArray[np.int32]) -> None:
    """Write the bin of each entry of a histogram into `bins`, which is zero."""
    stride = 1
    for rule, axis, column in zip(reversed(histogram.rules), reversed(histogram.axes), reversed(together), strict=True):
        _kernels.add_bins(rule, axis, column, stride, bins)
        stride *= rule.size + rule.under + rule.over


def combine(parts: Sequence[HistogramSet]) -> HistogramSet:
    """Add sets whose variations differ, such as those of several datasets of one process, in the order given.

    A variation that one part does not have leaves that part at its nominal value.

    Parameters
    ----------
    parts
        At least one set; histograms and regions are the same in all.

    Raises
    ------
    ConfigError
        If the histograms or the regions differ.
    """
    variations = list(dict.fromkeys(name for part in parts for name in part.variations))
    total = HistogramSet(parts[0].declared, parts[0].regions, variations)
    for part in parts:
        total.absorb(part)
    return total
