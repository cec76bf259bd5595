"""A chunk result as bytes and back, to the last bit, without pickle.

A file is a line of text that names the format, a digest of what follows, the length of a JSON text, that text, and
the arrays, one after the other. The JSON text is the result with each array replaced by its place.
"""

from __future__ import annotations

__all__ = ["DamagedError", "decode", "encode"]

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np

from colonnade.histograms import Histogram, HistogramSet

_MAGIC = b"colonnade result 1\n"
_DIGEST = 32
_MARK = "@"
_KINDS = "biuf"


class DamagedError(ValueError):
    """The bytes are not what `encode` made."""


def encode(result: Any) -> bytes:
    """Return a result as bytes.

    Parameters
    ----------
    result
        Dictionaries with text keys, lists, tuples, texts, numbers, arrays of numbers, `hist.Hist`, `HistogramSet`.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    skeleton = json.dumps(_taken_apart(result, arrays)).encode()
    blocks = [len(skeleton).to_bytes(8, "little"), skeleton]
    blocks.extend(np.ascontiguousarray(array).tobytes() for array in arrays)
    body = zlib.compress(b"".join(blocks), 1)
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
    plain = zlib.decompress(body)
    size = int.from_bytes(plain[:8], "little")
    skeleton = json.loads(plain[8 : 8 + size])
    return _Assembly(memoryview(plain)[8 + size :], declared).put_together(skeleton)


def _taken_apart(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return {_MARK: "scalar", "value": _taken_apart(np.asarray(value), arrays)}
    if isinstance(value, int | float):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            msg = f"an array of {value.dtype} can't be kept"
            raise TypeError(msg)
        arrays.append(value)
        return {_MARK: "array", "type": value.dtype.newbyteorder("<").str, "shape": list(value.shape)}
    if isinstance(value, HistogramSet):
        inside = {
            "regions": list(value.regions),
            "variations": list(value.variations),
            "values": value._values,  # noqa: SLF001 - the two arrays are the set, see its class
            "variances": value._variances,  # noqa: SLF001
        }
        return {_MARK: "set", "names": list(value), "value": _taken_apart(inside, arrays)}
    if isinstance(value, hist.Hist):
        return {_MARK: "hist", "value": _taken_apart(value._to_uhi_(), arrays)}  # noqa: SLF001 - uhi's protocol
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            msg = "a key that is no text can't be kept"
            raise TypeError(msg)
        inside = {key: _taken_apart(item, arrays) for key, item in value.items()}
        return {_MARK: "dict", "value": inside} if _MARK in inside else inside
    if isinstance(value, list | tuple):
        items = [_taken_apart(item, arrays) for item in value]
        return items if isinstance(value, list) else {_MARK: "tuple", "value": items}
    msg = f"a {type(value).__name__} can't be kept"
    raise TypeError(msg)


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
        inside = value["value"]
        if mark == "dict":
            return {key: self.put_together(item) for key, item in inside.items()}
        inside = self.put_together(inside)
        if mark == "scalar":
            return inside[()]
        if mark == "tuple":
            return tuple(inside)
        if mark == "hist":
            return hist.Hist(inside)
        return self._set(value["names"], inside)

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
