"""What a model file says of itself: features, outputs, training, metrics, and which fold an event belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from colonnade.config import Settings
from colonnade.errors import MissingColumnError
from colonnade.kinematics.collections import mixed

# the key of the card among the ONNX file's metadata
CARD_KEY = "colonnade.card"

# what names an event in every experiment's data
IDENTITY = ("run", "luminosityBlock", "event")
# the name by which a model's card carries the rule below
FOLD_RULE = "splitmix64(event + splitmix64(luminosityBlock + splitmix64(run))) mod folds"


@dataclass(frozen=True)
class Feature:
    """An observable that is an input of a model, with its unit ('' for a pure number, 'GeV', 'rad', ...)."""

    name: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]" if self.unit else self.name


class CollectionCard(Settings):
    """The features of the objects of one jagged collection.

    With `leading` unset, the graph takes all objects of all events, `NAME [sum n, G]`, and their event's row,
    `INDEX [sum n]`. With `leading` set, the first so many objects of each event become columns of `event`
    instead, and objects that an event does not have get `fill` (None: not a number, which trees take as
    missing).
    """

    name: str
    index: str
    features: tuple[Feature, ...] = Field(min_length=1)
    leading: int | None = Field(default=None, ge=1)
    fill: tuple[float | None, ...] = ()

    @model_validator(mode="after")
    def _fill_matches(self) -> CollectionCard:
        if self.leading is not None and len(self.fill) != len(self.features):
            msg = f"collection {self.name} needs one fill value for each of its {len(self.features)} features"
            raise ValueError(msg)
        return self


class ParameterCard(Settings):
    """An input that is a hypothesis, such as a signal's mass, and the values it was trained on.

    Of several parameters, the values at one place belong together: they are those of one signal point.
    """

    name: str
    unit: str = ""
    values: tuple[float, ...] = Field(min_length=1)


class TrainingCard(Settings):
    """What the model was trained on, and by what."""

    columns: str = ""
    datasets: dict[str, int] = Field(default_factory=dict)
    events: dict[str, int] = Field(default_factory=dict)
    weighting: str = ""
    normalisation: str = ""
    seed: int = 0
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class Card(Settings):
    """The contract of a model file.

    Attributes
    ----------
    event
        Per-event features, in the order of the graph's columns; `parameters` and leading objects follow them.
    collections
        Jagged collections, each with its features in order.
    parameters
        Hypothesis inputs, appended to the event features.
    image
        For a network on images that code beside the analysis makes of the collections: what that code needs. Its class,
        derived from `Classifier`, is named in `Processor.classifiers`.
    outputs
        What the columns of the graph's output mean.
    missing
        Whether a feature may be missing (not a number), as trees allow.
    candidates
        Whether features are lists of candidates, such as permutations of jets, each of which is scored by itself.
    folds
        How many networks the file holds; an event is scored by that of its own fold, which was not trained
        on it.
    graph_sha256
        Digest of the graph's bytes, so that a damaged file is refused.
    """

    format: Literal[1] = 1
    name: str
    kind: str
    event: tuple[Feature, ...] = ()
    collections: tuple[CollectionCard, ...] = ()
    parameters: tuple[ParameterCard, ...] = ()
    image: dict[str, Any] | None = None
    outputs: tuple[str, ...] = ("score",)
    missing: bool = False
    candidates: bool = False
    folds: int = Field(default=1, ge=1)
    fold_rule: str = FOLD_RULE
    opset: int = 18
    training: TrainingCard = TrainingCard()
    metrics: dict[str, float | None] = Field(default_factory=dict)
    graph_sha256: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        names = [feature.name for feature in self.features()] + [parameter.name for parameter in self.parameters]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            msg = f"the feature {repeated[0]} is listed twice"
            raise ValueError(msg)
        if not names:
            msg = "a model needs at least one feature"
            raise ValueError(msg)
        if self.folds > 1 and self.fold_rule != FOLD_RULE:
            msg = f"unknown rule for folds {self.fold_rule!r}; this version knows {FOLD_RULE!r}"
            raise ValueError(msg)
        return self

    def features(self) -> tuple[Feature, ...]:
        """List every observable the model needs: per event first, then per object."""
        objects = (collection.features for collection in self.collections)
        return self.event + tuple(itertools.chain.from_iterable(objects))

    def jagged(self) -> tuple[CollectionCard, ...]:
        """List the collections whose objects all enter the graph."""
        return tuple(collection for collection in self.collections if collection.leading is None)

    def width(self) -> int:
        """Count the columns of the graph's `event` input."""
        slots = sum((c.leading or 0) * len(c.features) for c in self.collections)
        return len(self.event) + len(self.parameters) + slots

    def parameter_columns(self) -> slice:
        """Tell where the parameters stand among the columns of the graph's `event` input."""
        return slice(len(self.event), len(self.event) + len(self.parameters))


def fold_of(identity: Mapping[str, Any] | Any, folds: int, salt: int = 0) -> NDArray[np.int64]:
    """Give each event its fold, from its run, luminosity block and event number only.

    Parameters
    ----------
    identity
        Anything that gives integer columns [N] by the names in `IDENTITY`: events, a table, a mapping.
    folds
        The number of folds.
    salt
        A number that makes an independent division of the same events (used to set validation events apart).

    Returns
    -------
    ndarray [N] of int64
        0 .. folds-1.

    Raises
    ------
    MissingColumnError
        If the events have no identity.
    """
    state: NDArray[np.uint64] | None = None
    for name in IDENTITY:
        try:
            column = np.asarray(identity[name])
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            msg = f"Events have no column '{name}', by which a model of {folds} folds knows those it saw."
            raise MissingColumnError(msg) from error
        number = column.astype(np.int64).view(np.uint64)
        state = mixed(number + (np.uint64(salt) if state is None else state))
    assert state is not None  # noqa: S101 - IDENTITY is not empty
    return (state % np.uint64(folds)).astype(np.int64)
