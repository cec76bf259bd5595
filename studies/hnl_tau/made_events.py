"""Made events for the regression: three leptons and missing momentum drawn on the device that trains.

The distributions are those of the study that docs/hnl_tau.md follows: transverse momenta follow exponentials that were
fitted to simulated events there, all else is flat.
"""

from __future__ import annotations

__all__ = ["LEPTONS", "MISSING", "Bounds", "draw_events", "inside"]

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from processors.three_leptons import INPUTS, THREE_LEPTON_TARGETS, three_lepton_targets

# (lambda in 1/GeV, c) of pT = (c - ln(1 - u)) / lambda, u uniform, for leptons 1, 2, 3
LEPTONS = ((0.02537, 0.4934), (0.01915, 0.3995), (0.02304, 0.3138))
MISSING = (0.01408, 0.1354)
_ETA, _MASS = 2.5, 11.0


def draw_events(count: int, generator: Any) -> Any:
    """Draw events on the generator's device.

    Parameters
    ----------
    count
        How many.
    generator
        A `torch.Generator`.

    Returns
    -------
    tensor [count, 14]
        Columns as in `INPUTS`, GeV and radians.
    """
    uniform = torch.rand((len(INPUTS), count), generator=generator, device=generator.device)
    rows = []
    for place, (rate, shift) in enumerate(LEPTONS):
        eta, mass, phi, pt = uniform[4 * place : 4 * place + 4]
        rows += [_ETA * (2 * eta - 1), _MASS * mass, math.pi * (2 * phi - 1), (shift - torch.log1p(-pt)) / rate]
    rate, shift = MISSING
    rows += [(shift - torch.log1p(-uniform[12])) / rate, math.pi * (2 * uniform[13] - 1)]
    return torch.stack(rows, 1)


@dataclass(frozen=True)
class Bounds:
    """The range of each target in simulated events.

    Attributes
    ----------
    low, high
        [112], in GeV and radians.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    @classmethod
    def of(cls, inputs: NDArray[np.float32], percentiles: tuple[float, float]) -> Bounds:
        """Take the percentiles of the targets of events.

        Parameters
        ----------
        inputs
            [N, 14].
        percentiles
            Lower and upper one.
        """
        targets = three_lepton_targets(np.asarray(inputs, dtype=np.float64))
        low, high = np.percentile(targets, percentiles, axis=0).astype(np.float32)
        return cls(low, high)


def inside(targets: Any, bounds: Bounds) -> Any:
    """Tell which events have all targets within the bounds: [N] of bool.

    Parameters
    ----------
    targets
        [N, 112] on any device.
    bounds
        The ranges.
    """
    assert targets.shape[1] == len(THREE_LEPTON_TARGETS)  # noqa: S101 - columns as named
    low, high = (torch.from_numpy(side).to(targets.device) for side in (bounds.low, bounds.high))
    return ((targets >= low) & (targets <= high)).all(dim=1)
