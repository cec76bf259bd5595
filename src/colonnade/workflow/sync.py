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
    (keys, columns), (other_keys, others) = _read(mine, tree), _read(theirs, tree)
    common, here, there = np.intersect1d(keys, other_keys, assume_unique=True, return_indices=True)
    shared = [name for name in columns if name in others]
    if not shared:
        msg = f"{mine} and {theirs} have no quantity of one name; theirs are {', '.join(list(others)[:8])}."
        raise InputError(msg)
    counts: dict[str, int] = {}
    first: Difference | None = None
    for name in shared:
        values, against = columns[name][here], others[name][there]
        differs = np.flatnonzero(_differ(values, against, relative, absolute))
        counts[name] = len(differs)
        if len(differs) and (first is None or _key(common[differs[0]]) < first.event):
            place = differs[0]
            first = Difference(_key(common[place]), name, _shown(values[place]), _shown(against[place]))
    left_out = sorted(columns.keys() ^ others.keys())
    only_mine, only_theirs = (
        [_key(key) for key in np.sort(np.setdiff1d(*sides, assume_unique=True))]
        for sides in ((keys, other_keys), (other_keys, keys))
    )
    return SyncReport(len(common), only_mine, only_theirs, first, counts, left_out)


def _read(path: Path, tree: str | None) -> tuple[npt.NDArray[np.void], dict[str, ak.Array]]:
    """Return the identities of a file's events, and its other columns."""
    source = inspect_file(str(path), tree, "flat")
    missing = [name for name in IDENTITY if name not in source.columns]
    if missing:
        msg = f"{path} has no column {missing[0]}, so its events can't be told apart."
        raise InputError(msg)
    events = read_events(source, 0, source.entries, sorted(source.columns), {})
    columns = {name: ak.Array(events[name].layout) for name in ak.fields(events)}
    keys = np.empty(source.entries, dtype=[(name, np.int64) for name in IDENTITY])
    for name in IDENTITY:
        keys[name] = np.asarray(columns.pop(name))
    found, counts = np.unique(keys, return_counts=True)
    twice = found[counts > 1]
    if len(twice):
        msg = f"{path} holds the event {shown(_key(twice[0]))} twice ({len(keys) - len(found):,} such events)."
        raise InputError(msg)
    return keys, columns


def _key(key: Any) -> _Key:
    return tuple(int(number) for number in key)


def _differ(mine: ak.Array, theirs: ak.Array, relative: float, absolute: float) -> npt.NDArray[np.bool_]:
    """Tell of each event whether its values differ, numbers beyond the tolerance, all others at all."""
    if mine.ndim != theirs.ndim or not all(_numeric(each) for each in (mine, theirs)):
        return np.array([one != other for one, other in zip(mine.to_list(), theirs.to_list(), strict=True)], dtype=bool)
    if mine.ndim == 1:
        return ~_close(np.asarray(mine), np.asarray(theirs), relative, absolute)
    differs = np.asarray(ak.num(mine) != ak.num(theirs))
    alike = np.flatnonzero(~differs)
    one, other = mine[alike], theirs[alike]
    inner = _differ(ak.flatten(one), ak.flatten(other), relative, absolute)
    differs[alike] = np.asarray(ak.any(ak.unflatten(inner, ak.num(one)), axis=-1))
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
