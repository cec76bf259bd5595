"""One chunk of events on its way through an analysis, from its objects to what is filled, listed or kept."""

from __future__ import annotations

import itertools
from collections import Counter, UserDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.histograms import HistogramSet
from colonnade.histograms._kernels import Column
from colonnade.kinematics import accelerate, own, take
from colonnade.processor import cutflow
from colonnade.processor.corrections import OUTSIDE, countable
from colonnade.processor.pieces import Array, Chunk, Floats, Mask, Objects, Places, Scorer, Shift, as_mask, members_of
from colonnade.processor.transfers import Transfers, require_apart
from colonnade.processor.weights import GeneratorSum, Weights, finite, member_sums

if TYPE_CHECKING:
    from colonnade.processor.base import Processor

# observables, events and their places in the chunk, of one shift
Shifted = tuple[Mapping[str, Any], Any, Places]


@dataclass
class Passing:
    """Events that pass the cuts so far.

    Attributes
    ----------
    events, objects
        The events, and their objects.
    generator
        The generator's weights, shape (events,).
    places
        Where they are in the chunk, shape (events,).
    rows
        The rows of the cutflow that led to them.
    shift
        How the objects are shifted.
    observables
        Name to what each event has.
    """

    events: Any
    objects: Objects
    generator: Floats
    places: Places
    rows: dict[str, Floats]
    shift: Shift = field(default_factory=Shift)
    observables: dict[str, Any] = field(default_factory=dict)

    def apply(self, cuts: Mapping[str, Any]) -> None:
        """Drop the events that fail ordered cuts, and add the cuts' rows.

        Parameters
        ----------
        cuts
            Name to truth values of the present events, or to a function of the objects, which is called for the events
            that are left by the cuts before it.

        Raises
        ------
        ConfigError
            If a cut has no truth value for each event, or was applied before.
        """
        size = len(self.generator)
        # which of the events that the arrays are of are left, and pass; None: all are left
        left: Places | None = None
        passed = np.ones(size, dtype=bool)
        for name, given in cuts.items():
            if name in self.rows:
                msg = f"the cut {name!r} is applied twice; name it in one of skim and preselection."
                raise ConfigError(msg)
            if callable(given):
                passed = self._keep(passed)
                left = np.flatnonzero(passed) if left is None else left[passed]
                passed = as_mask(given(self.objects), name, len(self.generator))
            else:
                mask = as_mask(given, name, size)
                passed = passed & (mask if left is None else mask[left])
            self.rows[name] = cutflow.row(self.generator, passed)
        self._keep(passed)

    def _keep(self, passed: Mask) -> Mask:
        """Drop the events that did not pass; return what was passed."""
        if not passed.all():
            places = np.flatnonzero(passed)
            self.events, self.generator = take(self.events, places), self.generator[places]
            self.objects, self.places = self.objects[places], self.places[places]
        return passed


class ChunkRun:
    """A chunk of events and the analysis that they go through.

    Parameters
    ----------
    analysis
        The analysis.
    events
        As in `Processor.process`.

    Raises
    ------
    EventError
        If a generator weight is not a number.
    """

    def __init__(self, analysis: Processor, events: Any) -> None:
        self._analysis, self._name = analysis, type(analysis).__name__
        self._chunk = Chunk.of(events)
        self._events = accelerate(events)
        self._generator = self._generator_weights()
        blind = self._chunk.is_data and not analysis.unblind
        self._hidden = [name for name, region in analysis.regions.items() if region.signal and blind]

    def filled(self) -> dict[str, dict[str, Any]]:
        """Return what `Processor.process` does."""
        analysis, chunk = self._analysis, self._chunk
        outside: Counter[str] = Counter()
        OUTSIDE.set(outside)
        shifts = self._shifts()
        selected = self._select(shifts)
        nominal = next(selected)
        cuts = self._cuts(nominal)
        opened = self._open(self._masks(nominal, cuts))
        generated, ratios = self._generated()
        weights, transfers = self._weights(nominal, opened, ratios), self._transfers(nominal)
        variations = _apart(weights.variations, transfers.variations, [shift.variation for shift in shifts[1:]])
        counts = self._cutflow(nominal, cuts, weights)
        parts = ("", *self._parts())
        filled = {part: HistogramSet(analysis.histograms, list(analysis.regions), variations) for part in parts}
        members = self._members(nominal)
        self._fill(filled, nominal, opened, weights, transfers, members, 0)
        result: dict[str, Any] = {
            "histograms": filled[""],
            "cutflow": counts,
            "events": len(self._generator),
            "sumw": float(self._generator.sum()),
        }
        if generated:
            result["generator"] = generated
        if negative := transfers.negative(opened, analysis.regions):
            result["transfers"] = negative
        if len(parts) > 1:
            result["parts"] = {part: filled[part] for part in parts[1:]}
            result["split"] = {
                part: np.array([mask.sum(), nominal.generator[mask].sum()]) for part, mask in members.items()
            }
        first = 1 + len(weights.variations) + len(transfers.variations)
        del nominal, cuts, weights, transfers, members  # one shift is in memory at a time
        for place, one in enumerate(selected, start=first):
            opened = self._open(self._masks(one, self._cuts(one)))
            others = self._weights(one, opened), self._transfers(one), self._members(one)
            self._fill(filled, one, opened, *others, place)
        if outside:
            result["outside"] = dict(outside)
        return {chunk.dataset: result}

    def columns(self, shift: str) -> dict[str, Any]:
        """Return what `Processor.columns` does."""
        (one,) = self._select([Shift.of(shift, self._analysis.shifts)])
        masks = self._masks(one, self._cuts(one))
        opened = self._open(masks)
        hidden = np.zeros(len(one.generator), dtype=bool)
        for name in self._hidden:
            hidden |= masks[name]
        keep = ~hidden
        identity = [name for name in ("run", "luminosityBlock", "event") if name in ak.fields(self._events)]
        return {
            **{name: np.asarray(one.events[name])[keep] for name in identity},
            "weight": self._weights(one, opened).weight()[keep],
            "regions": {name: mask[keep] for name, mask in masks.items()},
            "observables": {name: values[keep] for name, values in one.observables.items()},
        }

    def kept(self, regions: Sequence[str]) -> tuple[Mask, float]:
        """Return what `Processor.kept` does."""
        passed = np.zeros(len(self._events), dtype=bool)
        for one in self._select(self._shifts()):
            left = one.places
            if regions:
                masks = self._masks(one, self._cuts(one))
                left = left[np.any([masks[name] for name in regions], axis=0)]
            passed[left] = True
        return passed, float(self._generator.sum())

    def _shifts(self) -> list[Shift]:
        nominal, *others = Shift.every(self._analysis.shifts, self._chunk.process, data=self._chunk.is_data)
        varied = self._analysis.variations and not self._chunk.alternative
        return [nominal, *(one for one in others if varied and self._fills(one.variation))]

    def _fills(self, variation: str) -> bool:
        return any(histogram.fills(variation) for histogram in self._analysis.histograms)

    def _wanted(self, one: Passing) -> Callable[[str], bool]:
        """Return what tells whether a variation of weights is to be made; of shifted objects none is."""
        varied = self._analysis.variations and not one.shift.direction and not self._chunk.alternative
        return self._fills if varied else lambda _: False

    def _generator_weights(self) -> Floats:
        if self._chunk.is_data or "genWeight" not in ak.fields(self._events):
            return np.ones(len(self._events))
        return finite(self._events.genWeight, "genWeight", len(self._events), self._chunk.where)

    def _generated(self) -> tuple[dict[str, GeneratorSum], dict[str, Array]]:
        """Return the sums of variations of the generator's weight, and their weights, relative to the nominal one."""
        varied = self._analysis.variations and not self._chunk.is_data and not self._chunk.alternative
        made = self._analysis.generator(self._events) if varied else {}
        return member_sums(made, self._generator, self._chunk.where)

    def _select(self, shifts: Sequence[Shift]) -> Iterator[Passing]:
        """Run the analysis up to its observables, for each shift."""
        analysis, events = self._analysis, self._events
        rows = {cutflow.ALL: cutflow.row(self._generator)}
        passing = Passing(events, Objects(), self._generator, np.arange(len(events)), rows)
        passing.apply(countable(events, self._chunk))
        passing.objects = self._required(analysis.common(passing.events), "common")
        passing.apply(analysis.skim(passing.events))
        shifted = (self._shifted(passing, shift) for shift in shifts)
        if not analysis.scorers:  # one after the other, so that one is in memory
            return shifted
        selected = list(shifted)
        for name, scorer in analysis.scorers.items():
            scores = score_all(scorer, [(one.observables, one.events, one.places) for one in selected])
            for one, score in zip(selected, scores, strict=True):
                named = score if isinstance(score, Mapping) else {"": score}
                one.observables |= {f"{name}_{key}" if key else name: values for key, values in named.items()}
        return iter(selected)

    def _shifted(self, passing: Passing, shift: Shift) -> Passing:
        # what a shift assigns to its events, or to common objects, no other shift sees
        shifted = own(passing.events)
        objects = self._required(self._analysis.objects(shifted, shift), "objects")
        joined = passing.objects.joined(objects)
        one = replace(passing, events=shifted, objects=joined, rows={**passing.rows}, shift=shift)
        one.apply(self._analysis.preselection(one.objects))
        one.observables = dict(self._analysis.observables(one.events, one.objects))
        return one

    def _required(self, made: Any, hook: str) -> Objects:
        if isinstance(made, Objects):
            return made
        msg = f"{self._name}.{hook} returns a {type(made).__name__}; return Objects(name=array)."
        raise ConfigError(msg)

    def _weights(
        self, one: Passing, opened: Mapping[str, Mask], ratios: Mapping[str, Any] = MappingProxyType({})
    ) -> Weights:
        nobody = np.zeros(len(one.generator), dtype=bool)  # of a region that is blinded
        weights = Weights(
            len(one.generator),
            self._chunk.where,
            wanted=self._wanted(one),
            masks={name: opened.get(name, nobody) for name in self._analysis.regions},
            shift=one.shift,
            observables=one.observables,
        )
        if self._chunk.is_data:
            self._analysis.data_weights(one.events, one.objects, weights)
        else:
            weights.add("generator", one.generator)
            weights.vary(ratios, one.places)
            self._analysis.weights(one.events, one.objects, weights)
        return weights

    def _transfers(self, one: Passing) -> Transfers:
        transfers = Transfers(len(one.generator), self._chunk.where, wanted=self._wanted(one))
        if any(region.transfer for region in self._analysis.regions.values()):
            self._analysis.transfers(one.events, one.objects, transfers)
        return transfers

    def _parts(self) -> Sequence[str]:
        return () if self._chunk.is_data else tuple(self._analysis.parts.get(self._chunk.process, ()))

    def _members(self, one: Passing) -> dict[str, Mask]:
        """Return which events are of each part, what is left as that without a name."""
        names = self._parts()
        made = self._analysis.split(one.events, one.objects) if names else {}
        return members_of(made, names, len(one.generator), f"{self._name}.split", self._chunk.where)

    def _fill(
        self,
        filled: Mapping[str, HistogramSet],
        one: Passing,
        opened: Mapping[str, Mask],
        weights: Weights,
        transfers: Transfers,
        members: Mapping[str, Mask],
        first: int,
    ) -> None:
        """Fill what is selected under a shift, its first variation at the place `first`."""
        regions = self._analysis.regions
        for group in weights.groups(regions):
            matrix = weights.matrix(group[0])[1]
            for part, member in members.items():
                masks = {name: opened[name] for name in group if name in opened}
                mine = masks if len(members) == 1 else {name: mask & member for name, mask in masks.items()}
                for spread, of_factor in transfers.spread(matrix, mine, regions):
                    filled[part].fill(one.observables, of_factor, spread, first, self._chunk.where)

    def _cuts(self, one: Passing) -> dict[str, Mask]:
        """Return the cuts that regions name."""
        analysis = self._analysis
        produced = analysis.cuts(one.events, one.objects, one.observables)
        needed = dict.fromkeys(cut for region in analysis.regions.values() for cut in region.cuts)
        for name, region in analysis.regions.items():
            for cut in region.cuts:
                if cut in one.rows:
                    msg = f"region {name!r} repeats the cut {cut!r} of the preselection; name it in one of the two."
                    raise ConfigError(msg)
                if cut not in produced:
                    hint = nearest(cut, produced)
                    msg = f"region {name!r} needs the cut {cut!r}, which cuts() does not produce{hint}."
                    raise ConfigError(msg)
        return {cut: as_mask(produced[cut], cut, len(one.generator)) for cut in needed}

    def _masks(self, one: Passing, cuts: Mapping[str, Mask]) -> dict[str, Mask]:
        """Return the events of each region: those that pass all of its cuts."""
        everyone = np.ones(len(one.generator), dtype=bool)
        return {
            name: np.logical_and.reduce([everyone, *(cuts[cut] for cut in region.cuts)])
            for name, region in self._analysis.regions.items()
        }

    def _open(self, masks: Mapping[str, Mask]) -> dict[str, Mask]:
        """Return the regions that may be looked at in these events."""
        require_apart(masks, self._hidden, self._analysis.regions, self._chunk.where)
        return {name: mask for name, mask in masks.items() if name not in self._hidden}

    def _cutflow(self, one: Passing, cuts: Mapping[str, Mask], weights: Weights) -> dict[str, dict[str, Floats]]:
        regions = self._analysis.regions
        counts: dict[str, dict[str, Floats]] = {name: {} for name in regions}
        for group in weights.groups(regions):
            own_cuts = [regions[name].cuts for name in group]
            sums = cutflow.region_counts(cuts, own_cuts, weights.weight(region=group[0]))
            for name, names, rows in zip(group, own_cuts, sums, strict=True):
                counts[name] = {**one.rows, **dict(zip(names, rows, strict=True))}
        if not self._hidden:
            return counts
        lasts = {name: region.cuts[-1] for name, region in regions.items() if region.cuts and name not in self._hidden}
        return cutflow.blinded(counts, lasts)


def _apart(*names: Sequence[str]) -> tuple[str, ...]:
    """Return all variations, the nominal one first.

    Raises
    ------
    ConfigError
        If two have one name.
    """
    variations = ("nominal", *itertools.chain.from_iterable(names))
    if len(set(variations)) != len(variations):
        twice = next(name for name in variations if variations.count(name) > 1)
        msg = f"the variation {twice!r} comes from two of weights, transfer factors and shifts; rename one."
        raise ConfigError(msg)
    return variations


def score_all(scorer: Scorer, shifts: Sequence[Shifted]) -> list[Any]:
    """Score the events of each shift; what a scorer asks of the nominal ones tells what its scores depend on.

    Parameters
    ----------
    scorer
        It is called with the nominal events, and once more with those of all shifts that change a bit of its inputs.
    shifts
        For each shift what its events are, the nominal one first.

    Returns
    -------
    list
        For each shift what the scorer returns.
    """
    nominal, *others = shifts
    noted = _Noted(nominal[0])
    (scores,) = scorer.score_variations([noted], [nominal[1]])
    changed = [not _same(nominal, one, noted.asked) for one in others]
    left = [one for one, new in zip(others, changed, strict=True) if new]
    made = iter(scorer.score_variations([one[0] for one in left], [one[1] for one in left]) if left else ())
    return [scores, *(next(made) if new else scores for new in changed)]


class _Noted(UserDict[str, Any]):
    """Observables that remember which of them were asked for."""

    def __init__(self, observables: Mapping[str, Any]) -> None:
        self.asked: set[str] = set()
        super().__init__(observables)

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


def _same(nominal: Shifted, one: Shifted, names: Collection[str]) -> bool:
    """Tell whether a shift has the nominal events, with the same observables to the bit."""
    if not names or not np.array_equal(nominal[2], one[2]):
        return False
    try:
        pairs = [[Column.of(each[0][name], name, len(each[2])) for each in (nominal, one)] for name in names]
    except ConfigError:  # no numbers, or lists of lists
        return False
    return all(before.same(after) for before, after in pairs)
