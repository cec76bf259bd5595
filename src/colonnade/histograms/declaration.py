"""What a histogram is before anything is filled: name, axes, observables, and where a set of them keeps its bins."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

import boost_histogram as bh
import hist

from colonnade.errors import ConfigError, nearest
from colonnade.histograms._kernels import AxisRule

_AXES = (bh.axis.Regular, bh.axis.Variable, bh.axis.Integer, bh.axis.IntCategory, bh.axis.Boolean)
_AXIS_TYPES = "Regular, Variable, Integer, IntCategory or Boolean"


@dataclass(frozen=True, init=False)
class Histogram:
    r"""A histogram that an analysis declares; it holds no content.

    Parameters
    ----------
    name
        The histogram's name, unique within an analysis; part of a path in ROOT files, so without "/".
    *axes
        One or more axes of `hist` or `boost_histogram`: Regular, Variable, Integer, IntCategory or Boolean, of
        fixed extent. Underflow and overflow are kept unless the axis says otherwise.
    label, unit
        What stands at the axis, for instance ``r"$m_{\ell\ell}$"`` and ``"GeV"``; a sequence of them where there
        are several axes. An axis that brings its own label keeps it.
    observables
        The names of the observables on the axes; by default the histogram's own name. A jagged observable fills one
        entry for each object, with the weight of the object's event.
    regions
        The regions the histogram is filled in; all, where it is not given.
    variations
        Names or globs of the variations that are filled, with or without ``_up`` and ``_down``; all, where it is not
        given. An empty tuple is the nominal result alone, which is always filled.
    weight
        The name of an observable that multiplies the weight of each entry: one number an event, or one an object where
        the histogram's observables have one.

    Raises
    ------
    ConfigError
        If the declaration contradicts itself.

    Examples
    --------
    >>> from hist.axis import Regular
    >>> mll = Histogram("mll", Regular(60, 0, 600), label=r"$m_{\ell\ell}$", unit="GeV")
    >>> mll.axes[0].name, mll.axes[0].label
    ('mll', '$m_{\\ell\\ell}$ [GeV]')
    """

    name: str
    axes: tuple[Any, ...]
    observables: tuple[str, ...]
    regions: tuple[str, ...] | None
    variations: tuple[str, ...] | None
    units: tuple[str, ...]
    weight: str | None
    rules: tuple[AxisRule, ...] = field(compare=False, repr=False)

    def __init__(
        self,
        name: str,
        *axes: Any,
        label: str | Sequence[str] = "",
        unit: str | Sequence[str] = "",
        observables: Sequence[str] | None = None,
        regions: Sequence[str] | None = None,
        variations: Sequence[str] | None = None,
        weight: str | None = None,
    ) -> None:
        what = f"histogram {name!r}"
        if not name or "/" in name or name != name.strip():
            msg = f"{what}: a histogram's name must be neither empty nor hold '/' or outer spaces."
            raise ConfigError(msg)
        names = (name,) if observables is None else tuple(observables)
        labels = (label,) if isinstance(label, str) else tuple(label)
        units = (unit,) if isinstance(unit, str) else tuple(unit)
        if not axes or len(names) != len(axes):
            msg = f"{what} has {len(axes)} axes but {len(names)} observables ({', '.join(names)}); give one for each."
            raise ConfigError(msg)
        if len(set(names)) != len(names) or {"region", "variation"} & set(names):
            msg = f"{what}: its observables ({', '.join(names)}) must differ, and not be 'region' or 'variation'."
            raise ConfigError(msg)
        for kind, given in (("labels", labels), ("units", units)):
            if len(given) not in (1, len(axes)):
                msg = f"{what} has {len(axes)} axes but {len(given)} {kind}; give one for each."
                raise ConfigError(msg)
        if len(axes) > 1 and label and len(labels) == 1:
            msg = f"{what} has {len(axes)} axes and one label; give a label for each axis."
            raise ConfigError(msg)
        labels = labels * len(axes) if len(labels) == 1 else labels
        units = units * len(axes) if len(units) == 1 else units
        built = tuple(
            _named(axis, observable, text, quantity, what)
            for axis, observable, text, quantity in zip(axes, names, labels, units, strict=True)
        )
        if isinstance(variations, str):
            msg = f"{what}: its variations are a text, {variations!r}; give a tuple of names."
            raise ConfigError(msg)
        chosen = [None if given is None else tuple(given) for given in (regions, variations)]
        rules = tuple(AxisRule.of(axis) for axis in built)
        values = (name, built, names, *chosen, units, weight, rules)
        for declared, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, declared.name, value)

    def __hash__(self) -> int:
        return hash((self.name, self.observables, self.regions))

    def fills(self, variation: str) -> bool:
        """Tell whether a variation is filled, such as ``jes_up``."""
        if self.variations is None or variation == "nominal":
            return True
        names = (variation, variation.removesuffix("_up").removesuffix("_down"))
        return any(fnmatchcase(name, pattern) for pattern in self.variations for name in names)

    def regions_among(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the regions to fill, in the analysis's order.

        Raises
        ------
        ConfigError
            If the declaration names a region that the analysis does not have.
        """
        if self.regions is None:
            return tuple(known)
        for region in self.regions:
            if region not in known:
                msg = f"histogram {self.name!r} is declared for an unknown region {region!r}{nearest(region, known)}."
                raise ConfigError(msg)
        return tuple(region for region in known if region in self.regions)


def full_axes(histogram: Histogram, regions: Sequence[str], variations: Sequence[str]) -> tuple[Any, ...]:
    """Return the axes of the filled histogram: region, variation, then the declared ones."""
    return (
        hist.axis.StrCategory(regions, name="region", overflow=False),
        hist.axis.StrCategory(variations, name="variation", overflow=False),
        *(copy.copy(axis) for axis in histogram.axes),
    )


def _named(axis: Any, name: str, label: str, unit: str, what: str) -> Any:
    """Rebuild an axis of hist or boost_histogram with a name and a label, leaving the given one alone."""
    if not isinstance(axis, bh.axis.Axis):
        msg = f"{what}: {axis!r} is not an axis; use {_AXIS_TYPES} of hist.axis."
        raise ConfigError(msg)
    if axis.traits.growth:
        msg = f"{what}: the axis {name!r} grows with its input, so results could not be added; fix its extent."
        raise ConfigError(msg)
    if not isinstance(axis, _AXES):
        msg = f"{what}: an axis of type {type(axis).__name__} can't be filled; use {_AXIS_TYPES}."
        raise ConfigError(msg)
    own = str(vars(axis).get("label", ""))
    if own in ("", vars(axis).get("name", "")):
        own = f"{label or name} [{unit}]" if unit else label or name
    renamed = copy.copy(axis)
    vars(renamed).update(name=name, label=own)
    return hist.Hist(renamed).axes[0]  # of hist's own type, should boost_histogram's have been given


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
