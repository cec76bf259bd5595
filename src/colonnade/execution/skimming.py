"""Skims: the events that an analysis selects, written to ROOT files chunk by chunk, with a manifest of their own.

Each chunk becomes one file, and a chunk of which nothing is left keeps its first event. So the skim is split into the
same chunks as its input, and an analysis whose preselection drops that event again makes of it the same bits.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from colonnade.errors import ConfigError, nearest
from colonnade.events.writing import AS_THEY_ARE, Skim, write_skim
from colonnade.execution.cache import ResultCache
from colonnade.execution.ledger import DatasetLedger, Ledger
from colonnade.execution.run import run_datasets
from colonnade.manifest import Dataset, load_manifest
from colonnade.output import write_json

_FIRST = np.zeros(1, dtype=np.int64)


class ChunkFiles:
    """The files that chunks became, by dataset and in order; adds as histograms do, so that execution merges it.

    Attributes
    ----------
    parts
        Dataset to, for each file: its path, size, time of change in nanoseconds, and what else is known of it; of a
        skim the number of selected events, the schema of its input, and the columns that could not be written.
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
        return all(
            _stamp(Path(path)) == (size, time) for files in self.parts.values() for path, size, time, *_ in files
        )


class SkimCache(ResultCache):
    """Results of chunks, as long as the files that these wrote are there unchanged."""

    def get(self, key: str) -> Any:
        """Return a kept result; None where there is none, or files of it are gone."""
        result = super().get(key)
        return result if result is not None and result["histograms"]["skim"].complete() else None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


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
            parts = ChunkFiles({about["dataset"]: [[str(path), *(_stamp(path) or ()), len(places), *written]]})
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
    load_manifest(folder / "datasets.json")
    result.ledger.check()
    events = {name: sum(part[3] for part in files) for name, files in parts.parts.items()}
    left_out = sorted({column for files in parts.parts.values() for part in files for column in part[5]})
    return SkimResult(folder / "datasets.json", result.ledger, events, left_out)


def _skimming(processor: Any, folder: Path, regions: Sequence[str], wanted: Skim) -> Any:
    skimming = copy.copy(processor)
    skimming.__class__ = type("Skimming", (_Skimming, type(processor)), {"__module__": __name__})
    skimming.skim_folder, skimming.skim_cuts, skimming.skim_wanted = str(folder), tuple(regions), wanted
    return skimming


def _check_apart(dataset: Dataset, folder: Path) -> None:
    place = os.path.realpath(folder)
    for path, _ in dataset.expand():
        if "://" not in path and Path(os.path.realpath(path)).is_relative_to(place):
            msg = (
                f"Dataset {dataset.name}: a skim in {folder} would be written over its own input {path}; name another."
            )
            raise ConfigError(msg)
    if Path(os.path.realpath(dataset.folder)) == Path(place):
        msg = f"Dataset {dataset.name}: the skim in {folder} would replace the manifest it is read from; name another."
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
    schema = parts.parts[dataset.name][0][4]
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
