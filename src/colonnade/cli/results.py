"""Commands on what earlier runs left: `plot`, `report`, `sync` and `cache`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from colonnade.cli.common import FILE, FOLDER, say
from colonnade.terminal import Terminal


@click.command("plot")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--era", metavar="NAME", help="Only this of the run's eras.")
@click.option("--histograms", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--regions", multiple=True, metavar="NAME", help="Only these (names or globs; repeatable).")
@click.option("--signals", multiple=True, metavar="NAME", help="Overlay these signals (names or globs; repeatable).")
@click.option("--formats", type=click.Choice(["png", "pdf"]), multiple=True, help="Instead of both (repeatable).")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that draw; by default one for each core.")
def plot(directory: Path, workers: int | None, **chosen: Any) -> None:
    """Draw what a run left in DIRECTORY, into its plots/.

    Without options, as the run's workflow says. Pictures that are not chosen are removed: the folder, and the page that
    `colonnade report` writes, show what was drawn last.
    """
    import os

    from colonnade.workflow.folder import load_run
    from colonnade.workflow.run import plots_step
    from colonnade.workflow.steps import OutputFolder

    run = load_run(directory).with_plots(**{key: value for key, value in chosen.items() if value})
    workers = workers or len(os.sched_getaffinity(0))
    console = Terminal()
    with OutputFolder.opened(directory, console, again=True) as folder:
        after = folder.keys("ledger", "histograms", "fit", "bumps", "classifiers")
        folder.redo(plots_step(run.plots, folder.about, lambda _: run, after, workers, console))


@click.command("report")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--era", metavar="NAME", help="Only this of the run's eras.")
def report(directory: Path, era: str | None) -> None:
    """Write report.html, one self-contained page, about what a run left in DIRECTORY.

    Pictures are those of `colonnade plot`; without them the page has its tables alone.
    """
    from colonnade.workflow.folder import load_run
    from colonnade.workflow.run import report_step
    from colonnade.workflow.steps import OutputFolder

    run = load_run(directory)
    if era is not None:
        run = run.with_plots(era=era)
    with OutputFolder.opened(directory, Terminal(), again=True) as folder:
        folder.redo(report_step(lambda _: run))


@click.command("sync")
@click.argument("mine", type=FILE)
@click.argument("theirs", type=FILE)
@click.option("--tolerance", default=1e-6, show_default=True, type=click.FloatRange(min=0), help="Relative.")
@click.option("--tree", help="The tree of ROOT files, where there are several.")
def sync(mine: Path, theirs: Path, tolerance: float, tree: str | None) -> None:
    """Compare the events of MINE and THEIRS: ROOT, parquet or CSV files, matched by run, block and event.

    Names the first event and quantity that differ, and counts the rest; exits with 1 if anything differs.
    """
    from colonnade.workflow.sync import shown, synchronise

    report = synchronise(mine, theirs, relative=tolerance, tree=tree)
    say(f"{report.common:,} events on both sides, {len(report.counts)} quantities compared")
    for side, events in (("mine", report.only_mine), ("theirs", report.only_theirs)):
        if events:
            say(f"{len(events):,} events only in {side}, the first of them {shown(events[0])}")
    if report.left_out:
        say(f"not compared, as one side lacks them: {', '.join(report.left_out)}")
    if report.first is not None:
        first = report.first
        say(f"first difference: event {shown(first.event)}, {first.quantity}: {first.mine} and {first.theirs}")
        for name, count in report.counts.items():
            if count:
                say(f"  {name}: differs in {count:,} events")
    elif report.same:
        say("no difference")
    sys.exit(0 if report.same else 1)


@click.command("cache")
@click.option(
    "--folder",
    type=FOLDER,
    help="The cache; by default .colonnade/cache in this folder or the nearest one above that has it.",
)
@click.option("--clear", is_flag=True, help="Remove all that is kept.")
def cache(folder: Path | None, *, clear: bool) -> None:
    """Show how many results and columns are kept, or remove them; the next run makes again what it needs."""
    from colonnade.errors import InputError
    from colonnade.execution.cache import CacheSettings, ResultCache

    name = CacheSettings().folder
    here = Path.cwd()
    found = folder or next((place / name for place in (here, *here.parents) if (place / name).is_dir()), None)
    if found is None or not found.is_dir():
        msg = f"There is no cache {found or f'{name} in {here} or above'}; a run makes one, or name it with --folder."
        raise InputError(msg)
    cache = ResultCache(found)
    console = Terminal(soft_wrap=True)
    kept = cache.reports()
    if clear:
        cache.clear()
    for what, (entries, size) in kept.items():
        console.print(f"{found}: {'removed ' if clear else ''}{entries:,} {what}, {size / 1e6:,.1f} MB.")
