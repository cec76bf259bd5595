"""From a processor's observables to the flat arrays that a graph takes, without padding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from colonnade.errors import EventError, MissingColumnError, nearest
from colonnade.inference.card import Card, CollectionCard

Floats = NDArray[np.float32]
F = TypeVar("F", bound=np.floating[Any])


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

    @cached_property
    def starts(self) -> dict[str, NDArray[np.int64]]:
        """By collection, [N]: where the objects of each event begin."""
        return {name: np.cumsum(count) - count for name, count in self.counts.items()}

    def take(self, rows: NDArray[np.int64]) -> Inputs:
        """Return the events at these rows, in this order, with their objects."""
        counts = {name: count[rows] for name, count in self.counts.items()}
        objects = {name: values[ranges(self.starts[name][rows], counts[name])] for name, values in self.objects.items()}
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
    columns = {feature.name: column_of(card.name, feature, observables) for feature in card.features()}
    lists = {c.name: _lists(card, c, columns) for c in card.collections}
    flat = {feature.name: _flat(card, feature.name, columns[feature.name]) for feature in card.event}
    sizes = {name: len(values) for name, values in flat.items()}
    count = same_length(f"Features of the model {card.name}", sizes | {name: len(c) for name, (_, c) in lists.items()})
    event = np.empty((count, card.width()), dtype=np.float32)
    for place, values in enumerate(flat.values()):
        event[:, place] = values
    place = len(flat)
    require_finite(card.name, list(flat), event[:, :place], missing=card.missing)
    for parameter in card.parameters:
        if parameters is None or parameter.name not in parameters:
            msg = f"The model {card.name} needs a value of its parameter {parameter.name} [{parameter.unit}]."
            raise MissingColumnError(msg)
        event[:, place] = parameters[parameter.name]
        place += 1
    for collection in card.collections:
        if collection.leading is not None:
            fill = np.array([np.nan if value is None else value for value in collection.fill], dtype=np.float32)
            width = collection.leading * len(fill)
            slots = first_objects(*lists[collection.name], collection.leading, fill)
            event[:, place : place + width] = slots.reshape(count, width)
            place += width
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
    columns = {feature.name: column_of(card.name, feature, observables) for feature in card.features()}
    counts = entry_counts(card.name, "event", columns.values())
    if counts is None:
        msg = f"The model {card.name} scores candidates, but none of its features is a list of them."
        raise EventError(msg)
    return {name: flat_feature(name, column, counts) for name, column in columns.items()}, counts


def entry_counts(model: str, name: str, columns: Iterable[Any]) -> NDArray[np.int64] | None:
    """Count the entries of the jagged features of an input in each event, the same of all; None where none is jagged.

    Raises
    ------
    EventError
        If they have different numbers of entries.
    """
    counts: NDArray[np.int64] | None = None
    for column in columns:
        if column.ndim > 1:
            number = np.asarray(ak.num(column, axis=1)).astype(np.int64)
            if column.ndim > 2 or (counts is not None and not np.array_equal(counts, number)):
                msg = f"The features of {name} of the model {model} list different numbers of entries in some events."
                raise EventError(msg)
            counts = number
    return counts


def flat_feature(name: str, column: Any, counts: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Return the entries of a jagged feature, or the values of a flat one, repeated for each entry of its event."""
    values = _numbers(name, ak.flatten(column, axis=1) if column.ndim > 1 else column, np.float64)
    if column.ndim > 1 or counts is None or len(counts) != len(values):
        return values
    return np.repeat(values, counts)


def column_of(model: str, feature: Any, observables: Mapping[str, Any]) -> Any:
    """Return the column of a feature, a `Feature` or a name; what an event lacks is not a number.

    Raises
    ------
    MissingColumnError
        If it is not there.
    """
    name = getattr(feature, "name", feature)
    if name not in observables:
        msg = f"The model {model} needs the observable {feature}, which is not there{nearest(name, observables)}."
        raise MissingColumnError(msg)
    column = observables[name]
    if isinstance(column, np.ndarray):
        return column
    column = ak.Array(column)
    return ak.fill_none(column, np.nan, axis=-1) if "?" in str(ak.type(column)) else column


def same_length(what: str, lengths: Mapping[str, int]) -> int:
    """Return the length that all have.

    Raises
    ------
    EventError
        If they differ.
    """
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        msg = f"{what} have different lengths: {listed}."
        raise EventError(msg)
    return next(iter(lengths.values()))


def require_finite(model: str, features: Sequence[str], values: NDArray[Any], *, missing: bool) -> None:
    """Refuse a matrix of features [R, F] with a value that is not a finite number; `missing` ones may be no number.

    Raises
    ------
    EventError
        Naming the feature.
    """
    if np.isfinite(values).all():
        return
    for place, feature in enumerate(features):
        wrong = np.isinf(values[:, place]) if missing else ~np.isfinite(values[:, place])
        if wrong.any():
            msg = (
                f"Feature {feature} is not a finite number in {int(wrong.sum())} of {len(values)} "
                f"entries (the first: entry {int(np.argmax(wrong))}); the model {model} can't score them."
            )
            raise EventError(msg)


def first_objects(
    values: NDArray[Any], counts: NDArray[np.int64], places: int, fill: NDArray[Any] | float
) -> NDArray[Any]:
    """Lay the first objects of each event side by side, [N, places, G]; places without an object hold `fill`."""
    slots = np.empty((len(counts), places, values.shape[1]), dtype=values.dtype)
    slots[:] = fill
    kept = np.minimum(counts, places)
    rows, within = np.repeat(np.arange(len(counts)), kept), ranges(np.zeros_like(kept), kept)
    slots[rows, within] = values[(np.cumsum(counts) - counts)[rows] + within]
    return slots


def _flat(card: Card, name: str, column: Any) -> Floats:
    if column.ndim != 1:
        msg = f"Feature {name} has lists of values but the model {card.name} takes one value an event."
        raise EventError(msg)
    return _numbers(name, column, np.float32)


def _numbers(name: str, column: Any, dtype: type[F]) -> NDArray[F]:
    try:
        with np.errstate(over="ignore"):
            return np.asarray(ak.to_numpy(column), dtype=dtype)
    except (TypeError, ValueError) as error:
        msg = f"Feature {name} does not hold numbers."
        raise EventError(msg) from error


def _lists(card: Card, collection: CollectionCard, columns: Mapping[str, Any]) -> tuple[Floats, NDArray[np.int64]]:
    """Flatten the features of a collection's objects to [sum n, G], with the counts [N]."""
    names = [feature.name for feature in collection.features]
    for name in names:
        if columns[name].ndim == 1:
            msg = f"Feature {name} has one value an event but the model {card.name} takes a list of {collection.name}."
            raise EventError(msg)
    counts = entry_counts(card.name, collection.name, [columns[name] for name in names])
    assert counts is not None  # noqa: S101 - there is a feature, and it is jagged
    values = np.stack([_numbers(name, ak.flatten(columns[name], axis=1), np.float32) for name in names], axis=1)
    require_finite(card.name, names, values, missing=card.missing)
    return values, counts
