"""ONNX classifiers on jagged input, scored inside the event loop.

A model is one file: the graph, its normalisation and its `Card` (what it eats, in which order and units,
what it was trained on, how well it does). `Classifier.load` refuses a file whose parts disagree;
`scorers_of` refuses one that does not match the processor; `Classifier.score` takes the processor's own
observables, jagged where they are. `OnnxScorer` scores with a file that others trained, whose inputs are declared.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
