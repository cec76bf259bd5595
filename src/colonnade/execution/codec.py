"""A chunk result as bytes and back, to the last bit, without pickle.

A file is a line of text that names the format, a digest of what follows, the length of a JSON text, that
text, and the arrays, one after the other. The JSON text is the result with each array replaced by its
place.
"""

from __future__ import annotations

__all__ = ["DamagedError", "decode", "encode"]

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cramjam
import hist
import numpy as np

from colonnade.accumulators import Accumulated, Parts, put_together, take_apart
from colonnade.histograms import Histogram, HistogramSet

_MAGIC = b"colonnade result 1\n"
_DIGEST = 32
_MARK = "@"
_KINDS = "biufcSUmM"


class DamagedError(ValueError):
    """The bytes are not what `encode` made."""


def encode(result: Any) -> bytes:
    """Return a result as bytes.

    Parameters
    ----------
    result
        Dictionaries with text keys, lists, tuples, texts, numbers, arrays of numbers, `hist.Hist`,
        `HistogramSet`, `Accumulated`.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    arrays: Arrays = []
    skeleton = json.dumps(_taken_apart(result, arrays)).encode()
    blocks = [len(skeleton).to_bytes(8, "little"), skeleton]
    blocks.extend(np.ascontiguousarray(array).tobytes() for array in arrays)
    body = bytes(cramjam.zstd.compress(b"".join(blocks), level=1))
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST).digest() + body


def decode(blob: bytes, declared: Sequence[Histogram] = ()) -> Any:
    """Return what `encode` was given.

    Parameters
    ----------
    blob
        The bytes.
    declared
        The histograms that the analysis declares, which a `HistogramSet` is made of.

    Raises
    ------
    DamagedError
        If the bytes are damaged, or of other declarations.
    """
    start = len(_MAGIC) + _DIGEST
    body = blob[start:]
    if not blob.startswith(_MAGIC) or hashlib.blake2b(body, digest_size=_DIGEST).digest() != blob[len(_MAGIC) : start]:
        msg = "not a whole result"
        raise DamagedError(msg)
    plain = bytes(cramjam.zstd.decompress(body))
    size = int.from_bytes(plain[:8], "little")
    skeleton = json.loads(plain[8 : 8 + size])
    return _Assembly(memoryview(plain)[8 + size :], declared).put_together(skeleton)


Arrays = list[np.ndarray[Any, Any]]


def _taken_apart(value: Any, arrays: Arrays) -> Any:
    """Return a value as JSON can write it, its arrays put aside."""
    if value is None or isinstance(value, bool | str) or type(value) in {int, float}:
        return value
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value, arrays)
    msg = f"a {type(value).__name__} can't be kept"
    raise TypeError(msg)


def _scalar(value: np.generic, arrays: Arrays) -> Any:
    return {_MARK: "scalar", "value": _array(np.asarray(value), arrays)}


def _array(value: np.ndarray[Any, Any], arrays: Arrays) -> Any:
    if value.dtype.kind not in _KINDS:
        msg = f"an array of {value.dtype} can't be kept"
        raise TypeError(msg)
    plain = value.astype(value.dtype.newbyteorder("<"), copy=False)
    arrays.append(plain)
    return {_MARK: "array", "type": plain.dtype.str, "shape": list(value.shape)}


def _set(value: HistogramSet, arrays: Arrays) -> Any:
    inside = {
        "regions": list(value.regions),
        "variations": list(value.variations),
        "values": value._values,  # noqa: SLF001 - the two arrays are the set, see its class
        "variances": value._variances,  # noqa: SLF001
    }
    return {_MARK: "set", "names": list(value), "value": _taken_apart(inside, arrays)}


def _hist(value: hist.Hist, arrays: Arrays) -> Any:
    return {_MARK: "hist", "value": _taken_apart(value._to_uhi_(), arrays)}


def _accumulated(value: Accumulated, arrays: Arrays) -> Any:
    parts = take_apart(value.value)
    inside = {
        "tree": json.dumps(parts.tree),
        "arrays": parts.arrays,
        "histograms": [each._to_uhi_() for each in parts.histograms],
    }
    return {_MARK: "accumulated", "value": _taken_apart(inside, arrays)}


def _dict(value: Mapping[Any, Any], arrays: Arrays) -> Any:
    if not all(isinstance(key, str) for key in value):
        msg = "a key that is no text can't be kept"
        raise TypeError(msg)
    inside = {key: _taken_apart(item, arrays) for key, item in value.items()}
    return {_MARK: "dict", "value": inside} if _MARK in inside else inside


def _list(value: list[Any], arrays: Arrays) -> Any:
    return [_taken_apart(item, arrays) for item in value]


def _tuple(value: tuple[Any, ...], arrays: Arrays) -> Any:
    return {_MARK: "tuple", "value": [_taken_apart(item, arrays) for item in value]}


_WRITERS: tuple[tuple[type, Callable[[Any, Arrays], Any]], ...] = (
    (np.generic, _scalar),
    (np.ndarray, _array),
    (HistogramSet, _set),
    (hist.Hist, _hist),
    (Accumulated, _accumulated),
    (Mapping, _dict),
    (list, _list),
    (tuple, _tuple),
)


class _Assembly:
    """Puts a result together from its JSON text and the bytes of its arrays, taken in the order written."""

    def __init__(self, arrays: memoryview, declared: Sequence[Histogram]) -> None:
        self._arrays = arrays
        self._place = 0
        self._declared = declared

    def put_together(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.put_together(item) for item in value]
        if not isinstance(value, dict):
            return value
        mark = value.get(_MARK)
        if mark is None:
            return {key: self.put_together(item) for key, item in value.items()}
        if mark == "array":
            return self._array(np.dtype(value["type"]), tuple(value["shape"]))
        if mark == "dict":
            return {key: self.put_together(item) for key, item in value["value"].items()}
        return self._made(mark, value, self.put_together(value["value"]))

    def _made(self, mark: str, value: Mapping[str, Any], inside: Any) -> Any:
        if mark == "set":
            return self._set(value["names"], inside)
        if mark == "hist":
            return hist.Hist(inside)
        if mark == "accumulated":
            parts = Parts(json.loads(inside["tree"]), inside["arrays"], inside["histograms"])
            return Accumulated(put_together(parts))
        return inside[()] if mark == "scalar" else tuple(inside)

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        count = math.prod(shape)
        array = np.frombuffer(self._arrays, dtype, count, self._place).reshape(shape).copy()
        self._place += count * dtype.itemsize
        return array

    def _set(self, names: list[str], inside: Mapping[str, Any]) -> HistogramSet:
        made = HistogramSet(self._declared, inside["regions"], inside["variations"])
        if list(made) != names or made._values.shape != inside["values"].shape:  # noqa: SLF001 - see encode
            msg = "of other histograms"
            raise DamagedError(msg)
        made._values[:] = inside["values"]  # noqa: SLF001
        made._variances[:] = inside["variances"]  # noqa: SLF001
        return made
