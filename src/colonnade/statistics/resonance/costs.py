"""What a fit minimises: three costs, each of the size of a chi-squared, for one spectrum or many.

============ ========================================== =======================================
name         cost of a bin (content n, sum w^2 v)       use it for
============ ========================================== =======================================
poisson      2 [mu - n + n ln(n / mu)]                  data, toys, expectation at a luminosity
poisson_mc   n / v times the same                       weighted events, as many as simulated
chi2         (n - mu)^2 / v                             weighted events
============ ========================================== =======================================

The first is Baker's and Cousins' likelihood ratio (NIM 221 (1984) 437), the second Bohm's and Zech's scaled
Poisson (NIM A 748 (2014) 1), both as iminuit has them; the third is Cowan's (note "Error analysis with
weighted events"). A bin with v = 0 has no weight in `chi2`: drop it here, or merge it first
(`Spectrum.merged`). In `poisson_mc` it takes the median scale of the others; in `poisson` an empty bin counts
as what it is.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, FitError, nearest

Array = NDArray[np.float64]
CostName = Literal["poisson", "poisson_mc", "chi2"]


def check_cost(name: str) -> CostName:
    """Return the name of a cost, if it is one.

    Raises
    ------
    ConfigError
        If it is not.
    """
    for known in get_args(CostName):
        if name == known:
            return known  # type: ignore[no-any-return]  # get_args is not typed
    msg = f"there is no cost {name!r}{nearest(name, get_args(CostName))}; there are {', '.join(get_args(CostName))}."
    raise ConfigError(msg)


class Costs:
    """The cost of many spectra with the same bins.

    Parameters
    ----------
    name
        Which cost.
    counts : array of shape (rows, bins)
        Contents.
    variances : array of shape (rows, bins), optional
        Sums of squared weights; needed by `poisson_mc` and `chi2`.
    used : array of shape (bins,), optional
        Which bins count; all where left out.
    """

    def __init__(
        self,
        name: CostName,
        counts: Array,
        variances: Array | None = None,
        used: NDArray[np.bool_] | None = None,
    ) -> None:
        self.name = name
        self.counts = counts
        self.used = np.ones(counts.shape[1], dtype=np.bool_) if used is None else used
        factor = np.broadcast_to(self.used.astype(np.float64), counts.shape)
        if name != "poisson":
            if variances is None:
                msg = f"the cost {name} needs the sum of squared weights of each bin."
                raise FitError(msg)
            known = (variances > 0) & self.used
            safe = np.where(known, variances, 1.0)
            if name == "chi2":
                factor = np.where(known, 1.0 / safe, 0.0)
            else:
                scale: Array = np.where(known, np.abs(counts) / safe, np.nan)
                # as iminuit does: an empty bin is worth as much as the typical one
                filled = known.any(axis=1)
                typical = np.ones(len(counts))
                typical[filled] = np.nanmedian(scale[filled], axis=1)
                scale = np.where(np.isnan(scale), typical[:, None], scale)
                factor = np.asarray(scale * self.used, dtype=np.float64)
        self.factor = factor
        self.bins_used = (factor != 0).sum(axis=1) if name == "chi2" else np.full(len(counts), self.used.sum())

    def value(self, content: Array, rows: NDArray[np.intp] | slice = slice(None)) -> Array:
        """Cost of each row, shape (rows,); infinite where an expectation is below 0."""
        counts, factor = self.counts[rows], self.factor[rows]
        if self.name == "chi2":
            return np.asarray((factor * (counts - content) ** 2).sum(axis=1))
        filled = counts > 0
        safe = np.where(filled, counts, 1.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = content / safe - 1
            likelihood = safe * (ratio - np.log1p(ratio))
            rest = content - counts
            if (counts < 0).any():
                # the n ln n of a negative sum is left out, which keeps the right gradient
                rest = np.where(counts < 0, rest - counts * np.log(content), rest)
            each = np.where(filled, likelihood, rest)
            inside = (content > 0) | ((content == 0) & (counts == 0)) | (factor == 0)
            total = 2 * np.where(factor == 0, 0.0, factor * each).sum(axis=1)
        return np.where(inside.all(axis=1) & np.isfinite(total), total, np.inf)

    def slopes(self, content: Array, rows: NDArray[np.intp] | slice = slice(None)) -> tuple[Array, Array]:
        """First and second derivative of each bin's cost by its expectation, both (rows, bins)."""
        counts, factor = self.counts[rows], self.factor[rows]
        if self.name == "chi2":
            return 2 * factor * (content - counts), 2 * np.broadcast_to(factor, content.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(factor == 0, 0.0, counts / content)
            first = 2 * factor * (1 - ratio)
            second = 2 * factor * np.where(factor == 0, 0.0, ratio / content)
        return first, second
