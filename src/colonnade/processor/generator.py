"""Variations of the generator's weight: scales, parton densities, showers; each with its sum over all events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, EventError
from colonnade.processor.chunk import Chunk

Floats = npt.NDArray[np.float64]
Policy = Literal["error", "nominal"]


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
    values: npt.NDArray[Any]
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
    return _taken(events, column, tuple(places), tuple(str(i) for i in range(len(places))), of, missing, runs)


def up_down(
    events: Any, column: str, up: int, down: int, *, of: int, missing: Policy = "error", runs: str | None = None
) -> Members:
    """Take an up and a down weight out of a vector of weights, as `members` does."""
    return _taken(events, column, (up, down), ("up", "down"), of, missing, runs)


def _taken(
    events: Any,
    column: str,
    places: tuple[int, ...],
    names: tuple[str, ...],
    of: int,
    missing: Policy,
    runs: str | None,
) -> Members:
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
    return Members(names, values, bad, tuple(f"{summed}[{place}]" for place in places))


def member_sums(
    made: Mapping[str, Any], generator: Floats, where: str
) -> tuple[dict[str, GeneratorSum], dict[str, npt.NDArray[Any]]]:
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
    ratios: dict[str, npt.NDArray[Any]] = {}
    for name, given in made.items():
        if not isinstance(given, Members):
            given = _pair(name, given, len(generator))  # noqa: PLW2901
        if given.values.shape != (len(generator), len(given.names)):
            msg = f"the generator weights {name!r} are of {len(given.values)} events, not {len(generator)}, {where}."
            raise ConfigError(msg)
        wrong = len(generator) - int(np.count_nonzero(np.isfinite(given.values).all(axis=1)))
        if wrong:
            msg = f"the generator weights {name!r} are infinite or not a number in {wrong} of {len(generator)} events"
            msg = f"{msg} {where}."
            raise EventError(msg)
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
    try:
        values = np.stack(
            [np.asarray(ak.to_numpy(one, allow_missing=False), dtype=np.float64) for one in given], axis=1
        )
    except (TypeError, ValueError) as error:
        msg = f"the generator weights {name!r} must have one number for each of {events} events, up and down ({error})."
        raise ConfigError(msg) from error
    return Members(("up", "down"), values, 0, ("", ""))
