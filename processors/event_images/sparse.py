"""Event images as lists of their non-empty cells: a few hundred of 12,600."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, EventError
from colonnade.kinematics.loops import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ELECTRON, _MUON, _PHOTON = 11, 13, 22


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


@dataclass(frozen=True)
class SparseImages:
    """The non-empty cells of some events' images, events one after the other, cells in row-major order.

    Attributes
    ----------
    offsets : int64 array, shape (events + 1,)
        Event i has the cells ``offsets[i]:offsets[i + 1]``.
    cells : int32 array, shape (cells,)
        ``row * columns + column``.
    values : float32 array, shape (cells, 8)
        What each holds, see `LAYERS`; momenta and energies in GeV.
    outside : int64 array, shape (events,)
        Particles and jets beyond the grid in pseudorapidity, which are in no image.
    grid : Grid
        The grid.
    """

    offsets: Ints
    cells: NDArray[np.int32]
    values: NDArray[np.float32]
    outside: Ints
    grid: Grid = GRID

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, events: slice) -> SparseImages:
        start, stop, step = events.indices(len(self))
        if step != 1:
            msg = "images are taken in runs of neighbouring events; give a slice without a step."
            raise IndexError(msg)
        stop = max(start, stop)
        first, last = self.offsets[start], self.offsets[stop]
        return SparseImages(
            self.offsets[start : stop + 1] - first,
            self.cells[first:last],
            self.values[first:last],
            self.outside[start:stop],
            self.grid,
        )

    def take(self, events: Ints) -> SparseImages:
        """Return the images of the events at these places, in this order."""
        counts = np.diff(self.offsets)[events]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        cells = np.arange(offsets[-1]) + np.repeat(self.offsets[events] - offsets[:-1], counts)
        return SparseImages(offsets, self.cells[cells], self.values[cells], self.outside[events], self.grid)

    @staticmethod
    def join(parts: Sequence[SparseImages]) -> SparseImages:
        """Put the images of several samples one after the other.

        Raises
        ------
        ConfigError
            If there are none, or of different grids.
        """
        if len({part.grid for part in parts}) != 1:
            msg = "only images of one grid can be put together; give at least one sample, all of the same grid."
            raise ConfigError(msg)
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        return SparseImages(
            np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.outside for part in parts]),
            parts[0].grid,
        )


def make_images(
    particles: Any, jets: Any, *, emf: Literal["fraction", "energy"] = "fraction", grid: Grid = GRID
) -> SparseImages:
    """Sum particles and jets into the cells they point at.

    Parameters
    ----------
    particles
        Jagged records with pt, eta, phi, mass (GeV), charge and pdgId.
    jets
        Jagged records with pt, eta, phi and width (see `jet_width`), with as many events.
    emf
        The electromagnetic layer: "fraction", the share of the cell's energy that electrons and photons
        carry, or "energy", that energy itself in GeV (neutral pions have decayed to photons).
    grid
        The cells.

    Returns
    -------
    SparseImages
        The layers of `LAYERS`. A cell that several jets point at holds the sum of their pt, and of their widths
        the mean weighted by pt.

    Raises
    ------
    EventError
        If a momentum or angle is not a number.

    Notes
    -----
    The layers are those of M. Praderio (docs/references.md, section 4.1), who defines the electromagnetic fraction as
    an energy, so both are offered.
    """
    if len(particles) != len(jets):
        msg = f"images need as many events of particles ({len(particles)}) as of jets ({len(jets)})."
        raise EventError(msg)
    pt, eta, phi, mass, charge, pdg = (
        _flat(particles, name) for name in ("pt", "eta", "phi", "mass", "charge", "pdgId")
    )
    jet_pt, jet_eta, jet_phi, width = (_flat(jets, name) for name in ("pt", "eta", "phi", "width"))
    starts, cells, values, outside = _fill(
        _offsets(particles), pt, eta, phi, mass, charge, pdg, _offsets(jets), jet_pt, jet_eta, jet_phi, width,
        emf == "fraction", grid.rows, grid.columns, grid.cell,
    )  # fmt: skip
    return SparseImages(starts, cells, values, outside, grid)


def jet_width(jets: Any, particles: Any, radius: float = 0.4) -> ak.Array:
    r"""Return each jet's width, the mean distance of its particles from its axis, weighted by their pt.

    .. math:: w = \sum_i p_{T,i} \Delta R_i / \sum_i p_{T,i}, \quad \Delta R_i < R

    Parameters
    ----------
    jets, particles
        Jagged records with pt, eta and phi.
    radius
        How far from the axis a particle counts.

    Returns
    -------
    ak.Array
        Jagged as the jets; 0 for a jet without particles.

    Notes
    -----
    ATLAS, arXiv:1107.2381, uses this width with the jet's constituents.
    """
    jet_eta, jet_phi = (_flat(jets, name) for name in ("eta", "phi"))
    pt, eta, phi = (_flat(particles, name) for name in ("pt", "eta", "phi"))
    widths = _widths(_offsets(jets), jet_eta, jet_phi, _offsets(particles), pt, eta, phi, radius)
    return ak.unflatten(widths, ak.num(jets))


def _offsets(jagged: Any) -> Ints:
    counts = np.asarray(ak.num(jagged), dtype=np.int64)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def _flat(jagged: Any, name: str) -> Floats:
    values = np.asarray(ak.flatten(jagged[name]), dtype=np.float64)
    if not np.all(np.isfinite(values)):
        bad = np.count_nonzero(~np.isfinite(values))
        msg = f"an image needs numbers, but {name} holds {bad} values that are none."
        raise EventError(msg)
    return values


@compiled
def _cell(eta: float, phi: float, rows: int, columns: int, side: float) -> int:
    """Return the cell's number, -1 outside."""
    row = int(np.floor(eta / side + rows / 2))
    if row < 0 or row >= rows:
        return -1
    turn = phi - 2 * np.pi * np.round(phi / (2 * np.pi))
    column = int(np.floor(turn / side + columns / 2))
    return row * columns + min(max(column, 0), columns - 1)


@compiled
def _add_particle(entry: Floats, pt: float, eta: float, mass: float, charge: float, pdg: float) -> None:
    kind = abs(int(pdg))
    momentum = pt * np.cosh(eta)
    energy = np.sqrt(momentum * momentum + mass * mass)
    entry[0] += pt
    entry[1] += 1
    entry[2] += charge
    if kind == _MUON:
        entry[3] += pt
    if kind == _ELECTRON:
        entry[4] += pt
    if kind in (_ELECTRON, _PHOTON):
        entry[5] += energy
    entry[8] += energy


@compiled
def _finish(entry: Floats, fraction: bool) -> None:
    """Turn sums into the electromagnetic fraction and the mean width."""
    if fraction and entry[8] > 0:
        entry[5] /= entry[8]
    if entry[6] > 0:
        entry[7] /= entry[6]


@compiled
def _fill(
    offsets: Ints,
    pt: Floats,
    eta: Floats,
    phi: Floats,
    mass: Floats,
    charge: Floats,
    pdg: Floats,
    jet_offsets: Ints,
    jet_pt: Floats,
    jet_eta: Floats,
    jet_phi: Floats,
    width: Floats,
    fraction: bool,
    rows: int,
    columns: int,
    side: float,
) -> tuple[Ints, NDArray[np.int32], NDArray[np.float32], Ints]:
    events = len(offsets) - 1
    most = len(pt) + len(jet_pt)  # no more cells than things to put in them
    cells = np.empty(most, dtype=np.int32)
    values = np.empty((most, 8), dtype=np.float32)
    starts = np.zeros(events + 1, dtype=np.int64)
    outside = np.zeros(events, dtype=np.int64)
    board = np.zeros((rows * columns, 9))  # the ninth is the cell's energy, which the fraction needs
    where = np.empty(most, dtype=np.int64)  # each thing's cell
    total = 0
    for event in range(events):
        first, last = offsets[event], offsets[event + 1]
        jet_first, jet_last = jet_offsets[event], jet_offsets[event + 1]
        count = 0
        for i in range(first, last):
            cell = _cell(eta[i], phi[i], rows, columns, side)
            if cell >= 0:
                _add_particle(board[cell], pt[i], eta[i], mass[i], charge[i], pdg[i])
                where[count] = cell
                count += 1
        for i in range(jet_first, jet_last):
            cell = _cell(jet_eta[i], jet_phi[i], rows, columns, side)
            if cell >= 0:
                board[cell, 6] += jet_pt[i]
                board[cell, 7] += jet_pt[i] * width[i]
                where[count] = cell
                count += 1
        outside[event] = last - first + jet_last - jet_first - count
        for cell in np.unique(where[:count]):
            _finish(board[cell], fraction)
            cells[total] = cell
            values[total] = board[cell, :8]
            board[cell] = 0
            total += 1
        starts[event + 1] = total
    return starts, cells[:total].copy(), values[:total].copy(), outside


@compiled
def _widths(
    jet_offsets: Ints,
    jet_eta: Floats,
    jet_phi: Floats,
    offsets: Ints,
    pt: Floats,
    eta: Floats,
    phi: Floats,
    radius: float,
) -> Floats:
    widths = np.zeros(len(jet_eta))
    for event in range(len(jet_offsets) - 1):
        for j in range(jet_offsets[event], jet_offsets[event + 1]):
            top, bottom = 0.0, 0.0
            for i in range(offsets[event], offsets[event + 1]):
                turn = phi[i] - jet_phi[j]
                turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
                distance = np.sqrt((eta[i] - jet_eta[j]) ** 2 + turn**2)
                if distance < radius:
                    top += pt[i] * distance
                    bottom += pt[i]
            if bottom > 0:
                widths[j] = top / bottom
    return widths
