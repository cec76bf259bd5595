from .card import (
    CARD_KEY as CARD_KEY,
    Card as Card,
    CollectionCard as CollectionCard,
    Feature as Feature,
    IDENTITY as IDENTITY,
    ParameterCard as ParameterCard,
    TrainingCard as TrainingCard,
    fold_of as fold_of,
)
from .classifier import Classifier as Classifier, Hypothesis as Hypothesis, scorers_of as scorers_of
from .inputs import Inputs as Inputs, stack_inputs as stack_inputs
from .onnx_scorer import OnnxInput as OnnxInput, OnnxScorer as OnnxScorer, ScorerSettings as ScorerSettings
