"""The grid of cells in pseudorapidity and azimuth, and what is recorded in each cell."""

from __future__ import annotations

__all__ = ["GRID", "LAYERS", "Grid"]

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAYERS = ("pt_all", "n_part", "charge", "pt_mu", "pt_e", "emf", "pt_jet", "jet_width")
"""What each cell holds, in order; a compressed image adds the cell's eta and phi."""


@dataclass(frozen=True)
class Grid:
    """Square cells that cover |eta| < `eta` and the full azimuth.

    Attributes
    ----------
    rows, columns
        Cells along eta and along phi.
    cell
        Side of a cell, in eta and in radians.
    """

    rows: int = 100
    columns: int = 126
    cell: float = 0.05

    @property
    def eta(self) -> float:
        """Half the extent in pseudorapidity."""
        return self.rows * self.cell / 2

    @property
    def phi(self) -> float:
        """Half the extent in azimuth, in radians."""
        return self.columns * self.cell / 2

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return eta of each row's centre and phi of each column's, shapes (rows,) and (columns,)."""
        return (
            (np.arange(self.rows, dtype=np.float64) + 0.5) * self.cell - self.eta,
            (np.arange(self.columns, dtype=np.float64) + 0.5) * self.cell - self.phi,
        )


GRID = Grid()
"""100 x 126 cells of 0.05 x 0.05: eta in [-2.5, 2.5), phi in [-3.15, 3.15)."""
