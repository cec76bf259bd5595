"""From columns to a model file: weights, networks and trees, folds, export and card.

A model is declared in `models/NAME.py` with the classes below and trained by `colonnade train`. Importing
this package is light; torch and xgboost are imported by the modules that use them, when they are used.
"""

from __future__ import annotations

from colonnade.training.declaration import (
    Collection,
    Dense,
    Feature,
    Model,
    Optimisation,
    Parameter,
    SetNetwork,
    Trees,
)
from colonnade.training.image_declaration import ImageModel, ImageNetwork, ImageStudy, ImageTraining
from colonnade.training.model_files import load_comparisons, load_image_studies, load_models, load_scans, load_searches
from colonnade.training.studies import Channel, Comparison, Search
from colonnade.training.transfer_declaration import MassScan, Regression, Transfer

__all__ = [
    "Channel",
    "Collection",
    "Comparison",
    "Dense",
    "Feature",
    "ImageModel",
    "ImageNetwork",
    "ImageStudy",
    "ImageTraining",
    "MassScan",
    "Model",
    "Optimisation",
    "Parameter",
    "Regression",
    "Search",
    "SetNetwork",
    "Transfer",
    "Trees",
    "load_comparisons",
    "load_image_studies",
    "load_models",
    "load_scans",
    "load_searches",
]
