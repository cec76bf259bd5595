"""Scores of events under all shifts: those of a shift that changes no input of a scorer are the nominal ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.histograms._kernels import Column
from colonnade.processor.pieces import Scorer

# observables, events and their places in the chunk, of one shift
Shifted = tuple[Mapping[str, Any], Any, npt.NDArray[np.int64]]


def score_all(scorer: Scorer, shifts: Sequence[Shifted]) -> list[Any]:
    """Score the events of each shift; what a scorer asks of the nominal ones tells what its scores depend on.

    Parameters
    ----------
    scorer
        It is called with the nominal events, and once more with those of all shifts that change a bit of its inputs.
    shifts
        For each shift what its events are, the nominal one first.

    Returns
    -------
    list
        For each shift what the scorer returns.
    """
    nominal, *others = shifts
    noted = _Noted(nominal[0])
    (scores,) = scorer.score_variations([noted], [nominal[1]])
    changed = [not _same(nominal, one, noted.asked) for one in others]
    left = [one for one, new in zip(others, changed, strict=True) if new]
    made = iter(scorer.score_variations([one[0] for one in left], [one[1] for one in left]) if left else ())
    return [scores, *(next(made) if new else scores for new in changed)]


class _Noted(Mapping[str, Any]):
    """Observables that remember which of them were asked for."""

    def __init__(self, observables: Mapping[str, Any]) -> None:
        self._observables = observables
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self._observables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._observables)

    def __len__(self) -> int:
        return len(self._observables)


def _same(nominal: Shifted, one: Shifted, names: Collection[str]) -> bool:
    """Tell whether a shift has the nominal events, with the same observables to the bit."""
    if not names or not np.array_equal(nominal[2], one[2]):
        return False
    try:
        pairs = [[Column.of(each[0][name], name, len(each[2])) for each in (nominal, one)] for name in names]
    except ConfigError:  # no numbers, or lists of lists
        return False
    return all(before.same(after) for before, after in pairs)
