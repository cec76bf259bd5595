"""Comparing two sets of events, as two groups of one analysis do: which events and which quantities differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import InputError
from colonnade.events import inspect_file, read_events
from colonnade.inference import IDENTITY

_PART = 200_000  # events that are read at once
_Key = tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """One quantity of one event that is not the same on both sides; the values as text."""

    event: _Key
    quantity: str
    mine: str
    theirs: str


@dataclass(frozen=True)
class SyncReport:
    """What a comparison found.

    Attributes
    ----------
    common
        Events on both sides.
    only_mine, only_theirs
        Events on one side, in order of run, luminosity block and event.
    first
        The first event and quantity that differ, if any.
    counts
        For each compared quantity, in how many events it differs.
    left_out
        Quantities on one side alone.
    """

    common: int
    only_mine: Sequence[_Key]
    only_theirs: Sequence[_Key]
    first: Difference | None
    counts: Mapping[str, int]
    left_out: Sequence[str]

    @property
    def same(self) -> bool:
        """Whether both sides hold the same events with the same values."""
        return self.first is None and not self.only_mine and not self.only_theirs


@dataclass(frozen=True)
class _Side:
    path: Path
    keys: npt.NDArray[np.int64]
    columns: Mapping[str, ak.Array]


def synchronise(
    mine: Path, theirs: Path, *, relative: float = 1e-6, absolute: float = 0.0, tree: str | None = None
) -> SyncReport:
    """Compare two files event by event; events are found by run, luminosity block and event, in any order.

    Parameters
    ----------
    mine, theirs
        ROOT (TTree or RNTuple), parquet or CSV files, which need not be of one kind. Columns of the same name are
        compared.
    relative, absolute
        Numbers a and b are the same if abs(a - b) <= absolute + relative * abs(b), or both are not numbers.
    tree
        The tree in ROOT files, where there are several.

    Raises
    ------
    InputError
        If a file can't be read, does not identify its events, or holds one twice; or if no quantity is on both sides.
    """
    one, other = _read(mine, tree), _read(theirs, tree)
    order_mine, order_theirs = _order(one), _order(other)
    keys_mine, keys_theirs = one.keys[order_mine], other.keys[order_theirs]
    here, there = _matched(keys_mine, keys_theirs)
    shared = [name for name in one.columns if name in other.columns]
    if not shared:
        msg = f"{mine} and {theirs} have no quantity of one name; theirs are {', '.join(list(other.columns)[:8])}."
        raise InputError(msg)
    counts: dict[str, int] = {}
    first: tuple[int, str] | None = None
    for name in shared:
        differs = _differ(
            one.columns[name][order_mine[here]], other.columns[name][order_theirs[there]], relative, absolute
        )
        counts[name] = int(np.count_nonzero(differs))
        if counts[name] and (first is None or int(np.argmax(differs)) < first[0]):
            first = int(np.argmax(differs)), name
    found = None
    if first is not None:
        place, name = first
        values = (one.columns[name][order_mine[here[place]]], other.columns[name][order_theirs[there[place]]])
        found = Difference(_key(keys_mine[here[place]]), name, *(_shown(value) for value in values))
    left_out = sorted(set(one.columns) ^ set(other.columns))
    return SyncReport(len(here), _others(keys_mine, here), _others(keys_theirs, there), found, counts, left_out)


def _read(path: Path, tree: str | None) -> _Side:
    source = inspect_file(str(path), tree, "flat")
    missing = [name for name in IDENTITY if name not in source.columns]
    if missing:
        msg = f"{path} has no column {missing[0]}, so its events can't be told apart."
        raise InputError(msg)
    parts: dict[str, list[ak.Array]] = {}
    for start in range(0, source.entries, _PART):
        events = read_events(source, start, min(start + _PART, source.entries), sorted(source.columns), {})
        for name in ak.fields(events):
            parts.setdefault(name, []).append(ak.Array(events[name].layout))
    columns = {name: ak.concatenate(arrays) for name, arrays in parts.items()}
    keys = [np.asarray(columns.pop(name, np.empty(0))).astype(np.int64) for name in IDENTITY]
    return _Side(path, np.stack(keys, axis=1), columns)


def _order(side: _Side) -> npt.NDArray[np.int64]:
    """Return the order of run, luminosity block and event."""
    order = np.lexsort(side.keys.T[::-1])
    keys = side.keys[order]
    twice = np.flatnonzero(np.all(keys[1:] == keys[:-1], axis=1))
    if len(twice):
        msg = f"{side.path} holds the event {shown(_key(keys[twice[0]]))} twice ({len(twice):,} such events)."
        raise InputError(msg)
    return order


def _matched(mine: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64]) -> tuple[Any, Any]:
    """Return the places of events that are on both sides, whose keys are in order."""
    both = np.concatenate([mine, theirs])
    _, numbers = np.unique(both, axis=0, return_inverse=True)
    numbers = numbers.reshape(-1)
    _, here, there = np.intersect1d(numbers[: len(mine)], numbers[len(mine) :], assume_unique=True, return_indices=True)
    return here, there


def _others(keys: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> list[_Key]:
    left = np.ones(len(keys), dtype=bool)
    left[places] = False
    return [_key(key) for key in keys[left]]


def _key(key: npt.NDArray[np.int64]) -> _Key:
    return tuple(int(number) for number in key)


def _differ(mine: ak.Array, theirs: ak.Array, relative: float, absolute: float) -> npt.NDArray[np.bool_]:
    """Tell of each event whether its values differ, numbers beyond the tolerance, all others at all."""
    if mine.ndim != theirs.ndim or not all(_numeric(each) for each in (mine, theirs)):
        return np.array([one != other for one, other in zip(mine.to_list(), theirs.to_list(), strict=True)], dtype=bool)
    if mine.ndim == 1:
        return ~_close(np.asarray(mine), np.asarray(theirs), relative, absolute)
    differs = np.asarray(ak.num(mine) != ak.num(theirs))
    alike = np.flatnonzero(~differs)
    # of lists of lists, each inner one counts as a value
    if mine.ndim > 2:
        lengths = [ak.num(each[alike], axis=2) for each in (mine, theirs)]
        differs[alike] = np.asarray(ak.any(lengths[0] != lengths[1], axis=-1))
        alike = np.flatnonzero(~differs)
    one, other = mine[alike], theirs[alike]
    flat, against = (np.asarray(ak.flatten(each, axis=None)) for each in (one, other))
    counts = np.asarray(ak.count(ak.flatten(one, axis=2) if one.ndim > 2 else one, axis=-1))
    differs[alike] = ~np.asarray(ak.all(ak.unflatten(_close(flat, against, relative, absolute), counts), axis=-1))
    return differs


def _numeric(array: ak.Array) -> bool:
    try:
        return np.asarray(ak.flatten(array, axis=None)).dtype.kind in "biuf"
    except ValueError:
        return False


def _close(mine: Any, theirs: Any, relative: float, absolute: float) -> npt.NDArray[np.bool_]:
    if mine.dtype.kind in "biu" and theirs.dtype.kind in "biu":
        return np.asarray(mine == theirs)
    mine, theirs = mine.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isclose(mine, theirs, rtol=relative, atol=absolute, equal_nan=True))


def _shown(value: Any) -> str:
    plain = value.to_list() if hasattr(value, "to_list") else value
    return "nan" if isinstance(plain, float) and math.isnan(plain) else f"{plain!s}"


def shown(event: _Key) -> str:
    """Return an event's identity as CMS writes it, run:block:event."""
    return ":".join(map(str, event))
