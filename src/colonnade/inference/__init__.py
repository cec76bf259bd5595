"""ONNX classifiers on jagged input, scored inside the event loop.

A model is one file: the graph, its normalisation and its `Card` (what it eats, in which order and units,
what it was trained on, how well it does). `Classifier.load` refuses a file whose parts disagree;
`scorers_of` refuses one that does not match the processor; `Classifier.score` takes the processor's own
observables, jagged where they are. `OnnxScorer` scores with a file that others trained, whose inputs are declared.
"""

from colonnade.inference.card import (
    CARD_KEY,
    IDENTITY,
    Card,
    CollectionCard,
    Feature,
    ParameterCard,
    TrainingCard,
    fold_of,
)
from colonnade.inference.classifier import Classifier, Hypothesis, scorers_of
from colonnade.inference.inputs import Inputs, stack_inputs
from colonnade.inference.onnx_scorer import OnnxInput, OnnxScorer, ScorerSettings

__all__ = [
    "CARD_KEY",
    "IDENTITY",
    "Card",
    "Classifier",
    "CollectionCard",
    "Feature",
    "Hypothesis",
    "Inputs",
    "OnnxInput",
    "OnnxScorer",
    "ParameterCard",
    "ScorerSettings",
    "TrainingCard",
    "fold_of",
    "scorers_of",
    "stack_inputs",
]
