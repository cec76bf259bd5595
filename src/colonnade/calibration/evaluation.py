"""Corrections evaluated by the names of their inputs; values outside their range are counted or refused."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, EventError, nearest
from colonnade.kinematics.arrays import unwrap
from colonnade.kinematics.loops import compiled
from colonnade.kinematics.views import view
from colonnade.processor.corrections import OUTSIDE
from colonnade.processor.pieces import Array, Floats, Places

_LINEAR = "[0]*max(min(x,[3]),[2])+[1]"


class Correction:
    """One correction, simple or compound, of a correctionlib file.

    Parameters
    ----------
    corrections
        The file, a `correctionlib.CorrectionSet`: for instance ``self.corrections["jerc"]`` of a processor.
    name
        The name of the correction there.

    Attributes
    ----------
    inputs
        The names of its inputs, in order.

    Raises
    ------
    ConfigError
        If the file has no correction of that name.
    """

    def __init__(self, corrections: Any, name: str) -> None:
        known = [*corrections, *corrections.compound]
        if name not in known:
            msg = f"the file has no correction {name!r}{nearest(name, known)}."
            raise ConfigError(msg)
        compound = name in corrections.compound
        self.name = name
        self._correction = corrections.compound[name] if compound else corrections[name]
        self.inputs: tuple[str, ...] = tuple(one.name for one in self._correction.inputs)
        contents = _contents(_text(corrections))
        parts = contents[name]["stack"] if compound else [name]
        self._ranges = _ranges([contents[part]["data"] for part in parts], compound=compound)

    def __call__(self, where: str = "in these events", **inputs: Any) -> Any:
        """Evaluate the correction.

        Parameters
        ----------
        where
            What the values belong to, for messages.
        **inputs
            Each input by its name: a text, a number, or one value an event or an object. More may be given than the
            correction asks for.

        Returns
        -------
        ndarray or ak.Array
            One value an event, or one an object where an input is jagged.

        Raises
        ------
        ConfigError
            If an input is missing, or a text is none that the correction knows.
        EventError
            If a value is outside a range that the file closes, or the result is not finite.
        """
        absent = [name for name in self.inputs if name not in inputs]
        if absent:
            msg = f"the correction {self.name} asks for the input {absent[0]!r}{nearest(absent[0], inputs)} {where}."
            raise ConfigError(msg)
        used = {name: inputs[name] for name in self.inputs}
        views = {name: view(value) for name, value in used.items() if not isinstance(value, str | int | float)}
        offsets = next((one.offsets for one in views.values() if one.offsets is not None), None)
        rows = {name: _row(one, offsets) for name, one in views.items()}
        values = self.flat(where, **(used | rows))
        return values if not views else unwrap(values, offsets, None)

    def flat(self, where: str, **inputs: Any) -> Floats:
        """Evaluate the correction on texts, numbers and flat NumPy arrays of one length."""
        arguments = [inputs[name] for name in self.inputs]
        outside, first = self._outside(inputs)
        try:
            values = np.asarray(self._correction.evaluate(*arguments), dtype=np.float64)
        except (RuntimeError, IndexError, ValueError) as error:
            if outside and "Category" not in str(error):
                msg = f"the correction {self.name} is not defined for {outside} values, such as {first}, {where}."
                raise EventError(msg) from error
            msg = f"the correction {self.name} can't be evaluated {where} ({error})."
            raise ConfigError(msg) from error
        if not np.isfinite(values).all():
            bad = np.count_nonzero(~np.isfinite(values))
            msg = f"the correction {self.name} gives {bad} values that are not finite {where}."
            raise EventError(msg)
        _count_outside(self.name, outside)
        return values

    def _outside(self, inputs: Mapping[str, Any]) -> tuple[int, str]:
        """Count the values of which an input is outside the bins, and describe the first input with such values."""
        bad: Any = False
        first = ""
        for name, (low, high) in self._ranges.items():
            values = np.asarray(inputs[name])
            out = ~((values >= low) & (values < high))
            if out.any() and not first:
                first = f"{name} = {values[out].flat[0]:g}"
            bad = bad | out
        return int(np.count_nonzero(bad)), first


def _count_outside(name: str, values: int) -> None:
    """Note for how many values of a chunk a correction is evaluated outside its range; the run tells of them."""
    if values:
        OUTSIDE.get(Counter())[name] += values


class Uncertainties:
    """The relative uncertainties of several sources for the same objects, each looked up in a table of its own.

    Files of jet energy corrections give each source in the same bins of pseudorapidity and transverse momentum, with
    a linear function in each. So the bins are found once for all sources, and a source costs one look-up an object. A
    source of another form is left to correctionlib.

    Parameters
    ----------
    corrections
        The correctionlib file.
    names
        Source to the name of its correction there.

    Raises
    ------
    ConfigError
        If the file has no correction of a name.
    """

    def __init__(self, corrections: Any, names: Mapping[str, str]) -> None:
        self.corrections = {source: Correction(corrections, name) for source, name in names.items()}
        contents = _contents(_text(corrections))
        self._tables = {source: _table(contents[name]) for source, name in names.items()}
        self._seen: tuple[Any, Any, dict[tuple[bytes, bytes], tuple[Places, int]]] = (None, None, {})

    def __call__(self, source: str, where: str, **inputs: Any) -> Floats:
        """Return the relative uncertainty of each object; inputs are flat arrays, as `Correction.flat` takes them."""
        table, correction = self._tables[source], self.corrections[source]
        if table is None:
            return correction.flat(where, **inputs)
        eta_edges, pt_edges, parameters, default = table
        eta, pt = (np.asarray(inputs[name], dtype=np.float64) for name in ("JetEta", "JetPt"))
        if self._seen[0] is not inputs["JetEta"] or self._seen[1] is not inputs["JetPt"]:
            self._seen = (inputs["JetEta"], inputs["JetPt"], {})
        key = (eta_edges.tobytes(), pt_edges.tobytes())
        if key not in self._seen[2]:
            if not (np.isfinite(eta).all() and np.isfinite(pt).all()):
                msg = f"the correction {correction.name} is asked for values that are not finite {where}."
                raise EventError(msg)
            self._seen[2][key] = _bins(eta, pt, eta_edges, pt_edges)
        bins, outside = self._seen[2][key]
        _count_outside(correction.name, outside)
        return np.asarray(_linear(bins, pt, parameters, default))


@compiled
def _bins(eta: Any, pt: Any, eta_edges: Any, pt_edges: Any) -> Any:
    """Return the bin of each object, or -1 outside the range of eta, and how many are outside either range."""
    bins = np.empty(len(eta), dtype=np.int64)
    outside = 0
    rows = len(pt_edges) - 1
    for place in range(len(eta)):
        column = np.searchsorted(eta_edges, eta[place], side="right") - 1
        row = np.searchsorted(pt_edges, pt[place], side="right") - 1
        out = row < 0 or row >= rows
        row = min(max(row, 0), rows - 1)
        if column < 0 or column >= len(eta_edges) - 1:
            bins[place], out = -1, True
        else:
            bins[place] = column * rows + row
        outside += out
    return bins, outside


@compiled
def _linear(bins: Any, pt: Any, parameters: Any, default: float) -> Any:
    """Evaluate each object's linear function, between the limits of its argument."""
    values = np.empty(len(bins))
    for place in range(len(bins)):
        one = bins[place]
        if one < 0:
            values[place] = default
        else:
            argument = max(min(pt[place], parameters[one, 3]), parameters[one, 2])
            values[place] = parameters[one, 0] * argument + parameters[one, 1]
    return values


def _text(corrections: Any) -> str:
    text: str = corrections.__getstate__()["_data"]
    return text


@functools.lru_cache(maxsize=32)
def _contents(text: str) -> dict[str, dict[str, Any]]:
    """Return what a file says of each of its corrections, read once a process."""
    content = json.loads(text)
    parts = [*content["corrections"], *(content.get("compound_corrections") or [])]
    return {part["name"]: part for part in parts}


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Go through a correction's tree."""
    if isinstance(node, dict):
        yield node
        children = node["content"] if isinstance(node.get("content"), list) else []
        for child in children:
            yield from _nodes(child.get("value", child) if isinstance(child, dict) else child)


def _ranges(trees: Sequence[Any], *, compound: bool) -> dict[str, tuple[float, float]]:
    """Return for each input that is binned the lowest and the highest edge.

    Of a compound correction only inputs that its parts do not change can be told from outside; that leaves out pt.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for tree in trees:
        for node in _nodes(tree):
            axes = {node["input"]: node["edges"]} if node.get("nodetype") == "binning" else {}
            if node.get("nodetype") == "multibinning":
                axes = dict(zip(node["inputs"], node["edges"], strict=True))
            for name, edges in axes.items():
                low, high = (edges["low"], edges["high"]) if isinstance(edges, dict) else (edges[0], edges[-1])
                before = ranges.get(name, (np.inf, -np.inf))
                ranges[name] = (min(before[0], float(low)), max(before[1], float(high)))
    return {name: limits for name, limits in ranges.items() if not (compound and name == "JetPt")}


def _table(correction: Mapping[str, Any]) -> tuple[Floats, Floats, Floats, float] | None:
    """Return edges in eta and pt, parameters of shape (bins, 4) and the value outside, or None for another form."""
    try:
        tree, formulas = correction["data"], correction["generic_formulas"]
        rows = tree["content"]
        leaves = [leaf for row in rows for leaf in row["content"]]
        eta, pt = (np.array(each["edges"], dtype=np.float64) for each in (tree, rows[0]))
        parameters = np.array([leaf["parameters"] for leaf in leaves], dtype=np.float64)
        forms = [formulas[leaf["index"]] for leaf in leaves if leaf["nodetype"] == "formularef"]
        inner = [(row["nodetype"], row["input"], row["flow"], row["edges"] == rows[0]["edges"]) for row in rows]
        known = (
            (tree["nodetype"], tree["input"], parameters.shape) == ("binning", "JetEta", (len(forms), 4))
            and all(row == ("binning", "JetPt", "clamp", True) for row in inner)
            and all((form["expression"], form["variables"]) == (_LINEAR, ["JetPt"]) for form in forms)
        )
        return (eta, pt, parameters, float(tree["flow"])) if known else None
    except (KeyError, TypeError, ValueError):
        return None


def _row(one: Any, offsets: Places | None) -> Array:
    """Return the numbers of a view in a row, repeated for each object where others are jagged."""
    if one.missing is not None:
        msg = "a correction can't be evaluated for missing objects; fill them or leave them out."
        raise ConfigError(msg)
    numbers = one.numbers()
    if one.offsets is None and offsets is not None:
        numbers = np.repeat(numbers, np.diff(offsets))
    return np.asarray(numbers)
