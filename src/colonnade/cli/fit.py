"""`colonnade fit`: significances and limits of a run, or the fit of any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colonnade.cli.common import FOLDER, print_json, print_notes
from colonnade.cli.models import model_options, read_target, run_folder
from colonnade.report.text import measured, plus_minus
from colonnade.terminal import Terminal, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from colonnade.statistics.model import Model
    from colonnade.statistics.results import ChannelYields, DiagnosisSummary

_VIEWS = ("pulls", "ranking", "correlations", "goodness", "yields")


@click.command("fit")
@model_options
@click.option("--pulls", is_flag=True, help="What the fit learnt about each constrained parameter.")
@click.option("--ranking", is_flag=True, help="How each parameter's uncertainty moves the signal strength.")
@click.option("--correlations", is_flag=True, help="Correlations of the fitted parameters.")
@click.option("--goodness", is_flag=True, help="Goodness of fit against the saturated model.")
@click.option("--yields", is_flag=True, help="Expected events before and after the fit, by region and process.")
@click.option("--scan", "scans", metavar="PARAMETER", multiple=True, help="The likelihood along it (repeatable).")
@click.option(
    "--plots",
    type=FOLDER,
    help="Where pictures of what is asked for go; by default TARGET/fit_plots of a run, and none of a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def fit(targets: tuple[str, ...], *, scans: tuple[str, ...], plots: Path | None, as_json: bool, **options: Any) -> None:
    """Fit TARGET: the output folder of a run, or a file that holds a model.

    Of a run, workspace.json, patchset.json and fit.json are written anew, unless --freeze, --set, --range or --mask
    change its model. A model may be a pyhf workspace, HS3, a Combine datacard (several, as LABEL=CARD, are combined),
    HistFactory XML or a cabinetry configuration; it is fitted to its own data.
    """
    console = Terminal(quiet=as_json)
    views = {name: options.pop(name) for name in _VIEWS}
    folder = run_folder(targets, **options)
    if folder is not None and not any(options[name] for name in ("freeze", "values", "ranges", "mask")):
        from colonnade.workflow.folder import print_points
        from colonnade.workflow.run import fit_step
        from colonnade.workflow.steps import OutputFolder

        with OutputFolder.opened(folder, console, again=True) as opened:
            step = fit_step(opened.about, opened.keys("histograms"), console, reference=options["signal"], scans=scans)
            summary = opened.redo(step).summary
        content, diagnostics = summary.to_json(), summary.diagnostics
        print_points(console, summary)
        print_notes(console, dict.fromkeys(note.text for point in summary.points for note in point.notes))
    else:
        folder = None
        content, diagnostics = _fit_model(read_target(targets, **options).model, scans, console)
    asked = [view for view in _VIEWS if views[view]]
    if as_json:
        print_json(content)
    else:
        _print_views(console, diagnostics, asked, scans)
    written = _draw(folder, diagnostics, {*asked, "scan"} if scans else {*asked}, plots)
    if written:
        console.print(f"{len(written)} pictures in {written[0].parent}", soft_wrap=True)


def _draw(folder: Path | None, found: DiagnosisSummary, asked: set[str], plots: Path | None) -> list[Path]:
    """Draw what was asked for, if anywhere; without a word on what, all."""
    where = plots or (folder / "fit_plots" if folder is not None and asked else None)
    if where is None:
        return []
    from colonnade.plotting.draw import draw_all
    from colonnade.plotting.fit_pictures import fit_pictures, run_of_model
    from colonnade.workflow.folder import load_run

    if folder is not None:
        run = load_run(folder)
    else:
        samples = {name for each in found.yields.values() for name in each.postfit.samples}
        run = run_of_model(sorted(samples))
    pictures = list(fit_pictures(found, run, asked or None))
    return draw_all(pictures, where, run.plots, index=False)


def _fit_model(model: Model, scans: tuple[str, ...], console: Console) -> tuple[dict[str, Any], DiagnosisSummary]:
    from colonnade.statistics import Likelihood, discovery, fit
    from colonnade.statistics.diagnostics import diagnose

    likelihood = Likelihood(model)
    found = fit(likelihood)
    diagnostics = diagnose(likelihood, found, scans=scans)
    fitted = list(zip(found.labels, map(float, found.values), map(float, found.errors), strict=True))
    content: dict[str, Any] = {
        "parameters": [{"name": label, "bestfit": value, "error": error} for label, value, error in fitted],
        "nll": found.nll,
        "diagnostics": diagnostics.to_json(),
    }
    if likelihood.poi is not None:
        test = discovery(likelihood)
        content["significance"] = {"observed": test.z, "mu_hat": test.mu_hat}
    content["notes"] = [*model.notes, *(each.text for each in found.notes)]
    shape = f"{len(model.channels)} channels, {likelihood.bins} bins, {len(found.labels)} parameters"
    rows = [(label, *measured(value, error)) for label, value, error in fitted]
    rows = [(label, value, error or "constant") for label, value, error in rows]
    print_table(f"Best fit: {shape}", ("parameter", "best fit", "error"), rows, console=console)
    if "significance" in content:
        console.print(f"significance {content['significance']['observed']:.3f}")
    print_notes(console, content["notes"])
    return content, diagnostics


def _print_views(console: Console, found: DiagnosisSummary, views: Sequence[str], scans: Sequence[str]) -> None:
    if found.strength is not None and ("ranking" in views or scans):
        words = "Not all data may be seen, or there are none: ranking and scans are of Asimov data with signal strength"
        console.print(f"{words} {found.strength:g}.")
    for view in views:
        _print_view(view, found)
    for scan in found.scans:
        if scan.parameter in scans:
            rows = [(f"{value:.5g}", f"{delta:.4g}") for value, delta in zip(scan.values, scan.delta, strict=True)]
            print_table("Likelihood profiled", (scan.parameter, "-2 Δ ln L"), rows)


def _print_view(view: str, found: DiagnosisSummary) -> None:
    if view == "pulls":
        rows = [(each.name, f"{each.pull:+.3f}", f"{each.constraint:.3f}") for each in found.pulls]
        print_table("Pulls, and errors after the fit over those before", ("parameter", "pull", "error"), rows)
    elif view == "ranking":
        constrained = {each.name for each in found.pulls}
        impacts = []
        for each in found.ranking:
            prior, fitted = (each.prefit_up, each.prefit_down), (each.postfit_up, each.postfit_down)
            before = [f"{change:+.3g}" if each.name in constrained else "–" for change in prior]
            impacts.append((each.name, *before, *(f"{change:+.3g}" for change in fitted)))
        columns = ("parameter", "prior up", "prior down", "fitted up", "fitted down")
        print_table("Impact on the signal strength", columns, impacts)
    elif view == "correlations":
        names, matrix = found.correlations.parameters, found.correlations.matrix
        pairs = [(matrix[i][j], names[i], names[j]) for i in range(len(names)) for j in range(i)]
        largest = sorted(pairs, key=lambda pair: abs(pair[0]), reverse=True)[:30]
        rows = [(one, other, f"{value:+.3f}") for value, one, other in largest]
        print_table("The largest correlations", ("parameter", "parameter", "correlation"), rows)
    elif view == "goodness":
        goodness = found.goodness
        text = "no data to compare with, or no degrees of freedom"
        if goodness is not None:
            text = f"{goodness.statistic:.2f} for {goodness.degrees} degrees of freedom, p = {goodness.p_value:.4f}"
        click.echo(f"goodness of fit: {text}")
    else:
        _print_yields(found.yields)


def _print_yields(found: Mapping[str, ChannelYields]) -> None:
    rows: list[tuple[str, ...]] = []
    for name, each in found.items():
        seen = "–" if each.observed is None else f"{sum(each.observed):g}"
        both = (each.prefit, each.postfit)
        rows.append((name, seen, *(plus_minus(when.total, when.total_error) for when in both)))
        for sample in each.postfit.samples:
            pairs = [when.sample_totals.get(sample, (0.0, 0.0)) for when in both]
            if any(value for value, _ in pairs):
                rows.append((f"  {sample}", "", *(plus_minus(*pair) for pair in pairs)))
    print_table("Expected events", ("region", "observed", "before the fit", "after the fit"), rows)
