"""A processor over datasets: plan, chunks, results, a merge in fixed order, normalisation, one result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from colonnade.errors import ConfigError, OutputError
from colonnade.events.nanoevents import find_nano_schema
from colonnade.execution.cache import ResultCache
from colonnade.execution.coffea_processor import (
    finished,
    is_coffea_processor,
    standard_histograms,
)
from colonnade.execution.driver import drive
from colonnade.execution.identity import UnidentifiedError, chunk_key, dataset_key, identify, merged_key
from colonnade.execution.learning import Learner
from colonnade.execution.ledger import (
    Ledger,
    Outcome,
    effective_sumw,
    entry_of,
    lost_outcome,
)
from colonnade.execution.merging import fold, pieces_of
from colonnade.execution.plan import DatasetPlan, Plan, make_plan, require_known_weights
from colonnade.execution.pools import InlinePool, Pool, ProcessPool, WorkersLostError
from colonnade.execution.progress import NO_PROGRESS, Progress, counted
from colonnade.execution.project import ProjectCode, collect_code
from colonnade.execution.result import Cutflow, Histograms, Result, Timing, collect
from colonnade.execution.settings import ExecutorSettings
from colonnade.execution.work import Job
from colonnade.manifest import Dataset
from colonnade.manifest.datasets import check_eras
from colonnade.manifest.filesets import as_datasets
from colonnade.processes import worker_processes


def run_datasets(
    processor: Any,
    datasets: Sequence[Dataset] | Mapping[str, Any],
    *,
    luminosity: float | Mapping[str, float] | None = None,
    executor: ExecutorSettings | None = None,
    chunk_size: int = 100_000,
    schema: str | type | None = None,
    files: Collection[Path] = (),
    axes: Mapping[str, str] | None = None,
    allow_loss: float = 0.0,
    to_nominal: Collection[str] = (),
    cache: ResultCache | None = None,
    progress: Progress = NO_PROGRESS,
    check: Callable[[Any], None] | None = None,
) -> Result:
    """Run an analysis over datasets.

    The result's bits depend on the input, the analysis and `chunk_size`; not on the executor, the number of
    workers, or on what was kept of earlier runs.

    Parameters
    ----------
    processor
        The analysis: a `colonnade.processor.Processor`, or any coffea processor, which is given coffea's NanoEvents
        and may return anything that coffea adds. Where the datasets are of several eras, an analysis of one class for
        each era by its name.
    datasets
        What to read, as the manifest gives them; for a coffea processor also a coffea fileset.
    luminosity
        To which simulation is scaled, in fb^-1; that of each era, where there are several. A coffea processor's
        histograms are never scaled.
    executor
        Who works.
    chunk_size
        The largest number of events read at once.
    schema
        The layout of the files, where neither the manifest nor the tree says it; for a coffea processor the schema of
        coffea, `NanoAODSchema` by default.
    files
        Files that a coffea processor reads: kept results depend on their content.
    axes
        Of a coffea processor, which axes of its histograms stand for ``process``, ``region`` and ``variation``.
    allow_loss
        The fraction of events that may be lost; see `Ledger.check`, which the caller calls when all is
        written.
    to_nominal
        Variations of the generator's weight that are normalised to the nominal sum of weights; else each is to its own.
    cache
        Where results of chunks are kept; so a run that was interrupted goes on where it was.
    progress
        What is told while it works.
    check
        Called before any worker starts with the variations that the analysis fills for each process, as the events on
        which columns are learned show them, or with the histograms of a coffea processor; it may raise. Where results
        are kept, it is not called.

    Returns
    -------
    Result
        Scaled histograms, cutflows and the ledger; of a coffea processor its accumulator, and the histograms in it.

    Raises
    ------
    ConfigError
        If there are eras, and a dataset is of none of them.
    InputError
        If a dataset has no readable file or no event, or a column is missing; before any worker starts.
    EventError
        If events hold values that would make the result wrong, or the analysis fails on them.
    StoppedError
        If the cluster is gone, or no event of a dataset could be processed; its ledger says what is lost.
    """
    run = _Run(processor, executor or ExecutorSettings(), cache, progress, axes or {})
    if is_coffea_processor(processor):
        run.schema, schema = find_nano_schema(schema), None
    elif luminosity is None or not isinstance(datasets, Sequence) or isinstance(schema, type):
        msg = "An analysis needs a luminosity, datasets of a manifest and a schema's name; filesets are for coffea's."
        raise ConfigError(msg)
    if not isinstance(datasets, Sequence):
        datasets = as_datasets(datasets)
    if run.schema is None:  # else each dataset is scaled by itself, whatever its era
        check_eras(datasets, luminosity if isinstance(luminosity, Mapping) else ())
    started = time.monotonic()
    plan = run.plan(datasets, chunk_size, None if isinstance(schema, type) else schema)
    plan = run.look_up(plan, files)
    if run.missing_chunks and run.settings.kind != "iterative" and run.settings.here:
        worker_processes()  # get ready while columns are learned
    work = run.learn(plan)
    if len(work) == len(plan):
        run.check_first(plan, check)
    planned = time.monotonic()
    try:
        outcomes = run.outcomes(work)
    except WorkersLostError as error:
        reason = str(error)
        lost = {dataset.name: entry_of(dataset, lost_outcome(dataset, reason)) for dataset in plan}
        stopped = WorkersLostError(f"{reason} {run.what_is_safe(work)}")
        stopped.ledger = Ledger(allow_loss, lost)
        raise stopped from error
    entries = {dataset.name: entry_of(dataset, outcomes[dataset.name], to_nominal) for dataset in plan}
    ledger = Ledger(allow_loss, entries)
    ledger.require_events()
    results = {name: outcome.result for name, outcome in outcomes.items()}
    _tell(results, progress)
    histograms, cutflow, eras, accumulator = run.collected(plan, results, ledger, luminosity)
    processed = sum(outcome.events for outcome in outcomes.values())
    timing = Timing(
        planning=planned - started,
        events=time.monotonic() - planned,
        processed=processed - run.kept_events,
        kept=run.kept_events,
    )
    return Result(histograms, cutflow, ledger, timing, accumulator, eras)


@dataclass
class _Run:
    """One run: what it is given, and what it finds kept from earlier ones."""

    processor: Any
    settings: ExecutorSettings
    cache: ResultCache | None
    progress: Progress
    axes: Mapping[str, str]
    schema: type | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    kept_events: int = 0
    missing_chunks: int = 0
    declared: frozenset[str] = frozenset()
    learner: Learner = field(init=False)
    job: Job = field(init=False)

    def __post_init__(self) -> None:
        if self.cache is not None:
            try:
                self.cache.store.prepare()
            except OutputError as error:
                self.progress.say(f"Note: {error}")
                self.cache = None

    @cached_property
    def code(self) -> ProjectCode:
        """The text of the analysis's own modules, for workers and keys."""
        return collect_code(self.example)

    @property
    def example(self) -> Any:
        """The analysis, or that of one era: all are of one class."""
        return next(iter(self.processor.values())) if isinstance(self.processor, Mapping) else self.processor

    def plan(self, datasets: Sequence[Dataset], chunk_size: int, schema: str | None) -> Plan:
        """Open the files."""
        with counted(self.progress, "files") as advance:
            plan = make_plan(
                datasets,
                chunk_size,
                schema=schema,
                retries=self.settings.retries,
                patience=self.settings.patience,
                memory=None if self.cache is None else self.cache.folder,
                advance=advance,
            )
        for dataset in plan:
            self._tell(dataset)
            if dataset.metadata.kind != "data":
                if dataset.metadata.weighted_to is None:
                    effective_sumw(dataset, (), 0.0)  # what can't be normalised is refused before the work
                if self.schema is None:  # a coffea processor scales by itself
                    require_known_weights(dataset)
        return plan

    def _tell(self, dataset: DatasetPlan) -> None:
        """Say what was noticed of a dataset's files; what is true of many of them, once."""
        notes: dict[str, list[str]] = {}
        firsts: dict[str, str] = {}
        for file in dataset.files:
            if file.source is None:
                self.progress.say(f"Lost: dataset {dataset.name}, {file.problem}")
                continue
            said = [*file.source.notes]
            first = firsts.setdefault(file.source.identity.partition(":")[0], file.path)
            if first != file.path:
                said.append(f"{file.path} is a copy of {first}, as they have one UUID; the events count twice.")
            for note in said:
                notes.setdefault(note.replace(file.path, ""), []).append(note)
        for same in notes.values():
            more = f" The same holds for {len(same) - 1:,} more of its files." if len(same) > 1 else ""
            self.progress.say(f"Note: dataset {dataset.name}, {same[0]}{more}")

    def look_up(self, plan: Plan, files: Collection[Path]) -> Plan:
        """Find what is kept of earlier runs; return the plan whose chunks have keys, where results can be kept."""
        self.missing_chunks = sum(len(dataset.chunks) for dataset in plan)
        if self.cache is None:
            return plan
        each = self.processor if isinstance(self.processor, Mapping) else {None: self.processor}
        try:
            identities = {era: identify(one, self.code, files, self.schema) for era, one in each.items()}
        except UnidentifiedError as error:
            self.progress.say(f"Note: no result is kept, as {error}.")
            self.cache = None
            return plan
        masks = [dataset.event_metadata().get("luminosity_mask") for dataset in plan]
        known = {str(Path(mask).resolve()) for mask in masks if mask is not None}
        self.declared = frozenset(known.union(*(identity.files for identity in identities.values())))
        declared = () if is_coffea_processor(self.example) else tuple(self.example.histograms)
        self.cache = replace(self.cache, declared=declared)
        present = self.cache.store.keys()
        datasets = []
        for dataset in plan:
            base = dataset_key(identities.get(dataset.metadata.era) or identities[None], dataset)
            chunks = [replace(chunk, key=chunk_key(base, chunk)) for chunk in dataset.chunks]
            datasets.append(replace(dataset, chunks=chunks))
            whole = self.cache.get(merged_key(chunks)) if chunks else None
            if whole is not None:
                self.kept[dataset.name] = whole
            here = [chunk for chunk in chunks if whole is not None or chunk.key in present]
            self.missing_chunks -= len(here)
            self.kept_events += sum(chunk.events for chunk in here)
        return datasets

    def learn(self, plan: Plan) -> Plan:
        """Find what is to be done, and the columns of each layout; see `Learner.learn`."""
        job = Job(
            self.processor,
            {dataset.name: dataset.event_metadata() for dataset in plan},
            (),
            self.cache,
            self.settings.patience,
            self.settings.threads_of(self.missing_chunks),
            self.declared,
            self.schema,
        )
        self.learner = Learner(job, self.settings, alone=self.missing_chunks == 1)
        work, columns = self.learner.learn(plan, self.kept)
        if self.learner.undeclared is not None and self.cache is not None:
            opened = self.learner.undeclared
            self.progress.say(
                f"Note: no result is kept, as the analysis opens {opened}; declare it under `files` of the workflow."
            )
            self.cache = None
        self.job = replace(job, columns=columns, cache=self.cache)
        return work

    def check_first(self, plan: Plan, check: Callable[[Any], None] | None) -> None:
        """Check what the events on which columns were learned show of the result."""
        learned = self.learner
        shown: Any = learned.variations
        if learned.accumulator is not None:
            shown, _ = standard_histograms(learned.accumulator.value, self.axes, _processes(plan))
        if check is not None and (shown or learned.accumulator is not None):
            check(shown)

    def collected(
        self,
        plan: Plan,
        results: Mapping[str, Any],
        ledger: Ledger,
        luminosity: float | Mapping[str, float] | None,
    ) -> tuple[Histograms, Cutflow, Mapping[str, Histograms], Any]:
        """Return histograms, cutflow, histograms by era and accumulator of the whole run."""
        if self.schema is None:
            return *collect(plan, results, ledger, luminosity or 0.0), None
        accumulator = finished(self.processor, [results[dataset.name]["accumulator"] for dataset in plan])
        histograms, notes = standard_histograms(accumulator, self.axes, _processes(plan))
        for note in notes:
            self.progress.say(f"Note: {note}")
        return histograms, {}, {}, accumulator

    def outcomes(self, work: Plan) -> dict[str, Outcome]:
        """Do what is not kept, and keep each dataset's sum, so that an unchanged run reads one result a dataset."""
        found = {name: Outcome(result) for name, result in self.kept.items()}
        for dataset, outcome in zip(work, self._drive(work) if work else (), strict=True):
            found[dataset.name] = outcome
            if self.cache is not None and outcome.result is not None and not outcome.losses:
                self.cache.put(merged_key(dataset.chunks), outcome.result)
        if self.cache is not None and work:
            self.cache.trim()
        return found

    def _drive(self, work: Plan) -> list[Outcome]:
        with contextlib.ExitStack() as stack:
            pool = self._open(stack)
            try:
                for note in pool.begin(self.job, ProjectCode() if isinstance(pool, InlinePool) else self.code):
                    self.progress.say(f"Note: {note}")
                self.progress.begin("events", sum(dataset.events for dataset in work))
                return drive(pool, work, retries=self.settings.retries, progress=self.progress)
            except KeyboardInterrupt:
                self.progress.end()
                self.progress.say(f"Stopping. {self.what_is_safe(work)}")
                raise
            finally:
                self.progress.end()

    def what_is_safe(self, work: Plan) -> str:
        """Say what a run that stops here leaves, and how to go on."""
        if self.cache is None:
            return "Nothing is kept, as the run has no cache; run it again."
        present = self.cache.store.keys()
        safe = [chunk.key in present for dataset in work for chunk in dataset.chunks]
        return (
            f"The results of {sum(safe):,} of {len(safe):,} chunks are safe in {self.cache.folder}; "
            "the same command with --resume does the rest."
        )

    def _open(self, stack: contextlib.ExitStack) -> Pool:
        """Start who works; for results that are all kept, this process will do."""
        settings, workers = self.settings, self.settings.workers_of(self.missing_chunks)
        if settings.kind == "iterative" or not self.missing_chunks:
            return InlinePool()
        if settings.kind == "futures":
            return ProcessPool(workers, stack)
        from colonnade.execution.cluster import open_cluster

        return open_cluster(settings, workers, stack)


def _tell(results: Mapping[str, Any], progress: Progress) -> None:
    """Say what a user should know of the weights of the events."""
    for name, result in results.items():
        outside = fold(None, *(each.get("outside", {}) for each in pieces_of(result)))
        if outside:
            found = ", ".join(f"{correction} ({values:,} values)" for correction, values in outside.items())
            msg = f"dataset {name}: corrections were evaluated outside the range of their bins: {found}"
            progress.say(f"Note: {msg}; the outermost bin or the file's default counts.")
        transfers = fold(None, *(each.get("transfers", {}) for each in pieces_of(result)))
        for region, (events, negative) in transfers.items():
            if negative:
                what = f"the transfer factor is negative in {negative:,} of {events:,} events of the region {region}"
                progress.say(f"Note: dataset {name}, {what}; they count so.")


def _processes(plan: Plan) -> dict[str, str]:
    return {dataset.name: dataset.metadata.process for dataset in plan}
