"""Normalising features, fitted on training events only and kept inside the graph.

By name: `none`; `minmax`, (x - min) / (max - min); `zscore`, (x - mean) / standard deviation; `asinh`, the same as
`zscore` of arsinh(x / median |x|), which brings in the tails of momenta and masses and leaves bounded features nearly
as they are; `batch`, the mean and variance of each batch in training and their running average in scoring (Ioffe and
Szegedy, 1502.03167); `layer`, the mean and variance over the features of one event or object (Ba, Kiros and Hinton,
1607.06450).
"""

from __future__ import annotations

__all__ = ["Scale", "fit_scale"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colonnade.training.declaration import NORMALISATIONS, check_name


@dataclass(frozen=True)
class Scale:
    """What a normalisation subtracts and divides by, [F] each; with `knee`, from arsinh(x / knee)."""

    shift: NDArray[np.float32]
    width: NDArray[np.float32]
    knee: NDArray[np.float32] | None = None


def fit_scale(name: str, values: NDArray[np.float32]) -> Scale:
    """Fit a fixed scale to training values [n, F]; `batch` and `layer` leave it to the network.

    A feature that is constant is only shifted. Values that are not numbers (parameters of background) are
    left out.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    check_name("normalisation", name, NORMALISATIONS)
    features = values.shape[1]
    shift, width, knee = np.zeros(features), np.ones(features), np.ones(features)
    if name in ("minmax", "zscore", "asinh") and len(values):
        for place in range(features):
            column = values[:, place].astype(np.float64)
            column = column[np.isfinite(column)]
            if not len(column):
                continue
            if name == "minmax":
                shift[place], width[place] = column.min(), column.max() - column.min()
                continue
            if name == "asinh":
                # where most values are 0 the median says nothing of the others
                knee[place] = np.median(np.abs(column)) or 1.0
                column = np.arcsinh(column / knee[place])
            shift[place], width[place] = column.mean(), column.std()
    width[width == 0] = 1.0
    return Scale(
        shift.astype(np.float32), width.astype(np.float32), knee.astype(np.float32) if name == "asinh" else None
    )
