"""Events that are there twice: found by run, luminosity block and event, in bounded memory.

Each chunk writes the identities of its events to a file, sorted into `BUCKETS` parts by a hash; then each part of all
chunks is sorted by itself, so that one part of the events is in memory at a time. An event takes 16 bytes of the disk.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.errors import InputError
from colonnade.execution.run import run_datasets
from colonnade.execution.skimming import ChunkFiles, file_name
from colonnade.kinematics.related import mixed
from colonnade.manifest import Dataset
from colonnade.processor.chunk import Chunk
from colonnade.processor.corrections import countable

BUCKETS = 256
_SHOWN = 20
_Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, order=True)
class Twice:
    """An event that is there more than once.

    Attributes
    ----------
    event
        Run, luminosity block, event.
    places
        Dataset and file of each time, or twice the same where one file holds it twice.
    """

    event: tuple[int, int, int]
    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes
    ----------
    events
        How many events were looked at: of data those that count, by luminosity mask and triggers.
    count
        How many of them are too many.
    first
        The first of those that are there more than once, in order.
    """

    events: int
    count: int
    first: Sequence[Twice]

    def check(self) -> None:
        """Refuse events that count twice.

        Raises
        ------
        InputError
            Naming the first event.
        """
        if not self.count:
            return
        first = self.first[0]
        places = " and in ".join(f"dataset {name}, {path}" for name, path in first.places[:2])
        msg = (
            f"{self.count:,} of {self.events:,} events count twice; the first, run {first.event[0]}, block "
            f"{first.event[1]}, event {first.event[2]}, is in {places}. Leave a file out, or give primary datasets "
            "their triggers and priority."
        )
        raise InputError(msg)


class _Identities:
    """What is run over the events instead of an analysis: it writes who they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        chunk = Chunk.of(events)
        about = events.metadata
        keys = np.empty((len(events), 2), dtype=np.uint64)
        keys[:, 0] = np.asarray(events.run).astype(np.uint64) << np.uint64(32)
        keys[:, 0] |= np.asarray(events.luminosityBlock).astype(np.uint64)
        keys[:, 1] = np.asarray(events.event).astype(np.uint64)
        masks = countable(events, chunk)
        if masks:
            keys = keys[np.all(list(masks.values()), axis=0)]
        files = ChunkFiles({})
        if "@learning" not in events.attrs:
            buckets = _bucket(keys)
            path = Path(self.folder) / f"{chunk.dataset}-{file_name(about)}.npy"
            np.save(path, keys[np.argsort(buckets, kind="stable")])
            counts = np.bincount(buckets, minlength=BUCKETS).tolist()
            files = ChunkFiles({chunk.dataset: [[str(path), about["filename"], counts]]})
        return {chunk.dataset: {"histograms": {"keys": files}, "events": len(events), "sumw": float(len(events))}}


def _bucket(keys: _Keys) -> npt.NDArray[np.int64]:
    return (mixed(mixed(keys[:, 0]) ^ keys[:, 1]) % np.uint64(BUCKETS)).astype(np.int64)


def find_duplicates(datasets: Sequence[Dataset], folder: Path | None = None, **options: Any) -> Duplicates:
    """Find events that are there more than once: of data in all datasets together, of simulation within each.

    Parameters
    ----------
    datasets
        What to look at.
    folder
        Below which identities are kept meanwhile, where all workers see it; by default that of temporary files.
    **options
        As `run_datasets` takes them: executor, chunk_size, schema, progress.

    Raises
    ------
    MissingColumnError
        If events have no run, luminosity block or event.
    """
    with tempfile.TemporaryDirectory(prefix="colonnade-events-", dir=folder) as spool:
        eras = {dataset.metadata.era for dataset in datasets} - {None}
        luminosity: Any = dict.fromkeys(eras, 1.0) if eras else 1.0
        # nothing is scaled, so it need not be known what was generated
        given = [replace(one, metadata=one.metadata.model_copy(update={"sumw": "events"})) for one in datasets]
        result = run_datasets(_Identities(Path(spool)), given, luminosity=luminosity, **options)
        result.ledger.check()
        files = ChunkFiles({})
        for block in result.histograms["keys"].values():
            files += block
        data = [dataset.name for dataset in datasets if dataset.metadata.kind == "data"]
        groups = [data, *([dataset.name] for dataset in datasets if dataset.metadata.kind != "data")]
        first: list[Twice] = []
        count = events = 0
        for group in groups:
            parts = [(name, *part) for name in group for part in files.parts[name]]
            events += sum(sum(part[3]) for part in parts)
            for found, some in _in_buckets(parts):
                count += found
                first = heapq.nsmallest(_SHOWN, [*first, *some])
        return Duplicates(events, count, first)


def _in_buckets(parts: Sequence[tuple[str, str, str, list[int]]]) -> Iterator[tuple[int, list[Twice]]]:
    """Give for each bucket how many events are too many, and the first of them."""
    if not parts:
        return
    keys = [np.load(path, mmap_mode="r") for _, path, *_ in parts]
    counts = np.array([part[3] for part in parts], dtype=np.int64)
    stops = np.cumsum(counts, axis=1)
    for bucket in range(BUCKETS):
        pieces = [
            each[stop - n : stop] for each, stop, n in zip(keys, stops[:, bucket], counts[:, bucket], strict=True)
        ]
        together = np.concatenate(pieces)
        origin = np.repeat(np.arange(len(parts), dtype=np.int32), counts[:, bucket])
        order = np.lexsort((origin, together[:, 1], together[:, 0]))
        together, origin = together[order], origin[order]
        same = np.flatnonzero(np.all(together[1:] == together[:-1], axis=1))
        yield len(same), [_twice(together[place], parts, origin[place : place + 2]) for place in same[:_SHOWN]]


def _twice(key: _Keys, parts: Sequence[tuple[str, str, str, list[int]]], origin: npt.NDArray[np.int32]) -> Twice:
    run, block, event = int(key[0]) >> 32, int(key[0]) & 0xFFFFFFFF, int(key[1])
    return Twice((run, block, event), tuple((parts[place][0], parts[place][2]) for place in origin))
