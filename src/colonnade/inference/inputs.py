"""From a processor's observables to the flat arrays that a graph takes, without padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from colonnade.errors import EventError, MissingColumnError, nearest
from colonnade.inference.card import Card, CollectionCard, FeatureCard

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Inputs:
    """Events as flat arrays.

    Attributes
    ----------
    event
        [N, F], the per-event features, then parameters, then leading objects.
    objects
        By collection, [sum n, G]: all objects of all events, in the order of the events.
    counts
        By collection, [N]: how many of them each event has.
    """

    event: Floats
    objects: Mapping[str, Floats]
    counts: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: NDArray[np.int64]) -> Inputs:
        """Return the events at these rows, in this order, with their objects."""
        objects, counts = {}, {}
        for name, values in self.objects.items():
            count = self.counts[name]
            starts = np.cumsum(count) - count
            counts[name] = count[rows]
            objects[name] = values[ranges(starts[rows], counts[name])]
        return Inputs(self.event[rows], objects, counts)

    @staticmethod
    def join(parts: Sequence[Inputs]) -> Inputs:
        """Put the events of several inputs of one model one after the other."""
        if len(parts) == 1:
            return parts[0]
        names = parts[0].objects
        return Inputs(
            np.concatenate([part.event for part in parts]),
            {name: np.concatenate([part.objects[name] for part in parts]) for name in names},
            {name: np.concatenate([part.counts[name] for part in parts]) for name in names},
        )


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate arange(start, start + count) over the rows."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    flat: NDArray[np.int64] = np.arange(total) + np.repeat(starts - (ends - counts), counts)
    return flat


def stack_inputs(card: Card, observables: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> Inputs:
    """Stack the observables that a model needs, in its order.

    Parameters
    ----------
    card
        The model's card.
    observables
        Columns by name: [N] for event features, [N] lists for those of objects, in the card's units.
    parameters
        A value, or one per event, for each hypothesis input.

    Raises
    ------
    MissingColumnError
        If an observable or parameter is not there.
    EventError
        If a value is not a finite number (where the model does not take missing values), features differ in
        length, or a jagged column stands for a flat one or the other way round; the message names it.
    """
    columns = {feature.name: _column(feature, observables) for feature in card.features()}
    lists = {c.name: _lists(card, c, columns) for c in card.collections}
    flat = [_flat(card, feature, columns[feature.name]) for feature in card.event]
    sizes = {card.event[i].name: len(values) for i, values in enumerate(flat)}
    sizes |= {name: len(counts) for name, (_, counts) in lists.items()}
    if len(set(sizes.values())) > 1:
        first, *_ = sizes
        other = next(name for name in sizes if sizes[name] != sizes[first])
        msg = f"Feature {first} has {sizes[first]} events but {other} has {sizes[other]}; both need the same."
        raise EventError(msg)
    count = next(iter(sizes.values()))
    event = np.empty((count, card.width()), dtype=np.float32)
    place = 0
    for values in flat:
        event[:, place] = values
        place += 1
    _require_finite(card, card.event, event[:, :place])
    for parameter in card.parameters:
        if parameters is None or parameter.name not in parameters:
            msg = f"The model {card.name} needs a value of its parameter {parameter.name} [{parameter.unit}]."
            raise MissingColumnError(msg)
        event[:, place] = parameters[parameter.name]
        place += 1
    for collection in card.collections:
        if collection.leading is not None:
            values, counts = lists[collection.name]
            slots = _leading(values, counts, collection)
            event[:, place : place + slots.shape[1]] = slots
            place += slots.shape[1]
    names = [collection.name for collection in card.jagged()]
    return Inputs(event, {name: lists[name][0] for name in names}, {name: lists[name][1] for name in names})


def per_candidate(card: Card, observables: Mapping[str, Any]) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """Return the features of all events' candidates, one below the other, and the number of candidates of each event.

    Parameters
    ----------
    card
        Of a model that scores candidates.
    observables
        Columns by name: lists of candidates, or one value an event, which is repeated for each of its candidates.

    Raises
    ------
    MissingColumnError
        If an observable is not there.
    EventError
        If no feature is a list, or lists have different lengths.
    """
    columns = {feature.name: _column(feature, observables) for feature in card.features()}
    counts = candidate_counts(f"the model {card.name}", {"event": list(columns.values())})
    if counts is None:
        msg = f"The model {card.name} scores candidates, but none of its features is a list of them."
        raise EventError(msg)
    return {name: flat_feature(name, column, counts) for name, column in columns.items()}, counts


def candidate_counts(model: str, inputs: Mapping[str, Sequence[Any]]) -> NDArray[np.int64] | None:
    """Count the entries of jagged features in each event, the same of all; None where no feature is jagged."""
    counts: NDArray[np.int64] | None = None
    for name, columns in inputs.items():
        for column in (each for each in columns if each.ndim > 1):
            number = np.asarray(ak.num(column, axis=1)).astype(np.int64)
            if column.ndim > 2 or (counts is not None and not np.array_equal(counts, number)):
                msg = f"The features of the input {name} of {model} list different numbers of entries in some events."
                raise EventError(msg)
            counts = number
    return counts


def flat_feature(name: str, column: Any, counts: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Return the entries of a jagged feature, or the values of a flat one, repeated for each entry of its event."""
    try:
        values = np.asarray(ak.to_numpy(ak.flatten(column, axis=1) if column.ndim > 1 else column), dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"The feature {name} does not hold numbers."
        raise EventError(msg) from error
    if column.ndim > 1 or counts is None or len(counts) != len(values):
        return values
    return np.repeat(values, counts)


def _column(feature: FeatureCard, observables: Mapping[str, Any]) -> Any:
    if feature.name not in observables:
        hint = nearest(feature.name, observables)
        msg = f"The model needs the observable {feature}, which is not there{hint}."
        raise MissingColumnError(msg)
    column = observables[feature.name]
    if isinstance(column, np.ndarray):
        return column
    column = ak.Array(column)
    if "?" in str(ak.type(column)):
        # what an event lacks is no number: refused below, or missing where the model takes missing values
        column = ak.fill_none(column, np.nan, axis=-1)
    return column


def _flat(card: Card, feature: FeatureCard, column: Any) -> Floats:
    if column.ndim != 1:
        msg = f"Feature {feature.name} has lists of values but the model {card.name} takes one value an event."
        raise EventError(msg)
    return _numbers(feature, column)


def _numbers(feature: FeatureCard, column: Any) -> Floats:
    try:
        with np.errstate(over="ignore"):
            return np.asarray(ak.to_numpy(column), dtype=np.float32)
    except (TypeError, ValueError) as error:
        msg = f"Feature {feature.name} does not hold numbers."
        raise EventError(msg) from error


def _require_finite(card: Card, features: Sequence[FeatureCard], values: Floats) -> None:
    """Refuse a matrix of features with a value that is no number, naming the feature."""
    if np.isfinite(values).all():
        return
    for place, feature in enumerate(features):
        wrong = np.isinf(values[:, place]) if card.missing else ~np.isfinite(values[:, place])
        if wrong.any():
            msg = (
                f"Feature {feature.name} is not a finite number in {int(wrong.sum())} of {len(values)} "
                f"entries (the first: entry {int(np.argmax(wrong))}); the model {card.name} can't score them."
            )
            raise EventError(msg)


def _lists(card: Card, collection: CollectionCard, columns: Mapping[str, Any]) -> tuple[Floats, NDArray[np.int64]]:
    """Flatten the features of a collection's objects to [sum n, G], with the counts [N]."""
    stacked: Floats | None = None
    counts: NDArray[np.int64] | None = None
    for place, feature in enumerate(collection.features):
        column = columns[feature.name]
        if column.ndim != 2:
            msg = (
                f"Feature {feature.name} has one value an event but the model {card.name} takes a list of "
                f"{collection.name}."
            )
            raise EventError(msg)
        column = ak.Array(column)
        number = np.asarray(ak.num(column, axis=1)).astype(np.int64)
        if counts is None:
            counts = number
        elif not np.array_equal(number, counts):
            first = collection.features[0].name
            msg = f"Features {first} and {feature.name} of {collection.name} have different numbers of objects."
            raise EventError(msg)
        values = _numbers(feature, ak.flatten(column, axis=1))
        if stacked is None:
            stacked = np.empty((len(values), len(collection.features)), dtype=np.float32)
        stacked[:, place] = values
    assert stacked is not None  # noqa: S101 - a collection has at least one feature
    assert counts is not None  # noqa: S101
    _require_finite(card, collection.features, stacked)
    return stacked, counts


def _leading(values: Floats, counts: NDArray[np.int64], collection: CollectionCard) -> Floats:
    """Lay the first objects of each event side by side: [N, leading * G], object by object."""
    leading = collection.leading or 0
    fill = np.array([np.nan if value is None else value for value in collection.fill], dtype=np.float32)
    slots = np.broadcast_to(fill, (len(counts), leading, len(fill))).copy()
    starts = np.cumsum(counts) - counts
    kept = np.minimum(counts, leading)
    rows = np.repeat(np.arange(len(counts)), kept)
    within = ranges(np.zeros_like(kept), kept)
    slots[rows, within] = values[starts[rows] + within]
    return slots.reshape(len(counts), leading * len(fill))
