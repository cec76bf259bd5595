"""Writing some events of a file in NanoAOD's layout: a skim."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import numpy.typing as npt

from colonnade.errors import InputError
from colonnade.events.catalog import Catalog, Column
from colonnade.events.chunk import EntryRange, as_layout
from colonnade.events.files import Handle, open_handle
from colonnade.events.reading import branches_of, inspect_file
from colonnade.output import replacing

Places = npt.NDArray[np.int64]
#: Without these a skim is no input, whatever is asked for.
_ALWAYS = ("run", "luminosityBlock", "event", "genWeight")
#: The schemas whose columns are kept under the names that the file gives them.
AS_THEY_ARE = ("nanoaod", "flat")
#: What the Runs tree adds up over the events that were made; its other columns are means, or name the run.
_SUMS = ("genEventCount", "genEventSumw", "genEventSumw2")


@dataclasses.dataclass(frozen=True)
class Skim:
    """Which columns of a file are written, and how.

    Attributes
    ----------
    columns
        Names or globs; what identifies and weighs an event is always there.
    layout
        A TTree or an RNTuple.
    schema
        The layout of the input, where neither the manifest nor the tree says it.
    """

    columns: tuple[str, ...] = ("*",)
    layout: Literal["ttree", "rntuple"] = "ttree"
    schema: str | None = None


def write_skim(path: Path, skim: Skim, about: Any, kept: Places, also: Collection[str] = ()) -> tuple[str, list[str]]:
    """Write some events of an entry range to a ROOT file, with the share of the ``Runs`` tree that is the range's.

    Parameters
    ----------
    path
        The file, written whole or not at all.
    skim
        What is written.
    about
        ``events.metadata`` of the range: filename, treename, entrystart, entrystop, schema, weight.
    kept
        Which events of the range.
    also
        Columns to write beside those that `skim` names.

    Returns
    -------
    schema
        The schema by which the input was read; columns of one not in `AS_THEY_ARE` get NanoAOD's names and units.
    left_out
        Columns that were asked for and can't be written: those of a type that ROOT's writer does not know.

    Raises
    ------
    InputError
        If no column matches.
    OutputError
        If the file can't be written.
    """
    import uproot

    weight = about.get("weight")
    source = inspect_file(
        about["filename"],
        about.get("treename") or None,
        about.get("schema") or skim.schema,
        None if weight == "1" else weight,
    )
    handle = open_handle(source.path, source.tree or None, source.schema, source.weight)
    start, stop = int(about["entrystart"]), int(about["entrystop"])
    chunk = EntryRange(handle.catalog, stop - start, branches_of(handle, source, start, stop), source.path)
    content, left_out = _content(chunk, _chosen(handle.catalog, skim.columns, also, source.path), kept, skim.layout)
    runs = _runs(handle, chunk, start, stop)
    with replacing(path) as temporary, uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file:
        if skim.layout == "rntuple":
            file.mkrntuple("Events", ak.Array(content))
        else:
            kinds = {name: values.type.content for name, values in content.items()}
            file.mktree("Events", kinds).extend(content)
        file.mktree("Runs", {name: values.type.content for name, values in runs.items()}).extend(runs)
    return handle.catalog.schema, left_out


def _chosen(catalog: Catalog, patterns: Sequence[str], also: Collection[str], path: str) -> dict[str, Column]:
    """Return the columns to write, under the names that they get."""
    as_they_are = catalog.schema in AS_THEY_ARE
    candidates: dict[str, Column] = {}
    for name, column in catalog.columns.items():
        if not column.made and (column.source is not None or not as_they_are):
            candidates.setdefault(column.source if as_they_are and column.source else name, column)
    for pattern in patterns:
        if not fnmatch.filter(candidates, pattern):
            msg = f"{path} has no column that matches {pattern!r}, which the skim asks for; correct the pattern."
            raise InputError(msg)
    wanted = {*_ALWAYS, *also}
    return {
        name: column
        for name, column in candidates.items()
        if column.name in wanted or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def _content(
    chunk: EntryRange, columns: dict[str, Column], kept: Places, layout: str
) -> tuple[dict[str, Any], list[str]]:
    """Return what is written, by name: values of events, lists of values, and of a TTree records of objects."""
    groups = chunk.catalog.groups
    written: dict[str, Any] = {}
    records: dict[str, dict[str, Any]] = {}
    left_out = []
    for name, column in columns.items():
        group = groups.get(column.group) if column.group else None
        values = as_layout(chunk.values(column))
        if group is not None and group.jagged:
            values = ak.contents.ListOffsetArray(ak.index.Index64(chunk.offsets(group)), values)
        values = ak.to_packed(ak.Array(values)[kept])
        depth = 2 if values.layout.is_list else 1
        if not _is_plain(values.layout) or values.layout.purelist_depth != depth:
            left_out.append(name)
        elif group is not None and group.jagged and name.startswith(f"{group.name}_"):
            records.setdefault(group.name, {})[name[len(group.name) + 1 :]] = values
        else:
            written[name] = values
    counted = {f"n{name}" for name in records} | {f"n{name}" for name, each in written.items() if each.ndim > 1}
    if layout == "ttree":  # whose lists bring their own counters
        written = {name: values for name, values in written.items() if name not in counted}
        return written | {name: ak.zip(fields, depth_limit=2) for name, fields in records.items()}, left_out
    for name, fields in records.items():
        written.setdefault(f"n{name}", ak.values_astype(ak.num(next(iter(fields.values()))), np.int32))
        written |= {f"{name}_{field}": values for field, values in fields.items()}
    return written, left_out


def _is_plain(layout: Any) -> bool:
    content = layout.content if layout.is_list else layout
    return bool(content.is_numpy) and content.parameter("__array__") is None and content.data.ndim == 1


def _runs(handle: Handle, chunk: EntryRange, start: int, stop: int) -> dict[str, Any]:
    """Return the Runs tree: the file's, whose sums are shared over its entries, or what the events add up to."""
    file = handle.reader.file
    if file is not None and "Runs" in file.kinds:
        runs = file.uproot["Runs"].arrays()
        content = {name: ak.Array(ak.to_packed(runs[name])) for name in ak.fields(runs)}
        for name in content.keys() & {*_SUMS, *(f"{each}_" for each in _SUMS)}:
            content[name] = ak.Array(_share(np.asarray(content[name]), start, stop, handle.reader.entries))
        lists = {name for name, values in content.items() if values.ndim > 1}
        plain = {name: values for name, values in content.items() if name not in {f"n{each}" for each in lists}}
        return {name: values for name, values in plain.items() if _is_plain(values.layout)}
    sums = {"genEventCount": np.array([chunk.length], dtype=np.int64)}
    column = chunk.catalog.columns.get("genWeight")
    if column is not None:
        weights = np.asarray(chunk.values(column), dtype=np.float64)
        sums |= {"genEventSumw": np.array([weights.sum()]), "genEventSumw2": np.array([np.square(weights).sum()])}
    return {name: ak.Array(value) for name, value in sums.items()}


def _share(values: npt.NDArray[Any], start: int, stop: int, entries: int) -> npt.NDArray[Any]:
    """Return what an entry range has of a file's sums; the shares of whole numbers are whole and add up."""
    if values.dtype.kind in "iu":
        shares = [int(each) * stop // entries - int(each) * start // entries for each in values]
        return np.array(shares, dtype=values.dtype)
    return np.asarray(values * ((stop - start) / entries), dtype=values.dtype)
