"""A trained model in the event loop: observables in, scores out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from colonnade.config import parse_settings
from colonnade.errors import ConfigError, InputError
from colonnade.inference.card import CARD_KEY, Card, fold_of
from colonnade.inference.inputs import Inputs, per_candidate, stack_inputs
from colonnade.inference.onnx_file import OnnxFile, OnnxModel, read_onnx


@dataclass(frozen=True)
class Classifier(OnnxModel):
    """An ONNX model with its card.

    Attributes
    ----------
    card
        What the model says of itself.
    """

    card: Card

    # events a run of the graph: large enough to amortise the call, small enough for the layers to stay in cache
    batch: ClassVar[int] = 2048

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a model and refuse it unless its parts agree.

        Raises
        ------
        InputError
            If the file is damaged, incomplete, or not runnable by this onnxruntime.
        ConfigError
            If it has no card, or the card does not describe the graph.
        """
        place = Path(path).resolve()
        file = read_onnx(place)
        card = _card(place, file)
        classifier = cls(place, file.digest, card)
        _match_graph(place, classifier.graph_inputs(), classifier._session())
        return classifier

    def __reduce__(self) -> tuple[Any, ...]:
        return self._by_value(self.card)

    def score(
        self,
        observables: Mapping[str, Any],
        identity: Mapping[str, Any] | Any = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Any:
        """Score events, or the candidates of each event.

        Parameters
        ----------
        observables
            Columns by name, flat or jagged, as the card asks.
        identity
            What gives `run`, `luminosityBlock` and `event` of these events (the events themselves will do);
            needed by a model of several folds, so that the network that did not see an event scores it.
        parameters
            A value, or one per event, for each hypothesis input.

        Returns
        -------
        ndarray [N], or [N, outputs] for a model of several outputs
            Of a model of candidates, a mapping: under an empty name the best candidate's score, and under the name of
            each feature its value there; lists with one entry, or none in events without a candidate.

        Raises
        ------
        MissingColumnError
            If an observable is not there.
        EventError
            If a feature holds values that are no numbers; the message names the feature.
        """
        return self.score_variations([observables], [identity], parameters)[0]

    def score_variations(
        self,
        variations: Sequence[Mapping[str, Any]],
        identities: Sequence[Mapping[str, Any] | Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Score several variations of a chunk's events together, such as the nominal and shifted ones.

        The variations may keep different events. Parameters and errors as in `score`; the result has one
        array a variation.
        """
        counts: list[NDArray[np.int64]] = []
        if self.card.candidates:
            laid = [per_candidate(self.card, variation) for variation in variations]
            variations, counts = [columns for columns, _ in laid], [numbers for _, numbers in laid]
        parts = [stack_inputs(self.card, variation, parameters) for variation in variations]
        folds = None
        if self.card.folds > 1:
            given = identities if identities is not None else [None] * len(parts)
            own = [fold_of({} if one is None else one, self.card.folds) for one in given]
            folds = np.concatenate([np.repeat(*pair) for pair in zip(own, counts, strict=True)] if counts else own)
        scores = self.run(Inputs.join(parts), folds)
        ends = np.cumsum([len(part) for part in parts])
        split = np.split(scores, ends[:-1])
        return [_best(*each) for each in zip(split, variations, counts, strict=True)] if counts else split

    def run(self, inputs: Inputs, folds: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Run the graph on stacked inputs.

        Parameters
        ----------
        inputs
            N events of this model's features.
        folds
            [N], each event's fold, for a model of several folds.
        """
        shape = (len(inputs),) if len(self.card.outputs) == 1 else (len(inputs), len(self.card.outputs))
        scores = np.empty(shape, dtype=np.float32)
        session, several = self._session(), self.card.folds > 1 and folds is not None
        for fold in range(self.card.folds if several else 1):
            rows = np.flatnonzero(folds == fold) if several else np.arange(len(inputs))
            for low in range(0, len(rows), self.batch):
                # a batch is gathered when its turn comes, so that the graph finds it in cache
                here = rows[low : low + self.batch]
                feed = self.feed(inputs.take(here))
                if several:
                    feed["fold"] = np.array(fold, dtype=np.int64)
                scores[here] = session.run(None, feed)[0]
        return scores

    def graph_inputs(self) -> dict[str, int | None]:
        """Return the names of the graph's inputs as the card describes them, and the columns of those with features."""
        inputs: dict[str, int | None] = {"event": self.card.width()}
        for collection in self.card.jagged():
            inputs[collection.name] = len(collection.features)
            inputs[collection.index] = None
        if self.card.folds > 1:
            inputs["fold"] = None
        return inputs

    def feed(self, inputs: Inputs) -> dict[str, Any]:
        """Return what the graph is given for some events."""
        feed: dict[str, Any] = {"event": inputs.event}
        for collection in self.card.jagged():
            feed[collection.name] = inputs.objects[collection.name]
            feed[collection.index] = np.repeat(np.arange(len(inputs)), inputs.counts[collection.name])
        return feed


def _best(scores: NDArray[np.float32], columns: Mapping[str, Any], counts: NDArray[np.int64]) -> dict[str, Any]:
    """Return score and features of each event's best candidate, the first of equal ones."""
    found = counts > 0
    best = np.asarray(ak.argmax(ak.unflatten(scores, counts), axis=1)[found]) + (np.cumsum(counts) - counts)[found]
    return {name: ak.unflatten(values[best], found.astype(int)) for name, values in {"": scores, **columns}.items()}


def _card(path: Path, file: OnnxFile) -> Card:
    """Take the card from a file and refuse one that does not describe this graph."""
    if CARD_KEY not in file.properties:
        msg = (
            f"The model {path} has no card, so its features are unknown; write it with `colonnade train`, or declare "
            "its inputs (scorers: {NAME: {onnx: FILE, inputs: {INPUT: [OBSERVABLES]}}})."
        )
        raise ConfigError(msg)
    source = f"{path}, card"
    try:
        data = json.loads(file.properties[CARD_KEY])
    except ValueError as error:
        msg = f"{source}: not valid JSON; train the model again."
        raise ConfigError(msg) from error
    card = parse_settings(Card, data, source)
    if card.graph_sha256 != file.graph_sha256:
        msg = f"The model {path} is damaged: its graph is not the one its card describes; restore the file."
        raise InputError(msg)
    opset = file.opsets.get("", 0)
    if opset != card.opset:
        msg = f"The model {path} is of opset {opset} but its card says {card.opset}; export it again."
        raise ConfigError(msg)
    return card


def _match_graph(path: Path, expected: Mapping[str, int | None], session: Any) -> None:
    """Refuse a card whose features don't fit the graph's inputs."""
    found = {entry.name: entry.shape for entry in session.get_inputs()}
    if set(found) != set(expected):
        msg = (
            f"The model {path} takes the inputs {', '.join(sorted(found))} but its card describes "
            f"{', '.join(sorted(expected))}; export it again."
        )
        raise ConfigError(msg)
    for name, width in expected.items():
        if width is not None and (len(found[name]) != 2 or found[name][1] != width):
            msg = (
                f"The model {path} takes '{name}' with {found[name][-1]} columns but its card lists {width} "
                "features; export it again."
            )
            raise ConfigError(msg)


@dataclass(frozen=True)
class Hypothesis:
    """A classifier that is told a hypothesis, the same for all events.

    Attributes
    ----------
    classifier
        The model.
    parameters
        The value of each of its parameters.
    """

    classifier: Classifier
    parameters: Mapping[str, float] = field(default_factory=dict)

    def score_variations(
        self, variations: Sequence[Mapping[str, Any]], identities: Sequence[Any] | None = None
    ) -> list[NDArray[np.float32]]:
        """Score all variations of a chunk under the hypothesis; see `Classifier.score_variations`."""
        return self.classifier.score_variations(variations, identities, self.parameters)


def scorers_of(
    classifier: Classifier, name: str = "score", units: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Classifier | Hypothesis]:
    """Name what a processor adds for a model: `Analysis(scorers=scorers_of(classifier))`.

    Names of features are checked when events are scored, for only then it is known what the analysis computes; that
    is before any worker starts, when columns are learned. Units are checked here.

    Parameters
    ----------
    classifier
        The model.
    name
        Of the observable; a model that is told a hypothesis gives `NAME_VALUE` for each it was trained on, such as
        `score_130`.
    units
        Observable to its unit, where the analysis declares it: `Processor.units`.

    Raises
    ------
    ConfigError
        If a feature has another unit than the model was trained on.
    """
    card = classifier.card
    for feature in card.features():
        unit = units.get(feature.name, feature.unit)
        if unit != feature.unit:
            msg = (
                f"{classifier.path} was trained on {feature.name} in '{feature.unit}', but the processor gives "
                f"it in '{unit}'; convert it, or train the model again."
            )
            raise ConfigError(msg)
    if not card.parameters:
        return {name: classifier}
    names = [parameter.name for parameter in card.parameters]
    # the values at one place belong to one signal point
    rows = zip(*(parameter.values for parameter in card.parameters), strict=True)
    return {
        "_".join([name, *(f"{value:g}" for value in row)]): Hypothesis(classifier, dict(zip(names, row, strict=True)))
        for row in rows
    }
