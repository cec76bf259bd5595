"""A chunk result as bytes and back, to the last bit, without pickle.

A file is a line of text that names the format, a digest of what follows, the length of a JSON text, that
text, and the arrays, one after the other. The JSON text is the result taken apart, see `colonnade.serialisation`, with
the type and shape of each array.
"""

from __future__ import annotations

__all__ = ["DamagedError", "decode", "encode"]

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

import cramjam
import numpy as np

from colonnade.errors import EventError, InputError
from colonnade.histograms import Histogram
from colonnade.serialisation import Parts, put_together, take_apart

_MAGIC = b"colonnade result 2\n"
_DIGEST = 32


class DamagedError(ValueError):
    """The bytes are not what `encode` made."""


def encode(result: Any) -> bytes:
    """Return a result as bytes.

    Parameters
    ----------
    result
        What `colonnade.serialisation.take_apart` takes.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    try:
        parts = take_apart(result)
        # in uhi's form, whose arrays join the others
        histograms = take_apart([histogram._to_uhi_() for histogram in parts.histograms])
    except EventError as error:
        raise TypeError(str(error)) from error
    arrays = [np.ascontiguousarray(array) for array in (*parts.arrays, *histograms.arrays)]
    shapes = [[np.lib.format.dtype_to_descr(array.dtype), array.shape] for array in arrays]
    skeleton = json.dumps([parts.tree, histograms.tree, len(parts.arrays), shapes]).encode()
    blocks = [len(skeleton).to_bytes(8, "little"), skeleton, *(array.tobytes() for array in arrays)]
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
    plain = memoryview(bytes(cramjam.zstd.decompress(body)))
    place = 8 + int.from_bytes(plain[:8], "little")
    tree, histograms, count, shapes = json.loads(bytes(plain[8:place]))
    arrays = []
    for description, shape in shapes:
        described = [tuple(field) for field in description] if isinstance(description, list) else description
        dtype = np.lib.format.descr_to_dtype(described)
        arrays.append(np.frombuffer(plain, dtype, math.prod(shape), place).reshape(shape).copy())
        place += arrays[-1].nbytes
    try:
        filled = put_together(Parts(histograms, arrays[count:], []))
        return put_together(Parts(tree, arrays[:count], filled), declared)
    except InputError as error:
        raise DamagedError(str(error)) from error
