"""The steps of a run, in order: events, histograms, fit, plots, report."""

from __future__ import annotations

__all__ = ["run_workflow"]

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from colonnade.config import read_json
from colonnade.errors import ConfigError
from colonnade.execution import Ledger, Result, ResultCache, RichProgress, StoppedError, run_datasets
from colonnade.histograms import load, write_root, write_zip
from colonnade.manifest import Dataset, load_manifest
from colonnade.output import write_json
from colonnade.plotting import PlotSettings
from colonnade.processor import Processor
from colonnade.statistics.resonance.settings import BumpSettings
from colonnade.statistics.settings import ModelSettings
from colonnade.workflow.analysis import make_processor
from colonnade.workflow.folder import load_run
from colonnade.workflow.provenance import digest, environment, file_digest, histogram_digest, read_provenance
from colonnade.workflow.settings import Workflow
from colonnade.workflow.steps import OutputFolder, Step
from colonnade.workflow.summary import print_summary


def run_workflow(
    workflow: Workflow, output: Path | None = None, *, resume: bool = False, console: Console | None = None
) -> Path:
    """Run a workflow and leave its result in a folder.

    Parameters
    ----------
    workflow
        From `load_workflow`.
    output
        The folder; by default ``results/NAME`` in the project's folder.
    resume
        Insist that there is something to go on with. What is kept in the cache is never redone, with or without
        this; it guards against starting anew by a slip.
    console
        Where progress and the summary are printed.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ColonnadeError
        For wrong settings and unusable input, before anything is written.
    OutputError
        If another run works in the folder.
    LossError
        When everything is written, if more events were lost than the workflow allows.
    """
    console = console or Console()
    settings = workflow.settings
    directory = (output or workflow.root / "results" / workflow.name).absolute()
    if resume:
        _check_resumable(workflow, directory)
    datasets = load_manifest(workflow.manifest).select(settings.datasets)
    processor = make_processor(workflow, unblind=settings.unblind)
    with OutputFolder.opened(directory, console) as folder:
        count = "1 dataset" if len(datasets) == 1 else f"{len(datasets)} datasets"
        console.print(f"[bold]{settings.title or workflow.name}[/bold]: {count}")
        result = _process_events(folder, workflow, processor, datasets, console)
        steps = _Run(workflow, processor, datasets, result, console).steps()
        folder.begin(_about(workflow, processor, datasets, folder.about, result), steps)
        folder.do_all(steps)
        folder.finish(_report())
        print_summary(console, directory, result)
    result.ledger.check()
    return directory


def _check_resumable(workflow: Workflow, directory: Path) -> None:
    cache = workflow.settings.cache
    folder = workflow.root / cache.folder
    if not cache.enabled or not folder.is_dir():
        msg = f"There is nothing to resume: {folder} keeps no results; leave --resume away to start anew."
        raise ConfigError(msg)
    earlier = read_provenance(directory).get("name", workflow.name)
    if earlier != workflow.name:
        msg = f"{directory} holds a run of {earlier!r}, not of {workflow.name!r}; name its folder with --output."
        raise ConfigError(msg)


def _process_events(
    folder: OutputFolder, workflow: Workflow, processor: Processor, datasets: Sequence[Dataset], console: Console
) -> Result:
    """Process the events; a run that must stop leaves its ledger and nothing else."""
    settings = workflow.settings
    began = time.monotonic()
    try:
        result = run_datasets(
            processor,
            datasets,
            luminosity=settings.luminosity,
            executor=settings.executor,
            chunk_size=settings.chunk_size,
            schema=settings.tree_schema,
            allow_loss=settings.allow_loss,
            cache=ResultCache.of(settings.cache, workflow.root, tuple(processor.histograms)),
            progress=RichProgress(console),
        )
    except StoppedError as error:
        if error.ledger is not None:
            step = _ledger(error.ledger)
            folder.begin(_about(workflow, processor, datasets, folder.about), (step,))
            folder.do(step)
        raise
    kept = f", {result.timing.kept:,} kept from earlier" if result.timing.kept else ""
    folder.note("events", time.monotonic() - began, f"{result.timing.processed:,} events{kept}")
    return result


def _about(
    workflow: Workflow,
    processor: Processor,
    datasets: Sequence[Dataset],
    earlier: Mapping[str, Any],
    result: Result | None = None,
) -> dict[str, Any]:
    """Return what provenance.json says of a run, apart from its steps."""
    settings = workflow.settings

    def files(paths: Mapping[str, str]) -> dict[str, Any]:
        return {name: {"path": path, "sha256": file_digest(workflow.root / path)} for name, path in paths.items()}

    return {
        "name": workflow.name,
        "title": settings.title or workflow.name,
        "workflow": str(workflow.path),
        "unblinded": settings.unblind,
        "unblinding": _unblinding(workflow, earlier),
        "config": settings.model_dump(mode="json", by_alias=True),
        "environment": environment(),
        "inputs": {
            "manifest": {"path": str(workflow.manifest), "sha256": file_digest(workflow.manifest)},
            **files({"processor": settings.processor.partition(":")[0]}),
            "corrections": files(settings.corrections),
            "scorers": files(settings.scorers),
            "datasets": {
                dataset.name: dataset.metadata.model_dump(mode="json", exclude_none=True) for dataset in datasets
            },
        },
        "seeds": {
            dataset.name: dataset.metadata.generate.seed
            for dataset in datasets
            if dataset.metadata.generate is not None
        },
        "signal_regions": _signal_regions(processor),
        "histograms_sha256": None if result is None else histogram_digest(result.histograms),
    }


def _unblinding(workflow: Workflow, earlier: Mapping[str, Any]) -> dict[str, str] | None:
    """Say when the data of signal regions were first looked at with these settings."""
    if not workflow.settings.unblind:
        return None
    config = digest(workflow.settings.model_dump(mode="json", by_alias=True))
    before = earlier.get("unblinding") or {}
    if before.get("config_sha256") == config:
        return dict(before)
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "config_sha256": config}


def _signal_regions(processor: Processor) -> list[str]:
    return [name for name, region in processor.regions.items() if region.signal]


@dataclass(frozen=True)
class _Run:
    """A run whose events are processed, from which its steps follow."""

    workflow: Workflow
    processor: Processor
    datasets: Sequence[Dataset]
    result: Result
    console: Console

    def steps(self) -> list[Step[Any]]:
        """Return the steps that the workflow asks for, in order."""
        settings = self.workflow.settings
        ledger, histograms = _ledger(self.result.ledger), self._histograms()
        made: list[Step[Any]] = [ledger, histograms]
        if settings.model is not None:
            made.append(self._fit(settings.model, histograms))
        if settings.bumps is not None:
            made.append(self._bumps(settings.bumps, histograms))
        if evaluations := self._evaluations():
            made.append(_classifiers(evaluations))
        if settings.plots is not None:
            made.append(self._plots(settings.plots, made))
        root_file = Step(
            "ROOT file", ("histograms.root",), _write_root, after=(histograms,), rooms=("histograms",), beside=True
        )
        return [*made[:2], root_file, *made[2:]]

    def _about(self) -> dict[str, Any]:
        """Return what the results after the histograms depend on, beside these."""
        settings = self.workflow.settings
        return {
            "luminosity": settings.luminosity,
            "unblind": settings.unblind,
            "signal_regions": _signal_regions(self.processor),
            "datasets": {dataset.name: dataset.metadata.model_dump(mode="json") for dataset in self.datasets},
        }

    def _kinds(self) -> dict[str, str]:
        return {dataset.metadata.process: dataset.metadata.kind for dataset in self.datasets}

    def _histograms(self) -> Step[None]:
        result = self.result

        def write(path: Path) -> None:
            write_zip(result.histograms, path / "histograms.zip")
            result.write_cutflow(path / "cutflow.json")

        labels = [
            [name, process, [(axis.name, axis.label) for axis in filled.axes]]
            for name, by_process in result.histograms.items()
            for process, filled in by_process.items()
        ]
        content = [histogram_digest(result.histograms), labels, result.cutflow]
        return Step("histograms", ("histograms.zip", "cutflow.json"), write, settings=content, rooms=("histograms",))

    def _fit(self, model: ModelSettings, histograms: Step[Any]) -> Step[None]:
        from colonnade.statistics import infer

        settings = self.workflow.settings
        points = {
            dataset.metadata.process: {
                "parameters": dict(dataset.metadata.signal),
                "cross_section_pb": (dataset.metadata.xsec_pb or 0.0)
                * dataset.metadata.k_factor
                * dataset.metadata.filter_efficiency,
            }
            for dataset in self.datasets
            if dataset.metadata.kind == "signal"
        }

        def run(path: Path) -> None:
            infer(
                self.result.histograms,
                model,
                directory=path,
                kinds=self._kinds(),
                points=points,
                luminosity=settings.luminosity,
                unblind=settings.unblind,
                signal_regions=_signal_regions(self.processor),
            )

        return Step(
            "fit",
            ("workspace.json", "patchset.json", "fit.json"),
            run,
            settings=[model.model_dump(mode="json"), self._about()],
            after=(histograms,),
            rooms=("statistics",),
            work=("toys",),
        )

    def _bumps(self, bumps: BumpSettings, histograms: Step[Any]) -> Step[None]:
        from colonnade.statistics.resonance import search_bumps

        settings = self.workflow.settings

        def run(path: Path) -> None:
            found = search_bumps(
                self.result.histograms,
                bumps,
                kinds=self._kinds(),
                luminosity=settings.luminosity,
                unblind=settings.unblind,
            )
            write_json(path / "bumps.json", found.to_json())

        content = [bumps.model_dump(mode="json"), self._about()]
        return Step("bumps", ("bumps.json",), run, settings=content, after=(histograms,), rooms=("statistics",))

    def _evaluations(self) -> dict[str, Any]:
        """Return how well the classifiers do, where their training left that beside them."""
        from colonnade.training.evaluation_file import SUFFIX

        scorers = self.workflow.settings.scorers
        places = {name: (self.workflow.root / path).with_suffix(SUFFIX) for name, path in scorers.items()}
        return {name: read_json(place) for name, place in places.items() if place.is_file()}

    def _plots(self, plots: PlotSettings, after: Sequence[Step[Any]]) -> Step[None]:
        from colonnade.plotting import draw_run

        settings = self.workflow.settings
        workers = settings.executor.workers or len(os.sched_getaffinity(0))

        def run(path: Path) -> None:
            progress = RichProgress(self.console)
            try:
                draw_run(load_run(path), path / "plots", workers, _counted(progress, "plots"))
            finally:
                progress.end()

        model = settings.model and settings.model.model_dump(mode="json")
        content = [plots.model_dump(mode="json"), settings.title or self.workflow.name, model, self._about()]
        return Step("plots", ("plots",), run, settings=content, after=tuple(after), rooms=("plotting",))


def _ledger(ledger: Ledger) -> Step[None]:
    return Step("ledger", ("ledger.json",), lambda path: ledger.write(path / "ledger.json"), settings=str(ledger))


def _classifiers(evaluations: dict[str, Any]) -> Step[None]:
    def write(path: Path) -> None:
        write_json(path / "classifiers.json", evaluations)

    return Step("classifiers", ("classifiers.json",), write, settings=evaluations)


def _report() -> Step[None]:
    """Return the last step, done each time, as it tells about the run itself."""
    from colonnade.report import write_report

    def write(path: Path) -> None:
        write_report(load_run(path), path / "plots", path / "report.html")

    return Step("report", ("report.html",), write, settings=datetime.now(UTC).isoformat())


def _write_root(directory: Path) -> None:
    write_root(load(directory), directory / "histograms.root")


def _counted(progress: RichProgress, what: str) -> Callable[[int, int], None]:
    """Return a function of what is done and of all there is to do, which moves a progress bar."""
    last = -1

    def advance(done: int, total: int) -> None:
        nonlocal last
        if last < 0:
            progress.begin(what, total)
            last = 0
        progress.advance(done - last)
        last = done

    return advance
