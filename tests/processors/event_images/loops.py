"""Images and their compressions as plain loops over cells, step by step as the document's pseudo-code."""

from __future__ import annotations

import math

import numpy as np


def dense_image(particles: list[dict], jets: list[dict], rows: int, columns: int, cell: float, fraction: bool):
    image = np.zeros((rows, columns, 10))
    energies = np.zeros((rows, columns))
    outside = 0

    def place(thing):
        phi = math.remainder(thing["phi"], 2 * math.pi)
        i = math.floor(thing["eta"] / cell + rows / 2)
        j = math.floor(phi / cell + columns / 2)
        return (i, min(max(j, 0), columns - 1)) if 0 <= i < rows else None

    for particle in particles:
        where = place(particle)
        if where is None:
            outside += 1
            continue
        energy = math.sqrt((particle["pt"] * math.cosh(particle["eta"])) ** 2 + particle["mass"] ** 2)
        image[where][0] += particle["pt"]
        image[where][1] += 1
        image[where][2] += particle["charge"]
        image[where][3] += particle["pt"] if abs(particle["pdgId"]) == 13 else 0
        image[where][4] += particle["pt"] if abs(particle["pdgId"]) == 11 else 0
        image[where][5] += energy if abs(particle["pdgId"]) in (11, 22) else 0
        energies[where] += energy
    for jet in jets:
        where = place(jet)
        if where is None:
            outside += 1
            continue
        image[where][6] += jet["pt"]
        image[where][7] += jet["pt"] * jet["width"]
    for i in range(rows):
        for j in range(columns):
            if fraction and energies[i, j]:
                image[i, j, 5] /= energies[i, j]
            if image[i, j, 6]:
                image[i, j, 7] /= image[i, j, 6]
            image[i, j, 8] = (i + 0.5) * cell - rows * cell / 2
            image[i, j, 9] = (j + 0.5) * cell - columns * cell / 2
    return image, outside


def empty(cells) -> bool:
    return all(value == 0 for value in np.ravel(cells))


def by_cell(image, size):
    rows, columns, _ = image.shape
    new = np.zeros_like(image)
    i_new = 0
    for i in range(rows):
        j_new = 0
        for j in range(columns):
            if not empty(image[i, j, :8]):
                for k in range(10):
                    new[i_new, j_new, k] = image[i, j, k]
                j_new += 1
        if j_new > 0:
            i_new += 1
    return crop(new, size)


def by_row_and_column(image, size):
    rows, columns, _ = image.shape
    first = np.zeros_like(image)
    i_new = 0
    for i in range(rows):
        if not empty(image[i, :, :8]):
            for j in range(columns):
                for k in range(10):
                    first[i_new, j, k] = image[i, j, k]
            i_new += 1
    second = np.zeros_like(image)
    j_new = 0
    for j in range(columns):
        if not empty(first[:, j, :8]):
            for i in range(rows):
                for k in range(10):
                    second[i, j_new, k] = first[i, j, k]
            j_new += 1
    return crop(second, size)


def fill_up(kept, order, size):
    for line in order:
        if len(kept) < size and line not in kept:
            kept.append(line)
    return kept


def stochastic(image, size, row_order, column_order):
    """The random choices are given as orders in which empty rows and columns are taken."""
    rows, columns, _ = image.shape
    kept = fill_up([i for i in range(rows) if not empty(image[i, :, :8])], row_order, size)
    first = np.zeros_like(image)
    for i_new, i in enumerate(sorted(kept)[:size]):
        for j in range(columns):
            for k in range(10):
                first[i_new, j, k] = image[i, j, k]
    kept = fill_up([j for j in range(columns) if not empty(first[:, j, :8])], column_order, size)
    second = np.zeros_like(image)
    for j_new, j in enumerate(sorted(kept)[:size]):
        for i in range(rows):
            for k in range(10):
                second[i, j_new, k] = first[i, j, k]
    return crop(second, size)


def crop(image, size):
    padded = np.zeros((size, size, 10))
    rows, columns = min(size, image.shape[0]), min(size, image.shape[1])
    padded[:rows, :columns] = image[:rows, :columns]
    return padded
