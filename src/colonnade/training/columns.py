"""Columns: what a processor computes for its histograms, written as parquet, one file a process: for trainings, dumps.

The columns come from `Processor.columns`, the same code that fills histograms, run by any executor. Each
file has one row an event: `run`, `luminosityBlock`, `event`; `dataset`; `weight`, the events it stands for
at the luminosity; `regions`, whose bit i tells whether it is in region i; and the observables, those of
jagged collections as lists. Where models of k folds are to be trained, `fold` is an event's, 0 to k - 1.
`columns.json` beside them says what they are and where they come from.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from pydantic import Field

from colonnade.config import Settings, parse_settings, read_json
from colonnade.errors import ColonnadeError, ConfigError, InputError, MissingColumnError, nearest
from colonnade.execution import run_datasets
from colonnade.inference import IDENTITY, fold_of
from colonnade.manifest import Dataset
from colonnade.output import replacing, write_json
from colonnade.training.declaration import check_name

COLUMNS_FILE = "columns.json"
_MOST_REGIONS = 64  # bits of a column


class ProcessCard(Settings):
    """One file of the columns."""

    kind: str
    file: str
    sha256: str
    events: int
    expected: float
    signal: dict[str, float | str] = Field(default_factory=dict)


class ColumnsCard(Settings):
    """The contents of a folder of columns, and their origin.

    Attributes
    ----------
    luminosity
        In fb^-1, to which weights are scaled.
    shift
        The variation of the objects.
    regions
        Names of the bits of `regions`.
    observables
        Their columns, and whether one is jagged.
    units
        Where the processor declares them.
    folds
        The k of the column `fold`; 1: there is none.
    processes
        The files.
    ledger
        What became of every event.
    provenance
        Workflow, parameters, versions.
    """

    format: int = 1
    luminosity: float
    shift: str = "nominal"
    regions: tuple[str, ...]
    observables: dict[str, bool]
    units: dict[str, str | None] = Field(default_factory=dict)
    folds: int = 1
    processes: dict[str, ProcessCard]
    ledger: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    def digest(self) -> str:
        """Identify the content, whatever the time or place it was made."""
        files = {name: process.sha256 for name, process in self.processes.items()}
        text = json.dumps([self.luminosity, self.regions, files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class ColumnBlock:
    """Rows of one or more chunks; adds and scales as histograms do, so that execution merges it in order.

    The tables are held as arrow's streams of bytes, which can be kept.
    """

    def __init__(self, tables: Sequence[Any]) -> None:
        self._streams = [_to_stream(table) for table in tables]

    def __iadd__(self, other: ColumnBlock) -> ColumnBlock:
        self._streams += other._streams
        return self

    def __add__(self, other: ColumnBlock) -> ColumnBlock:
        total = ColumnBlock([])
        total._streams = self._streams + other._streams
        return total

    def __mul__(self, factor: float) -> ColumnBlock:
        import pyarrow.compute as pc

        table = self.table()
        place = table.schema.get_field_index("weight")
        return ColumnBlock([table.set_column(place, "weight", pc.multiply(table.column(place), factor))])

    def table(self) -> Any:
        """Return all rows as one arrow table."""
        import pyarrow as pa

        tables = [pa.ipc.open_stream(pa.py_buffer(stream)).read_all() for stream in self._streams]
        return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _to_stream(table: Any) -> np.ndarray[Any, Any]:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


class _Dump:
    """A mixin in front of an analysis class whose `process` returns columns instead of histograms."""

    dumped_shift: str
    wanted: Mapping[str, Any]  # arguments of _table

    def process(self, events: Any) -> dict[str, dict[str, Any]]:
        dataset = events.metadata["dataset"]
        produced = self.columns(events, self.dumped_shift)  # type: ignore[attr-defined]  # the analysis's
        is_data = events.metadata.get("kind") == "data" or "genWeight" not in ak.fields(events)
        sumw = len(events) if is_data else np.asarray(events.genWeight, dtype=np.float64).sum()
        block = ColumnBlock([_table(produced, dataset, **self.wanted)])
        return {dataset: {"histograms": {"columns": block}, "events": len(events), "sumw": float(sumw)}}


def _dumping(processor: Any, shift: str, **wanted: Any) -> Any:
    """Make a processor of the same analysis that gives columns; its class derives from the analysis's.

    So execution finds the modules of the user's project that workers need, as it does for the analysis
    itself.
    """
    dump = copy.copy(processor)
    dump.__class__ = type("Columns", (_Dump, type(processor)), {"__module__": __name__})
    dump.dumped_shift, dump.wanted = shift, wanted
    return dump


def _table(
    produced: Mapping[str, Any],
    dataset: str,
    *,
    observables: Sequence[str] | None,
    regions: Sequence[str],
    folds: int,
    dtype: str,
) -> Any:
    import pyarrow as pa

    given = produced["observables"]
    names = sorted(given) if observables is None else list(observables)
    for name in names:
        if name not in given:
            hint = nearest(name, given)
            msg = f"What is to be written has '{name}', which the processor does not give{hint}."
            raise MissingColumnError(msg)
    weight = np.asarray(produced["weight"], dtype=np.float64)
    bits = np.zeros(len(weight), dtype=np.uint64)
    for place, mask in enumerate(produced["regions"].values()):
        bits |= np.asarray(mask, dtype=np.uint64) << np.uint64(place)
    keep = np.ones(len(weight), dtype=bool)
    if regions:
        keep = np.any([np.asarray(produced["regions"][name]) for name in regions], axis=0)
    columns: dict[str, Any] = {
        name: pa.array(np.asarray(produced[name], dtype=np.int64)[keep]) for name in IDENTITY if name in produced
    }
    if folds > 1:
        columns["fold"] = pa.array(fold_of(produced, folds)[keep].astype(np.uint8))
    columns["dataset"] = pa.array([dataset] * int(keep.sum()), type=pa.string()).dictionary_encode()
    columns["weight"] = pa.array(weight[keep])
    columns["regions"] = pa.array(bits[keep])
    for name in names:
        values = ak.values_astype(ak.fill_none(ak.Array(given[name]), np.nan, axis=-1), dtype)[keep]
        columns[name] = ak.to_arrow(ak.without_parameters(values), extensionarray=False)
    return pa.table(columns)


def write_columns(
    processor: Any,
    datasets: Sequence[Dataset],
    folder: Path,
    *,
    luminosity: float | Mapping[str, float],
    observables: Sequence[str] | None = None,
    regions: Sequence[str] = (),
    units: Mapping[str, str | None] | None = None,
    folds: int = 1,
    shift: str = "nominal",
    dtype: str = "float32",
    provenance: Mapping[str, Any] | None = None,
    **running: Any,
) -> ColumnsCard:
    """Run an analysis over datasets and write its columns.

    Parameters
    ----------
    processor
        The analysis; with eras, that of each.
    datasets
        What to read.
    folder
        Where the files go; those of an earlier call are replaced.
    luminosity
        To which weights are scaled, in fb^-1; with eras, that of each.
    observables
        Which to write; None: all.
    regions
        Keep events of any of these; empty: all that pass the preselection.
    units
        Units of observables, for the card.
    folds
        Write each event's fold of so many.
    shift
        Which variation of the objects: a name on the variation axis.
    dtype
        Of the observables.
    provenance
        What to note.
    **running
        cache, executor, chunk_size, schema, allow_loss and progress, as in `run_datasets`.

    Raises
    ------
    ConfigError
        If a region is unknown.
    MissingColumnError
        If the processor does not give an observable.
    LossError
        If more events were lost than allowed.
    """
    example = next(iter(processor.values())) if isinstance(processor, Mapping) else processor
    declared = list(getattr(example, "regions", {}))
    for name in regions:
        check_name("regions", name, declared)
    if len(declared) > _MOST_REGIONS:
        msg = f"The processor has {len(declared)} regions; columns can tell at most {_MOST_REGIONS} apart."
        raise ConfigError(msg)
    wanted = {"observables": observables, "regions": tuple(regions), "folds": folds, "dtype": dtype}
    dump: Any = _dumping(example, shift, **wanted)
    if isinstance(processor, Mapping):
        dump = {era: _dumping(one, shift, **wanted) for era, one in processor.items()}
    result = run_datasets(dump, datasets, luminosity=luminosity, **running)
    about = {dataset.metadata.process: dataset.metadata for dataset in datasets}
    blocks: Mapping[str, Any] = result.histograms["columns"]
    processes: dict[str, ProcessCard] = {}
    jagged: dict[str, bool] = {}
    for name in sorted(blocks):
        table = blocks[name].table()
        jagged = _jagged(table)
        file = f"{name}.parquet"
        digest = _write(table, folder / file)
        processes[name] = ProcessCard(
            kind=about[name].kind,
            file=file,
            sha256=digest,
            events=table.num_rows,
            expected=float(np.asarray(table["weight"]).sum()),
            signal=dict(about[name].signal),
        )
    card = ColumnsCard(
        luminosity=math.fsum(luminosity.values()) if isinstance(luminosity, Mapping) else luminosity,
        shift=shift,
        regions=tuple(declared),
        observables=jagged,
        units={name: (units or {}).get(name) for name in jagged},
        folds=folds,
        processes=processes,
        ledger=result.ledger.to_json(),
        provenance=dict(provenance or {}),
    )
    write_json(folder / COLUMNS_FILE, card.model_dump(mode="json"))
    result.ledger.check()
    return card


def _jagged(table: Any) -> dict[str, bool]:
    import pyarrow as pa

    plain = {*IDENTITY, "fold", "dataset", "weight", "regions"}
    return {field.name: pa.types.is_nested(field.type) for field in table.schema if field.name not in plain}


def _write(table: Any, path: Path) -> str:
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
        return _sha256(temporary)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_columns(folder: Path, key: str) -> ColumnsCard | None:
    """Return the card of a folder whose files are complete and were made under this key, else None."""
    try:
        card = read_card(folder)
    except ColonnadeError:
        return None
    whole = all(_sha256(folder / process.file) == process.sha256 for process in card.processes.values())
    return card if whole and card.provenance.get("key") == key else None


def read_card(folder: Path) -> ColumnsCard:
    """Read the card of a folder of columns, and check that its files exist.

    Raises
    ------
    ConfigError
        If the folder holds no columns.
    InputError
        If a file is missing.
    """
    path = folder / COLUMNS_FILE
    if not path.is_file():
        msg = f"{folder} holds no training columns (no {COLUMNS_FILE}); write them with `colonnade columns`."
        raise ConfigError(msg)
    card = parse_settings(ColumnsCard, read_json(path), str(path))
    for process in card.processes.values():
        if not (folder / process.file).is_file():
            msg = f"The training columns {folder / process.file} are missing; write the columns again."
            raise InputError(msg)
    return card
