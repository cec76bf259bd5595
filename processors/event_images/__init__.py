"""Jagged particles and jets to event images, kept as their non-empty cells until a batch is needed."""

from __future__ import annotations

__all__ = [
    "COMPRESSIONS",
    "GRID",
    "LAYERS",
    "Grid",
    "ImageBatch",
    "ImageScorer",
    "ImageSettings",
    "SparseImages",
    "compress",
    "dense_images",
    "jet_width",
    "make_images",
    "settings_of",
    "sparse_images",
]

from processors.event_images.classifier import ImageScorer, ImageSettings, dense_images, settings_of, sparse_images
from processors.event_images.compression import COMPRESSIONS, ImageBatch, compress
from processors.event_images.sparse import GRID, LAYERS, Grid, SparseImages, jet_width, make_images
