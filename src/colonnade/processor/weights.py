"""Event weights and their variations, those of the generator with their sums; no weight that is not finite passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypedDict

import awkward as ak
import numpy as np

from colonnade.errors import ConfigError, EventError, nearest
from colonnade.processor.pieces import Array, Chunk, Floats, Mask, Places, Shift, one_each

Policy = Literal["error", "nominal"]


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
    wanted
        Tells of the name of a variation whether it is to be made; for shifted objects none is.
    masks
        Region to boolean array, shape (events,): the events of each region.
    shift
        How the objects are shifted.
    observables
        What the analysis's `observables` returned, and the scores.

    Attributes
    ----------
    shift
        As given, so that a weight may follow a shift: ``weights.shift["jet_energy_scale"]``.
    observables
        As given, by name.
    """

    def __init__(
        self,
        size: int,
        where: str = "",
        *,
        wanted: Callable[[str], bool] = lambda _: True,
        masks: Mapping[str, Mask] = MappingProxyType({}),
        shift: Shift = Shift(),  # noqa: B008 - frozen
        observables: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._size = size
        self._where = where
        self._wanted = wanted
        self._masks = masks
        self.shift = shift
        self.observables = MappingProxyType(observables)
        self._total: Floats | None = None  # the product of the weights of all regions, once there is one
        self._nominal: dict[str, Floats] = {}
        self._regions: dict[str, tuple[str, ...]] = {}  # of the weights that only some regions have
        self._ratios: dict[str, tuple[str, Floats]] = {}  # variation to its weight, and what it multiplies

    def add(
        self,
        name: str,
        weight: Any,
        weightUp: Any = None,  # noqa: N803 - coffea's names
        weightDown: Any = None,  # noqa: N803
        shift: bool = False,
        *,
        one_sided: bool = False,
        regions: Sequence[str] | None = None,
    ) -> None:
        """Multiply the weights by one more, with its variations.

        Parameters
        ----------
        name
            The weight's name; its variations are called ``NAME_up`` and ``NAME_down``.
        weight, weightUp, weightDown
            One value an event, or for the variations a function without arguments that returns them. With only
            `weightUp`, down is the inverse ratio, nominal squared over up, as in coffea; with only `weightDown`, no up
            is filled.
        shift
            Whether up and down are differences from the nominal weight.
        one_sided
            Whether no down is filled where only `weightUp` is given.
        regions
            The regions whose events have this weight; without, all. In the others its variations leave everything
            at its nominal value, and it need not be a number for events of no such region: there it counts as 1.

        Raises
        ------
        EventError
            If a value is missing, infinite or not a number.
        ConfigError
            If there is not one value an event, a region is unknown, or the name is taken.
        """
        if name in self._nominal:
            msg = f"the weight {name!r} is added twice; give each its own name."
            raise ConfigError(msg)
        if regions is not None:
            self._regions[name] = self._known_regions(name, regions)
        nominal = self._nominal[name] = self._read(weight, name, name)
        if regions is None:
            with np.errstate(over="ignore"):  # looked for when the product is asked for
                self._total = nominal if self._total is None else self._total * nominal
        self._vary(name, nominal, weightUp, weightDown, shift=shift, one_sided=one_sided)

    def vary(self, ratios: Mapping[str, Array], places: Places) -> None:
        """Add variations of the generator's weight: each multiplies it by one of some columns, at these places."""
        self._ratios |= {
            name: ("generator", ratio[places].astype(np.float64))
            for name, ratio in ratios.items()
            if self._wanted(name)
        }

    @property
    def variations(self) -> tuple[str, ...]:
        """The names of the variations, in the order in which they were added."""
        return tuple(self._ratios)

    def weight(self, variation: str = "nominal", region: str | None = None) -> Floats:
        """Return the product of all weights, shape (events,), nominal or varied.

        Parameters
        ----------
        variation
            Its name.
        region
            The region whose weights count, beside those of all regions.

        Raises
        ------
        EventError
            If the product of finite weights is not finite.
        """
        total = np.ones(self._size) if self._total is None else self._total.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for name, regions in self._regions.items():
                if region in regions:
                    total *= self._nominal[name]
            if variation != "nominal" and self._has(self._ratios[variation][0], region):
                total *= self._ratios[variation][1]
        if not np.isfinite(total).all():
            msg = f"the product of the weights, variation {variation}, is not finite {self._where}."
            raise EventError(msg)
        return total

    def partial(self, include: Sequence[str] = (), exclude: Sequence[str] = (), region: str | None = None) -> Floats:
        """Return the nominal product of some weights, shape (events,): of those named, or of all but those named.

        Parameters
        ----------
        include, exclude
            Names of weights that were added; ``"generator"`` is the generator's. One of the two is given.
        region
            The region whose weights count, beside those of all regions.

        Raises
        ------
        ConfigError
            If a name is not known, or both or neither are given.
        """
        if isinstance(include, str) or isinstance(exclude, str) or bool(include) == bool(exclude):
            msg = "weights.partial takes a tuple of names: include=(...) or exclude=(...)."
            raise ConfigError(msg)
        for name in (*include, *exclude):
            if name not in self._nominal:
                msg = f"there is no weight {name!r}{nearest(name, self._nominal)}; added: {', '.join(self._nominal)}."
                raise ConfigError(msg)
        total = np.ones(self._size)
        for name, values in self._nominal.items():
            if (name in include if include else name not in exclude) and self._has(name, region):
                total *= values
        return total

    def groups(self, regions: Iterable[str]) -> list[tuple[str, ...]]:
        """Return regions in groups, all of one group having the same weights."""
        groups: dict[tuple[bool, ...], list[str]] = {}
        for region in regions:
            groups.setdefault(tuple(region in own for own in self._regions.values()), []).append(region)
        return [tuple(group) for group in groups.values()]

    def matrix(self, region: str | None = None) -> tuple[tuple[str, ...], Floats]:
        """Return the names of all variations, "nominal" first, and the weights, shape (events, variations)."""
        names = ("nominal", *self._ratios)
        matrix = np.empty((self._size, len(names)))
        for column, name in enumerate(names):
            matrix[:, column] = self.weight(name, region)
        return names, matrix

    def _has(self, name: str, region: str | None) -> bool:
        return name not in self._regions or region in self._regions[name]

    def _known_regions(self, name: str, regions: Sequence[str]) -> tuple[str, ...]:
        given = (regions,) if isinstance(regions, str) else tuple(regions)
        for region in given:
            if region not in self._masks:
                known = f"; there are: {', '.join(self._masks)}" if self._masks else ""
                msg = f"the weight {name!r} is for the region {region!r}, which there is not"
                msg = f"{msg}{nearest(region, self._masks)}{known}."
                raise ConfigError(msg)
        return given

    def _read(self, values: Any, name: str, what: str) -> Floats:
        """Read one number an event, as an array of its own; the events of no region that has the weight count as 1."""
        if name not in self._regions:
            return finite(values, what, self._size, self._where).copy()
        read = numbers(values, what, self._size).copy()
        for region in self._regions[name]:
            require_finite(read[self._masks[region]], what, f"of the region {region!r} {self._where}")
        read[~np.isfinite(read)] = 1.0
        return read

    def _vary(self, name: str, nominal: Floats, up: Any, down: Any, *, shift: bool, one_sided: bool) -> None:
        """Keep the ratios of variations; an event of weight 0 stays without weight."""
        inverse = up is not None and down is None and not one_sided
        for word, sign, given in (("up", 1.0, up), ("down", -1.0, down)):
            asked = self._wanted(f"{name}_{word}") or (word == "up" and inverse and self._wanted(f"{name}_down"))
            if given is None or not asked:
                continue
            values = self._read(given() if callable(given) else given, name, f"{name} ({word})")
            values = nominal + sign * values if shift else values
            ratio = np.divide(values, nominal, out=np.ones(self._size), where=nominal != 0.0)
            self._ratios[f"{name}_{word}"] = name, ratio
        if inverse and f"{name}_up" in self._ratios:
            ratio = self._ratios[f"{name}_up"][1]
            if not ratio.all():
                msg = f"the weight {name!r} is varied up to 0, so give down too, or one_sided=True {self._where}."
                raise EventError(msg)
            self._ratios[f"{name}_down"] = name, 1.0 / ratio


def finite(values: Any, name: str, events: int, where: str) -> Floats:
    """Read a weight as 64-bit numbers, one an event.

    Raises
    ------
    EventError
        If a value is missing, infinite or not a number.
    ConfigError
        If there is not one value an event.
    """
    weights = numbers(values, name, events)
    require_finite(weights, name, where)
    return weights


def require_finite(weights: Array, name: str, where: str) -> None:
    """Refuse weights, shape (events,) or (events, variations), that are missing, infinite or not a number.

    Raises
    ------
    EventError
        Naming how many of the events have one.
    """
    good = np.isfinite(weights)
    bad = len(weights) - int(np.count_nonzero(good if good.ndim == 1 else good.all(axis=1)))
    if bad:
        msg = f"the weight {name!r} is missing, infinite or not a number in {bad} of {len(weights)} events {where}."
        raise EventError(msg)


def numbers(values: Any, name: str, events: int) -> Floats:
    """Read a weight as `finite` does; one that is missing is not a number.

    Raises
    ------
    ConfigError
        If there is not one value an event.
    """
    read = one_each(values, f"the weight {name!r}", events, "biuf", "number")
    weights: Floats = read.astype(np.float64, copy=False)
    return np.ma.filled(weights, np.nan) if isinstance(weights, np.ma.MaskedArray) else weights


class GeneratorSum(TypedDict):
    """What all events of a chunk, or of a dataset, say of one variation.

    Attributes
    ----------
    sumw
        Sum of the generator's weights times the variation's.
    at_nominal
        In how many events it was missing, and counted as 1 by the policy that was declared.
    runs
        Where a file's ``Runs`` tree has its sum over the events that were generated: ``LHEPdfSumw[1]``; empty: nowhere.
    """

    sumw: float
    at_nominal: int
    runs: str


@dataclass(frozen=True)
class Members:
    """Weights relative to the nominal one, of each event.

    Attributes
    ----------
    names
        What each is called: ``up`` and ``down``, or numbers.
    values
        Shape (events, names).
    at_nominal
        In how many events they were missing.
    runs
        For each, where the ``Runs`` tree has its sum.
    """

    names: tuple[str, ...]
    values: Array
    at_nominal: int
    runs: tuple[str, ...]


def members(
    events: Any, column: str, places: Sequence[int], *, of: int, missing: Policy = "error", runs: str | None = None
) -> Members:
    """Take members out of a vector of weights: of a set of parton densities, or of scales for an envelope.

    Parameters
    ----------
    events
        All events, as `generator` is given them.
    column
        Its name, such as ``"LHEPdfWeight"``: for each event a list of weights relative to the nominal one.
    places
        Which of them: ``range(1, 101)``.
    of
        How many there are in each event.
    missing
        What becomes of an event whose list is empty, of another length, or all zero: "error" stops the run; "nominal"
        gives it the nominal weight, and the ledger counts such events.
    runs
        The column of ``Runs`` with the sums over the generated events, which a skim needs; by default the vector's name
        with Sumw in place of Weight.

    Raises
    ------
    EventError
        If an event has no such list, and that is an error.
    ConfigError
        If a place is not among the values.
    """
    places = tuple(places)
    if not places or any(not 0 <= place < of for place in places) or missing not in ("error", "nominal"):
        msg = f"{column}: the places {places} of {of} values, missing={missing!r}: give places from 0 to {of - 1}, and"
        msg = f"{msg} missing='error' or 'nominal'."
        raise ConfigError(msg)
    vectors = ak.Array(ak.to_layout(events[column]))
    flat, counts = (np.asarray(each) for each in (ak.flatten(vectors, axis=1), ak.num(vectors, axis=1)))
    starts = np.cumsum(counts) - counts
    good = counts == of
    good[good] = flat[starts[good, np.newaxis] + np.arange(of)].any(axis=1)  # a list that is all zero is none
    bad = int(np.count_nonzero(~good))
    if bad and missing == "error":
        first = int(np.flatnonzero(~good)[0])
        found = f"{of} zeros" if counts[first] == of else f"{counts[first]} values"
        msg = (
            f"{bad} of {len(counts)} events have other than {of} values of {column}, the first {found}, "
            f"{Chunk.of(events).where}; give their number as `of`, or missing='nominal' to count them at nominal."
        )
        raise EventError(msg)
    values = np.ones((len(counts), len(places)), dtype=flat.dtype)
    values[good] = flat[starts[good, np.newaxis] + np.array(places)]
    summed = column.replace("Weight", "Sumw") if runs is None else runs
    names = tuple(str(place) for place in range(len(places)))
    return Members(names, values, bad, tuple(f"{summed}[{place}]" for place in places))


def up_down(
    events: Any, column: str, up: int, down: int, *, of: int, missing: Policy = "error", runs: str | None = None
) -> Members:
    """Take an up and a down weight out of a vector of weights, as `members` does."""
    both = members(events, column, (up, down), of=of, missing=missing, runs=runs)
    return replace(both, names=("up", "down"))


def member_sums(
    made: Mapping[str, Any], generator: Floats, where: str
) -> tuple[dict[str, GeneratorSum], dict[str, Array]]:
    """Return the sums of each variation over all events, and its weights relative to the nominal one.

    Parameters
    ----------
    made
        What the analysis's `generator` returned: name to `Members`, or to a pair of arrays, up and down.
    generator
        The generator's weights, shape (events,).
    where
        Dataset, file and entries, for messages.

    Raises
    ------
    ConfigError
        If it is neither.
    EventError
        If a weight is not a number.
    """
    sums: dict[str, GeneratorSum] = {}
    ratios: dict[str, Array] = {}
    for name, given in made.items():
        if not isinstance(given, Members):
            given = _pair(name, given, len(generator))  # noqa: PLW2901 - the same weights as members
        if given.values.shape != (len(generator), len(given.names)):
            msg = f"the generator weights {name!r} are of {len(given.values)} events, not {len(generator)}, {where}."
            raise ConfigError(msg)
        require_finite(given.values, f"generator weight {name}", where)
        for column, (word, runs) in enumerate(zip(given.names, given.runs, strict=True)):
            values = given.values[:, column]
            total = float((generator * values).sum())
            sums[f"{name}_{word}"] = GeneratorSum(sumw=total, at_nominal=given.at_nominal, runs=runs)
            ratios[f"{name}_{word}"] = values
    return sums, ratios


def _pair(name: str, given: Any, events: int) -> Members:
    if not isinstance(given, tuple) or len(given) != 2:
        kind = type(given).__name__
        msg = f"generator() returns for {name!r} a {kind}; return members(...), up_down(...), or (up, down)."
        raise ConfigError(msg)
    values = np.column_stack([numbers(one, f"generator weight {name}", events) for one in given])
    return Members(("up", "down"), values, 0, ("", ""))
