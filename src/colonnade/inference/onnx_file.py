"""ONNX files: what one says without being run (metadata, opsets, digest, whether it is complete), and its session.

A process has one session of onnxruntime for each model, and keeps the models that came to it by value.

The base install has onnxruntime but not the onnx package, and onnxruntime tells none of this before it has
loaded the graph (and any file the graph points to). An ONNX file is a protobuf message, whose few fields that are
needed here are read by their numbers (onnx.proto of the ONNX project).
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colonnade.config import Settings
from colonnade.errors import InputError
from colonnade.inputs import read_file

# ModelProto
_OPSET, _GRAPH, _PROPERTY, _TRAINING, _FUNCTION = 8, 7, 14, 20, 25
# where a message of each kind keeps messages that may hold tensors: field -> kind of message
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {_GRAPH: "graph", _TRAINING: "training", _FUNCTION: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
# the models that this process read or was given, by digest
CONTENT: dict[str, bytes] = {}


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file says of itself.

    Attributes
    ----------
    digest
        SHA-256 of the whole file.
    graph_sha256
        SHA-256 of the graph alone, which the metadata can therefore state.
    opsets
        Operator set version by domain; the default domain is ''.
    properties
        The metadata.
    """

    digest: str
    graph_sha256: str
    opsets: Mapping[str, int]
    properties: Mapping[str, str]


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file's own description.

    Raises
    ------
    InputError
        If the file can't be read or is not an ONNX model.
    """
    return parse_onnx(path, read_file(path))


def parse_onnx(path: Path, content: bytes) -> OnnxFile:
    """Parse an ONNX file's own description, and keep the file; see `read_onnx`."""
    from google.protobuf.message import DecodeError

    opsets: dict[str, int] = {}
    properties: dict[str, str] = {}
    graph = b""
    try:
        for field, value in _fields(content):
            if field == _GRAPH:
                graph = value
            elif field == _OPSET:
                entry = dict(_fields(value))
                opsets[entry.get(1, b"").decode()] = int(entry.get(2, 0))
            elif field == _PROPERTY:
                entry = dict(_fields(value))
                properties[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        external = _any_external(content, "model")
    except (DecodeError, ValueError, TypeError, AttributeError, RecursionError) as error:
        msg = f"The model {path} is damaged or no ONNX file; train it again or restore the file."
        raise InputError(msg) from error
    if external:
        msg = f"The model {path} keeps weights in another file; a model must be one file: export it again."
        raise InputError(msg)
    if not graph or not opsets:
        msg = f"The model {path} is damaged or no ONNX file: it holds no graph; train it again."
        raise InputError(msg)
    digest = hashlib.sha256(content).hexdigest()
    CONTENT[digest] = content
    return OnnxFile(
        digest=digest,
        graph_sha256=hashlib.sha256(graph).hexdigest(),
        opsets=opsets,
        properties=properties,
    )


def _any_external(message: bytes, kind: str) -> bool:
    """Tell whether any tensor within a message lies outside the file."""
    if kind == "tensor":
        return any(
            field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1) for field, value in _fields(message)
        )
    inside = _INSIDE[kind]
    return any(_any_external(value, inside[field]) for field, value in _fields(message) if field in inside)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Walk the fields of one message: its numbers, and the bytes of texts and of messages in it."""
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.unknown_fields import UnknownFieldSet

    # all fields are unknown to a message that declares none
    for field in UnknownFieldSet(Empty.FromString(message)):
        yield field.field_number, field.data


@functools.lru_cache(maxsize=16)
def session_of(path: Path, digest: str, process: int) -> Any:  # noqa: ARG001 - process is a key
    """Return this process's session of a model; making one costs as much as scoring thousands of events.

    It uses one thread, as parallelism comes from the workers.

    Parameters
    ----------
    path, digest
        The model's file and SHA-256.
    process
        The number of this process: one that was forked makes a session of its own.

    Raises
    ------
    InputError
        If it can't be run by this onnxruntime.
    """
    import onnxruntime as ort  # heavy, and only scoring needs it

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(CONTENT[digest], options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        opset = parse_onnx(path, CONTENT[digest]).opsets.get("", 0)
        why = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")[:300]
        msg = f"onnxruntime {ort.__version__} can't run the model {path} (opset {opset}): {why}."
        raise InputError(msg) from error


@dataclass(frozen=True)
class OnnxModel:
    """A model in the event loop.

    It travels to workers by value, so they need not see the file; each process makes one single-threaded onnxruntime
    session when it first scores, for parallelism comes from the workers.

    Attributes
    ----------
    path
        The model file.
    digest
        SHA-256 of the ONNX content, by which a worker knows it reads the same.
    """

    path: Path
    digest: str

    def _session(self) -> Any:
        # the process is part of the key: a forked worker makes its own
        return session_of(self.path, self.digest, os.getpid())

    def _by_value(self, described: Settings) -> tuple[Any, ...]:
        """Return what `__reduce__` does: the model, its content, and what else is known of it.

        The latter is text: a pickle of it would differ from process to process, and with it the keys of kept results.
        """
        text = described.model_dump_json()
        return _restore, (type(self), self.path, self.digest, CONTENT[self.digest], type(described), text)


def _restore(kind: Any, path: Path, digest: str, content: bytes, described: type[Settings], text: str) -> OnnxModel:
    CONTENT[digest] = content
    restored: OnnxModel = kind(path, digest, described.model_validate_json(text))
    return restored
