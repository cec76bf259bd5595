"""`colonnade samples`: make the simulated datasets that are missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FILE, print_table, say


@click.command("samples")
@click.argument("names", nargs=-1)
@click.option(
    "--manifest",
    type=FILE,
    default=Path("datasets.json"),
    show_default=True,
    help="Which datasets exist and how they are made.",
)
@click.option("--workflow", type=FILE, help="Make what this workflow reads, of its own manifest.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one for each core.")
@click.option("--events", type=click.IntRange(min=1), help="Events of each dataset, instead of the manifest's.")
@click.option("--force", is_flag=True, help="Make again what is up to date; overwrite files made elsewhere.")
def samples(
    names: tuple[str, ...],
    manifest: Path,
    workflow: Path | None,
    workers: int | None,
    events: int | None,
    *,
    force: bool,
) -> None:
    """Make the simulated datasets NAMES (names or globs; by default all) that are missing.

    A file whose settings have not changed is left as it is. The same seed gives the same events with any number
    of workers.
    """
    from colonnade.manifest import load_manifest
    from colonnade.samples import make_samples

    if workflow is not None:
        from colonnade.workflow import load_workflow

        read = load_workflow(workflow)
        manifest, names = read.manifest, names or read.settings.datasets
    loaded = load_manifest(manifest)
    wanted = loaded.select(names or "*")
    total = sum(events or d.metadata.generate.events for d in wanted if d.metadata.generate is not None)
    with _bar(total) as advance:
        made = make_samples(
            loaded,
            [dataset.name for dataset in wanted],
            workers=workers or os.cpu_count() or 1,
            events=events,
            force=force,
            progress=advance,
        )
    _report(made)


class _bar:  # noqa: N801 - used as a function
    """A progress bar on the terminal's error stream; calling it advances."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from colonnade.terminal import Terminal

        # on stderr, as Pythia and fastjet print to stdout, which is closed to them while they work
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("events, {task.fields[rate]} events/s"),
            TimeRemainingColumn(),
            console=Terminal(stderr=True),
        )
        self._task = self._progress.add_task("samples", total=total, rate="-")

    def __enter__(self) -> _bar:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def __call__(self, name: str, events: int) -> None:
        self._progress.start()  # only now, so that nothing is shown where nothing is made
        task = self._progress.tasks[self._task]
        speed = (task.completed + events) / max(task.elapsed or 0.0, 1e-9)
        self._progress.update(self._task, advance=events, description=name, rate=f"{speed:,.0f}")


def _report(made: list[Any]) -> None:
    columns = ("dataset", "events", "sum of weights", "made σ [pb]", "stated σ [pb]", "file")
    rows = []
    for one in made:
        metadata, note = one.dataset.metadata, one.provenance
        section = (metadata.xsec_pb or 0.0) * metadata.k_factor * metadata.filter_efficiency
        numbers = (f"{note.events:,}", f"{note.sumw:,.6g}", f"{note.cross_section_pb:.4g}", f"{section:.4g}")
        rows.append((one.dataset.name, *numbers, "up to date" if one.skipped else "made"))
    print_table("Simulated samples", columns, rows, left=("dataset", "file"))
    # pseudo-data are counted, so that a filter's efficiency means nothing
    for warning in filter(None, (one.warning for one in made if one.dataset.metadata.kind != "data")):
        say(f"Note: {warning}.")
