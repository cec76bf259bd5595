"""Training events in memory: inputs as the graph takes them, weights, target, and who may see which event."""

from __future__ import annotations

__all__ = ["TEST_PART", "VALIDATION_PART", "Sample", "Split", "split_events"]

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.inference import Card, Inputs, fold_of

# salts of independent divisions of the same events
_VALIDATION, _TEST = 1, 2
# one event in so many is a test event of a model of one fold, and one in so many of the others is for validation
TEST_PART = VALIDATION_PART = 5


@dataclass(frozen=True)
class Sample:
    """Events to train on or to evaluate, all of one model.

    Attributes
    ----------
    card
        The features, in order.
    inputs
        N events. Parameter columns hold the signal's own values, and not a number for background.
    weight
        [N], the number of expected events each one stands for at `luminosity`.
    target
        [N], true for signal.
    process
        [N], index into `processes`.
    regions
        [N], bit i is set when the event is in `region_names[i]`.
    identity
        run, luminosityBlock, event, each [N].
    luminosity
        In fb^-1.
    digest
        Identity of the columns the events came from.
    learned, judged
        [N], whether an event may be learned from, and whether models are judged on it; None: all.
    """

    card: Card
    inputs: Inputs
    weight: NDArray[np.float64]
    target: NDArray[np.bool_]
    process: NDArray[np.int64]
    processes: tuple[str, ...]
    regions: NDArray[np.uint64]
    region_names: tuple[str, ...]
    identity: Mapping[str, NDArray[np.int64]]
    luminosity: float
    digest: str = ""
    learned: NDArray[np.bool_] | None = None
    judged: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, rows: NDArray[np.int64]) -> Sample:
        """Return the events at these rows."""
        return Sample(
            card=self.card,
            inputs=self.inputs.take(rows),
            weight=self.weight[rows],
            target=self.target[rows],
            process=self.process[rows],
            processes=self.processes,
            regions=self.regions[rows],
            region_names=self.region_names,
            identity={name: column[rows] for name, column in self.identity.items()},
            luminosity=self.luminosity,
            digest=self.digest,
            learned=None if self.learned is None else self.learned[rows],
            judged=None if self.judged is None else self.judged[rows],
        )

    def split(self, folds: int, fold: int) -> Split:
        """Divide the events for the network of one fold: see `split_events`, and what may be learned and judged."""
        split = split_events(self.identity, folds, fold)
        return Split(
            split.train if self.learned is None else split.train[self.learned[split.train]],
            split.validation if self.learned is None else split.validation[self.learned[split.validation]],
            split.test if self.judged is None else split.test[self.judged[split.test]],
        )

    def in_region(self, name: str) -> NDArray[np.bool_]:
        """Tell which events are in a region."""
        bit = np.uint64(1) << np.uint64(self.region_names.index(name))
        inside: NDArray[np.bool_] = (self.regions & bit) != 0
        return inside

    def signals(self) -> list[str]:
        """Name the signal points that have events."""
        return [self.processes[index] for index in np.unique(self.process[self.target])]

    def points(self) -> dict[str, tuple[float, ...]]:
        """Give each signal point's parameters, in the order of the card's."""
        columns = self.card.parameter_columns()
        found: dict[str, tuple[float, ...]] = {}
        for index in np.unique(self.process[self.target]):
            row = int(np.argmax(self.target & (self.process == index)))
            found[self.processes[index]] = tuple(float(value) for value in self.inputs.event[row, columns])
        return found


@dataclass(frozen=True)
class Split:
    """Rows of a sample: to learn from, to stop early by, and never seen by the network of this fold."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_events(identity: Mapping[str, NDArray[np.int64]], folds: int, fold: int) -> Split:
    """Divide events for the network of one fold, by their identity alone.

    With several folds the test events are those of the fold itself; with one, a fifth of all. Of the others
    a fifth decides when to stop.
    """
    test = fold_of(identity, folds) == fold if folds > 1 else fold_of(identity, TEST_PART, salt=_TEST) == 0
    validation = ~test & (fold_of(identity, VALIDATION_PART, salt=_VALIDATION) == 0)
    return Split(np.flatnonzero(~test & ~validation), np.flatnonzero(validation), np.flatnonzero(test))
