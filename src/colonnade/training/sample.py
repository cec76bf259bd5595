"""Training events in memory: inputs as the graph takes them, weights, target, and which network may see which event."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from colonnade.errors import ConfigError, EventError, InputError, MissingColumnError, nearest
from colonnade.inference import IDENTITY, Card, Inputs, fold_of, stack_inputs
from colonnade.inference.inputs import per_candidate
from colonnade.training.columns import ColumnsCard, ProcessCard, read_card
from colonnade.training.declaration import Model, check_name

# salts of independent divisions of the same events
_VALIDATION, _TEST = 1, 2
# one event in so many is a test event of a model of one fold, and one in so many of the others is for validation
TEST_PART = VALIDATION_PART = 5


@dataclass(frozen=True)
class Sample:
    """Events to train on or to evaluate, all of one model; of a model of candidates, N is that of the candidates.

    Attributes
    ----------
    card
        The features, in order.
    inputs
        N events. Parameter columns hold the signal's own values, and not a number for background.
    weight
        [N], the number of expected events each one stands for at `luminosity`.
    target
        [N], true for signal, or for right candidates.
    process
        [N], index into `processes`.
    regions
        [N], bit i is set when the event is in `region_names[i]`.
    identity
        run, luminosityBlock, event, each [N].
    learned, judged
        [N], whether an event may be learned from, and whether models are judged on it.
    luminosity
        In fb^-1.
    digest
        Identity of the columns the events came from.
    """

    card: Card
    inputs: Inputs
    weight: NDArray[np.float64]
    target: NDArray[np.bool_]
    process: NDArray[np.int64]
    processes: tuple[str, ...]
    regions: NDArray[np.uint64]
    region_names: tuple[str, ...]
    identity: Mapping[str, NDArray[np.int64]]
    learned: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    luminosity: float
    digest: str = ""

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, rows: NDArray[np.int64]) -> Sample:
        """Return the events at these rows."""
        columns = ("weight", "target", "process", "regions", "learned", "judged")
        return replace(
            self,
            inputs=self.inputs.take(rows),
            identity={name: column[rows] for name, column in self.identity.items()},
            **{name: getattr(self, name)[rows] for name in columns},
        )

    def split(self, folds: int, fold: int) -> Split:
        """Divide the events for the network of one fold by their identity, and what may be learned and judged.

        With several folds the test events are those of the fold itself; with one, a fifth of all. Of the others
        a fifth decides when to stop.
        """
        identity = self.identity
        test = fold_of(identity, folds) == fold if folds > 1 else fold_of(identity, TEST_PART, salt=_TEST) == 0
        validation = ~test & (fold_of(identity, VALIDATION_PART, salt=_VALIDATION) == 0)
        return Split(
            np.flatnonzero(~test & ~validation & self.learned),
            np.flatnonzero(validation & self.learned),
            np.flatnonzero(test & self.judged),
        )

    def in_region(self, name: str) -> NDArray[np.bool_]:
        """Tell which events are in a region."""
        bit = np.uint64(1) << np.uint64(self.region_names.index(name))
        inside: NDArray[np.bool_] = (self.regions & bit) != 0
        return inside

    def points(self) -> dict[str, tuple[float, ...]]:
        """Give the parameters of each signal point that has events, in the order of the card's."""
        columns = self.card.parameter_columns()
        found: dict[str, tuple[float, ...]] = {}
        for index in np.unique(self.process[self.target]):
            row = int(np.argmax(self.target & (self.process == index)))
            found[self.processes[index]] = tuple(float(value) for value in self.inputs.event[row, columns])
        return found


@dataclass(frozen=True)
class Split:
    """Rows of a sample: to learn from, to stop early by, and never seen by the network of this fold."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def read_sample(folder: Path, model: Model, name: str) -> Sample:
    """Read the events that a model is trained on.

    Parameters
    ----------
    folder
        Where `colonnade columns` wrote.
    model
        Says which processes, regions and features.
    name
        Of the model.

    Raises
    ------
    ConfigError
        If the model asks for processes, regions or units that the columns don't have.
    MissingColumnError
        If a feature is not among the columns.
    EventError
        If signal or background has no events, or a value is not a number.
    """
    card = read_card(folder)
    chosen = _processes(card, model)
    _match_features(card, model, folder)
    signals = [(entry, process) for entry, process in chosen.items() if process.kind == "signal"]
    hypotheses = sorted({tuple(_value(process, entry, p.name) for p in model.parameters) for entry, process in signals})
    parameters = {p.name: tuple(row[place] for row in hypotheses) for place, p in enumerate(model.parameters)}
    features = model.card(name, parameters)
    bits = _bits(card.regions, model.regions)
    names = tuple(chosen)
    parts = [_one(folder, model, features, entry, process, bits) for entry, process in chosen.items()]
    rows = [len(part["weight"]) for part in parts]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0] if key != "inputs"}
    sample = Sample(
        card=features,
        inputs=Inputs.join([part["inputs"] for part in parts]),
        process=np.repeat(np.arange(len(names)), rows),
        processes=names,
        region_names=card.regions,
        identity={key: joined.pop(key) for key in IDENTITY},
        luminosity=card.luminosity,
        digest=card.digest(),
        **joined,
    )
    for what, there in (("signal", sample.target.any()), ("background", (~sample.target).any())):
        if not there:
            where = f" in the regions {', '.join(model.regions)}" if model.regions else ""
            msg = f"There are no {what} events to train {name} on{where}; make more, or select others."
            raise EventError(msg)
    return sample


def _processes(card: ColumnsCard, model: Model) -> dict[str, ProcessCard]:
    """Choose the processes that match the model's patterns, background first."""
    chosen: dict[str, ProcessCard] = {}
    for kind, patterns in (("background", model.backgrounds), ("signal", model.signals)):
        there = {name: process for name, process in card.processes.items() if process.kind == kind}
        for pattern in patterns:
            found = fnmatch.filter(there, pattern)
            if not found:
                msg = (
                    f"The columns have no {kind} process '{pattern}'{nearest(pattern, there)}; they have: "
                    f"{', '.join(there) or 'none'}."
                )
                raise ConfigError(msg)
            chosen |= {name: there[name] for name in found if name not in chosen}
    return chosen


def _match_features(card: ColumnsCard, model: Model, folder: Path) -> None:
    objects = [feature for collection in model.collections for feature in collection.features]
    jagged = dict.fromkeys([feature.name for feature in objects], True)
    jagged |= {} if model.candidates else dict.fromkeys([feature.name for feature in model.event], False)
    units = {feature.name: feature.unit for feature in model.features()}
    for name, declared in units.items():
        if name not in card.observables:
            hint = nearest(name, card.observables)
            msg = f"The columns in {folder} have no '{name}'{hint}; write them again."
            raise MissingColumnError(msg)
        if card.observables[name] != jagged.get(name, card.observables[name]):
            words = ("a list of values", "one value") if jagged[name] else ("one value", "a list of values")
            msg = f"The model takes {words[0]} of '{name}' an event, but the columns hold {words[1]}."
            raise ConfigError(msg)
        unit = card.units.get(name)
        if unit is not None and unit != declared:
            msg = f"The model declares '{name}' in '{declared}', but the processor gives it in '{unit}'."
            raise ConfigError(msg)


def _bits(known: Sequence[str], wanted: Sequence[str]) -> np.uint64 | None:
    """Return the bits of which an event needs one, or None where any event will do."""
    bits = np.uint64(0)
    for name in wanted:
        check_name("regions", name, known)
        bits |= np.uint64(1) << np.uint64(known.index(name))
    return bits if wanted else None


def _value(process: ProcessCard, name: str, parameter: str) -> float:
    value = process.signal.get(parameter)
    if not isinstance(value, float | int):
        msg = (
            f"The signal {name} has no number '{parameter}' among its parameters"
            f"{nearest(parameter, process.signal)}; add it to the manifest's `signal`."
        )
        raise ConfigError(msg)
    return float(value)


def _one(
    folder: Path,
    model: Model,
    features: Any,
    name: str,
    process: ProcessCard,
    bits: np.uint64 | None,
) -> dict[str, Any]:
    """Read one process: inputs, weight, regions and identity."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, is_signal = folder / process.file, process.kind == "signal"
    wanted = model.columns()
    try:
        there = set(pq.read_schema(path).names)
        missing = [each for each in (*IDENTITY, "weight", "regions", *wanted) if each not in there]
        if missing:
            msg = f"{path} has no column '{missing[0]}'{nearest(missing[0], there)}; write the columns again."
            raise MissingColumnError(msg)
        table = pq.read_table(path, columns=[*IDENTITY, "weight", "regions", *wanted])
    except (OSError, pa.ArrowException) as error:
        msg = f"The training columns {path} can't be read: {str(error).splitlines()[0]}."
        raise InputError(msg) from error
    regions: NDArray[np.uint64] = np.asarray(table["regions"], dtype=np.uint64)
    anywhere = np.ones(len(regions), dtype=bool)
    judged = anywhere if bits is None else (regions & bits) != 0
    learned = anywhere.copy() if model.learn_from else judged
    for observable, least, greatest in model.learn_from:
        column = np.asarray(table[observable])
        learned &= column >= (-np.inf if least is None else least)
        learned &= column <= (np.inf if greatest is None else greatest)
    keep = judged | learned
    observables = {name: ak.from_arrow(table[name].combine_chunks())[keep] for name in wanted}
    columns = {
        "weight": np.asarray(table["weight"], dtype=np.float64)[keep],
        "regions": regions[keep],
        "learned": learned[keep],
        "judged": judged[keep],
        "target": np.full(np.count_nonzero(keep), is_signal),
        **{each: np.asarray(table[each], dtype=np.int64)[keep] for each in IDENTITY},
    }
    values = {p.name: _value(process, name, p.name) if is_signal else np.nan for p in model.parameters}
    try:
        if model.candidates:
            observables, columns = _candidates(model, features, observables, columns)
        inputs = stack_inputs(features, observables, values)
    except EventError as error:
        msg = f"{path}: {error}"
        raise EventError(msg) from error
    return {"inputs": inputs, **columns}


def _candidates(
    model: Model, features: Card, observables: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return features and other columns of the candidates whose truth is known, each as an event of its own."""
    truth = observables[model.candidates]
    if truth.ndim != 2:
        msg = f"the truth of candidates, {model.candidates}, has one value an event; it must be a list."
        raise EventError(msg)
    flat, counts = per_candidate(features, observables)
    if not np.array_equal(counts, ak.num(truth, axis=1)):
        msg = f"the truth of candidates, {model.candidates}, has other numbers of entries than the features."
        raise EventError(msg)
    right = ak.to_numpy(ak.flatten(truth)).astype(np.float64)
    known = np.isfinite(right)
    repeated = {name: np.repeat(values, counts)[known] for name, values in columns.items()}
    repeated["target"] = right[known] > 0
    return {name: values[known] for name, values in flat.items()}, repeated
