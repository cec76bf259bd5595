"""What happens in a worker: chunks read, processed, checked, and added to their neighbours."""

from __future__ import annotations

import functools
import math
import platform
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from colonnade.errors import ColonnadeError, EventError, InputError, MissingColumnError
from colonnade.events import read_events, use_events
from colonnade.events.behaviors import UnlearnedColumnError
from colonnade.events.nanoevents import read_nanoevents
from colonnade.execution.cache import ResultCache
from colonnade.execution.coffea_processor import process_events
from colonnade.execution.merging import add
from colonnade.execution.plan import Chunk
from colonnade.execution.project import ProjectCode, install, undeclared, watched
from colonnade.faults import TransientInputError, chain, is_transient, sentence, within
from colonnade.versions import installed

_FRAMEWORKS = {"colonnade", "coffea", "builtins", "abc"}


class ChunkError(Exception):
    """What stopped a chunk, in a form that travels between processes.

    Attributes
    ----------
    reason
        The sentence for the ledger.
    transient
        Whether trying again may help.
    of_input
        Whether an input file is to blame; else it is the analysis, and the run stops.
    place
        Which of the task's chunks it was.
    """

    def __init__(self, reason: str, transient: bool, of_input: bool, place: int = 0) -> None:
        super().__init__(reason, transient, of_input, place)
        self.reason = reason
        self.transient = transient
        self.of_input = of_input
        self.place = place


@dataclass(frozen=True)
class Job:
    """What all chunks of a run share; it travels to each worker once.

    Attributes
    ----------
    processor
        The analysis, with its `process`; where datasets are of declared eras, that of each.
    metadata
        Of each dataset, as `events.metadata` gives it.
    columns
        The columns to read together, for each layout of the input.
    cache
        Where results are kept, if they are.
    patience
        Seconds after which reading is given up as stalled.
    threads
        How many columns a worker unpacks at a time.
    files
        The files that the keys of kept results hold.
    schema
        Of a coffea processor, coffea's schema that its events are made by.
    ready
        Results of this process that columns were learned on: by dataset, path and first entry.
    """

    processor: Any
    metadata: Mapping[str, Mapping[str, Any]]
    columns: tuple[tuple[str, ...], ...]
    cache: ResultCache | None = None
    patience: float = 300.0
    threads: int = 1
    files: frozenset[str] = frozenset()
    schema: type | None = None
    ready: dict[tuple[str, str, int], Any] = field(default_factory=dict)


def processor_of(processor: Any, metadata: Mapping[str, Any]) -> Any:
    """Return the analysis of a dataset: that of its era, where there is one for each."""
    return processor[metadata["era"]] if isinstance(processor, Mapping) else processor


def pack(job: Job, code: ProjectCode) -> bytes:
    """Serialise a job for workers of this run, with the text of the analysis's own modules.

    Parameters
    ----------
    job
        What to send.
    code
        Modules that a worker can't import: those of the user's project.
    """
    blob: bytes = cloudpickle.dumps((code, installed(), cloudpickle.dumps(job)))
    return blob


@functools.lru_cache(maxsize=4)
def _opened(blob: bytes) -> tuple[ProjectCode, Job]:
    code, wanted, inside = cloudpickle.loads(blob)
    difference = version_difference(wanted, installed())
    if difference:
        msg = f"A worker on {platform.node()} {difference}"
        raise ChunkError(msg, transient=False, of_input=False)
    install(code)
    return code, cloudpickle.loads(inside)


def unpack(blob: bytes) -> Job:
    """Restore a job in a worker, once a process.

    Raises
    ------
    ChunkError
        If the worker has other versions of what can change a number.
    """
    code, job = _opened(blob)
    install(code)  # another job may have been at work
    return job


def version_difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return in what two sets of installed packages differ, as the end of a sentence; empty where they agree.

    Examples
    --------
    >>> version_difference({"awkward": "2.14.0"}, {"awkward": "2.13.1"})
    'has awkward 2.13.1 where this process has 2.14.0; install the same versions in both places.'
    """
    different = [name for name in wanted if found.get(name) != wanted[name]]
    if not different:
        return ""
    name = different[0]
    more = f" (and differs in {', '.join(different[1:])})" if len(different) > 1 else ""
    return (
        f"has {name} {found.get(name, 'not at all')} where this process has {wanted[name]}{more}; "
        "install the same versions in both places."
    )


def process(job: Job | bytes, *chunks: Chunk) -> Any:
    """Return the result of a chunk, or the sum of those of some neighbours, added from left to right.

    Parameters
    ----------
    job
        What all chunks share.
    chunks
        At least one.

    Raises
    ------
    ChunkError
        If a chunk has no result, and so there is no sum; says which, why, and whether trying again may help.
    """
    if isinstance(job, bytes):
        job = unpack(job)
    total = None
    for place, chunk in enumerate(chunks):
        try:
            result = _result(job, chunk)
            total = add(total, result) if place else result
        except ChunkError as error:
            error.place = place
            raise
        except EventError as error:
            raise ChunkError(sentence(error), transient=False, of_input=False, place=place) from error
    return total


def _result(job: Job, chunk: Chunk) -> Any:
    """Return a chunk's result: kept from earlier, or by reading and processing its events."""
    kept = job.cache.get(chunk.key) if job.cache is not None and chunk.key else None
    if kept is not None:
        return kept
    result = job.ready.pop((chunk.dataset, chunk.source.path, chunk.start), None) or _processed(job, chunk)
    if job.cache is not None and chunk.key:
        job.cache.put(chunk.key, result)
    return result


def _processed(job: Job, chunk: Chunk) -> Any:
    try:
        return _checked(_used(job, chunk)[chunk.dataset], chunk)
    except MissingColumnError as error:
        # other events may ask for it too: without it, the analysis is not the one that was meant
        raise ChunkError(_located(error, chunk), transient=False, of_input=False) from error
    except (InputError, TransientInputError) as error:
        raise ChunkError(sentence(error), transient=is_transient(error), of_input=True) from error
    except ColonnadeError as error:
        raise ChunkError(_located(error, chunk), transient=False, of_input=False) from error
    except (OSError, MemoryError) as error:
        reason = f"{chunk.source.path}, entries {chunk.start}-{chunk.stop}: {sentence(error)}."
        raise ChunkError(reason, transient=is_transient(error), of_input=True) from error
    except Exception as error:
        failed = analysis_failed(error, processor_of(job.processor, job.metadata[chunk.dataset]), chunk.where)
        raise ChunkError(failed, transient=False, of_input=False) from error


def _located(error: ColonnadeError, chunk: Chunk) -> str:
    reason = sentence(error)
    where = "" if chunk.source.path in reason else f" ({chunk.where})"
    return f"{reason.rstrip('.')}{where}."


def _used(job: Job, chunk: Chunk) -> Any:
    """Read a chunk and return what the analysis makes of it."""
    columns, metadata = job.columns[chunk.layout], job.metadata[chunk.dataset]
    processor = processor_of(job.processor, metadata)

    def read() -> Any:
        place = (chunk.source, chunk.start, chunk.stop, columns, metadata)
        if job.schema is not None:
            return read_nanoevents(*place, job.schema, threads=job.threads)
        kept, places = (None, None) if job.cache is None else (job.cache.columns, job.cache.places)
        return read_events(*place, threads=job.threads, kept=kept, places=places)

    events = within(job.patience, f"{chunk.source.path}, entries {chunk.start}-{chunk.stop},", read)
    unlearned = UnlearnedColumnError.raised
    try:
        with watched() as opened:
            result = process_events(processor, events, chunk.dataset)
        _require_learned(unlearned)
    except MemoryError:
        raise
    except Exception as error:
        if job.schema is not None or not _may_lack_columns(error, unlearned):
            raise
        # These events may lead the analysis to a column that those it was learned on did not, which shows in
        # many ways. Whether that is so, events that read each column when it is touched will tell.
        process = functools.partial(process_events, processor, dataset=chunk.dataset)
        return use_events(process, chunk.source, chunk.start, chunk.stop, None, metadata, threads=job.threads)
    others = undeclared(opened, {*job.files, chunk.source.path}) if job.cache is not None and chunk.key else []
    if others:
        msg = f"The analysis opens {others[0]}, which its kept results do not depend on; declare it under `files`."
        raise EventError(msg)
    return result


def _may_lack_columns(error: BaseException, before: int) -> bool:
    """Tell whether an analysis may have failed as a column was not read; `before` counts those that were met before."""
    if isinstance(error, ColonnadeError) and not isinstance(error, MissingColumnError):
        return False
    kinds = (AttributeError, LookupError, MissingColumnError)  # awkward's own error for a field is an IndexError
    return UnlearnedColumnError.raised > before or any(
        isinstance(link, kinds) or "no field of name" in str(link) for link in chain(error)
    )


def _require_learned(before: int) -> None:
    """Raise if the analysis met a column that was not learned, and caught that to go on without it."""
    if UnlearnedColumnError.raised > before:
        msg = "the analysis went on without a column that the file has."
        raise UnlearnedColumnError(msg)


def _checked(result: Any, chunk: Chunk) -> Any:
    """Refuse a sum of weights that is not a number; that no event is missing the ledger sees."""
    if not math.isfinite(result["sumw"]):
        msg = f"The sum of weights is {result['sumw']} in {chunk.where}; the generator weights hold such values."
        raise EventError(msg)
    return result


def analysis_failed(error: Exception, processor: Any, where: str) -> str:
    """Return one sentence on an error that an analysis did not foresee, with the line of the analysis."""
    line = ""
    modules = {
        base.__module__ for base in type(processor).__mro__ if base.__module__.partition(".")[0] not in _FRAMEWORKS
    }
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") in modules:
            line = f" at {frame.f_code.co_filename}:{number}"
    return f"The analysis {type(processor).__name__} failed{line} on {where}: {sentence(error)}."
