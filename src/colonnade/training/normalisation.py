"""Normalising features, fitted on training events only and kept inside the graph.

By name: `none`; `minmax`, (x - min) / (max - min); `zscore`, (x - mean) / standard deviation; `batch`, the
mean and variance of each batch in training and their running average in scoring (Ioffe and Szegedy,
1502.03167); `layer`, the mean and variance over the features of one event or object (Ba, Kiros and Hinton,
1607.06450).
"""

from __future__ import annotations

__all__ = ["Scale", "fit_scale"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, nearest
from colonnade.training.declaration import NORMALISATIONS


@dataclass(frozen=True)
class Scale:
    """What a normalisation subtracts and divides by, [F] each."""

    shift: NDArray[np.float32]
    width: NDArray[np.float32]


def fit_scale(name: str, values: NDArray[np.float32]) -> Scale:
    """Fit a fixed scale to training values [n, F]; `batch` and `layer` leave it to the network.

    A feature that is constant is only shifted. Values that are not numbers (parameters of background) are
    left out.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    if name not in NORMALISATIONS:
        msg = f"normalisation = '{name}' is unknown{nearest(name, NORMALISATIONS)}; choose one of "
        msg += f"{', '.join(NORMALISATIONS)}."
        raise ConfigError(msg)
    features = values.shape[1]
    shift, width = np.zeros(features), np.ones(features)
    if name in ("minmax", "zscore") and len(values):
        for place in range(features):
            column = values[:, place].astype(np.float64)
            column = column[np.isfinite(column)]
            if not len(column):
                continue
            if name == "minmax":
                shift[place], width[place] = column.min(), column.max() - column.min()
            else:
                shift[place], width[place] = column.mean(), column.std()
    width[width == 0] = 1.0
    return Scale(shift.astype(np.float32), width.astype(np.float32))
