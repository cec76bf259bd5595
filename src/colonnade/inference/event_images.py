"""From the particles and jets that a network on images asks for to its images, a batch at a time."""

from __future__ import annotations

import zlib

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from colonnade.images import SparseImages, compress, make_images
from colonnade.inference.card import Card, ImageCard
from colonnade.inference.inputs import Inputs

_PARTICLE = ("pt", "eta", "phi", "mass", "charge", "pdgId")
_JET = ("pt", "eta", "phi", "width")


def sparse_images(card: Card, inputs: Inputs) -> SparseImages:
    """Make the non-empty cells of some events' images.

    Parameters
    ----------
    card
        Of a network on images.
    inputs
        N events with its two collections.
    """
    assert card.image is not None  # noqa: S101 - the caller chose by it
    particles, jets = (
        ak.zip(
            {
                field: ak.unflatten(inputs.objects[collection.name][:, place], inputs.counts[collection.name])
                for place, field in enumerate(fields)
            }
        )
        for collection, fields in zip(card.jagged(), (_PARTICLE, _JET), strict=True)
    )
    return make_images(particles, jets, emf=card.image.emf)


def dense_images(card: ImageCard, sparse: SparseImages, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
    """Compress images as a network was trained on them: [N, rows, columns, 10].

    Parameters
    ----------
    card
        How.
    sparse
        N events.
    rng
        Chooses what the stochastic compression keeps, as training does anew for each batch. Without it the choice
        follows from the event's own cells, so that an event has one score, whatever batch it is in.
    """
    if card.compression != "stochastic" or rng is not None:
        return compress(sparse, card.compression, size=card.size, rng=rng).images
    images = np.zeros((len(sparse), card.size, card.size, 10), dtype=np.float32)
    for event in range(len(sparse)):
        one = sparse[event : event + 1]
        own = np.random.default_rng(zlib.crc32(one.values.tobytes(), zlib.crc32(one.cells.tobytes())))
        images[event] = compress(one, card.compression, size=card.size, rng=own).images[0]
    return images
