"""Scores by models that others trained: an ONNX file without a card, whose inputs the workflow declares.

What an input takes follows from its shape in the graph, N being the events:

======================  =====================================================================================
shape                   what it is given
======================  =====================================================================================
[N] or [N, F]           one value of each of F features an event
[N, F], jagged features  candidates, such as permutations of jets: each list entry is a row and gets its own score;
                        features with one value an event are repeated for each of its candidates
[N, P, F], P a number   the first P objects of each event; places without an object hold `fill`
[N, P, F], P any        all objects: events with equal numbers of objects are scored together, so nothing is padded
======================  =====================================================================================
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from colonnade.config import Settings
from colonnade.errors import ConfigError, EventError, nearest
from colonnade.inference.inputs import (
    column_of,
    entry_counts,
    first_objects,
    flat_feature,
    ranges,
    require_finite,
    same_length,
)
from colonnade.inference.onnx_file import OnnxModel, parse_onnx
from colonnade.inputs import read_file

_TYPES = {
    "tensor(float)": "f4", "tensor(double)": "f8", "tensor(float16)": "f2",
    "tensor(int64)": "i8", "tensor(int32)": "i4", "tensor(bool)": "?",
}  # fmt: skip
# rows a run of the graph
_BATCH = 65_536
_OBJECTS_RANK = 3


class OnnxInput(Settings):
    """One input of the graph."""

    features: tuple[str, ...] = Field(min_length=1, description="observables, in the order of the graph's columns")
    fill: float = Field(default=0.0, description="for [N, P, F]: the value of places without an object")
    features_first: bool = Field(default=False, description="the graph takes [N, F, P] instead of [N, P, F]")


class ScorerSettings(Settings):
    """A model that others trained, and what it takes and gives."""

    onnx: str | None = Field(default=None, description="the ONNX file")
    xgboost: str | None = Field(default=None, description="or the JSON file of boosted trees, as xgboost saves it")
    inputs: dict[str, tuple[str, ...] | OnnxInput] = Field(
        min_length=1, description="input of the graph -> observables"
    )
    outputs: dict[str, str] = Field(
        default={}, description="ending of an observable's name -> output of the graph, or one column, OUTPUT:COLUMN"
    )
    missing: bool = Field(default=False, description="features may be missing (not a number)")
    best: float | None = Field(
        default=None, description="keep the best candidate's score; events without a candidate get this value"
    )

    @model_validator(mode="after")
    def _one_file(self) -> ScorerSettings:
        if (self.onnx is None) == (self.xgboost is None):
            msg = "give one file, under onnx or under xgboost"
            raise ValueError(msg)
        return self

    @property
    def path(self) -> str:
        """The model's file."""
        return self.onnx or self.xgboost or ""

    def input(self, name: str) -> OnnxInput:
        """Return what an input of the graph takes."""
        given = self.inputs[name]
        return given if isinstance(given, OnnxInput) else OnnxInput(features=given)

    def features(self) -> list[str]:
        """List the observables that the model needs."""
        return [feature for name in self.inputs for feature in self.input(name).features]


@dataclass(frozen=True)
class _Rows:
    """The inputs of R rows: arrays [R, ...], or objects and their numbers [R]; and the candidates of each event."""

    count: int
    fixed: Mapping[str, NDArray[Any]]
    objects: Mapping[str, NDArray[Any]]
    counts: Mapping[str, NDArray[np.int64]]
    candidates: NDArray[np.int64] | None


@dataclass(frozen=True)
class OnnxScorer(OnnxModel):
    """A model without a card in the event loop.

    Attributes
    ----------
    settings
        Its inputs and outputs.
    """

    settings: ScorerSettings

    @classmethod
    def load(cls, path: str | Path, settings: ScorerSettings, content: bytes | None = None) -> OnnxScorer:
        """Open a model, and refuse declarations that do not fit its graph.

        Parameters
        ----------
        path
            The file.
        settings
            What the model takes and gives.
        content
            The ONNX model, where it was converted from the file; by default the file's own bytes.

        Raises
        ------
        InputError
            If the file is damaged, keeps weights elsewhere, or can't be run by this onnxruntime.
        ConfigError
            If an input or output is not one of the graph's, or has another shape; the message names it and both
            shapes.
        """
        place = Path(path).resolve()
        file = parse_onnx(place, read_file(place) if content is None else content)
        scorer = cls(place, file.digest, settings)
        scorer._check_inputs()
        scorer._outputs()
        return scorer

    def __reduce__(self) -> tuple[Any, ...]:
        return self._by_value(self.settings)

    def score(self, observables: Mapping[str, Any]) -> Any:
        """Score events, or candidates of events.

        Parameters
        ----------
        observables
            Columns by name, flat or jagged.

        Returns
        -------
        array [N], or a jagged array with the layout of the candidates
            Where the settings name outputs, a mapping of their endings to such arrays. With `best`, the best
            candidate's score [N], and under the ending `best` its place in the event's list, -1 where there is none.

        Raises
        ------
        MissingColumnError
            If an observable is not there.
        EventError
            If features of one input have different lengths, or hold values that are no numbers.
        """
        return self.score_variations([observables])[0]

    def score_variations(
        self,
        variations: Sequence[Mapping[str, Any]],
        identities: Sequence[Any] | None = None,  # noqa: ARG002 - the shape of a Scorer
    ) -> list[Any]:
        """Score several variations of a chunk in one call; see `score`."""
        parts = [self._stack(variation) for variation in variations]
        whole = self._run(_join(parts))
        ends = np.cumsum([part.count for part in parts])[:-1]
        split = {name: np.split(values, ends) for name, values in whole.items()}
        return [
            self._named({name: values[place] for name, values in split.items()}, part)
            for place, part in enumerate(parts)
        ]

    def _named(self, scores: Mapping[str, NDArray[Any]], rows: _Rows) -> Any:
        named: dict[str, Any] = dict(scores)
        if rows.candidates is not None:
            named = {name: ak.unflatten(values, rows.candidates) for name, values in scores.items()}
            if self.settings.best is not None:
                for name, values in list(named.items()):
                    named[name] = ak.to_numpy(ak.fill_none(ak.max(values, axis=1), self.settings.best))
                    place = ak.to_numpy(ak.fill_none(ak.argmax(values, axis=1), -1))
                    named[f"{name}_best" if name else "best"] = place
        elif self.settings.best is not None:
            msg = f"The model {self.path} is to keep the best candidate, but none of its features is a list."
            raise EventError(msg)
        return named[""] if set(named) == {""} else named

    def _stack(self, observables: Mapping[str, Any]) -> _Rows:
        """Lay out what the graph takes."""
        graph = {each.name: each for each in self._session().get_inputs()}
        columns = {
            name: [column_of(str(self.path), feature, observables) for feature in self.settings.input(name).features]
            for name in graph
        }
        rows = {name: columns[name] for name, each in graph.items() if len(each.shape) < _OBJECTS_RANK}
        candidates = entry_counts(str(self.path), ", ".join(rows), itertools.chain(*rows.values()))
        fixed: dict[str, NDArray[Any]] = {}
        objects: dict[str, NDArray[Any]] = {}
        numbers: dict[str, NDArray[np.int64]] = {}
        for name, each in graph.items():
            declared, dtype = self.settings.input(name), _TYPES[each.type]
            if name in rows:
                matrix = self._matrix(name, columns[name], candidates).astype(dtype)
                fixed[name] = matrix[:, 0] if len(each.shape) == 1 else matrix
                continue
            counts = entry_counts(str(self.path), name, columns[name])
            if counts is None or candidates is not None:
                msg = f"The input {name} of {self.path} takes lists of objects {_shape(each.shape)}; "
                msg += "give it jagged features, and the other inputs one value an event."
                raise EventError(msg)
            matrix = self._matrix(name, columns[name], counts).astype(dtype)
            places = _sizes(each, declared)[0]
            if isinstance(places, int):
                padded = first_objects(matrix, counts, places, declared.fill)
                fixed[name] = padded.swapaxes(1, 2) if declared.features_first else padded
            else:
                objects[name], numbers[name] = matrix, counts
        lengths = {name: len(values) for name, values in (fixed | numbers).items()}
        return _Rows(same_length(f"The inputs of {self.path}", lengths), fixed, objects, numbers, candidates)

    def _matrix(self, name: str, columns: Sequence[Any], counts: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """Stack features as [R, F]: list entries one below the other, values of the event repeated for each."""
        features = self.settings.input(name).features
        values = [flat_feature(feature, column, counts) for feature, column in zip(features, columns, strict=True)]
        lengths = dict(zip(features, map(len, values), strict=True))
        same_length(f"The features of the input {name} of {self.path}", lengths)
        matrix = np.stack(values, axis=1)
        require_finite(str(self.path), features, matrix, missing=self.settings.missing)
        return matrix

    def _run(self, rows: _Rows) -> dict[str, NDArray[Any]]:
        """Run the graph in batches of rows with equal numbers of objects; give each output's values [R]."""
        session, outputs = self._session(), self._outputs()
        tensors = list(dict.fromkeys(tensor for tensor, _ in outputs.values()))
        values = {ending: np.zeros(rows.count, dtype=np.float32) for ending in outputs}
        for group in _groups(rows):
            for low in range(0, len(group), _BATCH):
                here = group[low : low + _BATCH]
                found = dict(zip(tensors, session.run(tensors, self._feed(rows, here)), strict=True))
                for ending, (tensor, column) in outputs.items():
                    values[ending][here] = self._take(tensor, column, found[tensor], len(here))
        return values

    def _feed(self, rows: _Rows, here: NDArray[np.int64]) -> dict[str, Any]:
        feed: dict[str, Any] = {name: values[here] for name, values in rows.fixed.items()}
        for name, values in rows.objects.items():
            counts = rows.counts[name]
            chosen = values[ranges((np.cumsum(counts) - counts)[here], counts[here])]
            shaped = chosen.reshape(len(here), -1 if len(here) else 0, values.shape[1])
            feed[name] = shaped.swapaxes(1, 2) if self.settings.input(name).features_first else shaped
        return feed

    def _take(self, tensor: str, column: int | None, values: Any, count: int) -> NDArray[Any]:
        shape = np.shape(values)
        if column is None and shape in ((count,), (count, 1)):
            return np.asarray(values).reshape(count)
        if column is not None and len(shape) == 2 and shape[0] == count and shape[1] > column:
            return np.asarray(values)[:, column]
        msg = f"The output {tensor} of {self.path} has the shape {list(shape)} for {count} rows, not {_wanted(column)}."
        raise ConfigError(msg)

    def _check_inputs(self) -> None:
        graph = {each.name: each for each in self._session().get_inputs()}
        for name in self.settings.inputs:
            if name not in graph:
                listed = ", ".join(f"{each.name} {_shape(each.shape)}" for each in graph.values())
                msg = f"{self.path} has no input {name!r}{nearest(name, graph)}; its graph takes {listed}."
                raise ConfigError(msg)
        for name, each in graph.items():
            if name not in self.settings.inputs:
                msg = f"{self.path} takes the input {name} {_shape(each.shape)}, which is not declared under inputs."
                raise ConfigError(msg)
            if each.type not in _TYPES:
                msg = f"The input {name} of {self.path} is of the type {each.type}, not a tensor of numbers."
                raise ConfigError(msg)
            declared = self.settings.input(name)
            places, width = _sizes(each, declared)
            fits = 1 <= len(each.shape) <= _OBJECTS_RANK and not isinstance(each.shape[0], int)
            if not fits or (isinstance(width, int) and width != len(declared.features)):
                count = len(declared.features)
                objects = ["N", count, places] if declared.features_first else ["N", places, count]
                given = _shape(objects if len(each.shape) == _OBJECTS_RANK else ["N", count])
                msg = (
                    f"The input {name} of {self.path} has the shape {_shape(each.shape)} in the graph, but its "
                    f"{count} features ({', '.join(declared.features)}) make {given}; declare the features that the "
                    "model was trained on, or export it with a first axis of any length."
                )
                raise ConfigError(msg)

    def _outputs(self) -> dict[str, tuple[str, int | None]]:
        """Give each ending its output and column, refusing what the graph does not have."""
        graph = {each.name: each for each in self._session().get_outputs()}
        listed = ", ".join(f"{each.name} {_shape(each.shape)}" for each in graph.values())
        if not self.settings.outputs and len(graph) > 1:
            msg = f"{self.path} gives {listed}; say under outputs which to use, such as outputs: "
            raise ConfigError(msg + f"{{signal: '{next(iter(graph))}:0'}}.")
        chosen: dict[str, tuple[str, int | None]] = {}
        for ending, wanted in (self.settings.outputs or {"": next(iter(graph))}).items():
            name, sign, place = wanted.partition(":")
            if wanted in graph:
                name, sign, place = wanted, "", ""
            if name not in graph or (sign and not place.isdecimal()):
                msg = f"{self.path} has no output {wanted!r}{nearest(name, graph)}; its graph gives {listed}."
                raise ConfigError(msg)
            each, column = graph[name], int(place) if sign else None
            if each.type not in _TYPES:
                msg = f"The output {name} of {self.path} is of the type {each.type}, not a tensor of numbers; "
                raise ConfigError(msg + "export the model without maps (ZipMap).")
            width = each.shape[1] if len(each.shape) == 2 else 1
            wide = isinstance(width, int) and (width != 1 if column is None else column >= width)
            if wide or len(each.shape) > 2:
                msg = f"The output {name} of {self.path} has the shape {_shape(each.shape)}, but {wanted!r} needs "
                raise ConfigError(msg + f"{_wanted(column)}; name a column as {name}:0.")
            chosen[ending] = name, column
        return chosen


def _sizes(each: Any, declared: OnnxInput) -> tuple[Any, Any]:
    """Give the number of objects and of features that an input's shape asks for."""
    if len(each.shape) == _OBJECTS_RANK:
        places, width = each.shape[1:]
        return (width, places) if declared.features_first else (places, width)
    return None, each.shape[1] if len(each.shape) == 2 else 1


def _join(parts: Sequence[_Rows]) -> _Rows:
    if len(parts) == 1:
        return parts[0]
    fixed, objects, counts = (
        {name: np.concatenate([getattr(part, kind)[name] for part in parts]) for name in getattr(parts[0], kind)}
        for kind in ("fixed", "objects", "counts")
    )
    return _Rows(sum(part.count for part in parts), fixed, objects, counts, None)


def _groups(rows: _Rows) -> list[NDArray[np.int64]]:
    """Group rows that have the same number of objects in each input."""
    if not rows.count:
        return []
    if not rows.counts:
        return [np.arange(rows.count)]
    counts = np.stack(list(rows.counts.values()), axis=1)
    _, inverse = np.unique(counts, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(inverse.ravel()[order])) + 1)


def _shape(shape: Sequence[Any]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _wanted(column: int | None) -> str:
    return "[N] or [N, 1]" if column is None else f"[N, {column + 1} or more]"
