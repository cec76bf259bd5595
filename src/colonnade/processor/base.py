"""The base class of an analysis, a coffea processor: what the analysis says becomes histograms and cutflows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coffea.processor import ProcessorABC

from colonnade.errors import ConfigError, nearest
from colonnade.histograms import Histogram
from colonnade.histograms.declaration import Layout
from colonnade.inference import Classifier
from colonnade.processor.chunk_run import ChunkRun
from colonnade.processor.corrections import Corrections
from colonnade.processor.pieces import Mask, Objects, Region, Scorer, Shift, Source
from colonnade.processor.transfers import Transfers
from colonnade.processor.weights import Weights


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

    classifiers: ClassVar[Mapping[str, type[Classifier]]] = {}
    """Name of a scorer to the class that opens its model, where that is one derived from `Classifier`."""

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
        _check_declarations(type(self))

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
            For the dataset: ``histograms`` (a `HistogramSet`, not scaled), ``cutflow`` (for each region and cut the
            sums of which `colonnade.execution.result.cutflow_table` makes rows), ``events`` and ``sumw``, the number
            and the sum of generator weights of all events of the chunk. All of it adds. Of a process with `parts`,
            ``parts`` has the histograms of each, which the others are without, and ``split`` the number and the sum of
            generator weights of the selected events of each, the rest as ``""``. Of regions with transfer factors,
            ``transfers`` has the number of events, and of those with a negative one. ``outside`` has for each
            correction of `colonnade.calibration` that was evaluated outside its range, where its file takes the
            outermost bin or a default value, for how many values it was, all shifts together.

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
        return ChunkRun(self, events).filled()

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
        return ChunkRun(self, events).columns(shift)

    def kept(self, events: Any, regions: Sequence[str] = ()) -> tuple[Mask, float]:
        """Return which events a skim keeps, and the sum of the generator weights of all.

        Parameters
        ----------
        events
            As in `process`.
        regions
            Keep those that are in any of these, nominal or under any shift; without, those that pass the preselection.
        """
        return ChunkRun(self, events).kept(regions)


def _check_declarations(analysis: Any) -> None:
    """Find what is wrong with an analysis's regions, shifts and histograms.

    Parameters
    ----------
    analysis
        The class.

    Raises
    ------
    ConfigError
        Naming the first mistake.
    """
    for name, region in analysis.regions.items():
        if not isinstance(region, Region):
            msg = f"{analysis.__name__}.regions[{name!r}] is a {type(region).__name__}; use Region('cut', ...)."
            raise ConfigError(msg)
        if not name or "/" in name or "__" in name:
            msg = f"{analysis.__name__}: {name!r} can't be a region's name, as it is part of paths; avoid '/' and '__'."
            raise ConfigError(msg)
    sources = [] if isinstance(analysis.shifts, str) else [Source.of(one).name for one in analysis.shifts]
    if isinstance(analysis.shifts, str) or len(set(sources)) != len(sources):
        msg = f"{analysis.__name__}.shifts must be a tuple of different names, but is {analysis.shifts!r}."
        raise ConfigError(msg)
    for process, parts in analysis.parts.items():
        wrong = [part for part in parts if not re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", str(part))]
        if isinstance(parts, str) or wrong or len(set(parts)) != len(tuple(parts)):
            msg = (
                f"{analysis.__name__}.parts[{process!r}] = {parts!r}: give a tuple of different names of letters and "
                "digits, with single _ between them."
            )
            raise ConfigError(msg)
    for histogram in analysis.histograms:
        if not isinstance(histogram, Histogram):
            msg = f"{analysis.__name__}.histograms holds a {type(histogram).__name__}; use Histogram(name, axis)."
            raise ConfigError(msg)
    # finds one that is declared twice, or for a region that there is not
    _ = Layout.of(analysis.histograms, list(analysis.regions), ["nominal"]).places
