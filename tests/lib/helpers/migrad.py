"""Fits of one spectrum by iminuit's costs, MIGRAD and HESSE: the oracle of the framework's own minimiser."""

from __future__ import annotations

import numpy as np
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL, LeastSquares


def minuit_cost(costs, expected, names, edges):
    """Return iminuit's cost function of the first row of `Costs`; `expected` maps parameters to contents of bins."""
    if costs.name == "chi2":
        variance = 1.0 / np.where(costs.factor[0] > 0, costs.factor[0], 1.0)

        # the abscissa is the bin's number, as a masked cost asks for some bins only
        def model(bins, *values):
            return expected(np.array(values))[bins.astype(np.intp)]

        index = np.arange(len(variance), dtype=np.float64)
        cost = LeastSquares(index, costs.counts[0], np.sqrt(variance), model, name=["x", *names])
        cost.mask = costs.factor[0] > 0
        return cost

    def cumulative(_, *values):
        return np.concatenate([[0.0], np.cumsum(expected(np.array(values)))])

    data = costs.counts[0]
    if costs.name == "poisson_mc":
        scale = np.where(costs.factor[0] > 0, costs.factor[0], 1.0)
        data = np.stack([data, np.where(costs.counts[0] != 0, np.abs(costs.counts[0]) / scale, 0.0)], axis=1)
    cost = ExtendedBinnedNLL(data, edges, cumulative, name=names)
    cost.mask = costs.used
    return cost


def migrad(costs, expected, start, limits, edges):
    """Minimise from a start and return Minuit after HESSE; a simplex looks for a better start if MIGRAD fails."""
    names = [f"a{index}" for index in range(len(start))]
    problem = Minuit(minuit_cost(costs, expected, names, edges), *start, name=names)
    problem.tol = 1e-3
    problem.limits = limits
    with np.errstate(all="ignore"):
        problem.migrad(ncall=20_000)
        if not problem.valid:
            problem.simplex(ncall=20_000)
            problem.migrad(ncall=20_000)
        problem.hesse()
    assert problem.valid
    return problem
