"""Jagged particles and jets to event images, kept as their non-empty cells until a batch is needed."""

from __future__ import annotations

__all__ = [
    "COMPRESSIONS",
    "GRID",
    "LAYERS",
    "Grid",
    "ImageBatch",
    "SparseImages",
    "compress",
    "jet_width",
    "make_images",
]

from colonnade.images.compression import COMPRESSIONS, ImageBatch, compress
from colonnade.images.sparse import GRID, LAYERS, Grid, SparseImages, jet_width, make_images
