"""Events as coffea's own NanoEvents, over the columns that this package reads.

Schemas, behaviors and cross references are coffea's; only the bytes come from elsewhere: the columns that an analysis
touches are read together, and what a file's branches are is worked out once per file rather than once per chunk.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
from coffea import nanoevents
from coffea.nanoevents.mapping import UprootSourceMapping
from coffea.nanoevents.mapping.base import Accessed
from coffea.nanoevents.mapping.uproot import TrivialUprootOpener
from coffea.nanoevents.schemas import BaseSchema
from coffea.nanoevents.util import tuple_to_key

from colonnade.errors import ConfigError, nearest
from colonnade.events.chunk import EntryRange
from colonnade.events.files import Handle
from colonnade.events.paths import is_remote
from colonnade.events.reading import branches_of, known_metadata, open_source
from colonnade.events.root import TTreeReader
from colonnade.events.source import Raw, SourceFile, named
from colonnade.faults import translated
from colonnade.kinematics.layouts import read_only

_OFFSETS = ":"
# how coffea's forms say: the values of a branch, jagged or not
_CONTENT = (["!load", "!content"], ["!load"])
# and how: where each event's objects start, by their counter
_COUNTED = ["!load", "!counts2offsets", "!skip", "!offsets"]


def find_nano_schema(name: str | type | None) -> type:
    """Return a schema of coffea, by default `NanoAODSchema`.

    Parameters
    ----------
    name
        Its name in `coffea.nanoevents`, or the class itself.

    Raises
    ------
    ConfigError
        If coffea has no schema of this name.
    """
    if isinstance(name, type):
        return name
    known = {
        key: value
        for key, value in vars(nanoevents).items()
        if isinstance(value, type) and issubclass(value, BaseSchema)
    }
    wanted = name or "NanoAODSchema"
    if wanted not in known:
        msg = f"coffea has no schema {wanted!r}{nearest(wanted, known)}; it has {', '.join(known)}."
        raise ConfigError(msg)
    return known[wanted]


def lenient(schema: type) -> type:
    """Return a schema that also takes files without run, luminosityBlock and event, which coffea refuses by default."""
    if not getattr(schema, "error_missing_event_ids", False):
        return schema
    return type(schema.__name__, (schema,), {"error_missing_event_ids": False})


def read_nanoevents(
    source: SourceFile,
    start: int,
    stop: int,
    branches: Sequence[str],
    metadata: Mapping[str, Any],
    schema: type,
    *,
    threads: int = 1,
    touched: list[Any] | None = None,
    shared: bool = False,
) -> ak.Array:
    """Return a chunk as coffea's NanoEvents, every array of which is virtual.

    Parameters
    ----------
    source
        The file, as `inspect_file` saw it.
    start, stop
        The entry range, stop exclusive.
    branches
        What to read at once, as `learn_branches` found it; others are read when they are touched.
    metadata
        What ``events.metadata`` gives beside dataset, filename, treename, fileuuid, entrystart and entrystop.
    schema
        From `find_nano_schema`.
    threads
        How many branches are unpacked at a time.
    touched
        Where it is noted which branches are used.
    shared
        Whether several shifts of an analysis use the columns, so that they can't be written to.

    Raises
    ------
    InputError
        If the file can't be read, or is not the one that was inspected.
    ConfigError
        If the schema does not fit the file.
    TransientInputError
        If its server does not answer at the moment.
    """
    handle = open_source(source)
    known = known_metadata(source, start, stop, metadata)
    template = handle.plans.get(schema)
    if template is None:
        template = handle.plans[schema] = _template(handle, schema)
    if not isinstance(handle.reader, TTreeReader):
        return template(known, start, stop, touched)
    read = branches_of(handle, source, start, stop, threads)
    mapping = (_Shared if shared else _Branches)(
        handle, start, stop, read, branches, touched, issubclass(schema, nanoevents.NanoAODSchema)
    )
    key = tuple_to_key((known["fileuuid"], source.tree, f"{start}-{stop}"))
    return nanoevents.NanoEventsFactory(_WithMetadata(template, known), mapping, key, mode="virtual").events()


def learn_branches(
    source: SourceFile,
    start: int,
    stop: int,
    use: Callable[[ak.Array], object],
    metadata: Mapping[str, Any],
    schema: type,
) -> tuple[str, ...]:
    """Find the branches that an analysis touches, by running it on a few events; a colon says with offsets.

    Parameters
    ----------
    source
        A file that stands for its dataset.
    start, stop
        The entry range, stop exclusive.
    use
        The analysis.
    metadata, schema
        As for `read_nanoevents`.
    """
    touched: list[Any] = []
    use(read_nanoevents(source, start, stop, (), metadata, schema, touched=touched))
    return touched_branches(touched)


def touched_branches(touched: Sequence[Any]) -> tuple[str, ...]:
    """Return the branches that were noted, sorted; a colon says with offsets."""
    found: dict[str, bool] = {}
    for each in touched:
        steps = _Branches.interpret_key(each.buffer_key)[-1][1:]
        found[each.branch] = found.get(each.branch, False) or steps not in _CONTENT
    return tuple(sorted(name + _OFFSETS * offsets for name, offsets in found.items()))


def events_of_coffea(
    source: SourceFile,
    start: int,
    stop: int,
    branches: Sequence[str],
    metadata: Mapping[str, Any],
    chunk: EntryRange,
    **options: Any,
) -> ak.Array:
    """Return events that a schema of coffea makes, for an analysis of this package.

    Their columns can't be written to, and ``genWeight`` is the column that the manifest names as the weight. Arguments
    are those of `read_nanoevents`, which does the work, and the source columns of the entry range.
    """
    schema = find_nano_schema(source.schema)
    events = read_nanoevents(source, start, stop, branches, metadata, schema, shared=True, **options)
    if source.weight:
        events["genWeight"] = read_only(np.asarray(chunk.values(chunk.catalog.columns["genWeight"])))
    return events


class _WithMetadata:
    """A schema of a file, with the metadata of one chunk of it; the shape that coffea's factory asks for."""

    def __init__(self, schema: Any, metadata: Mapping[str, Any]) -> None:
        parameters = schema.form["parameters"]
        # the schema may have noted its version
        together = {**metadata, **parameters.get("metadata", {})}
        self.form = {**schema.form, "parameters": {**parameters, "metadata": together}}
        self.behavior = schema.behavior


class _Branches(UprootSourceMapping):  # type: ignore[misc]  # coffea has no types
    """The branches of a chunk as coffea's factory asks for them, read by this package."""

    def __init__(
        self,
        handle: Handle,
        start: int,
        stop: int,
        read: Callable[[Sequence[str], Collection[str]], Mapping[str, Raw]],
        together: Sequence[str],
        touched: list[Any] | None,
        counted: bool,
    ) -> None:
        file = handle.reader.file.uproot
        opener = TrivialUprootOpener({str(file.file.uuid): handle.path})
        super().__init__(opener, start, stop, cache={}, access_log=touched, file_handle=file, virtual=True)
        self._names = frozenset(handle.reader.names)
        self._read, self._reader = read, handle.reader
        here = {name.removesuffix(_OFFSETS): name.endswith(_OFFSETS) for name in together}
        here = {name: offsets for name, offsets in here.items() if name in self._names}
        self._raws = dict(read(list(here), [name for name, offsets in here.items() if not offsets])) if here else {}
        #: what can be given at once: counters, what they count, and one number an event; so NanoAOD is made
        self._whole = frozenset(name for name in here if counted and self._is_whole(name))

    def __getitem__(self, key: str) -> Any:
        """Return a buffer where its branch is read already, else what makes it when it is touched.

        The values of a branch are the most common, and need nothing of coffea.
        """
        name, *steps = self.interpret_key(key)[-1]
        if steps in _CONTENT and name in self._names:
            make = functools.partial(self._content, name, key)
        else:
            make = super().__getitem__(key)
        return make() if name in self._whole and (steps in _CONTENT or steps == _COUNTED) else make

    def _is_whole(self, name: str) -> bool:
        counter = f"n{name.partition('_')[0]}"
        if counter in self._names:
            return counter in self._raws
        return not self._reader.form(name)[0]

    def _content(self, name: str, key: str) -> Any:
        if self._access_log is not None:
            self._access_log.append(Accessed(name, key))
        raw = self._raws.get(name)
        if raw is None:
            raw = self._raws[name] = self._read([name], [name])[name]
        return ak.to_numpy(raw.content) if isinstance(raw.content, ak.contents.Content) else raw.content

    def _column_source(self, uuid: str, path_in_source: str) -> Any:
        del uuid
        return self._file_handle[path_in_source]

    def get_column_handle(self, columnsource: Any, name: str, allow_missing: bool) -> Any:
        """Return a branch's name; of a split object, or where it may be missing, the branch as uproot has it."""
        here = name in self._names and not allow_missing
        return name if here else super().get_column_handle(columnsource, name, allow_missing)

    def extract_column(
        self,
        columnhandle: Any,
        start: int,
        stop: int,
        allow_missing: bool,
        use_ak_forth: bool = True,
    ) -> Any:
        """Return a branch's values."""
        if not isinstance(columnhandle, str):
            return super().extract_column(columnhandle, start, stop, allow_missing, use_ak_forth)
        raw = self._raws.get(columnhandle)
        if raw is None or raw.offsets is None:  # which may have been left out
            raw = self._raws[columnhandle] = self._read([columnhandle], [])[columnhandle]
        content = raw.content if isinstance(raw.content, ak.contents.Content) else ak.contents.NumpyArray(raw.content)
        if raw.offsets is not None:
            content = ak.contents.ListOffsetArray(ak.index.Index64(raw.offsets), content)
        return ak.Array(content)


class _Shared(_Branches):
    """The same for several shifts of an analysis, none of which can change it for another."""

    def __getitem__(self, key: str) -> Any:
        make = super().__getitem__(key)
        return (lambda: read_only(np.asarray(make()))) if callable(make) else read_only(make)


def _template(handle: Handle, schema: type) -> Any:
    """Return what all chunks of a file share: the schema of its tree, or how coffea itself makes events of it."""
    where = named(handle.path, handle.tree)
    kind, factory = lenient(schema), nanoevents.NanoEventsFactory
    with translated(f"{where} can't be read by {schema.__name__}", remote=is_remote(handle.path)):
        if handle.tree:
            file = handle.reader.file.uproot
            make = functools.partial(factory.from_root, file, treepath=handle.tree, schemaclass=kind)
            if issubclass(schema, nanoevents.EDM4HEPSchema | nanoevents.FCCSchema):  # as coffea itself reads such files
                make = functools.partial(make, iteritems_options={"filter_name": "/^(?!.*(PARAMETERS|_.*Map))/"})
        else:
            make = functools.partial(factory.from_parquet, handle.path, schemaclass=kind)
        if not isinstance(handle.reader, TTreeReader):
            return functools.partial(_coffea_events, make)
        with warnings.catch_warnings():
            # of what a file lacks its analysis will say so, if it asks for it
            warnings.simplefilter("ignore")
            made = make(mode="virtual", entry_start=0, entry_stop=0)
        return made.__getstate__()["schema"]


def _coffea_events(
    make: Callable[..., Any], metadata: Mapping[str, Any], start: int, stop: int, touched: list[Any] | None
) -> ak.Array:
    options = {"metadata": dict(metadata), "mode": "virtual", "access_log": touched}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(entry_start=start, entry_stop=stop, **options).events()
