"""Which columns an analysis reads: learned on a few events of each kind of input, before any worker starts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colonnade.accumulators import Accumulated
from colonnade.errors import ColonnadeError, EventError, InputError, MissingColumnError
from colonnade.events import KnownPlaces, SourceFile, learn_columns
from colonnade.events.nanoevents import learn_branches
from colonnade.events.reading import LEARNING_EVENTS
from colonnade.execution.coffea_processor import process_events
from colonnade.execution.driver import Assignment
from colonnade.execution.merging import pieces_of
from colonnade.execution.plan import DatasetPlan, Plan
from colonnade.execution.project import undeclared, watched
from colonnade.execution.settings import ExecutorSettings
from colonnade.execution.work import analysis_failed, processor_of
from colonnade.faults import TransientInputError, back_off, is_transient, within
from colonnade.histograms import HistogramSet

_Sample = tuple[SourceFile, DatasetPlan]
# on how many files of one structure the columns are learned, where the first of them can't be read
_SAMPLES = 5


@dataclass
class Learner:
    """Runs an analysis over the first events of files, and notes what it reads, fills and opens.

    Attributes
    ----------
    processor
        The analysis; with eras, that of each.
    settings
        Who works, and how long files are waited for.
    schema
        Of a coffea processor, the schema of its events.
    places
        Where it is kept what was found in the headers of trees.
    declared
        The files that kept results depend on.
    alone
        Whether one chunk is all that is to be done.
    variations
        Of each simulated process, the variations that the analysis fills.
    accumulator
        What a coffea processor makes of these events.
    ready
        Results of whole chunks, by dataset, path and first entry.
    undeclared
        A file that the analysis opens and that is not declared, if there is one.
    """

    processor: Any
    settings: ExecutorSettings
    schema: type | None
    places: KnownPlaces | None
    declared: frozenset[str]
    alone: bool
    variations: dict[str, dict[str, None]] = field(default_factory=dict)
    accumulator: Accumulated | None = None
    ready: dict[tuple[str, str, int], Any] = field(default_factory=dict)
    undeclared: str | None = None

    def learn(
        self, plan: Plan, kept: Collection[str], keys: Mapping[str, Sequence[str]]
    ) -> tuple[list[Assignment], tuple[tuple[str, ...], ...]]:
        """Find the columns that the analysis reads, once for each structure of the input and process.

        Parameters
        ----------
        plan
            All datasets.
        kept
            The names of those of which nothing is to be done.
        keys
            What the results of a dataset's chunks are kept under, if they are.

        Returns
        -------
        assignments
            The datasets of which something is to be done.
        columns
            The columns of each layout that the assignments name.
        """
        known: dict[tuple[Any, ...], int] = {}
        samples: list[list[_Sample]] = []
        assignments = []
        for dataset in plan.datasets:
            if dataset.name in kept:
                continue
            layouts = {}
            for number, file in enumerate(dataset.files):
                source = file.source
                if source is None or not source.entries:
                    continue
                structure = (source.schema, source.columns, *self._way(dataset))
                layouts[number] = place = known.setdefault(structure, len(known))
                if place == len(samples):
                    samples.append([])
                samples[place].append((source, dataset))
            assignments.append(Assignment(dataset, layouts, keys.get(dataset.name, ())))
        return assignments, self._learn_each(dict(zip(known, samples, strict=True)))

    def _learn_each(self, samples: Mapping[tuple[Any, ...], Sequence[_Sample]]) -> tuple[tuple[str, ...], ...]:
        """Learn on files of each structure and process; where none can be read, what another process read will do."""
        found: dict[tuple[Any, ...], tuple[str, ...]] = {}
        problems: dict[tuple[Any, ...], ColonnadeError] = {}
        for structure, files in samples.items():
            try:
                found[structure] = self._learn(files)
            except MissingColumnError:
                raise
            except (InputError, TransientInputError) as error:
                problems[structure] = error
        for structure, problem in problems.items():
            like = [columns for other, columns in found.items() if other[:-1] == structure[:-1]]
            if not like:
                raise problem
            found[structure] = like[0]
        return tuple(found[structure] for structure in samples)

    def _way(self, dataset: DatasetPlan) -> tuple[str | None, ...]:
        """Return what decides on the way that events take through an analysis, beside the columns that they have.

        Weights of one process, or of one era, are usual. A coffea processor is given columns when it touches them, so
        the others need not be learned.
        """
        about = dataset.metadata
        return about.kind, about.era, None if self.schema is not None or about.kind == "data" else about.process

    def _learn(self, samples: Sequence[_Sample]) -> tuple[str, ...]:
        """Learn on the first of these files that can be read; what is lost of the others is found out later.

        Raises
        ------
        InputError, TransientInputError
            If none of some files can be read.
        """
        problem: ColonnadeError | None = None
        for source, dataset in samples[:_SAMPLES]:
            for attempt in range(self.settings.retries + 1):
                if attempt:
                    time.sleep(back_off(attempt))
                try:
                    return self._learn_on(source, dataset)
                except MissingColumnError:
                    raise
                except (InputError, TransientInputError) as error:
                    problem = problem or error
                    if not is_transient(error):
                        break
        assert problem is not None  # noqa: S101 - there is at least one file
        raise problem

    def _try_to_add(self, accumulator: Accumulated) -> None:
        """Add what a coffea processor returns, so that what can't be added is refused unless it is all there is."""
        total = self.accumulator or Accumulated(accumulator.value)
        if not self.alone:
            total += accumulator
        self.accumulator = total

    def _learn_on(self, source: SourceFile, dataset: DatasetPlan) -> tuple[str, ...]:
        metadata = dataset.event_metadata()
        processor = processor_of(self.processor, metadata)
        opened: set[str] = set()
        chunk = next(chunk for chunk in dataset.chunks if dataset.files[chunk.file].source is source)
        # a chunk that this process does anyway is done at once
        whole = self.settings.kind == "iterative" and "://" not in source.path

        def use(events: Any) -> Any:
            with watched() as found:
                result = process_events(processor, events, dataset.name)
            opened.update(found)
            if self.schema is not None:
                accumulator = result[dataset.name]["accumulator"]
                self._try_to_add(accumulator)
                if whole:
                    self.ready[dataset.name, source.path, chunk.start] = result[dataset.name]
                return None
            filled = next(iter(pieces_of(result.get(dataset.name, {})))).get("histograms")
            if isinstance(filled, HistogramSet) and dataset.metadata.kind != "data":
                known = self.variations.setdefault(dataset.metadata.process, {})
                known |= dict.fromkeys(filled.variations)
            return result

        def learn() -> tuple[str, ...]:
            if self.schema is None:
                return learn_columns(source, use, metadata, self.places)
            few = chunk.stop if whole else min(chunk.stop, chunk.start + LEARNING_EVENTS)
            # a processor may fail on few events, such as where none of them is selected
            with contextlib.suppress(*([Exception] if few < chunk.stop else [])):
                return learn_branches(source, chunk.start, few, use, metadata, self.schema)
            return learn_branches(source, chunk.start, chunk.stop, use, metadata, self.schema)

        try:
            columns = within(self.settings.patience, f"{source.path}, the first events,", learn)
        except (ColonnadeError, MemoryError):
            raise
        except Exception as error:
            where = f"dataset {dataset.name}, the first events of {source.path}"
            msg = analysis_failed(error, processor, where)
            raise EventError(msg) from error
        others = undeclared(opened, {*self.declared, str(Path(source.path).resolve())})
        if others and self.undeclared is None:
            self.undeclared = others[0]
        return columns
