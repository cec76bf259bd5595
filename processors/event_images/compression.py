"""Compressing sparse images: taking out what is empty, so that a network sees less of nothing.

The three algorithms are those of M. Praderio (docs/references.md, appendix A) with its misprints corrected: in the
empty-cell compression the scan of a row goes on from its next cell and a row is closed only if something
was put into it; in the row-and-column compression the columns are tested after the rows are taken out, and
both write the new image; in the stochastic one, of more than `size` non-empty rows or columns the first
`size` are kept. What a crop loses is counted for each event, not assumed to be nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from processors.event_images.sparse import SparseImages

from colonnade.errors import ConfigError, nearest
from colonnade.kinematics.loops import compiled

COMPRESSIONS = ("cell", "row_column", "stochastic", "none")
"""Empty cells; empty rows and columns; the same, keeping random empty ones; nothing taken out."""


@dataclass(frozen=True)
class ImageBatch:
    """Dense images of some events.

    Attributes
    ----------
    images : float32 array, shape (events, rows, columns, 10)
        The eight layers, then eta and phi of the cell's centre.
    lost_cells : int64 array, shape (events,)
        Non-empty cells that the crop cut off.
    lost_pt : float64 array, shape (events,)
        The share of the particles' summed pt that was in them.
    """

    images: NDArray[np.float32]
    lost_cells: NDArray[np.int64]
    lost_pt: NDArray[np.float64]


def compress(
    sparse: SparseImages, method: str, *, size: int = 60, rng: np.random.Generator | None = None
) -> ImageBatch:
    """Turn sparse images into dense ones of `size` x `size` cells ("none": of the whole grid).

    Parameters
    ----------
    sparse
        From `make_images`.
    method
        One of `COMPRESSIONS`.
    size
        Rows and columns that are kept.
    rng
        Chooses the empty rows and columns that the stochastic compression keeps; it needs one.

    Raises
    ------
    ConfigError
        If the method is unknown, or a generator is missing.
    """
    if method not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        msg = f"there is no image compression {method!r}{nearest(method, COMPRESSIONS)}; there are: {known}."
        raise ConfigError(msg)
    grid = sparse.grid
    events = len(sparse)
    shape = (grid.rows, grid.columns) if method == "none" else (size, size)
    lost_cells, lost_pt = np.zeros(events, dtype=np.int64), np.zeros(events)
    eta, phi = (centres.astype(np.float32) for centres in grid.centres())
    if method == "none":
        images = np.empty((events, *shape, 10), dtype=np.float32)
        images[:] = _empty(eta, phi)
        _by_place(sparse.offsets, sparse.cells, sparse.values, images)
        return ImageBatch(images, lost_cells, lost_pt)
    images = np.zeros((events, *shape, 10), dtype=np.float32)
    arrays = (sparse.offsets, sparse.cells, sparse.values, eta, phi, images, lost_cells, lost_pt)
    if method == "cell":
        _by_cell(*arrays)
        return ImageBatch(images, lost_cells, lost_pt)
    if method == "stochastic":
        if rng is None:
            msg = "the stochastic image compression needs a random generator; pass rng."
            raise ConfigError(msg)
        # one random order of all rows and columns for each event: the first empty ones in it are kept
        row_order = rng.permuted(np.tile(np.arange(grid.rows), (events, 1)), axis=1)
        column_order = rng.permuted(np.tile(np.arange(grid.columns), (events, 1)), axis=1)
    else:
        row_order = column_order = np.zeros((events, 0), dtype=np.int64)
    _by_line(*arrays, row_order, column_order)
    return ImageBatch(images, lost_cells, lost_pt)


def _empty(eta: NDArray[np.float32], phi: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make the whole grid's image of nothing: the coordinates of its cells."""
    image = np.zeros((len(eta), len(phi), 10), dtype=np.float32)
    image[..., 8] = eta[:, np.newaxis]
    image[..., 9] = phi
    return image


@compiled
def _by_place(
    offsets: NDArray[np.int64],
    cells: NDArray[np.int32],
    values: NDArray[np.float32],
    images: NDArray[np.float32],
) -> None:
    """Put every cell where it is on the grid."""
    columns = images.shape[2]
    for event in range(len(offsets) - 1):
        for k in range(offsets[event], offsets[event + 1]):
            images[event, cells[k] // columns, cells[k] % columns, :8] = values[k]


@compiled
def _by_cell(
    offsets: NDArray[np.int64],
    cells: NDArray[np.int32],
    values: NDArray[np.float32],
    eta: NDArray[np.float32],
    phi: NDArray[np.float32],
    images: NDArray[np.float32],
    lost_cells: NDArray[np.int64],
    lost_pt: NDArray[np.float64],
) -> None:
    """Push the non-empty cells of each row to its start, and the non-empty rows to the top."""
    columns, size = len(phi), images.shape[1]
    for event in range(len(offsets) - 1):
        row, new_row, new_column = -1, -1, 0
        total = 0.0
        for k in range(offsets[event], offsets[event + 1]):
            if cells[k] // columns != row:
                row = cells[k] // columns
                new_row += 1
                new_column = 0
            total += values[k, 0]
            if new_row < size and new_column < size:
                images[event, new_row, new_column, :8] = values[k]
                images[event, new_row, new_column, 8] = eta[row]
                images[event, new_row, new_column, 9] = phi[cells[k] % columns]
            else:
                lost_cells[event] += 1
                lost_pt[event] += values[k, 0]
            new_column += 1
        if total > 0:
            lost_pt[event] /= total


@compiled
def _choose(filled: NDArray[np.bool_], order: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return for each line its place in the compressed image, -1 where it is taken out or cut off."""
    keep = filled.copy()
    count = int(np.sum(keep))
    for line in order:
        if count >= size:
            break
        if not keep[line]:
            keep[line] = True
            count += 1
    places = np.full(len(filled), -1)
    place = 0
    for line in range(len(filled)):
        if keep[line] and place < size:
            places[line] = place
            place += 1
    return places


@compiled
def _by_line(
    offsets: NDArray[np.int64],
    cells: NDArray[np.int32],
    values: NDArray[np.float32],
    eta: NDArray[np.float32],
    phi: NDArray[np.float32],
    images: NDArray[np.float32],
    lost_cells: NDArray[np.int64],
    lost_pt: NDArray[np.float64],
    row_order: NDArray[np.int64],
    column_order: NDArray[np.int64],
) -> None:
    """Keep whole rows, then of what they hold whole columns."""
    rows, columns = len(eta), len(phi)
    for event in range(len(offsets) - 1):
        first, last = offsets[event], offsets[event + 1]
        filled = np.zeros(rows, dtype=np.bool_)
        filled[cells[first:last] // columns] = True
        row_places = _choose(filled, row_order[event], images.shape[1])
        filled = np.zeros(columns, dtype=np.bool_)
        for k in range(first, last):
            # the stochastic compression has cut off rows by now, the other crops at its end
            if len(row_order[event]) == 0 or row_places[cells[k] // columns] >= 0:
                filled[cells[k] % columns] = True
        column_places = _choose(filled, column_order[event], images.shape[2])
        # kept lines carry their coordinates whole, empty cells included
        for row in np.flatnonzero(row_places >= 0):
            for column in np.flatnonzero(column_places >= 0):
                images[event, row_places[row], column_places[column], 8] = eta[row]
                images[event, row_places[row], column_places[column], 9] = phi[column]
        for k in range(first, last):
            row, column = row_places[cells[k] // columns], column_places[cells[k] % columns]
            if row >= 0 and column >= 0:
                images[event, row, column, :8] = values[k]
            else:
                lost_cells[event] += 1
                lost_pt[event] += values[k, 0]
        lost_pt[event] /= max(np.sum(values[first:last, 0].astype(np.float64)), 1e-30)
