"""A processor over datasets: plan, chunks, results, a merge in fixed order, normalisation, one result."""

from __future__ import annotations

__all__ = ["run_datasets"]

import os
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from colonnade.errors import ColonnadeError, EventError, InputError
from colonnade.events import SourceFile, learn_columns
from colonnade.execution.driver import Outcome, drive
from colonnade.execution.ledger import DatasetLedger, Ledger, make_entry
from colonnade.execution.plan import DatasetPlan, Plan, make_plan
from colonnade.execution.pools import InlinePool, Pool, ProcessPool
from colonnade.execution.progress import NO_PROGRESS, Progress
from colonnade.execution.project import project_modules
from colonnade.execution.result import Result, Timing, collect
from colonnade.execution.settings import ExecutorSettings
from colonnade.execution.work import Job, analysis_failed
from colonnade.manifest import Dataset


def run_datasets(
    processor: Any,
    datasets: Sequence[Dataset],
    *,
    luminosity: float,
    executor: ExecutorSettings | None = None,
    chunk_size: int = 100_000,
    schema: str | None = None,
    allow_loss: float = 0.0,
    progress: Progress = NO_PROGRESS,
) -> Result:
    """Run an analysis over datasets.

    The result's bits depend on the input, the analysis and `chunk_size`, not on the executor or the workers.

    Parameters
    ----------
    processor
        The analysis: a `colonnade.processor.Processor`, or any coffea processor that returns the same.
    datasets
        What to read, as the manifest gives them.
    luminosity
        To which simulation is scaled, in fb^-1.
    executor
        Who works.
    chunk_size
        The largest number of events read at once.
    schema
        The layout of the files, where neither the manifest nor the tree says it.
    allow_loss
        The fraction of events that may be lost; see `Ledger.check`, which the caller calls when all is written.
    progress
        What is told while it works.

    Returns
    -------
    Result
        Scaled histograms, cutflows and the ledger.

    Raises
    ------
    InputError
        If a dataset has no readable file or no event, or a column is missing; before any worker starts.
    EventError
        If events hold values that would make the result wrong, or the analysis fails on them.
    """
    settings = executor or ExecutorSettings()
    started = time.monotonic()
    plan = _planned(datasets, chunk_size, schema, settings, progress)
    layouts, columns = _learned(processor, plan)
    planned = time.monotonic()
    job = Job(processor, {dataset.name: dataset.event_metadata() for dataset in plan.datasets}, columns)
    modules = project_modules(processor)
    named = {dataset.name: dataset for dataset in plan.datasets}
    outcomes = dict(zip(named, _driven(plan, settings, job, modules, layouts, progress), strict=True))
    ledger = Ledger(allow_loss, {name: _entry(dataset, outcomes[name]) for name, dataset in named.items()})
    results = {name: outcome.result for name, outcome in outcomes.items()}
    histograms, cutflow = collect(plan, results, ledger, luminosity)
    timing = Timing(
        planning=planned - started,
        events=time.monotonic() - planned,
        processed=sum(outcome.events for outcome in outcomes.values()),
    )
    return Result(histograms, cutflow, ledger, timing)


def _entry(dataset: DatasetPlan, outcome: Outcome) -> DatasetLedger:
    if outcome.result is None:
        msg = f"Dataset {dataset.name}: no event could be processed; {outcome.losses[0].reason}"
        raise InputError(msg)
    return make_entry(dataset, outcome.losses, outcome.events, outcome.sumw)


def _planned(
    datasets: Sequence[Dataset], chunk_size: int, schema: str | None, settings: ExecutorSettings, progress: Progress
) -> Plan:
    begun = False

    def advance(count: int, total: int) -> None:
        nonlocal begun
        if not begun:
            progress.begin("files", total)
            begun = True
        progress.advance(1)

    try:
        plan = make_plan(datasets, chunk_size, schema=schema, retries=settings.retries, advance=advance)
    finally:
        progress.end()
    for dataset in plan.datasets:
        for file in dataset.files:
            if file.source is None:
                progress.say(f"Lost: dataset {dataset.name}, {file.problem}")
    return plan


def _learned(
    processor: Any, plan: Plan
) -> tuple[dict[tuple[int, int], int], tuple[tuple[str, ...] | None, ...]]:
    """Find the columns that the analysis reads, once for each structure of the input, by running it on a few events.

    Returns
    -------
    layouts
        (dataset, file) to index into the columns.
    columns
        The columns of each layout.
    """
    known: dict[tuple[Any, ...], int] = {}
    columns: list[tuple[str, ...]] = []
    layouts: dict[tuple[int, int], int] = {}
    for place, dataset in enumerate(plan.datasets):
        for number, file in enumerate(dataset.files):
            source = file.source
            if source is None or not source.entries:
                continue
            # data and simulation take different paths through an analysis, and so may signals
            structure = (source.schema, source.columns, dataset.metadata.kind)
            if structure not in known:
                known[structure] = len(columns)
                columns.append(_learn(processor, source, dataset))
            layouts[place, number] = known[structure]
    return layouts, tuple(columns)


def _learn(processor: Any, source: SourceFile, dataset: DatasetPlan) -> tuple[str, ...]:
    try:
        return learn_columns(source, processor.process, dataset.event_metadata())
    except ColonnadeError:
        raise
    except Exception as error:
        msg = analysis_failed(error, processor, f"dataset {dataset.name}, the first events of {source.path}")
        raise EventError(msg) from error


def _driven(
    plan: Plan,
    settings: ExecutorSettings,
    job: Job,
    modules: tuple[ModuleType, ...],
    layouts: Mapping[tuple[int, int], int],
    progress: Progress,
) -> list[Outcome]:
    workers = settings.workers or max(1, len(os.sched_getaffinity(0)))
    pool = _open(settings, min(workers, max(1, plan.chunks)))
    try:
        pool.begin(job, modules)
        progress.begin("events", plan.events)
        return drive(pool, plan, layouts, settings.retries, progress)
    finally:
        progress.end()
        pool.close()


def _open(settings: ExecutorSettings, workers: int) -> Pool:
    if settings.kind == "iterative":
        return InlinePool()
    if settings.kind == "futures":
        return ProcessPool(workers)
    from colonnade.execution.cluster import open_cluster

    return open_cluster(settings, workers)
