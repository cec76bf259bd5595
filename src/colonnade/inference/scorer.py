"""A classifier as a processor takes it: named further observables, made of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.histograms import Histogram
from colonnade.inference.classifier import Classifier


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
    classifier: Classifier, name: str = "score", histograms: Iterable[Histogram] = ()
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
    histograms
        The analysis's, which declare units.

    Raises
    ------
    ConfigError
        If a feature has another unit than the model was trained on.
    """
    card = classifier.card
    undeclared: dict[str, str | None] = dict.fromkeys(feature.name for feature in card.features())
    classifier.check(undeclared | declared_units(histograms))
    if not card.parameters:
        return {name: classifier}
    names = [parameter.name for parameter in card.parameters]
    # the values at one place belong to one signal point
    rows = zip(*(parameter.values for parameter in card.parameters), strict=True)
    return {
        "_".join([name, *(f"{value:g}" for value in row)]): Hypothesis(classifier, dict(zip(names, row, strict=True)))
        for row in rows
    }


def declared_units(histograms: Iterable[Histogram]) -> dict[str, str]:
    """Give the unit of each observable that a histogram shows; '' is a pure number.

    Examples
    --------
    >>> from hist.axis import Regular
    >>> declared_units([Histogram("mll", Regular(60, 0, 600), label="mass", unit="GeV")])
    {'mll': 'GeV'}
    """
    units: dict[str, str] = {}
    for histogram in histograms:
        for name, unit in zip(histogram.observables, histogram.units, strict=True):
            units.setdefault(name, unit)
    return units
