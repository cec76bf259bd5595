"""Which columns an analysis reads: learned on a few events of each kind of input, before any worker starts."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from colonnade.accumulators import Accumulated
from colonnade.errors import ColonnadeError, EventError, InputError, MissingColumnError
from colonnade.events import SourceFile, learn_columns
from colonnade.events.nanoevents import learn_branches
from colonnade.events.reading import LEARNING_EVENTS
from colonnade.execution.coffea_processor import process_events
from colonnade.execution.merging import pieces_of
from colonnade.execution.plan import DatasetPlan, Plan
from colonnade.execution.project import undeclared, watched
from colonnade.execution.settings import ExecutorSettings
from colonnade.execution.work import Job, analysis_failed, processor_of
from colonnade.faults import TransientInputError, persistently
from colonnade.histograms import HistogramSet

_Sample = tuple[SourceFile, DatasetPlan]
# on how many files of one structure the columns are learned, where the first of them can't be read
_SAMPLES = 5


@dataclass
class Learner:
    """Runs an analysis over the first events of files, and notes what it reads, fills and opens.

    Attributes
    ----------
    job
        What all chunks share; takes in results of whole chunks as `ready`.
    settings
        Who works, and how long files are waited for.
    alone
        Whether one chunk is all that is to be done.
    variations
        Of each simulated process, the variations that the analysis fills.
    accumulator
        What a coffea processor makes of these events.
    undeclared
        A file that the analysis opens and that is not declared, if there is one.
    """

    job: Job
    settings: ExecutorSettings
    alone: bool
    variations: dict[str, dict[str, None]] = field(default_factory=dict)
    accumulator: Accumulated | None = None
    undeclared: str | None = None

    def learn(self, plan: Plan, kept: Collection[str]) -> tuple[list[DatasetPlan], tuple[tuple[str, ...], ...]]:
        """Find the columns that the analysis reads, once for each structure of the input and process.

        Parameters
        ----------
        plan
            All datasets.
        kept
            The names of those of which nothing is to be done.

        Returns
        -------
        work
            The datasets of which something is to be done, whose chunks name their layouts.
        columns
            The columns of each layout.
        """
        known: dict[tuple[Any, ...], int] = {}
        samples: dict[tuple[Any, ...], list[_Sample]] = {}
        work = []
        for dataset in plan:
            if dataset.name in kept:
                continue
            layouts = {}
            for source in (file.source for file in dataset.files):
                if source is not None and source.entries:
                    structure = (source.schema, source.columns, *self._way(dataset))
                    layouts[source.path] = known.setdefault(structure, len(known))
                    samples.setdefault(structure, []).append((source, dataset))
            chunks = [replace(chunk, layout=layouts[chunk.source.path]) for chunk in dataset.chunks]
            work.append(replace(dataset, chunks=chunks))
        # where no file of a process can be read, what another process reads of the same columns will do
        like = [
            [*files[:_SAMPLES], *(each[0] for other, each in samples.items() if other[:-1] == structure[:-1])]
            for structure, files in samples.items()
        ]
        return work, tuple(self._learn(files) for files in like)

    def _way(self, dataset: DatasetPlan) -> tuple[str | None, ...]:
        """Return what decides on the way that events take through an analysis, beside the columns that they have.

        Weights of one process, or of one era, are usual. A coffea processor is given columns when it touches them, so
        the others need not be learned.
        """
        about = dataset.metadata
        return about.kind, about.era, None if self.job.schema is not None or about.kind == "data" else about.process

    def _learn(self, samples: Sequence[_Sample]) -> tuple[str, ...]:
        """Learn on the first of these files that can be read; what is lost of the others is found out later.

        Raises
        ------
        InputError, TransientInputError
            If none can be read.
        """
        problem: ColonnadeError | None = None
        for source, dataset in samples:
            try:
                return self._learn_on(source, dataset)
            except MissingColumnError:
                raise
            except (InputError, TransientInputError) as error:
                problem = problem or error
        assert problem is not None  # noqa: S101 - there is at least one file
        raise problem

    def _try_to_add(self, accumulator: Accumulated) -> None:
        """Add what a coffea processor returns, so that what can't be added is refused unless it is all there is."""
        total = self.accumulator or Accumulated(accumulator.value)
        if not self.alone:
            total += accumulator
        self.accumulator = total

    def _learn_on(self, source: SourceFile, dataset: DatasetPlan) -> tuple[str, ...]:
        job, metadata = self.job, self.job.metadata[dataset.name]
        processor = processor_of(job.processor, metadata)
        opened: set[str] = set()
        chunk = next(chunk for chunk in dataset.chunks if chunk.source.path == source.path)
        # a chunk that this process does anyway is done at once
        whole = self.settings.kind == "iterative" and "://" not in source.path

        def use(events: Any) -> Any:
            with watched() as found:
                result = process_events(processor, events, dataset.name)
            opened.update(found)
            if job.schema is not None:
                accumulator = result[dataset.name]["accumulator"]
                self._try_to_add(accumulator)
                if whole:
                    job.ready[dataset.name, source.path, chunk.start] = result[dataset.name]
                return None
            filled = next(iter(pieces_of(result.get(dataset.name, {})))).get("histograms")
            if isinstance(filled, HistogramSet) and dataset.metadata.kind != "data":
                known = self.variations.setdefault(dataset.metadata.process, {})
                known |= dict.fromkeys(filled.variations)
            return result

        def learn() -> tuple[str, ...]:
            if job.schema is None:
                return learn_columns(source, use, metadata, None if job.cache is None else job.cache.places)
            few = chunk.stop if whole else min(chunk.stop, chunk.start + LEARNING_EVENTS)
            # a processor may fail on few events, such as where none of them is selected
            with contextlib.suppress(*([Exception] if few < chunk.stop else [])):
                return learn_branches(source, chunk.start, few, use, metadata, job.schema)
            return learn_branches(source, chunk.start, chunk.stop, use, metadata, job.schema)

        try:
            what = f"{source.path}, the first events,"
            columns = persistently(job.patience, what, learn, self.settings.retries)
        except (ColonnadeError, MemoryError):
            raise
        except Exception as error:
            where = f"dataset {dataset.name}, the first events of {source.path}"
            msg = analysis_failed(error, processor, where)
            raise EventError(msg) from error
        others = undeclared(opened, {*job.files, str(Path(source.path).resolve())})
        if others and self.undeclared is None:
            self.undeclared = others[0]
        return columns
