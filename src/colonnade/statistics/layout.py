"""How a model lies in memory: index arrays and sparse matrices that its likelihood is evaluated with.

A cell is one bin of one sample; cells are ordered by bin, so that a bin's expectation is the sum of a run of cells. A
row is one sample in one channel, whose cells share their yield factors. The component after the last parameter is the
constant 1: it stands where a cell or row has nothing to be multiplied with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colonnade.statistics.formula import Formula
from colonnade.statistics.interpolation import Factors
from colonnade.statistics.model import Channel, Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Matrix = Any  # a scipy.sparse.csr_array, which comes without types


@dataclass(frozen=True, slots=True)
class Constraints:
    """Auxiliary measurements: the parameters, widths and places in the auxiliary data of each kind.

    `sigma` are the widths of normal constraints above the measured value, `below` those below it.
    """

    auxdata: Floats
    normal: Ints
    sigma: Floats
    below: Floats
    normal_aux: Ints
    poisson: Ints
    tau: Floats
    poisson_aux: Ints


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells: nominal yields (cells, 1), the bin and row of each, where each bin begins."""

    rows: tuple[tuple[Channel, Sample], ...]
    nominal: Floats
    bin: Ints
    row: Ints
    starts: Ints
    of_row: tuple[Ints, ...]
    row_sum: Matrix


@dataclass(frozen=True, slots=True)
class Templates:
    """Which rows are cut off below and brought to their sum again, as Combine's templates are.

    `floor` (cells, 1) is the least content of each cell before its factors; `total` (rows, 1) is the sum that a row is
    brought to, 0 where it is left as it is. `logarithmic` (cells, 1) marks cells whose shapes act on the logarithm.
    `present` tells whether any row is not plain.
    """

    floor: Floats
    total: Floats
    logarithmic: NDArray[np.bool_]
    present: bool


@dataclass(frozen=True, slots=True)
class FormulaFactor:
    """A formula, its parameters (n,), and where it stands among the row factors: (uses, n), a place a parameter."""

    formula: Formula
    parameter: Ints
    places: Ints


@dataclass(frozen=True, slots=True)
class RowFactors:
    """Factors on whole rows: normfactors, luminosities (linear), normsys and formulas, ordered by row."""

    row: Ints
    parameter: Ints
    linear: Ints
    normsys: Ints
    unique: Ints
    unique_parameter: Ints
    factors: Factors
    starts: Ints
    gradient: Matrix
    formulas: tuple[FormulaFactor, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Additive shapes: a cell changes by odd * alpha + even * q(alpha) of each of its shape parameters (columns)."""

    parameter: Ints
    smooth: NDArray[np.bool_]
    region: Floats
    odd: Matrix
    even: Matrix
    odd_t: Matrix
    even_t: Matrix
    gradient: Matrix
    cell: Ints
    column: Ints
    odd_values: Floats
    even_values: Floats


@dataclass(frozen=True, slots=True)
class Gammas:
    """Factors on single cells, in layers: the parameter of each cell in each layer."""

    layers: tuple[Ints, ...]
    used: tuple[Ints, ...]
    gradients: tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Combine's bin-wise errors: the variance of each cell (cells, 1) and the parameter of each bin, -1 for none."""

    variance: Floats
    parameter: Ints
    bins: Ints

    @property
    def present(self) -> bool:
        """Whether there are any."""
        return len(self.bins) > 0


@dataclass(frozen=True, slots=True)
class Jacobian:
    """How derivatives of the bins are put together.

    A local parameter is held by a constraint and moves one bin alone, and each bin has at most one; it needs no column
    of its own. `local` is that parameter of each bin (-1 for none), `columns` are the other parameters, and `sum` adds
    the entries of all (cell, modifier) pairs of the columns into a (bins * columns) vector.
    """

    local: Ints
    columns: Ints
    cell: Ints
    factor: Ints
    shape: Ints
    gamma: tuple[Ints, ...]
    statistic: Ints
    local_layer: tuple[Ints, ...]
    sum: Matrix


@dataclass(frozen=True, slots=True)
class Second:
    """How second derivatives of the bins, weighted and summed over them, are put together.

    Of two yield factors of one row they are the product of both slopes, which `factor_place` (rows * columns, factors)
    puts in their places; likewise `shape_place` (rows * columns, entries of shapes) for a yield factor with a shape.
    What is left are `left`, `right` (places in the row factors): a factor with itself, and two parameters of one
    formula, which `joint` (formula, uses, n, n; -1 for none) finds among them; and a shape with itself (`bend`). `sum`
    adds these into a (columns * columns) vector. `row_shape` sums the entries of shapes by (row, shape) pairs, `pair`
    is that of each entry. Factors on single cells other than the bins' own are left out.
    """

    left: Ints
    right: Ints
    joint: tuple[Ints, ...]
    factor_place: Matrix
    shape_place: Matrix
    row_shape: Matrix
    pair: Ints
    bend: Matrix
    sum: Matrix


@dataclass(frozen=True, slots=True)
class Layout:
    """All of it."""

    constraints: Constraints
    cells: Cells
    templates: Templates
    rows: RowFactors
    shapes: Shapes
    gammas: Gammas
    statistics: Statistics
    jacobian: Jacobian
    second: Second
    folded: Ints
    turning: tuple[tuple[Ints, Ints, Floats, Floats], ...]
