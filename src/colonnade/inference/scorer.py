"""A classifier as a processor takes it: further observables, made of the others."""

from __future__ import annotations

__all__ = ["ClassifierScorer"]

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.inference.classifier import Classifier
from colonnade.inference.folds import fold_of
from colonnade.inference.inputs import Inputs, stack_inputs
from colonnade.inference.units import declared_units


@dataclass(frozen=True)
class ClassifierScorer:
    """Adds a classifier's scores to the observables of all variations of a chunk, in one call.

    A model of one output gives `NAME`; one that is told a hypothesis gives `NAME_VALUE` for each value it
    was trained on, such as `score_130`; one of several outputs gives `NAME_OUTPUT`.

    Attributes
    ----------
    classifier
        The model.
    name
        Of the observable.
    """

    classifier: Classifier
    name: str = "score"

    def names(self) -> tuple[str, ...]:
        """List the observables that are added."""
        return tuple(
            "_".join([self.name, *([label] if label else []), *([output] if output else [])])
            for label, _ in self._hypotheses()
            for output in self._outputs()
        )

    def check_units(self, histograms: Iterable[Any]) -> None:
        """Refuse a model trained in other units than the analysis's histograms declare.

        Names are checked when events are scored, for only then it is known what the analysis computes; that
        is before any worker starts, when columns are learned.

        Raises
        ------
        ConfigError
            Naming the feature and both units.
        """
        declared: dict[str, str | None] = dict.fromkeys(feature.name for feature in self.classifier.card.features())
        self.classifier.check(declared | declared_units(histograms))

    def score(self, batches: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[dict[str, NDArray[np.float32]]]:
        """Score all variations of a chunk.

        Parameters
        ----------
        batches
            For each variation, its events and their observables.

        Returns
        -------
        list of dict
            For each variation the observables to add.

        Raises
        ------
        MissingColumnError
            If an observable is not there, or the events have no identity and the model has several folds.
        EventError
            If a feature holds values that are no numbers.
        """
        card = self.classifier.card
        blank = {parameter.name: 0.0 for parameter in card.parameters}
        parts = [stack_inputs(card, observables, blank) for _, observables in batches]
        folds = None
        if card.folds > 1:
            folds = np.concatenate([fold_of(events, card.folds) for events, _ in batches])
        inputs = Inputs.join(parts)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        added: list[dict[str, NDArray[np.float32]]] = [{} for _ in parts]
        names = iter(self.names())
        for _, values in self._hypotheses():
            inputs.event[:, card.parameter_columns()] = values
            scores = self.classifier.run(inputs, folds)
            columns = scores[:, np.newaxis] if scores.ndim == 1 else scores
            for column in columns.T:
                name = next(names)
                for result, piece in zip(added, np.split(column, ends), strict=True):
                    result[name] = piece
        return added

    def _hypotheses(self) -> list[tuple[str, tuple[float, ...]]]:
        """Label and value of each hypothesis; of several parameters, those that were trained on together."""
        parameters = self.classifier.card.parameters
        if not parameters:
            return [("", ())]
        count = len(parameters[0].values)
        rows = [tuple(parameter.values[place] for parameter in parameters) for place in range(count)]
        return [("_".join(f"{value:g}" for value in row), row) for row in rows]

    def _outputs(self) -> tuple[str, ...]:
        outputs = self.classifier.card.outputs
        return ("",) if len(outputs) == 1 else outputs
