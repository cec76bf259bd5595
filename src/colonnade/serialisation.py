"""Nested results taken apart into plain data and arrays, and put together again; without pickle.

A histogram is the nested dictionaries and arrays of uhi's serialisation.

As bytes, a result is a line of text that names the format, a digest of what follows, the length of a JSON text, that
text, and the arrays, one after the other. The JSON text is the result taken apart, with the type and shape of each
array.
"""

from __future__ import annotations

__all__ = ["DamagedError", "Parts", "decode", "encode", "put_together", "short", "shown", "take_apart"]

import dataclasses
import functools
import hashlib
import importlib
import json
import math
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import awkward as ak
import boost_histogram as bh
import cramjam
import numpy as np

from colonnade.errors import EventError, InputError
from colonnade.histograms import Histogram, HistogramSet, storage

_MAGIC = b"colonnade result 3\n"
_DIGEST = 32
_MARK = "@"
# modules that may be imported to restore an object of theirs; others must be there already
_LIBRARIES = {"builtins", "boost_histogram", "coffea", "collections", "colonnade", "fractions", "hist", "numpy"}
_CONTAINERS: dict[str, Callable[[Any], Any]] = {kind.__name__: kind for kind in (tuple, set, frozenset, dict)}


@dataclasses.dataclass(frozen=True)
class Parts:
    """An accumulator taken apart.

    Attributes
    ----------
    tree
        Plain data for JSON, in which arrays are replaced by their numbers.
    arrays
        What was replaced.
    """

    tree: Any
    arrays: list[np.ndarray[Any, Any]]


def take_apart(value: Any) -> Parts:
    """Take an accumulator apart into plain data and arrays.

    Parameters
    ----------
    value
        What `process` or `postprocess` returned.

    Raises
    ------
    EventError
        If it holds anything else, naming the key.
    """
    writer = _Writer()
    return Parts(writer.write(value, ()), writer.arrays)


def put_together(parts: Parts, declared: Sequence[Histogram] = ()) -> Any:
    """Return the accumulator that `take_apart` was given.

    Parameters
    ----------
    parts
        What it was taken apart into.
    declared
        The histograms that an analysis declares, which a `HistogramSet` is made of.

    Raises
    ------
    InputError
        If it holds an object of a class whose module is not imported, or histograms that are not declared.
    """
    return _Reader(parts, declared).read(parts.tree)


class _Writer:
    """Takes one accumulator apart."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []

    def write(self, value: Any, path: tuple[Any, ...]) -> Any:
        kind = type(value)
        if value is None or kind in {bool, int, float, str}:
            return value
        if isinstance(value, np.generic | np.ndarray):
            return self._numpy(value, path)
        if isinstance(value, int | float | str):  # such as an IntEnum
            return next(base for base in (int, float, str) if isinstance(value, base))(value)
        if kind is list:
            return [self.write(item, (*path, place)) for place, item in enumerate(value)]
        for kinds, write in ((ak.Array, self._awkward), (bh.Histogram, self._histogram), (HistogramSet, self._set)):
            if isinstance(value, kinds):
                return write(value, path)
        return self._other(value, path)

    def _set(self, value: HistogramSet, _: Any) -> Any:
        content = value.arrays
        names = {"names": list(value), "regions": list(value.regions), "variations": list(value.variations)}
        return {_MARK: "histograms", **names, "numbers": [self._array(array) for array in content]}

    def _numpy(self, value: Any, path: tuple[Any, ...]) -> Any:
        if value.dtype.hasobject or type(value) not in {np.ndarray, value.dtype.type}:
            self._refuse(value, path)
        if isinstance(value, np.generic):
            return {_MARK: "scalar", "type": value.dtype.str, "bytes": value.tobytes().hex()}
        return {_MARK: "array", "number": self._array(value)}

    def _other(self, value: Any, path: tuple[Any, ...]) -> Any:
        kind = type(value)
        if kind in _CONTAINERS.values():
            return {_MARK: kind.__name__, "items": self._items(value, path)}
        if kind in {complex, bytes}:
            return {_MARK: kind.__name__, "value": value.hex() if kind is bytes else [value.real, value.imag]}
        if isinstance(value, type) and _named(_name(value)) is value:
            return {_MARK: "class", "name": _name(value)}
        if kind is functools.partial:
            inside = [value.func, list(value.args), value.keywords]
            return {_MARK: "partial", "value": self.write(inside, path)}
        return self._object(value, path)

    def _items(self, value: Any, path: tuple[Any, ...]) -> list[Any]:
        if isinstance(value, MutableMapping):
            return [[self.write(key, path), self.write(item, (*path, key))] for key, item in value.items()]
        items = [self.write(item, path) for item in value]
        # a set has no order of its own, and equal accumulators are equal bytes
        return sorted(items, key=json.dumps) if isinstance(value, set | frozenset) else items

    def _array(self, value: np.ndarray[Any, Any]) -> int:
        self.arrays.append(np.array(value))
        return len(self.arrays) - 1

    def _awkward(self, value: ak.Array, _: Any) -> Any:
        form, length, container = ak.to_buffers(ak.to_packed(value))
        buffers = {name: self._array(np.asarray(buffer)) for name, buffer in container.items()}
        return {_MARK: "awkward", "form": form.to_dict(), "length": length, "buffers": buffers}

    def _histogram(self, value: bh.Histogram, path: tuple[Any, ...]) -> Any:
        kind = _name(type(value))
        if _named(kind) is not type(value):
            self._refuse(value, path)
        node = {_MARK: "histogram", "class": kind, "content": self.write(value._to_uhi_(), path)}
        view = np.asarray(value.view(flow=True))
        names = view.dtype.names or ()
        if len(names) > 2:
            # of means, uhi keeps the variance, from which the sums can't be had back to the bit
            node["sums"] = self._array(np.stack([view[name] for name in names]))
        return node

    def _object(self, value: Any, path: tuple[Any, ...]) -> Any:
        kind = type(value)
        if not _adds(kind) or _named(_name(kind)) is not kind or isinstance(value, bytes):
            self._refuse(value, path)
        node: dict[str, Any] = {_MARK: "object", "class": _name(kind)}
        if isinstance(value, MutableMapping | list | set | frozenset | tuple):
            node["items"] = self._items(value, path)
        found: Any = object.__getstate__(value)
        own, slots = found if isinstance(found, tuple) else (found, None)
        state = {**(own or {}), **(slots or {})}
        if hasattr(value, "default_factory"):
            factory = state.pop("default_factory", value.default_factory)
            node["factory"] = self.write(factory, path) if isinstance(factory, type | functools.partial) else None
        node["state"] = [[name, self.write(item, (*path, name))] for name, item in state.items()]
        return node

    def _refuse(self, value: Any, path: tuple[Any, ...]) -> None:
        msg = (
            f"The accumulator holds at {shown(path)} {short(value)}, which can't be kept; return numbers, texts, "
            "arrays, histograms and accumulators of classes that are defined in a module and have add or __add__."
        )
        raise EventError(msg)


class _Reader:
    """Puts one accumulator together."""

    def __init__(self, parts: Parts, declared: Sequence[Histogram]) -> None:
        self._parts, self._declared = parts, declared

    def read(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.read(item) for item in node]
        if not isinstance(node, dict):
            return node
        container = _CONTAINERS.get(node[_MARK])
        return container(self.read(node["items"])) if container else getattr(self, f"_{node[_MARK]}")(node)

    def _histograms(self, node: Any) -> HistogramSet:
        made = HistogramSet(self._declared, node["regions"], node["variations"])
        content = made.arrays
        kept = [self._parts.arrays[number] for number in node["numbers"]]
        if list(made) != node["names"] or any(a.shape != b.shape for a, b in zip(content, kept, strict=True)):
            msg = f"These histograms are of other declarations: {', '.join(node['names'])}."
            raise InputError(msg)
        for array, values in zip(content, kept, strict=True):
            array[:] = values
        return made

    def _scalar(self, node: Any) -> Any:
        return np.frombuffer(bytes.fromhex(node["bytes"]), np.dtype(node["type"]))[0]

    def _array(self, node: Any) -> Any:
        return self._parts.arrays[node["number"]]

    def _awkward(self, node: Any) -> Any:
        buffers = {name: self._parts.arrays[number] for name, number in node["buffers"].items()}
        return ak.from_buffers(ak.forms.from_dict(node["form"]), node["length"], buffers)

    def _histogram(self, node: Any) -> Any:
        kind = _required(node["class"])
        if not issubclass(kind, bh.Histogram):
            msg = f"{node['class']} is no histogram, so it is not restored."
            raise InputError(msg)
        read = kind(storage.checked(self.read(node["content"])))
        if "sums" in node:
            view = np.asarray(read.view(flow=True))
            for name, sums in zip(view.dtype.names or (), self._parts.arrays[node["sums"]], strict=True):
                view[name] = sums
        return read

    def _complex(self, node: Any) -> complex:
        return complex(*node["value"])

    def _bytes(self, node: Any) -> bytes:
        return bytes.fromhex(node["value"])

    def _class(self, node: Any) -> Any:
        return _required(node["name"])

    def _partial(self, node: Any) -> Any:
        function, arguments, words = self.read(node["value"])
        return functools.partial(function, *arguments, **words)

    def _object(self, node: Any) -> Any:
        kind = _required(node["class"])
        if not _adds(kind):
            msg = f"{node['class']} is no accumulator, so it is not restored."
            raise InputError(msg)
        if issubclass(kind, tuple | frozenset):
            base: Any = tuple if issubclass(kind, tuple) else frozenset
            made = base.__new__(kind, self.read(node["items"]))
        else:
            made = kind.__new__(kind)
        for name, item in node["state"]:
            object.__setattr__(made, name, self.read(item))
        if issubclass(kind, MutableMapping):
            for key, item in node["items"]:  # the update() of a Counter adds
                made[self.read(key)] = self.read(item)
        elif issubclass(kind, list):
            list.extend(made, self.read(node["items"]))
        elif issubclass(kind, set):
            set.update(made, self.read(node["items"]))
        if "factory" in node:
            # a function without a name is lost; what a value has is the zero of its kind
            values = list(made.values()) if isinstance(made, MutableMapping) else [made.value]
            lost = getattr(values[0], "identity", type(values[0])) if values else None
            made.default_factory = self.read(node["factory"]) or lost
        return made


def _adds(kind: type) -> bool:
    """Whether objects of a class are accumulators."""
    return any(hasattr(kind, name) for name in ("__add__", "__iadd__", "add")) or issubclass(kind, MutableMapping)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _named(name: str) -> Any:
    """Return the class of a name; None where its module is not imported or has no such class."""
    module, _, place = name.partition(":")
    if module not in sys.modules and module.partition(".")[0] in _LIBRARIES:
        importlib.import_module(module)
    found = functools.reduce(lambda each, part: getattr(each, part, None), place.split("."), sys.modules.get(module))
    return found if isinstance(found, type) else None


def _required(name: str) -> Any:
    kind = _named(name)
    if kind is None:
        msg = f"The accumulator holds an object of {name}; import that module before it is loaded."
        raise InputError(msg)
    return kind


def shown(path: tuple[Any, ...]) -> str:
    """Return the place of a part of an accumulator, for messages."""
    return "".join(f"[{key!r}]" for key in path) or "the top level"


def short(value: Any) -> str:
    """Return a value in at most 60 letters, for messages."""
    text = f"{type(value).__name__} {value!r}".partition("\n")[0]
    return text if len(text) <= 60 else f"{text[:57]}..."


class DamagedError(ValueError):
    """The bytes are not what `encode` made."""


def encode(result: Any) -> bytes:
    """Return a result as bytes.

    Parameters
    ----------
    result
        What `take_apart` takes.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    try:
        parts = take_apart(result)
    except EventError as error:
        raise TypeError(str(error)) from error
    arrays = [np.ascontiguousarray(array) for array in parts.arrays]
    shapes = [[np.lib.format.dtype_to_descr(array.dtype), array.shape] for array in arrays]
    skeleton = json.dumps([parts.tree, shapes]).encode()
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
    tree, shapes = json.loads(bytes(plain[8:place]))
    arrays = []
    for description, shape in shapes:
        described = [tuple(field) for field in description] if isinstance(description, list) else description
        dtype = np.lib.format.descr_to_dtype(described)
        arrays.append(np.frombuffer(plain, dtype, math.prod(shape), place).reshape(shape).copy())
        place += arrays[-1].nbytes
    try:
        return put_together(Parts(tree, arrays), declared)
    except InputError as error:
        raise DamagedError(str(error)) from error
