"""Writing events in NanoAOD's layout: the trees `Events` and `Runs`, and a note on how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from colonnade.samples.detector import Collection
from colonnade.samples.particles import Floats

NOTE = "colonnade"


@dataclass(frozen=True)
class Block:
    """A fixed range of a dataset's events, made with its own seeds.

    Attributes
    ----------
    number
        Counts the dataset's blocks from 0.
    first
        The number of its first event, from 1.
    weights
        Generator weights.
    collections
        What the detector saw.
    cross_section
        Pythia's estimate in pb, filter included.
    kept, seen
        Hard processes that the filter kept and saw; both 0 without a filter.
    """

    number: int
    first: int
    weights: Floats
    collections: Mapping[str, Collection]
    cross_section: float
    kept: int
    seen: int


@dataclass(frozen=True)
class Provenance:
    """How a file was made, as it is written beside the events.

    Attributes
    ----------
    fingerprint
        Hash of the settings, of the code and of the generator's version.
    events, sumw
        Events and sum of weights in the file.
    cross_section_pb
        The generator's own leading-order estimate, filter included; for comparison with the manifest's.
    filter_efficiency, filter_error
        Share of hard processes kept, and its statistical error.
    generate
        The manifest's settings.
    versions
        Of the generator and the jet finder.
    """

    fingerprint: str
    events: int
    sumw: float
    cross_section_pb: float
    filter_efficiency: float
    filter_error: float
    generate: Mapping[str, Any]
    versions: Mapping[str, str]


def join(parts: Sequence[Mapping[str, Collection]]) -> dict[str, Collection]:
    """Put batches of the same collections one after the other."""
    joined = {}
    for name in parts[0]:
        collections = [part[name] for part in parts]
        columns = {key: np.concatenate([one.columns[key] for one in collections]) for key in collections[0].columns}
        counts = [one.counts for one in collections if one.counts is not None]
        joined[name] = Collection(np.concatenate(counts) if counts else None, columns)
    return joined


def write_ntuple(path: Path, blocks: Iterable[Block], provenance: Mapping[str, Any]) -> Provenance:
    """Write blocks in their order; return what was written.

    Parameters
    ----------
    path
        The file; it is overwritten.
    blocks
        In the order of their numbers; taken one at a time.
    provenance
        `fingerprint`, `generate` and `versions` of the note.
    """
    events, sumw, sumw2 = 0, 0.0, 0.0
    sections: list[float] = []
    kept = seen = 0
    with uproot.recreate(path) as file:
        for block in blocks:
            columns = _columns(block)
            if "Events" not in file:
                file.mktree("Events", {name: _kind(values) for name, values in columns.items()})
            file["Events"].extend(columns)
            events += len(block.weights)
            sumw += float(block.weights.sum())
            sumw2 += float((block.weights**2).sum())
            sections.append(block.cross_section)
            kept, seen = kept + block.kept, seen + block.seen
        efficiency = kept / seen if seen else 1.0
        note = Provenance(
            events=events,
            sumw=sumw,
            cross_section_pb=float(np.mean(sections)),
            filter_efficiency=efficiency,
            filter_error=float(np.sqrt(efficiency * (1.0 - efficiency) / seen)) if seen else 0.0,
            **provenance,
        )
        file["Runs"] = {
            "run": np.ones(1, dtype=np.uint32),
            "genEventCount": np.array([events], dtype=np.int64),
            "genEventSumw": np.array([sumw]),
            "genEventSumw2": np.array([sumw2]),
        }
        file[NOTE] = json.dumps(asdict(note), sort_keys=True)
    return note


def read_provenance(path: Path) -> Provenance | None:
    """Return how a file was made, or None if it was not made here (or is no whole ROOT file)."""
    try:
        with uproot.open(path) as file:
            return Provenance(**json.loads(str(file[NOTE])))
    except Exception:
        return None


def _columns(block: Block) -> dict[str, Any]:
    """Return the branches of a block: jagged collections as records, the rest flat."""
    number = len(block.weights)
    columns: dict[str, Any] = {
        "run": np.ones(number, dtype=np.uint32),
        "luminosityBlock": np.full(number, block.number + 1, dtype=np.uint32),
        "event": np.arange(block.first, block.first + number, dtype=np.uint64),
        "genWeight": block.weights.astype(np.float32),
    }
    for name, collection in block.collections.items():
        compact = {key: _compact(values) for key, values in collection.columns.items()}
        if collection.counts is None:
            columns |= {f"{name}_{key}": values for key, values in compact.items()}
        else:
            columns[name] = ak.zip({key: ak.unflatten(values, collection.counts) for key, values in compact.items()})
    return columns


def _compact(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def _kind(values: Any) -> Any:
    """Return the type of a branch as uproot's mktree takes it."""
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content
