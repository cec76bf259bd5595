"""Networks on images in the event loop: the images are made of particles and jets when a batch is scored."""

from __future__ import annotations

import zlib
from typing import Any, ClassVar, Literal

import awkward as ak
import numpy as np
from numpy.typing import NDArray
from processors.event_images.compression import compress
from processors.event_images.sparse import SparseImages, make_images
from pydantic import Field

from colonnade.config import Settings, parse_settings
from colonnade.errors import ConfigError
from colonnade.inference import Card, Classifier, Inputs

_PARTICLE = ("pt", "eta", "phi", "mass", "charge", "pdgId")
_JET = ("pt", "eta", "phi", "width")


class ImageSettings(Settings):
    """How a network on images sees an event; the model's card keeps it as `Card.image`."""

    compression: str
    size: int = Field(default=60, ge=1)
    emf: Literal["fraction", "energy"] = "fraction"


class ImageScorer(Classifier):
    """A model whose graph takes compressed images as they are, `image [N, rows, columns, 10]`, and nothing else.

    Its card lists two collections: particles (pt, eta, phi, mass, charge, pdgId) and jets (pt, eta, phi, width),
    whatever the observables are called.
    """

    # a network on images holds megabytes of layers for each event
    batch: ClassVar[int] = 32

    def graph_inputs(self) -> dict[str, int | None]:
        """Return the names of the graph's inputs; images have no columns to be counted.

        Raises
        ------
        ConfigError
            If the card does not list particles and jets, or does not say how images are made.
        """
        if [len(collection.features) for collection in self.card.jagged()] != [len(_PARTICLE), len(_JET)]:
            msg = f"{self.path}, card: a network on images needs particles with six features and jets with four."
            raise ConfigError(msg)
        settings_of(self.card)
        return {"image": None}

    def feed(self, inputs: Inputs) -> dict[str, Any]:
        """Return the images [n, rows, columns, 10] of some events."""
        return {"image": dense_images(settings_of(self.card), sparse_images(self.card, inputs))}


def settings_of(card: Card) -> ImageSettings:
    """Return how images are made.

    Raises
    ------
    ConfigError
        If the card does not say how.
    """
    return parse_settings(ImageSettings, card.image, f"{card.name}, card, image")


def sparse_images(card: Card, inputs: Inputs) -> SparseImages:
    """Make the non-empty cells of some events' images.

    Parameters
    ----------
    card
        Of a network on images.
    inputs
        N events with its two collections.
    """
    particles, jets = (
        ak.zip(
            {
                field: ak.unflatten(inputs.objects[collection.name][:, place], inputs.counts[collection.name])
                for place, field in enumerate(fields)
            }
        )
        for collection, fields in zip(card.jagged(), (_PARTICLE, _JET), strict=True)
    )
    return make_images(particles, jets, emf=settings_of(card).emf)


def dense_images(
    settings: ImageSettings, sparse: SparseImages, rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Compress images as a network was trained on them: [N, rows, columns, 10].

    Parameters
    ----------
    settings
        How.
    sparse
        N events.
    rng
        Chooses what the stochastic compression keeps, as training does anew for each batch. Without it the choice
        follows from the event's own cells, so that an event has one score, whatever batch it is in.
    """
    if settings.compression != "stochastic" or rng is not None:
        return compress(sparse, settings.compression, size=settings.size, rng=rng).images
    images = np.zeros((len(sparse), settings.size, settings.size, 10), dtype=np.float32)
    for event in range(len(sparse)):
        one = sparse[event : event + 1]
        own = np.random.default_rng(zlib.crc32(one.values.tobytes(), zlib.crc32(one.cells.tobytes())))
        images[event] = compress(one, settings.compression, size=settings.size, rng=own).images[0]
    return images
