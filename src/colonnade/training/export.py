"""From trained networks or trees to one ONNX file, and the comparison of both.

The file has a graph for each fold, with the normalisation inside, and a card. What was trained is compared with what
will score.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper

from colonnade.errors import ConfigError, FitError, InputError
from colonnade.inference import CARD_KEY, Card, Classifier, Inputs
from colonnade.output import replacing
from colonnade.training.trees import TREE_FEATURE

OPSET = 18
# the newest that onnxmltools writes
_TREE_OPSET = 15
_OUTPUT = "score"
# scores lie in 0..1; single precision leaves about 1e-7
TOLERANCE = 1e-5


def network_graph(network: Any, card: Card) -> onnx.ModelProto:
    """Export a network, whose `forward` gives logits, as a graph that gives scores.

    The dynamo exporter follows the network's operations, so pooling by `index_add` becomes ScatterND with
    addition and takes any number of events and objects, none included.
    """
    import torch

    class Score(torch.nn.Module):  # type: ignore[misc]  # torch is not analysed
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, event: Any, *objects: Any) -> Any:
            return self.network.score(event, *objects)

    events = torch.export.Dim("events")
    example = [torch.zeros(5, card.width())]
    names, shapes = ["event"], []
    for collection in card.jagged():
        size = torch.export.Dim(f"{collection.name}_total")
        example += [torch.zeros(7, len(collection.features)), torch.tensor([0, 0, 1, 2, 2, 2, 4])]
        shapes += [{0: size}, {0: size}]
        names += [collection.name, collection.index]
    # without collections there are no further inputs, and torch wants no shapes for them
    return module_graph(Score(), example, names, ({0: events}, tuple(shapes)) if shapes else ({0: events},))


def module_graph(
    module: Any, example: Sequence[Any], names: Sequence[str], dynamic_shapes: tuple[Any, ...]
) -> onnx.ModelProto:
    """Export any torch module that gives scores.

    Parameters
    ----------
    module
        Whose `forward` gives one score an event.
    example, names
        Its inputs, and what they are called in the graph.
    dynamic_shapes
        Which of their axes have any length, as `torch.export` takes it.
    """
    import torch

    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(names),
            output_names=[_OUTPUT],
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto
    return _without_notes(model)


def tree_graph(booster: Any, card: Card) -> onnx.ModelProto:
    """Export boosted trees as a graph that gives the signal's probability [N]."""
    model = _converted(booster, card.width())
    graph = model.graph
    probabilities = graph.output[1].name
    column, axis = f"{_OUTPUT}_column", f"{_OUTPUT}_axis"
    graph.initializer.extend(
        [
            helper.make_tensor(column, TensorProto.INT64, [], [1]),
            helper.make_tensor(axis, TensorProto.INT64, [1], [-1]),
        ]
    )
    graph.node.append(helper.make_node("Gather", [probabilities, column], [_OUTPUT], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["events"]))
    if all(entry.domain for entry in model.opset_import):
        # onnxmltools names only the domain of the trees; the Gather is of the default one
        model.opset_import.append(helper.make_opsetid("", _TREE_OPSET))
    return model


def convert_trees(path: Path, features: Sequence[str] = ()) -> bytes:
    """Convert boosted trees, as xgboost saves them in JSON, to an ONNX model with the input `event` [N, F].

    Its outputs are those of onnxmltools: `variable` of a regression, `label` and `probabilities` of a classification.

    Parameters
    ----------
    path
        The JSON file.
    features
        The features that the trees will be given, in order.

    Raises
    ------
    InputError
        If xgboost can't read the file.
    ConfigError
        If the file names the same features in another order.
    """
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except xgboost.core.XGBoostError as error:
        msg = f"xgboost {xgboost.__version__} can't read the trees {path}: {str(error).strip().splitlines()[-1]}."
        raise InputError(msg) from error
    names = list(booster.feature_names or ())
    if names != list(features) and sorted(names) == sorted(features):
        msg = f"{path} was trained on {', '.join(names)}, but the inputs are declared as {', '.join(features)}; "
        raise ConfigError(msg + "declare them in the order of the training.")
    width = booster.num_features()
    booster.feature_names = [TREE_FEATURE.format(place) for place in range(width)]
    content: bytes = _converted(booster, width).SerializeToString()
    return content


def _converted(booster: Any, width: int) -> onnx.ModelProto:
    """Convert trees on so many features with onnxmltools, which gives the graph a name at random."""
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    with _quiet():
        model = convert_xgboost(
            booster, initial_types=[("event", FloatTensorType([None, width]))], target_opset=_TREE_OPSET
        )
    model.graph.name = "trees"
    return model


def combine_folds(graphs: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Put one graph a fold into one model that runs the graph of its scalar input `fold`.

    Only the chosen branch is computed: If(fold == 0, first, If(fold == 1, second, ...)).
    """
    if len(graphs) == 1:
        return graphs[0]
    inputs = list(graphs[0].graph.input)
    branches = [_branch(model, place) for place, model in enumerate(graphs)]
    chosen = branches[-1]
    for place in range(len(branches) - 2, -1, -1):
        chosen = _choose(place, branches[place], chosen)
    graph = helper.make_graph(
        list(chosen.node),
        "folds",
        [*inputs, helper.make_tensor_value_info("fold", TensorProto.INT64, [])],
        [helper.make_tensor_value_info(chosen.output[0].name, TensorProto.FLOAT, ["events"])],
    )
    opsets = {opset.domain: opset.version for model in graphs for opset in model.opset_import}
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=max(model.ir_version for model in graphs),
    )


def _branch(model: onnx.ModelProto, place: int) -> onnx.GraphProto:
    """Make a fold's graph a branch: its own names, and the inputs those of the graph around it."""
    graph = compose.add_prefix_graph(model.graph, f"fold{place}/", rename_inputs=False)
    del graph.input[:]
    return graph


def _choose(place: int, then: onnx.GraphProto, otherwise: onnx.GraphProto) -> onnx.GraphProto:
    number, test, output = f"choose{place}/number", f"choose{place}/test", f"choose{place}/{_OUTPUT}"
    nodes = [
        helper.make_node("Constant", [], [number], value=helper.make_tensor(number, TensorProto.INT64, [], [place])),
        helper.make_node("Equal", ["fold", number], [test]),
        helper.make_node("If", [test], [output], then_branch=then, else_branch=otherwise),
    ]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(nodes, f"choose{place}", [], [result])


def write_model(
    path: Path, graphs: Sequence[onnx.ModelProto], card: Card, kind: type[Classifier] = Classifier
) -> Classifier:
    """Write the model and, beside it, its card as readable JSON; read it back as the event loop will.

    Parameters
    ----------
    path
        The .onnx file.
    graphs
        One for each fold.
    card
        What the model says of itself.
    kind
        The class that opens it.

    Raises
    ------
    InputError
        If onnxruntime can't run the exported graph.
    ConfigError
        If it does not fit its card.
    """
    model = combine_folds(graphs)
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    digest = hashlib.sha256(model.graph.SerializeToString()).hexdigest()
    card = card.model_copy(update={"graph_sha256": digest, "opset": opset})
    helper.set_model_props(model, {CARD_KEY: card.model_dump_json()})
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        kind.load(temporary)
    with replacing(path.with_suffix(".card.json")) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return kind.load(path)


def _without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what a graph does not need to run: the exporter's notes on each node, which name local files."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    graph = copy.graph
    for entry in itertools.chain([graph], graph.node, graph.initializer, graph.input, graph.output, graph.value_info):
        del entry.metadata_props[:]
        entry.doc_string = ""
    del graph.value_info[:]
    return copy


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' warnings about their own internals and absent packages to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def tree_scores(booster: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Score events with xgboost."""
    import xgboost

    names = [TREE_FEATURE.format(place) for place in range(inputs.event.shape[1])]
    matrix = xgboost.DMatrix(inputs.event, missing=np.nan, feature_names=names)
    return np.asarray(booster.predict(matrix), dtype=np.float32)


def model_scores(fitted: Any, inputs: Inputs) -> NDArray[np.float32]:
    """Score events with what was trained, a network or boosted trees."""
    from colonnade.training.networks import network_scores

    return network_scores(fitted, inputs) if hasattr(fitted, "score") else tree_scores(fitted, inputs)


def require_equal(what: str, first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the largest difference of two arrays of scores, refused above the tolerance.

    Raises
    ------
    FitError
        If scores differ by more than `TOLERANCE`, or one is not a number.
    """
    difference = float(np.abs(first - second).max(initial=0.0))
    if not difference <= TOLERANCE:
        msg = f"{what} differ by {difference:.2g} on held-out events, above {TOLERANCE:g}; nothing is written."
        raise FitError(msg)
    return difference
