"""The base class of an analysis, a coffea processor: what the analysis says becomes histograms and cutflows."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import numpy.typing as npt
from coffea.processor import ProcessorABC

from colonnade.errors import ConfigError, nearest
from colonnade.histograms import Histogram, HistogramSet
from colonnade.kinematics import accelerate, own
from colonnade.processor import cutflow
from colonnade.processor.chunk import Chunk
from colonnade.processor.corrections import Corrections, countable
from colonnade.processor.declarations import check_declarations
from colonnade.processor.generator import member_sums
from colonnade.processor.passing import Passing
from colonnade.processor.pieces import Objects, Region, Scorer, Selection, Shift, Source, as_mask, members_of
from colonnade.processor.transfers import Transfers, require_apart
from colonnade.processor.weights import Weights, finite

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass
class _Selected:
    """The events that pass the preselection under one shift."""

    shift: Shift
    passing: Passing
    observables: dict[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> Any:
        return self.passing.events

    @property
    def objects(self) -> Objects:
        return self.passing.objects

    @property
    def generator(self) -> Floats:
        return self.passing.generator


class Processor(ProcessorABC):  # type: ignore[misc]  # coffea has no types
    """An analysis: events in, weighted histograms and cutflows of its regions out.

    Derive from it, declare `histograms`, `regions` and `shifts`, and write `objects`, `observables`, `cuts` and
    (optionally) `preselection` and `weights`. An instance keeps no state between chunks, so it may be sent anywhere.
    It also runs in a plain coffea `Runner`.

    Parameters of an analysis are keyword parameters of its ``__init__``, which passes the rest on::

        def __init__(self, *, jet_pt: float = 40.0, **others):
            super().__init__(**others)
            self.jet_pt = jet_pt

    Parameters
    ----------
    unblind
        Whether data are filled in signal regions.
    corrections
        Name to path of the correctionlib files that `weights` or `objects` use as ``self.corrections[name]``.
    scorers
        Name of a further observable to what makes it of the others, see `Scorer`.
    files
        Name to path of other files that the analysis reads, as ``self.files[name]``: kept results depend on their
        content.
    variations
        Whether to vary weights and objects; without, only the nominal result is made.

    Raises
    ------
    ConfigError
        If the declarations contradict each other, or a parameter is unknown.
    """

    histograms: ClassVar[Sequence[Histogram]] = ()
    """The histograms to fill."""

    regions: ClassVar[Mapping[str, Region]] = {}
    """The regions, by name."""

    shifts: ClassVar[tuple[str | Source, ...]] = ()
    """The sources of uncertainty that shift objects; for each the analysis runs again, up and down.

    One that has one side is named with it: of ``HEM_up`` no down is filled, and ``shift["HEM"]`` is +1 or 0. One that
    shifts data, too, or certain processes alone, or moves with others, is a `Source`. A shift that no histogram fills
    is left out.
    """

    parts: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Process to the parts that `split` tells apart in its simulated events.

    ``{"ttbar": ("bb", "cc")}`` makes the processes ttbar_bb and ttbar_cc; the events that are of neither stay ttbar.
    """

    def __init__(
        self,
        *,
        unblind: bool = False,
        corrections: Mapping[str, Path | str] | None = None,
        scorers: Mapping[str, Scorer] | None = None,
        files: Mapping[str, Path | str] | None = None,
        variations: bool = True,
        **unknown: Any,
    ) -> None:
        if unknown:
            name, known = next(iter(unknown)), self.parameters()
            msg = f"{type(self).__name__} has no parameter {name!r}{nearest(name, known)}; it has: {', '.join(known)}."
            raise ConfigError(msg)
        self.unblind = unblind
        self.variations = variations
        self.corrections = Corrections(corrections or {})
        self.scorers = dict(scorers or {})
        self.files = {name: Path(path) for name, path in (files or {}).items()}
        check_declarations(type(self))

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the keyword parameters, those of the analysis first."""
        names: dict[str, None] = {}
        for base in cls.__mro__:
            if issubclass(base, Processor) and "__init__" in vars(base):
                for parameter in inspect.signature(base.__init__).parameters.values():
                    if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                        names.setdefault(parameter.name)
        names.pop("self", None)
        return tuple(names)

    @classmethod
    def units(cls) -> dict[str, str]:
        """Return the unit of each observable that a histogram shows; empty for a number without one."""
        return {
            observable: unit
            for histogram in cls.histograms
            for observable, unit in zip(histogram.observables, histogram.units, strict=True)
        }

    # what an analysis writes

    def common(self, events: Any) -> Objects:  # noqa: ARG002 - the analysis's hook
        """Return the objects that no shift concerns; they are made once, and join those of `objects` of each shift."""
        return Objects()

    def skim(self, events: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the analysis's hook
        """Return ordered cuts on what no shift concerns: a trigger, a pair of leptons.

        The more events fail here, the less is computed. A cut may be a function of the common objects; it is called
        for the events that are left by the cuts before it.
        """
        return {}

    def objects(self, events: Any, shift: Shift) -> Objects:
        """Select and calibrate the objects of each event that a shift concerns.

        Parameters
        ----------
        events
            The events that pass `skim`.
        shift
            ``shift["jet_energy_scale"]`` is by how many standard deviations to shift: +1, -1 or 0.
        """
        raise NotImplementedError

    def preselection(self, objects: Objects) -> Mapping[str, Any]:  # noqa: ARG002 - the analysis's hook
        """Return the ordered cuts that every region starts with; events that fail one go no further.

        A cut may be a function of the objects; it is called for the events that are left by the cuts before it.
        """
        return {}

    def observables(self, events: Any, objects: Objects) -> Mapping[str, Any]:
        """Return named arrays, one value or one list of values an event: what histograms and training use."""
        raise NotImplementedError

    def cuts(self, events: Any, objects: Objects, observables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return every cut that `regions` names: one truth value an event, where a missing one (None) is false."""
        raise NotImplementedError

    def weights(self, events: Any, objects: Objects, weights: Weights) -> None:
        """Add weights of simulated events: ``weights.add("muon_id", nominal, up, down)``.

        The generator's weight is already in. ``weights.add(..., regions=("CR", "SR"))`` is a weight of these regions
        alone; ``weights.shift`` and ``weights.observables`` are at hand. Data are weighted by `data_weights`.
        """

    def generator(self, events: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the analysis's hook
        """Return variations of the generator's weight, of all simulated events before any cut.

        Each is `members` or `up_down` of a vector of weights, or a pair of arrays, relative to the nominal weight::

            return {"scale": up_down(events, "LHEScaleWeight", 8, 0, of=9)}

        makes the variations ``scale_up`` and ``scale_down``, and members ``pdf_0``, ``pdf_1``, ... Each is normalised
        to its own sum over all events, unless the model says ``normalise: nominal``.
        """
        return {}

    def data_weights(self, events: Any, objects: Objects, weights: Weights) -> None:
        """Add weights of recorded events, as `weights` does of simulated ones: prescales, for instance.

        Where a channel of the likelihood counts data, its weights should be 1, as a sum of weights is no count.
        """

    def transfers(self, events: Any, objects: Objects, transfers: Transfers) -> None:
        """Give the transfer factors that regions name, of data too: ``transfers.add("ff", factor, up, down)``."""

    def split(self, events: Any, objects: Objects) -> Mapping[str, Any]:
        """Return for each of the process's `parts` which of the selected events it has: one truth value an event.

        What the generator knows of an event tells; no event may be of two parts.
        """
        raise NotImplementedError

    # what the framework runs

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        """Turn a chunk of events into histograms and cutflows.

        Parameters
        ----------
        events
            Records in NanoAOD's names, with ``metadata`` that give at least ``dataset``, and ``kind`` ("data",
            "background" or "signal"; without it, events that have no genWeight are data).

        Returns
        -------
        dict
            For the dataset: ``histograms`` (a `HistogramSet`, not scaled), ``cutflow`` (see `cutflow_table`),
            ``events`` and ``sumw``, the number and the sum of generator weights of all events of the chunk. All of
            it adds. Of a process with `parts`, ``parts`` has the histograms of each, which the others are without, and
            ``split`` the number and the sum of generator weights of the selected events of each, the rest as ``""``. Of
            regions with transfer factors, ``transfers`` has the number of events, and of those with a negative one.

            The rows of a cutflow up to the preselection carry the generator's weight alone, since the other weights
            are only known for events that pass it. Of blinded data only what can't tell a signal region's yield is
            kept: all events, and the last row of the other regions.

        Raises
        ------
        EventError
            If a weight or an observable that is filled is not a number.
        ConfigError
            If a region or histogram names something that the analysis does not produce.
        """
        chunk = Chunk.of(events)
        events = accelerate(events)
        generator = self._generator_weights(events, chunk)
        shifts = self._shifts(chunk)
        selected = self._select(events, generator, chunk, shifts)
        nominal = next(selected)
        selection = self._cuts(nominal)
        opened = self._open(self._masks(selection), chunk)
        varied = self.variations and not chunk.is_data and not chunk.alternative
        generated, ratios = member_sums(self.generator(events) if varied else {}, generator, chunk.where)
        weights = self._weights(nominal, opened, chunk, ratios)
        transfers = self._transfers(nominal, chunk)
        shifted = [shift.variation for shift in shifts[1:]]
        variations = ("nominal", *weights.variations, *transfers.variations, *shifted)
        if len(set(variations)) != len(variations):
            twice = next(name for name in variations if variations.count(name) > 1)
            msg = f"the variation {twice!r} comes from two of weights, transfer factors and shifts; rename one."
            raise ConfigError(msg)
        counts = self._cutflow(nominal, selection, weights, chunk)
        parts = ("", *self._parts_of(chunk))
        filled = {part: HistogramSet(self.histograms, list(self.regions), variations) for part in parts}
        sums: dict[str, Floats] = {}
        negative: dict[str, Any] = {}
        first = 0
        for one in itertools.chain((nominal,), selected):
            if one is not nominal:
                opened = self._open(self._masks(self._cuts(one)), chunk)
                weights = self._weights(one, opened, chunk)
                transfers = self._transfers(one, chunk)
            members = self._members(one, chunk)
            for group in weights.groups(self.regions):
                matrix = weights.matrix(group[0])[1]
                for part, member in members.items():
                    masks = {name: opened[name] for name in group if name in opened}
                    own = masks if len(parts) == 1 else {name: mask & member for name, mask in masks.items()}
                    for spread, mine in transfers.spread(matrix, own, self.regions):
                        filled[part].fill(one.observables, mine, spread, first, chunk.where)
            if one is nominal:
                negative = transfers.negative(opened, self.regions)
            if one is nominal and len(parts) > 1:
                sums = {part: np.array([mask.sum(), one.generator[mask].sum()]) for part, mask in members.items()}
            first += 1 + len(weights.variations) + len(transfers.variations)
        result: dict[str, Any] = {
            "histograms": filled.pop(""),
            "cutflow": counts,
            "events": len(generator),
            "sumw": float(generator.sum()),
            **({"generator": generated} if generated else {}),
        }
        result |= {"transfers": negative} if negative else {}
        return {chunk.dataset: result | ({"parts": filled, "split": sums} if filled else {})}

    def postprocess(self, accumulator: Any) -> Any:
        """Return the accumulated result as it is."""
        return accumulator

    def columns(self, events: Any, shift: str = "nominal") -> dict[str, Any]:
        """Return what is known of each selected event, instead of filling it: the input of a training.

        Parameters
        ----------
        events
            As in `process`.
        shift
            A name on the variation axis that stands for shifted objects, or "nominal".

        Returns
        -------
        dict
            Arrays with one entry for each event that passes the preselection: ``run``, ``luminosityBlock`` and
            ``event`` where the input has them; ``weight``, without the weights that only some regions have;
            ``regions``, a dict of region to boolean array;
            ``observables``, a dict of name to array. Of blinded data, events in a signal region are left out.
        """
        chunk = Chunk.of(events)
        events = accelerate(events)
        generator = self._generator_weights(events, chunk)
        (one,) = self._select(events, generator, chunk, [Shift.of(shift, self.shifts)])
        masks = self._masks(self._cuts(one))
        opened = self._open(masks, chunk)
        hidden = np.zeros(len(one.generator), dtype=bool)
        for name in masks.keys() - opened.keys():
            hidden |= masks[name]
        keep = ~hidden
        identity = [name for name in ("run", "luminosityBlock", "event") if name in ak.fields(events)]
        return {
            **{name: np.asarray(one.events[name])[keep] for name in identity},
            "weight": self._weights(one, opened, chunk).weight()[keep],
            "regions": {name: mask[keep] for name, mask in masks.items()},
            "observables": {name: values[keep] for name, values in one.observables.items()},
        }

    def kept(self, events: Any, regions: Sequence[str] = ()) -> tuple[Mask, float]:
        """Return which events a skim keeps, and the sum of the generator weights of all.

        Parameters
        ----------
        events
            As in `process`.
        regions
            Keep those that are in any of these, nominal or under any shift; without, those that pass the preselection.
        """
        chunk = Chunk.of(events)
        events = accelerate(events)
        passed = np.zeros(len(events), dtype=bool)
        generator = self._generator_weights(events, chunk)
        for one in self._select(events, generator, chunk, self._shifts(chunk)):
            left = one.passing.places
            if regions:
                selection = self._cuts(one)
                left = left[np.any([selection.all(*self.regions[name].cuts) for name in regions], axis=0)]
            passed[left] = True
        return passed, float(generator.sum())

    def _shifts(self, chunk: Chunk) -> list[Shift]:
        nominal, *others = Shift.every(self.shifts, chunk.process, data=chunk.is_data)
        varied = self.variations and not chunk.alternative
        return [nominal, *(one for one in others if varied and self._fills(one.variation))]

    def _fills(self, variation: str) -> bool:
        return any(histogram.fills(variation) for histogram in self.histograms)

    def _generator_weights(self, events: Any, chunk: Chunk) -> Floats:
        if chunk.is_data or "genWeight" not in ak.fields(events):
            return np.ones(len(events))
        return finite(events.genWeight, "genWeight", len(events), chunk.where)

    def _select(self, events: Any, generator: Floats, chunk: Chunk, shifts: Sequence[Shift]) -> Iterator[_Selected]:
        """Run the analysis up to its observables, for each shift."""
        passing = Passing(events, Objects(), generator, np.arange(len(events)), {cutflow.ALL: cutflow.row(generator)})
        passing.apply(countable(events, chunk))
        passing.objects = _require_objects(self.common(passing.events), f"{type(self).__name__}.common")
        passing.apply(self.skim(passing.events))
        shifted = (self._shifted(passing, shift) for shift in shifts)
        if not self.scorers:  # one after the other, so that one is in memory
            return shifted
        selected = list(shifted)
        for name, scorer in self.scorers.items():
            scores = scorer.score_variations([one.observables for one in selected], [one.events for one in selected])
            for one, score in zip(selected, scores, strict=True):
                named = score if isinstance(score, Mapping) else {"": score}
                one.observables |= {f"{name}_{key}" if key else name: values for key, values in named.items()}
        return iter(selected)

    def _shifted(self, passing: Passing, shift: Shift) -> _Selected:
        # what a shift assigns to its events, or to common objects, no other shift sees
        shifted = own(passing.events)
        objects = _require_objects(self.objects(shifted, shift), f"{type(self).__name__}.objects")
        joined = passing.objects.joined(objects)
        one = _Selected(shift, replace(passing, events=shifted, objects=joined, rows={**passing.rows}))
        one.passing.apply(self.preselection(one.passing.objects))
        one.observables = dict(self.observables(one.events, one.objects))
        return one

    def _weights(
        self, one: _Selected, opened: Mapping[str, Mask], chunk: Chunk, ratios: Mapping[str, Any] = MappingProxyType({})
    ) -> Weights:
        varied = self.variations and not one.shift.direction and not chunk.alternative
        nobody = np.zeros(len(one.generator), dtype=bool)  # of a region that is blinded
        weights = Weights(
            len(one.generator),
            chunk.where,
            wanted=self._fills if varied else lambda _: False,
            masks={name: opened.get(name, nobody) for name in self.regions},
            shift=one.shift,
            observables=one.observables,
        )
        if chunk.is_data:
            self.data_weights(one.events, one.objects, weights)
        else:
            weights.add("generator", one.generator)
            weights.vary(ratios, one.passing.places)
            self.weights(one.events, one.objects, weights)
        return weights

    def _transfers(self, one: _Selected, chunk: Chunk) -> Transfers:
        varied = self.variations and not one.shift.direction and not chunk.alternative
        transfers = Transfers(len(one.generator), chunk.where, wanted=self._fills if varied else lambda _: False)
        if any(region.transfer for region in self.regions.values()):
            self.transfers(one.events, one.objects, transfers)
        return transfers

    def _parts_of(self, chunk: Chunk) -> Sequence[str]:
        return () if chunk.is_data else tuple(self.parts.get(chunk.process, ()))

    def _members(self, one: _Selected, chunk: Chunk) -> dict[str, Mask]:
        """Return which events are of each part, what is left as that without a name."""
        names = self._parts_of(chunk)
        made = self.split(one.events, one.objects) if names else {}
        return members_of(made, names, len(one.generator), f"{type(self).__name__}.split", chunk.where)

    def _cuts(self, one: _Selected) -> Selection:
        produced = self.cuts(one.events, one.objects, one.observables)
        needed = dict.fromkeys(cut for region in self.regions.values() for cut in region.cuts)
        for name, region in self.regions.items():
            for cut in region.cuts:
                if cut in one.passing.rows:
                    msg = f"region {name!r} repeats the cut {cut!r} of the preselection; name it in one of the two."
                    raise ConfigError(msg)
                if cut not in produced:
                    msg = (
                        f"region {name!r} needs the cut {cut!r}, which cuts() does not produce{nearest(cut, produced)}."
                    )
                    raise ConfigError(msg)
        return Selection({cut: as_mask(produced[cut], cut, len(one.generator)) for cut in needed}, len(one.generator))

    def _masks(self, selection: Selection) -> dict[str, Mask]:
        return {name: selection.all(*region.cuts) for name, region in self.regions.items()}

    def _open(self, masks: Mapping[str, Mask], chunk: Chunk) -> dict[str, Mask]:
        """Return the regions that may be looked at in these events."""
        if self.unblind or not chunk.is_data:
            return dict(masks)
        opened = {name: mask for name, mask in masks.items() if not self.regions[name].signal}
        require_apart(masks, opened, self.regions, chunk.where)
        return opened

    def _cutflow(
        self, one: _Selected, selection: Selection, weights: Weights, chunk: Chunk
    ) -> dict[str, dict[str, Floats]]:
        counts: dict[str, dict[str, Floats]] = {name: {} for name in self.regions}
        for group in weights.groups(self.regions):
            cuts = [self.regions[name].cuts for name in group]
            sums = cutflow.region_counts(selection, cuts, weights.weight(region=group[0]))
            for name, names, rows in zip(group, cuts, sums, strict=True):
                counts[name] = {**one.passing.rows, **dict(zip(names, rows, strict=True))}
        opened = self._open(dict.fromkeys(self.regions, np.zeros(0, dtype=bool)), chunk)
        if len(opened) == len(self.regions):
            return counts
        lasts = {name: region.cuts[-1] for name, region in self.regions.items() if region.cuts and name in opened}
        return cutflow.blinded(counts, lasts)


def _require_objects(made: Any, where: str) -> Objects:
    if isinstance(made, Objects):
        return made
    msg = f"{where} returns a {type(made).__name__}; return Objects(name=array)."
    raise ConfigError(msg)
