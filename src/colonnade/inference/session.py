"""Sessions of onnxruntime, one a process and model, and the models that came to this process by value."""

from __future__ import annotations

__all__ = ["content_of", "keep_content", "session_of"]

import functools
from pathlib import Path
from typing import Any

from colonnade.errors import InputError
from colonnade.inference.onnx_file import parse_onnx, read_onnx

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
