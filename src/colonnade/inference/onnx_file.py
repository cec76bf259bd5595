"""ONNX files: what one says without being run (metadata, opsets, digest, whether it is complete), and its session.

A process has one session of onnxruntime for each model, and keeps the models that came to it by value.

The base install has onnxruntime but not the onnx package, and onnxruntime tells none of this before it has
loaded the graph (and any file the graph points to). An ONNX file is a protobuf message; the few fields needed
here are read from the wire format by hand. Field numbers: onnx.proto of the ONNX project; wire format:
protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colonnade.errors import InputError
from colonnade.inputs import read_file

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
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
_DEEPEST = 64


class _WireError(ValueError):
    """The bytes are no protobuf message."""


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file says of itself.

    Attributes
    ----------
    content
        The whole file.
    digest
        SHA-256 of the whole file.
    graph_sha256
        SHA-256 of the graph alone, which the metadata can therefore state.
    opsets
        Operator set version by domain; the default domain is ''.
    properties
        The metadata.
    """

    content: bytes
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
    """Parse an ONNX file's own description; see `read_onnx`."""
    opsets: dict[str, int] = {}
    properties: dict[str, str] = {}
    graph = b""
    view = memoryview(content)
    try:
        for field, value in _fields(view):
            if isinstance(value, int):
                continue
            if field == _GRAPH:
                graph = bytes(value)
            elif field == _OPSET:
                entry = dict(_fields(value))
                opsets[_text(entry.get(1, b""))] = int(entry.get(2, 0))
            elif field == _PROPERTY:
                entry = dict(_fields(value))
                properties[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
        external = _any_external(view, "model", 0)
    except (ValueError, TypeError, IndexError) as error:
        msg = f"The model {path} is damaged or no ONNX file; train it again or restore the file."
        raise InputError(msg) from error
    if external:
        msg = f"The model {path} keeps weights in another file; a model must be one file: export it again."
        raise InputError(msg)
    if not graph or not opsets:
        msg = f"The model {path} is damaged or no ONNX file: it holds no graph; train it again."
        raise InputError(msg)
    return OnnxFile(
        content=content,
        digest=hashlib.sha256(content).hexdigest(),
        graph_sha256=hashlib.sha256(graph).hexdigest(),
        opsets=opsets,
        properties=properties,
    )


def _any_external(message: memoryview, kind: str, depth: int) -> bool:
    """Tell whether any tensor within a message lies outside the file."""
    if depth > _DEEPEST:
        msg = "messages nested too deeply"
        raise _WireError(msg)
    if kind == "tensor":
        return any(
            field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1) for field, value in _fields(message)
        )
    inside = _INSIDE[kind]
    return any(
        _any_external(value, inside[field], depth + 1)
        for field, value in _fields(message)
        if field in inside and not isinstance(value, int)
    )


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Walk the fields of one message; a length-delimited one comes as its bytes."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            number, place = _varint(message, place)
            yield field, number
        elif wire == _BYTES:
            size, place = _varint(message, place)
            if place + size > end:
                msg = "a field reaches past the end"
                raise _WireError(msg)
            yield field, message[place : place + size]
            place += size
        elif wire in (_FIXED64, _FIXED32):
            place += 8 if wire == _FIXED64 else 4
            if place > end:
                msg = "a field reaches past the end"
                raise _WireError(msg)
        else:
            msg = f"unknown wire type {wire}"
            raise _WireError(msg)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            msg = "a number is too long"
            raise _WireError(msg)


def _text(value: memoryview | bytes | int) -> str:
    if isinstance(value, int):
        msg = "text expected"
        raise _WireError(msg)
    return bytes(value).decode("utf-8")


# ONNX models by digest
_CONTENT: dict[str, bytes] = {}


def keep_content(digest: str, content: bytes) -> None:
    """Keep a model for this process, so that its file is not read again."""
    _CONTENT[digest] = content


def content_of(path: Path, digest: str) -> bytes:
    """Return a model, from this process or from its file.

    Raises
    ------
    InputError
        If the file is another one than when the run began.
    """
    kept = _CONTENT.get(digest)
    if kept is not None:
        return kept
    file = read_onnx(path)
    if file.digest != digest:
        msg = f"The model {path} changed after the run began; start the run again."
        raise InputError(msg)
    return file.content


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
        If the file is damaged, keeps weights elsewhere, changed, or can't be run by this onnxruntime.
    """
    import onnxruntime as ort  # heavy, and only scoring needs it

    file = parse_onnx(path, content_of(path, digest))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(file.content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        opset = file.opsets.get("", 0)
        msg = f"onnxruntime {ort.__version__} can't run the model {path} (opset {opset}): {_first_line(error)}."
        raise InputError(msg) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]
