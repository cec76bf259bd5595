"""The steps of a run, in order: events, histograms, fit, plots, report."""

from __future__ import annotations

__all__ = ["run_workflow"]

import multiprocessing
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from colonnade.config import read_json
from colonnade.errors import ConfigError
from colonnade.execution import Result, ResultCache, RichProgress, StoppedError, run_datasets
from colonnade.histograms import load, write_root, write_zip
from colonnade.manifest import Dataset, load_manifest
from colonnade.output import replacing, write_json
from colonnade.processor import Processor
from colonnade.workflow.analysis import make_processor
from colonnade.workflow.folder import load_run
from colonnade.workflow.provenance import (
    digest,
    environment,
    file_digest,
    histogram_digest,
    read_provenance,
)
from colonnade.workflow.settings import Workflow
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
    with replacing(directory / ".writable") as probe:  # found out now, not after the event loop
        probe.write_text("", encoding="utf-8")
    (directory / ".writable").unlink()

    run = _Run(workflow, directory, console)
    count = "1 dataset" if len(datasets) == 1 else f"{len(datasets)} datasets"
    console.print(f"[bold]{settings.title or workflow.name}[/bold]: {count}")
    result = run.events(processor, datasets)
    with run.root_file():
        if settings.model is not None:
            run.fit(result, datasets)
        if settings.bumps is not None:
            run.bumps(result, datasets)
        if settings.pseudo_experiments is not None:
            run.pseudo_experiments()
        run.classifiers()
        run.plots()
    run.report()
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


def _write_root(directory: Path) -> None:
    write_root(load(directory), directory / "histograms.root")


@dataclass
class _Run:
    """One run in progress: its folder, what is known of its origin, and which steps are done."""

    workflow: Workflow
    directory: Path
    console: Console
    provenance: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        settings = self.workflow.settings
        earlier = read_provenance(self.directory)
        self.provenance = {
            "name": self.workflow.name,
            "title": settings.title or self.workflow.name,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "finished": None,
            "workflow": str(self.workflow.path),
            "unblinded": settings.unblind,
            "unblinding": self._unblinding(earlier),
            "config": settings.model_dump(mode="json", by_alias=True),
            "environment": environment(),
            "steps": earlier.get("steps", {}),
        }

    def _unblinding(self, earlier: dict[str, Any]) -> dict[str, str] | None:
        """Say when the data of signal regions were first looked at with these settings."""
        settings = self.workflow.settings
        if not settings.unblind:
            return None
        config = digest(settings.model_dump(mode="json", by_alias=True))
        before = earlier.get("unblinding") or {}
        if before.get("config_sha256") == config:
            return dict(before)
        return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "config_sha256": config}

    def events(self, processor: Processor, datasets: Sequence[Dataset]) -> Result:
        """Process the events and write histograms, cutflows and the ledger."""
        settings = self.workflow.settings
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
                cache=ResultCache.of(self.workflow.settings.cache, self.workflow.root, tuple(processor.histograms)),
                progress=RichProgress(self.console),
            )
        except StoppedError as error:
            self._stopped(error)
            raise
        self.provenance["inputs"] = {
            "manifest": {"path": str(self.workflow.manifest), "sha256": file_digest(self.workflow.manifest)},
            "processor": {
                "path": settings.processor,
                "sha256": file_digest(self.workflow.root / settings.processor.partition(":")[0]),
            },
            "corrections": {
                name: {"path": path, "sha256": file_digest(self.workflow.root / path)}
                for name, path in settings.corrections.items()
            },
            "scorers": {
                name: {"path": path, "sha256": file_digest(self.workflow.root / path)}
                for name, path in settings.scorers.items()
            },
            "datasets": {
                dataset.name: dataset.metadata.model_dump(mode="json", exclude_none=True) for dataset in datasets
            },
        }
        self.provenance["seeds"] = {
            dataset.name: dataset.metadata.generate.seed
            for dataset in datasets
            if dataset.metadata.generate is not None
        }
        self.provenance["signal_regions"] = [name for name, region in processor.regions.items() if region.signal]
        bits = histogram_digest(result.histograms)
        self.provenance["histograms_sha256"] = bits
        result.write_cutflow(self.directory / "cutflow.json")
        result.ledger.write(self.directory / "ledger.json")

        self._step(
            "histograms",
            (bits,),
            ("histograms.zip",),
            lambda: write_zip(result.histograms, self.directory / "histograms.zip"),
        )
        kept = f", {result.timing.kept:,} kept from earlier" if result.timing.kept else ""
        self._note("events", time.monotonic() - began, f"{result.timing.processed:,} events{kept}")
        return result

    def _stopped(self, error: StoppedError) -> None:
        """Write what is lost by a run without a result; nothing of an earlier run stays beside that."""
        if error.ledger is None:
            return
        for name in ("histograms.zip", "histograms.root", "cutflow.json", "workspace.json", "fit.json", "report.html"):
            (self.directory / name).unlink(missing_ok=True)
        shutil.rmtree(self.directory / "plots", ignore_errors=True)
        error.ledger.write(self.directory / "ledger.json")

    @contextmanager
    def root_file(self) -> Iterator[None]:
        """Write the ROOT file in a process of its own while the steps of the block go on.

        It takes a millisecond a histogram, of which a search has ten thousands.
        """
        end = self._begin("ROOT file", (self.provenance["histograms_sha256"],), ("histograms.root",))
        if end is None:
            yield
            return
        # spawned, as forking would copy the threads' locks of a running cluster
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            written = pool.submit(_write_root, self.directory)
            yield
            written.result()
        end()

    def fit(self, result: Result, datasets: Sequence[Dataset]) -> None:
        """Build the likelihood, fit it, set limits."""
        from colonnade.statistics import infer

        settings = self.workflow.settings
        model = settings.model
        if model is None:
            return
        kinds = {dataset.metadata.process: dataset.metadata.kind for dataset in datasets}
        points = {
            dataset.metadata.process: {
                "parameters": dict(dataset.metadata.signal),
                "cross_section_pb": (dataset.metadata.xsec_pb or 0.0)
                * dataset.metadata.k_factor
                * dataset.metadata.filter_efficiency,
            }
            for dataset in datasets
            if dataset.metadata.kind == "signal"
        }

        def act() -> None:
            infer(
                result.histograms,
                model,
                directory=self.directory,
                kinds=kinds,
                points=points,
                luminosity=settings.luminosity,
                unblind=settings.unblind,
                signal_regions=self.provenance["signal_regions"],
            )

        key = (
            self.provenance["histograms_sha256"],
            model.model_dump(mode="json"),
            settings.luminosity,
            settings.unblind,
            self.provenance["signal_regions"],
            kinds,
            points,
            self.provenance["environment"],
        )
        self._step("fit", key, ("workspace.json", "fit.json"), act)

    def bumps(self, result: Result, datasets: Sequence[Dataset]) -> None:
        """Fit the peaks."""
        from colonnade.statistics.bumps.study import study_bumps

        settings = self.workflow.settings
        bumps = settings.bumps
        if bumps is None:
            return
        kinds = {dataset.metadata.process: dataset.metadata.kind for dataset in datasets}
        key = (
            self.provenance["histograms_sha256"],
            bumps.model_dump(mode="json"),
            settings.luminosity,
            settings.unblind,
            kinds,
            self.provenance["environment"],
        )

        def act() -> None:
            study_bumps(
                result.histograms,
                bumps,
                directory=self.directory,
                kinds=kinds,
                luminosity=settings.luminosity,
                unblind=settings.unblind,
            )

        self._step("bumps", key, ("bumps.json",), act)

    def pseudo_experiments(self) -> None:
        """Run pseudo-experiments on the simulated events; what is kept of an interrupted run is not redone."""
        from colonnade.workflow.resonances import study_experiments

        study = self.workflow.settings.pseudo_experiments
        if study is None:
            return
        key = (
            self.provenance["histograms_sha256"],
            study.model_dump(mode="json"),
            file_digest(self.workflow.root / study.model),
            self.provenance["environment"],
        )
        self._step(
            "experiments",
            key,
            ("pseudo_experiments.json",),
            lambda: study_experiments(self.workflow, self.directory, self.console),
        )

    def classifiers(self) -> None:
        """Keep with the result how well its classifiers do, where their training left that beside them."""
        from colonnade.training.evaluation_file import SUFFIX

        target = self.directory / "classifiers.json"
        scorers = self.workflow.settings.scorers
        places = {name: (self.workflow.root / path).with_suffix(SUFFIX) for name, path in scorers.items()}
        found = {name: read_json(place) for name, place in places.items() if place.is_file()}
        target.unlink(missing_ok=True)
        if found:
            write_json(target, found)

    def plots(self) -> None:
        """Draw the figures."""
        from colonnade.plotting import draw_run

        settings = self.workflow.settings
        self.save()  # the figures read what the run is called and scaled to
        steps = ("cutflow", "fit", "bumps", "pseudo_experiments", "classifiers")
        made = [self.directory / f"{name}.json" for name in steps]
        key = (
            self.provenance["histograms_sha256"],
            [file_digest(path) for path in made if path.exists()],
            settings.plots.model_dump(mode="json"),
            self.provenance["environment"],
        )
        progress = RichProgress(self.console)
        drawn = 0

        def advance(done: int, total: int) -> None:
            nonlocal drawn
            if not drawn:
                progress.begin("plots", total)
            progress.advance(done - drawn)
            drawn = done

        def act() -> None:
            try:
                workers = settings.executor.workers or len(os.sched_getaffinity(0))
                draw_run(load_run(self.directory), self.directory / "plots", workers, advance)
            finally:
                progress.end()

        self._step("plots", key, ("plots",), act)

    def report(self) -> None:
        """Write the page, last, as it tells about everything else."""
        from colonnade.report import write_report

        self.provenance["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()
        began = time.monotonic()
        write_report(load_run(self.directory), self.directory / "plots", self.directory / "report.html")
        self._note("report", time.monotonic() - began, "report.html")

    def _step(self, name: str, key: Sequence[Any], outputs: Sequence[str], act: Callable[[], object]) -> None:
        """Do a step, unless what it depends on is unchanged and its output is there."""
        end = self._begin(name, key, outputs)
        if end is not None:
            act()
            end()

    def _begin(self, name: str, key: Sequence[Any], outputs: Sequence[str]) -> Callable[[], None] | None:
        """Return what ends a step, or None where the step need not be done."""
        wanted = digest(*key)
        paths = [self.directory / output for output in outputs]
        done = self.provenance["steps"].get(name, {})
        if done.get("key") == wanted and all(path.exists() for path in paths):
            self.console.print(f"  {name:<11} unchanged", highlight=False)
            return None
        self.provenance["steps"].pop(name, None)
        for path in paths:  # nothing stale stays beside what is new, should the step fail
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        began = time.monotonic()

        def end() -> None:
            seconds = time.monotonic() - began
            self.provenance["steps"][name] = {"key": wanted, "seconds": round(seconds, 3)}
            self._note(name, seconds, ", ".join(outputs))

        return end

    def _note(self, name: str, seconds: float, what: str) -> None:
        self.console.print(f"  {name:<11} {seconds:6.1f} s  {what}", highlight=False)

    def save(self) -> None:
        """Write provenance.json."""
        write_json(self.directory / "provenance.json", self.provenance)
