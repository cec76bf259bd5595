"""From columns to a model file: weights, networks and trees, folds, export and card.

A model is declared in `models/NAME.py` with the classes below and trained by `colonnade train`. Importing
this package is light; torch and xgboost are imported by the modules that use them, when they are used.
"""

from colonnade.inference import Feature
from colonnade.training.declaration import (
    Collection,
    Dense,
    Model,
    Optimisation,
    OwnNetwork,
    Parameter,
    Search,
    SetNetwork,
    Trees,
)
from colonnade.training.model_files import load_models, load_searches

__all__ = [
    "Collection",
    "Dense",
    "Feature",
    "Model",
    "Optimisation",
    "OwnNetwork",
    "Parameter",
    "Search",
    "SetNetwork",
    "Trees",
    "load_models",
    "load_searches",
]
