"""Runs whose chunks write files: skims of the events that an analysis selects, and the identities of all events.

Each chunk of a skim becomes one file, and a chunk of which nothing is left keeps its first event. So the skim is split
into the same chunks as its input, and an analysis whose preselection drops that event again makes of it the same bits.

Events that are there twice are found by run, luminosity block and event, in bounded memory. Each chunk writes the
identities of its events to a file, sorted into `BUCKETS` parts by a hash; then each part of all chunks is sorted by
itself, so that one part of the events is in memory at a time. An event takes 16 bytes of the disk.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import heapq
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from colonnade.errors import ConfigError, InputError, nearest
from colonnade.events.writing import AS_THEY_ARE, Skim, write_skim
from colonnade.execution.cache import ResultCache, stamp
from colonnade.execution.ledger import DatasetLedger, Ledger
from colonnade.execution.run import run_datasets
from colonnade.kinematics.collections import mixed
from colonnade.manifest import Dataset
from colonnade.output import write_json
from colonnade.processor.corrections import countable
from colonnade.processor.pieces import Chunk

_FIRST = np.zeros(1, dtype=np.int64)


class ChunkFiles:
    """The files that chunks became, by dataset and in order; adds as histograms do, so that execution merges it.

    Attributes
    ----------
    parts
        Dataset to, for each file: its path and what else is known of it; of a skim what tells it from its replacement,
        the number of selected events, the schema of its input, and the columns that could not be written.
    """

    def __init__(self, parts: Mapping[str, Sequence[Any]]) -> None:
        self.parts = {name: list(files) for name, files in parts.items()}

    def __iadd__(self, other: ChunkFiles) -> ChunkFiles:
        for name, files in other.parts.items():
            self.parts.setdefault(name, []).extend(files)
        return self

    def __add__(self, other: ChunkFiles) -> ChunkFiles:
        total = ChunkFiles(self.parts)
        total += other
        return total

    def __mul__(self, _: float) -> ChunkFiles:
        return self

    def complete(self) -> bool:
        """Tell whether each file is there as it was written."""
        return all(stamp(path) == found for files in self.parts.values() for path, found, *_ in files)


class SkimCache(ResultCache):
    """Results of chunks, as long as the files that these wrote are there unchanged."""

    def get(self, key: str) -> Any:
        """Return a kept result; None where there is none, or files of it are gone."""
        result = super().get(key)
        return result if result is not None and result["histograms"]["skim"].complete() else None


class _Skimming:
    """A mixin in front of an analysis class whose `process` writes the selected events instead of filling them."""

    stitches = False

    skim_folder: str
    skim_cuts: Sequence[str]
    skim_wanted: Skim

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        about = {**events.metadata}
        analysis: Any = self
        parts = ChunkFiles({})
        if "@learning" in events.attrs:
            # what else the analysis reads is wanted, too; what it can't fill it says when it is run
            with contextlib.suppress(ConfigError):
                super().process(events)  # type: ignore[misc]  # the analysis's
        elif not self.skim_cuts:
            analysis = copy.copy(self)
            analysis.scorers = {}  # no region, no score
        passed, sumw = analysis.kept(events, self.skim_cuts)
        if "@learning" not in events.attrs:
            touched = _columns(events.attrs["@layout"])
            places = np.flatnonzero(passed)
            path = Path(self.skim_folder) / about["dataset"] / file_name(about)
            written = write_skim(path, self.skim_wanted, about, places if len(places) else _FIRST, touched)
            parts = ChunkFiles({about["dataset"]: [[str(path), stamp(str(path)), len(places), *written]]})
        return {about["dataset"]: {"histograms": {"skim": parts}, "events": len(events), "sumw": sumw}}


def _columns(layout: Any) -> list[str]:
    """Return the columns that an analysis read of these events, which a skim that it can read has, too."""
    found = []
    for name in layout.fields:
        inner = layout.content(name)
        inner = inner.content if inner.is_list else inner
        fields = (
            {f"{name}_{field}": inner.content(field) for field in inner.fields} if inner.is_record else {name: inner}
        )
        found += [each for each, content in fields.items() if content.is_any_materialized]
    return found


def file_name(about: Mapping[str, Any]) -> str:
    """Return the name of a chunk's file: files of one name in several folders must not meet."""
    path = Path(about["filename"])
    place = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    return f"{path.stem}-{place}-{about['entrystart']}-{about['entrystop']}.root"


@dataclass(frozen=True)
class SkimResult:
    """What a skim is told with, when it is done."""

    manifest: Path
    ledger: Ledger
    events: Mapping[str, int]
    left_out: Sequence[str]


def write_skims(
    processor: Any,
    datasets: Sequence[Dataset],
    folder: Path,
    *,
    wanted: Skim,
    regions: Sequence[str] = (),
    cache: ResultCache | None = None,
    **options: Any,
) -> SkimResult:
    """Write what an analysis selects of some datasets to ROOT files, and a manifest of them.

    Kept are the events that pass the preselection, nominal or under any shift. Signal regions are not looked at: of
    data the same events are kept as of simulation, and an analysis of the skim is as blind as one of its input.

    Parameters
    ----------
    processor
        The analysis, or that of each era.
    datasets
        What to read.
    folder
        Where the files go, a folder a dataset, with ``datasets.json`` and ``ledger.json``.
    wanted
        What is written of each event.
    regions
        Keep only events in any of these.
    cache
        Where results of chunks are kept, so that an interrupted skim goes on where it was.
    **options
        As `run_datasets` takes them: luminosity, executor, chunk_size, schema, allow_loss, progress.

    Returns
    -------
    object
        ``manifest``, its path; ``ledger``; ``events``, how many of each dataset are in the skim; ``left_out``, the
        columns that could not be written.

    Raises
    ------
    ConfigError
        If a region is unknown, or the skim would be written over its own input.
    LossError
        If more events were lost than allowed; the skim is written and normalised to what was processed.
    """
    example = next(iter(processor.values())) if isinstance(processor, Mapping) else processor
    for name in regions:
        if name not in example.regions:
            known = example.regions
            msg = f"skim.regions names the region {name!r}, which the processor does not have{nearest(name, known)}."
            raise ConfigError(msg)
    folder = folder.absolute()
    for dataset in datasets:
        _check_apart(dataset, folder)
    skimming: Any = _skimming(example, folder, regions, wanted)
    if isinstance(processor, Mapping):
        skimming = {era: _skimming(one, folder, regions, wanted) for era, one in processor.items()}
    kept = None if cache is None else SkimCache(cache.folder, cache.limit, cache.declared, cache.columns)
    result = run_datasets(skimming, datasets, cache=kept, **options)
    parts = ChunkFiles({})
    for block in result.histograms["skim"].values():
        parts += block
    entries = {dataset.name: _entry(dataset, parts, result.ledger, folder) for dataset in datasets}
    write_json(folder / "datasets.json", entries)
    result.ledger.write(folder / "ledger.json")
    _remove_others(folder, parts)
    result.ledger.check()
    events = {name: sum(part[2] for part in files) for name, files in parts.parts.items()}
    left_out = sorted({column for files in parts.parts.values() for part in files for column in part[4]})
    return SkimResult(folder / "datasets.json", result.ledger, events, left_out)


def _skimming(processor: Any, folder: Path, regions: Sequence[str], wanted: Skim) -> Any:
    skimming = copy.copy(processor)
    skimming.__class__ = type("Skimming", (_Skimming, type(processor)), {"__module__": __name__})
    skimming.skim_folder, skimming.skim_cuts, skimming.skim_wanted = str(folder), tuple(regions), wanted
    return skimming


def _check_apart(dataset: Dataset, folder: Path) -> None:
    place = os.path.realpath(folder)
    paths = [path for path, _ in dataset.expand() if "://" not in path]
    for path in (*paths, str(dataset.folder / "datasets.json")):
        if Path(os.path.realpath(path)).is_relative_to(place):
            msg = (
                f"Dataset {dataset.name}: a skim in {folder} would be written over its own input {path}; name another."
            )
            raise ConfigError(msg)


def _entry(dataset: Dataset, parts: ChunkFiles, ledger: Ledger, folder: Path) -> dict[str, Any]:
    """Return a dataset's entry in the manifest of the skim: it stands for all events that were processed."""
    about = dataset.metadata.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    account: DatasetLedger = ledger.datasets[dataset.name]
    about.pop("generate", None)
    about["source"] = f"skim of {dataset.name}" + (f"; {about['source']}" if "source" in about else "")
    if dataset.metadata.kind == "data":
        if account.luminosity_lost:
            about["luminosity"] = (dataset.metadata.luminosity or 0.0) - account.luminosity_lost
        if dataset.luminosity_mask is not None:
            about["luminosity_mask"] = str(dataset.luminosity_mask)
    elif dataset.metadata.weighted_to is not None:
        about["weighted_to"] = dataset.metadata.weighted_to * account.sumw
        about["sumw"] = account.sumw_processed  # tells that there were more events
    else:
        about["sumw"] = account.sumw
    schema = parts.parts[dataset.name][0][3]
    if schema not in AS_THEY_ARE:
        schema = "nanoaod"
        if about.get("weight", "1") != "1":
            del about["weight"]  # its column is called genWeight now
    about["schema"] = schema
    files = {str(Path(path).relative_to(folder)): "Events" for path, *_ in parts.parts[dataset.name]}
    return {"files": files, "metadata": about}


def _remove_others(folder: Path, parts: ChunkFiles) -> None:
    """Remove files of earlier skims: what the folder holds is this one."""
    for name, files in parts.parts.items():
        mine = {Path(path) for path, *_ in files}
        for path in (folder / name).glob("*.root"):
            if path not in mine:
                path.unlink()


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
