"""The events that passed the cuts so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError
from colonnade.kinematics import take
from colonnade.processor import cutflow
from colonnade.processor.pieces import Objects, as_mask

Floats = npt.NDArray[np.float64]


@dataclass
class Passing:
    """Events, their objects and generator weights, the rows of the cutflow that led to them, and their old places."""

    events: Any
    objects: Objects
    generator: Floats
    places: npt.NDArray[np.int64]
    rows: dict[str, Floats]

    def apply(self, cuts: Mapping[str, Any]) -> None:
        """Drop the events that fail ordered cuts, and add the cuts' rows.

        Parameters
        ----------
        cuts
            Name to truth values of the present events, or to a function of the objects, which is called for the events
            that are left by the cuts before it.

        Raises
        ------
        ConfigError
            If a cut has no truth value for each event, or was applied before.
        """
        size = len(self.generator)
        # which of the events that the arrays are of are left, and pass; None: all are left
        left: npt.NDArray[np.int64] | None = None
        passed = np.ones(size, dtype=bool)
        for name, given in cuts.items():
            if name in self.rows:
                msg = f"the cut {name!r} is applied twice; name it in one of skim and preselection."
                raise ConfigError(msg)
            if callable(given):
                passed = self._keep(passed)
                left = np.flatnonzero(passed) if left is None else left[passed]
                passed = as_mask(given(self.objects), name, len(self.generator))
            else:
                mask = as_mask(given, name, size)
                passed = passed & (mask if left is None else mask[left])
            self.rows[name] = cutflow.row(self.generator, passed)
        self._keep(passed)

    def _keep(self, passed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Drop the events that did not pass; return what was passed."""
        if not passed.all():
            places = np.flatnonzero(passed)
            self.events, self.generator = take(self.events, places), self.generator[places]
            self.objects, self.places = self.objects[places], self.places[places]
        return passed
